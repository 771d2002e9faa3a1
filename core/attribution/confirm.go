package attribution

import (
	"context"

	"vaguemestre/core"
	"vaguemestre/core/catalogue"
	"vaguemestre/core/link"
)

// Filer moves documents on once their citizen has said yes.
type Filer interface {
	// ConfirmDeposit confirms every document of the vault that came with the deposit and
	// waits for that, and returns them; a repeat finds none, which is no error.
	ConfirmDeposit(ctx context.Context, who core.Access, deposit core.DepositID, types Types) ([]core.DocumentID, error)
}

// Types finds a type of the town's catalogue by its code.
type Types = func(code string) (catalogue.Type, bool)

// Rememberer takes the citizen's word that a deposit's sender is theirs.
type Rememberer interface {
	Remember(ctx context.Context, who core.Access, deposit core.DepositID) error
}

// Confirmer is the citizen's one click: yes, this deposit is mine.
type Confirmer struct {
	links   *link.Links
	filer   Filer
	senders Rememberer
}

// NewConfirmer builds the confirmer.
func NewConfirmer(links *link.Links, filer Filer, senders Rememberer) *Confirmer {
	return &Confirmer{links, filer, senders}
}

// Offer makes the token of a link that confirms a deposit of who.Vault.
func (c *Confirmer) Offer(ctx context.Context, who core.Access, deposit core.DepositID) (token string, err error) {
	return c.links.Issue(ctx, who.Tenant, who.Vault, link.ConfirmDeposit, string(deposit))
}

// Look says which deposit a token is for, and changes nothing: what a page shows before
// the click. core.ErrNotFound for anybody but the citizen it was made for.
func (c *Confirmer) Look(ctx context.Context, who core.Access, token string) (core.DepositID, error) {
	object, err := c.links.Look(ctx, who, link.ConfirmDeposit, token)
	return core.DepositID(object), err
}

// Confirm confirms the deposit a token is for and returns the documents that this yes
// freed. Errors are those of Look and of ConfirmDeposit.
func (c *Confirmer) Confirm(ctx context.Context, who core.Access, token string, remember bool, types Types) (freed []core.DocumentID, err error) {
	err = c.links.Use(ctx, who, link.ConfirmDeposit, token, func(object string) error {
		freed, err = c.ConfirmDeposit(ctx, who, core.DepositID(object), remember, types)
		return err
	})
	return freed, err
}

// ConfirmDeposit confirms a deposit of who.Vault and returns the documents that this yes
// freed. With remember, its sender needs no yes from now on; a sender that nothing
// proves cannot be remembered (core.ErrInvalid), and then nothing is confirmed either.
func (c *Confirmer) ConfirmDeposit(ctx context.Context, who core.Access, deposit core.DepositID, remember bool, types Types) ([]core.DocumentID, error) {
	if remember {
		if err := c.senders.Remember(ctx, who, deposit); err != nil {
			return nil, err
		}
	}
	return c.filer.ConfirmDeposit(ctx, who, deposit, types)
}
