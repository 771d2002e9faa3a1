package mailout

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"vaguemestre/channels/mailout/submission"
	"vaguemestre/core"
)

// GiveUp is how long a letter is tried (REL-12).
const GiveUp = 5 * 24 * time.Hour

// outcome says what an attempt leaves behind. rest is how long the relay is left alone.
func outcome(err error, l core.LetterLease, now time.Time, rest time.Duration) core.LetterOutcome {
	var refusal *core.Refusal
	var fault *submission.Fault
	if err == nil {
		return core.LetterOutcome{State: core.LetterSent}
	}
	if errors.As(err, &refusal) {
		return core.LetterOutcome{State: core.LetterCancelled, Code: refusal.Code}
	}
	tried := now.Sub(l.First)
	o := core.LetterOutcome{State: core.LetterWaiting, Code: code(err), RetryIn: backoff(tried)}
	if errors.As(err, &fault) {
		o.Code, o.Status = fault.Code, fault.Status
		switch {
		case fault.Final:
			return core.LetterOutcome{State: core.LetterRefused, Code: o.Code, Status: o.Status}
		case fault.Relay && !fault.Begun:
			o.RetryIn = max(rest, time.Second) // when the relay is tried again, so is the letter
		}
	}
	if tried+o.RetryIn > GiveUp {
		o = core.LetterOutcome{State: core.LetterFailed, Code: o.Code, Status: o.Status}
	}
	return o
}

// code of an error that is no relay's.
func code(err error) string {
	var composing *composeError
	switch {
	case errors.Is(err, errPanic):
		return "panic"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.As(err, &composing):
		return "compose"
	}
	return "accident"
}

// backoff grows with the time a letter has been tried for, by half of it: a minute at
// first, then minutes, after a working day every four hours. It does not count attempts,
// so those that a crash or a resting relay cost do not make a letter wait longer.
func backoff(tried time.Duration) time.Duration {
	return about(min(max(tried/2, time.Minute), 4*time.Hour))
}

// about spreads what would come back together.
func about(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()-0.5)/5*float64(d))
}
