package vault

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"sync"

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

// Stored is what sealing a stream left: where its bytes lie, or the bytes.
type Stored struct {
	Ref    core.Ref
	Bytes  []byte // sealed, for the row; nil when they lie at Ref
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

// Appender is what a placement may offer besides: to lay bodies one behind the other, so
// that those which come together share a sync.
type Appender interface {
	// Append stores sealed bytes and returns where they lie. Nil means durable. The bytes
	// are not kept once it has returned.
	Append(ctx context.Context, tenant core.TenantID, sealed []byte) (core.Ref, error)
}

// Sealer seals streams into a blob store, save those that are short: their bytes come
// back, to be stored with the row, which spares a sync of their own. Those that are not
// long are appended where the store can, which shares one.
type Sealer struct {
	blobs    Blobs
	appender Appender // nil when the store is none
	long     int
	shorts   sync.Pool // buffers for the plain bytes of a short stream and one more,
	sealed   sync.Pool // and for the sealed ones of a stream that is not long
}

// NewSealer takes the most plain bytes that a short stream may have, none is short at 0,
// and the most that one may have which is not long.
func NewSealer(blobs Blobs, short, long int) *Sealer {
	s := &Sealer{blobs: blobs, long: long, shorts: sync.Pool{New: func() any { return new(make([]byte, short+1)) }}}
	s.appender, _ = blobs.(Appender)
	s.sealed.New = func() any { return bytes.NewBuffer(make([]byte, 0, sealedSize(long))) }
	return s
}

// Seal seals r under the object's key, in bounded memory. Nil means durable for what has
// a Ref; what has Bytes is durable once its row is.
func (s *Sealer) Seal(ctx context.Context, key Key, tenant core.TenantID, object core.ObjectID, r io.Reader) (Stored, error) {
	buf := s.shorts.Get().(*[]byte)
	defer s.shorts.Put(buf)
	begin, ended, err := upTo(r, *buf)
	if err != nil {
		return Stored{}, fmt.Errorf("seal object %s: %w", object, err)
	}
	if !ended {
		if s.appender == nil || len(begin) > s.long {
			return SealTo(ctx, s.blobs, key, tenant, object, io.MultiReader(bytes.NewReader(begin), r))
		}
		return s.append(ctx, key, tenant, object, begin, r)
	}
	sealed, err := key.Seal(tenant, object, LabelBody, begin)
	if err != nil {
		return Stored{}, fmt.Errorf("seal object %s: %w", object, err)
	}
	plain, digest := sha256.Sum256(begin), sha256.Sum256(sealed)
	return Stored{Bytes: sealed, Size: int64(len(begin)), SHA256: plain[:], Digest: digest[:]}, nil
}

// append seals a stream, its beginning and its rest, into memory and appends it; once it
// proves to be long what was sealed so far is put, and what comes behind it. The
// beginning is overwritten.
func (s *Sealer) append(ctx context.Context, key Key, tenant core.TenantID, object core.ObjectID, begin []byte, r io.Reader) (out Stored, err error) {
	defer func() {
		if err != nil {
			out, err = Stored{}, fmt.Errorf("seal object %s: %w", object, err)
		}
	}()
	buf := s.sealed.Get().(*bytes.Buffer)
	defer s.sealed.Put(buf)
	buf.Reset()
	plain, digest, to := sha256.New(), sha256.New(), &swap{buf}
	enc, err := key.SealWriter(io.MultiWriter(to, digest), tenant, object, LabelBody)
	if err != nil {
		return Stored{}, err
	}
	both := io.MultiWriter(enc, plain)
	if _, err := both.Write(begin); err != nil {
		return Stored{}, err
	}
	more, err := io.CopyBuffer(both, io.LimitReader(r, int64(s.long-len(begin))), begin)
	if err != nil {
		return Stored{}, err
	}
	out.Size = int64(len(begin)) + more
	var one [1]byte
	_, ended, err := upTo(r, one[:])
	switch {
	case err != nil:
	case ended:
		if err = enc.Close(); err == nil {
			out.Ref, err = s.appender.Append(ctx, tenant, buf.Bytes())
		}
	default:
		out.Ref, err = s.blobs.Put(ctx, tenant, object, func(w io.Writer) error {
			to.Writer = w
			if _, err := w.Write(buf.Bytes()); err != nil {
				return err
			}
			rest, err := io.CopyBuffer(both, io.MultiReader(bytes.NewReader(one[:]), r), begin)
			if err != nil {
				return err
			}
			out.Size += rest
			return enc.Close()
		})
	}
	out.SHA256, out.Digest = plain.Sum(nil), digest.Sum(nil)
	return out, err
}

// swap writes to one writer, and later to another.
type swap struct{ io.Writer }

// upTo reads until buf is full or r has ended before. Only io.EOF is an end: io.ReadFull could
// not tell a stream that was cut, io.ErrUnexpectedEOF, from a short one.
func upTo(r io.Reader, buf []byte) (begin []byte, ended bool, err error) {
	n := 0
	for idle := 0; n < len(buf); {
		m, err := r.Read(buf[n:])
		n += m
		if err == io.EOF {
			return buf[:n], n < len(buf), nil
		}
		if err != nil {
			return nil, false, err
		}
		if idle++; m > 0 {
			idle = 0
		} else if idle == 100 {
			return nil, false, io.ErrNoProgress
		}
	}
	return buf, false, nil
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
