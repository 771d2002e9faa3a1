package vault

import (
	"bytes"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/hybrid"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"vaguemestre/core"
)

// Wrapped keys begin with the scope that can open them.
const (
	scopeIntake = 'i' // HPKE, to the tenant's intake key
	scopeVault  = 'v' // AEAD, under the vault's key
)

// wrapContext binds a wrapped object key to what it opens, and a vault-wrapped one to
// its vault: moved to another vault or object, it opens nothing.
func wrapContext(scope byte, tenant core.TenantID, vault core.CitizenID, object core.ObjectID) []byte {
	return fmt.Appendf(nil, "vaguemestre object key\x00%c\x00%s\x00%s\x00%s", scope, tenant, vault, object)
}

// IntakeSealer makes object keys that only the keeper can open: it holds a tenant's
// intake public key and no secret (SEC-23).
type IntakeSealer struct {
	tenant core.TenantID
	public *keyset.Handle
}

// NewIntakeSealer reads the public keyset stored with the tenant.
func NewIntakeSealer(tenant core.TenantID, public []byte) (*IntakeSealer, error) {
	h, err := keyset.ReadWithNoSecrets(keyset.NewBinaryReader(bytes.NewReader(public)))
	if err != nil {
		return nil, fmt.Errorf("intake public key of tenant %s: %w", tenant, err)
	}
	return &IntakeSealer{tenant, h}, nil
}

// NewKey makes a fresh key for an object and its wrapping.
func (s *IntakeSealer) NewKey(object core.ObjectID) (Key, []byte, error) {
	key := newKey()
	wrapped, err := s.Wrap(object, key)
	return key, wrapped, err
}

// Wrap wraps an object's key so that only the keeper can open it, for no vault: that of
// a deposit that belongs to nobody, or to nobody any more (SEC-17).
func (s *IntakeSealer) Wrap(object core.ObjectID, key Key) ([]byte, error) {
	enc, err := hybrid.NewHybridEncrypt(s.public)
	if err != nil {
		return nil, fmt.Errorf("intake key: %w", err)
	}
	wrapped, err := enc.Encrypt(key, wrapContext(scopeIntake, s.tenant, "", object))
	if err != nil {
		return nil, fmt.Errorf("seal object key: %w", err)
	}
	return append([]byte{scopeIntake}, wrapped...), nil
}
