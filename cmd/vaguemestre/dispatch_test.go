package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vaguemestre/channels/mailout/relaytest"
	"vaguemestre/cmd/vaguemestre/control"
	"vaguemestre/core"
)

// received is a mail as a service's mailbox has it.
type received struct {
	header     mail.Header
	subject    string
	text, html string
	names      []string
	files      map[string][]byte // by name
}

// readMail reads a message through all its parts.
func readMail(t *testing.T, raw []byte) received {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	out := received{header: m.Header, files: map[string][]byte{}}
	if out.subject, err = new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err != nil {
		t.Fatal(err)
	}
	out.walk(t, m.Header.Get, m.Body)
	return out
}

func (r *received) walk(t *testing.T, header func(string) string, body io.Reader) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(header("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(kind, "multipart/") {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			p, err := parts.NextRawPart()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			r.walk(t, p.Header.Get, p)
		}
	}
	switch header("Content-Transfer-Encoding") {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	content, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	if how, params, err := mime.ParseMediaType(header("Content-Disposition")); err == nil && how == "attachment" {
		r.names = append(r.names, params["filename"])
		r.files[params["filename"]] = content
		return
	}
	switch kind {
	case "text/plain":
		r.text += string(content)
	case "text/html":
		r.html += string(content)
	}
}

// sending runs a town that sends through a relay which it knows by its key.
func sending(t *testing.T, relay *relaytest.Relay, env ...string) *program {
	t.Helper()
	p := start(t, newHome(t), env)
	p.sendThrough(relay)
	return p
}

func (p *program) sendThrough(relay *relaytest.Relay) {
	p.t.Helper()
	p.must("tenant", "set", "--tenant", "demo", "relay="+relay.Addr, "relay_pin="+hex.EncodeToString(relay.Pin), "mail_from=nepasrepondre@demo.test")
}

// file sends files in, one mail each, and waits until each is a document.
func (p *program) file(files map[string][]byte) {
	p.t.Helper()
	for name, file := range files {
		if err := p.send(p.address, message(name, "x", name+".pdf", "application/pdf", file)); err != nil {
			p.t.Fatal(err)
		}
	}
	before := len(p.vault())
	p.wait(60*time.Second, "documents", func() bool { return len(p.vault()) >= max(before, len(files)) })
}

func (p *program) confirm(id string) {
	p.t.Helper()
	p.must("vault", "confirm", "--citizen", p.citizen, "--document", id)
}

// heavy makes a file larger, and the same to whoever reads it.
func heavy(file []byte, by int) []byte {
	return append(slices.Clone(file), "%"+strings.Repeat("-", by)+"\n"...)
}

// took waits until the relay has so many messages for a mailbox, and returns them read.
func took(p *program, relay *relaytest.Relay, mailbox string, n int) []received {
	p.t.Helper()
	var got []relaytest.Message
	p.wait(30*time.Second, fmt.Sprintf("%d messages to %s", n, mailbox), func() bool {
		got = slices.DeleteFunc(relay.Messages(), func(m relaytest.Message) bool { return !strings.Contains(m.Rcpt, "<"+mailbox+">") })
		return len(got) >= n
	})
	if len(got) != n {
		p.t.Errorf("%d messages to %s, want %d", len(got), mailbox, n)
	}
	var out []received
	for _, m := range got {
		out = append(out, readMail(p.t.(*testing.T), m.Data))
	}
	slices.SortFunc(out, func(a, b received) int { return strings.Compare(a.subject, b.subject) })
	return out
}

func (p *program) dispatched(args ...string) control.Dispatch {
	p.t.Helper()
	return decode[control.Dispatch](p.t, p.must(append([]string{"dispatch"}, append(args, "--json", "--tenant", "demo")...)...))[0]
}

// GW-3: agents receive documents in their mailbox: what one of them selects, over several
// mails, and by itself what a rule names; bounced mail is seen, and sent anew.
func TestGW3_DocumentsToTheAgents(t *testing.T) {
	t.Parallel()
	relay := (&relaytest.Relay{StartTLS: true, Offers: []string{"DSN"}}).Start(t)
	p := sending(t, relay)
	type id struct{ ID string }
	p.must("service", "add", "--tenant", "demo", "--code", "scolaire", "--name", "Affaires scolaires", "--mailbox", "scolaire@mairie.test", "--max-bytes", "180000")
	p.must("service", "add", "--tenant", "demo", "--code", "finances", "--name", "Finances", "--mailbox", "finances@mairie.test")
	p.must("service", "rule", "add", "--tenant", "demo", "--service", "finances", "--type", "avis_imposition_ir", "--purpose", "Calcul du quotient")
	agent := decode[id](t, p.must("service", "agent", "add", "--json", "--tenant", "demo", "--service", "scolaire", "--name", "Odile Martin"))[0].ID

	files := map[string][]byte{}
	for _, name := range []string{"gw3a", "gw3b", "gw3c"} {
		files[name] = heavy(taxNotice("Zoé LE GOFF", name), 40_000)
	}
	p.file(files)
	docs := p.vault()
	send := []string{"dispatch", "send", "--json", "--tenant", "demo", "--service", "scolaire", "--citizen", p.citizen, "--agent", agent, "--purpose", "Inscription à la cantine"}
	for _, d := range docs {
		send = append(send, "--document", d.ID)
	}
	// Before its citizen's yes nothing goes, by hand or by rule.
	if _, errs, code := p.command(send...); code != 1 || !strings.Contains(errs, "confirmation de l’usager") {
		t.Errorf("to be confirmed: exit %d, %s", code, errs)
	}
	if out := p.must("dispatch", "list", "--json", "--tenant", "demo"); out != "" {
		t.Errorf("sent before the yes: %s", out)
	}
	for _, d := range docs {
		p.confirm(d.ID)
	}
	d := decode[control.Dispatch](t, p.must(send...))[0]
	if len(d.Parts) != 2 || d.Rule {
		t.Fatalf("dispatch %+v", d)
	}
	mails := took(p, relay, "scolaire@mairie.test", 2)
	n := 0
	for i, m := range mails {
		if want := fmt.Sprintf("[Porte-documents] Envoi %s – 3 documents (%d/2)", d.ID.Short(), i+1); m.subject != want {
			t.Errorf("subject %q, want %q", m.subject, want)
		}
		for _, name := range m.names {
			sum := sha256.Sum256(m.files[name])
			if want := fmt.Sprintf("%s_%02d_Avis d’impôt sur les revenus_Zoé LE GOFF_2026-07-31.pdf", d.ID.Short(), n+1); name != want {
				t.Errorf("file %q, want %q", name, want)
			}
			if got := hex.EncodeToString(sum[:]); got != docs[n].SHA256 {
				t.Errorf("file %s is %s, the vault's %s", name, got, docs[n].SHA256)
			}
			n++
		}
		for _, said := range []string{"Camille DÉMO", "Odile Martin", "Inscription à la cantine", string(d.ID)} {
			if !strings.Contains(m.text, said) || !strings.Contains(m.html, said) {
				t.Errorf("part %d does not say %q:\n%s", i+1, said, m.text)
			}
		}
	}
	if n != 3 {
		t.Errorf("%d files", n)
	}
	for _, m := range relay.Messages() {
		if len(m.Data) > 180_000 && strings.Contains(m.Rcpt, "scolaire") {
			t.Errorf("a message of %d bytes", len(m.Data))
		}
	}
	for _, m := range took(p, relay, "finances@mairie.test", 3) {
		if len(m.names) != 1 || !strings.Contains(m.text, "Envoi automatique") || !strings.Contains(m.text, "Calcul du quotient") {
			t.Errorf("by rule: %q\n%s", m.names, m.text)
		}
	}
	p.wait(20*time.Second, "note that it was sent", func() bool { return p.dispatched("show", string(d.ID)).State == "sent" })
	p.bounces(relay, d)
	p.opens(relay, d, agent, docs)
	p.must("check")
	p.must("journal", "verify")
	p.stop()
}

// bounces has the first part come back, and sends the dispatch anew.
func (p *program) bounces(relay *relaytest.Relay, d control.Dispatch) {
	p.t.Helper()
	i := slices.IndexFunc(relay.Messages(), func(m relaytest.Message) bool {
		return strings.Contains(m.Rcpt, "scolaire") && bytes.Contains(m.Data, []byte(d.Parts[0].Letter))
	})
	_, after, _ := strings.Cut(relay.Messages()[i].Mail, "<")
	path, _, _ := strings.Cut(after, ">")
	report := strings.ReplaceAll("From: MAILER-DAEMON@mairie.test\nTo: "+path+"\nSubject: Undelivered Mail Returned to Sender\nMessage-ID: <bounce1@mairie.test>\nAuto-Submitted: auto-replied\nMIME-Version: 1.0\n"+
		"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: text/plain\n\nNo such mailbox.\n--b\nContent-Type: message/delivery-status\n\n"+
		"Reporting-MTA: dns; mx.mairie.test\n\nFinal-Recipient: rfc822; scolaire@mairie.test\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 unknown\n\n--b--\n", "\n", "\r\n")
	if err := handReport(p.smtp, path, []byte(report)); err != nil {
		p.t.Fatal(err)
	}
	p.wait(30*time.Second, "bounce", func() bool { return p.dispatched("show", string(d.ID)).State == "bounced" })
	shown := p.dispatched("show", string(d.ID))
	if part := shown.Parts[0]; part.State != "bounced" || part.Status != "5.1.1" || !strings.Contains(part.Sentence, "vérifiez l’adresse") {
		p.t.Errorf("bounced part %+v", part)
	}
	p.must("service", "set", "--tenant", "demo", "--code", "scolaire", "--mailbox", "ecoles@mairie.test", "--max-bytes", "10000000")
	anew := p.dispatched("resend", string(d.ID))
	if anew.Sending != 2 || len(anew.Parts) != 1 || len(anew.Earlier) != 2 {
		p.t.Errorf("sent anew: %+v", anew)
	}
	if m := took(p, relay, "ecoles@mairie.test", 1)[0]; len(m.names) != 3 {
		p.t.Errorf("sent anew: %q", m.names)
	}
}

// opens sends the dispatch once more, to a service that takes links alone, and opens one.
func (p *program) opens(relay *relaytest.Relay, d control.Dispatch, agent string, docs []row) {
	p.t.Helper()
	p.must("service", "set", "--tenant", "demo", "--code", "scolaire", "--links-only", "--mailbox", "liens@mairie.test")
	p.dispatched("resend", string(d.ID))
	m := took(p, relay, "liens@mairie.test", 1)[0]
	if len(m.files) != 0 || strings.Count(m.text, "avec le code ") != 3 {
		p.t.Fatalf("%d files and no three links in\n%s", len(m.files), m.text)
	}
	for i, after := range strings.Split(m.text, "avec le code ")[1:] {
		token, _, _ := strings.Cut(after, ",")
		target := filepath.Join(p.t.TempDir(), "document")
		p.must("dispatch", "open", "--tenant", "demo", "--agent", agent, "--token", token, "-o", target)
		b, err := os.ReadFile(target)
		if sum := sha256.Sum256(b); err != nil || hex.EncodeToString(sum[:]) != docs[i].SHA256 {
			p.t.Errorf("document %d by its link: %v, other bytes than the vault's", i+1, err)
		}
		p.must("service", "agent", "remove", "--tenant", "demo", "--service", "scolaire", "--agent", agent)
		if _, errs, code := p.command("dispatch", "open", "--tenant", "demo", "--agent", agent, "--token", token); code != 1 || !strings.Contains(errs, "not_found") {
			p.t.Errorf("for who left the service: exit %d, %s", code, errs)
		}
		p.must("service", "agent", "add", "--tenant", "demo", "--service", "scolaire", "--agent", agent)
	}
}

// GW-3: to a service with a certificate nothing is readable on the way, and all of it in
// the mailbox.
func TestGW3_EncryptedToTheService(t *testing.T) {
	t.Parallel()
	relay := (&relaytest.Relay{StartTLS: true}).Start(t)
	p := sending(t, relay)
	dir := t.TempDir()
	key, cert := filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem")
	openssl(t, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "30", "-subj", "/CN=CCAS",
		"-addext", "keyUsage=keyEncipherment", "-addext", "extendedKeyUsage=emailProtection", "-addext", "subjectAltName=email:ccas@mairie.test", "-addext", "basicConstraints=CA:FALSE")
	p.must("service", "add", "--tenant", "demo", "--code", "ccas", "--name", "CCAS", "--mailbox", "ccas@mairie.test", "--certificate", cert)
	p.must("service", "rule", "add", "--tenant", "demo", "--service", "ccas", "--type", "avis_imposition_ir", "--purpose", "Aide sociale")
	p.file(map[string][]byte{"enc": taxNotice("Zoé LE GOFF", "enc")})
	doc := p.vault()[0]
	p.confirm(doc.ID)
	p.wait(30*time.Second, "encrypted message", func() bool { return len(relay.Messages()) == 1 })
	raw := relay.Messages()[0].Data
	for _, hidden := range []string{"LE GOFF", "Camille", "imposition", "%PDF", "Aide sociale"} {
		if f := newFinder(hidden).search(raw); len(f) > 0 {
			t.Errorf("on the way %v can be read", f)
		}
	}
	sealed := filepath.Join(dir, "sealed.eml")
	if err := os.WriteFile(sealed, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	m := readMail(t, openssl(t, "cms", "-decrypt", "-in", sealed, "-inkey", key, "-recip", cert))
	if len(m.names) != 1 || !strings.Contains(m.text, "Camille DÉMO") {
		t.Fatalf("decrypted: %q\n%s", m.names, m.text)
	}
	if sum := sha256.Sum256(m.files[m.names[0]]); hex.EncodeToString(sum[:]) != doc.SHA256 {
		t.Error("the decrypted file is not the vault's")
	}
	p.stop()
}

// handReport hands a report over as a mail server does: from nobody.
func handReport(server, to string, report []byte) error {
	c, err := smtp.Dial(server)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := firstError(c.Hello("mx.mairie.test"), c.Mail(""), c.Rcpt(to)); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(report); err != nil {
		return err
	}
	return firstError(w.Close(), c.Quit())
}

// openssl is who receives: another implementation than ours.
func openssl(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("openssl", args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("openssl %s: %v: %s", args[0], err, errs.String())
	}
	return out.Bytes()
}

// SEC-53: documents go to listed mailboxes alone, nothing in a name ends a line, and a
// relay that hides its STARTTLS gets no byte of one.
func TestSEC53_DocumentsGoToListedMailboxesOverTLSAlone(t *testing.T) {
	t.Parallel()
	stripping := (&relaytest.Relay{}).Start(t)
	honest := (&relaytest.Relay{StartTLS: true}).Start(t)
	p := sending(t, stripping)
	const holder = "Zqsec53temoin"
	p.must("service", "add", "--tenant", "demo", "--code", "voirie", "--name", "Voirie", "--mailbox", "voirie@mairie.test")
	for _, mailbox := range []string{"a@mairie.test\r\nRCPT TO:<x@y.test>", "a@mairie.test,b@mairie.test", "x@depot.demo.test", "A <a@mairie.test>"} {
		if _, _, code := p.command("service", "set", "--tenant", "demo", "--code", "voirie", "--mailbox", mailbox); code != 2 {
			t.Errorf("mailbox %q: exit %d", mailbox, code)
		}
	}
	p.must("service", "rule", "add", "--tenant", "demo", "--service", "voirie", "--type", "avis_imposition_ir", "--purpose", "Stationnement")
	p.file(map[string][]byte{"s53": taxNotice(holder+" LE GOFF", "s53")})
	doc := p.vault()[0]
	p.confirm(doc.ID)
	var letter core.LetterID
	p.wait(30*time.Second, "attempt at the relay without TLS", func() bool {
		d := p.dispatched("list")
		letter = d.Parts[0].Letter
		return d.Parts[0].State == "waiting" && d.Parts[0].Code == "relay_without_tls" && strings.Contains(d.Parts[0].Sentence, "aucun document ne part en clair")
	})
	if clear := stripping.Clear(); strings.Contains(clear, "DATA") || strings.Contains(clear, "MAIL") || len(newFinder(holder, "%PDF", "Camille").search([]byte(clear))) > 0 || len(stripping.Messages()) > 0 {
		t.Errorf("the relay that strips heard %q", clear)
	}
	p.sendThrough(honest)
	p.must("mail", "retry", "--tenant", "demo", "--letter", string(letter))
	m := took(p, honest, "voirie@mairie.test", 1)[0]
	if sum := sha256.Sum256(m.files[m.names[0]]); hex.EncodeToString(sum[:]) != doc.SHA256 {
		t.Error("the file is not the vault's")
	}
	if clear := honest.Clear(); strings.Contains(clear, "MAIL") || len(newFinder(holder, "%PDF").search([]byte(clear))) > 0 {
		t.Errorf("in the clear: %q", clear)
	}
	// A service that ended receives nothing, and nobody can be named in its place.
	p.must("service", "remove", "--tenant", "demo", "--code", "voirie")
	if _, errs, code := p.command("dispatch", "send", "--tenant", "demo", "--service", "voirie", "--citizen", p.citizen, "--agent", p.citizen, "--purpose", "x", "--document", doc.ID); code == 0 {
		t.Errorf("sent to a service that ended: %s", errs)
	}
	if n := len(honest.Messages()); n != 1 {
		t.Errorf("%d messages", n)
	}
	p.stop()
}
