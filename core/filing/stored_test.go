package filing_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/catalogue"
	"vaguemestre/core/filing"
	"vaguemestre/core/store/blob"
	"vaguemestre/core/store/keyfile"
	"vaguemestre/core/store/postgres"
	"vaguemestre/core/store/postgres/pgtest"
	"vaguemestre/core/store/postgres/towntest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func newTown(t *testing.T) *towntest.Town {
	t.Helper()
	service, err := keyfile.Open(filepath.Join(t.TempDir(), "kek"))
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blob.OpenFolder(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	return towntest.New(t, service, blobs)
}

var notice = catalogue.Type{Code: "avis", Validity: catalogue.Rules{{Until: catalogue.FromIssue, Months: 12}}}

// file files a recognised piece of that content through a store.
func file(t *testing.T, w *towntest.Town, s filing.Store, lease core.Lease, p core.Piece, content string) (core.DocumentID, error) {
	t.Helper()
	v := core.Verdict{Type: notice.Code, Confidence: 0.9, Holder: "Zoé LE GOFF", Issued: day(t, "2026-07-31")}
	meta := core.PieceMeta{FileName: "avis.pdf", SHA256: content}
	return filing.New(s, w.Keeper, time.Now).File(t.Context(), lease, p, meta, v, notice)
}

// state tells what a vault and a deposit's piece show, to compare before and after.
func state(t *testing.T, w *towntest.Town, c towntest.Citizen, p core.Piece) string {
	t.Helper()
	docs, err := w.HTTP.Documents(t.Context(), w.ID, c.ID)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := w.HTTP.Deposits(t.Context(), w.ID)
	if err != nil {
		t.Fatal(err)
	}
	broken, entries, err := w.HTTP.VerifyJournal(t.Context(), w.ID)
	if err != nil || len(broken) != 0 {
		t.Fatalf("journal %v, %v", broken, err)
	}
	for _, r := range rows {
		for _, piece := range r.Pieces {
			if piece.ID == p.ID {
				return fmt.Sprintf("%d documents, piece %s (in one: %v), %d entries", len(docs), piece.State, piece.Document != "", entries)
			}
		}
	}
	t.Fatalf("no piece %s", p.ID)
	return ""
}

// The same content twice in one vault is one document with two pieces; in two vaults
// it is two documents that share nothing (SEC-06).
func TestSEC06_SameContent(t *testing.T) {
	w := newTown(t)
	zoe, ana := w.Enrol("Zoé"), w.Enrol("Ana")
	filed := func(c towntest.Citizen, key, content string) core.DocumentID {
		t.Helper()
		lease, p := w.Piece(c, key, []byte(content), core.PieceRecognised)
		id, err := file(t, w, w.Worker, lease, p, content)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	first, again, other := filed(zoe, "1", "a"), filed(zoe, "2", "a"), filed(zoe, "3", "b")
	hers := filed(ana, "4", "a")
	if again != first || other == first || hers == first {
		t.Errorf("documents %s, again %s, other content %s, other vault %s", first, again, other, hers)
	}
	s := w.HTTP
	for _, c := range []struct {
		who  core.CitizenID
		want int
	}{{zoe.ID, 2}, {ana.ID, 1}} {
		if docs, err := s.Documents(t.Context(), w.ID, c.who); err != nil || len(docs) != c.want {
			t.Errorf("%d documents, %v; want %d", len(docs), err, c.want)
		}
	}
	if _, err := s.Document(t.Context(), w.ID, ana.ID, first); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("a document of another vault: %v", err)
	}
	w.Exec(`DO $$ BEGIN
		IF (SELECT count(*) FROM piece WHERE document_id = '` + string(first) + `' AND state = 'filed') <> 2 THEN RAISE EXCEPTION 'not two pieces in the one document'; END IF;
		IF (SELECT count(DISTINCT fingerprint) FROM document_version) <> 3 THEN RAISE EXCEPTION 'fingerprints are shared between vaults'; END IF;
	END $$`)
	for _, change := range []string{
		"UPDATE piece SET document_id = '" + string(first) + "' WHERE document_id = '" + string(hers) + "'",
		"UPDATE document_version SET document_id = '" + string(first) + "' WHERE document_id = '" + string(hers) + "'",
		"UPDATE document SET citizen_id = '" + string(ana.ID) + "' WHERE id = '" + string(first) + "'",
		"UPDATE piece SET citizen_id = '" + string(ana.ID) + "' WHERE document_id = '" + string(first) + "'",
	} {
		w.Exec("DO $$ BEGIN " + change + "; RAISE EXCEPTION 'a foreign object was taken'; EXCEPTION WHEN foreign_key_violation THEN NULL; END $$")
	}
}

// Two workers file one content at the same time: still one document.
func TestSameContentAtOnce(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Zoé")
	var mu sync.Mutex
	ids := map[core.DocumentID]bool{}
	var wait sync.WaitGroup
	for n := range 6 {
		lease, p := w.Piece(c, strconv.Itoa(n), []byte("a"), core.PieceRecognised)
		wait.Go(func() {
			id, err := file(t, w, w.Worker, lease, p, "a")
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			ids[id] = true
			mu.Unlock()
		})
	}
	wait.Wait()
	if docs, err := w.Worker.Documents(t.Context(), w.ID, c.ID); err != nil || len(docs) != 1 || len(ids) != 1 {
		t.Errorf("%d documents under %d ids, %v", len(docs), len(ids), err)
	}
}

// REL-07: what a worker files under a lease that has passed on is not filed.
func TestREL07_StaleFiling(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Zoé")
	stale, p := w.Piece(c, "1", []byte("a"), core.PieceRecognised)
	before := state(t, w, c, p)
	w.Exec("UPDATE piece SET lease_until = now() - interval '1 second'")
	if _, err := file(t, w, w.Worker, stale, p, "a"); !errors.Is(err, core.ErrStale) {
		t.Errorf("lapsed: %v", err)
	}
	fresh := w.Lease(core.NounPiece, string(p.ID))
	if _, err := file(t, w, w.Worker, stale, p, "a"); !errors.Is(err, core.ErrStale) {
		t.Errorf("passed on: %v", err)
	}
	if after := state(t, w, c, p); after != before {
		t.Errorf("%s; before: %s", after, before)
	}
	if _, err := file(t, w, w.Worker, fresh, p, "a"); err != nil {
		t.Errorf("its holder: %v", err)
	}
	if _, err := file(t, w, w.Worker, fresh, p, "a"); !errors.Is(err, core.ErrStale) {
		t.Errorf("filed again: %v", err)
	}
}

// Confirming moves a document on once, and journals it with the move.
func TestConfirmInTheVault(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Zoé")
	lease, p := w.Piece(c, "1", []byte("a"), core.PieceRecognised)
	id, err := file(t, w, w.Worker, lease, p, "a")
	if err != nil {
		t.Fatal(err)
	}
	s := w.HTTP
	f := filing.New(s, w.Keeper, time.Now)
	who := core.Access{Tenant: w.ID, Vault: c.ID, Actor: "citizen", Purpose: "test"}
	types := func(string) (catalogue.Type, bool) { return notice, true }
	for range 2 {
		if _, got, err := f.Confirm(t.Context(), who, id, types); err != nil || got != core.DocumentToValidate {
			t.Errorf("%s, %v", got, err)
		}
	}
	w.Exec(`DO $$ BEGIN IF (SELECT count(*) FROM journal WHERE act = 'confirm' AND object = '` + string(id) + `') <> 1 THEN RAISE EXCEPTION 'not one entry'; END IF; END $$`)
	who.Vault = w.Enrol("Ana").ID
	if _, _, err := f.Confirm(t.Context(), who, id, types); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("from another vault: %v", err)
	}
}

// REL-09: the database backend is killed at each message of a filing, or the answer to
// that message is lost: afterwards the vault is as before, or the piece is filed, whole.
func TestREL09_KilledAtEachStatement(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Zoé")
	p := newProxy(t, w.URL)
	for _, how := range []fault{killed, unanswered} {
		var filed, refused int
		var lease core.Lease
		var piece core.Piece
		var content, before, whole string
		for n, struck := 1, true; struck; n++ {
			if before == "" {
				content = fmt.Sprint(how, n)
				lease, piece = w.Piece(c, content, []byte(content), core.PieceRecognised)
				before = state(t, w, c, piece)
				var docs, entries int
				if _, err := fmt.Sscanf(before, "%d documents, piece recognised (in one: false), %d entries", &docs, &entries); err != nil {
					t.Fatal(before)
				}
				whole = fmt.Sprintf("%d documents, piece filed (in one: true), %d entries", docs+1, entries+1)
			}
			s, err := postgres.Open(t.Context(), p.url, postgres.RoleWorker, 1, time.Now)
			if err != nil {
				t.Fatal(err)
			}
			p.arm(n, how)
			_, err = file(t, w, s, lease, piece, content)
			struck = p.disarm()
			s.Close()
			switch after := state(t, w, c, piece); {
			case after == whole:
				filed++
				before = ""
			case after == before && err != nil:
				refused++ // the lease still holds: the next round files the same piece
			default:
				t.Fatalf("%s at message %d: %s (%v); before: %s", how, n, after, err, before)
			}
			if !struck && err != nil {
				t.Errorf("%s: %d messages and no fault: %v", how, n, err)
			}
		}
		t.Logf("%s: as before %d times, filed %d times", how, refused, filed)
		if refused < 8 || filed < 1 || (how == unanswered && filed < 2) {
			t.Errorf("%s: as before %d times, filed %d times: the faults did not strike", how, refused, filed)
		}
	}
}

// fault is what strikes at a message to the database.
type fault string

const (
	killed     fault = "backend killed"
	unanswered fault = "answer lost"
)

// proxy stands between a store and PostgreSQL, and knows one message from the next.
type proxy struct {
	url      string
	upstream string

	mu     sync.Mutex
	count  int // messages until the fault strikes; 0: none will
	how    fault
	struck bool
	gone   chan struct{} // closed when the backend that the fault struck is gone
}

func newProxy(t *testing.T, database string) *proxy {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	q := u.Query()
	p := &proxy{upstream: filepath.Join(q.Get("host"), ".s.PGSQL.5432")}
	q.Set("host", dir)
	u.RawQuery = q.Encode()
	p.url = u.String()
	l, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	}()
	return p
}

// arm makes the fault strike at the n-th message from now.
func (p *proxy) arm(n int, how fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count, p.how, p.struck, p.gone = n, how, false, make(chan struct{})
}

// disarm reports whether the fault has struck; if so the backend is gone.
func (p *proxy) disarm() bool {
	p.mu.Lock()
	struck, gone := p.struck, p.gone
	p.count = 0
	p.mu.Unlock()
	if struck {
		<-gone
	}
	return struck
}

// strikes counts a message and names the fault that strikes at it, if one does; who it
// struck closes gone.
func (p *proxy) strikes() (how fault, gone chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count == 0 {
		return "", nil
	}
	if p.count--; p.count > 0 {
		return "", nil
	}
	p.struck = true
	return p.how, p.gone
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("unix", p.upstream)
	if err != nil {
		return
	}
	defer server.Close()
	backend, answered := make(chan int, 1), make(chan struct{})
	go func() {
		defer close(answered)
		for {
			m, err := message(server, true)
			if err != nil {
				client.Close()
				return
			}
			if m[0] == 'K' { // BackendKeyData
				backend <- int(binary.BigEndian.Uint32(m[5:]))
			}
			_, _ = client.Write(m) // without a client the answers are still read to their end
		}
	}()
	for typed := false; ; typed = true {
		m, err := message(client, typed)
		if err != nil {
			break
		}
		how, gone := p.strikes()
		if how != "" {
			defer close(gone) // at the end of this function: the loop ends here
		}
		if how == killed {
			_ = syscall.Kill(<-backend, syscall.SIGTERM)
		}
		if how == unanswered {
			client.Close()
		}
		if _, err := server.Write(m); err != nil || how != "" {
			break
		}
	}
	_ = server.(*net.UnixConn).CloseWrite()
	<-answered
}

// message reads one message of the protocol; the first of a client has no type.
func message(r io.Reader, typed bool) ([]byte, error) {
	head := 4
	if typed {
		head = 5
	}
	m := make([]byte, head)
	if _, err := io.ReadFull(r, m); err != nil {
		return nil, err
	}
	rest := make([]byte, int(binary.BigEndian.Uint32(m[head-4:]))-4)
	_, err := io.ReadFull(r, rest)
	return append(m, rest...), err
}
