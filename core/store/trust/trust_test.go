package trust_test

import (
	"bytes"
	"crypto/elliptic"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"vaguemestre/core/recognise/twoddoc"
	"vaguemestre/core/recognise/twoddoc/twoddoctest"
	"vaguemestre/core/store/trust"
)

// town is an authority in a trust list, and an empty folder.
type town struct {
	dir    string
	folder *trust.Folder
	ca     *twoddoctest.CA
	leaf   twoddoctest.Leaf
	list   func(sequence int, more ...twoddoctest.Entry) []byte
	signer string
}

func newTown(t *testing.T) *town {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "2ddoc")
	signer := twoddoctest.Signer(t)
	ca := twoddoctest.NewCA(t, "FR98")
	return &town{dir: dir, folder: trust.At(dir), ca: ca, leaf: ca.Issue("0001", elliptic.P256()), signer: twoddoctest.Fingerprint(signer),
		list: func(sequence int, more ...twoddoctest.Entry) []byte {
			return twoddoctest.List(t, signer, sequence, append(more, twoddoctest.Entry{ID: "FR98", Status: twoddoctest.InAccord, Cert: ca.Cert})...)
		}}
}

// verdict of a code by the leaf.
func (w *town) verdict(t *testing.T) twoddoc.Verdict {
	t.Helper()
	known, problems, err := w.folder.Load()
	if err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	_, r := twoddoc.VerifyBytes(w.leaf.Code(t, twoddoctest.Header+twoddoctest.Bill), known)
	return r.Verdict
}

func (w *town) take(t *testing.T, data []byte, signer string) []trust.Imported {
	t.Helper()
	took, err := w.folder.Import(data, signer)
	if err != nil {
		t.Fatal(err)
	}
	return took
}

func TestImport(t *testing.T) {
	w := newTown(t)
	if got := w.verdict(t); got != twoddoc.CertificateUnknown {
		t.Fatalf("nothing imported: %s", got)
	}
	w.take(t, w.list(1), w.signer)
	if got := w.verdict(t); got != twoddoc.CertificateUnknown {
		t.Fatalf("list alone: %s", got)
	}
	// A bundle: the authority itself is told and left out, as is what it did not issue.
	stranger := twoddoctest.NewCA(t, "FR98").Issue("0002", elliptic.P256())
	took := w.take(t, twoddoctest.PEM(w.ca.Cert, stranger.Cert, w.leaf.Cert), "")
	if len(took) != 3 || took[0].Taken || took[1].Taken || took[1].Note == "" || !took[2].Taken || took[2].Known || took[2].Name != "FR98-0001" || took[2].Until != "2023-12-31" {
		t.Fatalf("%+v", took)
	}
	if got := w.verdict(t); got != twoddoc.Valid {
		t.Fatalf("imported: %s", got)
	}
	before := files(t, w.dir)
	if took := w.take(t, w.leaf.Cert.Raw, ""); !took[0].Known {
		t.Errorf("a repeat is no news: %+v", took)
	}
	if took := w.take(t, w.list(1), ""); !took[0].Known {
		t.Errorf("a repeat is no news: %+v", took)
	}
	if after := files(t, w.dir); len(after) != 3 || !bytes.Equal(before["FR98-0001.pem"], after["FR98-0001.pem"]) {
		t.Errorf("a repeat changes files: %v", after)
	}
	renewed := w.ca.Issue("0001", elliptic.P256())
	w.take(t, renewed.Cert.Raw, "")
	w.leaf, renewed = renewed, w.leaf
	if got := w.verdict(t); got != twoddoc.Valid {
		t.Errorf("the second of one id: %s", got)
	}
	w.take(t, w.ca.Revoke(3, renewed.Cert), "")
	if got := w.verdict(t); got != twoddoc.Valid {
		t.Errorf("the other of one id is revoked: %s", got)
	}
	if _, err := w.folder.Import(w.ca.Revoke(1), ""); err == nil {
		t.Error("an older list of revocations is taken")
	}
	w.take(t, w.ca.Revoke(4, renewed.Cert, w.leaf.Cert), "")
	if got := w.verdict(t); got != twoddoc.Revoked {
		t.Errorf("revoked: %s", got)
	}
}

func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, e := range entries {
		if out[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestImportLists: a list needs its noted signer, and never goes back.
func TestImportLists(t *testing.T) {
	w := newTown(t)
	var signer *trust.ErrSigner
	if _, err := w.folder.Import(w.list(5), ""); !errors.As(err, &signer) || signer.Fingerprint != w.signer {
		t.Fatalf("first list without a signer: %v", err)
	}
	if _, err := w.folder.Import(w.list(5), "00"+w.signer[2:]); !errors.As(err, &signer) {
		t.Fatalf("first list with another's: %v", err)
	}
	if got := files(t, w.dir); len(got) != 0 {
		t.Fatalf("a refused list leaves %v", got)
	}
	w.take(t, w.list(5), w.signer)
	w.take(t, w.list(6), "")
	for name, list := range map[string][]byte{"older": w.list(5), "changed": bytes.Replace(w.list(7), []byte(">7<"), []byte(">8<"), 1), "no list": []byte("<html/>"), "page not found": []byte("<!DOCTYPE html><p>404")} {
		if _, err := w.folder.Import(list, ""); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	known, _, err := w.folder.Load()
	if err != nil || known.List().Sequence != 6 {
		t.Fatal(known.List(), err)
	}
	tests := twoddoctest.NewCA(t, "FR00")
	w.take(t, w.list(8, twoddoctest.Entry{ID: "FR00", Status: twoddoctest.InAccord, Cert: tests.Cert}), "")
	test := tests.Issue("0001", elliptic.P256())
	if took := w.take(t, test.Cert.Raw, ""); took[0].Taken {
		t.Errorf("a certificate for tests is imported: %+v", took)
	}
}

// TestTamperedFolder: who can write in the folder cannot make another authority trusted.
func TestTamperedFolder(t *testing.T) {
	w := newTown(t)
	w.take(t, w.list(1), w.signer)
	w.take(t, w.leaf.Cert.Raw, "")
	other := twoddoctest.NewCA(t, "FR97")
	rogue := other.Issue("0001", elliptic.P256())
	for name, data := range map[string][]byte{"FR97.pem": twoddoctest.PEM(other.Cert), "FR97-0001.pem": twoddoctest.PEM(rogue.Cert), "FR98-0009.pem": twoddoctest.PEM(rogue.Cert), "FR98-0008.pem": twoddoctest.PEM(w.leaf.Cert)} {
		if err := os.WriteFile(filepath.Join(w.dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	known, problems, err := w.folder.Load()
	if err != nil || len(problems) != 3 {
		t.Fatal(problems, err)
	}
	for head, by := range map[string]twoddoctest.Leaf{"DC04FR9700011EBC1EBC0101FR": rogue, "DC04FR9800091EBC1EBC0101FR": rogue, "DC04FR9800081EBC1EBC0101FR": w.leaf} {
		if _, r := twoddoc.VerifyBytes(by.Code(t, head+twoddoctest.Bill), known); r.Verdict != twoddoc.CertificateUnknown {
			t.Errorf("%s: %+v", head, r)
		}
	}
	if err := os.Chmod(w.dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.folder.Load(); err == nil {
		t.Error("a folder in which anybody may write is read")
	}
	if _, err := w.folder.Import(w.leaf.Cert.Raw, ""); err == nil {
		t.Error("a folder in which anybody may write is written")
	}
}

// TestImportsAtOnce: importing and reading at the same time, nothing is lost or torn.
func TestImportsAtOnce(t *testing.T) {
	w := newTown(t)
	w.take(t, w.list(1), w.signer)
	var all sync.WaitGroup
	for range 8 {
		leaf := w.ca.Issue("0001", elliptic.P256())
		all.Go(func() {
			if _, err := trust.At(w.dir).Import(leaf.Cert.Raw, ""); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			if _, problems, err := w.folder.Load(); err != nil || len(problems) > 0 {
				t.Error(problems, err)
			}
		})
	}
	all.Wait()
	known, _, err := w.folder.Load()
	if err != nil || known.CountOf("FR98") != 8 {
		t.Errorf("%d certificates, %v", known.CountOf("FR98"), err)
	}
}

func BenchmarkLoad(b *testing.B) {
	dir := b.TempDir()
	ca, _, _ := twoddoctest.Fixed(b)
	signer := twoddoctest.Signer(b)
	folder := trust.At(dir)
	if _, err := folder.Import(twoddoctest.List(b, signer, 1, twoddoctest.Entry{ID: "FR98", Status: twoddoctest.InAccord, Cert: ca.Cert}), twoddoctest.Fingerprint(signer)); err != nil {
		b.Fatal(err)
	}
	const certificates = 500
	for i := range certificates {
		cert := ca.Issue(fmt.Sprintf("%04d", i+1), elliptic.P256()).Cert
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("FR98-%04d.pem", i+1)), twoddoctest.PEM(cert), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if known, problems, err := folder.Load(); err != nil || len(problems) > 0 || known.CountOf("FR98") != certificates {
			b.Fatal(problems, err)
		}
	}
}
