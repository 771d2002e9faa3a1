package mail

import (
	"bytes"
	"io"
	"strings"

	"vaguemestre/channels/mail/uuencode"
)

// decoded undoes a Content-Transfer-Encoding (RFC 2045 §6) as far as it can be
// undone: characters that do not belong are passed over, and an unknown encoding
// leaves the bytes as they are, for the person who reads them to judge. What it comes
// upon that others read otherwise goes to d.
func decoded(encoding string, r io.Reader, d *doubts) io.Reader {
	switch {
	case strings.Contains(encoding, "base64"):
		return &base64Reader{r: &watched{r, d}, doubts: d}
	case strings.Contains(encoding, "quoted-printable"):
		return &quotedReader{r: &watched{r, d}}
	case strings.Contains(encoding, "uue"): // x-uuencode, uuencode, x-uue
		return uuencode.NewReader(&watched{r, d})
	}
	return r
}

// encodingUnclear reports whether an encoding is one that some programs undo although
// its name is not quite right.
func encodingUnclear(encoding string) bool {
	switch encoding {
	case "base64", "quoted-printable", "x-uuencode", "uuencode", "x-uue", "uue":
		return false
	}
	return decodes(encoding)
}

// decodes reports whether decoded changes anything under that encoding.
func decodes(encoding string) bool {
	return strings.Contains(encoding, "base64") || strings.Contains(encoding, "quoted-printable") || strings.Contains(encoding, "uue")
}

// watched looks for NUL in what should be text. Some programs end the text there.
type watched struct {
	r      io.Reader
	doubts *doubts
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if bytes.IndexByte(p[:n], 0) >= 0 {
		w.doubts.add(doubtNUL)
	}
	return n, err
}

// base64Reader decodes base64 and passes over whatever is not of its alphabet. A
// padded end followed by more text begins anew: some programs encode in blocks.
type base64Reader struct {
	r      io.Reader
	doubts *doubts
	padded bool // the end was met
	raw    [4 << 10]byte
	buf    [3<<10 + 3]byte // backs out: four characters in give three bytes, three may be held over
	out    []byte          // decoded, not yet handed out
	bits   uint32
	n      int // characters in bits, 0 to 3
	err    error
}

// Values of sextets that are no digits.
const (
	sextetPad  = 64
	sextetNone = 65
)

// sextets gives the value of each base64 character.
var sextets = func() (t [256]byte) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for i := range t {
		t[i] = sextetNone
	}
	for i, c := range []byte(alphabet) {
		t[c] = byte(i)
	}
	t['='] = sextetPad
	return t
}()

func (d *base64Reader) Read(p []byte) (int, error) {
	for len(d.out) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		var n int
		n, d.err = d.r.Read(d.raw[:])
		d.out = d.decode(d.raw[:n])
		if d.err != nil {
			d.out = d.flush(d.out)
		}
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

func (d *base64Reader) decode(raw []byte) []byte {
	out := d.buf[:0]
	for _, c := range raw {
		v := sextets[c]
		if v == sextetNone {
			continue
		}
		if v == sextetPad {
			out = d.flush(out)
			d.padded = true
			continue
		}
		if d.padded {
			d.doubts.add(doubtAfterPadding)
			d.padded = false
		}
		d.bits = d.bits<<6 | uint32(v)
		if d.n++; d.n == 4 {
			out = append(out, byte(d.bits>>16), byte(d.bits>>8), byte(d.bits))
			d.bits, d.n = 0, 0
		}
	}
	return out
}

// flush gives the bytes of an incomplete group of four.
func (d *base64Reader) flush(out []byte) []byte {
	switch d.n {
	case 2:
		out = append(out, byte(d.bits>>4))
	case 3:
		out = append(out, byte(d.bits>>10), byte(d.bits>>2))
	}
	d.bits, d.n = 0, 0
	return out
}

// quotedReader decodes quoted-printable. An "=" that starts nothing sensible stands
// for itself; blanks at the end of a line were added on the way and are dropped.
type quotedReader struct {
	r    io.Reader
	raw  [4 << 10]byte
	in   []byte // read, not yet decoded
	out  []byte
	done bool
	err  error
}

func (q *quotedReader) Read(p []byte) (int, error) {
	for len(q.out) == 0 {
		if q.done {
			return 0, q.err
		}
		n, err := q.r.Read(q.raw[:])
		q.in = append(q.in, q.raw[:n]...)
		q.done, q.err = err != nil, err
		q.out = q.decode(q.out[:0])
	}
	n := copy(p, q.out)
	q.out = q.out[n:]
	return n, nil
}

// decode takes from in what can be decided, and leaves the rest for the next bytes.
func (q *quotedReader) decode(out []byte) []byte {
	in := q.in
	for len(in) > 0 {
		if i := bytes.IndexAny(in, "= \t"); i != 0 {
			if i < 0 {
				i = len(in)
			}
			out, in = append(out, in[:i]...), in[i:]
			continue
		}
		take, put, wait := q.special(in)
		if wait && !q.done && len(in) < len(q.raw) {
			break
		}
		out, in = append(out, put...), in[take:]
	}
	q.in = append(q.in[:0], in...)
	return out
}

// special decodes what begins with "=" or a blank: how much of in it takes, what that
// stands for, and whether more bytes could change the answer.
func (q *quotedReader) special(in []byte) (take int, put []byte, wait bool) {
	if in[0] != '=' {
		n := blanks(in)
		if n == len(in) {
			if q.done {
				return n, nil, false // the end of the part is the end of a line
			}
			return n, in[:n], true
		}
		if in[n] == '\n' || bytes.HasPrefix(in[n:], []byte("\r\n")) {
			return n, nil, false
		}
		return n, in[:n], in[n] == '\r' && n+1 == len(in)
	}
	if len(in) >= 3 {
		if hi, lo := hexDigit(in[1]), hexDigit(in[2]); hi >= 0 && lo >= 0 {
			return 3, []byte{byte(hi<<4 | lo)}, false
		}
	}
	n := 1 + blanks(in[1:])
	switch {
	case n == len(in):
		return n, nil, true // a soft break that the end of the part cut short
	case in[n] == '\n':
		return n + 1, nil, false
	case bytes.HasPrefix(in[n:], []byte("\r\n")):
		return n + 2, nil, false
	}
	return 1, in[:1], len(in) < 3 || in[n] == '\r' && n+1 == len(in)
}

func blanks(b []byte) int { return len(b) - len(bytes.TrimLeft(b, " \t")) }

// hexDigit is the value of a hexadecimal digit of either case, or -1.
func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}
