package vault

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
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
