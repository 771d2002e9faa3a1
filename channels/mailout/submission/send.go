package submission

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Envelope is what a relay is told of a message. Its texts are in a form that no line
// could be ended by.
type Envelope struct {
	From   string // return path; "" for none
	To     string
	ID     string // told in reports on delivery
	UTF8   bool   // only for relays that know SMTPUTF8
	Notify string // what reports are wanted on: "FAILURE,DELAY"; "" leaves it to the relay
}

// Send hands over a message, given in pieces, whose lines end in CRLF. nil means that the
// relay has it. Otherwise a *Fault, or ctx's error; after a Broken fault or ctx's error,
// the session is to be dropped, and it is open for another message in any other case.
func (c *Conn) Send(ctx context.Context, e Envelope, message ...[]byte) error {
	stop := c.endWith(ctx)
	defer stop()
	size := int64(0)
	for _, m := range message {
		size += int64(len(m))
	}
	switch {
	case e.UTF8 && !c.offered("SMTPUTF8"):
		return &Fault{Final: true, Code: CodeNoUTF8, Status: "5.6.7"}
	case c.maxSize > 0 && size > c.maxSize:
		return &Fault{Final: true, Code: CodeTooLarge, Status: "5.3.4"}
	}
	err := c.announce(e, size)
	if err == nil {
		err = c.transfer(message)
	}
	if ctx.Err() != nil && err != nil {
		return ctx.Err()
	}
	return err
}

func (c *Conn) announce(e Envelope, size int64) error {
	lines := []string{c.mail(e, size), c.rcpt(e), "DATA"}
	if !c.offered("PIPELINING") {
		for i, line := range lines {
			r, err := c.command(line)
			if err != nil {
				return begun(i, err)
			}
			if f := judge(i, r); f != nil {
				return c.reset(f)
			}
		}
		return nil
	}
	if err := c.say(lines...); err != nil {
		return err
	}
	var first *Fault
	var last reply
	for i := range lines {
		r, err := c.answer(c.cfg.Command)
		if err != nil {
			if first != nil { // it hung up behind its answer
				first.Broken = true
				return first
			}
			return begun(i, err)
		}
		if f := judge(i, r); f != nil && first == nil {
			first = f
		}
		last = r
	}
	if first == nil {
		return nil
	}
	if last.code == 354 { // it waits for a message to nobody: an empty one
		if _, err := c.command("."); err != nil {
			first.Broken = true
		}
	}
	return c.reset(first)
}

func (c *Conn) mail(e Envelope, size int64) string {
	var b strings.Builder
	b.WriteString("MAIL FROM:<" + e.From + ">")
	if c.offered("SIZE") {
		b.WriteString(" SIZE=" + strconv.FormatInt(size, 10))
	}
	if e.UTF8 {
		b.WriteString(" SMTPUTF8")
		if c.offered("8BITMIME") {
			b.WriteString(" BODY=8BITMIME")
		}
	}
	if c.offered("DSN") {
		b.WriteString(" RET=HDRS ENVID=" + xtext(e.ID))
	}
	return b.String()
}

func (c *Conn) rcpt(e Envelope) string {
	line := "RCPT TO:<" + e.To + ">"
	if !c.offered("DSN") || e.Notify == "" {
		return line
	}
	line += " NOTIFY=" + e.Notify
	if !e.UTF8 {
		line += " ORCPT=rfc822;" + xtext(e.To)
	}
	return line
}

// xtext is RFC 3461 §4.
func xtext(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c > ' ' && c <= '~' && c != '+' && c != '=' {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "+%02X", s[i])
	}
	return b.String()
}

// What the lines of announce are.
const (
	stageMail = iota
	stageRcpt
	stageData
	stageEnd
)

// begun notes of an error that the session had taken the sender.
func begun(stage int, err error) error {
	var f *Fault
	if stage > stageMail && errors.As(err, &f) {
		f.Begun = f.Relay
	}
	return err
}

// judge says what a reply to a stage means; nil when it is the one that leads on.
func judge(stage int, r reply) *Fault {
	f := &Fault{Code: strconv.Itoa(r.code), Status: r.status}
	defer func() { f.Begun = f.Relay && stage > stageMail }()
	switch {
	case stage == stageData && r.code == 354, stage != stageData && r.class() == 2:
		return nil
	case r.code == 421:
		f.Relay, f.Broken, f.Code = true, true, CodeBusy
	case r.code == 530, r.code == 538: // it wants a name and password, or other ones
		f.Relay, f.Code = true, CodeAuth
	case stage == stageMail && r.class() == 4:
		f.Relay, f.Code = true, CodeBusy
	case r.class() == 4:
	case r.class() != 5, r.code == 503 && stage != stageMail: // out of step: it did not hear what we said
		f.Relay, f.Broken, f.Code = true, true, CodeProtocol
	case stage == stageMail && (r.code == 552 || r.status == "5.3.4" || r.status == "5.2.3"):
		f.Final, f.Code, f.Status = true, CodeTooLarge, "5.3.4"
	case stage == stageMail && r.status == "5.6.7":
		f.Final, f.Code = true, CodeNoUTF8
	case stage == stageMail: // says nothing of the recipient, so it would go on like that
		f.Relay, f.Code = true, CodeSenderDenied
	default:
		f.Final = true
	}
	return f
}

// reset leaves what was begun, so that the session may go on.
func (c *Conn) reset(f *Fault) *Fault {
	if f.Broken {
		return f
	}
	if r, err := c.command("RSET"); err != nil || r.code != 250 {
		f.Broken = true
	}
	return f
}

// transfer sends the message and hears whether it was taken.
func (c *Conn) transfer(message [][]byte) error {
	if err := c.write(message); err != nil {
		// It may have said why before it hung up.
		if r, told := c.answer(time.Second); told == nil {
			if f := judge(stageEnd, r); f != nil {
				f.Broken = true
				return f
			}
		}
		return &Fault{Broken: true, Code: CodeSilent, cause: err}
	}
	r, err := c.answer(c.cfg.Final)
	if err != nil {
		return &Fault{Broken: true, Code: CodeReplyLost, cause: err}
	}
	if f := judge(stageEnd, r); f != nil {
		return f
	}
	return nil
}

// write sends the message with the dots that begin a line doubled (RFC 5321 §4.5.2), and
// the one that ends it.
func (c *Conn) write(message [][]byte) error {
	bol := true // at the beginning of a line
	for _, m := range message {
		for len(m) > 0 {
			end := bytes.IndexByte(m, '\n') + 1
			if end == 0 {
				end = len(m)
			}
			if bol && m[0] == '.' {
				_ = c.w.WriteByte('.')
			}
			if c.w.Available() < end {
				c.patience(c.cfg.Send)
			}
			if _, err := c.w.Write(m[:end]); err != nil {
				return err
			}
			bol = m[end-1] == '\n'
			m = m[end:]
		}
	}
	c.patience(c.cfg.Send)
	tail := ".\r\n"
	if !bol {
		tail = "\r\n" + tail
	}
	_, _ = c.w.WriteString(tail)
	return c.w.Flush()
}
