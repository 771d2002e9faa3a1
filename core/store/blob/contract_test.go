package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/ledger"
	"vaguemestre/core/vault"
)

// store is what every placement of blobs offers.
type store interface {
	vault.Blobs
	ledger.Store
}

var errWriter = errors.New("the sender went away")

// contract is what every placement must keep to (REL-18).
func contract(t *testing.T, s store) {
	tenant := core.NewID[core.TenantID]()
	t.Run("bytes come back", func(t *testing.T) {
		for _, size := range []int{0, 1, 4095, 64 << 10, 1<<20 + 1, 17<<20 + 1} {
			want := noise(size)
			ref := put(t, s, tenant, core.NewID[core.ObjectID](), want)
			if got, err := fetch(t, s, ref); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes: %d came back, %v", size, len(got), err)
			}
		}
	})
	t.Run("many at once", func(t *testing.T) {
		var wait sync.WaitGroup
		for n := range 24 {
			wait.Go(func() {
				want := noise(10_000 + n)
				ref, err := s.Put(t.Context(), tenant, core.NewID[core.ObjectID](), writer(want))
				if err != nil {
					t.Error(err)
				} else if got, err := fetch(t, s, ref); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d bytes: %d came back, %v", len(want), len(got), err)
				}
			})
		}
		wait.Wait()
	})
	t.Run("nothing of a failed writing", func(t *testing.T) { failedWritings(t, s) })
	t.Run("an object is put once", func(t *testing.T) {
		object := core.NewID[core.ObjectID]()
		ref := put(t, s, tenant, object, []byte("first"))
		if again, err := s.Put(t.Context(), tenant, object, writer([]byte("second"))); err == nil {
			t.Errorf("put again as %s", again)
		}
		if got, err := fetch(t, s, ref); err != nil || string(got) != "first" {
			t.Errorf("after the second try: %q, %v", got, err)
		}
	})
	t.Run("delete", func(t *testing.T) {
		kept, gone := put(t, s, tenant, core.NewID[core.ObjectID](), []byte("a")), put(t, s, tenant, core.NewID[core.ObjectID](), []byte("b"))
		for range 2 { // a repeat is no error
			if err := s.Delete(t.Context(), gone); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Open(t.Context(), gone); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("after deletion: %v", err)
		}
		if got, err := fetch(t, s, kept); err != nil || string(got) != "a" {
			t.Errorf("its neighbour: %q, %v", got, err)
		}
	})
	t.Run("what is not there", func(t *testing.T) {
		ref := put(t, s, tenant, core.NewID[core.ObjectID](), []byte("a"))
		for _, missing := range []core.Ref{ref + "x", ref[:len(ref)-1], core.Ref(tenant) + "/zz/none"} {
			if _, err := s.Open(t.Context(), missing); !errors.Is(err, core.ErrNotFound) {
				t.Errorf("%s: %v", missing, err)
			}
		}
	})
	t.Run("old", func(t *testing.T) {
		mine, other := core.NewID[core.TenantID](), core.NewID[core.TenantID]()
		want := []core.Ref{put(t, s, mine, core.NewID[core.ObjectID](), []byte("a")), put(t, s, mine, core.NewID[core.ObjectID](), []byte("b"))}
		put(t, s, other, core.NewID[core.ObjectID](), []byte("c"))
		slices.Sort(want)
		if got := old(t, s, mine, time.Now().Add(time.Hour)); !slices.Equal(got, want) {
			t.Errorf("older than in an hour: %v, want %v", got, want)
		}
		if got := old(t, s, mine, time.Now().Add(-time.Hour)); len(got) != 0 {
			t.Errorf("older than an hour ago: %v", got)
		}
		if got := old(t, s, core.NewID[core.TenantID](), time.Now().Add(time.Hour)); len(got) != 0 {
			t.Errorf("of a tenant without blobs: %v", got)
		}
		stop, n := errors.New("enough"), 0
		err := s.Old(t.Context(), mine, time.Now().Add(time.Hour), func(core.Ref) error { n++; return stop })
		if !errors.Is(err, stop) || n != 1 {
			t.Errorf("stopped after %d, %v", n, err)
		}
	})
}

// failedWritings: whatever goes wrong while writing, the error comes back as it is and
// nothing can be found.
func failedWritings(t *testing.T, s store) {
	for _, after := range []int{0, 1, 100_000, 17 << 20} {
		for name, c := range map[string]struct {
			fail func(cancel func()) error
			same func(error) bool // the error that must come back
		}{
			"writer fails":         {func(func()) error { return fmt.Errorf("read body: %w", errWriter) }, func(err error) bool { return errors.Is(err, errWriter) }},
			"writer refuses":       {func(func()) error { return &core.Refusal{Code: "too_large"} }, isRefusal},
			"the caller goes away": {func(cancel func()) error { cancel(); return nil }, func(err error) bool { return err != nil && !isRefusal(err) }},
		} {
			tenant := core.NewID[core.TenantID]()
			ctx, cancel := context.WithCancel(t.Context())
			ref, err := s.Put(ctx, tenant, core.NewID[core.ObjectID](), func(w io.Writer) error {
				if _, err := w.Write(noise(after)); err != nil {
					return err
				}
				if err := c.fail(cancel); err != nil {
					return err
				}
				_, err := w.Write([]byte("the rest"))
				return err
			})
			cancel()
			if ref != "" || !c.same(err) {
				t.Errorf("%s after %d bytes: %q, %v", name, after, ref, err)
			}
			if left := old(t, s, tenant, time.Now().Add(time.Hour)); len(left) != 0 {
				t.Errorf("%s after %d bytes: %v is left", name, after, left)
			}
		}
	}
}

func isRefusal(err error) bool {
	var r *core.Refusal
	return errors.As(err, &r)
}

func noise(size int) []byte {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(size), byte(size >> 8)})
	_, _ = r.Read(b)
	return b
}

// writer writes b in uneven pieces.
func writer(b []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		for rest := b; len(rest) > 0; {
			n, err := w.Write(rest[:1+len(rest)/2])
			if err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	}
}

func put(t *testing.T, s store, tenant core.TenantID, object core.ObjectID, b []byte) core.Ref {
	t.Helper()
	ref, err := s.Put(t.Context(), tenant, object, writer(b))
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func fetch(t *testing.T, s store, ref core.Ref) ([]byte, error) {
	t.Helper()
	r, err := s.Open(t.Context(), ref)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func old(t *testing.T, s store, tenant core.TenantID, before time.Time) (refs []core.Ref) {
	t.Helper()
	err := s.Old(t.Context(), tenant, before, func(r core.Ref) error { refs = append(refs, r); return nil })
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(refs)
	return refs
}
