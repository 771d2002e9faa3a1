package mailauth

import (
	"context"
	"crypto/sha256"
	"hash"
	"io"
)

// maxBlank is how many empty lines in a row are hashed. The DKIM library's time grows
// with the square of their number, and its memory with it.
const maxBlank = 2048

// body reads what follows the header, for the DKIM library. It never fails: the library
// would leave goroutines behind; what ended it is in err.
//
// Empty lines past maxBlank are kept back. At the end of a body they count for nothing
// (RFC 6376 §3.4.3, §3.4.4); anywhere else, no signature is believed any more: cut.
type body struct {
	ctx    context.Context // of the one Authenticate call this reader lives in
	r      io.Reader
	err    error
	breaks int  // bytes of line breaks since the last that shows
	held   bool // some of them were kept back
	cut    bool // and something came after
}

func (b *body) Read(p []byte) (int, error) {
	for b.err == nil {
		var n int
		if b.err = b.ctx.Err(); b.err != nil {
			break
		}
		n, b.err = b.r.Read(p)
		if n = b.calm(p[:n]); n > 0 {
			return n, nil
		}
	}
	return 0, io.EOF
}

// calm takes out of p what is kept back, and returns how much is left.
func (b *body) calm(p []byte) int {
	n := 0
	for _, c := range p {
		switch c {
		case '\r', '\n':
			b.breaks++
		case ' ', '\t':
			b.cut = b.cut || b.held
		default:
			b.cut = b.cut || b.held
			b.breaks, b.held = 0, false
		}
		// Break at the end of a line, if the body has any.
		if b.held = b.held || b.breaks > 4*maxBlank || b.breaks > 2*maxBlank && c == '\r'; b.held {
			continue
		}
		p[n] = c
		n++
	}
	return n
}

// failed is the error that ended the body, if it did not just end.
func (b *body) failed() error {
	if b.err == io.EOF {
		return nil
	}
	return b.err
}

// bodyHash hashes a body in a canonical form of RFC 6376 §3.4, in constant memory. A
// bare LF counts as a line break, as it does for the DKIM library.
type bodyHash struct {
	hash.Hash
	relaxed bool
	out     []byte
	breaks  int  // line breaks not yet known to be followed by anything
	blank   bool // relaxed: blanks not yet known to be followed by anything
	cr      bool // the last byte was a CR
	any     bool // something was written
}

func newBodyHash(relaxed bool) *bodyHash {
	return &bodyHash{Hash: sha256.New(), relaxed: relaxed, out: make([]byte, 0, 4<<10)}
}

func (b *bodyHash) Write(p []byte) (int, error) {
	for _, c := range p {
		cr := b.cr
		b.cr = false
		switch {
		case c == '\n':
			b.breaks++
			b.blank = false
		case c == '\r':
			if cr {
				b.show('\r')
			}
			b.cr = true
		case cr:
			b.show('\r')
			fallthrough
		default:
			if b.relaxed && (c == ' ' || c == '\t') {
				b.blank = true
				continue
			}
			b.show(c)
		}
	}
	return len(p), nil
}

// show writes a byte that is no line break, and what had waited for one.
func (b *bodyHash) show(c byte) {
	for ; b.breaks > 0; b.breaks-- {
		b.put('\r', '\n')
	}
	if b.blank {
		b.put(' ')
		b.blank = false
	}
	b.put(c)
	b.any = true
}

func (b *bodyHash) put(c ...byte) {
	if b.out = append(b.out, c...); len(b.out) > cap(b.out)-2 {
		b.Hash.Write(b.out)
		b.out = b.out[:0]
	}
}

// digest ends the body: with one line break, unless it is relaxed and empty.
func (b *bodyHash) digest() []byte {
	if b.cr {
		b.show('\r')
	}
	if b.any || !b.relaxed {
		b.put('\r', '\n')
	}
	b.Hash.Write(b.out)
	return b.Hash.Sum(nil)
}
