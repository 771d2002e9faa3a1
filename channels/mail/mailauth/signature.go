package mailauth

import (
	"slices"
	"time"

	"vaguemestre/core"
)

const (
	maxSigned = 256        // names in h=
	maxAhead  = time.Hour  // how far ahead of ours a signer's clock may be
	arcAlso   = "arc-seal" // which no ARC-Message-Signature may sign (RFC 8617 §4.1.2)
)

// signature is what a DKIM-Signature claims, and how far it was found true.
type signature struct {
	tags
	domain string // d=, in A-labels
	result core.Result
	reason string
}

// signatures reads the first max of the message's DKIM-Signature fields. Those that can
// do nothing for the domain of From are ResultNone with ReasonUnaligned, and those that
// are worth a key lookup ResultNone without a reason; the others are judged.
func (h header) signatures(from string, max int, now time.Time) []signature {
	var out []signature
	for _, f := range h.all("DKIM-Signature") {
		if len(out) == max {
			break
		}
		s := signature{tags: parseTags(f.value), result: core.ResultNone, reason: ReasonUnaligned}
		if s.domain = aLabels(s.word("d")); s.domain != "" && aligned(s.domain, from, false) {
			s.result, s.reason = s.tags.judge(now)
		}
		out = append(out, s)
	}
	return out
}

// judge looks at what a signature says of itself (RFC 6376 §6.1.1), by our rules: it
// signs From and the whole body, by an algorithm still good, in its time. ResultNone
// says that there is nothing against it.
func (t tags) judge(now time.Time) (core.Result, string) {
	made, ok1 := t.time("t")
	until, ok2 := t.time("x")
	_, length := t["l"]
	_, expires := t["x"]
	signed := t.list("h")
	switch {
	case t == nil, t.word("s") == "", len(t.bytes("b")) == 0, len(t.bytes("bh")) == 0, !ok1, !ok2, len(signed) > maxSigned:
		return core.ResultPermError, ReasonMalformedSignature
	case t.word("a") != "rsa-sha256" && t.word("a") != "ed25519-sha256":
		return core.ResultPolicy, ReasonWeakAlgorithm
	case !slices.Contains(signed, "from"):
		return core.ResultPermError, ReasonFromUnsigned
	case length:
		return core.ResultPolicy, ReasonBodyLength
	case made.After(now.Add(maxAhead)):
		return core.ResultPolicy, ReasonFuture
	case expires && (now.After(until) || made.After(until)):
		return core.ResultPermError, ReasonExpired
	}
	return core.ResultNone, ""
}

// better reports whether a result says more for the sender than another.
func better(a, b core.Result) bool {
	order := []core.Result{core.ResultNone, core.ResultPermError, core.ResultFail, core.ResultPolicy, core.ResultTempError, core.ResultPass}
	return slices.Index(order, a) > slices.Index(order, b)
}
