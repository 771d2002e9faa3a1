package tenant

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"time"

	"vaguemestre/core"
)

// Secret is the name of something a town is let in with elsewhere.
type Secret string

// Secrets that are in use.
const (
	SecretRelay Secret = "relay" // password at the relay
)

// SecretDKIM is the secret that holds the private keys of a selector, in PEM.
func SecretDKIM(selector string) Secret { return Secret("dkim/" + selector) }

// SecretMailbox is the secret of a mailbox: a password, or what tokens are asked for with.
func SecretMailbox(id core.MailboxID) Secret { return Secret("mailbox/" + string(id)) }

var secretForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]*(/[a-z0-9][a-z0-9_.-]*)?$`)

// MaxSecret is the largest secret, in bytes.
const MaxSecret = 64 << 10

// SecretSet is a secret that is set, without what it is.
type SecretSet struct {
	Name Secret    `json:"name"`
	Set  time.Time `json:"set"`
}

// SecretStore keeps sealed secrets.
type SecretStore interface {
	// PutSecret sets a secret, in the place of any other of the name.
	PutSecret(ctx context.Context, tenant core.TenantID, name Secret, sealed []byte, at time.Time) error
	// Secret reads one; core.ErrNotFound.
	Secret(ctx context.Context, tenant core.TenantID, name Secret) (sealed []byte, err error)
	// ReplaceSecret sets a secret if it still is what was read before; core.ErrStale.
	ReplaceSecret(ctx context.Context, tenant core.TenantID, name Secret, before, sealed []byte, at time.Time) error
	// ListSecrets lists them by name.
	ListSecrets(ctx context.Context, tenant core.TenantID) ([]SecretSet, error)
	// ForgetSecret removes one; core.ErrNotFound.
	ForgetSecret(ctx context.Context, tenant core.TenantID, name Secret) error
}

// Secrets seals a town's secrets by AES-256-GCM, bound to the town and the name: a row
// that was moved does not open. Which methods work is what the store's role may do.
type Secrets struct {
	store SecretStore
	aead  cipher.AEAD
	now   func() time.Time
}

// NewSecrets takes the installation's key, of 32 bytes.
func NewSecrets(store SecretStore, key []byte, now func() time.Time) (*Secrets, error) {
	if len(key) != 32 {
		return nil, fmt.Errorf("key of secrets: want 32 bytes, not %d", len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("key of secrets: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("key of secrets: %w", err)
	}
	return &Secrets{store, aead, now}, nil
}

const secretFormat = 1 // of a sealed secret: this byte, nonce, ciphertext

// ErrSecretBroken: a sealed secret was changed, moved, or sealed under another key.
var ErrSecretBroken = errors.New("the secret does not open under this installation's key")

// Set seals a secret and keeps it in the place of any other of the name. core.ErrInvalid
// for a name or value that cannot be.
func (s *Secrets) Set(ctx context.Context, tenant core.TenantID, name Secret, value []byte) error {
	if len(name) > 80 || !secretForm.MatchString(string(name)) {
		return fmt.Errorf("%w name of a secret: want small letters, digits, and - _ . and at most one /", core.ErrInvalid)
	}
	if len(value) == 0 || len(value) > MaxSecret {
		return fmt.Errorf("%w secret: want 1 to %d bytes", core.ErrInvalid, MaxSecret)
	}
	if err := s.store.PutSecret(ctx, tenant, name, s.seal(tenant, name, value), s.now()); err != nil {
		return fmt.Errorf("set secret %s: %w", name, err)
	}
	return nil
}

// Open returns a secret; core.ErrNotFound when it was never set, ErrSecretBroken.
func (s *Secrets) Open(ctx context.Context, tenant core.TenantID, name Secret) ([]byte, error) {
	value, _, err := s.open(ctx, tenant, name)
	return value, err
}

func (s *Secrets) open(ctx context.Context, tenant core.TenantID, name Secret) (value, sealed []byte, err error) {
	if sealed, err = s.store.Secret(ctx, tenant, name); err != nil {
		return nil, nil, fmt.Errorf("secret %s: %w", name, err)
	}
	n := 1 + s.aead.NonceSize()
	if len(sealed) < n || sealed[0] != secretFormat {
		return nil, nil, fmt.Errorf("secret %s: %w", name, ErrSecretBroken)
	}
	if value, err = s.aead.Open(nil, sealed[1:n], sealed[n:], binding(tenant, name)); err != nil {
		return nil, nil, fmt.Errorf("secret %s: %w", name, ErrSecretBroken)
	}
	return value, sealed, nil
}

// Change replaces a secret by what change makes of it. core.ErrStale when somebody set
// another in the meantime: theirs stays.
func (s *Secrets) Change(ctx context.Context, tenant core.TenantID, name Secret, change func([]byte) ([]byte, error)) error {
	value, before, err := s.open(ctx, tenant, name)
	if err != nil {
		return err
	}
	if value, err = change(value); err != nil {
		return err
	}
	if err := s.store.ReplaceSecret(ctx, tenant, name, before, s.seal(tenant, name, value), s.now()); err != nil {
		return fmt.Errorf("replace secret %s: %w", name, err)
	}
	return nil
}

// List lists the secrets that are set, by name.
func (s *Secrets) List(ctx context.Context, tenant core.TenantID) ([]SecretSet, error) {
	return s.store.ListSecrets(ctx, tenant)
}

// Forget removes a secret; core.ErrNotFound.
func (s *Secrets) Forget(ctx context.Context, tenant core.TenantID, name Secret) error {
	return s.store.ForgetSecret(ctx, tenant, name)
}

func (s *Secrets) seal(tenant core.TenantID, name Secret, value []byte) []byte {
	out := make([]byte, 1+s.aead.NonceSize(), 1+s.aead.NonceSize()+len(value)+s.aead.Overhead())
	out[0] = secretFormat
	_, _ = rand.Read(out[1:]) // documented never to fail
	return s.aead.Seal(out, out[1:], value, binding(tenant, name))
}

func binding(tenant core.TenantID, name Secret) []byte {
	return fmt.Appendf(nil, "vaguemestre\x00secret\x00%s\x00%s", tenant, name)
}
