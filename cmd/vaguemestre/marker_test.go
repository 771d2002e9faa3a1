package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"net/http"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vaguemestre/channels/mailout/relaytest"
)

// What a citizen, a sender and their files say, each in words that stand nowhere else.
const (
	givenMarker   = "Zqbertille"
	familyMarker  = "Zqerouantec"
	emailMarker   = "zqcourriel7301"
	displayMarker = "Zqaffiche7302"
	senderMarker  = "zqexpediteur7303"
	subjectMarker = "Zqobjet7304"
	noteMarker    = "Zqmotaccompagnant7305"
	fileMarker    = "zqfichier7306"
	textMarker    = "Zqmotdupdf7307"
	holderMarker  = "ZQUIRITEC"
	keyMarker     = "zqmessageid7308"
	heloMarker    = "zqhelo7309"
	wrongMarker   = "zqinconnu7310"
	brokenMarker  = "zqabime7311"
	addedMarker   = "zqajoute7312"
	deskMarker    = "zqguichet7313"
	agentMarker   = "Zqagentmartin7314"
	motiveMarker  = "Zqmotif7315"
	refusedMarker = "zqrefuse7316"
	relayMarker   = "Zqsesame7317"
)

// The whole way of several mails, filed, refused, left to their owner and malformed,
// leaves nothing of them readable: not in the home, not in a dump by the superuser, not
// in the logs, not in the metrics.
func TestSEC29_NothingReadableAtRest(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	temp := filepath.Join(home, "tmp")
	if err := os.MkdirAll(temp, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(temp, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	p := start(t, home, []string{"VAGUEMESTRE_LOG=debug", "TMPDIR=" + temp})
	type made struct {
		ID      string
		Address string `json:"deposit_address"`
	}
	owner := decode[made](t, p.must("citizen", "add", "--json", "--tenant", "demo", "--given", givenMarker, "--family", familyMarker, "--email", emailMarker+"@demo.test"))[0]
	demo := p.address
	p.citizen, p.address = owner.ID, owner.Address
	file := taxNotice("Zoé "+holderMarker, textMarker)
	leaveTraces(t, p, file)
	relay := (&relaytest.Relay{StartTLS: true, User: "depot", Password: relayMarker, Answer: quoteRefused}).Start(t)
	links := append(leaveLinks(t, p), leaveLetters(t, p, relay)...)
	links = append(links, leaveDispatch(t, p, relay)...)

	token, _, _ := strings.Cut(p.address, "@")
	plain := sha256.Sum256(file)
	markers := append(links, token, givenMarker, familyMarker, emailMarker, displayMarker, senderMarker, subjectMarker, noteMarker, fileMarker,
		textMarker, holderMarker, keyMarker, heloMarker, wrongMarker, brokenMarker, addedMarker, deskMarker, agentMarker, motiveMarker, refusedMarker, relayMarker, string(plain[:]), hex.EncodeToString(plain[:]))
	const control = "Ville de d" // a town's name is public: a search that works finds it
	f := newFinder(append(markers, control)...)
	controls := map[string]int{}
	look := func(where string, data []byte) {
		for _, hit := range f.search(data) {
			if strings.Contains(hit, control) {
				controls[where]++
				continue
			}
			t.Errorf("%s holds %s", where, hit)
		}
	}
	look("dump", dumpAll(t, p))
	look("metrics", metricsOf(t, p))
	p.stop()
	// The town for demonstration announces its own address on stdout, on purpose.
	look("log", []byte(strings.ReplaceAll(p.logs.String(), demo, "")))
	var size int
	looked := map[string]int{}
	everyFile(t, home, func(path string, data []byte) {
		part := strings.SplitN(path, "/", 2)[0]
		if strings.HasPrefix(path, "postgres/data/pg_wal/") {
			part = "wal"
		}
		size += len(data)
		looked[part]++
		look(part+" ("+path+")", data)
		look("name of "+part, []byte(path))
		controls[part] += controls[part+" ("+path+")"]
	})
	t.Logf("%d markers in %d spellings, looked for in %d MB: files %v", len(markers), f.spellings, size>>20, looked)
	for _, part := range []string{"wal", "postgres", "redis", "blobs", "keys", "cache"} {
		if looked[part] == 0 {
			t.Errorf("nothing was looked at under %s", part)
		}
	}
	for _, where := range []string{"dump", "postgres", "wal"} {
		if controls[where] == 0 {
			t.Errorf("the control was not found in %s: the search finds nothing", where)
		}
	}
}

// leaveLinks uses what decides whose a mail is: a sender's address, a link, the desk. It
// returns the links' tokens.
func leaveLinks(t *testing.T, p *program) (tokens []string) {
	t.Helper()
	p.must("tenant", "set", "--tenant", "demo", "generic_address=depot@ville.test")
	m := strings.Replace(string(message("desk", "x", "x.pdf", "application/pdf", []byte("%PDF-1.4"))), "camille@example.test", deskMarker+"@markers.test", 1)
	if err := hand(p, "depot@ville.test", []byte(m)); err != nil {
		t.Fatal(err)
	}
	var held string
	p.wait(30*time.Second, "held deposit", func() bool {
		for _, d := range decode[arrived](t, p.must("deposits", "list", "--json", "--tenant", "demo")) {
			if d.State == "held" && d.Citizen == "" {
				held = d.ID
			}
		}
		return held != ""
	})
	if out := p.must("deposits", "show", "--tenant", "demo", "--deposit", held); !strings.Contains(out, deskMarker) {
		t.Errorf("the desk shows %s", out)
	}
	p.must("deposits", "attach", "--tenant", "demo", "--deposit", held, "--citizen", p.citizen, "--match", "name,email")
	p.must("deposits", "detach", "--tenant", "demo", "--deposit", held, "--citizen", p.citizen)
	for _, out := range []string{
		p.must("citizen", "sender", "add", "--json", "--citizen", p.citizen, "--email", addedMarker+"@markers.test"),
		p.must("vault", "link", "--json", "--citizen", p.citizen, "--deposit", held),
	} {
		tokens = append(tokens, decode[struct{ Token string }](t, out)[0].Token)
	}
	p.must("citizen", "sender", "verify", "--citizen", p.citizen, "--token", tokens[0])
	if out := p.must("citizen", "sender", "list", "--citizen", p.citizen); !strings.Contains(out, addedMarker) {
		t.Errorf("senders: %s", out)
	}
	return tokens
}

// leaveDispatch sends a document to two services, as a file and as a link, and opens the
// link. It returns the link's token.
func leaveDispatch(t *testing.T, p *program, relay *relaytest.Relay) (tokens []string) {
	t.Helper()
	p.must("tenant", "set", "--tenant", "demo", "portal=")
	p.must("service", "add", "--tenant", "demo", "--code", "dossier", "--name", "Dossiers", "--mailbox", "dossier@mairie.test")
	p.must("service", "add", "--tenant", "demo", "--code", "liens", "--name", "Liens", "--mailbox", "liens@mairie.test", "--links-only")
	agent := decode[struct{ ID string }](t, p.must("service", "agent", "add", "--json", "--tenant", "demo", "--service", "liens", "--name", agentMarker))[0].ID
	for _, service := range []string{"dossier", "liens"} {
		p.must("dispatch", "send", "--tenant", "demo", "--service", service, "--citizen", p.citizen, "--agent", agent, "--purpose", motiveMarker, "--document", p.vault()[0].ID)
		m := took(p, relay, service+"@mairie.test", 1)[0]
		if said := strings.Join(append(m.names, m.text), " "); !strings.Contains(said, holderMarker) || !strings.Contains(said, agentMarker) || !strings.Contains(said, motiveMarker) {
			t.Errorf("the mail to %s bears no markers: %s", service, said)
		}
		if _, after, found := strings.Cut(m.text, "avec le code "); found {
			token, _, _ := strings.Cut(after, ",")
			tokens = append(tokens, token)
		}
	}
	if out := p.must("dispatch", "open", "--tenant", "demo", "--agent", agent, "--token", tokens[0]); !strings.Contains(out, textMarker) {
		t.Error("the link's document does not bear the marker")
	}
	return tokens
}

// quoteRefused refuses a mailbox, quoting it.
func quoteRefused(_ int, command string) string {
	if strings.Contains(command, refusedMarker) {
		return "550 5.1.1 <" + refusedMarker + "@markers.test> unknown"
	}
	return ""
}

// leaveLetters has letters sent to the citizen, and one refused by a relay that quotes
// whom it refuses; one is answered, and one comes back. It returns the tokens of the links
// in them, and what else was secret.
func leaveLetters(t *testing.T, p *program, relay *relaytest.Relay) (tokens []string) {
	t.Helper()
	p.writes(relay)
	p.must("citizen", "sender", "add", "--citizen", p.citizen, "--email", refusedMarker+"@markers.test")
	m := message(keyMarker+"letters", subjectMarker, fileMarker+".pdf", "application/pdf", taxNotice("Zoé "+holderMarker, "letters"))
	if err := hand(p, p.address, m); err != nil {
		t.Fatal(err)
	}
	for _, l := range p.letters(relay, 2) {
		if !strings.Contains(l.Rcpt, addedMarker) {
			t.Errorf("a letter goes to %s", l.Rcpt)
		}
		if strings.Contains(l.text, "/confirmer/") {
			tokens = append(tokens, linkIn(t, l, "/confirmer/"))
		}
	}
	if out := p.must("mail", "list", "--tenant", "demo"); len(tokens) != 1 || !strings.Contains(out, "5.1.1") {
		t.Errorf("%d links, letters %s", len(tokens), out)
	}
	p.must("mail", "preview", "--tenant", "demo", "--kind", "result", "--deposit", p.deposits()[0].ID)
	p.must("vault", "receipts", "--citizen", p.citizen)
	return append(tokens, leaveAnswers(t, p, relay)...)
}

// leaveTraces sends mails of every fate and uses what became of them.
func leaveTraces(t *testing.T, p *program, file []byte) {
	t.Helper()
	mail := func(id, kind, name string, file []byte) []byte {
		m := string(message(keyMarker+id, subjectMarker, name, kind, file))
		m = strings.Replace(m, "From: Camille <camille@example.test>", "From: "+displayMarker+" <"+senderMarker+"@markers.test>", 1)
		return []byte(strings.Replace(m, "Voici mon justificatif.", noteMarker, 1))
	}
	malformed := []byte("From: " + displayMarker + "\r\nSubject: " + brokenMarker + "\r\nMessage-ID: <" + brokenMarker + "\r\nContent-Type: multipart/mixed; " +
		brokenMarker + "=\"\r\nContent-Transfer-Encoding: " + brokenMarker + "\r\n\r\n--" + brokenMarker + "\r\n")
	if err := hand(p, wrongMarker+"@depot.demo.test", nil); err == nil {
		t.Error("an unknown address is taken")
	}
	for _, m := range [][]byte{
		mail("a", "application/pdf", fileMarker+".pdf", file),
		mail("b", "text/plain", fileMarker+".txt", []byte(textMarker)),
		mail("c", "application/pdf", fileMarker+".pdf", textPDF("Menu", textMarker)),
		mail("d", "application/pdf", fileMarker+".pdf", []byte("%PDF-1.4\n"+brokenMarker+"\n%%EOF\n")),
		malformed,
	} {
		if err := hand(p, p.address, m); err != nil {
			t.Fatal(err)
		}
	}
	p.wait(30*time.Second, "end of all deposits", func() bool {
		done := 0
		for _, d := range p.deposits() {
			ended := d.State != "received"
			for _, piece := range d.Pieces {
				ended = ended && !slices.Contains([]string{"waiting", "examined", "recognised"}, piece.State)
			}
			if ended {
				done++
			}
		}
		return done == 5 && len(p.vault()) == 1
	})
	got := p.vault()[0]
	if got.Holder == nil || !strings.Contains(*got.Holder, holderMarker) || got.Filename != fileMarker+".pdf" {
		t.Errorf("filed as %+v: the markers were not read", got)
	}
	p.must("vault", "confirm", "--citizen", p.citizen, "--document", got.ID)
	if out := p.must("vault", "get", "--citizen", p.citizen, "--document", got.ID); !strings.Contains(out, textMarker) {
		t.Error("the original does not bear the marker")
	}
	p.must("citizen", "address", "show", "--citizen", p.citizen)
	p.must("check")
}

// hand is a sending server that gives its own name.
func hand(p *program, to string, m []byte) error {
	c, err := smtp.Dial(p.smtp)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, step := range []func() error{
		func() error { return c.Hello(heloMarker + ".test") },
		func() error { return c.Mail(senderMarker + "@markers.test") },
		func() error { return c.Rcpt(to) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(m); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}

// dumpAll is all databases as the superuser sees them, over the home's own socket.
func dumpAll(t *testing.T, p *program) []byte {
	t.Helper()
	program := "pg_dumpall"
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dumpall"); len(found) > 0 {
		program = found[len(found)-1]
	}
	cmd := exec.Command(program, "--host", filepath.Join(p.home, "postgres", "run"), "--username", "postgres")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("dump: %v: %s", err, errs.String())
	}
	if !bytes.Contains(out.Bytes(), []byte("COPY public.document_version")) {
		t.Fatal("the dump has no documents")
	}
	return out.Bytes()
}

func metricsOf(t *testing.T, p *program) []byte {
	t.Helper()
	resp, err := http.Get("http://" + p.http + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Contains(b, []byte("vaguemestre_deposits_total")) {
		t.Fatalf("metrics: %v, %d bytes", err, len(b))
	}
	return b
}

// everyFile hands over each file under dir with its path from there; links are followed.
func everyFile(t *testing.T, dir string, each func(path string, data []byte)) {
	t.Helper()
	var walk func(root, under string) error
	walk = func(root, under string) error {
		return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			name := filepath.Join(under, strings.TrimPrefix(path, root))
			if e.Type()&fs.ModeSymlink != 0 {
				target, err := filepath.EvalSymlinks(path)
				if err != nil {
					return err
				}
				return walk(target, name)
			}
			if !e.Type().IsRegular() {
				return nil
			}
			data, err := os.ReadFile(path)
			each(strings.TrimPrefix(name, "/"), data)
			return err
		})
	}
	if err := walk(dir, ""); err != nil {
		t.Fatal(err)
	}
}
