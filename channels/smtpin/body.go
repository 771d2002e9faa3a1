package smtpin

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Why a message cannot be taken as it comes.
var (
	errBareLine = errors.New("bare CR or LF in a message")
	errLongLine = errors.New("line of a message too long")
	errTooLarge = errors.New("message too large")
)

// body is a message being received. After its end it says io.EOF, after an error that
// error again.
type body interface {
	io.Reader
	failed() error // what the sender or the network did wrong, if anything
}

// dataBody reads the message that follows DATA from the wire itself, and takes away the
// dots added for transport (RFC 5321 §4.5.2). Only CRLF.CRLF ends it. (go-smtp's own
// reader drops the CR of a line ".CR" and refuses a message of exactly the limit.)
type dataBody struct {
	w     *wire
	text  []byte // read and not yet handed out
	line  int    // bytes of the current line so far
	cr    bool   // its last was a CR
	total int64
	err   error
}

func (d *dataBody) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(d.text) > 0 {
			c := copy(p[n:], d.text)
			d.text, n = d.text[c:], n+c
			continue
		}
		if n > 0 && d.w.br.Buffered() == 0 {
			break // hand out what there is rather than wait
		}
		if d.err == nil {
			d.text, d.err = d.next()
		}
		if d.err != nil {
			break
		}
	}
	if n == 0 {
		return 0, d.err
	}
	return n, nil
}

// next reads a line, or as much of it as the buffer holds.
func (d *dataBody) next() ([]byte, error) {
	d.w.arm()
	piece, err := d.w.br.ReadSlice('\n')
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
		return nil, fmt.Errorf("receive message: %w", unexpected(err))
	}
	if d.line == 0 && string(piece) == ".\r\n" {
		return nil, io.EOF
	}
	if err := d.check(piece); err != nil {
		return nil, err
	}
	text := piece
	if d.line == 0 {
		text = bytes.TrimPrefix(piece, []byte("."))
	}
	if d.line += len(piece); piece[len(piece)-1] == '\n' {
		d.line = 0
	}
	if d.total += int64(len(text)); d.total > d.w.r.cfg.MaxBytes {
		return nil, errTooLarge
	}
	return text, nil
}

// check looks for a bare CR or LF in a piece, and at the length of its line.
func (d *dataBody) check(piece []byte) error {
	if d.line+len(piece) > d.w.r.cfg.MaxLine {
		return errLongLine
	}
	var err error
	d.cr, err = checkBreaks(piece, d.cr)
	return err
}

// checkBreaks looks for a bare CR or LF in piece, which follows a CR or not, and
// reports whether it ends in a CR that awaits its LF.
func checkBreaks(piece []byte, cr bool) (bool, error) {
	for len(piece) > 0 {
		if cr {
			if piece[0] != '\n' {
				return false, errBareLine
			}
			piece, cr = piece[1:], false
			continue
		}
		i := bytes.IndexAny(piece, "\r\n")
		if i < 0 {
			return false, nil
		}
		if piece[i] == '\n' {
			return false, errBareLine
		}
		piece, cr = piece[i+1:], true
	}
	return cr, nil
}

// unexpected names the end of the connection for what it is within a message.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (d *dataBody) failed() error { return notEOF(d.err) }

// chunkBody reads a message that comes by BDAT; go-smtp has put its chunks together
// and counts their bytes. Chunks may be cut anywhere, also within a line break.
type chunkBody struct {
	r    io.Reader
	max  int // bytes in a line
	line int
	cr   bool
	err  error
}

func (c *chunkBody) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.r.Read(p)
	var bare error
	c.cr, bare = checkBreaks(p[:n], c.cr)
	switch {
	case bare != nil, errors.Is(err, io.EOF) && c.cr:
		c.err = errBareLine
	case c.tooLong(p[:n]):
		c.err = errLongLine
	default:
		c.err = err
		return n, err
	}
	return 0, c.err
}

// tooLong follows the length of the lines through b.
func (c *chunkBody) tooLong(b []byte) bool {
	for line := range bytes.Lines(b) {
		if c.line += len(line); c.line > c.max {
			return true
		}
		if line[len(line)-1] == '\n' {
			c.line = 0
		}
	}
	return false
}

func (c *chunkBody) failed() error { return notEOF(c.err) }

// broken reports whether the message itself was at fault, and not just given up.
func (c *chunkBody) broken() bool {
	return errors.Is(c.err, errBareLine) || errors.Is(c.err, errLongLine)
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
