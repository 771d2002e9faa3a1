package catalogue

import (
	"time"

	"vaguemestre/core"
)

// Basis is the day a rule counts from.
type Basis string

// The bases. Those from FromValidEnd on make sense for keeping, not for validity.
const (
	FromExpiry        Basis = "expiry"      // the end of validity printed on the document
	FromIssue         Basis = "issued"      // the date the document bears
	FromDeposit       Basis = "deposited"   // the day it was handed in
	FromPeriodEnd     Basis = "period_end"  // the last day of the period it covers
	FromSchoolYear    Basis = "school_year" // 31 August closing the school year of its period, else of its date
	OnDate            Basis = "date"        // one day, the same for all
	Never             Basis = "never"       // no end
	FromValidEnd      Basis = "valid_until" // the end of its validity
	FromDepositSchool Basis = "school_year_of_deposit"
	FromRequestClosed Basis = "request_closed" // of the request that took a copy
)

// Rule gives an end: so many whole months after a basis, that last day included. It
// applies only to documents issued from IssuedFrom on and before IssuedBefore, where given.
type Rule struct {
	Until        Basis     `yaml:"until"`
	Months       int       `yaml:"months,omitempty"`
	Date         core.Date `yaml:"date,omitempty"` // for OnDate
	IssuedFrom   core.Date `yaml:"issued_from,omitempty"`
	IssuedBefore core.Date `yaml:"issued_before,omitempty"`
}

// Rules are tried in order: the first whose dates are known answers. So "the printed
// expiry, else ten years after issue" is two rules, and an empty answer means unknown.
type Rules []Rule

// facts are the days a rule may count from; zero ones are unknown.
type facts struct {
	core.Verdict
	deposited, closed core.Date
	validUntil        core.Date
}

// ValidUntil is the last day on which the document proves something. The zero Date
// with true: it never ends. False: the rule needs a date that was not read, and
// somebody has to say it.
func (t Type) ValidUntil(v core.Verdict, deposited core.Date) (core.Date, bool) {
	return t.Validity.end(facts{Verdict: v, deposited: deposited})
}

// RetainUntil is the day the vault's copy must vanish; the zero Date: the citizen decides.
func (t Type) RetainUntil(v core.Verdict, deposited core.Date) core.Date {
	valid, _ := t.ValidUntil(v, deposited)
	end, _ := t.Vault.Retention.end(facts{Verdict: v, deposited: deposited, validUntil: valid})
	return end
}

// RetainCopyUntil is the day the copy that a request took must vanish, once that
// request is closed; the zero Date: no rule says.
func (t Type) RetainCopyUntil(v core.Verdict, deposited, closed core.Date) core.Date {
	valid, _ := t.ValidUntil(v, deposited)
	end, _ := t.RequestCopy.Retention.end(facts{v, deposited, closed, valid})
	return end
}

func (rs Rules) end(f facts) (core.Date, bool) {
	for _, r := range rs {
		if end, ok := r.end(f); ok {
			return end, true
		}
	}
	return core.Date{}, false
}

func (r Rule) end(f facts) (core.Date, bool) {
	if !r.covers(f.Issued) {
		return core.Date{}, false
	}
	if r.Until == Never {
		return core.Date{}, true
	}
	day := r.basis(f)
	if day.IsZero() {
		return core.Date{}, false
	}
	if r.Until == FromPeriodEnd || schoolYear(r.Until) {
		return endOfMonths(day, r.Months), true
	}
	return day.AddMonths(r.Months), true
}

// covers reports whether the rule speaks of documents issued that day.
func (r Rule) covers(issued core.Date) bool {
	if r.IssuedFrom.IsZero() && r.IssuedBefore.IsZero() {
		return true
	}
	return !issued.IsZero() && !issued.Before(r.IssuedFrom) &&
		(r.IssuedBefore.IsZero() || issued.Before(r.IssuedBefore))
}

func (r Rule) basis(f facts) core.Date {
	switch r.Until {
	case FromExpiry:
		return f.Expires
	case FromIssue:
		return f.Issued
	case FromDeposit:
		return f.deposited
	case FromPeriodEnd:
		return f.Period.To
	case FromSchoolYear:
		if !f.Period.To.IsZero() {
			return schoolYearEnd(f.Period.To)
		}
		return schoolYearEnd(f.Issued)
	case FromDepositSchool:
		return schoolYearEnd(f.deposited)
	case OnDate:
		return r.Date
	case FromValidEnd:
		return f.validUntil
	case FromRequestClosed:
		return f.closed
	}
	return core.Date{}
}

func schoolYear(b Basis) bool { return b == FromSchoolYear || b == FromDepositSchool }

// schoolYearEnd is the 31 August that closes the school year of d (1 September to 31 August).
func schoolYearEnd(d core.Date) core.Date {
	if d.IsZero() {
		return d
	}
	year := d.Year
	if d.Month >= time.September {
		year++
	}
	return core.Date{Year: year, Month: time.August, Day: 31}
}

// endOfMonths keeps a last day of the month at the last day: three months after 28
// February is 31 May, since the period that ended was the whole month.
func endOfMonths(d core.Date, n int) core.Date {
	if d.AddDays(1).Day != 1 {
		return d.AddMonths(n)
	}
	return d.AddDays(1).AddMonths(n).AddDays(-1)
}
