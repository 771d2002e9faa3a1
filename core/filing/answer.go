package filing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"vaguemestre/core"
)

// Answered is what a reply answers: the deposit whose secret reply address it came to, by
// what that deposit brought into the vault. Nothing else of a message names it: no
// subject, no thread header (SEC-46).
type Answered struct {
	Deposit   core.DepositID // "" for what is no reply
	Documents []Answer       // what that deposit brought and still stands
}

// Answer is a document that a reply may replace.
type Answer struct {
	ID    core.DocumentID
	Type  string
	Taken bool // this reply has replaced it already, with another file
}

// ErrAnswered: what a reply answers has changed since it was looked up. Nothing was
// written; another attempt sees it as it is.
var ErrAnswered = errors.New("what the reply answers has changed")

// What a reply came to, as it is kept with the piece.
const (
	ReasonReplaced  = "replaced"          // it is the new version of a document
	ReasonProposed  = "replaces_on_yes"   // it will be, once the citizen says yes
	ReasonOtherType = "reply_other_type"  // it is of another type than what it answers: a document of its own
	ReasonSeveral   = "reply_ambiguous"   // it could replace several, or another file of the reply does: likewise, to be confirmed
	ReasonNothing   = "reply_nothing_now" // what it answers is not in the vault any more: likewise
)

// place says where a reply's document goes: as a new version in place of the one document
// of its type that the reply answers; below T3 as the proposal of one. Everything else
// makes it a document of its own.
func (a Answered) place(d *core.Document, trust core.Trust) (reason string) {
	if a.Deposit == "" {
		return ""
	}
	var same []Answer
	for _, known := range a.Documents {
		if known.Type == d.Type {
			same = append(same, known)
		}
	}
	switch {
	case len(a.Documents) == 0:
		return ReasonNothing
	case len(same) == 0:
		return ReasonOtherType
	case len(same) > 1 || same[0].Taken:
		d.State = core.DocumentToConfirm
		return ReasonSeveral
	}
	d.Replaces = same[0].ID
	if trust < core.T3 {
		return ReasonProposed
	}
	d.ID = d.Replaces
	return ReasonReplaced
}

// replace does what a proposal proposes. Its metadata name the document they belong to,
// and are sealed anew.
func (f *Filer) replace(ctx context.Context, who core.Access, proposal core.Document, to core.DocumentState) error {
	who.Act, who.Object = "replace", string(proposal.Replaces)
	plain, err := f.keys.Unbox(ctx, who, proposal.Meta)
	if err != nil {
		return fmt.Errorf("open metadata: %w", err)
	}
	var meta core.DocumentMeta
	if err := json.Unmarshal(plain[0], &meta); err != nil {
		return fmt.Errorf("metadata of document %s: %w", proposal.ID, err)
	}
	if meta.Document != proposal.ID { // rows were exchanged
		return fmt.Errorf("metadata of document %s: another's", proposal.ID)
	}
	meta.Document = proposal.Replaces
	again, err := json.Marshal(meta)
	if err != nil {
		return err
	}
	box, err := f.keys.Box(ctx, who.Tenant, who.Vault, again)
	if err != nil {
		return fmt.Errorf("seal metadata: %w", err)
	}
	return f.store.Replace(ctx, who, proposal.ID, to, box)
}
