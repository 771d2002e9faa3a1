package vault

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"vaguemestre/core"
)

// The layout of a sealed stream, as the tests count it: two bytes of ours, Tink's
// header, then segments that each end in a tag.
const (
	headSize   = 2
	tinkHeader = 1 + keySize + 7
	tagSize    = 16
	prefixSize = headSize + tinkHeader

	firstPlain = segmentSize - tinkHeader - tagSize // the first segment shares its room with Tink's header
	nextPlain  = segmentSize - tagSize
)

const (
	testTenant = core.TenantID("11111111-1111-4111-8111-111111111111")
	testVault  = core.CitizenID("22222222-2222-4222-8222-222222222222")
	testObject = core.ObjectID("33333333-3333-4333-8333-333333333333")
)

// border is where segment n (from 0) begins in a sealed stream.
func border(n int) int {
	if n == 0 {
		return prefixSize
	}
	return headSize + n*segmentSize
}

// plainText is size bytes that are the same in every run.
func plainText(size int) []byte {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

func sealed(t testing.TB, key Key, plain []byte) []byte {
	t.Helper()
	s, err := key.Seal(testTenant, testObject, LabelBody, plain)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// read opens a stream and reads it to its end; got is all it gave.
func read(key Key, tenant core.TenantID, object core.ObjectID, label string, sealed []byte) (got []byte, err error) {
	r, err := key.OpenReader(bytes.NewReader(sealed), tenant, object, label)
	if err != nil {
		return nil, err
	}
	buf := make([]byte, 10_000)
	for {
		n, err := r.Read(buf)
		got = append(got, buf[:n]...)
		if err == nil {
			continue
		}
		for range 3 { // whoever reads on learns the same, and gets nothing
			if n, again := r.Read(buf); n != 0 || errors.Is(again, io.EOF) != errors.Is(err, io.EOF) {
				return got, fmt.Errorf("after %q reading on gave %d bytes, %v", err, n, again)
			}
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return got, err
	}
}

// detected fails the test unless the stream is found broken, and gives no more than
// the whole segments that come before the damage.
func detected(t *testing.T, name string, key Key, stream, plain []byte, whole int) {
	t.Helper()
	got, err := read(key, testTenant, testObject, LabelBody, stream)
	if !errors.Is(err, ErrSealBroken) || errors.Is(err, io.EOF) {
		t.Errorf("%s: error %v, want ErrSealBroken", name, err)
	}
	limit := 0
	if whole > 0 {
		limit = firstPlain + (whole-1)*nextPlain
	}
	if len(got) > limit || !bytes.HasPrefix(plain, got) {
		t.Errorf("%s: %d bytes left, %d were authentic", name, len(got), limit)
	}
	if b, err := key.Open(testTenant, testObject, LabelBody, stream); !errors.Is(err, ErrSealBroken) || b != nil {
		t.Errorf("%s: opened at once: %d bytes, %v", name, len(b), err)
	}
}

func TestSealedStreamsComeBack(t *testing.T) {
	key := newKey()
	for _, size := range []int{0, 1, 2, 1000, firstPlain - 1, firstPlain, firstPlain + 1, firstPlain + nextPlain - 1,
		firstPlain + nextPlain, firstPlain + nextPlain + 1, 5 * segmentSize} {
		plain := plainText(size)
		var out bytes.Buffer
		w, err := key.SealWriter(&out, testTenant, testObject, LabelBody)
		if err != nil {
			t.Fatal(err)
		}
		for rest := plain; len(rest) > 0; { // written in uneven pieces
			n := min(len(rest), 1+len(rest)/3)
			if _, err := w.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := read(key, testTenant, testObject, LabelBody, out.Bytes())
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: %d came back, %v", size, len(got), err)
		}
		again := sealed(t, key, plain)
		if bytes.Equal(again, out.Bytes()) {
			t.Errorf("%d bytes: sealed twice, the same bytes", size)
		}
		if got, err := read(key, testTenant, testObject, LabelBody, again); err != nil || !bytes.Equal(got, plain) || len(again) != out.Len() {
			t.Errorf("%d bytes sealed at once: %d of %d bytes gave %d, %v", size, len(again), out.Len(), len(got), err)
		}
		slow, err := key.OpenReader(iotest.OneByteReader(bytes.NewReader(out.Bytes())), testTenant, testObject, LabelBody)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(slow); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes, arriving one by one: %d came back, %v", size, len(got), err)
		}
	}
}

func TestSEC21_BitFlips(t *testing.T) {
	key, plain := newKey(), plainText(3*segmentSize)
	stream := sealed(t, key, plain)
	var places []int
	for i := range prefixSize { // every byte of both headers
		places = append(places, i)
	}
	for n := 0; border(n) < len(stream); n++ { // every chunk: its first byte, its middle, its tag
		end := min(border(n+1), len(stream))
		places = append(places, border(n), (border(n)+end)/2, end-tagSize, end-1)
	}
	for _, at := range places {
		for _, bit := range []byte{1, 0x80} {
			broken := bytes.Clone(stream)
			broken[at] ^= bit
			whole := 0
			if at >= prefixSize {
				whole = (at - headSize) / segmentSize
			}
			detected(t, fmt.Sprintf("bit %#x of byte %d", bit, at), key, broken, plain, whole)
		}
	}
}

func TestSEC21_Truncation(t *testing.T) {
	key, plain := newKey(), plainText(2*segmentSize+1000)
	stream := sealed(t, key, plain)
	lengths := map[int]bool{}
	for n := range prefixSize + tagSize + 2 {
		lengths[n] = true
	}
	for n := 0; border(n) < len(stream); n++ {
		for _, d := range []int{-tagSize - 1, -tagSize, -1, 0, 1, tagSize, tagSize + 1} {
			lengths[border(n)+d] = true
		}
	}
	for d := 1; d <= tagSize+1; d++ {
		lengths[len(stream)-d] = true
	}
	for n := range lengths {
		detected(t, fmt.Sprintf("cut at %d of %d", n, len(stream)), key, stream[:n], plain, max(0, (n-headSize-1)/segmentSize))
	}
	// A stream that ends with its last chunk full is no different.
	exact := plainText(firstPlain + nextPlain)
	stream = sealed(t, key, exact)
	detected(t, "cut at its one border", key, stream[:border(1)], exact, 0)
}

func TestSEC21_ChunksMovedOrAdded(t *testing.T) {
	key, plain := newKey(), plainText(4*segmentSize)
	stream, twin := sealed(t, key, plain), sealed(t, key, plain)
	chunk := func(s []byte, n int) []byte { return s[border(n):min(border(n+1), len(s))] }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	head := stream[:border(0)]
	for _, c := range []struct {
		name   string
		stream []byte
		whole  int
	}{
		{"second and third exchanged", join(head, chunk(stream, 0), chunk(stream, 2), chunk(stream, 1), stream[border(3):]), 1},
		{"second left out", join(stream[:border(1)], stream[border(2):]), 1},
		{"second twice", join(stream[:border(2)], stream[border(1):]), 2},
		{"last left out", stream[:border(4)], 3},
		{"last twice", join(stream, chunk(stream, 4)), 4},
		{"one byte more", join(stream, []byte{0}), 4},
		{"a chunk of zeros more", join(stream, make([]byte, segmentSize)), 4},
		{"itself behind itself", join(stream, stream), 4},
		{"second from another sealing", join(stream[:border(1)], chunk(twin, 1), stream[border(2):]), 1},
		{"header of another sealing", join(twin[:border(0)], stream[border(0):]), 0},
	} {
		detected(t, c.name, key, c.stream, plain, c.whole)
	}
}

func TestSEC21_SwappedStreams(t *testing.T) {
	key, plain := newKey(), plainText(100)
	stream := sealed(t, key, plain)
	if got, err := read(key, testTenant, testObject, LabelBody, stream); err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("in its own place: %d bytes, %v", len(got), err)
	}
	for _, c := range []struct {
		name   string
		key    Key
		tenant core.TenantID
		object core.ObjectID
		label  string
	}{
		{"another object", key, testTenant, core.NewID[core.ObjectID](), LabelBody},
		{"another tenant", key, core.NewID[core.TenantID](), testObject, LabelBody},
		{"another label", key, testTenant, testObject, LabelMeta},
		{"a label that begins alike", key, testTenant, testObject, LabelBody + "\x00"},
		{"another key", newKey(), testTenant, testObject, LabelBody},
		{"fields that join alike", key, testTenant + "\x00" + core.TenantID(testObject), "", LabelBody},
	} {
		if got, err := read(c.key, c.tenant, c.object, c.label, stream); !errors.Is(err, ErrSealBroken) || len(got) != 0 {
			t.Errorf("%s: %d bytes, %v", c.name, len(got), err)
		}
	}
}

// SEC-22: a stream says how it was sealed, and what is unknown is refused before a
// key is tried.
func TestSEC22_FormatAndAlgorithmInHeader(t *testing.T) {
	key := newKey()
	stream := sealed(t, key, []byte("x"))
	if stream[0] != 1 || stream[1] != 1 {
		t.Fatalf("header %v, want format 1, algorithm 1", stream[:2])
	}
	for format := range 256 {
		for _, alg := range []int{0, 1, 2, 255} {
			if format == 1 && alg == 1 {
				continue
			}
			other := bytes.Clone(stream)
			other[0], other[1] = byte(format), byte(alg)
			if b, err := key.Open(testTenant, testObject, LabelBody, other); !errors.Is(err, ErrSealBroken) || b != nil {
				t.Errorf("format %d, algorithm %d: %d bytes, %v", format, alg, len(b), err)
			}
		}
	}
}

// A writer that is not closed, or whose disk fails, leaves a stream that is not whole.
func TestSEC21_UnfinishedWriting(t *testing.T) {
	key, plain := newKey(), plainText(2*segmentSize)
	var out bytes.Buffer
	w, err := key.SealWriter(&out, testTenant, testObject, LabelBody)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	detected(t, "never closed", key, out.Bytes(), plain, out.Len()/segmentSize)
	for _, room := range []int64{0, 1, prefixSize, segmentSize, 2 * segmentSize} {
		err := func() error {
			w, err := key.SealWriter(&fullDisk{room}, testTenant, testObject, LabelBody)
			if err != nil {
				return err
			}
			if _, err := w.Write(plain); err != nil {
				return err
			}
			return w.Close()
		}()
		if !errors.Is(err, errFull) {
			t.Errorf("room for %d bytes: %v", room, err)
		}
	}
}

var errFull = errors.New("no space left")

// fullDisk takes so many bytes and no more.
type fullDisk struct{ room int64 }

func (d *fullDisk) Write(p []byte) (int, error) {
	if int64(len(p)) > d.room {
		return 0, errFull
	}
	d.room -= int64(len(p))
	return len(p), nil
}

// A storage that fails in the middle of a stream is no end of it.
func TestREL13_FailingStorageIsNoEnd(t *testing.T) {
	key, plain := newKey(), plainText(3*segmentSize)
	stream := sealed(t, key, plain)
	for _, storage := range []error{errors.New("input/output error"), io.ErrUnexpectedEOF} {
		source := io.MultiReader(bytes.NewReader(stream[:2*segmentSize]), iotest.ErrReader(storage))
		r, err := key.OpenReader(source, testTenant, testObject, LabelBody)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if !errors.Is(err, ErrSealBroken) || !bytes.HasPrefix(plain, got) || len(got) >= len(plain) {
			t.Errorf("%v: %d bytes, %v", storage, len(got), err)
		}
		if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, ErrSealBroken) {
			t.Errorf("%v: reading on gave %d bytes, %v", storage, n, err)
		}
	}
}

// Whatever a stranger makes of a sealed stream, only the stream itself opens.
func FuzzOpenReader(f *testing.F) {
	v := readVectors(f)
	fixed := v.Streams[2] // sealed once: each process that fuzzes must know the same
	key, plain, stream := v.Key, plainText(fixed.Size), fixed.Sealed
	f.Add(stream)
	f.Add(stream[:prefixSize])
	f.Add([]byte{1, 1})
	f.Add([]byte{})
	f.Add(append(bytes.Clone(stream), 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := read(key, v.Tenant, v.Object, fixed.Label, b)
		switch {
		case bytes.Equal(b, stream):
			if err != nil || !bytes.Equal(got, plain) {
				t.Errorf("the stream itself: %d bytes, %v", len(got), err)
			}
		case !errors.Is(err, ErrSealBroken) || len(got) != 0:
			t.Errorf("%x gave %d bytes, %v", b, len(got), err)
		}
	})
}
