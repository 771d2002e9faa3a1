package vault

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"vaguemestre/core"
)

// shelf is a blob store in memory.
type shelf map[core.Ref][]byte

func (s shelf) Put(_ context.Context, _ core.TenantID, object core.ObjectID, write func(io.Writer) error) (core.Ref, error) {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return "", err
	}
	s[core.Ref(object)] = b.Bytes()
	return core.Ref(object), nil
}

func (s shelf) Open(_ context.Context, ref core.Ref) (io.ReadCloser, error) {
	b, ok := s[ref]
	if !ok {
		return nil, core.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (s shelf) Delete(_ context.Context, ref core.Ref) error { delete(s, ref); return nil }

// Short streams come back as bytes, longer ones lie on the shelf, and both are what was
// said of them.
func TestShortStreamsAreNotPut(t *testing.T) {
	const most = 100_000
	key := newKey()
	for _, size := range []int{0, 1, 1000, most - 1, most, most + 1, 3 * most} {
		for name, slow := range map[string]func(io.Reader) io.Reader{"at once": func(r io.Reader) io.Reader { return r }, "in halves": iotest.HalfReader, "with the end": iotest.DataErrReader} {
			s, plain := shelf{}, plainText(size)
			got, err := NewSealer(s, most, 2*most).Seal(t.Context(), key, testTenant, testObject, slow(bytes.NewReader(plain)))
			if err != nil {
				t.Fatal(err)
			}
			lies := got.Bytes
			if short := size <= most; short != (got.Bytes != nil) || short != (got.Ref == "") || short != (len(s) == 0) {
				t.Errorf("%d bytes, %s: %d returned, at %q", size, name, len(got.Bytes), got.Ref)
			}
			if got.Bytes == nil {
				lies = s[got.Ref]
			}
			sum, digest := sha256.Sum256(plain), sha256.Sum256(lies)
			if got.Size != int64(size) || !bytes.Equal(got.SHA256, sum[:]) || !bytes.Equal(got.Digest, digest[:]) {
				t.Errorf("%d bytes, %s: %+v", size, name, got)
			}
			if b, err := key.Open(testTenant, testObject, LabelBody, lies); err != nil || !bytes.Equal(b, plain) {
				t.Errorf("%d bytes, %s: %d came back, %v", size, name, len(b), err)
			}
		}
	}
}

// bench is a shelf that bodies can be appended to.
type bench struct {
	shelf
	appended map[core.Ref][]byte
	err      error
}

func (b bench) Append(_ context.Context, tenant core.TenantID, sealed []byte) (core.Ref, error) {
	if b.err != nil {
		return "", b.err
	}
	ref := core.Ref(fmt.Sprintf("%s %d", tenant, len(b.appended)))
	b.appended[ref] = bytes.Clone(sealed)
	return ref, nil
}

// Streams that are neither short nor long are appended where the store can, and whatever
// buffers were used before, each is what was said of it.
func TestMiddlingStreamsAreAppended(t *testing.T) {
	const short, long = 50_000, 150_000
	b := bench{shelf: shelf{}, appended: map[core.Ref][]byte{}}
	s, key := NewSealer(b, short, long), newKey()
	for _, size := range []int{short, long + 1, short + 1, 3 * long, 100_000, long - 1, long, 66_000, long + 70_000, short + 2} {
		for name, slow := range map[string]func(io.Reader) io.Reader{"at once": func(r io.Reader) io.Reader { return r }, "in halves": iotest.HalfReader, "with the end": iotest.DataErrReader} {
			clear(b.shelf)
			clear(b.appended)
			plain := plainText(size)
			got, err := s.Seal(t.Context(), key, testTenant, testObject, slow(bytes.NewReader(plain)))
			if err != nil {
				t.Fatal(err)
			}
			lies := got.Bytes
			switch {
			case size > long:
				lies = b.shelf[got.Ref]
			case size > short:
				lies = b.appended[got.Ref]
			}
			if len(b.shelf)+len(b.appended) > 1 || size <= short && got.Ref != "" || size > short && got.Bytes != nil {
				t.Errorf("%d bytes, %s: %d put, %d appended, at %q", size, name, len(b.shelf), len(b.appended), got.Ref)
			}
			sum, digest := sha256.Sum256(plain), sha256.Sum256(lies)
			if got.Size != int64(size) || !bytes.Equal(got.SHA256, sum[:]) || !bytes.Equal(got.Digest, digest[:]) {
				t.Errorf("%d bytes, %s: %+v", size, name, got)
			}
			if b, err := key.Open(testTenant, testObject, LabelBody, lies); err != nil || !bytes.Equal(b, plain) {
				t.Errorf("%d bytes, %s: %d came back, %v", size, name, len(b), err)
			}
		}
	}
}

// REL-03: what goes wrong with a middling stream, before or in the store, comes back, and
// nothing of it is stored.
func TestREL03_MiddlingStreamsThatFail(t *testing.T) {
	full := errors.New("no room")
	for _, c := range []struct {
		after      int
		reads, app error
	}{{80_000, io.ErrUnexpectedEOF, nil}, {150_000, io.ErrUnexpectedEOF, nil}, {200_000, io.ErrUnexpectedEOF, nil}, {80_000, nil, full}} {
		b := bench{shelf{}, map[core.Ref][]byte{}, c.app}
		r := io.Reader(bytes.NewReader(plainText(c.after)))
		if c.reads != nil {
			r = io.MultiReader(r, iotest.ErrReader(c.reads))
		}
		got, err := NewSealer(b, 50_000, 150_000).Seal(t.Context(), newKey(), testTenant, testObject, r)
		if want := cmp.Or(c.reads, c.app); !errors.Is(err, want) || got.Ref != "" || got.Bytes != nil || len(b.shelf)+len(b.appended) != 0 {
			t.Errorf("%v after %d bytes: %+v, %v", want, c.after, got, err)
		}
	}
}

// REL-02: a stream that was cut is not taken for a short one, whatever it is cut with.
func TestREL02_CutStreamIsNotShort(t *testing.T) {
	for _, after := range []int{0, 10, 1000} {
		for _, fault := range []error{io.ErrUnexpectedEOF, io.ErrClosedPipe, context.Canceled} {
			s := shelf{}
			r := io.MultiReader(strings.NewReader(strings.Repeat("x", after)), iotest.ErrReader(fault))
			got, err := NewSealer(s, 100, 200).Seal(t.Context(), newKey(), testTenant, testObject, r)
			if !errors.Is(err, fault) || got.Bytes != nil || got.Ref != "" || len(s) != 0 {
				t.Errorf("%v after %d bytes: %+v, %v", fault, after, got, err)
			}
		}
	}
	if _, err := NewSealer(shelf{}, 100, 200).Seal(t.Context(), newKey(), testTenant, testObject, silent{}); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader that gives nothing: %v", err)
	}
}

// silent gives nothing, and no end.
type silent struct{}

func (silent) Read([]byte) (int, error) { return 0, nil }

// rows holds one short body.
type rows struct {
	ref   core.Ref
	bytes []byte
}

func (r rows) RowBytes(_ context.Context, ref core.Ref) ([]byte, error) {
	if ref != r.ref {
		return nil, core.ErrNotFound
	}
	return r.bytes, nil
}

// Whoever reads need not know where bytes lie; what lies in a row is not deleted without it.
func TestBytesInRowsAreRead(t *testing.T) {
	const here = core.Ref(core.InRow + "a/b/1")
	s := shelf{"there": []byte("put")}
	w := WithRows{Blobs: s, Rows: rows{here, []byte("in the row")}}
	for ref, want := range map[core.Ref]string{here: "in the row", "there": "put"} {
		f, err := w.Open(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(f); err != nil || string(b) != want {
			t.Errorf("%s holds %q, %v", ref, b, err)
		}
		f.Close()
	}
	for _, ref := range []core.Ref{here + "2", "elsewhere"} {
		if _, err := w.Open(t.Context(), ref); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if err := w.Delete(t.Context(), here); err == nil {
		t.Error("bytes in a row were deleted without it")
	}
	if err := w.Delete(t.Context(), "there"); err != nil || len(s) != 0 {
		t.Errorf("deleted: %v, left %d", err, len(s))
	}
}
