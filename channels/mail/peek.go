package mail

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"vaguemestre/core"
)

// maxMessageID is the longest Message-ID kept, in bytes; a longer one counts as none.
const maxMessageID = 512

// Peek reads the header of the message in r and no more than limit bytes of it. It
// returns what the first Message-ID field holds between its brackets (RFC 5322
// §3.6.4), "" when there is none worth the name, and a reader of the whole message,
// byte for byte. A longer header is a *core.Refusal "header_too_large"; any other
// error is one of r.
func Peek(r io.Reader, limit int) (id string, whole io.Reader, err error) {
	head, whole, err := PeekHead(r, limit)
	return head.MessageID(), whole, err
}

// Head is the header of a message as it was sent, its empty line included.
type Head []byte

// PeekHead is Peek for whoever needs more of the header.
func PeekHead(r io.Reader, limit int) (head Head, whole io.Reader, err error) {
	var read []byte
	buf := make([]byte, 4<<10)
	for {
		n, err := r.Read(buf)
		from := max(0, len(read)-3)
		read = append(read, buf[:n]...)
		end := headerEnd(read, from)
		switch {
		case end > limit, end < 0 && len(read) > limit:
			return nil, nil, &core.Refusal{
				Code:   "header_too_large",
				Reason: "L’en-tête de ce message est trop long pour être lu. Envoyez vos documents dans un nouveau message.",
			}
		case end >= 0:
			return Head(read[:end:end]), io.MultiReader(bytes.NewReader(read), r), nil
		case errors.Is(err, io.EOF):
			return Head(read[:len(read):len(read)]), bytes.NewReader(read), nil
		case err != nil:
			return nil, nil, fmt.Errorf("read header: %w", err)
		}
	}
}

// headerEnd is the length of the header that b begins with, its empty line included,
// or -1 when there is no empty line at from or later.
func headerEnd(b []byte, from int) int {
	if bytes.HasPrefix(b, []byte("\r\n")) {
		return 2
	}
	for i := from; i < len(b); i++ {
		if b[i] != '\n' {
			continue
		}
		if after := b[i+1:]; bytes.HasPrefix(after, []byte("\r\n")) {
			return i + 3
		} else if bytes.HasPrefix(after, []byte("\n")) {
			return i + 2
		}
	}
	return -1
}

// Field is the value of the first field of that name, as it was sent, folds included;
// ok is false when there is none.
func (h Head) Field(name string) (value string, ok bool) {
	h.fields(name, func(v []byte) bool {
		value, ok = string(v), true
		return false
	})
	return value, ok
}

// Fields are the values of all fields of that name, from the top.
func (h Head) Fields(name string) (values []string) {
	h.fields(name, func(v []byte) bool {
		values = append(values, string(v))
		return true
	})
	return values
}

// fields hands the value of each field of that name to each, until that returns false.
func (h Head) fields(name string, each func(value []byte) bool) {
	var field []byte
	for line := range bytes.Lines(h) {
		folded := line[0] == ' ' || line[0] == '\t'
		if field != nil && folded {
			field = append(field, line...)
			continue
		}
		if field != nil && !each(field) {
			return
		}
		field = nil
		key, value, ok := bytes.Cut(line, []byte(":"))
		if ok && !folded && strings.EqualFold(string(bytes.TrimRight(key, " \t")), name) {
			field = append([]byte{}, value...)
		}
	}
	if field != nil {
		each(field)
	}
}

// MessageID is what the first Message-ID field holds between its brackets; "" when there
// is none worth the name.
func (h Head) MessageID() string {
	field, _ := h.Field("message-id")
	_, after, _ := strings.Cut(field, "<")
	id, _, closed := strings.Cut(after, ">")
	if id = strings.TrimSpace(id); !closed || len(id) > maxMessageID || strings.ContainsFunc(id, notIDRune) {
		return ""
	}
	return id
}

// notIDRune reports whether r has no place in a Message-ID: blanks and controls have
// not, the characters of RFC 6532 have.
func notIDRune(r rune) bool { return r <= ' ' || r == 0x7f || r == '\uFFFD' }
