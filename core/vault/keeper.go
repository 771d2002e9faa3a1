package vault

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/hybrid"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"vaguemestre/core"
)

// KeyService holds the tenants' key-encryption keys: a file, or later a Vault or a
// PKCS#11 token. It never hands a key out.
type KeyService interface {
	// Create makes the tenant's KEK; a repeat changes nothing.
	Create(ctx context.Context, tenant core.TenantID) error
	// Wrap encrypts a keyset under the tenant's KEK, bound to what the keyset is for.
	Wrap(ctx context.Context, tenant core.TenantID, keyset, bound []byte) ([]byte, error)
	// Unwrap is the inverse; any other tenant, binding or byte fails.
	Unwrap(ctx context.Context, tenant core.TenantID, wrapped, bound []byte) ([]byte, error)
}

// Keyring finds wrapped keysets.
type Keyring interface {
	VaultKey(ctx context.Context, tenant core.TenantID, vault core.CitizenID) ([]byte, error)
	IntakeKey(ctx context.Context, tenant core.TenantID) ([]byte, error)
}

// Journal records an access durably; an error means nothing may be opened. An access
// under a lease is refused with core.ErrStale when the lease has passed on.
type Journal interface {
	Record(ctx context.Context, a core.Access) error
}

// Wrapped is an object key as it is stored.
type Wrapped struct {
	Object core.ObjectID
	Bytes  []byte
}

// Keeper is the only holder of the right to decrypt (SEC-11). All its arguments and
// results are plain data, so that it can stand in a process of its own.
type Keeper struct {
	service KeyService
	keyring Keyring
	journal Journal
	now     func() time.Time

	mu    sync.Mutex
	cache map[string]cached
}

type cached struct {
	secrets
	until time.Time
}

// cacheFor bounds how long an opened vault key outlives the key service (SEC-28: ≤ 5 min).
const cacheFor = time.Minute

// NewKeeper builds the keeper.
func NewKeeper(service KeyService, keyring Keyring, journal Journal, now func() time.Time) *Keeper {
	return &Keeper{service: service, keyring: keyring, journal: journal, now: now, cache: map[string]cached{}}
}

// Open writes one journal entry durably, then opens the wrapped object keys, in
// order. Without the entry no key is opened; one key that does not open fails all.
func (k *Keeper) Open(ctx context.Context, who core.Access, wrapped ...Wrapped) ([]Key, error) {
	if err := k.journal.Record(ctx, who); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	keys := make([]Key, len(wrapped))
	for i, w := range wrapped {
		key, err := k.unwrap(ctx, who, w)
		if err != nil {
			return nil, fmt.Errorf("key of object %s: %w", w.Object, err)
		}
		keys[i] = key
	}
	return keys, nil
}

func (k *Keeper) unwrap(ctx context.Context, who core.Access, w Wrapped) (Key, error) {
	if len(w.Bytes) == 0 {
		return nil, ErrSealBroken
	}
	switch scope, sealed := w.Bytes[0], w.Bytes[1:]; scope {
	case scopeIntake:
		h, err := k.intake(ctx, who.Tenant)
		if err != nil {
			return nil, err
		}
		dec, err := hybrid.NewHybridDecrypt(h)
		if err != nil {
			return nil, err
		}
		return opened(dec.Decrypt(sealed, wrapContext(scope, who.Tenant, "", w.Object)))
	case scopeVault:
		a, err := k.vaultAEAD(ctx, who.Tenant, who.Vault)
		if err != nil {
			return nil, err
		}
		return opened(a.Decrypt(sealed, wrapContext(scope, who.Tenant, who.Vault, w.Object)))
	}
	return nil, ErrSealBroken
}

func opened(key []byte, err error) (Key, error) {
	if err != nil || len(key) != keySize {
		return nil, ErrSealBroken
	}
	return key, nil
}

// NewKey makes a fresh object key, wrapped for the vault.
func (k *Keeper) NewKey(ctx context.Context, tenant core.TenantID, vault core.CitizenID, object core.ObjectID) (Key, []byte, error) {
	key := newKey()
	wrapped, err := k.Wrap(ctx, tenant, vault, object, key)
	return key, wrapped, err
}

// Wrap wraps an object key for the vault: attribution re-wraps, and rewrites no bytes.
func (k *Keeper) Wrap(ctx context.Context, tenant core.TenantID, vault core.CitizenID, object core.ObjectID, key Key) ([]byte, error) {
	a, err := k.vaultAEAD(ctx, tenant, vault)
	if err != nil {
		return nil, err
	}
	sealed, err := a.Encrypt(key, wrapContext(scopeVault, tenant, vault, object))
	if err != nil {
		return nil, fmt.Errorf("wrap key of object %s: %w", object, err)
	}
	return append([]byte{scopeVault}, sealed...), nil
}

// Fingerprint is a hash keyed by the vault: equal content in one vault has the same,
// in two vaults never (SEC-06). Whoever lacks the vault key cannot probe for a known file.
func (k *Keeper) Fingerprint(ctx context.Context, tenant core.TenantID, vault core.CitizenID, parts ...[]byte) ([]byte, error) {
	s, err := k.vaultSecrets(ctx, tenant, vault)
	if err != nil {
		return nil, err
	}
	return NewIndex(s.fingerprint).Sum("version", parts...), nil
}

// TenantKeys makes a tenant's KEK and intake key pair: the public keyset, and the
// private one wrapped.
func (k *Keeper) TenantKeys(ctx context.Context, tenant core.TenantID) (public, wrapped []byte, err error) {
	if err := k.service.Create(ctx, tenant); err != nil {
		return nil, nil, fmt.Errorf("create KEK: %w", err)
	}
	public, private, err := newIntakePair()
	if err != nil {
		return nil, nil, fmt.Errorf("intake key pair: %w", err)
	}
	wrapped, err = k.service.Wrap(ctx, tenant, private, intakeBinding(tenant))
	if err != nil {
		return nil, nil, fmt.Errorf("key service: %w", err)
	}
	return public, wrapped, nil
}

// VaultKey makes a new vault's key, wrapped by the tenant's KEK.
func (k *Keeper) VaultKey(ctx context.Context, tenant core.TenantID, vault core.CitizenID) ([]byte, error) {
	plain, err := newVaultSecrets()
	if err != nil {
		return nil, fmt.Errorf("vault key: %w", err)
	}
	wrapped, err := k.service.Wrap(ctx, tenant, plain, vaultBinding(tenant, vault))
	if err != nil {
		return nil, fmt.Errorf("key service: %w", err)
	}
	s, err := parseSecrets(plain)
	if err != nil {
		return nil, err
	}
	k.remember(vaultName(tenant, vault), s)
	return wrapped, nil
}

func intakeBinding(tenant core.TenantID) []byte {
	return fmt.Appendf(nil, "vaguemestre intake key\x00%s", tenant)
}

func vaultBinding(tenant core.TenantID, vault core.CitizenID) []byte {
	return fmt.Appendf(nil, "vaguemestre vault key\x00%s\x00%s", tenant, vault)
}

func vaultName(tenant core.TenantID, vault core.CitizenID) string {
	return "vault\x00" + string(tenant) + "\x00" + string(vault)
}

func (k *Keeper) vaultAEAD(ctx context.Context, tenant core.TenantID, vault core.CitizenID) (tink.AEAD, error) {
	s, err := k.vaultSecrets(ctx, tenant, vault)
	if err != nil {
		return nil, err
	}
	return aead.New(s.handle)
}

func (k *Keeper) vaultSecrets(ctx context.Context, tenant core.TenantID, vault core.CitizenID) (secrets, error) {
	if vault == "" {
		return secrets{}, errors.New("no vault named")
	}
	return k.secrets(ctx, vaultName(tenant, vault), tenant, vaultBinding(tenant, vault), func() ([]byte, error) {
		return k.keyring.VaultKey(ctx, tenant, vault)
	})
}

func (k *Keeper) intake(ctx context.Context, tenant core.TenantID) (*keyset.Handle, error) {
	s, err := k.secrets(ctx, "intake\x00"+string(tenant), tenant, intakeBinding(tenant), func() ([]byte, error) {
		return k.keyring.IntakeKey(ctx, tenant)
	})
	return s.handle, err
}

// secrets opens a wrapped keyset, or takes it from the cache.
func (k *Keeper) secrets(ctx context.Context, name string, tenant core.TenantID, bound []byte, find func() ([]byte, error)) (secrets, error) {
	k.mu.Lock()
	c, ok := k.cache[name]
	k.mu.Unlock()
	if ok && k.now().Before(c.until) {
		return c.secrets, nil
	}
	wrapped, err := find()
	if err != nil {
		return secrets{}, fmt.Errorf("find key: %w", err)
	}
	plain, err := k.service.Unwrap(ctx, tenant, wrapped, bound)
	if err != nil {
		return secrets{}, fmt.Errorf("key service: %w", err)
	}
	s, err := parseSecrets(plain)
	if err != nil {
		return secrets{}, err
	}
	k.remember(name, s)
	return s, nil
}

func (k *Keeper) remember(name string, s secrets) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	for n, c := range k.cache { // an expired key leaves memory at the next use of any other
		if now.After(c.until) {
			delete(k.cache, n)
		}
	}
	k.cache[name] = cached{s, now.Add(cacheFor)}
}
