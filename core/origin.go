package core

import "log/slog"

// Result is how one check of a sender ended, in the words of RFC 8601 §2.7.
type Result string

// Results. Only ResultPass proves anything.
const (
	ResultNone      Result = "none" // nothing there to check
	ResultPass      Result = "pass"
	ResultFail      Result = "fail"
	ResultSoftFail  Result = "softfail"
	ResultNeutral   Result = "neutral"
	ResultPolicy    Result = "policy"    // valid, but not by our rules: too short a key, a body length…
	ResultTempError Result = "temperror" // DNS did not answer: another time it may
	ResultPermError Result = "permerror"
)

// Origin is what is proven about who wrote a message. DKIM proves a domain, not a
// person, and nothing here by itself opens a vault (SECURITY.md §3). It is personal: it
// logs as a placeholder.
type Origin struct {
	From   string `json:"from,omitempty"`   // the one address of the one From field, canonical; "" when there is none, or several
	Name   string `json:"name,omitempty"`   // display name, decoded; proves nothing
	Proven bool   `json:"proven,omitempty"` // From's domain vouches for the message: DKIM-aligned, or through a listed ARC sealer
	Domain string `json:"domain,omitempty"` // that vouches; A-labels
	Sealer string `json:"sealer,omitempty"` // ARC sealer believed for it; "" when DKIM itself passed

	DKIM   Result `json:"dkim"` // best of the signatures aligned with From
	SPF    Result `json:"spf"`
	DMARC  Result `json:"dmarc"`
	Reason string `json:"reason"` // stable code of why it is proven or not: "dkim_aligned", "two_from", "unaligned"…

	Trouble   bool `json:"trouble,omitempty"`   // DNS was in trouble where a proof hung on it: another time it may be Proven
	Automatic bool `json:"automatic,omitempty"` // written by a program: never answered (RFC 3834, RFC 5230 §4.6)
}

// LogValue keeps the origin out of logs.
func (Origin) LogValue() slog.Value { return slog.StringValue("origin(hidden)") }
