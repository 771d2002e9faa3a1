package uuencode

import (
	"bytes"
	"strconv"
	"strings"
)

// yenc is the encoding that adds 42 to each byte and escapes those that would break a
// line (yEnc draft 1.3). Its bytes must have come as they were sent: 8bit or binary.
type yenc struct {
	size    int64 // bytes still to come, as the first line says
	escaped bool  // the last character was an escape
}

// yencOpening reads "=ybegin line=128 size=1234 name=photo.jpg". A file in several
// parts is left alone: its other parts are in other messages.
func yencOpening(line []byte) *body {
	fields, name, named := strings.Cut(readable(line), " name=")
	name = strings.Trim(name, " \t\"")
	if !named || name == "" || strings.Contains(fields, " part=") || !strings.Contains(fields, " line=") {
		return nil
	}
	_, digits, _ := strings.Cut(fields, " size=")
	digits, _, _ = strings.Cut(digits, " ")
	size, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || size <= 0 {
		return nil
	}
	return &body{name: name, code: &yenc{size: size}}
}

func (y *yenc) starts(l *lines, i int) bool {
	text := l.line(i).text()
	return len(text) > 0 && string(text) != "=" && !bytes.HasPrefix(text, []byte("=y")) // an escape is never followed by y
}

func (y *yenc) next(l *lines, out []byte) ([]byte, bool) {
	if !l.has(0) {
		return out, false
	}
	next := l.line(0)
	if bytes.HasPrefix(next.raw, []byte("=yend")) {
		l.take(1)
		return out, false
	}
	if y.size <= 0 { // the end is missing
		return out, false
	}
	for _, c := range next.text() {
		switch {
		case y.escaped:
			out, y.escaped = append(out, c-64-42), false
		case c == '=':
			y.escaped = true
		default:
			out = append(out, c-42)
		}
	}
	if int64(len(out)) > y.size {
		out = out[:y.size]
	}
	y.size -= int64(len(out))
	l.take(1)
	return out, true
}
