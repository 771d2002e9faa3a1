package uuencode

import (
	"bytes"
	"encoding/base64"
)

// base64Lines is the form of uuencode whose lines are base64, up to "====".
type base64Lines struct {
	padded bool // a padded line was met: nothing follows but the end
}

func (b *base64Lines) starts(l *lines, i int) bool {
	return l.line(i).whole && isBase64(l.line(i).text())
}

func (b *base64Lines) next(l *lines, out []byte) ([]byte, bool) {
	for l.has(0) {
		text := bytes.TrimRight(l.line(0).text(), " \t")
		switch {
		case isBase64End(text):
			l.take(1)
			return out, false
		case !b.padded && l.line(0).whole && isBase64(text):
			b.padded = bytes.HasSuffix(text, []byte("="))
			out, _ = base64.StdEncoding.AppendDecode(out, text) // of the alphabet alone, as was seen
			l.take(1)
			return out, true
		}
		n := resumes(l, isBase64End, func(t []byte) bool { return !b.padded && len(t) >= 60 && isBase64(t) })
		if n == 0 {
			return out, false
		}
		l.take(n)
	}
	return out, false
}

func isBase64End(text []byte) bool {
	return bytes.Equal(bytes.TrimRight(text, " \t"), []byte("===="))
}

// isBase64 reports whether a line is groups of four characters of base64, padded or not.
func isBase64(text []byte) bool {
	text = bytes.TrimRight(text, " \t")
	if len(text) == 0 || len(text)%4 != 0 {
		return false
	}
	digits := bytes.TrimRight(text, "=")
	if len(text)-len(digits) > 2 {
		return false
	}
	for _, c := range digits {
		switch {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '+', c == '/':
		default:
			return false
		}
	}
	return true
}
