// Package dispatch sends documents on to the agents: which services of the town may
// receive them and how, what an agent selects or a rule sends by itself, how that is laid
// out over several mails, and what each says (GW-3, SEC-53). Composing opens documents
// through the vault alone; sending is the mailer's.
package dispatch

import (
	"slices"
	"time"

	"vaguemestre/core"
)

// ServiceID, ID, PartID and ItemID name a service, a dispatch, one mail of it, and one
// document in that mail: random, like every identifier.
type (
	ServiceID string
	ID        string
	PartID    string
	ItemID    string
)

// Short is the beginning of a dispatch's number: for subjects and file names, where the
// whole is too long. It tells apart and opens nothing.
func (id ID) Short() string { return string(id[:min(8, len(id))]) }

// Service is a service of the town and the one mailbox at which it receives documents.
type Service struct {
	Tenant      core.TenantID
	ID          ServiceID
	Code        string
	Name        string
	Mailbox     string
	Language    string // "fr" or "en"
	MaxBytes    int64  // of a message, as it is sent
	LinksOnly   bool   // no file leaves the house
	Template    string // of file names
	ASCII       bool   // file names in ASCII
	Certificate []byte // DER; nil: messages are not encrypted
	Created     time.Time
	Removed     bool
}

// Encrypts reports whether messages to the service are encrypted.
func (s Service) Encrypts() bool { return len(s.Certificate) > 0 }

// Moment is when a rule sends a document.
type Moment string

// The moments. A document that waits for its citizen's yes is not filed yet (SEC-10).
const (
	WhenFiled     Moment = "filed"     // usable: nobody has to confirm it any more
	WhenValidated Moment = "validated" // and it counts
)

// Rule sends every document of a type to a service.
type Rule struct {
	Service ServiceID
	Type    string // catalogue code
	Moment  Moment
	Purpose string
	Created time.Time
}

// Moments are those that a document reaches by going from one state to another; from is
// "" for one that is new.
func Moments(from, to core.DocumentState) []Moment {
	var out []Moment
	if !usable(from) && usable(to) {
		out = append(out, WhenFiled)
	}
	if from != core.DocumentValidated && to == core.DocumentValidated {
		out = append(out, WhenValidated)
	}
	return out
}

func usable(s core.DocumentState) bool {
	return s == core.DocumentToValidate || s == core.DocumentValidated
}

// Fit says whether a document may leave the vault for a service today, and why not. A
// document that was removed from the vault is not found any more.
func Fit(d core.Document, today core.Date) *core.Refusal {
	switch {
	case d.State == core.DocumentToConfirm:
		return &core.Refusal{Code: "to_confirm", Reason: "Le document attend la confirmation de l’usager : tant qu’il n’a pas dit oui, il ne peut être transmis."}
	case d.State == core.DocumentRejected:
		return &core.Refusal{Code: "rejected", Reason: "Le document a été rejeté : il ne peut être transmis."}
	case d.Standing == core.StandingExpired, !d.ValidUntil.IsZero() && d.ValidUntil.Before(today):
		return &core.Refusal{Code: "expired", Reason: "Le document n’est plus valable : demandez-en un plus récent à l’usager."}
	case d.Standing != core.StandingCurrent:
		return &core.Refusal{Code: "not_current", Reason: "Le document a été remplacé, supprimé ou n’a pas été conservé : il ne peut être transmis."}
	case len(d.Parts) == 0 || slices.ContainsFunc(d.Parts, func(p core.PiecePages) bool { return p.First > 0 }):
		return &core.Refusal{Code: "part_of_file", Reason: "Le document n’est qu’une partie d’un fichier qui en contient d’autres : il ne peut être transmis seul."}
	}
	return nil
}

// Dispatch is documents of one citizen on their way to one service.
type Dispatch struct {
	Tenant   core.TenantID
	Vault    core.CitizenID
	ID       ID
	Service  Service
	Agent    core.AgentID    // who selected the documents; "" when a rule did
	Document core.DocumentID // that a rule sent; "" when an agent selected
	Purpose  string          // of a rule
	Sealed   []byte          // of an agent, in a box of the vault
	Sending  int             // the latest
	Created  time.Time
	Ended    time.Time // cancelled then; zero when it was not
	Parts    []Part    // of all sendings, in order
}

// Part is one mail of a dispatch.
type Part struct {
	ID      PartID
	Sending int
	N       int
	Items   []Item
	Created time.Time

	Letter  core.LetterID
	State   core.LetterState
	Code    string // how its letter ended, or the last attempt at it
	Status  string
	Settled time.Time // zero while it waits
}

// Item is one document in a part.
type Item struct {
	ID       ItemID
	N        int // its place in the whole dispatch, from 1
	Document core.DocumentID
	Link     bool // a link in the place of files
}

// Latest are the parts of the latest sending.
func (d Dispatch) Latest() []Part {
	return slices.DeleteFunc(slices.Clone(d.Parts), func(p Part) bool { return p.Sending != d.Sending })
}

// State is how a dispatch stands as a whole.
type State string

// The states: that of the part which is worst off.
const (
	Waiting   State = "waiting"
	Sent      State = "sent"
	Delivered State = "delivered"
	Bounced   State = "bounced"
	Refused   State = "refused"
	Failed    State = "failed"
	Cancelled State = "cancelled"
)

// State sums up the parts of the latest sending.
func (d Dispatch) State() State {
	if !d.Ended.IsZero() {
		return Cancelled
	}
	seen := map[core.LetterState]bool{}
	for _, p := range d.Latest() {
		seen[p.State] = true
	}
	for _, s := range []struct {
		letter core.LetterState
		state  State
	}{
		{core.LetterBounced, Bounced}, {core.LetterRefused, Refused}, {core.LetterFailed, Failed}, {core.LetterCancelled, Cancelled},
		{core.LetterWaiting, Waiting}, {core.LetterDelayed, Sent}, {core.LetterSent, Sent},
	} {
		if seen[s.letter] {
			return s.state
		}
	}
	return Delivered
}

// journaled is what the journal says of every act that a dispatch needs.
func (d Dispatch) journaled() string { return "dispatch:" + string(d.ID) + ":" + d.Service.Code }

// Disclosure is the journal's entry of a document handed to a service. It is written
// before anything of the document is opened, and with d.Sealed when there is any.
func (d Dispatch) Disclosure(document core.DocumentID) core.Access {
	who := core.Access{Tenant: d.Tenant, Vault: d.Vault, Actor: "rule", Act: "disclose", Purpose: d.journaled(), Object: string(document)}
	if d.Agent != "" {
		who.Actor = "agent:" + string(d.Agent)
	}
	return who
}
