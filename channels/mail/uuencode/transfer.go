package uuencode

import "io"

// NewReader undoes the transfer encoding x-uuencode of the body in r: it gives the
// first file in it, whatever stands around, also when the line that should begin it is
// missing. A body that holds no such file within its first lines comes as it is.
// It is not safe for concurrent use; it holds a few lines, whatever the size.
func NewReader(r io.Reader) io.Reader { return &transfer{l: newLines(r)} }

// maxPreamble is how much of a body may stand before the file in it, in bytes.
const maxPreamble = 16 << 10

type transfer struct {
	l      *lines
	file   *body  // once it was found
	before []byte // what stood before it and, without a file, is the body
	looked bool
}

func (t *transfer) Read(p []byte) (int, error) {
	if !t.looked {
		t.look()
	}
	if t.file != nil {
		return t.file.Read(p)
	}
	if len(p) == 0 {
		return 0, nil
	}
	for len(t.before) == 0 {
		if !t.l.has(0) {
			if err := t.l.failed(); err != nil {
				return 0, err
			}
			return 0, io.EOF
		}
		t.before = append(t.before[:0], t.l.line(0).raw...)
		t.l.take(1)
	}
	n := copy(p, t.before)
	t.before = t.before[n:]
	return n, nil
}

// look finds the file.
func (t *transfer) look() {
	t.looked = true
	for len(t.before) < maxPreamble && t.l.has(0) {
		if t.file = opening(t.l); t.file != nil {
			return
		}
		if first := t.l.line(0); first.whole && lineLength(first.text()) == fullLine && isExact(first.text()) {
			t.file = &body{code: &uu{}, l: t.l}
			return
		}
		t.before = append(t.before, t.l.line(0).raw...)
		t.l.take(1)
	}
}
