package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"vaguemestre/channels/imappoll/dovecottest"
)

// make bench-imap runs these; docs/imap.md says how to read them.

const (
	fetchMails = 1000
	fetchSize  = 200_000
)

// fetcher is one that takes the messages of a mailbox.
type fetcher struct {
	name  string
	asked float64           // how many times as fast as it we are asked to be; 0: it is us
	fetch func(addr string) // all of it; returns once the last message is where it belongs
}

// lines are the ways to the server that all are measured on.
var lines = []struct {
	name   string
	tls    bool
	delay  time.Duration
	rounds int
}{
	{"loopback", false, 0, 5},
	{"loopback, TLS", true, 0, 5},
	{"20 ms, TLS", true, 20 * time.Millisecond, 3},
}

// BenchmarkBesideMbsync: 1 000 messages of 200 KB out of Dovecot, by us (sealed, recorded,
// moved), by mbsync with its default of a sync a message, and by fetchmail handing each to
// a program that only writes it; in turns. With a delay fetchmail has one turn: it takes
// minutes. Time runs from the first connection.
func BenchmarkBesideMbsync(b *testing.B) {
	for _, tool := range []string{"mbsync", "fetchmail"} {
		if _, err := exec.LookPath(tool); err != nil {
			b.Fatalf("%s is missing: make bench-imap installs it", tool)
		}
	}
	d := dovecottest.Start(b, "")
	ours := start(b, newHome(b), []string{trusting(d)}, "--roles", "imap,http,keeper")
	box := ours.poll(d.IMAPS, "--enabled=false")
	for _, line := range lines {
		b.Run(strings.ReplaceAll(line.name, " ", "-"), func(b *testing.B) {
			how, server := "none", d.IMAP
			if line.tls {
				how, server = "implicit", d.IMAPS
			}
			set := func(pairs ...string) {
				ours.must(append([]string{"mailbox", "set", "--tenant", "demo", "--mailbox", box}, pairs...)...)
			}
			fetchers := []fetcher{
				{name: "vaguemestre", fetch: func(addr string) {
					before := ours.query("SELECT count(*) FROM deposit")
					set("server="+addr, "tls="+how, "--enabled=true")
					for d.Messages("") > 0 {
						time.Sleep(50 * time.Millisecond)
					}
					if got := ours.query("SELECT count(*) FROM deposit") - before; got != fetchMails {
						b.Fatalf("%d deposits of %d messages", got, fetchMails)
					}
				}},
				{name: "mbsync", asked: 3, fetch: func(addr string) { runMbsync(b, d, addr, line.tls) }},
				{name: "fetchmail", asked: 8, fetch: func(addr string) { runFetchmail(b, d, addr, line.tls) }},
			}
			for b.Loop() {
				took := map[string][]float64{}
				var peak int64
				for round := range line.rounds {
					for _, f := range fetchers {
						if f.name == "fetchmail" && line.delay > 0 && round > 0 {
							continue
						}
						proxy := dovecottest.StartProxy(b, server, line.delay)
						fillMailbox(b, d, ours.address)
						memory := watch(b, ours.cmd.Process.Pid)
						f.fetch(proxy.Addr)
						took[f.name] = append(took[f.name], time.Since(proxy.First()).Seconds())
						if p := memory(); f.asked == 0 {
							peak = max(peak, p)
							set("--enabled=false")
							time.Sleep(3 * time.Second) // its poller lets go
						}
						d.Kill()
						d.Clear()
						d.Restart()
					}
				}
				fmt.Printf("%d messages of %d KB, %s\n", fetchMails, fetchSize/1000, line.name)
				for _, f := range fetchers {
					var ratios []float64
					for i, t := range took[f.name] {
						ratios = append(ratios, t/took["vaguemestre"][i])
					}
					fmt.Printf("  %-12s %7.2f s  %7.1f messages/s   %5.2f times our time (%.2f to %.2f), asked %.0f\n", f.name, median(took[f.name]),
						fetchMails/median(took[f.name]), median(ratios), slices.Min(ratios), slices.Max(ratios), f.asked)
				}
				fmt.Printf("  resident, ours: %.0f MB at most\n", float64(peak)/1e6)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// fillMailbox delivers messages like no others.
func fillMailbox(b *testing.B, d *dovecottest.Server, to string) {
	b.Helper()
	file := make([]byte, fetchSize*3/4)
	_, _ = rand.Read(file)
	whole := addressed(to, message("MARK-MARK-MARK-MARK", "Mon avis", "avis.pdf", "application/pdf", file))
	for i := range fetchMails {
		id := make([]byte, 12)
		_, _ = rand.Read(id)
		d.Deliver(bytes.ReplaceAll(whole, []byte("MARK-MARK-MARK-MARK"), fmt.Appendf(nil, "%04d%s", i%10000, base64.RawURLEncoding.EncodeToString(id)[:15])))
	}
}

func runMbsync(b *testing.B, d *dovecottest.Server, addr string, secure bool) {
	dir := newHome(b)
	_, port, _ := net.SplitHostPort(addr)
	how := "SSLType None"
	if secure {
		how = "SSLType IMAPS\nCertificateFile " + d.CA
	}
	rc := fmt.Sprintf("IMAPStore far\nHost %s\nPort %s\nUser %s\nPass %s\n%s\n\nMaildirStore near\nPath %s/mail/\nInbox %s/inbox\n\nChannel all\nFar :far:\nNear :near:\nPatterns INBOX\nCreate Near\nSync Pull\nSyncState *\n",
		"localhost", port, dovecottest.User, dovecottest.Password, how, dir, dir)
	if err := firstError(os.MkdirAll(filepath.Join(dir, "mail"), 0o700), os.WriteFile(filepath.Join(dir, "rc"), []byte(rc), 0o600)); err != nil {
		b.Fatal(err)
	}
	if out, err := exec.Command("mbsync", "-c", filepath.Join(dir, "rc"), "-a", "-q").CombinedOutput(); err != nil {
		b.Fatalf("mbsync: %v: %s", err, out)
	}
	if got := len(files(b, filepath.Join(dir, "inbox"))); got < fetchMails {
		b.Fatalf("mbsync has %d messages", got)
	}
}

func runFetchmail(b *testing.B, d *dovecottest.Server, addr string, secure bool) {
	dir := newHome(b)
	_, port, _ := net.SplitHostPort(addr)
	how := "sslproto ''"
	if secure {
		how = fmt.Sprintf("ssl sslcertck sslcertfile %q", d.CA)
	}
	rc := fmt.Sprintf("set no syslog\npoll localhost service %s protocol IMAP auth password user %q password %q %s no keep fetchall mda \"cat >> %s/mbox\"\n",
		port, dovecottest.User, dovecottest.Password, how, dir)
	if err := os.WriteFile(filepath.Join(dir, "rc"), []byte(rc), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command("fetchmail", "-f", filepath.Join(dir, "rc"), "--silent", "--nodetach", "--pidfile", filepath.Join(dir, "pid"), "--idfile", filepath.Join(dir, "ids"))
	cmd.Env = append(os.Environ(), "HOME="+dir, "FETCHMAILHOME="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("fetchmail: %v: %s", err, out)
	}
	if info, err := os.Stat(filepath.Join(dir, "mbox")); err != nil || info.Size() < fetchMails*fetchSize*9/10 {
		b.Fatalf("fetchmail has delivered %v, %v", info, err)
	}
}

// BenchmarkAppendToFiled: from APPEND's answer until the state "filed" is committed, for
// one-page text PDFs, one after the other, under IDLE. Half a second of it is Dovecot's,
// which gathers what it tells.
func BenchmarkAppendToFiled(b *testing.B) {
	const mails = 40
	d := dovecottest.Start(b, "")
	p := start(b, newHome(b), []string{trusting(d)})
	p.wait(60*time.Second, "PDF sandbox", func() bool { return strings.Contains(p.logs.String(), "pdf sandbox ready") })
	p.poll(d.IMAPS)
	for b.Loop() {
		c := d.Client()
		var took []time.Duration
		for i := range mails {
			mark := fmt.Sprintf("idle-%d-%d", time.Now().UnixNano(), i)
			msg := addressed(p.address, message(mark, "Mon avis", "avis.pdf", "application/pdf", taxNotice("Zoé LE GOFF", mark)))
			filed := p.nextFiled()
			w := c.Append("INBOX", int64(len(msg)), &imap.AppendOptions{})
			_, _ = w.Write(msg)
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
			if _, err := w.Wait(); err != nil {
				b.Fatal(err)
			}
			began := time.Now()
			took = append(took, filed().Sub(began))
			time.Sleep(time.Duration(i%10) * 100 * time.Millisecond)
		}
		c.Close()
		slices.Sort(took)
		b.ReportMetric(float64(took[mails/2].Milliseconds()), "ms-median")
		b.ReportMetric(float64(took[mails*9/10].Milliseconds()), "ms-p90")
		b.ReportMetric(float64(took[mails-1].Milliseconds()), "ms-max")
		b.ReportMetric(0, "ns/op")
	}
}

// nextFiled hears of the next piece that is filed.
func (p *program) nextFiled() (wait func() time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	c := p.superuser(ctx)
	if _, err := c.Exec(ctx, "LISTEN vaguemestre"); err != nil {
		p.t.Fatal(err)
	}
	return func() time.Time {
		defer cancel()
		defer c.Close(context.Background())
		for {
			n, err := c.WaitForNotification(ctx)
			if err != nil {
				p.t.Fatal(err)
			}
			if strings.Contains(n.Payload, `"piece"`) && strings.Contains(n.Payload, `"filed"`) {
				return time.Now()
			}
		}
	}
}
