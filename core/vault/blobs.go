package vault

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"

	"vaguemestre/core"
)

// Blobs keeps sealed bytes.
type Blobs interface {
	// Put stores what write writes and returns where it lies. Nil means durable: the
	// bytes survive a power cut. When write or the store fails nothing is left behind
	// that a reader could find. An object is put once: a second time is an error.
	Put(ctx context.Context, tenant core.TenantID, object core.ObjectID, write func(io.Writer) error) (core.Ref, error)
	// Open streams stored bytes; core.ErrNotFound when they are not there.
	Open(ctx context.Context, ref core.Ref) (io.ReadCloser, error)
	// Delete forgets bytes that no row names; a repeat is no error.
	Delete(ctx context.Context, ref core.Ref) error
}

// Stored is what sealing a stream into the blob store left.
type Stored struct {
	Ref    core.Ref
	Size   int64  // of the plain bytes
	SHA256 []byte // of the plain bytes: sensitive, never stored in the clear (SEC-24)
	Digest []byte // SHA-256 of the sealed bytes: wholeness can be checked without a key
}

// SealTo seals r into blobs under the object's key, in bounded memory.
func SealTo(ctx context.Context, blobs Blobs, key Key, tenant core.TenantID, object core.ObjectID, r io.Reader) (Stored, error) {
	var s Stored
	plain, sealed := sha256.New(), sha256.New()
	ref, err := blobs.Put(ctx, tenant, object, func(w io.Writer) error {
		enc, err := key.SealWriter(io.MultiWriter(w, sealed), tenant, object, LabelBody)
		if err != nil {
			return err
		}
		if s.Size, err = io.Copy(io.MultiWriter(enc, plain), r); err != nil {
			return err
		}
		return enc.Close()
	})
	if err != nil {
		return Stored{}, fmt.Errorf("seal object %s: %w", object, err)
	}
	s.Ref, s.SHA256, s.Digest = ref, plain.Sum(nil), sealed.Sum(nil)
	return s, nil
}

// OpenFrom opens the sealed bytes that ref names; the caller closes.
func OpenFrom(ctx context.Context, blobs Blobs, key Key, tenant core.TenantID, object core.ObjectID, ref core.Ref) (io.ReadCloser, error) {
	f, err := blobs.Open(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", object, err)
	}
	r, err := key.OpenReader(f, tenant, object, LabelBody)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("object %s: %w", object, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{r, f}, nil
}
