// Package vault seals and opens bytes: one random key per object, wrapped by the key
// of the citizen's vault, itself wrapped by the tenant's key in the key service
// (SEC-20). Keys are opened through Keeper alone, which journals first.
package vault

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/tink-crypto/tink-go/v2/streamingaead/subtle"

	"vaguemestre/core"
)

// Key is an object key: it opens one object, its bytes and what was noted about them.
type Key []byte

const (
	keySize     = 32
	segmentSize = 64 << 10 // small enough for fifty sessions at once, large enough to run at disk speed

	formatVersion   = 1
	algAESGCMHKDF64 = 1 // Tink streaming AEAD: AES-256-GCM, HKDF-SHA256, 64 KiB segments
)

// ErrSealBroken: the sealed bytes were changed, cut, moved to another object, or the
// key is another's. Whatever was read before must not be used.
var ErrSealBroken = errors.New("seal broken")

func newKey() Key {
	k := make(Key, keySize)
	_, _ = rand.Read(k) // documented never to fail
	return k
}

// aad binds a sealed stream to what it is (SEC-21). The vault is not in it: it is
// bound in the wrapped key, so that attribution re-wraps a key and rewrites no bytes.
func aad(alg byte, tenant core.TenantID, object core.ObjectID, label string) []byte {
	return fmt.Appendf(nil, "vaguemestre\x00%d\x00%d\x00%s\x00%s\x00%s", formatVersion, alg, tenant, object, label)
}

// SealWriter seals what is written to it into w, in bounded memory. Label tells apart
// the streams of one object ("body", "meta"…). Without Close the stream is cut, and
// reading it fails.
func (k Key) SealWriter(w io.Writer, tenant core.TenantID, object core.ObjectID, label string) (io.WriteCloser, error) {
	return k.sealWriter(w, tenant, object, label, segmentSize)
}

// sealWriter is SealWriter with a buffer of the given size. A stream that fits into it
// is its own last segment, and the same bytes whatever the size.
func (k Key) sealWriter(w io.Writer, tenant core.TenantID, object core.ObjectID, label string, buffer int) (io.WriteCloser, error) {
	if _, err := w.Write([]byte{formatVersion, algAESGCMHKDF64}); err != nil {
		return nil, err
	}
	cipher, err := subtle.NewAESGCMHKDF(k, "SHA256", keySize, buffer, 0)
	if err != nil {
		return nil, fmt.Errorf("object key: %w", err)
	}
	return cipher.NewEncryptingWriter(w, aad(algAESGCMHKDF64, tenant, object, label))
}

// OpenReader opens a sealed stream. Reading returns authenticated bytes only, and
// ErrSealBroken in place of io.EOF when the stream was cut or changed: bytes already
// handed out are then a prefix of the original and must not be served as whole (REL-13).
func (k Key) OpenReader(r io.Reader, tenant core.TenantID, object core.ObjectID, label string) (io.Reader, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("%w: header: %v", ErrSealBroken, err)
	}
	if head[0] != formatVersion || head[1] != algAESGCMHKDF64 {
		return nil, fmt.Errorf("%w: format %d, algorithm %d", ErrSealBroken, head[0], head[1])
	}
	cipher, err := subtle.NewAESGCMHKDF(k, "SHA256", keySize, segmentSize, 0)
	if err != nil {
		return nil, fmt.Errorf("object key: %w", err)
	}
	plain, err := cipher.NewDecryptingReader(r, aad(head[1], tenant, object, label))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrSealBroken, err)
	}
	return &brokenReader{r: plain}, nil
}

// brokenReader names every reading fault but a clean end ErrSealBroken, and stays
// broken: read again, the cipher below would take a last segment that failed for the end.
type brokenReader struct {
	r   io.Reader
	err error
}

func (b *brokenReader) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %v", ErrSealBroken, err)
		b.err = err
	}
	return n, err
}

// What a stream is longer by when it is sealed: two bytes of ours, the header (its
// length, a salt of keySize, a nonce prefix), and a tag for each segment.
const (
	sealHeader = 1 + keySize + subtle.AESGCMHKDFNoncePrefixSizeInBytes
	sealTag    = subtle.AESGCMHKDFTagSizeInBytes
)

// sealedSize is the most bytes that so many plain ones have when they are sealed.
func sealedSize(plain int) int {
	one := sealHeader + plain + sealTag
	return 2 + one + one/segmentSize*sealTag
}

// Seal seals a small value under the object's key.
func (k Key) Seal(tenant core.TenantID, object core.ObjectID, label string, plain []byte) ([]byte, error) {
	one := sealHeader + len(plain) + sealTag
	out := bytes.NewBuffer(make([]byte, 0, sealedSize(len(plain))))
	w, err := k.sealWriter(out, tenant, object, label, min(max(one, sealHeader+sealTag+1), segmentSize))
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Open opens a small value, whole or not at all.
func (k Key) Open(tenant core.TenantID, object core.ObjectID, label string, sealed []byte) ([]byte, error) {
	r, err := k.OpenReader(bytes.NewReader(sealed), tenant, object, label)
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return plain, nil
}

// Labels of the streams an object has.
const (
	LabelBody     = "body"
	LabelMeta     = "meta"
	LabelEnvelope = "envelope"
	LabelNote     = "note"
	LabelOrigin   = "origin"
	LabelArtifact = "artifact:" // + kind
)
