package smtpin

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	smtp "github.com/emersion/go-smtp"

	"vaguemestre/channels/mail"
	"vaguemestre/core"
)

// session is one conversation, one transaction after another. What is learnt about the
// sender by other means than the conversation (signatures, reputation) will join it here.
type session struct {
	r    *reception
	conn *smtp.Conn
	wire *wire

	mu   sync.Mutex // a message by BDAT is read beside the commands
	from string
	utf8 bool // the sender reads UTF-8 replies (RFC 6531 §3.7.4)
	to   core.Address
	step step
}

// step is how far the transaction has come.
type step int

const (
	idle step = iota
	named
	addressed
)

func (r *reception) newSession(c *smtp.Conn) (smtp.Session, error) {
	return &session{r: r, conn: c, wire: c.Conn().(*wire)}, nil
}

// Mail begins a transaction. Its declared size was compared by the server.
func (s *session) Mail(from string, opts *smtp.MailOptions) error {
	if s.r.requireTLS && !s.wire.secure {
		return reply(530, smtp.EnhancedCode{5, 7, 0}, "Must issue a STARTTLS command first")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.step != idle {
		return reply(503, smtp.EnhancedCode{5, 5, 1}, "Sender already given")
	}
	s.from, s.utf8, s.step = from, opts.UTF8, named
	s.wire.busy.Store(true)
	return nil
}

// Rcpt finds whose address it is. A deposit has one owner: another vault's address has
// to come in a transaction of its own, which 452 makes the sender do. Another address
// of the same vault adds nothing.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	address, err := s.r.intake.Locate(s.r.work, to)
	if errors.Is(err, core.ErrNotFound) {
		return reply(550, smtp.EnhancedCode{5, 1, 1}, "No such address")
	}
	if err != nil {
		s.r.log.Error("address not looked up", "error", err)
		return errLater
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.step == addressed && (address.Tenant != s.to.Tenant || address.Vault != s.to.Vault) {
		return reply(452, smtp.EnhancedCode{4, 5, 3}, "One recipient at a time, please send this one separately")
	}
	if s.step == named {
		s.to, s.step = address, addressed
	}
	return nil
}

// Data takes the message in. What it returns is the reply, of success too.
func (s *session) Data(r io.Reader) error {
	d, utf8, ok := s.deposit()
	if !ok {
		return errLater // reset in the meantime
	}
	if _, chunked := r.(*io.PipeReader); chunked {
		b := &chunkBody{r: r, max: s.r.cfg.MaxLine}
		answer := s.take(d, b, utf8)
		if b.broken() {
			s.wire.dead.Store(true)
		}
		return answer
	}
	s.wire.begin()
	b := &dataBody{w: s.wire}
	answer := s.take(d, b, utf8)
	if s.passOver(b) {
		s.wire.give = []byte(".\r\n") // go-smtp looks for the end too
	} else {
		s.wire.dead.Store(true)
	}
	return answer
}

// deposit is the transaction so far.
func (s *session) deposit() (d core.Deposit, utf8, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	host, _, err := net.SplitHostPort(s.wire.RemoteAddr().String())
	if err != nil {
		host = s.wire.RemoteAddr().String()
	}
	return core.Deposit{
		Tenant:   s.to.Tenant,
		Channel:  core.ChannelSMTP,
		Sender:   core.Sender{MailFrom: s.from, Helo: s.conn.Hostname(), Remote: host, TLS: s.wire.secure},
		Address:  s.to,
		Journey:  core.JourneyHome,
		Received: s.r.cfg.Now(),
	}, s.utf8, s.step == addressed
}

// take hands the message to intake as it comes in, and says what to reply.
func (s *session) take(d core.Deposit, b body, utf8 bool) *smtp.SMTPError {
	key, whole, err := mail.Peek(b, s.r.cfg.MaxHeader)
	var receipt core.Receipt
	if err == nil {
		d.Key = key
		receipt, err = s.r.intake.Accept(s.r.work, d, core.Body{Type: "message/rfc822", R: whole})
	}
	if err == nil && b.failed() == nil {
		if n, _ := io.Copy(io.Discard, b); n > 0 {
			err = fmt.Errorf("accepted %s with %d bytes unread", receipt.Deposit, n)
		}
	}
	answer := outcome(receipt, err, b.failed(), utf8)
	switch {
	case answer == errLater:
		s.r.log.Error("message not taken in", "error", err)
	case answer.Code == 250:
		s.r.log.Info("message taken in", "deposit", receipt.Deposit, "repeat", receipt.Repeat)
	default:
		s.r.log.Info("message refused", "reply", answer.Code, "status", fmt.Sprint(answer.EnhancedCode))
	}
	return answer
}

// passOver reads what is left of a message that was answered before its end, so that
// the sender comes to read the answer. It reports false when the end did not come
// within as many bytes as a message may have, or not as it should.
func (s *session) passOver(d *dataBody) bool {
	if errors.Is(d.err, errTooLarge) {
		d.err, d.total = nil, 0
	}
	_, err := io.Copy(io.Discard, d)
	return err == nil
}

// Reset ends the transaction.
func (s *session) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.from, s.utf8, s.to, s.step = "", false, core.Address{}, idle
	s.wire.reset()
}

// Logout ends the session; the wire closes by itself.
func (s *session) Logout() error { return nil }

// What a sender is told that may try again.
var (
	errLater    = reply(451, smtp.EnhancedCode{4, 3, 0}, "Not taken in, please try again later")
	errCutShort = reply(451, smtp.EnhancedCode{4, 4, 2}, "Message did not come in whole")
)

func reply(code int, status smtp.EnhancedCode, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: status, Message: text}
}

// outcome translates what became of a message into a reply, once for all of the
// channel: a fault of the sender's bytes, a refusal, an accident, or success.
func outcome(receipt core.Receipt, err, fault error, utf8 bool) *smtp.SMTPError {
	var refusal *core.Refusal
	switch {
	case errors.Is(fault, errBareLine):
		return reply(550, smtp.EnhancedCode{5, 5, 2}, "Bare CR or LF, closing")
	case errors.Is(fault, errLongLine):
		return reply(554, smtp.EnhancedCode{5, 6, 0}, "Line too long")
	case errors.Is(fault, errTooLarge):
		return reply(552, smtp.EnhancedCode{5, 3, 4}, "Message too large")
	case fault != nil:
		return errCutShort
	case errors.As(err, &refusal):
		return refused(refusal, utf8)
	case err != nil:
		return errLater
	}
	return reply(250, smtp.EnhancedCode{2, 0, 0}, "Taken in: "+string(receipt.Deposit))
}

// refused puts a refusal into a reply: its code for machines, its sentence for the
// person who may find it in a non-delivery notice.
func refused(r *core.Refusal, utf8 bool) *smtp.SMTPError {
	sentence := r.Reason
	if !utf8 {
		sentence = inASCII(sentence)
	}
	const room = 400 // a reply line has 512 bytes (RFC 5321 §4.5.3.1.5)
	if len(sentence) > room {
		sentence = strings.ToValidUTF8(sentence[:room], "")
	}
	text := strings.Join(strings.Fields("Refused ("+r.Code+"): "+sentence), " ")
	switch r.Code {
	case "too_large":
		return reply(552, smtp.EnhancedCode{5, 3, 4}, text)
	case "header_too_large", "too_many_parts", "too_deep", "unsupported_kind":
		return reply(554, smtp.EnhancedCode{5, 6, 0}, text)
	}
	return reply(550, smtp.EnhancedCode{5, 7, 1}, text)
}

// inASCII writes a French sentence as a reply without SMTPUTF8 may have it.
func inASCII(s string) string {
	s = plainLetters.Replace(s)
	return strings.Map(func(r rune) rune {
		if r > '~' {
			return '?'
		}
		return r
	}, s)
}

var plainLetters = strings.NewReplacer(
	"à", "a", "â", "a", "ä", "a", "ç", "c", "é", "e", "è", "e", "ê", "e", "ë", "e", "î", "i", "ï", "i",
	"ô", "o", "ö", "o", "ù", "u", "û", "u", "ü", "u", "œ", "oe", "æ", "ae",
	"À", "A", "Â", "A", "Ç", "C", "É", "E", "È", "E", "Ê", "E", "Î", "I", "Ô", "O", "Ù", "U", "Œ", "OE",
	"’", "'", "«", `"`, "»", `"`, "…", "...", "–", "-", "—", "-", "\u00a0", " ", "\u202f", " ",
)
