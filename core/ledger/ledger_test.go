package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/ledger"
	"vaguemestre/core/store/blob"
	"vaguemestre/core/store/keyfile"
	"vaguemestre/core/store/postgres"
	"vaguemestre/core/store/postgres/pgtest"
	"vaguemestre/core/store/postgres/towntest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

type town struct {
	*towntest.Town
	root  string
	blobs *blob.Folder
}

func newTown(t *testing.T) town {
	t.Helper()
	service, err := keyfile.Open(filepath.Join(t.TempDir(), "kek"))
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "blobs")
	blobs, err := blob.OpenFolder(root)
	if err != nil {
		t.Fatal(err)
	}
	return town{towntest.New(t, service, blobs), root, blobs}
}

// check closes the ledger; its faults come sorted.
func (w town) check(t *testing.T) ledger.Report {
	t.Helper()
	r, err := ledger.Check(t.Context(), w.HTTP, w.Blobs)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(r.Faults)
	if r.Closed() != (len(r.Faults) == 0) {
		t.Errorf("closed: %v, with %d faults", r.Closed(), len(r.Faults))
	}
	return r
}

// large is a file that does not lie in the row of its body.
func large(b byte) []byte { return bytes.Repeat([]byte{b}, 300_000) }

// lying lists the blobs.
func (w town) lying(t *testing.T) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(w.root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// REL-17: the accounts close by channel and day, and every gap shows.
func TestREL17_LedgerCloses(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Zoé")
	w.Accept(c, "waiting", "application/pdf", []byte("a"))
	w.Piece(c, "recognised", large('b'), core.PieceRecognised)
	w.Piece(c, "aside", []byte("c"), core.PieceSetAside)
	if _, err := w.Intake.Accept(t.Context(), w.Deposit(c, core.ChannelWeb, "web"), core.Body{Type: "application/pdf", R: strings.NewReader("d")}); err != nil {
		t.Fatal(err)
	}
	r := w.check(t)
	if len(r.Faults) != 0 || r.Blobs != 6 { // four bodies; two pieces lie in the bytes of theirs
		t.Errorf("%d blobs, faults %v", r.Blobs, r.Faults)
	}
	for i := range r.Days {
		if r.Days[i].Day == "" {
			t.Errorf("an account of no day: %+v", r.Days[i])
		}
		r.Days[i].Day = ""
	}
	want := []ledger.Day{
		{Tenant: w.ID, Channel: core.ChannelSMTP, Received: 3, Deposits: map[string]int{"opened": 2, "received": 1}, Seen: 2, Pieces: map[string]int{"recognised": 1, "set_aside": 1}},
		{Tenant: w.ID, Channel: core.ChannelWeb, Received: 1, Deposits: map[string]int{"received": 1}, Pieces: map[string]int{}},
	}
	if !reflect.DeepEqual(r.Days, want) {
		t.Errorf("accounts %+v\nwant     %+v", r.Days, want)
	}
	for name, c := range map[string]struct{ do, undo, says string }{
		"a piece gone":         {"CREATE TABLE gone AS SELECT * FROM piece WHERE state = 'set_aside'; DELETE FROM piece WHERE state = 'set_aside'", "INSERT INTO piece TABLE gone; DROP TABLE gone", "gap 1"},
		"more seen than there": {"UPDATE deposit SET pieces = 4 WHERE pieces IS NOT NULL AND id = (SELECT min(id::text)::uuid FROM deposit WHERE pieces IS NOT NULL)", "UPDATE deposit SET pieces = 1 WHERE pieces = 4", "gap 3"},
		"an empty document": {`INSERT INTO document SELECT tenant_id, id, gen_random_uuid(), 't', 1, 'to_confirm', 'current', 'smtp', 'home', NULL, NULL, now() FROM citizen`,
			"DELETE FROM document", "no piece was filed in it"},
	} {
		w.Exec(c.do)
		if r := w.check(t); len(r.Faults) != 1 || !strings.Contains(r.Faults[0], c.says) {
			t.Errorf("%s: faults %v, want … %s", name, r.Faults, c.says)
		}
		w.Exec(c.undo)
		if r := w.check(t); len(r.Faults) != 0 {
			t.Fatalf("put right after %s: %v", name, r.Faults)
		}
	}
}

// REL-13, FLT-10: every blob that is torn, cut, changed, exchanged or missing is found
// without a key, and named by what it belongs to.
func TestREL13_DamagedBlobsAreFound(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Zoé")
	owner := map[string]core.DepositID{}
	for n := range 3 {
		id := w.Accept(c, fmt.Sprint(n), "application/pdf", large(byte(n)))
		for _, path := range w.lying(t) {
			if _, ok := owner[path]; !ok {
				owner[path] = id
			}
		}
	}
	paths := w.lying(t)
	original := map[string][]byte{}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		original[p] = b
	}
	write := func(path string, b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	victim, other := paths[0], paths[1]
	whole := original[victim]
	flip := func(n int) []byte { b := bytes.Clone(whole); b[n] ^= 1; return b }
	for name, damaged := range map[string][]byte{
		"first byte": flip(0), "last byte": flip(len(whole) - 1), "middle": flip(len(whole) / 2), "cut by one": whole[:len(whole)-1], "cut to a chunk": whole[:2+64<<10],
		"empty": {}, "longer": append(bytes.Clone(whole), 0), "torn": append(bytes.Clone(whole[:50_000]), make([]byte, len(whole)-50_000)...), "another's": original[other],
	} {
		write(victim, damaged)
		want := fmt.Sprintf("body of deposit %s: its blob is not what was stored", owner[victim])
		if r := w.check(t); !slices.Equal(r.Faults, []string{want}) {
			t.Errorf("%s: %v, want %s", name, r.Faults, want)
		}
	}
	if err := os.Remove(victim); err != nil {
		t.Fatal(err)
	}
	if r := w.check(t); len(r.Faults) != 1 || !strings.Contains(r.Faults[0], string(owner[victim])+": its blob is missing") {
		t.Errorf("missing: %v", r.Faults)
	}
	if err := os.Mkdir(victim, 0o700); err != nil {
		t.Fatal(err)
	}
	if r := w.check(t); len(r.Faults) != 1 || !strings.Contains(r.Faults[0], "cannot be read") {
		t.Errorf("unreadable: %v", r.Faults)
	}
	if err := os.Remove(victim); err != nil {
		t.Fatal(err)
	}
	write(victim, original[other])
	write(other, whole)
	if r := w.check(t); len(r.Faults) != 2 {
		t.Errorf("exchanged: %v", r.Faults)
	}
	write(victim, whole)
	write(other, original[other])
	if r := w.check(t); len(r.Faults) != 0 {
		t.Errorf("as it was: %v", r.Faults)
	}
}

// REL-13: what lies in a row is read like what lies in the blob store.
func TestREL13_DamagedRowsAreFound(t *testing.T) {
	w := newTown(t)
	id := w.Accept(w.Enrol("Zoé"), "k", "application/pdf", []byte("short"))
	if r := w.check(t); r.Blobs != 1 || len(r.Faults) != 0 || len(w.lying(t)) != 0 {
		t.Fatalf("%d blobs, faults %v, files %v", r.Blobs, r.Faults, w.lying(t))
	}
	owner := "body of deposit " + string(id)
	for name, c := range map[string]struct{ set, says string }{
		"changed":         {"sealed = set_byte(sealed, 50, get_byte(sealed, 50) # 1)", "its blob is not what was stored"},
		"cut":             {"sealed = substr(sealed, 1, length(sealed) - 1)", "its blob is not what was stored"},
		"another's ref":   {"ref = 'row:' || tenant_id || '/' || gen_random_uuid() || '/1'", "its blob is missing"},
		"ref of no shape": {"ref = 'row:../../etc/passwd'", "its blob is missing"},
	} {
		w.Exec("CREATE TABLE kept AS SELECT * FROM deposit_body; UPDATE deposit_body SET " + c.set)
		if r := w.check(t); !slices.Equal(r.Faults, []string{owner + ": " + c.says}) {
			t.Errorf("%s: %v, want %s", name, r.Faults, c.says)
		}
		w.Exec("UPDATE deposit_body b SET sealed = kept.sealed, ref = kept.ref FROM kept; DROP TABLE kept")
	}
	if r := w.check(t); len(r.Faults) != 0 {
		t.Errorf("put right: %v", r.Faults)
	}
}

// age makes a file as old as that.
func age(t *testing.T, path string, old time.Duration) {
	t.Helper()
	at := time.Now().Add(-old)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

// REL-02: orphans go after a day; a blob that a row names never does, however old, in
// whichever town; what is younger may still get its row.
func TestREL02_OrphansAreCollected(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Zoé")
	w.Accept(c, "short", "application/pdf", []byte("a"))
	w.Accept(c, "body", "application/pdf", large('a'))
	w.Piece(c, "piece", large('b'), core.PieceRecognised)
	neighbour := w.Found("voisine")
	d := core.Deposit{Tenant: neighbour.ID, Channel: core.ChannelSMTP, Key: "k", Journey: core.JourneyHome, Received: time.Now()}
	if _, err := w.Intake.Accept(t.Context(), d, core.Body{Type: "application/pdf", R: bytes.NewReader(large('c'))}); err != nil {
		t.Fatal(err)
	}
	named := w.lying(t)
	for _, path := range named {
		age(t, path, 1000*time.Hour)
	}
	orphan := func(tenant core.TenantID, old time.Duration) string {
		t.Helper()
		ref, err := w.blobs.Put(t.Context(), tenant, core.NewID[core.ObjectID](), func(dst io.Writer) error {
			_, err := dst.Write([]byte("orphan"))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(w.root, string(ref))
		age(t, path, old)
		return path
	}
	day := 24 * time.Hour
	orphan(w.ID, day+time.Minute)
	orphan(w.ID, 100*day)
	orphan(neighbour.ID, day+time.Minute)
	young := []string{orphan(w.ID, day-time.Minute), orphan(neighbour.ID, 0)}
	halves := filepath.Dir(young[0])
	for name, old := range map[string]time.Duration{"killed": day + time.Minute, "underway": time.Minute} {
		path := filepath.Join(halves, name)
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		age(t, path, old)
	}
	want := append(append(slices.Clone(named), young...), filepath.Join(halves, "underway"))
	slices.Sort(want)
	s := w.Store(postgres.RoleScheduler)
	for n, deleted := range []int{4, 0} { // a repeat finds nothing
		got, err := ledger.Collect(t.Context(), s, w.blobs, time.Now())
		if err != nil || got != deleted {
			t.Errorf("round %d: %d deleted, %v; want %d", n+1, got, err, deleted)
		}
		if left := w.lying(t); !slices.Equal(left, want) {
			t.Errorf("round %d: left %v\nwant %v", n+1, left, want)
		}
	}
	if r := w.check(t); len(r.Faults) != 0 {
		t.Errorf("faults %v", r.Faults)
	}
}

// More orphans than one batch, beside blobs that rows name.
func TestREL02_ManyOrphans(t *testing.T) {
	const orphans = 2500
	w := newTown(t)
	c := w.Enrol("Zoé")
	for n := range 3 {
		w.Accept(c, fmt.Sprint(n), "application/pdf", large('a'))
	}
	named := w.lying(t)
	dir := filepath.Dir(named[0])
	for n := range orphans {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("orphan-%04d", n)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range w.lying(t) {
		age(t, path, 25*time.Hour)
	}
	got, err := ledger.Collect(t.Context(), w.Store(postgres.RoleScheduler), w.blobs, time.Now())
	if err != nil || got != orphans {
		t.Errorf("%d deleted, %v; want %d", got, err, orphans)
	}
	if left := w.lying(t); !slices.Equal(left, named) {
		t.Errorf("left %d, want the %d that rows name", len(left), len(named))
	}
}

// blind is a database that fails when asked which blobs rows name.
type blind struct{ *postgres.Store }

var errBlind = errors.New("connection reset by peer")

func (blind) Unnamed(context.Context, core.TenantID, []core.Ref) ([]core.Ref, error) {
	return nil, errBlind
}

// Without an answer from the database nothing is deleted.
func TestREL02_NothingIsDeletedBlindly(t *testing.T) {
	w := newTown(t)
	w.Accept(w.Enrol("Zoé"), "k", "application/pdf", large('a'))
	before := w.lying(t)
	for _, path := range before {
		age(t, path, 25*time.Hour)
	}
	s := w.Store(postgres.RoleScheduler)
	if n, err := ledger.Collect(t.Context(), blind{s}, w.blobs, time.Now()); !errors.Is(err, errBlind) || n != 0 {
		t.Errorf("%d deleted, %v", n, err)
	}
	s.Close()
	if n, err := ledger.Collect(t.Context(), s, w.blobs, time.Now()); err == nil || n != 0 {
		t.Errorf("database out: %d deleted, %v", n, err)
	}
	if left := w.lying(t); !slices.Equal(left, before) {
		t.Errorf("left %v, want %v", left, before)
	}
}
