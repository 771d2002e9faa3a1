package notice

import (
	"context"
	"fmt"

	"vaguemestre/core"
	"vaguemestre/core/link"
)

// Replies makes letters answerable.
type Replies interface {
	// Address is the secret address at which a deposit of the citizen's is answered; "" when
	// it has been revoked, or none can be made.
	Address(ctx context.Context, tenant core.TenantID, vault core.CitizenID, deposit core.DepositID, under string) (string, error)
	// Answerable names what the deposit brought into the vault and still stands there, by id
	// and type.
	Answerable(ctx context.Context, tenant core.TenantID, vault core.CitizenID, deposit core.DepositID) ([]Answerable, error)
}

// Answerable is a document that a reply may speak of.
type Answerable struct {
	ID   core.DocumentID
	Type string
}

// Answered makes letters on a deposit say how to replace or delete what came of it: by an
// answer, to the deposit's own secret address.
func (c *Composer) Answered(r Replies) *Composer {
	c.replies = r
	return c
}

// answerable gives the letter the address of answers to the deposit. Only the citizen is
// ever told it.
func (w *writing) answerable(ctx context.Context, told Told, f *facts) (err error) {
	if w.replies == nil || f.Held || f.Failed || f.Files == 0 {
		return nil
	}
	w.letter.ReplyTo, err = w.replies.Address(ctx, w.lease.Tenant, w.lease.Vault, told.Deposit, w.settings.MintUnder())
	f.Reply = w.letter.ReplyTo != ""
	if err != nil {
		return fmt.Errorf("reply address: %w", err)
	}
	return nil
}

// maxErasures bounds the links in one letter.
const maxErasures = 20

// deletion writes the letter with a link for each document that a reply asked to delete.
// A link does nothing before its owner has signed in and says so.
func (w *writing) deletion(ctx context.Context) (err error) {
	if w.replies == nil {
		return errKind
	}
	l := w.lease
	documents, err := w.replies.Answerable(ctx, l.Tenant, l.Vault, core.DepositID(l.Object))
	if err != nil {
		return err
	}
	if len(documents) == 0 {
		return errGone
	}
	if w.letter.To, err = w.contact(ctx); err != nil {
		return err
	}
	types, err := w.types(ctx)
	if err != nil {
		return err
	}
	f := w.head()
	for _, d := range documents[:min(len(documents), maxErasures)] {
		one := facts{}
		if err := w.offer(ctx, &one, link.DeleteDocument, string(d.ID), pathDelete); err != nil {
			return err
		}
		f.Erases, f.Until = append(f.Erases, erasure{what(d.Type, types, w.letter.Language), one.URL, one.Code}), one.Until
	}
	f.Number, f.Files = l.Object, len(documents)
	return w.fill("delete", f)
}
