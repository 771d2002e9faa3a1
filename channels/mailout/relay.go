package mailout

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"time"

	"vaguemestre/channels/mailout/submission"
	"vaguemestre/core"
)

// relay is a town's relay: sessions kept for the next letter, and whether it is left alone.
type relay struct {
	slots chan struct{} // one in it for each session that is open or being opened

	mu      sync.Mutex
	sender  Sender // as read last
	read    time.Time
	to      submission.Relay // what the sessions were opened with
	idle    []kept           // last used last
	until   time.Time        // it rests
	code    string           // why
	strikes int              // rests in a row
	later   int              // letters in a row that it did not want now
}

// kept is a session between two letters.
type kept struct {
	conn  *submission.Conn
	sent  int
	since time.Time
}

const (
	checkIdle = 3 * time.Second // after that long it is asked whether it still holds
	stormy    = 10              // letters in a row put off make a relay rest
)

func (m *Mailer) relay(tenant core.TenantID) *relay {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.relays[tenant]
	if r == nil {
		r = &relay{slots: make(chan struct{}, m.cfg.Sessions)}
		m.relays[tenant] = r
	}
	return r
}

// rest is how long the relay is still left alone, and why.
func (r *relay) rest(now time.Time) (time.Duration, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(0, r.until.Sub(now)), r.code
}

// hand gives a message to the relay, over a kept session or a new one. A kept one that
// turns out to be gone, or has had as many messages as the relay allows, costs the letter
// nothing: another session may say otherwise.
func (m *Mailer) hand(ctx context.Context, r *relay, to submission.Relay, e submission.Envelope, message [][]byte) error {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		if resting, code := r.rest(m.cfg.Now()); resting > 0 { // since the letter was taken in hand
			return &submission.Fault{Relay: true, Code: code}
		}
		k, reused, err := m.session(ctx, r, to)
		if err != nil {
			return err
		}
		err = k.conn.Send(ctx, e, message...)
		var fault *submission.Fault
		if err == nil || errors.As(err, &fault) && !fault.Broken {
			k.sent++
			m.keep(r, to, k)
			return err
		}
		k.conn.Drop()
		if reused && fault != nil && fault.Relay && !fault.Begun {
			continue
		}
		return err
	}
}

// session takes one that is kept, or opens another.
func (m *Mailer) session(ctx context.Context, r *relay, to submission.Relay) (k kept, reused bool, err error) {
	for {
		k, ok := r.pick(to)
		if !ok {
			conn, err := submission.Dial(ctx, m.cfg.Submission, to)
			return kept{conn: conn}, false, err
		}
		if m.cfg.Now().Sub(k.since) < checkIdle || k.conn.Alive(ctx) {
			return k, true, nil
		}
		k.conn.Drop()
	}
}

// pick takes the session that was used last. Those of other settings are closed.
func (r *relay) pick(to submission.Relay) (kept, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !reflect.DeepEqual(r.to, to) {
		r.closeAll()
		r.to = to
	}
	n := len(r.idle)
	if n == 0 {
		return kept{}, false
	}
	k := r.idle[n-1]
	r.idle = r.idle[:n-1]
	return k, true
}

// keep gives a session back.
func (m *Mailer) keep(r *relay, to submission.Relay, k kept) {
	k.since = m.cfg.Now()
	r.mu.Lock()
	spent := k.sent >= m.cfg.PerSession || !reflect.DeepEqual(r.to, to)
	if !spent {
		r.idle = append(r.idle, k)
	}
	r.mu.Unlock()
	if spent { // before another is opened in its place
		k.conn.Close()
	}
}

func (r *relay) closeAll() {
	for _, k := range r.idle {
		go k.conn.Close()
	}
	r.idle = nil
}

// closeIdle ends sessions that nobody uses, until ctx ends.
func (m *Mailer) closeIdle(ctx context.Context) {
	tick := time.NewTicker(max(m.cfg.Idle/4, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := m.cfg.Now()
		m.eachRelay(func(r *relay) {
			for len(r.idle) > 0 && now.Sub(r.idle[0].since) > m.cfg.Idle {
				go r.idle[0].conn.Close()
				r.idle = r.idle[1:]
			}
		})
	}
}

// closeAll ends all sessions, side by side.
func (m *Mailer) closeAll() {
	var all sync.WaitGroup
	m.eachRelay(func(r *relay) {
		for _, k := range r.idle {
			all.Go(k.conn.Close)
		}
		r.idle = nil
	})
	all.Wait()
}

func (m *Mailer) eachRelay(f func(*relay)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.relays {
		r.mu.Lock()
		f(r)
		r.mu.Unlock()
	}
}

// How long a relay in trouble is left alone: short at first, for most trouble passes, and
// never so long that a mended one is not soon noticed.
var rests = []time.Duration{5 * time.Second, 15 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute}

// CodeStorm: a relay put off so many letters in a row that it is left alone for a while.
const CodeStorm = "relay_storm"

// judged notes what an answer says of the relay, and gives the answer back.
func (m *Mailer) judged(r *relay, err error) error {
	var fault *submission.Fault
	if err != nil && !errors.As(err, &fault) {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	code := ""
	switch {
	case fault == nil, fault.Final:
		r.strikes, r.later = 0, 0
		return err
	case fault.Relay:
		code = fault.Code
	default:
		if r.later++; r.later >= stormy {
			code, r.later = CodeStorm, 0
		}
	}
	now := m.cfg.Now()
	if code == "" || now.Before(r.until) { // letters that were under way together are one strike
		return err
	}
	rest := about(rests[min(r.strikes, len(rests)-1)])
	r.strikes++
	r.until, r.code = now.Add(rest), code
	m.cfg.Rests(code)
	m.log.Error("relay rests", "code", code, "for", rest.Round(time.Second), "in a row", r.strikes)
	return err
}
