package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"mime"
	"net/mail"
	"net/smtp"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	vmail "vaguemestre/channels/mail"
	"vaguemestre/channels/mailout/relaytest"
	"vaguemestre/core"
)

// decoder reads header fields.
var decoder mime.WordDecoder

// writingTown is a running program whose town writes letters through a relay that keeps them.
type writingTown struct {
	*program
	signer signer
	relay  *relaytest.Relay
	seen   int // letters looked at
	mails  int // sent
}

// startWriting starts one whose citizen writes from camille@example.test, proven.
func startWriting(t *testing.T) *writingTown {
	t.Helper()
	s, dns := newSigner(t)
	w := &writingTown{signer: s, relay: (&relaytest.Relay{}).Start(t)}
	w.program = start(t, newHome(t), []string{"VAGUEMESTRE_RESOLVER=" + dns.serve(t)})
	token := decode[struct{ Token string }](t, w.must("citizen", "sender", "add", "--json", "--citizen", w.citizen, "--email", "camille@example.test"))[0].Token
	w.must("citizen", "sender", "verify", "--json", "--citizen", w.citizen, "--token", token)
	w.must("tenant", "set", "--tenant", "demo", "relay="+w.relay.Addr, "mail_from=mairie@ville.test", "portal=https://demarches.ville.test",
		"service_name=Service des démarches", "service_address=1 place de la Mairie, 30000 Ville", "service_phone=04 00 00 00 00")
	return w
}

// mailed is a letter as the relay took it.
type mailed struct {
	from, to, replyTo, id, subject, text string
}

// flat is the text without its line breaks.
func (m mailed) flat() string { return strings.Join(strings.Fields(m.text), " ") }

// letter waits for the next letter whose subject has the word.
func (w *writingTown) letter(word string) mailed {
	w.t.Helper()
	var found mailed
	w.wait(30*time.Second, "letter about "+word, func() bool {
		all := w.relay.Messages()
		for ; w.seen < len(all); w.seen++ {
			m := w.parse(all[w.seen])
			if strings.Contains(m.subject, word) {
				found = m
				w.seen++
				return true
			}
		}
		return false
	})
	return found
}

func (w *writingTown) parse(m relaytest.Message) mailed {
	w.t.Helper()
	msg, err := mail.ReadMessage(bytes.NewReader(m.Data))
	if err != nil {
		w.t.Fatal(err)
	}
	cover, err := vmail.Splitter{}.Split(w.t.Context(), bytes.NewReader(m.Data), func(core.Part) error { return nil })
	if err != nil {
		w.t.Fatal(err)
	}
	out := mailed{from: between(m.Mail), to: between(m.Rcpt), id: msg.Header.Get("Message-Id"), text: cover.Note}
	for name, to := range map[string]*string{"Reply-To": &out.replyTo, "Subject": &out.subject} {
		if *to, err = decoder.DecodeHeader(msg.Header.Get(name)); err != nil {
			w.t.Fatal(err)
		}
	}
	out.replyTo = strings.Trim(out.replyTo, "<>")
	return out
}

func between(command string) string {
	_, rest, _ := strings.Cut(command, "<")
	address, _, _ := strings.Cut(rest, ">")
	return address
}

// post hands one message over; the null sender is a mail system.
func (w *writingTown) post(from, to string, msg []byte) {
	w.t.Helper()
	w.mails++
	if err := smtp.SendMail(w.smtp, nil, from, []string{to}, msg); err != nil {
		w.t.Fatalf("mail to %s: %v", to, err)
	}
}

// answer is a reply to a letter: own words, what it quotes, and a file or none.
func (w *writingTown) answer(to mailed, words string, file []byte, headers ...string) []byte {
	body := words + "\r\n\r\nLe mer. 25 nov. 2026 à 10:00, Mairie <mairie@ville.test> a écrit :\r\n> " + strings.ReplaceAll(to.text, "\n", "\r\n> ")
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: Camille <camille@example.test>\r\nTo: <%s>\r\nSubject: Re: votre envoi\r\nMessage-ID: <reply%d@example.test>\r\nIn-Reply-To: %s\r\nReferences: %s\r\nMIME-Version: 1.0\r\n", to.replyTo, w.mails, to.id, to.id)
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	b.WriteString("Content-Type: multipart/mixed; boundary=limite\r\n\r\n--limite\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + body + "\r\n")
	if file != nil {
		fmt.Fprintf(&b, "--limite\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=nouveau.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n%s", base64Lines(file))
	}
	b.WriteString("--limite--\r\n")
	return b.Bytes()
}

// holds compares the vault with what it should hold: the mark of each file and its state.
func (w *writingTown) holds(want ...string) []row {
	w.t.Helper()
	w.arrived(w.mails)
	rows := w.vault()
	var got []string
	for _, r := range rows {
		got = append(got, r.State+" "+r.SHA256[:8])
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Fatalf("the vault holds %v, want %v", got, want)
	}
	return rows
}

func mark(file []byte) string {
	sum := sha256.Sum256(file)
	return hex.EncodeToString(sum[:])[:8]
}

var deleteLink = regexp.MustCompile(`https://demarches\.ville\.test/supprimer/(\S+)`)

// The e-mail column of NIM-2, with its other side: a proof is added, replaced and deleted
// by mail alone, by its citizen alone, and all of it can be taken back.
func TestNIM2_AddModifyAndDeleteByMail(t *testing.T) {
	t.Parallel()
	w := startWriting(t)
	paper := func(name string) []byte { return taxNotice("Camille DEMO", name) }
	a, b, c := paper("a"), paper("b"), paper("c")
	first := message("first", "Mon avis", "a.pdf", "application/pdf", a)

	// Added.
	w.post("camille@example.test", w.address, w.signer.sign(t, first))
	w.holds("to_validate " + mark(a))
	result := w.letter("Accusé de réception")
	if result.replyTo == "" || result.from != "" || result.to != "camille@example.test" || !strings.Contains(result.text, "SUPPRIMER") || strings.Contains(result.text, result.replyTo) {
		t.Fatalf("result: from %q to %q, answered at %q:\n%s", result.from, result.to, result.replyTo, result.text)
	}

	// Replaced, by who proves to be its citizen.
	w.post("camille@example.test", result.replyTo, w.signer.sign(t, w.answer(result, "Voici le bon.", b)))
	rows := w.holds("to_validate " + mark(b))
	if again := w.letter("Accusé de réception"); !strings.Contains(again.flat(), "Il remplace votre document précédent") {
		t.Errorf("the result of a reply says\n%s", again.text)
	}
	id := rows[0].ID
	versions := decode[struct {
		Version int
		InForce bool `json:"in_force"`
		SHA256  string
	}](t, w.must("vault", "versions", "--json", "--citizen", w.citizen, "--document", id))
	if len(versions) != 2 || versions[0].InForce || !versions[1].InForce || versions[0].SHA256[:8] != mark(a) {
		t.Errorf("versions %+v", versions)
	}
	w.must("vault", "restore", "--json", "--citizen", w.citizen, "--document", id, "--version", "1")
	w.holds("to_validate " + mark(a))
	w.must("vault", "restore", "--json", "--citizen", w.citizen, "--document", id, "--version", "2")

	// Not replaced, by who does not (SEC-54): proposed, until the citizen says yes.
	w.post("mallory@example.net", result.replyTo, w.answer(result, "Le voici.", c))
	w.holds("to_validate "+mark(b), "to_confirm "+mark(c))
	spoofed := w.letter("Accusé de réception")
	if !strings.Contains(spoofed.flat(), "Si vous confirmez, il remplacera") {
		t.Errorf("the result of a spoofed reply says\n%s", spoofed.text)
	}

	// A program's reply does nothing (RFC 3834).
	w.post("camille@example.test", result.replyTo, w.signer.sign(t, w.answer(result, "SUPPRIMER", nil, "Auto-Submitted: auto-replied")))
	if last := w.arrived(w.mails)[w.mails-1]; last.State != "refused" || last.Reason != "automatic_reply" {
		t.Errorf("an out-of-office reply is %s %s", last.State, last.Reason)
	}

	// Asked to be deleted, by a stranger: a letter to the citizen, and nothing else.
	w.post("mallory@example.net", result.replyTo, w.answer(result, "Supprimer svp", nil))
	w.holds("to_validate "+mark(b), "to_confirm "+mark(c))
	asked := w.letter("suppression")
	link := deleteLink.FindStringSubmatch(asked.text)
	if asked.to != "camille@example.test" || asked.from == "" || asked.from == result.replyTo || link == nil {
		t.Fatalf("asked by a letter from %q to %q:\n%s", asked.from, asked.to, asked.text)
	}
	other := decode[enrolment](t, w.must("citizen", "add", "--json", "--tenant", "demo", "--given", "Luc", "--family", "Autre", "--email", "luc@demo.test"))[0]
	if _, errs, code := w.command("vault", "delete", "--json", "--citizen", other.ID, "--token", link[1]); code == 0 {
		t.Errorf("somebody else's link: exit %d, %s", code, errs)
	}
	w.holds("to_validate "+mark(b), "to_confirm "+mark(c))
	if out := w.must("vault", "delete", "--json", "--citizen", w.citizen, "--token", link[1]); !strings.Contains(out, id) {
		t.Errorf("deleted: %s", out)
	}
	w.holds("to_confirm " + mark(c))
	w.must("vault", "restore", "--json", "--citizen", w.citizen, "--document", id)
	rows = w.holds("to_validate "+mark(b), "to_confirm "+mark(c))
	if out := w.must("vault", "confirm", "--json", "--citizen", w.citizen, "--document", rows[1].ID); !strings.Contains(out, id) {
		t.Errorf("the yes to a replacement: %s", out)
	}
	w.holds("to_validate " + mark(c))
	w.must("check", "--json")
	w.must("journal", "verify", "--json", "--tenant", "demo")
}

// A thread's headers, its subject and the letters it quotes attach nothing (SEC-46): only
// the secret address does.
func TestSEC46_AThreadAttachesNothing(t *testing.T) {
	t.Parallel()
	w := startWriting(t)
	a, b := taxNotice("Camille DEMO", "a"), taxNotice("Camille DEMO", "b")
	w.must("tenant", "set", "--tenant", "demo", "generic_address=depot@ville.test")
	w.post("camille@example.test", w.address, w.signer.sign(t, message("first", "Mon avis", "a.pdf", "application/pdf", a)))
	w.holds("to_validate " + mark(a))
	result := w.letter("Accusé de réception")
	for _, to := range []string{w.address, "depot@ville.test"} {
		w.post("camille@example.test", to, w.signer.sign(t, w.answer(result, "SUPPRIMER", nil)))
	}
	w.post("mallory@example.net", "depot@ville.test", w.answer(result, "SUPPRIMER", nil)) // T0
	w.post("camille@example.test", w.address, w.signer.sign(t, w.answer(result, "Voici le bon.", b)))
	w.holds("to_validate "+mark(a), "to_validate "+mark(b))
	if out := w.must("mail", "list", "--json", "--tenant", "demo"); strings.Contains(out, "delete_document") {
		t.Errorf("a thread asked for deletion: %s", out)
	}
}

// A letter that comes back is shown as such; reports and automatic replies are never
// deposits, are not answered, and end every loop.
func TestREL12_BouncesAreTakenInAndShown(t *testing.T) {
	t.Parallel()
	w := startWriting(t)
	w.post("camille@example.test", w.address, w.signer.sign(t, message("first", "Mon avis", "a.pdf", "application/pdf", taxNotice("Camille DEMO", "a"))))
	result := w.letter("Accusé de réception")
	w.post("camille@example.test", result.replyTo, w.signer.sign(t, w.answer(result, "SUPPRIMER", nil)))
	asked := w.letter("suppression")
	mails := w.mails
	w.arrived(mails)

	vacation := "From: camille@example.test\r\nTo: <" + asked.from + ">\r\nSubject: Absence du bureau\r\nAuto-Submitted: auto-replied\r\n\r\nSUPPRIMER\r\n"
	before := len(w.relay.Messages())
	w.post("camille@example.test", asked.from, []byte(vacation))
	w.post("", asked.from, []byte(deliveryReport("5.2.2", "smtp; 552 full")))
	w.post("", asked.from, []byte(deliveryReport("5.1.1", "smtp; 550 a report on the report above")))
	w.mails = mails
	type line struct{ Kind, State, Status, Sentence string }
	var letters []line
	w.wait(30*time.Second, "bounced letter", func() bool {
		letters = nil
		for _, l := range decode[line](t, w.must("mail", "list", "--json", "--tenant", "demo")) {
			if l.Kind == "link" && l.State == "bounced" {
				letters = append(letters, l)
			}
		}
		return len(letters) == 1
	})
	if l := letters[0]; l.Status != "5.2.2" && l.Status != "5.1.1" || l.Sentence != "boîte pleine" && l.Sentence != "adresse inconnue" {
		t.Errorf("shown as %+v", l)
	}
	w.wait(30*time.Second, "three reports read", func() bool {
		return strings.Count(w.must("mail", "reports", "--json", "--tenant", "demo"), `"state":"read"`) == 3
	})
	if n := len(w.arrived(mails)); n != mails {
		t.Errorf("%d deposits, want %d", n, mails)
	}
	// The contact gets no more letters, until it is verified again.
	w.post("camille@example.test", w.address, w.signer.sign(t, message("more", "Encore", "c.pdf", "application/pdf", taxNotice("Camille DEMO", "c"))))
	w.arrived(w.mails)
	time.Sleep(time.Second)
	if n := len(w.relay.Messages()); n != before {
		t.Errorf("%d letters to a contact that bounced", n-before)
	}
	w.must("check", "--json")
}

// reporting are the settings and services of a relay that delivers by transports, and
// reports what it cannot deliver.
const (
	reportingSettings = `
mydestination =
smtpd_client_restrictions =
default_transport = error:5.4.4 nowhere
transport_maps = inline:{ { example.test = smtp:[%s }, { depot.demo.test = smtp:[%s } }
smtp_tls_security_level = none
`
	reportingServices = "smtp unix - - n - - smtp\n"
)

// A real relay's own report finds its letter, and only that; who is not root, and cannot
// start one, writes its report.
func TestREL12_ARelaysReportFindsItsLetter(t *testing.T) {
	t.Parallel()
	w := startWriting(t)
	paper := taxNotice("Camille DEMO", "a")
	w.post("camille@example.test", w.address, w.signer.sign(t, message("first", "Mon avis", "a.pdf", "application/pdf", paper)))
	w.holds("to_validate " + mark(paper))
	result := w.letter("Accusé de réception")
	root := os.Geteuid() == 0
	if root {
		theirs := (&relaytest.Relay{Answer: func(_ int, command string) string {
			if strings.HasPrefix(command, "RCPT") {
				return "550 5.2.2 mailbox full"
			}
			return ""
		}}).Start(t)
		literal := func(addr string) string { return strings.Replace(addr, ":", "]:", 1) }
		relay := startPostfix(t, "", fmt.Sprintf(reportingSettings, literal(theirs.Addr), literal(w.smtp)), reportingServices)
		w.must("tenant", "set", "--tenant", "demo", "relay="+relay.addr)
		time.Sleep(3 * time.Second) // a town's settings are read again every two
	}
	w.post("mallory@example.net", result.replyTo, w.answer(result, "SUPPRIMER", nil))
	mails := w.mails
	if !root {
		w.post("", w.letter("suppression").from, []byte(deliveryReport("5.2.2", "smtp; 550 5.2.2 mailbox full")))
	}
	type line struct{ Kind, State, Status, Sentence string }
	var bounced []line
	w.wait(30*time.Second, "letter that came back", func() bool {
		bounced = nil
		for _, l := range decode[line](t, w.must("mail", "list", "--json", "--tenant", "demo")) {
			if l.State == "bounced" {
				bounced = append(bounced, l)
			}
		}
		return len(bounced) > 0
	})
	if len(bounced) != 1 || bounced[0] != (line{"link", "bounced", "5.2.2", "boîte pleine"}) {
		t.Errorf("shown as %+v", bounced)
	}
	w.arrived(mails)
}

// deliveryReport is a mail system's report on one letter that failed.
func deliveryReport(status, diagnostic string) string {
	return "From: MAILER-DAEMON@mx.example.test\r\nTo: <return@path.test>\r\nSubject: Undelivered Mail Returned to Sender\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nThis is the mail system.\r\n" +
		"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.test\r\n\r\nFinal-Recipient: rfc822; camille@example.test\r\nAction: failed\r\nStatus: " + status +
		"\r\nDiagnostic-Code: " + diagnostic + "\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\nSubject: x\r\n--b--\r\n"
}

// What a reply and a report say, in words that stand nowhere else.
const (
	replyMarker  = "Zqreponse7316"
	reportMarker = "zqretour7317"
)

// leaveAnswers has a letter answered, and one come back. It returns the secrets in them
// and the words that were said.
func leaveAnswers(t *testing.T, p *program, relay *relaytest.Relay) []string {
	t.Helper()
	w := &writingTown{program: p, relay: relay, seen: len(relay.Messages())}
	if err := hand(p, p.address, message(keyMarker+"answered", subjectMarker, fileMarker+".pdf", "application/pdf", taxNotice("Zoé "+holderMarker, "answered"))); err != nil {
		t.Fatal(err)
	}
	result := w.letter("Accusé de réception")
	say := "From: <" + replyMarker + "@markers.test>\r\nSubject: " + replyMarker + "\r\nMessage-ID: <" + replyMarker + "@x>\r\n\r\nSUPPRIMER\r\n\r\n-- \r\n" + replyMarker + "\r\n"
	if err := hand(p, result.replyTo, []byte(say)); err != nil {
		t.Fatal(err)
	}
	asked := w.letter("suppression")
	link := regexp.MustCompile(`https://\S+/supprimer/(\S+)`).FindStringSubmatch(asked.text)
	if link == nil {
		t.Fatalf("no link in %s", asked.text)
	}
	if err := hand(p, asked.from, []byte(deliveryReport("5.2.2", "smtp; 552 "+reportMarker))); err != nil {
		t.Fatal(err)
	}
	p.wait(30*time.Second, "report read", func() bool {
		return strings.Contains(p.must("mail", "reports", "--json", "--tenant", "demo"), `"says":"bounced"`)
	})
	secrets := []string{link[1], replyMarker, reportMarker}
	for _, address := range []string{result.replyTo, asked.from} {
		token, _, _ := strings.Cut(address, "@")
		secrets = append(secrets, token)
	}
	return secrets
}
