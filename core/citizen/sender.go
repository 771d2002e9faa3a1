package citizen

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/address"
	"vaguemestre/core/link"
	"vaguemestre/core/vault"
)

// Sender is an address a citizen writes from, as it is stored.
type Sender struct {
	ID         core.SenderID
	Hash       []byte // keyed, of the canonical address
	Sealed     []byte // the address itself, in a box of the vault
	How        How
	Created    time.Time
	VerifiedAt time.Time // zero: said, and vouches for nothing yet
	Revoked    bool
	Bounced    bool // a letter to it came back since it was verified: no other goes there
}

// How it came to be believed that an address is the citizen's.
type How string

// By a link sent there, or because the citizen confirmed what came from it and said to
// remember it.
const (
	ByLink       How = "link"
	ByRemembered How = "remembered"
)

// SenderStore keeps senders.
type SenderStore interface {
	// AddSender commits a sender, the journal's entry and letters, which speak of the sender
	// whatever object they name. One that the vault has already in force is kept, verified
	// when s is, and its id returned.
	AddSender(ctx context.Context, who core.Access, s Sender, letters ...core.LetterOrder) (core.SenderID, error)
	// Verify marks a sender in force as verified; a repeat changes nothing. core.ErrNotFound
	// for one that is revoked or not of this vault.
	VerifySender(ctx context.Context, who core.Access, id core.SenderID, at time.Time) error
	// ForgetSender revokes; likewise.
	ForgetSender(ctx context.Context, who core.Access, id core.SenderID, at time.Time) error
	Senders(ctx context.Context, tenant core.TenantID, id core.CitizenID) ([]Sender, error)
	// Origin reads the sealed origin of a deposit of this vault, with the first body, under
	// whose key it is sealed; core.ErrNotFound.
	Origin(ctx context.Context, tenant core.TenantID, id core.CitizenID, deposit core.DepositID) (sealed []byte, body core.Sealed, err error)
}

// Boxer seals small values for a vault.
type Boxer interface {
	Box(ctx context.Context, tenant core.TenantID, vault core.CitizenID, plain []byte) ([]byte, error)
}

// SenderKeys opens and seals what belongs to a vault.
type SenderKeys interface {
	Box(ctx context.Context, tenant core.TenantID, vault core.CitizenID, plain []byte) ([]byte, error)
	Unbox(ctx context.Context, who core.Access, boxes ...[]byte) ([][]byte, error)
	Open(ctx context.Context, who core.Access, wrapped ...vault.Wrapped) ([]vault.Key, error)
}

// Senders keeps the addresses citizens write from. Only a verified one vouches.
type Senders struct {
	store   SenderStore
	keys    SenderKeys
	notices Notices
	links   *link.Links
	index   vault.Index
	now     func() time.Time
}

// NewSenders builds it.
func NewSenders(store SenderStore, keys SenderKeys, notices Notices, links *link.Links, index vault.Index, now func() time.Time) *Senders {
	return &Senders{store, keys, notices, links, index, now}
}

// Add notes an address the citizen says is theirs. It vouches for nothing until Verify
// is given the token, which goes to that address alone: by letter, or, where the town
// sends nothing, by whoever called.
func (s *Senders) Add(ctx context.Context, who core.Access, email string) (id core.SenderID, token string, err error) {
	who.Act = "add_sender"
	sender, err := sealSender(ctx, s.keys, s.index, who.Tenant, who.Vault, email)
	if err != nil {
		return "", "", err
	}
	letters, err := s.notices.Prove(ctx, who.Tenant, who.Vault, sender.ID, sender.Hash)
	if err != nil {
		return "", "", err
	}
	sender.How, sender.Created = ByLink, s.now()
	if id, err = s.store.AddSender(ctx, who, sender, letters...); err != nil {
		return "", "", fmt.Errorf("add sender: %w", err)
	}
	if len(letters) > 0 {
		return id, "", nil
	}
	token, err = s.links.Issue(ctx, who.Tenant, who.Vault, link.VerifySender, string(id))
	return id, token, err
}

// sealSender is a sender of the address, sealed for its vault.
func sealSender(ctx context.Context, keys Boxer, index vault.Index, tenant core.TenantID, owner core.CitizenID, email string) (Sender, error) {
	canonical, ok := address.Canonical(email)
	if !ok {
		return Sender{}, fmt.Errorf("%w e-mail: not an address", core.ErrInvalid)
	}
	hash, _ := address.HashSender(index, canonical)
	box, err := keys.Box(ctx, tenant, owner, []byte(canonical))
	if err != nil {
		return Sender{}, fmt.Errorf("seal address: %w", err)
	}
	return Sender{ID: core.NewID[core.SenderID](), Hash: hash, Sealed: box}, nil
}

// Verify takes the token that was sent to an address as proof that it is the citizen's.
// core.ErrNotFound for any token that is not for this citizen, or no longer.
func (s *Senders) Verify(ctx context.Context, who core.Access, token string) error {
	who.Act = "verify_sender"
	return s.links.Use(ctx, who, link.VerifySender, token, func(object string) error {
		who.Object = object
		return s.store.VerifySender(ctx, who, core.SenderID(object), s.now())
	})
}

// Remember takes the citizen's word that a deposit's sender is theirs: from now on what
// comes from there, proven, to a secret address needs no yes. A sender that is not proven
// cannot be remembered: core.ErrInvalid.
func (s *Senders) Remember(ctx context.Context, who core.Access, deposit core.DepositID) error {
	sealed, body, err := s.store.Origin(ctx, who.Tenant, who.Vault, deposit)
	if err != nil {
		return err
	}
	who.Act, who.Object = "remember_sender", string(deposit)
	keys, err := s.keys.Open(ctx, who, vault.Wrapped{Object: body.Object, Bytes: body.Wrapped})
	if err != nil {
		return fmt.Errorf("open key: %w", err)
	}
	plain, err := keys[0].Open(who.Tenant, body.Object, vault.LabelOrigin, sealed)
	if err != nil {
		return fmt.Errorf("open origin: %w", err)
	}
	var origin core.Origin
	if err := json.Unmarshal(plain, &origin); err != nil {
		return fmt.Errorf("read origin: %w", err)
	}
	if !origin.Proven {
		return fmt.Errorf("%w sender: nothing proves that the address is the sender’s own", core.ErrInvalid)
	}
	sender, err := sealSender(ctx, s.keys, s.index, who.Tenant, who.Vault, origin.From)
	if err != nil {
		return err
	}
	sender.How, sender.Created, sender.VerifiedAt = ByRemembered, s.now(), s.now()
	if _, err = s.store.AddSender(ctx, who, sender); err != nil {
		return fmt.Errorf("add sender: %w", err)
	}
	return nil
}

// ShownSender is a sender as the citizen sees it.
type ShownSender struct {
	ID       core.SenderID `json:"id"`
	Address  string        `json:"address"`
	How      How           `json:"how"`
	Created  time.Time     `json:"created"`
	Verified bool          `json:"verified"`
	Revoked  bool          `json:"revoked"`
	Bounced  bool          `json:"bounced"` // a letter came back: none goes there until it is verified again
}

// List shows a citizen's senders, oldest first, forgotten ones included.
func (s *Senders) List(ctx context.Context, who core.Access) ([]ShownSender, error) {
	rows, err := s.store.Senders(ctx, who.Tenant, who.Vault)
	if err != nil {
		return nil, err
	}
	boxes := make([][]byte, len(rows))
	for i, row := range rows {
		boxes[i] = row.Sealed
	}
	who.Act = "show_senders"
	opened, err := s.keys.Unbox(ctx, who, boxes...)
	if err != nil {
		return nil, fmt.Errorf("open senders: %w", err)
	}
	out := make([]ShownSender, len(rows))
	for i, row := range rows {
		out[i] = ShownSender{row.ID, string(opened[i]), row.How, row.Created, !row.VerifiedAt.IsZero(), row.Revoked, row.Bounced}
	}
	return out, nil
}

// Forget ends a sender: it vouches for nothing any more. core.ErrNotFound when it is not
// this citizen's, or was forgotten before.
func (s *Senders) Forget(ctx context.Context, who core.Access, id core.SenderID) error {
	who.Act, who.Object = "forget_sender", string(id)
	return s.store.ForgetSender(ctx, who, id, s.now())
}
