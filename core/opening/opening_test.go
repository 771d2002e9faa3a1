package opening_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vaguemestre/channels/mail"
	"vaguemestre/core"
	"vaguemestre/core/ledger"
	"vaguemestre/core/store/blob"
	"vaguemestre/core/store/keyfile"
	"vaguemestre/core/store/postgres"
	"vaguemestre/core/store/postgres/pgtest"
	"vaguemestre/core/store/postgres/towntest"
	"vaguemestre/core/vault"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// service is a key service that can be out.
type service struct {
	vault.KeyService
	out atomic.Bool
}

var errOut = errors.New("connection refused")

func (s *service) Unwrap(ctx context.Context, tenant core.TenantID, wrapped, bound []byte) ([]byte, error) {
	if s.out.Load() {
		return nil, errOut
	}
	return s.KeyService.Unwrap(ctx, tenant, wrapped, bound)
}

type town struct {
	*towntest.Town
	service *service
	root    string // of the blobs
}

func newTown(t *testing.T) town {
	t.Helper()
	keys, err := keyfile.Open(filepath.Join(t.TempDir(), "kek"))
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "blobs")
	blobs, err := blob.OpenFolder(root)
	if err != nil {
		t.Fatal(err)
	}
	s := &service{KeyService: keys}
	return town{towntest.New(t, s, blobs), s, root}
}

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

func (w town) deposit(t *testing.T, id core.DepositID) postgres.DepositRow {
	t.Helper()
	rows, err := w.HTTP.Deposits(t.Context(), w.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.ID == id {
			return r
		}
	}
	t.Fatalf("no deposit %s", id)
	return postgres.DepositRow{}
}

// message is an e-mail with a note and the files attached, too long to lie in its row.
func message(files ...[]byte) []byte {
	var b strings.Builder
	b.WriteString("From: zoe@example.test\r\nSubject: Mes papiers\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=cut\r\n\r\n" +
		strings.Repeat("Ce message est en plusieurs parties.\r\n", 8000) + "--cut\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nVoici mes papiers.\r\n")
	for n, f := range files {
		fmt.Fprintf(&b, "--cut\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=\"%d.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n", n+1)
		for text := base64.StdEncoding.EncodeToString(f); text != ""; {
			line := text[:min(76, len(text))]
			b.WriteString(line + "\r\n")
			text = text[len(line):]
		}
	}
	b.WriteString("--cut--\r\n")
	return []byte(b.String())
}

// contents opens what the worker can lease: the piece's bytes and what is noted of them.
func (w town) contents(t *testing.T, piece string) ([]byte, core.PieceMeta) {
	t.Helper()
	p, err := w.Worker.Piece(t.Context(), core.Lease{Step: core.Step{Tenant: w.ID, Noun: core.NounPiece, ID: piece}})
	if err != nil {
		t.Fatal(err)
	}
	who := core.Access{Tenant: w.ID, Vault: p.Vault, Actor: "test", Act: "open", Purpose: "test"}
	keys, err := w.Keeper.Open(t.Context(), who, vault.Wrapped{Object: p.Sealed.Object, Bytes: p.Sealed.Wrapped})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := keys[0].Open(w.ID, p.Sealed.Object, vault.LabelMeta, p.Meta)
	if err != nil {
		t.Fatal(err)
	}
	var meta core.PieceMeta
	if err := json.Unmarshal(plain, &meta); err != nil {
		t.Fatal(err)
	}
	f, err := vault.OpenFrom(t.Context(), w.Blobs, keys[0], w.ID, p.Sealed.Object, p.Sealed.Ref)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil || p.Sealed.Size != int64(len(b)) {
		t.Fatalf("piece %s: %d bytes of %d, %v", piece, len(b), p.Sealed.Size, err)
	}
	return b, meta
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func TestMessageBecomesPieces(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Zoé")
	files := [][]byte{[]byte("%PDF-1.4 one"), bytes.Repeat([]byte("%PDF-1.4 two "), 20_000)}
	id := w.Accept(c, "k", "message/rfc822", message(files...))
	lease := w.Lease(core.NounDeposit, string(id))
	next, err := w.Opener(mail.Splitter{}).Open(t.Context(), lease)
	if err != nil || len(next) != 2 {
		t.Fatalf("%d steps, %v", len(next), err)
	}
	row := w.deposit(t, id)
	if row.State != core.DepositOpened || len(row.Pieces) != 2 {
		t.Fatalf("recorded %+v", row)
	}
	for n, step := range next {
		p := row.Pieces[n]
		if step != (core.Step{Tenant: w.ID, Noun: core.NounPiece, ID: string(p.ID)}) || p.N != n+1 || p.State != core.PieceWaiting || p.Size != int64(len(files[n])) {
			t.Errorf("piece %d: %+v, step %+v", n+1, p, step)
		}
		b, meta := w.contents(t, step.ID)
		want := core.PieceMeta{FileName: fmt.Sprintf("%d.pdf", n+1), DeclaredType: "application/pdf", SHA256: sum(files[n])}
		if !bytes.Equal(b, files[n]) || meta != want {
			t.Errorf("piece %d: %d bytes, %+v; want %+v", n+1, len(b), meta, want)
		}
	}
	if left := w.lying(t); len(left) != 3 {
		t.Errorf("%d blobs, want the message and two pieces", len(left))
	}
	if _, err := w.Worker.Claim(t.Context(), core.Step{Tenant: w.ID, Noun: core.NounDeposit, ID: string(id)}, time.Minute); !errors.Is(err, core.ErrNotDue) {
		t.Errorf("open it again: %v", err)
	}
}

// Attribution re-wraps the keys of a deposit's bodies for the vault and rewrites no
// bytes; the note is sealed under the first of them.
func TestSEC21_AttributionRewraps(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Zoé")
	sent := message([]byte("one"))
	id := w.Accept(c, "k", "message/rfc822", sent)
	before := w.lying(t)
	original, err := os.ReadFile(before[0])
	if err != nil || len(before) != 1 {
		t.Fatalf("%v, %v", before, err)
	}
	lease := w.Lease(core.NounDeposit, string(id))
	if _, err := w.Opener(mail.Splitter{}).Open(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(before[0]); err != nil || !bytes.Equal(after, original) {
		t.Errorf("the original was rewritten (%v)", err)
	}
	d, err := w.Worker.Deposit(t.Context(), lease)
	if err != nil {
		t.Fatal(err)
	}
	b := d.Bodies[0].Sealed
	open := func(v core.CitizenID) ([]vault.Key, error) {
		who := core.Access{Tenant: w.ID, Vault: v, Actor: "test", Act: "open", Purpose: "test"}
		return w.Keeper.Open(t.Context(), who, vault.Wrapped{Object: b.Object, Bytes: b.Wrapped})
	}
	if _, err := open(w.Enrol("Ana").ID); !errors.Is(err, vault.ErrSealBroken) {
		t.Errorf("its key opens for another vault: %v", err)
	}
	keys, err := open(c.ID)
	if err != nil {
		t.Fatal(err)
	}
	f, err := vault.OpenFrom(t.Context(), w.Blobs, keys[0], w.ID, b.Object, b.Ref)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("the original holds %d bytes, %v", len(got), err)
	}
	w.Exec(`DO $$ BEGIN IF (SELECT count(*) FROM deposit WHERE note IS NOT NULL AND position('papiers'::bytea in note) = 0) <> 1 THEN RAISE EXCEPTION 'no sealed note'; END IF; END $$`)
}

// A body that is a file itself becomes a piece over the same bytes.
func TestFilesBecomePieces(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Zoé")
	r, err := w.Intake.Accept(t.Context(), w.Deposit(c, core.ChannelWeb, "k"),
		core.Body{Type: "image/jpeg", Name: "recto.jpg", R: strings.NewReader("front")}, core.Body{Type: "image/jpeg", Name: "verso.jpg", R: strings.NewReader("back")})
	if err != nil {
		t.Fatal(err)
	}
	next, err := w.Opener(mail.Splitter{}).Open(t.Context(), w.Lease(core.NounDeposit, string(r.Deposit)))
	if err != nil || len(next) != 2 {
		t.Fatalf("%d steps, %v", len(next), err)
	}
	for n, want := range []string{"front recto.jpg image/jpeg", "back verso.jpg image/jpeg"} {
		b, meta := w.contents(t, next[n].ID)
		if got := string(b) + " " + meta.FileName + " " + meta.DeclaredType; got != want || meta.SHA256 != sum(b) {
			t.Errorf("piece %d: %s, want %s", n+1, got, want)
		}
	}
	if left := w.lying(t); len(left) != 0 {
		t.Errorf("%d blobs, want none: they lie in the rows of the bodies", len(left))
	}
}

// splitter gives parts and then ends as told.
type splitter struct {
	parts int
	err   error
	each  func(n int) // before each part
}

func (s splitter) Split(_ context.Context, message io.Reader, each func(core.Part) error) (core.Cover, error) {
	for n := range s.parts {
		if s.each != nil {
			s.each(n)
		}
		if err := each(core.Part{Name: "x.pdf", Type: "application/pdf", Body: strings.NewReader(strings.Repeat("x", 100_000))}); err != nil {
			return core.Cover{}, err
		}
	}
	_, err := io.Copy(io.Discard, message)
	return core.Cover{}, errors.Join(s.err, err)
}

// unopened fails the test unless the deposit stands as it came, with its one blob.
func (w town) unopened(t *testing.T, id core.DepositID, after string) {
	t.Helper()
	if row := w.deposit(t, id); row.State != core.DepositReceived || len(row.Pieces) != 0 {
		t.Errorf("%s: %+v", after, row)
	}
	if left := w.lying(t); len(left) != 1 {
		t.Errorf("%s: %d blobs, want the original alone", after, len(left))
	}
}

// Whatever stops an opening, nothing of it can be seen, and run again it succeeds.
func TestOpeningStoppedHalfWay(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Zoé")
	id := w.Accept(c, "k", "message/rfc822", message([]byte("one")))
	lease := w.Lease(core.NounDeposit, string(id))

	broken := errors.New("reading error")
	if _, err := w.Opener(splitter{parts: 3, err: broken}).Open(t.Context(), lease); !errors.Is(err, broken) {
		t.Errorf("broken: %v", err)
	}
	w.unopened(t, id, "broken")

	ctx, cancel := context.WithCancel(t.Context())
	stop := func(n int) {
		if n == 2 {
			cancel()
		}
	}
	if _, err := w.Opener(splitter{parts: 5, each: stop}).Open(ctx, lease); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	w.unopened(t, id, "stopped")

	if next, err := w.Opener(splitter{parts: 3}).Open(t.Context(), lease); err != nil || len(next) != 3 {
		t.Errorf("again: %d steps, %v", len(next), err)
	}
}

// REL-07: a worker whose lease has passed on commits nothing, and takes nothing away
// from the one who has it.
func TestREL07_StaleOpening(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Zoé")
	id := w.Accept(c, "k", "message/rfc822", message([]byte("one")))
	stale := w.Lease(core.NounDeposit, string(id))
	var second []core.Step
	overtake := func(n int) {
		if n != 0 {
			return
		}
		w.Exec("UPDATE deposit SET lease_until = now() - interval '1 second'")
		var err error
		if second, err = w.Opener(mail.Splitter{}).Open(t.Context(), w.Lease(core.NounDeposit, string(id))); err != nil {
			t.Fatal(err)
		}
	}
	if next, err := w.Opener(splitter{parts: 2, each: overtake}).Open(t.Context(), stale); !errors.Is(err, core.ErrStale) || next != nil {
		t.Errorf("stale: %d steps, %v", len(next), err)
	}
	row := w.deposit(t, id)
	if len(row.Pieces) != 1 || len(second) != 1 || string(row.Pieces[0].ID) != second[0].ID {
		t.Fatalf("recorded %+v, want the second's piece", row)
	}
	if b, _ := w.contents(t, second[0].ID); string(b) != "one" {
		t.Errorf("the piece holds %q", b)
	}
	// Nor may a stale worker have a key opened at all.
	if _, err := w.Opener(mail.Splitter{}).Open(t.Context(), stale); !errors.Is(err, core.ErrStale) {
		t.Errorf("keys for a stale worker: %v", err)
	}
}

// SEC-28: with the key service out deposits are accepted and wait; the failure is no
// refusal; with it back the backlog drains.
func TestSEC28_BacklogDrainsWhenKeysAreBack(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Zoé")
	w.service.out.Store(true)
	var ids []core.DepositID
	for n := range 5 {
		ids = append(ids, w.Accept(c, fmt.Sprint(n), "message/rfc822", message([]byte("one"))))
	}
	leases := map[core.DepositID]core.Lease{}
	for _, id := range ids {
		leases[id] = w.Lease(core.NounDeposit, string(id))
		_, err := w.Opener(mail.Splitter{}).Open(t.Context(), leases[id])
		if r := (*core.Refusal)(nil); !errors.Is(err, errOut) || errors.As(err, &r) {
			t.Errorf("key service out: %v", err)
		}
	}
	w.service.out.Store(false)
	for _, id := range ids {
		if next, err := w.Opener(mail.Splitter{}).Open(t.Context(), leases[id]); err != nil || len(next) != 1 {
			t.Errorf("back again: %d steps, %v", len(next), err)
		}
	}
}

// SEC-21: an original that was changed, cut, or exchanged with another is not opened,
// and no piece is made of its beginning.
func TestSEC21_DamagedOriginal(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Zoé")
	id := w.Accept(c, "k", "message/rfc822", message(bytes.Repeat([]byte("one"), 50_000), []byte("two")))
	path := w.lying(t)[0]
	original, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := newTown(t)
	other.Accept(other.Enrol("Ana"), "k", "message/rfc822", message([]byte("other")))
	exchanged, err := os.ReadFile(other.lying(t)[0])
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(original)
	flipped[len(flipped)-100] ^= 1
	lease := w.Lease(core.NounDeposit, string(id))
	for name, content := range map[string][]byte{
		"flipped at its end": flipped, "cut": original[:len(original)-1], "cut at a chunk": original[:2+64<<10], "empty": {},
		"exchanged": exchanged, "longer": append(bytes.Clone(original), 0),
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if next, err := w.Opener(mail.Splitter{}).Open(t.Context(), lease); !errors.Is(err, vault.ErrSealBroken) || next != nil {
			t.Errorf("%s: %d steps, %v", name, len(next), err)
		}
		w.unopened(t, id, name)
	}
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Opener(mail.Splitter{}).Open(t.Context(), lease); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("missing: %v", err)
	}
	if err := os.WriteFile(path, original, 0o600); err != nil {
		t.Fatal(err)
	}
	if next, err := w.Opener(mail.Splitter{}).Open(t.Context(), lease); err != nil || len(next) != 2 {
		t.Errorf("as it was: %d steps, %v", len(next), err)
	}
}

// A blob store that fails while pieces are written leaves the deposit as it was.
func TestREL03_PieceCannotBeWritten(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Zoé")
	id := w.Accept(c, "k", "message/rfc822", message([]byte("one")))
	lease := w.Lease(core.NounDeposit, string(id))
	w.Blobs = &failing{Blobs: w.Blobs, after: 2}
	if _, err := w.Opener(splitter{parts: 4}).Open(t.Context(), lease); !errors.Is(err, errFull) {
		t.Errorf("full: %v", err)
	}
	w.unopened(t, id, "full")
}

var errFull = errors.New("no space left on device")

// failing is a blob store that takes so many blobs and no more.
type failing struct {
	vault.Blobs
	after int
}

func (f *failing) Put(ctx context.Context, tenant core.TenantID, object core.ObjectID, write func(io.Writer) error) (core.Ref, error) {
	if f.after--; f.after < 0 {
		return "", errFull
	}
	return f.Blobs.Put(ctx, tenant, object, write)
}

// zipped packs files, name and content in turn.
func zipped(t *testing.T, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		w, err := z.Create(files[i])
		if err == nil {
			_, err = io.WriteString(w, files[i+1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Each part ends as its message and its bytes have it: an archive stands aside beside what
// it held, an office document stays whole, what cannot be read is refused with advice, and
// the ledger closes over all of them.
func TestSEC60_ArchivesAsidesAndRefusals(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Zoé")
	encrypted := zipped(t, "secret.pdf", "x")
	encrypted[6] |= 1 // of the file's own header
	encrypted[bytes.Index(encrypted, []byte("PK\x01\x02"))+8] |= 1
	parts := []core.Part{
		{Name: "papiers.zip", Body: bytes.NewReader(zipped(t, "a/", "", "a/avis.pdf", "%PDF-1.4 one", "__MACOSX/a/._avis.pdf", "x", "b.pdf", "%PDF-1.4 two"))},
		{Name: "lettre.docx", Body: bytes.NewReader(zipped(t, "[Content_Types].xml", "x", "word/document.xml", "x"))},
		{Name: "secret.zip", Body: bytes.NewReader(encrypted)},
		{Name: "logo.png", Aside: core.AsideLogo, Body: strings.NewReader("logo")},
		{Name: "smime.p7m", Refusal: &core.Refusal{Code: "encrypted_message", Reason: "Ce message est chiffré."}, Body: strings.NewReader("box")},
		{Name: "avis.pdf", Body: strings.NewReader("%PDF-1.4 three")},
	}
	id := w.Accept(c, "k", "message/rfc822", []byte("\r\n"))
	next, err := w.Opener(these(parts)).Open(t.Context(), w.Lease(core.NounDeposit, string(id)))
	if err != nil {
		t.Fatal(err)
	}
	row := w.deposit(t, id)
	if row.Signed != "smime" {
		t.Errorf("its signature is noted as %q", row.Signed)
	}
	var got []string
	for _, p := range row.Pieces {
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s", p.State, p.Reason)))
		if (p.State == core.PieceRefused) != (p.Sentence != "") {
			t.Errorf("piece %d: %s says %q", p.N, p.State, p.Sentence)
		}
	}
	want := []string{"set_aside container", "waiting", "waiting", "waiting", "refused encrypted_archive", "set_aside signature_logo", "refused encrypted_message", "waiting"}
	if !slices.Equal(got, want) {
		t.Fatalf("pieces stand\n%q, want\n%q", got, want)
	}
	if len(next) != 4 {
		t.Errorf("%d steps, want those of the pieces that wait", len(next))
	}
	for n, content := range map[int]string{2: "%PDF-1.4 one avis.pdf", 3: "%PDF-1.4 two b.pdf", 8: "%PDF-1.4 three avis.pdf"} {
		b, meta := w.contents(t, string(row.Pieces[n-1].ID))
		if string(b)+" "+meta.FileName != content {
			t.Errorf("piece %d holds %q, want %q", n, string(b)+" "+meta.FileName, content)
		}
	}
	report, err := ledger.Check(t.Context(), w.HTTP, w.Blobs)
	if err != nil || !report.Closed() {
		t.Errorf("ledger: %v, %v", report.Faults, err)
	}
}

// these is a splitter that gives these parts.
type these []core.Part

func (s these) Split(_ context.Context, message io.Reader, each func(core.Part) error) (core.Cover, error) {
	for _, p := range s {
		if err := each(p); err != nil {
			return core.Cover{}, err
		}
	}
	_, err := io.Copy(io.Discard, message)
	return core.Cover{Signed: "smime"}, err
}

// DNS in trouble puts the decision off, twice; then it falls without the proof.
func TestDNSTroubleIsWaitedFor(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Zoé")
	w.Origin = core.Origin{From: "zoe@example.test", DKIM: core.ResultTempError, Trouble: true, Reason: "dns_trouble"}
	id := w.Accept(c, "k", "message/rfc822", message([]byte("one")))
	for attempt := 1; attempt <= 3; attempt++ {
		lease := w.Lease(core.NounDeposit, string(id))
		_, err := w.Opener(mail.Splitter{}).Open(t.Context(), lease)
		if (err == nil) != (attempt == 3) {
			t.Fatalf("attempt %d: %v", attempt, err)
		}
		if attempt < 3 {
			w.unopened(t, id, fmt.Sprint("attempt ", attempt))
			if err := w.Worker.Settle(t.Context(), lease, core.Outcome{Code: "accident"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if row := w.deposit(t, id); row.State != core.DepositOpened || row.Trust != int(core.T2) {
		t.Errorf("stands %+v", row)
	}
}
