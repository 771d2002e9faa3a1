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
	asked float64                  // how many times as fast as it we are asked to be; 0: it is us
	fetch func(addr string, n int) // all of it; returns once the last message is where it belongs
}

// BenchmarkBesideMbsync: 1 000 messages of 200 KB out of Dovecot, by us (sealed, recorded,
// moved), by mbsync with its default of a sync a message, and by fetchmail handing each to
// a program that only writes it; in turns, then again with 20 ms on the line.
func BenchmarkBesideMbsync(b *testing.B) {
	for _, tool := range []string{"mbsync", "fetchmail"} {
		if _, err := exec.LookPath(tool); err != nil {
			b.Fatalf("%s is missing: make bench-imap installs it", tool)
		}
	}
	d := dovecottest.Start(b, "")
	base := start(b, newHome(b), nil, "--roles", "http,keeper")
	ours := start(b, newHome(b), append(shared(base), trusting(d)), "--roles", "imap")
	box := base.poll(d.IMAPS, "--enabled=false")
	us := fetcher{name: "vaguemestre", fetch: func(addr string, n int) {
		before := base.query("SELECT count(*) FROM deposit")
		base.must("mailbox", "set", "--tenant", "demo", "--mailbox", box, "server="+addr, "--enabled=true")
		base.wait(5*time.Minute, "emptying", func() bool { return d.Messages("") == 0 })
		if got := base.query("SELECT count(*) FROM deposit") - before; got != n {
			b.Fatalf("%d deposits of %d messages", got, n)
		}
	}}
	mbsync := fetcher{name: "mbsync", asked: 3, fetch: func(addr string, n int) { runMbsync(b, d, addr, n) }}
	fetchmail := fetcher{name: "fetchmail", asked: 8, fetch: func(addr string, n int) { runFetchmail(b, d, addr, n) }}
	for _, line := range []struct {
		delay  time.Duration
		rounds int
	}{{0, 5}, {20 * time.Millisecond, 3}} {
		b.Run(fmt.Sprintf("delay=%v", line.delay), func(b *testing.B) {
			for b.Loop() {
				took := map[string][]float64{}
				var peak int64
				for range line.rounds {
					for _, f := range []fetcher{us, mbsync, fetchmail} {
						proxy := dovecottest.StartProxy(b, d.IMAPS, line.delay)
						fillMailbox(b, d, base.address)
						memory := watch(b, ours.cmd.Process.Pid)
						f.fetch(proxy.Addr, fetchMails)
						ended := time.Now()
						took[f.name] = append(took[f.name], ended.Sub(proxy.First()).Seconds())
						if p := memory(); f.asked == 0 {
							peak = max(peak, p)
						}
						if f.asked == 0 {
							base.must("mailbox", "set", "--tenant", "demo", "--mailbox", box, "--enabled=false")
							time.Sleep(3 * time.Second) // its poller lets go
						}
						d.Kill()
						d.Clear()
						d.Restart()
					}
				}
				fmt.Printf("%d × %d KB, %v on the line\n", fetchMails, fetchSize/1000, line.delay)
				for _, f := range []fetcher{us, mbsync, fetchmail} {
					var ratios []float64
					for i, t := range took[f.name] {
						ratios = append(ratios, t/took[us.name][i])
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

func runMbsync(b *testing.B, d *dovecottest.Server, addr string, n int) {
	dir := newHome(b)
	host, port, _ := net.SplitHostPort(addr)
	rc := fmt.Sprintf("IMAPStore far\nHost %s\nPort %s\nUser %s\nPass %s\nSSLType IMAPS\nCertificateFile %s\n\nMaildirStore near\nPath %s/mail/\nInbox %s/inbox\n\nChannel all\nFar :far:\nNear :near:\nPatterns INBOX\nCreate Near\nSync Pull\nSyncState *\n",
		host, port, dovecottest.User, dovecottest.Password, d.CA, dir, dir)
	if err := firstError(os.MkdirAll(filepath.Join(dir, "mail"), 0o700), os.WriteFile(filepath.Join(dir, "rc"), []byte(rc), 0o600)); err != nil {
		b.Fatal(err)
	}
	if out, err := exec.Command("mbsync", "-c", filepath.Join(dir, "rc"), "-a", "-q").CombinedOutput(); err != nil {
		b.Fatalf("mbsync: %v: %s", err, out)
	}
	if got := len(files(b, filepath.Join(dir, "inbox"))); got < n {
		b.Fatalf("mbsync has %d messages", got)
	}
}

func runFetchmail(b *testing.B, d *dovecottest.Server, addr string, n int) {
	dir := newHome(b)
	_, port, _ := net.SplitHostPort(addr)
	rc := fmt.Sprintf("set no syslog\npoll 127.0.0.1 service %s protocol IMAP auth password user %q password %q ssl sslcertck sslcertfile %q no keep fetchall mda \"cat >> %s/mbox\"\n",
		port, dovecottest.User, dovecottest.Password, d.CA, dir)
	if err := os.WriteFile(filepath.Join(dir, "rc"), []byte(rc), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command("fetchmail", "-f", filepath.Join(dir, "rc"), "--silent", "--nodetach", "--pidfile", filepath.Join(dir, "pid"), "--idfile", filepath.Join(dir, "ids"))
	cmd.Env = append(os.Environ(), "HOME="+dir, "FETCHMAILHOME="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("fetchmail: %v: %s", err, out)
	}
	if info, err := os.Stat(filepath.Join(dir, "mbox")); err != nil || info.Size() < int64(n)*fetchSize*9/10 {
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
