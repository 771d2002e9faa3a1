// Package link owns the opaque links that go out in messages: a token that names one act
// for one citizen, and is worth nothing to whoever has not signed in as that citizen
// (SEC-47).
package link

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/vault"
)

// Purpose is the one act a link is for.
type Purpose string

// The purposes.
const (
	ConfirmDeposit Purpose = "confirm_deposit" // object: a deposit
	VerifySender   Purpose = "verify_sender"   // object: a sender of the citizen's
	DeleteDocument Purpose = "delete_document" // object: a document
	OpenDocument   Purpose = "open_document"   // object: a document in a dispatch, for an agent of its service
)

// For how long links work. A deposit waits as long as its citizen may be away, a document
// as long for its service; a mailbox is proven at once or not at all; who asks for a
// deletion means it this week.
const (
	confirmFor = 30 * 24 * time.Hour
	verifyFor  = 48 * time.Hour
	deleteFor  = 7 * 24 * time.Hour
)

// Lasts is for how long a link of the purpose works.
func (p Purpose) Lasts() time.Duration {
	switch p {
	case ConfirmDeposit, OpenDocument:
		return confirmFor
	case DeleteDocument:
		return deleteFor
	}
	return verifyFor
}

// Link is a link as it is stored.
type Link struct {
	Tenant  core.TenantID
	Vault   core.CitizenID
	Hash    []byte // keyed, of the token
	Purpose Purpose
	Object  string // id
	Created time.Time
	Expires time.Time
}

// Store keeps links.
type Store interface {
	// AddLink commits a link; one of the same hash stays as it is.
	AddLink(ctx context.Context, l Link) error
	// Link finds the link with this hash in the vault; core.ErrNotFound otherwise.
	Link(ctx context.Context, tenant core.TenantID, vault core.CitizenID, hash []byte) (Link, error)
	// TownLink finds the link with this hash in any vault of the tenant; core.ErrNotFound.
	TownLink(ctx context.Context, tenant core.TenantID, hash []byte) (Link, error)
	// UseLink notes when the link was first used.
	UseLink(ctx context.Context, l Link, at time.Time) error
}

// Links makes and reads links.
type Links struct {
	store Store
	index vault.Index
	now   func() time.Time
}

// New builds the links.
func New(store Store, index vault.Index, now func() time.Time) *Links {
	return &Links{store, index, now}
}

// Issue makes a link for an act of a citizen on an object, and returns its token: 256
// random bits, of which only a keyed hash is kept.
func (l *Links) Issue(ctx context.Context, tenant core.TenantID, owner core.CitizenID, p Purpose, object string) (token string, err error) {
	var b [32]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	token = base64.RawURLEncoding.EncodeToString(b[:])
	now := l.now()
	err = l.store.AddLink(ctx, Link{Tenant: tenant, Vault: owner, Hash: l.hash(token), Purpose: p, Object: object, Created: now, Expires: now.Add(p.Lasts())})
	if err != nil {
		return "", fmt.Errorf("issue link: %w", err)
	}
	return token, nil
}

// IssueOnce makes the one link for an act on an object, or finds the one made before: a
// message that is composed again says the same. It works until the time it returns,
// counted from the first.
func (l *Links) IssueOnce(ctx context.Context, tenant core.TenantID, owner core.CitizenID, p Purpose, object string) (token string, expires time.Time, err error) {
	token = base64.RawURLEncoding.EncodeToString(l.index.Sum("token of a link", []byte(tenant), []byte(owner), []byte(p), []byte(object)))
	now := l.now()
	err = l.store.AddLink(ctx, Link{Tenant: tenant, Vault: owner, Hash: l.hash(token), Purpose: p, Object: object, Created: now, Expires: now.Add(p.Lasts())})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("issue link: %w", err)
	}
	made, err := l.store.Link(ctx, tenant, owner, l.hash(token))
	if err != nil {
		return "", time.Time{}, fmt.Errorf("issue link: %w", err)
	}
	return token, made.Expires, nil
}

// Look says what a token is for, to the citizen it was made for. It changes nothing, so
// a program that opens every link in a mail sets nothing off. core.ErrNotFound for
// anybody else's token, one for another purpose, an expired one and none at all: they
// cannot be told apart.
func (l *Links) Look(ctx context.Context, who core.Access, p Purpose, token string) (object string, err error) {
	found, err := l.find(ctx, who, p, token)
	return found.Object, err
}

// Use does the act that a token is for and notes it. The act must bear being done
// again: people click twice. Errors are those of Look and of act.
func (l *Links) Use(ctx context.Context, who core.Access, p Purpose, token string, act func(object string) error) error {
	found, err := l.find(ctx, who, p, token)
	if err != nil {
		return err
	}
	if err := act(found.Object); err != nil {
		return err
	}
	return l.store.UseLink(ctx, found, l.now())
}

func (l *Links) find(ctx context.Context, who core.Access, p Purpose, token string) (Link, error) {
	if who.Vault == "" {
		return Link{}, core.ErrNotFound
	}
	found, err := l.store.Link(ctx, who.Tenant, who.Vault, l.hash(token))
	if err != nil {
		return Link{}, fmt.Errorf("find link: %w", err)
	}
	if found.Purpose != p || !l.now().Before(found.Expires) {
		return Link{}, core.ErrNotFound
	}
	return found, nil
}

// ForAgent says what a token is for that was sent to a service, whose agent brings no
// vault along. It changes nothing; what the agent may see of it is for the caller to say.
// Errors are those of Look.
func (l *Links) ForAgent(ctx context.Context, tenant core.TenantID, token string) (Link, error) {
	found, err := l.store.TownLink(ctx, tenant, l.hash(token))
	if err != nil {
		return Link{}, fmt.Errorf("find link: %w", err)
	}
	if found.Purpose != OpenDocument || !l.now().Before(found.Expires) {
		return Link{}, core.ErrNotFound
	}
	return found, nil
}

// Used notes that the act of a link was done.
func (l *Links) Used(ctx context.Context, found Link) error {
	return l.store.UseLink(ctx, found, l.now())
}

func (l *Links) hash(token string) []byte { return l.index.Sum("link", []byte(token)) }
