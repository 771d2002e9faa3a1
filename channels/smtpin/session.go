package smtpin

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

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
	helo string
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
	if s.wire.requireTLS && !s.wire.secure {
		return reply(530, smtp.EnhancedCode{5, 7, 0}, "Must issue a STARTTLS command first")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.step != idle {
		return reply(503, smtp.EnhancedCode{5, 5, 1}, "Sender already given: RSET for another message")
	}
	if s.wire.tally.messages >= s.r.cfg.MaxMessages && !s.wire.exempt {
		s.wire.dead.Store(true)
		return reply(421, smtp.EnhancedCode{4, 7, 0}, "Enough messages for one session, please connect again")
	}
	if !s.r.crowd.message(s.wire.client) {
		return reply(452, smtp.EnhancedCode{4, 7, 1}, "Too many messages from your network, please send this one in a minute")
	}
	s.wire.tally.messages++
	s.wire.reset() // chunks of nothing may have started its clock
	s.from, s.helo, s.utf8, s.step = from, s.conn.Hostname(), opts.UTF8, named
	s.wire.busy.Store(true)
	return nil
}

// Rcpt finds whose address it is. A deposit has one owner: another vault's address has
// to come in a transaction of its own, which 452 makes the sender do; so has a letter's
// return path. Another address of the same vault adds nothing.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.r.crowd.guessing(s.wire.client) {
		return reply(452, smtp.EnhancedCode{4, 7, 1}, "Too many unknown addresses from your network, please try again in a minute")
	}
	address, err := s.r.intake.Locate(s.r.work, to)
	if errors.Is(err, core.ErrNotFound) {
		return s.unknown(to)
	}
	if err != nil {
		s.r.log.Error("address not looked up", "error", err)
		return errLater
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.step == addressed && (address.Tenant != s.to.Tenant || address.Vault != s.to.Vault || address.Letter != s.to.Letter) {
		return reply(452, smtp.EnhancedCode{4, 5, 3}, "One recipient at a time, please send this one separately")
	}
	if s.step == named {
		if !s.r.crowd.address(address, s.wire.client) {
			return reply(452, smtp.EnhancedCode{4, 2, 1}, "Too many messages to this address, please send this one in a minute")
		}
		s.to, s.step = address, addressed
		s.wire.addressed.Store(true)
	}
	return nil
}

// unknown answers for an address that is not one of ours, or not any more: the two
// cannot be told apart. Who tries many waits longer each time and is sent away.
func (s *session) unknown(to string) error {
	if local, _, _ := strings.Cut(to, "@"); strings.EqualFold(local, "postmaster") || strings.EqualFold(local, "abuse") {
		return s.elsewhere()
	}
	s.r.crowd.unknown(s.wire.client)
	n := s.wire.tally.unknown
	s.wire.tally.unknown++
	if n >= s.r.cfg.MaxUnknown {
		s.wire.dead.Store(true)
		return reply(421, smtp.EnhancedCode{4, 7, 0}, "Too many unknown addresses, closing")
	}
	wait := time.NewTimer(time.Duration(n) * s.r.cfg.UnknownDelay)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-s.r.work.Done():
	}
	return reply(550, smtp.EnhancedCode{5, 1, 1}, s.bilingual(noSuchAddress))
}

// elsewhere answers for the addresses that every mail server is asked for (RFC 5321
// §4.5.1, RFC 2142): nobody reads mail here, all of it is filed.
func (s *session) elsewhere() error {
	if s.r.cfg.Contact == "" {
		return reply(550, smtp.EnhancedCode{5, 1, 1}, s.bilingual("Nobody reads mail here. Personne ne lit cette boîte : écrivez à la mairie, à l’adresse qu’indique son site."))
	}
	return reply(551, smtp.EnhancedCode{5, 1, 6}, s.bilingual("Nobody reads mail here. Personne ne lit cette boîte : écrivez à "+s.r.cfg.Contact))
}

// bilingual is for those who find it in a non-delivery notice.
func (s *session) bilingual(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.utf8 {
		return text
	}
	return inASCII(text)
}

// Data takes the message in. What it returns is the reply, of success too.
func (s *session) Data(r io.Reader) error {
	d, utf8, ok := s.deposit()
	if !ok {
		return errLater // reset in the meantime
	}
	if _, chunked := r.(*io.PipeReader); chunked {
		b := &chunkBody{r: r, lines: lines{max: s.r.cfg.MaxLine}}
		answer := s.take(d, b, utf8)
		if b.broken() {
			s.wire.dead.Store(true)
		}
		return answer
	}
	b := newDataBody(s.wire)
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
	host := ""
	if s.wire.client.IsValid() {
		host = s.wire.client.String()
	}
	return core.Deposit{
		Tenant:   s.to.Tenant,
		Channel:  core.ChannelSMTP,
		Sender:   core.Sender{MailFrom: s.from, Helo: s.helo, Remote: host, TLS: s.wire.secure},
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
	answer := s.r.outcome(receipt, err, b.failed(), utf8)
	switch {
	case answer == errLater:
		s.r.log.Error("message not taken in", "error", err)
	case answer.Code == 250:
		s.wire.taken.Store(true)
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
		d.err = nil
		if d.total -= s.r.cfg.MaxBytes; d.total > s.r.cfg.MaxBytes {
			return false
		}
	}
	_, err := io.Copy(io.Discard, d)
	return err == nil
}

// Reset ends the transaction.
func (s *session) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.from, s.helo, s.utf8, s.to, s.step = "", "", false, core.Address{}, idle
	s.wire.reset()
}

// Logout ends the session; the wire closes by itself.
func (s *session) Logout() error { return nil }
