package mailauth

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// What a header may hold. Those that people send stay far below; the libraries' work
// grows with the square of some of it.
const (
	maxHeader = 256 << 10 // bytes
	maxFields = 1000
	maxFolds  = 1000 // lines of one field
)

// field is one header field as it was sent.
type field struct {
	name  string // before the colon
	value string // after it, folds and line break included
}

func (f field) raw() string { return f.name + ":" + f.value }

// is reports whether the field has that name, in the eyes of the DKIM library too.
func (f field) is(name string) bool { return strings.EqualFold(strings.TrimSpace(f.name), name) }

// unfolded is the value on one line (RFC 5322 §2.2.3).
func (f field) unfolded() string {
	return strings.TrimSpace(strings.NewReplacer("\r\n", "", "\n", "").Replace(f.value))
}

// header is the header of a message.
type header struct {
	fields []field
	reason string // why it cannot be judged: ReasonHeaderTooLarge, ReasonMalformedHeader
}

// readHeader reads up to the empty line, or to the end of a message without one.
func readHeader(r *bufio.Reader) (header, error) {
	var raw []byte
	for within := false; ; {
		piece, err := r.ReadSlice('\n')
		raw = append(raw, piece...)
		full := errors.Is(err, bufio.ErrBufferFull)
		switch {
		case len(raw) > maxHeader:
			return header{reason: ReasonHeaderTooLarge}, nil
		case errors.Is(err, io.EOF):
			return split(append(raw, "\r\n"...)), nil
		case err != nil && !full:
			return header{}, err
		case !within && len(bytes.TrimRight(piece, "\r\n")) == 0:
			return split(raw), nil
		}
		within = full
	}
}

// text is the header as it was read: what is no field is left out, so that no other
// reader finds one in it.
func (h header) text() string {
	var text strings.Builder
	for _, f := range h.fields {
		text.WriteString(f.raw())
	}
	return text.String() + "\r\n"
}

// split cuts the header into its fields. NUL and CR alone are read as ends of a line by
// some programs and not by others: such a header says nothing for certain.
func split(raw []byte) header {
	var h header
	if bytes.IndexByte(raw, 0) >= 0 || bytes.Count(raw, []byte("\r")) != bytes.Count(raw, []byte("\r\n")) {
		return header{reason: ReasonMalformedHeader}
	}
	lines := 0
	var current []byte
	end := func() {
		if name, value, ok := strings.Cut(string(current), ":"); ok {
			h.fields = append(h.fields, field{name, value})
		}
	}
	for line := range bytes.Lines(raw) {
		if lines > 0 && (line[0] == ' ' || line[0] == '\t') {
			lines++
			current = append(current, line...)
		} else {
			end()
			lines, current = 1, append(current[:0], line...)
		}
		if lines > maxFolds || len(h.fields) > maxFields {
			return header{reason: ReasonHeaderTooLarge}
		}
	}
	end()
	return h
}

// all gives the fields of a name, from the top.
func (h header) all(name string) []field {
	var out []field
	for _, f := range h.fields {
		if f.is(name) {
			out = append(out, f)
		}
	}
	return out
}

// first is the value of the first field of a name, on one line; "" when there is none.
func (h header) first(name string) string {
	for _, f := range h.fields {
		if f.is(name) {
			return f.unfolded()
		}
	}
	return ""
}
