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
	var read []byte
	buf := make([]byte, 4<<10)
	for {
		n, err := r.Read(buf)
		from := max(0, len(read)-3)
		read = append(read, buf[:n]...)
		end := headerEnd(read, from)
		switch {
		case end > limit, end < 0 && len(read) > limit:
			return "", nil, &core.Refusal{
				Code:   "header_too_large",
				Reason: "L’en-tête de ce message est trop long pour être lu. Envoyez vos documents dans un nouveau message.",
			}
		case end >= 0:
			return messageID(read[:end]), io.MultiReader(bytes.NewReader(read), r), nil
		case errors.Is(err, io.EOF):
			return messageID(read), bytes.NewReader(read), nil
		case err != nil:
			return "", nil, fmt.Errorf("read header: %w", err)
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

func messageID(header []byte) string {
	var field []byte
	for line := range bytes.Lines(header) {
		folded := line[0] == ' ' || line[0] == '\t'
		if field != nil {
			if !folded {
				break
			}
			field = append(field, line...)
			continue
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if ok && !folded && strings.EqualFold(string(bytes.TrimRight(name, " \t")), "message-id") {
			field = append([]byte{}, value...)
		}
	}
	_, after, _ := strings.Cut(string(field), "<")
	id, _, closed := strings.Cut(after, ">")
	if id = strings.TrimSpace(id); !closed || len(id) > maxMessageID || strings.ContainsFunc(id, notIDRune) {
		return ""
	}
	return id
}

// notIDRune reports whether r has no place in a Message-ID: blanks and controls have
// not, the characters of RFC 6532 have.
func notIDRune(r rune) bool { return r <= ' ' || r == 0x7f || r == '\uFFFD' }
