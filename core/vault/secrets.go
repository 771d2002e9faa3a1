package vault

import (
	"bytes"
	"crypto/rand"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/hybrid"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// secrets is what the key service protects for one vault or one tenant's intake: a
// Tink keyset (rotation adds a key to it: SEC-22), and a secret for fingerprints that
// outlives rotation. In the clear it exists in the keeper's memory alone.
type secrets struct {
	fingerprint []byte
	handle      *keyset.Handle
}

const fingerprintSize = 32

func newVaultSecrets() ([]byte, error) {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, err
	}
	return serialize(h)
}

func newIntakePair() (public, private []byte, err error) {
	h, err := keyset.NewHandle(hybrid.DHKEM_X25519_HKDF_SHA256_HKDF_SHA256_AES_256_GCM_Key_Template())
	if err != nil {
		return nil, nil, err
	}
	pub, err := h.Public()
	if err != nil {
		return nil, nil, err
	}
	var buf bytes.Buffer
	if err := pub.WriteWithNoSecrets(keyset.NewBinaryWriter(&buf)); err != nil {
		return nil, nil, err
	}
	private, err = serialize(h)
	return buf.Bytes(), private, err
}

func serialize(h *keyset.Handle) ([]byte, error) {
	var buf bytes.Buffer
	secret := make([]byte, fingerprintSize)
	_, _ = rand.Read(secret) // documented never to fail
	buf.Write(secret)
	if err := insecurecleartextkeyset.Write(h, keyset.NewBinaryWriter(&buf)); err != nil {
		return nil, fmt.Errorf("serialize keyset: %w", err)
	}
	return buf.Bytes(), nil
}

func parseSecrets(plain []byte) (secrets, error) {
	if len(plain) < fingerprintSize {
		return secrets{}, ErrSealBroken
	}
	h, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(plain[fingerprintSize:])))
	if err != nil {
		return secrets{}, fmt.Errorf("%w: keyset", ErrSealBroken)
	}
	return secrets{plain[:fingerprintSize], h}, nil
}
