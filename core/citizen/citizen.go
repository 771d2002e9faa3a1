// Package citizen owns who has a vault: enrolling citizens, their consent to reading,
// and their secret deposit addresses.
package citizen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/address"
	"vaguemestre/core/vault"
)

// ConsentVersion names the text of the reading consent now in use (SEC-102).
const ConsentVersion = "2026-11"

// Identity is who a citizen is; sealed at rest under the vault's key.
type Identity struct {
	Given  string `json:"given"`
	Family string `json:"family"`
	Email  string `json:"email"`
}

func (i Identity) validate() error {
	var faults []error
	if strings.TrimSpace(i.Given) == "" || strings.TrimSpace(i.Family) == "" {
		faults = append(faults, errors.New("given and family name are both needed"))
	}
	if a, err := mail.ParseAddress(i.Email); err != nil || a.Address != i.Email {
		faults = append(faults, errors.New("e-mail: not an address"))
	}
	return errors.Join(faults...)
}

// Enrolment is a new citizen with vault, consent and first address.
type Enrolment struct {
	Tenant   core.TenantID
	ID       core.CitizenID
	Identity []byte // Identity in a box of the vault
	VaultKey []byte // wrapped
	Consent  string // version consented to; "" none
	Address  Address
	Alike    []Likeness
	Contact  Sender // the address given, not verified yet
	Letters  []core.LetterOrder
	Created  time.Time
}

// Address is a deposit address as it is stored.
type Address struct {
	ID      core.AddressID
	Hash    []byte // keyed
	Sealed  []byte // the address itself, in a box of the vault
	Created time.Time
	Expires time.Time // zero: never by itself
	Revoked bool
}

// Store keeps citizens.
type Store interface {
	AddCitizen(ctx context.Context, e Enrolment) error
	// CitizenTenant finds whose citizen this is among the tenants; core.ErrNotFound.
	CitizenTenant(ctx context.Context, id core.CitizenID) (core.TenantID, error)
	Addresses(ctx context.Context, tenant core.TenantID, id core.CitizenID) ([]Address, error)
	// ReplaceAddresses revokes all addresses in force and adds fresh when given, in one
	// transaction with the journal entry.
	ReplaceAddresses(ctx context.Context, who core.Access, fresh *Address) error
}

// Keys makes and opens what belongs to a vault.
type Keys interface {
	VaultKey(ctx context.Context, tenant core.TenantID, vault core.CitizenID) ([]byte, error)
	Box(ctx context.Context, tenant core.TenantID, vault core.CitizenID, plain []byte) ([]byte, error)
	Unbox(ctx context.Context, who core.Access, boxes ...[]byte) ([][]byte, error)
}

// Notices names the letter that proves an address: none where the town sends nothing.
type Notices interface {
	Prove(ctx context.Context, tenant core.TenantID, owner core.CitizenID, id core.SenderID, hash []byte) ([]core.LetterOrder, error)
}

// Registrar enrols citizens and keeps their addresses.
type Registrar struct {
	store   Store
	keys    Keys
	notices Notices
	index   vault.Index
	now     func() time.Time
}

// New builds the registrar.
func New(store Store, keys Keys, notices Notices, index vault.Index, now func() time.Time) *Registrar {
	return &Registrar{store, keys, notices, index, now}
}

// Add enrols a citizen of the tenant and returns the id and the deposit address, made
// under a domain or a mailbox, which is shown to that citizen alone. Letters go to the e-mail
// address once a link sent there was used. Without reading consent, deposits are kept unread.
func (r *Registrar) Add(ctx context.Context, tenant core.TenantID, under string, who Identity, reading bool) (core.CitizenID, string, error) {
	if err := who.validate(); err != nil {
		return "", "", fmt.Errorf("%w identity: %w", core.ErrInvalid, err)
	}
	e := Enrolment{Tenant: tenant, ID: core.NewID[core.CitizenID](), Alike: Likenesses(r.index, who.Given+" "+who.Family, who.Email), Created: r.now()}
	if reading {
		e.Consent = ConsentVersion
	}
	var err error
	if e.VaultKey, err = r.keys.VaultKey(ctx, tenant, e.ID); err != nil {
		return "", "", err
	}
	plain, err := json.Marshal(who)
	if err != nil {
		return "", "", err
	}
	if e.Identity, err = r.keys.Box(ctx, tenant, e.ID, plain); err != nil {
		return "", "", fmt.Errorf("seal identity: %w", err)
	}
	fresh, shown, err := r.mint(ctx, tenant, e.ID, under, time.Time{})
	if err != nil {
		return "", "", err
	}
	e.Address = fresh
	if e.Contact, err = sealSender(ctx, r.keys, r.index, tenant, e.ID, who.Email); err != nil {
		return "", "", err
	}
	e.Contact.How, e.Contact.Created = ByLink, e.Created
	if e.Letters, err = r.notices.Prove(ctx, tenant, e.ID, e.Contact.ID, e.Contact.Hash); err != nil {
		return "", "", err
	}
	if err := r.store.AddCitizen(ctx, e); err != nil {
		return "", "", fmt.Errorf("add citizen: %w", err)
	}
	return e.ID, shown, nil
}

func (r *Registrar) mint(ctx context.Context, tenant core.TenantID, id core.CitizenID, under string, expires time.Time) (Address, string, error) {
	shown := address.Mint(r.index, under)
	hash, ok := address.Hash(r.index, shown)
	if !ok {
		return Address{}, "", fmt.Errorf("under %q no address can be made", under)
	}
	box, err := r.keys.Box(ctx, tenant, id, []byte(shown))
	if err != nil {
		return Address{}, "", fmt.Errorf("seal address: %w", err)
	}
	return Address{ID: core.NewID[core.AddressID](), Hash: hash, Sealed: box, Created: r.now(), Expires: expires}, shown, nil
}

// Shown is a deposit address as its owner sees it.
type Shown struct {
	Address string     `json:"address"`
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires,omitempty"` // nil: never by itself
	Revoked bool       `json:"revoked"`
}

// Addresses shows a citizen's addresses, oldest first, revoked ones included.
func (r *Registrar) Addresses(ctx context.Context, who core.Access) ([]Shown, error) {
	rows, err := r.store.Addresses(ctx, who.Tenant, who.Vault)
	if err != nil {
		return nil, err
	}
	boxes := make([][]byte, len(rows))
	for i, a := range rows {
		boxes[i] = a.Sealed
	}
	who.Act = "show_addresses"
	opened, err := r.keys.Unbox(ctx, who, boxes...)
	if err != nil {
		return nil, fmt.Errorf("open addresses: %w", err)
	}
	out := make([]Shown, len(rows))
	for i, a := range rows {
		out[i] = Shown{Address: string(opened[i]), Created: a.Created, Revoked: a.Revoked}
		if !a.Expires.IsZero() {
			out[i].Expires = &rows[i].Expires
		}
	}
	return out, nil
}

// Rotate revokes every address in force and returns a fresh one, made under a domain or
// a mailbox. It ends by itself when expires is not zero: core.ErrInvalid for a time past.
func (r *Registrar) Rotate(ctx context.Context, who core.Access, under string, expires time.Time) (string, error) {
	if !expires.IsZero() && !expires.After(r.now()) {
		return "", fmt.Errorf("%w expiry: it has passed already", core.ErrInvalid)
	}
	fresh, shown, err := r.mint(ctx, who.Tenant, who.Vault, under, expires)
	if err != nil {
		return "", err
	}
	who.Act = "rotate_address"
	return shown, r.store.ReplaceAddresses(ctx, who, &fresh)
}

// Revoke revokes every address in force: mail to them is refused from now on. A repeat
// changes nothing.
func (r *Registrar) Revoke(ctx context.Context, who core.Access) error {
	who.Act = "revoke_address"
	return r.store.ReplaceAddresses(ctx, who, nil)
}
