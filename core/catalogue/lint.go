package catalogue

import (
	"fmt"
	"slices"
	"strings"
)

// Finding is something a catalogue may say and probably should not.
type Finding struct {
	Type    string `json:"type"` // code, or the label of a lookalike
	Problem string `json:"problem"`
}

// Lint looks for what Parse allows but an administrator would regret: a type that
// nothing can recognise, one title claimed by two types, a rule that may never answer.
func (c *Catalogue) Lint() []Finding {
	var out []Finding
	owner := map[string]string{}
	for _, t := range c.types {
		if t.Retired {
			continue
		}
		for _, p := range t.doubts() {
			out = append(out, Finding{t.Code, p})
		}
		for _, title := range t.Signals.Titles {
			key := strings.ToLower(title)
			if first, taken := owner[key]; taken && !t.told() {
				out = append(out, Finding{t.Code, fmt.Sprintf("shares the title %q with %s, and has no mark nor issuer to tell them apart", title, first)})
			}
			owner[key] = t.Code
		}
	}
	for _, g := range c.groups {
		for _, code := range g.Types {
			if t, _ := c.Type(code); t.Retired {
				out = append(out, Finding{g.Code, fmt.Sprintf("holds %s, which is retired", code)})
			}
		}
	}
	return out
}

// told reports whether a type has more than its title to be told by.
func (t Type) told() bool { return len(t.Signals.Marks)+len(t.Signals.Issuers) > 0 }

func (t Type) doubts() []string {
	var out []string
	add := func(doubt bool, text string) {
		if doubt {
			out = append(out, text)
		}
	}
	add(!t.System && len(t.Signals.Titles)+len(t.Signals.Codes)+len(t.Signals.Marks) == 0,
		"has no title, code nor mark: nothing will ever be recognised as this")
	add(!t.System && t.Reference == "", "rests on no legal reference")
	add(t.unanswered(), "its vault retention may find no date to count from: end with a rule on deposited")
	add(t.Sensitive && len(t.RequestCopy.Retention) == 0, "is sensitive and its request copy has no end")
	add(t.Sensitive && t.Dispatch == DispatchFile, "is sensitive and may go to a service in a message that is not encrypted")
	for _, m := range append(slices.Clip(t.Signals.Titles), t.Signals.Marks...) {
		add(len([]rune(m)) < 2, fmt.Sprintf("phrase %q is too short to mean anything", m))
	}
	for _, a := range t.Signals.Against {
		add(slices.Contains(t.Signals.Titles, a) || slices.Contains(t.Signals.Marks, a), fmt.Sprintf("phrase %q speaks both for and against", a))
	}
	return out
}

// unanswered reports whether a vault retention rule may be left without a date.
func (t Type) unanswered() bool {
	rules := t.Vault.Retention
	if len(rules) == 0 {
		return false
	}
	last := rules[len(rules)-1]
	sure := []Basis{FromDeposit, FromDepositSchool, OnDate, Never}
	return !slices.Contains(sure, last.Until) || !last.IssuedFrom.IsZero() || !last.IssuedBefore.IsZero()
}
