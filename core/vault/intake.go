package vault

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"fmt"
	"slices"

	tinkhpke "github.com/tink-crypto/tink-go/v2/hybrid/hpke"
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
	prefix []byte // of what is sealed to the key: names it in its keyset
	public hpke.PublicKey
}

// NewIntakeSealer reads the public keyset stored with the tenant.
func NewIntakeSealer(tenant core.TenantID, public []byte) (*IntakeSealer, error) {
	h, err := keyset.ReadWithNoSecrets(keyset.NewBinaryReader(bytes.NewReader(public)))
	if err != nil {
		return nil, fmt.Errorf("intake public key of tenant %s: %w", tenant, err)
	}
	s := &IntakeSealer{tenant: tenant}
	primary, err := h.Primary()
	if err != nil {
		return nil, fmt.Errorf("intake public key of tenant %s: %w", tenant, err)
	}
	key, ok := primary.Key().(*tinkhpke.PublicKey)
	if !ok || !ofNewIntakePair(key) {
		return nil, fmt.Errorf("intake public key of tenant %s: of another kind", tenant)
	}
	if s.public, err = hpke.DHKEM(ecdh.X25519()).NewPublicKey(key.PublicKeyBytes()); err != nil {
		return nil, fmt.Errorf("intake public key of tenant %s: %w", tenant, err)
	}
	s.prefix = key.OutputPrefix()
	return s, nil
}

// ofNewIntakePair: the key is of the one kind that newIntakePair makes.
func ofNewIntakePair(key *tinkhpke.PublicKey) bool {
	p, ok := key.Parameters().(*tinkhpke.Parameters)
	return ok && p.KEMID() == tinkhpke.DHKEM_X25519_HKDF_SHA256 && p.KDFID() == tinkhpke.HKDFSHA256 && p.AEADID() == tinkhpke.AES256GCM
}

// NewKey makes a fresh key for an object and its wrapping. The wrapping is Tink's, made
// by the standard library: accepting does this for every mail, and Tink multiplies on
// the curve three times where two suffice.
func (s *IntakeSealer) NewKey(object core.ObjectID) (Key, []byte, error) {
	key := newKey()
	wrapped, err := s.Wrap(object, key)
	return key, wrapped, err
}

// Wrap wraps an object's key so that only the keeper can open it, for no vault: that of
// a deposit that belongs to nobody, or to nobody any more (SEC-17).
func (s *IntakeSealer) Wrap(object core.ObjectID, key Key) ([]byte, error) {
	sealed, err := hpke.Seal(s.public, hpke.HKDFSHA256(), hpke.AES256GCM(), wrapContext(scopeIntake, s.tenant, "", object), key)
	if err != nil {
		return nil, fmt.Errorf("seal object key: %w", err)
	}
	return slices.Concat([]byte{scopeIntake}, s.prefix, sealed), nil
}
