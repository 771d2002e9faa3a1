package core

import (
	"context"
	"errors"
	"fmt"
)

// Cause names an error for the log without quoting it, since its text may speak of a
// document or a person: a stable code where there is one, then the type it began with
// and, from a database, its SQLSTATE.
func Cause(err error) string {
	cause := causeCode(err)
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		return cause + " SQLSTATE " + state.SQLState()
	}
	for {
		switch wrapped := err.(type) {
		case interface{ Unwrap() error }:
			if inner := wrapped.Unwrap(); inner != nil {
				err = inner
				continue
			}
		case interface{ Unwrap() []error }:
			if inner := wrapped.Unwrap(); len(inner) > 0 {
				err = inner[len(inner)-1] // of fmt.Errorf's "%w: %w" the last is the cause
				continue
			}
		}
		return cause + " " + fmt.Sprintf("%T", err)
	}
}

func causeCode(err error) string {
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal):
		return refusal.Code
	case errors.Is(err, ErrStale):
		return "stale"
	case errors.Is(err, ErrNotFound):
		return "not_found"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "interrupted"
	}
	return "error"
}
