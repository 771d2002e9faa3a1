// Package reply owns the secret addresses at which a citizen answers our letters: one for
// each deposit, by which alone an answer is known for what it is (SEC-46).
package reply

import (
	"context"
	"fmt"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/address"
	"vaguemestre/core/notice"
	"vaguemestre/core/vault"
)

// AnswersFor is how long a reply address works after the latest letter that carried it.
const AnswersFor = 60 * 24 * time.Hour

// Address is a reply address as it is stored: a secret address of the citizen's, for one
// deposit.
type Address struct {
	ID      core.AddressID
	Tenant  core.TenantID
	Vault   core.CitizenID
	Deposit core.DepositID
	Hash    []byte // keyed
	Sealed  []byte // the address itself, in a box of the vault
	Created time.Time
	Expires time.Time
}

// Store keeps reply addresses.
type Store interface {
	// KeepReplyAddress commits an address, or puts off the end of the one the deposit has;
	// ok is false when that was revoked, and then it stays so.
	KeepReplyAddress(ctx context.Context, a Address) (ok bool, err error)
	// Answerable names the documents that a deposit brought and that stand in the vault.
	Answerable(ctx context.Context, tenant core.TenantID, vault core.CitizenID, deposit core.DepositID) ([]notice.Answerable, error)
}

// Boxer seals an address for display.
type Boxer interface {
	Box(ctx context.Context, tenant core.TenantID, vault core.CitizenID, plain []byte) ([]byte, error)
}

// Addresses makes reply addresses.
type Addresses struct {
	store Store
	keys  Boxer
	index vault.Index
	now   func() time.Time
}

// New builds it.
func New(store Store, keys Boxer, index vault.Index, now func() time.Time) *Addresses {
	return &Addresses{store, keys, index, now}
}

// Address is the secret address at which a deposit is answered, made under a domain or a
// mailbox: the same at every call, so that a letter sent again carries it again. It works
// for sixty days from the latest call, unless the citizen revokes it, with all others;
// then, and where none can be made, it is "".
func (a *Addresses) Address(ctx context.Context, tenant core.TenantID, owner core.CitizenID, deposit core.DepositID, under string) (string, error) {
	shown := address.Reply(a.index, tenant, owner, deposit, under)
	hash, ok := address.Hash(a.index, shown)
	if !ok {
		return "", nil
	}
	box, err := a.keys.Box(ctx, tenant, owner, []byte(shown))
	if err != nil {
		return "", fmt.Errorf("seal reply address: %w", err)
	}
	now := a.now()
	ok, err = a.store.KeepReplyAddress(ctx, Address{ID: core.NewID[core.AddressID](), Tenant: tenant, Vault: owner, Deposit: deposit,
		Hash: hash, Sealed: box, Created: now, Expires: now.Add(AnswersFor)})
	if err != nil || !ok {
		return "", err
	}
	return shown, nil
}

// Answerable names what a deposit brought into the vault and still stands there.
func (a *Addresses) Answerable(ctx context.Context, tenant core.TenantID, owner core.CitizenID, deposit core.DepositID) ([]notice.Answerable, error) {
	return a.store.Answerable(ctx, tenant, owner, deposit)
}
