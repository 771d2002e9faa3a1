package mailauth

import (
	"strings"

	"vaguemestre/core"
)

// trust takes the word of the server that put the message into the mailbox it was taken
// out of: what the topmost Authentication-Results say (RFC 8601), when that server wrote
// them. Anybody may have written those below. It proves a sender whose signature held
// when the message arrived and does not any more, by "dkim=pass" of a domain aligned with
// From; "dmarc=pass", which SPF alone may have brought about, is noted and proves nothing.
func (v *verdict) trust(h header, server string) {
	said := statements(h.first("Authentication-Results"))
	if server == "" || len(said) == 0 || len(said[0]) == 0 || !strings.EqualFold(said[0][0], server) {
		return
	}
	for _, s := range said[1:] {
		strict := v.policy.strictDKIM || v.policy.result == core.ResultTempError // it may be, as DNS does not answer
		if domain := dkimPass(s); !v.Proven && domain != "" && aligned(domain, v.from, strict) {
			v.Proven, v.Domain, v.Reason, v.Trouble = true, domain, ReasonMTA, false
		}
		if dmarcPass(s) == v.from {
			v.DMARC = core.ResultPass
		}
	}
}

// dmarcPass is the domain of a statement "dmarc=pass header.from=domain"; "" for every
// other statement.
func dmarcPass(words []string) string {
	if len(words) == 0 || !strings.EqualFold(words[0], "dmarc=pass") {
		return ""
	}
	for _, w := range words[1:] {
		if key, value, _ := strings.Cut(w, "="); strings.EqualFold(key, "header.from") {
			return aLabels(value)
		}
	}
	return ""
}
