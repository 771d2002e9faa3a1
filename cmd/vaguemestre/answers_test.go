package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vaguemestre/channels/mailout/relaytest"
)

// answer is a letter as the relay got it, decoded.
type answer struct {
	relaytest.Message
	header     mail.Header
	text, html string
}

func read(t *testing.T, m relaytest.Message) answer {
	t.Helper()
	a := answer{Message: m}
	msg, err := mail.ReadMessage(bytes.NewReader(m.Data))
	if err != nil {
		t.Fatal(err)
	}
	a.header = msg.Header
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("letter of type %q, %v", kind, err)
	}
	parts := multipart.NewReader(msg.Body, params["boundary"])
	for {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			return a
		}
		if err != nil {
			t.Fatal(err)
		}
		var r io.Reader = p
		if strings.EqualFold(p.Header.Get("Content-Transfer-Encoding"), "quoted-printable") {
			r = quotedprintable.NewReader(p)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(p.Header.Get("Content-Type"), "text/html") {
			a.html = string(b)
		} else {
			a.text = strings.ReplaceAll(string(b), "\r\n", "\n")
		}
	}
}

// linkIn is the token behind a path of the portal.
func linkIn(t *testing.T, a answer, path string) string {
	t.Helper()
	_, token, found := strings.Cut(a.text, "https://demarches.demo.test"+path)
	token, _, _ = strings.Cut(token, "\n")
	if !found || token == "" || !strings.Contains(a.html, path+token) {
		t.Fatalf("no link %s in\n%s", path, a.text)
	}
	return token
}

// writes makes the town for demonstration write by the relay.
func (p *program) writes(relay *relaytest.Relay) {
	p.t.Helper()
	password := filepath.Join(p.t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(relay.Password+"\n"), 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.must("tenant", "secret", "set", "--tenant", "demo", "--name", "relay", "--file", password)
	p.must("tenant", "set", "--tenant", "demo", "relay="+relay.Addr, "relay_user="+relay.User, "relay_pin="+hex.EncodeToString(relay.Pin),
		"mail_from=depot@demo.test", "mail_name=Ville de démonstration", "portal=https://demarches.demo.test",
		"service_name=Service des démarches", "service_address=1 place de la Mairie, 94000 Ville", "service_phone=01 02 03 04 05")
}

// letters waits until the relay has so many, and reads them.
func (p *program) letters(relay *relaytest.Relay, n int) (out []answer) {
	p.t.Helper()
	p.wait(60*time.Second, "letters", func() bool { return len(relay.Messages()) >= n })
	for _, m := range relay.Messages() {
		out = append(out, read(p.t.(*testing.T), m))
	}
	return out
}

// A citizen's address is proven by the link sent there; a mail of hers is acknowledged
// there at once, and what became of it told; one of unproven origin is confirmed by the
// link in the letter. Nothing is sent to whoever it claims to be from.
func TestSEC100_FromMailToAcknowledgement(t *testing.T) {
	t.Parallel()
	s, zone := newSigner(t)
	zone["_dmarc.example.test"] = "v=DMARC1; p=reject"
	relay := (&relaytest.Relay{StartTLS: true, User: "depot", Password: "s3same ouvre-toi"}).Start(t)
	p := start(t, newHome(t), []string{"VAGUEMESTRE_RESOLVER=" + zone.serve(t)})
	p.writes(relay)
	camille := decode[enrolment](t, p.must("citizen", "add", "--json", "--tenant", "demo", "--given", "Camille", "--family", "Roy", "--email", "camille@example.test"))[0]
	p.citizen, p.address = camille.ID, camille.Address

	verify := p.letters(relay, 1)[0]
	if verify.Rcpt != "RCPT TO:<camille@example.test>" || strings.HasPrefix(verify.Mail, "MAIL FROM:<>") {
		t.Errorf("to prove the address: %s, %s", verify.Mail, verify.Rcpt)
	}
	p.must("citizen", "sender", "verify", "--citizen", p.citizen, "--token", linkIn(t, verify, "/adresse/"))

	// From herself, proven: registered, then filed.
	file := taxNotice("Camille ROY", "answers")
	if err := p.send(p.address, s.sign(t, message("a1", "Mon objet secret", "nom secret.pdf", "application/pdf", file))); err != nil {
		t.Fatal(err)
	}
	got := p.letters(relay, 3)
	receipt, result := got[1], got[2]
	if strings.Contains(receipt.text, "classé") {
		receipt, result = result, receipt
	}
	id := p.deposits()[0].ID
	for _, l := range []answer{receipt, result} {
		if l.Rcpt != "RCPT TO:<camille@example.test>" || !strings.HasPrefix(l.Mail, "MAIL FROM:<>") || !strings.HasPrefix(l.header.Get("Auto-Submitted"), "auto-") {
			t.Errorf("%s, %s, Auto-Submitted %q", l.Mail, l.Rcpt, l.header.Get("Auto-Submitted"))
		}
		for _, want := range []string{id, "Service des démarches", "1 place de la Mairie, 94000 Ville", "01 02 03 04 05"} {
			if !strings.Contains(l.text, want) || !strings.Contains(l.html, want) {
				t.Errorf("%s lacks %q", l.header.Get("Subject"), want)
			}
		}
		for _, secret := range []string{"Mon objet", "secret", "Voici mon justificatif", "ROY", "Camille"} {
			if strings.Contains(l.text+l.html+l.header.Get("Subject"), secret) {
				t.Errorf("a letter says %q", secret)
			}
		}
	}
	if !strings.Contains(result.text, "classé comme «\u00a0Avis d’impôt") || !strings.Contains(strings.Join(strings.Fields(result.text), " "), "valable jusqu’au") {
		t.Errorf("result:\n%s", result.text)
	}

	// From somebody who claims to be another: the owner alone is told, and asked.
	forged := bytes.Replace(message("a2", "x", "x.pdf", "application/pdf", taxNotice("Camille ROY", "forged")), []byte("camille@example.test"), []byte("victime@example.test"), 1)
	if err := p.send(p.address, forged); err != nil {
		t.Fatal(err)
	}
	p.wait(30*time.Second, "confirmable document", func() bool { return len(p.vault()) == 2 })
	all := p.letters(relay, 5)
	token := ""
	for _, l := range all[3:] {
		if l.Rcpt != "RCPT TO:<camille@example.test>" {
			t.Errorf("told besides: %s", l.Rcpt)
		}
		if strings.Contains(l.text, "/confirmer/") {
			token = linkIn(t, l, "/confirmer/")
		}
	}
	if out := p.must("vault", "confirm", "--json", "--citizen", p.citizen, "--token", token); !strings.Contains(out, `"to_validate"`) {
		t.Errorf("confirmed: %s", out)
	}

	for _, l := range decode[struct{ Kind, State, Once string }](t, p.must("mail", "list", "--json", "--tenant", "demo")) {
		if l.State != "sent" {
			t.Errorf("letter %+v", l)
		}
	}
	receipts := decode[struct{ Number, Service, Letter string }](t, p.must("vault", "receipts", "--json", "--citizen", p.citizen))
	if len(receipts) != 2 || receipts[0].Number != id || receipts[0].Service != "Service des démarches" || receipts[0].Letter != "sent" {
		t.Errorf("receipts %+v", receipts)
	}
	var shown struct{ Subject, Text, HTML string }
	out := p.must("mail", "preview", "--json", "--tenant", "demo", "--kind", "result", "--deposit", id)
	if err := json.Unmarshal([]byte(out), &shown); err != nil || !strings.Contains(shown.Text, "classé comme «\u00a0Avis d’impôt") || shown.HTML == "" {
		t.Errorf("preview %s, %v", out, err)
	}
	if metrics := string(metricsOf(t, p)); !strings.Contains(metrics, "vaguemestre_letters_waiting 0") || !strings.Contains(metrics, `vaguemestre_letters_total{kind="receipt",state="sent"} 2`) {
		t.Error("the metrics do not tell of the letters")
	}
	p.must("tenant", "mentions", "check")
	p.must("check")
	p.must("journal", "verify")
	p.stop()
}

// A town without a relay writes nothing, and piles nothing up; what it lacks is said; and
// what its citizens keep of a deposit stands in the vault all the same.
func TestATownWithoutARelayPilesNothingUp(t *testing.T) {
	t.Parallel()
	p := start(t, newHome(t), nil)
	if err := p.send(p.address, message("n1", "x", "x.pdf", "application/pdf", taxNotice("Zoé LE GOFF", "norelay"))); err != nil {
		t.Fatal(err)
	}
	p.wait(60*time.Second, "document", func() bool { return len(p.vault()) == 1 })
	if out := p.must("mail", "list", "--json", "--tenant", "demo"); out != "" {
		t.Errorf("letters %s", out)
	}
	if got := decode[struct{ Number, State string }](t, p.must("vault", "receipts", "--json", "--citizen", p.citizen)); len(got) != 1 || got[0].Number != p.deposits()[0].ID {
		t.Errorf("receipts %+v", got)
	}
	p.must("tenant", "mentions", "check")
	p.must("tenant", "set", "--tenant", "demo", "relay=localhost:2526", "mail_from=depot@demo.test")
	if out, _, code := p.command("tenant", "mentions", "check", "--tenant", "demo"); code != 1 || !strings.Contains(out, "service_phone") {
		t.Errorf("mentions: exit %d, %s", code, out)
	}
	if _, errs, code := p.command("tenant", "set", "--tenant", "demo", "relay=nowhere"); code != 2 || !strings.Contains(errs, "relay") {
		t.Errorf("a relay without a port: exit %d, %s", code, errs)
	}
	if out := p.must("mail", "preview", "--tenant", "demo", "--kind", "receipt"); !strings.Contains(out, "Votre dépôt est enregistré") || !strings.Contains(out, "[service_phone]") {
		t.Errorf("preview: %s", out)
	}
	if out := p.must("mail", "preview", "--tenant", "demo", "--kind", "result", "--html"); !strings.Contains(out, `<html lang="fr">`) {
		t.Errorf("preview: %s", out)
	}
	if _, _, code := p.command("mail", "preview", "--tenant", "demo", "--kind", "postcard"); code != 2 {
		t.Errorf("a postcard: exit %d", code)
	}
	p.stop()
}
