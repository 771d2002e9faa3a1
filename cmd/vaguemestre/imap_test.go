package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vaguemestre/channels/imappoll/dovecottest"
)

// Folders as Dovecot names their directories.
const (
	doneFolder    = "D&AOk-pos&AOk-s"
	refusedFolder = "Refus&AOk-s"
)

// trusting is the setting that has a program believe the server's certificate.
func trusting(d *dovecottest.Server) string { return "VAGUEMESTRE_IMAP_CA=" + d.CA }

// poll has the program empty the server's mailbox and returns the mailbox's id.
func (p *program) poll(server string, more ...string) string {
	p.t.Helper()
	secret := filepath.Join(p.t.(interface{ TempDir() string }).TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(dovecottest.Password+"\n"), 0o600); err != nil {
		p.t.Fatal(err)
	}
	args := append([]string{"mailbox", "add", "--json", "--tenant", "demo", "--secret-file", secret, "server=" + server, "user=" + dovecottest.User}, more...)
	return decode[struct{ ID string }](p.t, p.must(args...))[0].ID
}

// box is a line of `mailbox list --json`.
type box struct {
	ID, State, Folder        string
	Waiting, Failed, Refused int
	Success                  *string `json:"last_success"`
	Error                    *struct{ Code, Message string }
	Messages                 []struct{ Code, Message string }
}

func (p *program) boxes() []box {
	p.t.Helper()
	return decode[box](p.t, p.must("mailbox", "list", "--json", "--tenant", "demo"))
}

// addressed is a message with the header of one that came to an address.
func addressed(to string, message []byte) []byte {
	return bytes.Replace(message, []byte("To: depot\r\n"), []byte("To: "+to+"\r\n"), 1)
}

// GW-1: what comes by SMTP and what is taken out of a mailbox goes the same way: opened,
// read, filed, shown, with the channel it came by.
func TestGW1_BySMTPAndOutOfAMailbox(t *testing.T) {
	t.Parallel()
	d := dovecottest.Start(t, "")
	p := start(t, newHome(t), []string{trusting(d)})
	files := map[string][]byte{"smtp": taxNotice("Zoé LE GOFF", "par-smtp"), "imap": taxNotice("Zoé LE GOFF", "par-imap")}
	sums := map[string]string{}
	for channel, file := range files {
		sum := sha256.Sum256(file)
		sums[hex.EncodeToString(sum[:])] = channel
	}
	if err := p.send(p.address, addressed(p.address, message("gw1-smtp", "Mon avis", "avis.pdf", "application/pdf", files["smtp"]))); err != nil {
		t.Fatal(err)
	}
	d.Deliver(addressed(p.address, message("gw1-imap", "Mon avis", "avis.pdf", "application/pdf", files["imap"])),
		addressed("mairie@ville.test", message("gw1-nobody", "Bonjour", "avis.pdf", "application/pdf", files["imap"])))
	id := p.poll(d.IMAPS)
	p.wait(60*time.Second, "both filed", func() bool { time.Sleep(100 * time.Millisecond); return len(p.vault()) == 2 })
	types, states := map[string]bool{}, map[string]bool{}
	for _, row := range p.vault() {
		if sums[row.SHA256] != row.Channel || row.Filename != "avis.pdf" {
			t.Errorf("filed %+v, which came by %s", row, sums[row.SHA256])
		}
		types[row.Type], states[row.State] = true, true
	}
	if len(types) != 1 || !states["to_confirm"] || len(states) != 1 {
		t.Errorf("types %v, states %v: want one type, and to_confirm both", types, states)
	}
	p.wait(20*time.Second, "moves", func() bool { return d.Messages(doneFolder) == 1 && d.Messages(refusedFolder) == 1 })
	if d.Messages("") != 0 {
		t.Errorf("%d messages left", d.Messages(""))
	}
	p.wait(20*time.Second, "a good state", func() bool {
		b := p.boxes()
		return len(b) == 1 && b[0].State == "well" && b[0].Success != nil && b[0].Waiting == 0
	})
	if out := p.must("mailbox", "test", "--tenant", "demo", "--mailbox", id); !strings.Contains(out, "well") {
		t.Errorf("mailbox test says %q", out)
	}
	p.must("check")
	p.must("journal", "verify")
	if listed := p.must("tenant", "secret", "list", "--tenant", "demo"); !strings.Contains(listed, "mailbox/"+id) || strings.Contains(listed, dovecottest.Password) {
		t.Errorf("secrets listed as %q", listed)
	}
	_, logged, _ := strings.Cut(p.logs.String(), "msg=serving") // the address is announced before
	if strings.Contains(logged, dovecottest.Password) || strings.Contains(logged, p.address) {
		t.Error("the log tells a password or an address")
	}
	p.mailboxFaults(d, id)
	p.stop()
}

// mailboxFaults: what is wrong with a mailbox is told in French, with what to do.
func (p *program) mailboxFaults(d *dovecottest.Server, id string) {
	t := p.t
	t.Helper()
	tested := func(wantCode string, set ...string) {
		t.Helper()
		p.must(append([]string{"mailbox", "set", "--tenant", "demo", "--mailbox", id, "--enabled=false"}, set...)...)
		out, _, code := p.command("mailbox", "test", "--json", "--tenant", "demo", "--mailbox", id)
		got := decode[box](t, out)
		if code != 1 || len(got) != 1 || got[0].Error == nil || got[0].Error.Code != wantCode || !strings.HasSuffix(got[0].Error.Message, ".") {
			t.Errorf("tested with %v: exit %d, %s; want %s", set, code, out, wantCode)
		}
	}
	tested("login_refused", "user=personne@ville.test")
	tested("unreachable", "user="+dovecottest.User, "server=127.0.0.1:1")
	tested("folder_missing", "server="+d.IMAPS, "folder=Absent")
	for _, bad := range [][]string{{"tls=none", "server=192.0.2.1:143"}, {"server=nowhere"}, {"done=Absent"}, {"auth=xoauth2"}, {"auth=magic"}, {"unknown=1"}, {"folder=a\nb"}, {"provider=yahoo"}} {
		if _, errs, code := p.command(append([]string{"mailbox", "set", "--tenant", "demo", "--mailbox", id}, bad...)...); code != 2 || errs == "" {
			t.Errorf("%v: exit %d, %s", bad, code, errs)
		}
	}
	p.must("mailbox", "remove", "--tenant", "demo", "--mailbox", id)
	if left := p.must("tenant", "secret", "list", "--tenant", "demo"); left != "" {
		t.Errorf("secrets left: %s", left)
	}
}

// The size of the flood; make kill-imap sets a larger one.
var (
	pollKills    = flag.Int("pollkills", 12, "kills of pollers")
	pollRestarts = flag.Int("pollrestarts", 4, "restarts of Dovecot")
	pollMails    = flag.Int("pollmails", 60, "messages")
)

// flood is a mailbox being emptied while everything breaks.
type flood struct {
	*program
	dovecot *dovecottest.Server
	other   *program // a second poller
	sums    map[string]string
	r       *rand.Rand
	sent    int
}

// REL-04, 05, 07, FLT-1, 12: the pollers are killed in mid-poll, Dovecot is restarted,
// its UIDVALIDITY is another twice, two pollers run at once: each message is filed exactly
// once, and mailbox and vault agree. make kill-imap has it long.
func TestREL04_REL05_REL07_FLT12_PollersKilled(t *testing.T) {
	t.Parallel()
	seed := *stormSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d: %d kills, %d restarts of Dovecot, %d messages", seed, *pollKills, *pollRestarts, *pollMails)
	d := dovecottest.Start(t, "")
	settings := []string{trusting(d), "VAGUEMESTRE_LEASE=2s", "VAGUEMESTRE_SWEEP=1s"}
	f := &flood{dovecot: d, sums: map[string]string{}, r: rand.New(rand.NewPCG(seed, 0))}
	f.program = start(t, newHome(t), settings, "--roles", "http,worker,scheduler,keeper")
	f.other = prepare(t, newHome(t), append(shared(f.program), settings...), "--roles", "imap")
	one := prepare(t, newHome(t), append(shared(f.program), settings...), "--roles", "imap")
	f.other.start()
	one.start()
	f.poll(d.IMAPS)
	f.storm(one)
	f.agree()
	f.stop()
}

// storm kills one poller or the other, and the server, while messages come in.
func (f *flood) storm(one *program) {
	f.t.Helper()
	validity := []int{*pollKills / 3, *pollKills * 2 / 3}
	for i := range *pollKills {
		f.deliver((i + 1) * *pollMails / *pollKills)
		time.Sleep(time.Duration(f.r.IntN(400)) * time.Millisecond)
		victim := one
		if f.r.IntN(2) == 0 {
			victim = f.other
		}
		victim.kill()
		switch {
		case slices.Contains(validity, i):
			f.dovecot.NewValidity()
		case (i+1)**pollRestarts / *pollKills > i**pollRestarts / *pollKills:
			f.dovecot.Restart()
		}
		victim.launch()
		if f.r.IntN(4) > 0 { // else killed again before it serves
			victim.wait(60*time.Second, "service", victim.serving)
		}
	}
	one.wait(60*time.Second, "service", one.serving)
	f.other.wait(60*time.Second, "service", f.other.serving)
}

// deliver brings what was sent up to n messages.
func (f *flood) deliver(n int) {
	for ; f.sent < n; f.sent++ {
		mark := fmt.Sprintf("releve-%d", f.sent)
		file := taxNotice("Zoé LE GOFF", mark)
		sum := sha256.Sum256(file)
		f.sums[hex.EncodeToString(sum[:])] = mark
		f.dovecot.Deliver(addressed(f.address, message(mark, "Mon avis", "avis.pdf", "application/pdf", file)))
	}
}

// agree holds the vault against the mailbox.
func (f *flood) agree() {
	t := f.t
	t.Helper()
	f.wait(2*time.Minute, "emptying of the mailbox", func() bool { time.Sleep(100 * time.Millisecond); return f.dovecot.Messages("") == 0 })
	f.wait(3*time.Minute, "end of all pieces", func() bool {
		time.Sleep(200 * time.Millisecond)
		got := f.deposits()
		return len(got) == len(f.sums) && filed(got)
	})
	documents := map[string]int{}
	for _, row := range f.vault() {
		documents[row.SHA256]++
		if f.sums[row.SHA256] == "" || row.Channel != "imap" {
			t.Errorf("document %s by %s: nobody sent that", row.ID, row.Channel)
		}
	}
	for sum, mark := range f.sums {
		if documents[sum] != 1 {
			t.Errorf("%s is filed %d times", mark, documents[sum])
		}
	}
	if n := f.dovecot.Messages(doneFolder); n != len(f.sums) || f.dovecot.Messages(refusedFolder) != 0 {
		t.Errorf("%d messages were moved as done, %d as refused, of %d", n, f.dovecot.Messages(refusedFolder), len(f.sums))
	}
	f.must("check")
	f.must("journal", "verify")
}

// shared are the settings of a process that shares another's servers, blobs and keys.
func shared(base *program) []string {
	return []string{
		"VAGUEMESTRE_DATABASE_URL=postgres:///vaguemestre?host=" + filepath.Join(base.home, "postgres", "run") + "&user=vaguemestre",
		"VAGUEMESTRE_REDIS_URL=unix://" + filepath.Join(base.home, "redis", "run", "redis.sock"),
		"VAGUEMESTRE_BLOB_URL=" + filepath.Join(base.home, "blobs"),
		"VAGUEMESTRE_INDEX_KEY_FILE=" + filepath.Join(base.home, "keys", "index.key"),
		"VAGUEMESTRE_KEK_FILE=" + filepath.Join(base.home, "keys", "kek.json"),
		"VAGUEMESTRE_SECRETS_KEY_FILE=" + filepath.Join(base.home, "keys", "secrets.key"),
	}
}
