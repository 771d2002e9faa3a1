package uuencode

import (
	"bytes"
	"io"
)

// code is one way of writing a file down in lines.
type code interface {
	// starts reports whether the line i lines ahead begins such a file.
	starts(l *lines, i int) bool
	// next takes the next line of the file and appends what it stands for to out, or
	// takes the end of the file and reports false.
	next(l *lines, out []byte) ([]byte, bool)
}

// body is the content of one file in a text.
type body struct {
	name string
	code code
	l    *lines
	buf  []byte // backs out
	out  []byte // decoded, not yet handed out
	done bool
}

func (b *body) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(b.out) == 0 {
		if b.done {
			if err := b.l.failed(); err != nil {
				return 0, err
			}
			return 0, io.EOF
		}
		b.advance()
	}
	n := copy(p, b.out)
	b.out = b.out[n:]
	return n, nil
}

func (b *body) advance() {
	var more bool
	b.buf, more = b.code.next(b.l, b.buf[:0])
	b.out, b.done = b.buf, !more
}

// skip passes over the rest of the file.
func (b *body) skip() {
	for !b.done {
		b.advance()
	}
}

// resumes looks past a line that belongs to no file, and a few more, for one that
// does: end reports whether a line is the end, data whether it surely is content. It
// returns how many lines are to be left out before that line; 0 when there is none.
func resumes(l *lines, end, data func([]byte) bool) int {
	for i := 1; i <= maxBlank && l.has(i); i++ {
		if next := l.line(i); next.whole && (end(next.text()) || data(next.text())) {
			return i
		}
	}
	return 0
}

// uu is the encoding with a length before each line, in which three bytes are four
// characters from blank to underscore; a grave accent also stands for a blank.
type uu struct {
	short bool // a line shorter than a full one was met: nothing follows but the end
}

// fullLine is the number of bytes in each line of a file but the last.
const fullLine = 45

// starts wants the first line as long as it says, or, blanks being lost, much of it and
// a second one: words in capitals are no file.
func (u *uu) starts(l *lines, i int) bool {
	if !l.line(i).whole {
		return false
	}
	first := l.line(i).text()
	if isExact(first) {
		return true
	}
	if !isData(first) || len(first) < lineLength(first)/3 || !l.has(i+1) {
		return false
	}
	second := l.line(i + 1).text()
	return isData(second) || isEnd(second) || string(second) == "`"
}

func (u *uu) next(l *lines, out []byte) ([]byte, bool) {
	for l.has(0) {
		text := l.line(0).text()
		switch {
		case isEnd(text):
			l.take(1)
			return out, false
		case isExact(text), !u.short && isData(text) && l.restored < maxRestored:
			l.restored += max(0, lineLength(text)-len(text))
			out = appendUU(out, text)
			u.short = u.short || lineLength(text) < fullLine
			l.take(1)
			return out, true
		}
		last := string(bytes.TrimRight(text, " ")) == "`"
		n := resumes(l, isEnd, func(t []byte) bool { return !last && isExact(t) })
		if n == 0 {
			if last {
				l.take(1)
			}
			return out, false
		}
		l.take(n)
	}
	return out, false
}

// maxRestored bounds the zeros that stand in a text for blanks lost, in bytes: a line
// of one character may stand for 45 of them.
const maxRestored = 16 << 20

// isEnd reports whether a line ends a file.
func isEnd(text []byte) bool {
	return bytes.EqualFold(bytes.TrimRight(text, " \t"), []byte("end"))
}

// lineLength is the number of bytes a line says it holds, 0 when it holds none.
func lineLength(text []byte) int {
	if len(text) == 0 || !isDigit(text[0]) {
		return 0
	}
	return value(text[0])
}

func isDigit(c byte) bool { return c >= ' ' && c <= '`' }

func value(c byte) int { return int(c-' ') & 63 }

// maxJunk is how many characters too many a line may have: some programs end it with a
// checksum, or with one character against the stripping of blanks.
const maxJunk = 2

// isData reports whether a line can be one of content. Blanks at its end, which stand
// for zeros, may have been lost on the way.
func isData(text []byte) bool {
	n := lineLength(text)
	if n == 0 {
		return false
	}
	chars, whole := bytes.TrimRight(text[1:], " \t"), (n+2)/3*4
	if len(chars) > whole+maxJunk {
		return false
	}
	for _, c := range chars[:min(len(chars), whole)] {
		if !isDigit(c) {
			return false
		}
	}
	return true
}

// isExact reports whether a line is one of content and has the length it says.
func isExact(text []byte) bool {
	return isData(text) && len(text)-1 >= (lineLength(text)*4+2)/3
}

// appendUU appends what a line of content stands for.
func appendUU(out, text []byte) []byte {
	n, chars := lineLength(text), text[1:]
	at := func(i int) int {
		if i < len(chars) && isDigit(chars[i]) {
			return value(chars[i])
		}
		return 0
	}
	for i := 0; n > 0; i, n = i+4, n-3 {
		bits := at(i)<<18 | at(i+1)<<12 | at(i+2)<<6 | at(i+3)
		out = append(out, []byte{byte(bits >> 16), byte(bits >> 8), byte(bits)}[:min(n, 3)]...)
	}
	return out
}
