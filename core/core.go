// Package core owns the words of the trade: what the jobs of vaguemestre (intake,
// opening, examine, recognise, filing…) hand to one another. It does no I/O and
// imports nothing of ours.
package core

import "errors"

var (
	// ErrNotFound: there is no such thing, or the caller may not know of it.
	ErrNotFound = errors.New("not found")
	// ErrStale: the lease has passed to another worker; nothing was written.
	ErrStale = errors.New("lease is stale")
	// ErrNotDue: there is nothing to do for this row now: it is finished, leased
	// to another worker, or waiting for the time of its next attempt.
	ErrNotDue = errors.New("no work due")
	// ErrInvalid: what was asked for cannot be; the error's text says why, to whoever asked.
	ErrInvalid = errors.New("invalid")
)

// Refusal is a final answer: trying again cannot change it.
type Refusal struct {
	Code   string // for machines, stable: "too_large", "unsupported_kind"
	Reason string // one sentence, in French, fit for the citizen: what is wrong and what to do
}

// UnknownAddress is the code of the refusal of an address that is not one of ours, or not
// any more: the two cannot be told apart.
const UnknownAddress = "unknown_address"

func (r *Refusal) Error() string { return r.Code }
