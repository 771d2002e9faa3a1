// Package pipeline leads work through its steps: it takes the lease, runs what the
// row's state calls for, and writes down how the attempt ended.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"vaguemestre/core"
)

// MaxAttempts is how often a row is tried before it fails and waits for a person (REL-08).
const MaxAttempts = 5

// Work is the truth about work: leases with fencing, attempts counted before the work.
type Work interface {
	// Claim counts the attempt and takes the lease; core.ErrNotDue when there is nothing to do now.
	Claim(ctx context.Context, step core.Step, ttl time.Duration) (core.Lease, error)
	// Renew prolongs the lease; core.ErrStale when it has passed on.
	Renew(ctx context.Context, lease core.Lease, ttl time.Duration) error
	// Settle writes the outcome and gives the lease back; core.ErrStale likewise.
	Settle(ctx context.Context, lease core.Lease, o core.Outcome) error
}

// Opener opens a leased deposit and names the steps that follow.
type Opener interface {
	Open(ctx context.Context, lease core.Lease) ([]core.Step, error)
}

// Reports reads a leased report on the delivery of a letter.
type Reports interface {
	Read(ctx context.Context, lease core.Lease) error
}

// Notices names the letters about a deposit that could not be opened.
type Notices interface {
	Failed(ctx context.Context, tenant core.TenantID, deposit core.DepositID) ([]core.LetterOrder, error)
}

// Bell wakes a worker for a step.
type Bell interface{ Ring(core.Step) }

// Runner runs steps. Any number may run at once, anywhere.
type Runner struct {
	work    Work
	opener  Opener
	reader  *Reader
	reports Reports
	notices Notices
	bell    Bell
	ttl     time.Duration
	log     *slog.Logger
	seen    func(noun core.Noun, outcome string)
}

// New builds a runner. A lease lasts ttl and is renewed while the work goes on; seen
// is told of every attempt's outcome, for the metrics.
func New(work Work, opener Opener, reader *Reader, reports Reports, notices Notices, bell Bell, ttl time.Duration, log *slog.Logger, seen func(core.Noun, string)) *Runner {
	return &Runner{work, opener, reader, reports, notices, bell, ttl, log, seen}
}

// Run does one step. It returns nil whenever the truth has been written: done, nothing
// to do, refused, failed, or to be tried again. An error means that the database could
// not be told; the sweeper will ring again.
func (r *Runner) Run(ctx context.Context, step core.Step) error {
	lease, err := r.work.Claim(ctx, step, r.ttl)
	if errors.Is(err, core.ErrNotDue) {
		return nil
	}
	if err != nil {
		return err
	}
	if lease.Attempt > MaxAttempts { // the last ones never came to tell how they ended
		return r.settle(ctx, lease, core.Outcome{Failed: true, Code: "gave_up"})
	}
	err = r.hold(ctx, lease, func(ctx context.Context) error { return r.do(ctx, lease) })
	switch {
	case err == nil:
		r.seen(lease.Noun, "done")
		return nil
	case errors.Is(err, core.ErrStale):
		r.stale(lease)
		return nil
	case ctx.Err() != nil: // we are stopping: the attempt is not held against the row
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return r.settle(ctx, lease, core.Outcome{Uncounted: true, Code: "stopped"})
	}
	o := outcome(err, lease.Attempt)
	if !o.Refused {
		r.log.Warn("step ended with an error", "noun", lease.Noun, "id", lease.ID, "attempt", lease.Attempt, "cause", core.Cause(err))
	}
	return r.settle(ctx, lease, o)
}

func (r *Runner) do(ctx context.Context, lease core.Lease) error {
	switch lease.Noun {
	case core.NounDeposit:
		next, err := r.opener.Open(ctx, lease)
		for _, step := range next {
			r.bell.Ring(step)
		}
		return err
	case core.NounPiece:
		return r.reader.Read(ctx, lease)
	case core.NounReport:
		return r.reports.Read(ctx, lease)
	}
	return fmt.Errorf("no such noun: %q", lease.Noun)
}

// stale notes that another worker has the row: nothing of this attempt was written.
func (r *Runner) stale(lease core.Lease) {
	r.log.Warn("lease passed to another worker", "noun", lease.Noun, "id", lease.ID, "attempt", lease.Attempt)
	r.seen(lease.Noun, "stale")
}

func (r *Runner) settle(ctx context.Context, lease core.Lease, o core.Outcome) error {
	if o.Failed && lease.Noun == core.NounDeposit {
		letters, err := r.notices.Failed(ctx, lease.Tenant, core.DepositID(lease.ID))
		if err != nil {
			return err
		}
		o.Letters = letters
	}
	err := r.work.Settle(ctx, lease, o)
	if errors.Is(err, core.ErrStale) { // as when the database ended our transaction, and the lease with it
		r.stale(lease)
		return nil
	}
	word := "later"
	switch {
	case o.Refused:
		word = "refused"
	case o.Failed:
		word = "failed"
	}
	r.seen(lease.Noun, word)
	r.log.Info("attempt ended", "noun", lease.Noun, "id", lease.ID, "attempt", lease.Attempt, "outcome", word, "code", o.Code)
	return err
}

// hold runs f while renewing the lease; f's context ends when the lease is lost.
func (r *Runner) hold(ctx context.Context, lease core.Lease, f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(r.ttl / 3)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if err := r.work.Renew(ctx, lease, r.ttl); errors.Is(err, core.ErrStale) {
					cancel(core.ErrStale)
					return
				}
			}
		}
	}()
	err := r.guard(func() error { return f(ctx) })
	close(done)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, core.ErrStale) {
		return core.ErrStale
	}
	return err
}

// errPanic: a bug met a file. The piece fails like any other attempt; the worker lives.
var errPanic = errors.New("panic")

// guard logs where the panic came from; its value could quote the file.
func (r *Runner) guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("step panicked", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			err = errPanic
		}
	}()
	return f()
}

// outcome says what an attempt leaves behind: a refusal is final, anything else is
// tried again later, or shown as failed.
func outcome(err error, attempt int) core.Outcome {
	var refusal *core.Refusal
	var step *stepError
	code := "accident"
	if errors.As(err, &step) {
		code = "accident_" + step.name
	}
	switch {
	case errors.As(err, &refusal):
		return core.Outcome{Refused: true, Code: refusal.Code, Sentence: refusal.Reason}
	case errors.Is(err, errPanic):
		code = "panic"
	}
	if attempt >= MaxAttempts {
		return core.Outcome{Failed: true, Code: code}
	}
	return core.Outcome{Code: code, RetryIn: backoff(attempt)}
}

// backoff waits 2 s, 10 s, 50 s, 250 s: a passing fault is over, a lasting one is shown
// within six minutes.
func backoff(attempt int) time.Duration {
	wait := 2 * time.Second
	for range attempt - 1 {
		wait *= 5
	}
	return wait
}

// stepError names the step an accident happened in; its text never leaves the process.
type stepError struct {
	name string
	err  error
}

func (e *stepError) Error() string { return e.name + ": " + e.err.Error() }
func (e *stepError) Unwrap() error { return e.err }
