package uuencode

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

const (
	maxLine  = 4 << 10 // bytes of a line looked at together; a longer one passes in pieces
	maxAhead = 6       // lines looked at before it is known what the first one is
)

// lines reads a text line by line, and a few lines ahead.
type lines struct {
	br   *bufio.Reader
	ring [maxAhead]line // read and not yet taken
	from int            // first of them in ring
	n    int
	cut  bool  // the last line read goes on
	err  error // what ended the text: io.EOF or a reading error

	restored int // bytes decoded that no character stood for
}

// line is one line of the text, or a piece of a long one.
type line struct {
	raw   []byte // with its line break; valid until the line is taken
	whole bool
}

// text is the line without its line break.
func (l line) text() []byte { return bytes.TrimRight(l.raw, "\r\n") }

func newLines(r io.Reader) *lines {
	return &lines{br: bufio.NewReaderSize(r, maxLine)}
}

// has reports whether there is a line i lines ahead, with i below maxAhead.
func (l *lines) has(i int) bool {
	for l.n <= i && l.err == nil {
		piece, err := l.br.ReadSlice('\n')
		full := errors.Is(err, bufio.ErrBufferFull)
		if !full {
			l.err = err
		}
		if len(piece) == 0 {
			break
		}
		to := &l.ring[(l.from+l.n)%maxAhead]
		to.raw = append(to.raw[:0], piece...)
		to.whole = !full && !l.cut
		l.cut = full
		l.n++
	}
	return i < l.n
}

// line is the line i lines ahead, which there is.
func (l *lines) line(i int) line { return l.ring[(l.from+i)%maxAhead] }

// take passes over n lines that were seen.
func (l *lines) take(n int) {
	l.from = (l.from + n) % maxAhead
	l.n -= n
}

// failed is the error of the underlying reader, if that is what ended the text.
func (l *lines) failed() error {
	if errors.Is(l.err, io.EOF) {
		return nil
	}
	return l.err
}
