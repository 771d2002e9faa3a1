package mailout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"vaguemestre/channels/mailout/submission"
	"vaguemestre/channels/mailout/typeset"
	"vaguemestre/core"
)

// attempt is one attempt at one letter, up to its outcome in the outbox.
func (m *Mailer) attempt(ctx context.Context, l core.LetterLease) {
	err := m.hold(ctx, l, func(ctx context.Context) error { return m.deliver(ctx, l) })
	if errors.Is(err, core.ErrStale) {
		m.log.Warn("letter passed to another mailer", "letter", l.ID, "attempt", l.Attempt)
		return
	}
	rest, _ := m.relay(l.Tenant).rest(m.cfg.Now())
	o := outcome(err, l, m.cfg.Now(), rest)
	if ctx.Err() != nil && o.State == core.LetterWaiting {
		o = core.LetterOutcome{State: core.LetterWaiting, Code: "stopped"}
	}
	m.settle(ctx, l, o)
}

// settle notes the outcome. Until the lease ends it is tried again: a letter that was sent
// and not noted would be sent twice.
func (m *Mailer) settle(ctx context.Context, l core.LetterLease, o core.LetterOutcome) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(m.cfg.Lease/2, time.Second))
	defer cancel()
	for {
		err := m.outbox.SettleLetter(ctx, l, o)
		if err == nil {
			m.log.Info("letter", "letter", l.ID, "kind", l.Kind, "attempt", l.Attempt, "state", o.State, "code", o.Code, "status", o.Status)
			m.cfg.Seen(l.Kind, o)
			return
		}
		m.log.Warn("settle letter", "letter", l.ID, "state", o.State, "cause", core.Cause(err))
		if errors.Is(err, core.ErrStale) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(m.cfg.Lease / 20):
		}
	}
}

// hold runs f while the lease is renewed; f's context ends when it is lost.
func (m *Mailer) hold(ctx context.Context, l core.LetterLease, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Attempt)
	defer cancel()
	ctx, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		tick := time.NewTicker(m.cfg.Lease / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if err := m.outbox.RenewLetter(ctx, l, m.cfg.Lease); errors.Is(err, core.ErrStale) {
					lose(core.ErrStale)
					return
				}
			}
		}
	}()
	err := m.guard(func() error { return f(ctx) })
	stale := errors.Is(context.Cause(ctx), core.ErrStale)
	lose(nil)
	<-renewed
	if err != nil && stale {
		return core.ErrStale
	}
	return err
}

// errPanic: a bug met a letter. It fares like any other that fails; the mailer lives.
var errPanic = errors.New("panic")

// guard logs where a panic came from; its value could quote the letter.
func (m *Mailer) guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			m.log.Error("letter panicked", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			err = errPanic
		}
	}()
	return f()
}

// deliver composes a letter, sets it, signs it and hands it to the relay.
func (m *Mailer) deliver(ctx context.Context, l core.LetterLease) error {
	r := m.relay(l.Tenant)
	sender, err := m.sender(ctx, r, l.Tenant)
	if err != nil {
		return m.judged(r, err)
	}
	letter, err := m.composer.Compose(ctx, l)
	if err != nil {
		return &composeError{err}
	}
	message, err := typeset.New(letter, sender.Sender, m.cfg.Now())
	if err != nil {
		return &composeError{err}
	}
	size := message.Size()
	if size > m.cfg.Largest {
		return &submission.Fault{Final: true, Code: submission.CodeTooLarge, Status: "5.3.4"}
	}
	if err := m.memory.Acquire(ctx, size); err != nil {
		return err
	}
	defer m.memory.Release(size)
	bytes, err := written(ctx, message, sender, letter.Date)
	if err != nil {
		return &composeError{err}
	}
	return m.judged(r, m.hand(ctx, r, sender.Relay, envelope(letter, message, sender), bytes))
}

// Codes of towns that cannot send.
const (
	CodeNoRelay  = "no_relay" // none in its settings
	CodeSettings = "settings" // its password or signing keys are missing, or cannot be read now
)

// sender is how the town sends, as it was moments ago.
func (m *Mailer) sender(ctx context.Context, r *relay, tenant core.TenantID) (Sender, error) {
	now := m.cfg.Now()
	r.mu.Lock()
	sender, fresh := r.sender, now.Sub(r.read) < m.cfg.Settings
	r.mu.Unlock()
	if fresh {
		return sender, nil
	}
	sender, err := m.senders.Sender(ctx, tenant)
	switch {
	case ctx.Err() != nil:
		return Sender{}, ctx.Err()
	case err != nil:
		m.log.Error("settings of a town that sends", "tenant", tenant, "cause", core.Cause(err))
		return Sender{}, &submission.Fault{Relay: true, Code: CodeSettings}
	case sender.Relay.Host == "":
		return Sender{}, &submission.Fault{Relay: true, Code: CodeNoRelay}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sender, r.read = sender, now
	return sender, nil
}

// composeError is one that came before the relay: of the letter, or of what it speaks of.
type composeError struct{ err error }

func (e *composeError) Error() string { return "compose: " + e.err.Error() }
func (e *composeError) Unwrap() error { return e.err }

// written is the message in the pieces that are sent: signatures, then the rest. It is
// held whole, since what is signed begins with the signature of what follows.
func written(ctx context.Context, message *typeset.Message, sender Sender, date time.Time) ([][]byte, error) {
	b := bytes.NewBuffer(make([]byte, 0, message.Size()))
	if err := message.Write(ctx, b); err != nil {
		return nil, err
	}
	if int64(b.Len()) != message.Size() {
		return nil, errors.New("message of another size than was said")
	}
	if len(sender.Sign.Keys) == 0 {
		return [][]byte{b.Bytes()}, nil
	}
	signatures, err := sender.Sign.Sign(b.Bytes(), date)
	return [][]byte{signatures, b.Bytes()}, err
}

// envelope: nobody answers an automatic letter, not even a mail server; of others we want
// to hear when they do not arrive, and of documents sent to the town's services also
// when they do.
func envelope(l core.Letter, message *typeset.Message, sender Sender) submission.Envelope {
	e := submission.Envelope{To: message.To.String(), ID: string(l.ID), UTF8: message.UTF8()}
	if l.Automatic || sender.ReturnPath == nil {
		return e
	}
	path, ok := typeset.ParseAddress(sender.ReturnPath(l.ID))
	if !ok {
		return e
	}
	e.From, e.Notify = path.String(), "FAILURE,DELAY"
	if l.Kind == core.LetterDispatch {
		e.Notify = "SUCCESS,FAILURE,DELAY"
	}
	return e
}
