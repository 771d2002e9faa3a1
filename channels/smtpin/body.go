package smtpin

import (
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
	errSlow     = errors.New("message comes in too slowly")
)

// body is a message being received. After its end it says io.EOF, after an error that
// error again.
type body interface {
	io.Reader
	failed() error // what the sender or the network did wrong, if anything
}

// dataBody reads the message that follows DATA from the wire itself, and takes away the
// dots added for transport (RFC 5321 §4.5.2). Only CRLF.CRLF ends it. (go-smtp's own
// reader drops the CR of a line ".CR", refuses a message of exactly the limit, and looks
// at every byte on its own.) Lines are looked for in what the buffer holds, and handed
// out from there as far as nothing is to be taken away.
type dataBody struct {
	w     *wire
	text  []byte // found and not yet handed out; lies in the wire's buffer
	used  int    // bytes of the buffer it took
	lines lines
	total int64
	err   error
}

func newDataBody(w *wire) *dataBody {
	w.begin()
	w.widen()
	w.owed = true
	return &dataBody{w: w, lines: lines{max: w.r.cfg.MaxLine}}
}

func (d *dataBody) Read(p []byte) (int, error) {
	if err := d.fill(); err != nil {
		return 0, err
	}
	n := copy(p, d.text)
	d.text = d.text[n:]
	return n, nil
}

// WriteTo hands the message to w without copying it.
func (d *dataBody) WriteTo(w io.Writer) (total int64, err error) {
	for {
		err := d.fill()
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(d.text)
		d.text = d.text[n:]
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
}

// fill sees to it that there is text.
func (d *dataBody) fill() error {
	for d.err == nil && len(d.text) == 0 {
		d.w.in().Discard(d.used)
		d.used = 0
		d.text, d.err = d.next()
	}
	if len(d.text) > 0 {
		return nil
	}
	return d.err
}

// next finds text, which may be none where a dot was taken away.
func (d *dataBody) next() ([]byte, error) {
	if err := d.w.more(1); err != nil {
		return nil, fmt.Errorf("receive message: %w", unexpected(err))
	}
	in := d.w.in()
	held, _ := in.Peek(in.Buffered())
	if d.lines.length == 0 && held[0] == '.' {
		return nil, d.dot()
	}
	n, err := d.run(held)
	if err != nil {
		return nil, err
	}
	d.used = n
	if d.total += int64(n); d.total > d.w.r.cfg.MaxBytes {
		d.w.in().Discard(n)
		d.used = 0
		return nil, errTooLarge
	}
	return held[:n], nil
}

// dot reads the dot at the beginning of a line: the end of the message, or one to be
// taken away.
func (d *dataBody) dot() error {
	in := d.w.in()
	for i, c := range []byte("\r\n") {
		if err := d.w.more(i + 2); err != nil {
			return fmt.Errorf("receive message: %w", unexpected(err))
		}
		if held, _ := in.Peek(i + 2); held[i+1] != c {
			in.Discard(1)
			d.lines.length = 1
			return nil
		}
	}
	in.Discard(len(".\r\n"))
	return io.EOF
}

// run is how much of held is text as it stands: to the next dot at the beginning of a
// line, or to its end. held is not empty and begins with no such dot.
func (d *dataBody) run(held []byte) (int, error) {
	n := 0
	for n < len(held) && !(d.lines.length == 0 && held[n] == '.') {
		piece := held[n:]
		if end := bytes.IndexByte(piece, '\n'); end >= 0 {
			piece = piece[:end+1]
		}
		if err := d.lines.follow(piece); err != nil {
			return 0, err
		}
		n += len(piece)
	}
	return n, nil
}

// lines follows a message piece by piece, for line breaks that are none and for lines
// that are too long.
type lines struct {
	max    int  // bytes in a line, its break included
	length int  // of the current line so far
	cr     bool // its last was a CR, which awaits its LF
}

func (l *lines) follow(piece []byte) error {
	for len(piece) > 0 {
		if l.cr {
			if piece[0] != '\n' {
				return errBareLine
			}
			if l.length+1 > l.max {
				return errLongLine
			}
			piece, l.length, l.cr = piece[1:], 0, false
			continue
		}
		text := piece
		if i := bytes.IndexByte(piece, '\r'); i >= 0 {
			text, l.cr = piece[:i], true
			l.length++
		}
		if bytes.IndexByte(text, '\n') >= 0 {
			return errBareLine
		}
		if l.length += len(text); l.length > l.max {
			return errLongLine
		}
		piece = piece[len(text):]
		if l.cr {
			piece = piece[1:]
		}
	}
	return nil
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
	r     io.Reader
	lines lines
	err   error
}

func (c *chunkBody) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.r.Read(p)
	c.err = c.lines.follow(p[:n])
	switch {
	case c.err != nil:
		return 0, c.err
	case errors.Is(err, io.EOF) && c.lines.cr:
		err = errBareLine
	}
	c.err = err
	return n, err
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
