// Package typeset turns a letter into the bytes of a message (RFC 5322, 2045 to 2049, 2231,
// 6532), so that nothing anybody put into a name, subject or address ends a line or a
// field. The same letter gives the same bytes each time, unless it is encrypted.
package typeset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"vaguemestre/channels/mailout/smime"
	"vaguemestre/core"
)

// Sender is who letters come from.
type Sender struct {
	Name    string // as readers see it
	Address string
}

// Message is a letter ready to be written.
type Message struct {
	From, To Address // of the header
	ID       string  // Message-ID, with its brackets: the same for the same letter
	fields   string  // ends where the content's own fields begin
	content  part
}

// Codes of letters that can never be sent.
const (
	CodeRecipient   = "bad_recipient"
	CodeCertificate = "bad_certificate"
)

// New sets a letter. A *core.Refusal says that it can never be sent as it is.
func New(l core.Letter, s Sender, now time.Time) (*Message, error) {
	from, ok := ParseAddress(s.Address)
	if !ok {
		return nil, fmt.Errorf("sender's address: %w", core.ErrInvalid)
	}
	to, ok := ParseAddress(l.To)
	if !ok {
		return nil, &core.Refusal{Code: CodeRecipient, Reason: "L’adresse du destinataire n’est pas une adresse électronique à laquelle on puisse écrire."}
	}
	m := &Message{From: from, To: to, ID: "<" + plainID(l.ID) + "@" + from.Domain + ">", content: content(l)}
	if l.Certificate != nil {
		recipient, err := smime.NewRecipient(l.Certificate, now)
		if err != nil {
			return nil, &core.Refusal{Code: CodeCertificate, Reason: "Le certificat du destinataire ne permet pas de chiffrer pour lui : il est échu, illisible ou prévu pour un autre usage."}
		}
		m.content = sealed{m.content, recipient}
	}
	m.fields = fields(m, l, s)
	return m, nil
}

// plainID: letter ids are UUIDs; whatever else came would not break a header either.
func plainID(id core.LetterID) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-' {
			return r
		}
		return -1
	}, string(id))
}

// Answers from machines that a letter asks not to get. An automatic one wants nothing at
// all; of others, reports on delivery are wanted.
const (
	suppressAll     = "All"
	suppressAnswers = "RN, NRN, OOF, AutoReply"
)

func fields(m *Message, l core.Letter, s Sender) string {
	var b strings.Builder
	field(&b, "From", mailbox(s.Name, m.From, len("From: ")))
	field(&b, "To", mailbox(l.ToName, m.To, len("To: ")))
	if reply, ok := ParseAddress(l.ReplyTo); ok && !reply.UTF8() { // it would keep the letter from relays that do not know SMTPUTF8
		field(&b, "Reply-To", reply.String())
	}
	field(&b, "Subject", unstructured(shorten(plain(l.Subject), 300), len("Subject: ")))
	field(&b, "Date", l.Date.Format(time.RFC1123Z))
	field(&b, "Message-ID", m.ID)
	answered := messageID(l.InReplyTo)
	if answered != "" {
		field(&b, "In-Reply-To", answered)
		field(&b, "References", answered)
	}
	field(&b, "Auto-Submitted", submitted(l.Automatic && answered != ""))
	suppress := suppressAnswers
	if l.Automatic {
		suppress = suppressAll
		field(&b, "Precedence", "bulk") // what responders older than RFC 3834 heed
	}
	field(&b, "X-Auto-Response-Suppress", suppress)
	if l.Language == "fr" || l.Language == "en" {
		field(&b, "Content-Language", l.Language)
	}
	field(&b, "MIME-Version", "1.0")
	return b.String()
}

func submitted(reply bool) string {
	if reply {
		return "auto-replied"
	}
	return "auto-generated"
}

// content is the letter's text, in one form or two, and its files.
func content(l core.Letter) part {
	var body part = newText("text/plain", l.Text)
	if l.HTML != "" {
		body = multi{"alternative", boundary(l.ID, "alternative"), []part{body, newText("text/html", l.HTML)}}
	}
	if len(l.Files) == 0 {
		return body
	}
	all := []part{body}
	for _, f := range l.Files {
		all = append(all, newFile(f))
	}
	return multi{"mixed", boundary(l.ID, "mixed"), all}
}

// boundary is the letter's own, and occurs in no part: neither quoted-printable nor
// base64 has a "=_".
func boundary(id core.LetterID, of string) string {
	h := sha256.Sum256([]byte(of + "\x00" + string(id)))
	return "=_" + hex.EncodeToString(h[:15])
}

// UTF8 reports whether the message may go to servers alone that know SMTPUTF8 (RFC 6531).
func (m *Message) UTF8() bool {
	return m.To.UTF8() || m.From.UTF8() || !ascii(strings.ReplaceAll(m.fields, "\r\n", ""))
}

// Size is the message's length in bytes; no file is opened for it.
func (m *Message) Size() int64 { return int64(len(m.fields)) + m.content.size() }

// Write writes the message, opening its files one after another. An error may be one of
// theirs, or of w.
func (m *Message) Write(ctx context.Context, w io.Writer) error {
	if _, err := io.WriteString(w, m.fields); err != nil {
		return err
	}
	return m.content.write(ctx, w)
}
