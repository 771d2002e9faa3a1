package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/smtp"
	"net/textproto"
	"sync"
	"time"
)

// relay behaves as a sending mail server does (RFC 5321 §4.5.4.1): after a 4xx, a
// broken connection or silence it hands over the same bytes again, until 250. Now and
// then it hangs up just before it would have read the last reply.
type relay struct {
	to, addr string
	deaf     float64       // share of attempts whose last reply is lost
	pause    time.Duration // at most, between attempts

	mu       sync.Mutex
	taken    map[string]string // mark of a mail → the deposit that its 250 named
	attempts int
	faults   []error // final: what a sending server would report to the author
}

var errLost = errors.New("hung up before the last reply")

// deliver hands one mail over until it is acknowledged or refused for good.
func (r *relay) deliver(mark string, msg []byte) {
	for {
		deposit, err := r.hand(msg)
		final := r.note(mark, deposit, err)
		if err == nil || final {
			return
		}
		time.Sleep(rand.N(r.pause))
	}
}

// note keeps the oracle, and reports whether err ends the matter.
func (r *relay) note(mark, deposit string, err error) (final bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts++
	if err == nil {
		r.taken[mark] = deposit
		return true
	}
	var reply *textproto.Error
	if errors.As(err, &reply) && reply.Code >= 500 {
		r.faults = append(r.faults, fmt.Errorf("mail %s: %w", mark, err))
		return true
	}
	return false
}

// hand is one attempt; nil means that 250 was read, and the deposit is what it named.
func (r *relay) hand(msg []byte) (deposit string, err error) {
	conn, err := net.DialTimeout("tcp", r.addr, 5*time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return "", err
	}
	c, err := smtp.NewClient(conn, "client.test")
	if err != nil {
		return "", err
	}
	if err := firstError(c.Hello("client.test"), c.Mail("camille@example.test"), c.Rcpt(r.to)); err != nil {
		return "", err
	}
	if rand.Float64() < r.deaf {
		return "", r.lose(c.Text, msg)
	}
	reply, err := data(c.Text, msg)
	if err != nil {
		return "", err
	}
	_ = c.Quit() // nothing depends on it any more
	return takenIn.FindString(reply), nil
}

// lose hands the whole message over and hangs up after a moment, unread.
func (*relay) lose(c *textproto.Conn, msg []byte) error {
	if err := c.PrintfLine("DATA"); err != nil {
		return err
	}
	if _, _, err := c.ReadResponse(354); err != nil {
		return err
	}
	w := c.DotWriter()
	if _, err := w.Write(msg); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	time.Sleep(rand.N(20 * time.Millisecond))
	return errLost
}
