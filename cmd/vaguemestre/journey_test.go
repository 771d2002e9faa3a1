package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A real e-mail with a real PDF comes in by SMTP; the document stands in the right
// vault, recognised and dated; confirmed by its owner; handed out byte for byte.
func TestGW4_FromMailToVault(t *testing.T) {
	t.Parallel()
	p := start(t, newHome(t), nil)
	file := taxNotice("Zoé LE GOFF", "gw4")
	if err := p.send(p.address, message("gw4", "Mon avis", "avis 2026.pdf", "application/pdf", file)); err != nil {
		t.Fatal(err)
	}
	p.wait(60*time.Second, "document", func() bool { return len(p.vault()) == 1 })
	got := p.vault()[0]
	sum := sha256.Sum256(file)
	if got.Type != "avis_imposition_ir" || got.State != "to_confirm" || got.Standing != "current" || got.Channel != "smtp" ||
		got.Filename != "avis 2026.pdf" || got.SHA256 != hex.EncodeToString(sum[:]) || got.Size != int64(len(file)) || got.Confidence < 0.7 {
		t.Errorf("filed as %+v", got)
	}
	if got.Holder == nil || !strings.EqualFold(*got.Holder, "Zoé LE GOFF") || got.Issued == nil || *got.Issued != "2026-07-31" || got.ValidUntil == nil {
		t.Errorf("holder %v, issued %v, valid until %v", got.Holder, got.Issued, got.ValidUntil)
	}
	if out := p.must("vault", "confirm", "--json", "--citizen", p.citizen, "--document", got.ID); !strings.Contains(out, `"state":"to_validate"`) {
		t.Errorf("confirm answered %s", out)
	}
	if state := p.vault()[0].State; state != "to_validate" {
		t.Errorf("after confirmation: %s", state)
	}
	target := filepath.Join(t.TempDir(), "avis.pdf")
	p.must("vault", "get", "--citizen", p.citizen, "--document", got.ID, "-o", target)
	if back, err := os.ReadFile(target); err != nil || !bytes.Equal(back, file) {
		t.Errorf("get gave %d bytes (%v), want the %d sent", len(back), err, len(file))
	}
	p.must("check")
	p.must("journal", "verify")
	p.stop()
}

// The other answers of RCPT and DATA, and what a piece becomes that is not filed.
func TestTheOtherEnds(t *testing.T) {
	t.Parallel()
	p := start(t, newHome(t), nil)

	unknown := p.send("nobody@depot.demo.test", message("u", "x", "x.pdf", "application/pdf", nil))
	old := p.address
	p.must("citizen", "address", "rotate", "--citizen", p.citizen)
	revoked := p.send(old, message("r", "x", "x.pdf", "application/pdf", nil))
	for _, err := range []error{unknown, revoked} {
		if e, ok := err.(*textproto.Error); !ok || e.Code != 550 || !strings.HasPrefix(e.Msg, "5.1.1") {
			t.Errorf("unknown or revoked address: %v", err)
		}
	}
	if unknown.Error() != revoked.Error() {
		t.Errorf("unknown and revoked can be told apart: %q, %q", unknown, revoked)
	}

	closed := decode[enrolment](t, p.must("citizen", "add", "--json", "--tenant", "demo", "--given", "Ana", "--family", "Muette", "--email", "ana@demo.test", "--no-reading"))[0]
	open := decode[enrolment](t, p.must("citizen", "add", "--json", "--tenant", "demo", "--given", "Luc", "--family", "Ouvert", "--email", "luc@demo.test"))[0]
	for _, m := range []struct {
		to, id, name, kind string
		file               []byte
	}{
		{closed.Address, "m1", "avis.pdf", "application/pdf", taxNotice("Ana MUETTE", "m1")},
		{open.Address, "m2", "note.txt", "text/plain", []byte("Bonjour, ceci n'est pas un justificatif.\n")},
		{open.Address, "m3", "menu.pdf", "application/pdf", textPDF("Menu du jour", "Entrée : salade", "Plat : blanquette", "Dessert : tarte")},
	} {
		if err := p.send(m.to, message(m.id, "x", m.name, m.kind, m.file)); err != nil {
			t.Fatal(err)
		}
	}
	var got []deposit
	p.wait(60*time.Second, "end of all pieces", func() bool {
		got = p.deposits()
		for _, d := range got {
			if len(d.Pieces) != 1 || d.Pieces[0].State == "waiting" || d.Pieces[0].State == "examined" || d.Pieces[0].State == "recognised" {
				return false
			}
		}
		return len(got) == 3
	})
	for i, want := range []string{"at_desk citizen no_reading_consent", "refused  unsupported_text", "at_desk citizen not_recognised"} {
		if is := got[i].Pieces[0].State + " " + got[i].Pieces[0].Desk + " " + got[i].Pieces[0].Reason; is != want {
			t.Errorf("piece %d: %q, want %q", i+1, is, want)
		}
	}
	if s := got[1].Pieces[0].Sentence; !strings.Contains(s, "PDF") {
		t.Errorf("the refusal says %q", s)
	}
	p.must("check")
}
