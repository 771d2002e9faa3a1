package mail

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
)

// lineBuffer is how much of one line is looked at together. A boundary line is at
// most 70 characters (RFC 2046 §5.1.1); a longer text line passes in pieces.
const lineBuffer = 16 << 10

// lines reads a message line by line and stops at the boundary lines of the
// multiparts that are open. It holds one line at most, whatever the size of the
// message, and passes over the bytes once however deep multiparts nest.
//
// As an io.Reader it gives the raw bytes of the current section, up to the next
// boundary line or the end; the line break before a boundary belongs to the boundary.
type lines struct {
	ctx    context.Context // of the one Split call this reader lives in
	br     *bufio.Reader
	fences []string // boundaries of the open multiparts, outermost first

	lead   string // what was read and not yet handed out: a line break…
	text   []byte // …and what follows it
	eol    string // line break held back until it is known what follows
	within bool   // the next bytes continue a line

	ended bool // the section ended, at the boundary line hit
	hit   fence
	err   error // what ended the message: io.EOF or a reading error

	doubts doubts // about what was read so far
}

// fence is a boundary line that was met.
type fence struct {
	level int  // index of its multipart
	last  bool // it closes the multipart
	more  bool // and more stands on its line
}

func newLines(ctx context.Context, r io.Reader) *lines {
	return &lines{ctx: ctx, br: bufio.NewReaderSize(r, lineBuffer)}
}

// begin passes over what stands before a message without being of it: a byte-order
// mark, and empty lines that a header follows. A message in which CR alone ends the
// lines, as on a Mac before the year 2001, is read as if they were whole.
func (l *lines) begin() {
	if bytes.HasPrefix(l.peek(), []byte("\xef\xbb\xbf")) {
		l.pass(3)
	}
	b := l.peek()
	if i := bytes.IndexByte(b, '\r'); i > 0 && bytes.IndexByte(b, '\n') < 0 && isMailField(b[:i]) {
		l.br = bufio.NewReaderSize(&oldMac{r: l.br}, lineBuffer)
		l.doubts.add(doubtBareCR)
		return
	}
	rest := bytes.TrimLeft(b, "\r\n")
	if isMailField(rest) || isEnvelopeLine(rest) {
		l.pass(len(b) - len(rest))
	}
}

// pass passes over n bytes that were peeked at.
func (l *lines) pass(n int) { _, _ = l.br.Discard(n) }

// oldMac reads lines that end in CR alone as lines that end in LF.
type oldMac struct {
	r    io.Reader
	last byte
}

func (o *oldMac) Read(p []byte) (int, error) {
	n, err := o.r.Read(p)
	out := p[:0]
	for _, c := range p[:n] {
		pair := c == '\n' && o.last == '\r'
		o.last = c
		switch {
		case pair:
		case c == '\r':
			out = append(out, '\n')
		default:
			out = append(out, c)
		}
	}
	return len(out), err
}

// at reports whether the section ended at a boundary line of the multipart at level.
func (l *lines) at(level int) bool { return l.ended && l.hit.level == level }

// resume passes the boundary line: the next section begins.
func (l *lines) resume() { l.ended, l.eol, l.within = false, "", false }

// skip passes over the rest of the section, and reports whether anything stood there.
func (l *lines) skip() bool {
	some := false
	for l.advance() {
		some = some || len(bytes.TrimSpace(l.text)) > 0
		l.lead, l.text = "", nil
	}
	return some
}

// failed is the error of the underlying reader, if that is what ended the message.
func (l *lines) failed() error {
	if l.err == nil || errors.Is(l.err, io.EOF) {
		return nil
	}
	return l.err
}

func (l *lines) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		switch {
		case len(l.lead) > 0:
			c := copy(p[n:], l.lead)
			l.lead, n = l.lead[c:], n+c
		case len(l.text) > 0:
			c := copy(p[n:], l.text)
			l.text, n = l.text[c:], n+c
		case !l.advance():
			if n > 0 {
				return n, nil
			}
			if err := l.failed(); err != nil {
				return 0, err
			}
			return 0, io.EOF
		}
	}
	return n, nil
}

// readLine gives the next line of a header without its line break, of which it keeps
// no more than limit bytes; whole is the length it truly had. It reports false at the
// end of the section.
func (l *lines) readLine(limit int) (line []byte, whole int, ok bool) {
	for {
		var more []byte
		if len(l.lead) > 0 || len(l.text) > 0 || l.advance() {
			ok = true
			more = append(append(more, l.lead...), l.text...)
			l.lead, l.text = "", nil
		} else {
			return line, whole, ok
		}
		whole += len(more)
		line = append(line, more[:min(len(more), max(0, limit-len(line)))]...)
		if !l.within {
			l.eol = "" // the break of a header line is no part of what follows
			return line, whole, true
		}
	}
}

// maxHeaderLine is longer than a line of a header may be (998 bytes, RFC 5322 §2.1.1).
const maxHeaderLine = 1 << 10

// bodyIsNext reports whether a body stands where the next line of a header is awaited:
// no line up to the next empty one could be of a header.
func (l *lines) bodyIsNext() bool {
	if l.ended || l.err != nil || l.within || len(l.lead) > 0 || len(l.text) > 0 {
		return false
	}
	b, _ := l.br.Peek(maxHeaderLine)
	for n := 0; ; n++ {
		line, rest, more := bytes.Cut(b, []byte("\n"))
		line = bytes.TrimRight(line, "\r")
		_, boundary := l.fence(line)
		switch {
		case n == 0 && !more && len(line) >= maxHeaderLine:
			return !isField(line) && line[0] != ' ' && line[0] != '\t'
		case n == 0 && (len(line) == 0 || boundary || !more || line[0] == ' ' || line[0] == '\t'), isField(line):
			return false
		case n == 1 && len(line) == 0 && more:
			return false // a line alone before the empty one is a bad line of the header
		case len(line) == 0 || boundary || !more:
			return true
		}
		b = rest
	}
}

// fenced reports whether a boundary line stands near the beginning of the section to
// come: one of that boundary, or any when it is "".
func (l *lines) fenced(boundary string) bool {
	for line := range bytes.Lines(l.peek()) {
		if bytes.HasPrefix(line, []byte("--"+boundary)) {
			return true
		}
	}
	return false
}

// peek shows what is buffered of the section to come, line breaks included.
func (l *lines) peek() []byte {
	b, _ := l.br.Peek(lineBuffer) // at the end of the message: what there is
	return b
}

// advance reads on: the held line break goes to lead, the line to text. It reports
// false, and keeps doing so, when the section has ended.
func (l *lines) advance() bool {
	if l.ended || l.err != nil {
		return false
	}
	if err := l.ctx.Err(); err != nil {
		l.err = err
		return false
	}
	piece, err := l.br.ReadSlice('\n')
	full := errors.Is(err, bufio.ErrBufferFull)
	if !full {
		l.err = err
	}
	if !l.within {
		if hit, ok := l.fence(piece); ok {
			l.hit, l.eol, l.ended = hit, "", true
			if hit.more {
				l.doubts.add(doubtBoundaryLine)
			}
			return false
		}
	}
	if l.eol == "\r" && string(piece) == "\n" { // a break cut in two by a full buffer
		l.eol, l.within = "\r\n", false
		l.lead, l.text = "", nil
		return true
	}
	l.lead = l.eol
	l.text, l.eol = cutBreak(piece)
	l.within = l.eol == ""
	if full {
		if n := len(l.text); n > 0 && l.text[n-1] == '\r' {
			l.text, l.eol = l.text[:n-1], "\r"
		}
		return true
	}
	// At the end nothing follows, so a break held back was content after all.
	return l.err == nil || len(l.lead) > 0 || len(l.text) > 0
}

// cutBreak splits a line from its line break.
func cutBreak(piece []byte) ([]byte, string) {
	switch {
	case bytes.HasSuffix(piece, []byte("\r\n")):
		return piece[:len(piece)-2], "\r\n"
	case bytes.HasSuffix(piece, []byte("\n")):
		return piece[:len(piece)-1], "\n"
	}
	return piece, ""
}

// fence recognises the boundary line of an open multipart, innermost first. A line
// of an outer one ends the inner ones too: they were never closed.
func (l *lines) fence(line []byte) (fence, bool) {
	if len(l.fences) == 0 || !bytes.HasPrefix(line, []byte("--")) {
		return fence{}, false
	}
	rest := bytes.TrimRight(line[2:], " \t\r\n")
	for level := len(l.fences) - 1; level >= 0; level-- {
		after, ok := bytes.CutPrefix(rest, []byte(l.fences[level]))
		if !ok {
			continue
		}
		if len(after) == 0 {
			return fence{level: level}, true
		}
		if after, ok := bytes.CutPrefix(after, []byte("--")); ok { // whatever was added after it
			return fence{level: level, last: true, more: len(after) > 0}, true
		}
		switch after[0] { // to some programs it is a boundary line all the same
		case 0:
			l.doubts.add(doubtNUL)
		case ' ', '\t':
			l.doubts.add(doubtBoundaryLine)
		}
	}
	return fence{}, false
}
