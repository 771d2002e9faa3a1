package vault_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/catalogue"
	"vaguemestre/core/filing"
	"vaguemestre/core/store/blob"
	"vaguemestre/core/store/keyfile"
	"vaguemestre/core/store/postgres/pgtest"
	"vaguemestre/core/store/postgres/towntest"
	"vaguemestre/core/vault"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// home is a town with one citizen and one document in the vault.
type home struct {
	*towntest.Town
	*vault.Reader
	citizen  towntest.Citizen
	root     string // of the blobs
	file     []byte // what the document holds
	document core.DocumentID
}

func newHome(t *testing.T) home {
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
	w := towntest.New(t, service, blobs)
	h := home{Town: w, Reader: vault.NewReader(w.HTTP, w.Keeper, w.Blobs), citizen: w.Enrol("Zoé"), root: root, file: make([]byte, 300_000)}
	_, _ = rand.NewChaCha8([32]byte{2}).Read(h.file)
	h.document = h.add(t, "1", h.file)
	return h
}

// add files a document of that content.
func (h home) add(t *testing.T, name string, file []byte) core.DocumentID {
	t.Helper()
	lease, p := h.Piece(h.citizen, name, file, core.PieceRecognised)
	v := core.Verdict{Type: "avis", Confidence: 0.9, Holder: "Zoé LE GOFF"}
	sum := sha256.Sum256(file)
	id, err := filing.New(h.Worker, h.Keeper, time.Now).File(t.Context(), lease, p, core.PieceMeta{FileName: name + ".pdf", SHA256: hex.EncodeToString(sum[:])}, v, catalogue.Type{Code: "avis"})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (h home) owner() core.Access {
	return core.Access{Tenant: h.ID, Vault: h.citizen.ID, Actor: "citizen", Purpose: "consultation"}
}

// entries counts the journal's entries of an act.
func (h home) entries(act string, want int) {
	h.Exec(`DO $$ DECLARE n int := (SELECT count(*) FROM journal WHERE act = '` + act + `'); BEGIN
		IF n <> ` + strconv.Itoa(want) + ` THEN RAISE EXCEPTION '% entries of ` + act + `', n; END IF; END $$`)
}

// SEC-30: reading and listing are one entry each, which says who, what and why.
func TestSEC30_OneEntryForEachReading(t *testing.T) {
	h := newHome(t)
	second := h.add(t, "2", []byte("another"))
	for n := range 2 {
		item, f, err := h.Read(t.Context(), h.owner(), h.document, 0)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(f)
		f.Close()
		if err != nil || !bytes.Equal(got, h.file) || item.ID != h.document || item.Opened.FileName != "1.pdf" || item.Opened.Holder != "Zoé LE GOFF" {
			t.Errorf("%d bytes of %+v, %v", len(got), item, err)
		}
		h.entries("read", n+1)
	}
	items, err := h.List(t.Context(), h.owner())
	if err != nil || len(items) != 2 || items[0].ID != h.document || items[1].ID != second || items[1].Opened.FileName != "2.pdf" {
		t.Errorf("list %+v, %v", items, err)
	}
	h.entries("list", 1)
	h.Exec(`DO $$ BEGIN IF NOT EXISTS (SELECT FROM journal WHERE act = 'read' AND actor = 'citizen' AND purpose = 'consultation' AND object = '` + string(h.document) + `'
		AND chain = 'vault:` + string(h.citizen.ID) + `') THEN RAISE EXCEPTION 'the entry does not say it'; END IF; END $$`)
}

func TestReadWhatIsNotThere(t *testing.T) {
	h := newHome(t)
	ana := h.owner()
	ana.Vault = h.Enrol("Ana").ID
	elsewhere := h.owner()
	elsewhere.Tenant = h.Found("voisine").ID
	for name, c := range map[string]struct {
		who  core.Access
		id   core.DocumentID
		part int
	}{
		"another vault's": {ana, h.document, 0}, "another town's": {elsewhere, h.document, 0}, "unknown": {h.owner(), core.NewID[core.DocumentID](), 0},
		"part too far": {h.owner(), h.document, 1}, "part before the first": {h.owner(), h.document, -1},
	} {
		if _, f, err := h.Read(t.Context(), c.who, c.id, c.part); !errors.Is(err, core.ErrNotFound) || f != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if items, err := h.List(t.Context(), ana); err != nil || len(items) != 0 {
		t.Errorf("another vault lists %+v, %v", items, err)
	}
}

// SEC-11: with a journal that takes no entry nothing is read, listed or opened.
func TestSEC11_UnwritableJournal(t *testing.T) {
	h := newHome(t)
	for name, c := range map[string]struct{ stop, mend string }{
		"no room":  {"ALTER TABLE journal ADD CONSTRAINT full_disk CHECK (false) NOT VALID", "ALTER TABLE journal DROP CONSTRAINT full_disk"},
		"no right": {"REVOKE INSERT ON journal FROM vaguemestre_keeper", "GRANT INSERT ON journal TO vaguemestre_keeper"},
		"no head":  {"REVOKE UPDATE ON journal_head FROM vaguemestre_keeper", "GRANT UPDATE ON journal_head TO vaguemestre_keeper"},
	} {
		h.Exec(c.stop)
		if item, f, err := h.Read(t.Context(), h.owner(), h.document, 0); err == nil || f != nil || item.Opened.FileName != "" {
			t.Errorf("%s: read %+v, %v", name, item, err)
		}
		if items, err := h.List(t.Context(), h.owner()); err == nil || items != nil {
			t.Errorf("%s: listed %+v, %v", name, items, err)
		}
		h.Exec(c.mend)
		if _, f, err := h.Read(t.Context(), h.owner(), h.document, 0); err != nil {
			t.Errorf("after %s: %v", name, err)
		} else {
			f.Close()
		}
	}
}

// REL-13, FLT-10: a damaged document is never read as a whole one: reading ends in an
// error, and what came before is a true beginning.
func TestREL13_NeverATruncatedDocument(t *testing.T) {
	h := newHome(t)
	path := ""
	err := filepath.WalkDir(h.root, func(p string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			path = p
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flip := func(n int) []byte { b := bytes.Clone(whole); b[n] ^= 1; return b }
	const chunk = 64 << 10
	for name, c := range map[string]struct {
		blob []byte
		gone bool
	}{
		"format":            {flip(0), false},
		"first chunk":       {flip(1000), false},
		"second chunk":      {flip(chunk + 1000), false},
		"last byte":         {flip(len(whole) - 1), false},
		"cut by one":        {whole[:len(whole)-1], false},
		"cut at a chunk":    {whole[:2+2*chunk], false},
		"cut in the header": {whole[:20], false},
		"empty":             {nil, false},
		"longer":            {append(bytes.Clone(whole), 0), false},
		"torn":              {append(bytes.Clone(whole[:chunk]), make([]byte, len(whole)-chunk)...), false},
		"missing":           {nil, true},
	} {
		if err := os.WriteFile(path, c.blob, 0o600); err != nil {
			t.Fatal(err)
		}
		if c.gone {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		_, f, err := h.Read(t.Context(), h.owner(), h.document, 0)
		if err == nil {
			var got []byte
			got, err = io.ReadAll(f)
			f.Close()
			if !bytes.HasPrefix(h.file, got) || len(got) == len(h.file) && name != "longer" {
				t.Errorf("%s: %d bytes came out", name, len(got))
			}
		}
		if want := map[bool]error{true: core.ErrNotFound, false: vault.ErrSealBroken}[c.gone]; !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	_, f, err := h.Read(t.Context(), h.owner(), h.document, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, h.file) {
		t.Errorf("as it was: %d bytes, %v", len(got), err)
	}
}

// SEC-21: the rows of two documents exchanged by whoever can write to the database
// open nothing.
func TestSEC21_RowsExchanged(t *testing.T) {
	h := newHome(t)
	h.add(t, "2", []byte("another"))
	for _, column := range []string{"ref", "object_id", "wrapped"} {
		swap := `WITH two AS (SELECT id, lead(` + column + `) OVER w AS other, lag(` + column + `) OVER w AS one FROM piece WINDOW w AS (ORDER BY id))
			UPDATE piece SET ` + column + ` = coalesce(other, one) FROM two WHERE piece.id = two.id`
		h.Exec(swap)
		_, f, err := h.Read(t.Context(), h.owner(), h.document, 0)
		if err == nil {
			_, err = io.ReadAll(f)
			f.Close()
		}
		if !errors.Is(err, vault.ErrSealBroken) {
			t.Errorf("%s exchanged: %v", column, err)
		}
		h.Exec(swap)
	}
}

// SEC-21: whoever writes to the database exchanges two documents of one vault, or the
// bytes behind them: neither is shown as the other.
func TestSEC21_DocumentsExchangedInTheirVault(t *testing.T) {
	h := newHome(t)
	other := h.add(t, "2", []byte("another"))
	h.Exec(`CREATE TEMP TABLE m AS SELECT document_id, meta FROM document_version;
		UPDATE document_version v SET meta = m.meta FROM m WHERE m.document_id <> v.document_id`)
	if _, err := h.List(t.Context(), h.owner()); !errors.Is(err, vault.ErrSealBroken) {
		t.Errorf("listing exchanged metadata: %v", err)
	}
	h.Exec(`CREATE TEMP TABLE m AS SELECT document_id, meta FROM document_version;
		UPDATE document_version v SET meta = m.meta FROM m WHERE m.document_id <> v.document_id;
		CREATE TEMP TABLE p AS SELECT document_id, piece_id FROM version_part;
		UPDATE version_part v SET piece_id = p.piece_id FROM p WHERE p.document_id <> v.document_id`)
	for _, id := range []core.DocumentID{h.document, other} {
		_, f, err := h.Read(t.Context(), h.owner(), id, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, f); !errors.Is(err, vault.ErrSealBroken) {
			t.Errorf("reading exchanged bytes: %v", err)
		}
		f.Close()
	}
}
