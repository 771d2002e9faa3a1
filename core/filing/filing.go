// Package filing turns a verdict and its type's policy into a document in a vault.
package filing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/catalogue"
)

// Filed is a document as filing commits it. When it Replaces another it is a proposal; when
// that other is itself, a new version of it.
type Filed struct {
	Document    core.Document
	Reason      string // stable code of what a reply came to, kept with the piece; "" for no reply
	Fingerprint []byte // keyed by the vault: the same content is the same document
	Access      core.Access
}

// Store is what filing needs of the database.
type Store interface {
	// File commits document, piece and journal entry in one transaction, and returns the
	// document's id: an earlier one's when the vault holds the same content already.
	// core.ErrStale when the lease has passed on.
	// ErrAnswered when what the reply answers has changed meanwhile.
	File(ctx context.Context, lease core.Lease, f Filed) (core.DocumentID, error)
	// Answered says what a leased piece's deposit answers; nothing for one that is no reply.
	Answered(ctx context.Context, lease core.Lease) (Answered, error)
	Document(ctx context.Context, tenant core.TenantID, vault core.CitizenID, id core.DocumentID) (core.Document, error)
	// MoveDocument changes a state and journals it; core.ErrNotFound when the document
	// does not stand in the state it is moved from.
	MoveDocument(ctx context.Context, who core.Access, id core.DocumentID, from, to core.DocumentState) error
	// Replace makes what a document proposes a new version of the one it replaces, in the
	// given state, with its metadata sealed anew, and journals it; the proposal is no more.
	// core.ErrNotFound when it proposes nothing, or the other does not stand any more.
	Replace(ctx context.Context, who core.Access, proposal core.DocumentID, to core.DocumentState, meta []byte) error
	// DocumentsOf names the documents of the vault that hold a piece of the deposit.
	DocumentsOf(ctx context.Context, tenant core.TenantID, vault core.CitizenID, deposit core.DepositID) ([]core.DocumentID, error)
}

// Keys seals what is filed.
type Keys interface {
	Box(ctx context.Context, tenant core.TenantID, vault core.CitizenID, plain []byte) ([]byte, error)
	Fingerprint(ctx context.Context, tenant core.TenantID, vault core.CitizenID, parts ...[]byte) ([]byte, error)
	Unbox(ctx context.Context, who core.Access, boxes ...[]byte) ([][]byte, error)
}

// Filer files.
type Filer struct {
	store Store
	keys  Keys
	now   func() time.Time
}

// New builds the filer.
func New(store Store, keys Keys, now func() time.Time) *Filer { return &Filer{store, keys, now} }

// File files a leased, recognised piece as a document of the verdict's type, or as a new
// version of the one that a reply replaces. Run again, or for content the vault holds
// already, it makes no second document and no second version.
func (f *Filer) File(ctx context.Context, lease core.Lease, p core.Piece, meta core.PieceMeta, v core.Verdict, t catalogue.Type) (core.DocumentID, error) {
	var answered Answered
	if p.Answers != "" {
		var err error
		if answered, err = f.store.Answered(ctx, lease); err != nil {
			return "", err
		}
	}
	doc := f.document(p, v, t)
	reason := answered.place(&doc, p.Trust)
	fingerprint, err := f.keys.Fingerprint(ctx, p.Tenant, p.Vault, []byte(meta.SHA256))
	if err != nil {
		return "", fmt.Errorf("fingerprint: %w", err)
	}
	plain, err := json.Marshal(core.DocumentMeta{
		Document: doc.ID,
		FileName: meta.FileName, SHA256: meta.SHA256, Kind: p.Kind, Confidence: v.Confidence, Holder: v.Holder, Holders: v.Holders,
		Issued: v.Issued, Expires: v.Expires, Period: v.Period, Evidence: v.Evidence,
	})
	if err != nil {
		return "", fmt.Errorf("metadata: %w", err)
	}
	if doc.Meta, err = f.keys.Box(ctx, p.Tenant, p.Vault, plain); err != nil {
		return "", fmt.Errorf("seal metadata: %w", err)
	}
	act := "file"
	switch reason {
	case ReasonReplaced:
		act = "replace"
	case ReasonProposed:
		act = "propose_replacement"
	}
	return f.store.File(ctx, lease, Filed{Document: doc, Reason: reason, Fingerprint: fingerprint, Access: core.Access{
		Tenant: p.Tenant, Vault: p.Vault, Actor: "pipeline", Act: act, Purpose: "file_deposit", Object: string(p.ID), Lease: &lease,
	}})
}

// document applies the type's policy. A date the rule needs and the paper does not
// print gives no end: a person says it later, nobody guesses it.
func (f *Filer) document(p core.Piece, v core.Verdict, t catalogue.Type) core.Document {
	now := f.now()
	deposited := core.DateOf(now)
	valid, _ := t.ValidUntil(v, deposited)
	return core.Document{
		Tenant: p.Tenant, Vault: p.Vault, ID: core.NewID[core.DocumentID](), Type: v.Type, Catalogue: v.Catalogue,
		State: firstState(p, t), Standing: standing(valid, deposited), Channel: p.Channel, Journey: p.Journey,
		ValidUntil: valid, RetainUntil: t.RetainUntil(v, deposited), Created: now, Size: p.Sealed.Size,
		Parts: []core.PiecePages{{Piece: p.ID}},
	}
}

// firstState: below T3 the citizen says yes first; then the type's policy for the
// journey decides whether an agent looks.
func firstState(p core.Piece, t catalogue.Type) core.DocumentState {
	if p.Trust < core.T3 {
		return core.DocumentToConfirm
	}
	return confirmed(p.Journey, t)
}

func confirmed(j core.Journey, t catalogue.Type) core.DocumentState {
	if t.NeedsValidation(j) {
		return core.DocumentToValidate
	}
	return core.DocumentValidated
}

func standing(validUntil, today core.Date) core.Standing {
	if !validUntil.IsZero() && validUntil.Before(today) {
		return core.StandingExpired
	}
	return core.StandingCurrent
}

// Confirm is the citizen's yes to a document that arrived unproven. It returns the
// document it is now, another one when it was to replace that, and the state reached.
// Confirming twice is no error and changes nothing; core.ErrNotFound for what is not in
// the vault.
func (f *Filer) Confirm(ctx context.Context, who core.Access, id core.DocumentID, types func(code string) (catalogue.Type, bool)) (core.DocumentID, core.DocumentState, error) {
	d, err := f.store.Document(ctx, who.Tenant, who.Vault, id)
	if err != nil {
		return "", "", err
	}
	if d.State != core.DocumentToConfirm {
		return id, d.State, nil
	}
	next := core.DocumentToValidate // a type the town has since dropped: an agent looks
	if t, ok := types(d.Type); ok {
		next = confirmed(d.Journey, t)
	}
	if d.Replaces != "" {
		switch err := f.replace(ctx, who, d, next); {
		case err == nil:
			return d.Replaces, next, nil
		case !errors.Is(err, core.ErrNotFound):
			return "", "", err
		} // what it was to replace is gone: it stands for itself
	}
	who.Act, who.Object = "confirm", string(id)
	if err := f.store.MoveDocument(ctx, who, id, d.State, next); err != nil {
		return "", "", err
	}
	return id, next, nil
}

// ConfirmDeposit is the citizen's yes to all that a deposit brought. It returns the
// documents that it freed: none when the yes was said before. core.ErrNotFound when
// nothing in the vault came with the deposit.
func (f *Filer) ConfirmDeposit(ctx context.Context, who core.Access, deposit core.DepositID, types func(code string) (catalogue.Type, bool)) ([]core.DocumentID, error) {
	ids, err := f.store.DocumentsOf(ctx, who.Tenant, who.Vault, deposit)
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, core.ErrNotFound
	}
	var freed []core.DocumentID
	for _, id := range ids {
		d, err := f.store.Document(ctx, who.Tenant, who.Vault, id)
		if err != nil {
			return freed, err
		}
		if d.State != core.DocumentToConfirm {
			continue
		}
		now, _, err := f.Confirm(ctx, who, id, types)
		if err != nil {
			return freed, err
		}
		freed = append(freed, now)
	}
	return freed, nil
}
