package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/smtp"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// make bench runs these; docs/performance.md says how to read them.

// split is a home whose servers several processes share: base holds database, Redis,
// blobs and keys, and answers commands.
func splitHome(b *testing.B) (base *program, env []string) {
	b.Helper()
	base = start(b, newHome(b), nil, "--roles", "http,keeper")
	return base, shared(base)
}

// BenchmarkAccept: mails a second, acknowledged and durable, by postfix's smtp-source on
// kept connections against --roles smtp.
func BenchmarkAccept(b *testing.B) {
	base, env := splitHome(b)
	smtp := start(b, newHome(b), env, "--roles", "smtp")
	for _, size := range []int{10_000, 200_000} {
		for _, sessions := range []int{1, 10, 50} {
			b.Run(fmt.Sprintf("%dKB/%dsessions", size/1000, sessions), func(b *testing.B) {
				mails := 300 * min(sessions, 10)
				before := len(base.deposits())
				began := time.Now()
				for b.Loop() {
					source(b, smtp.smtp, base.address, size, sessions, mails)
				}
				took := time.Since(began)
				if got := len(base.deposits()) - before; got != b.N*mails {
					b.Fatalf("%d deposits for %d mails", got, b.N*mails)
				}
				b.ReportMetric(float64(b.N*mails)/took.Seconds(), "mails/s")
				b.ReportMetric(float64(resident(b, smtp.cmd.Process.Pid))/1e6, "MB-resident")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

func source(b *testing.B, addr, to string, size, sessions, mails int) {
	b.Helper()
	cmd := exec.Command("smtp-source", "-d", "-s", strconv.Itoa(sessions), "-l", strconv.Itoa(size), "-m", strconv.Itoa(mails),
		"-f", "camille@example.test", "-t", to, addr)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin")
	cmd.Path, _ = exec.LookPath("smtp-source")
	if cmd.Path == "" {
		cmd.Path = "/usr/sbin/smtp-source"
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("smtp-source: %v: %s", err, out)
	}
}

// BenchmarkFiled: time from DATA until the state "filed" is committed, for one-page text
// PDFs at ten mails a second, everything in one process.
func BenchmarkFiled(b *testing.B) {
	const rate, mails = 10, 300
	p := start(b, newHome(b), nil)
	p.wait(60*time.Second, "PDF sandbox", func() bool { return strings.Contains(p.logs.String(), "pdf sandbox ready") })
	for b.Loop() {
		filed := listen(b, p.home)
		sent := make([]time.Time, mails)
		ids := make([]string, mails)
		var wg sync.WaitGroup
		tick := time.NewTicker(time.Second / rate)
		for i := range mails {
			<-tick.C
			wg.Go(func() {
				mark := fmt.Sprintf("%d-%d", time.Now().UnixNano(), i)
				ids[i], sent[i] = p.sendTimed(message(mark, "Mon avis", "avis.pdf", "application/pdf", taxNotice("Zoé LE GOFF", mark)))
			})
		}
		wg.Wait()
		tick.Stop()
		var took []time.Duration
		for i, id := range ids {
			took = append(took, filed(id).Sub(sent[i]))
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[mails/2].Milliseconds()), "ms-median")
		b.ReportMetric(float64(took[mails*99/100].Milliseconds()), "ms-p99")
		b.ReportMetric(float64(took[mails-1].Milliseconds()), "ms-max")
		b.ReportMetric(0, "ns/op")
	}
}

var takenIn = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)

// sendTimed sends one mail and returns the deposit's id and when DATA was begun.
func (p *program) sendTimed(msg []byte) (id string, began time.Time) {
	c, err := smtp.Dial(p.smtp)
	if err != nil {
		p.t.Error(err)
		return "", began
	}
	defer c.Close()
	if err := firstError(c.Hello("client.test"), c.Mail("camille@example.test"), c.Rcpt(p.address)); err != nil {
		p.t.Error(err)
		return "", began
	}
	began = time.Now()
	reply, err := data(c.Text, msg)
	if err != nil {
		p.t.Error(err)
	}
	return takenIn.FindString(reply), began
}

// data is smtp.Client.Data, but returns the last reply.
func data(c *textproto.Conn, msg []byte) (string, error) {
	if err := c.PrintfLine("DATA"); err != nil {
		return "", err
	}
	if _, _, err := c.ReadResponse(354); err != nil {
		return "", err
	}
	w := c.DotWriter()
	if _, err := w.Write(msg); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	_, reply, err := c.ReadResponse(250)
	return reply, err
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// listen hears of committed states; the function it returns waits for a deposit's piece.
func listen(b *testing.B, home string) func(deposit string) time.Time {
	b.Helper()
	url := "postgres:///vaguemestre?host=" + filepath.Join(home, "postgres", "run") + "&user=postgres"
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	c, err := pgx.Connect(ctx, url)
	if err == nil {
		_, err = c.Exec(ctx, "LISTEN vaguemestre")
	}
	q, err2 := pgx.Connect(ctx, url)
	if err != nil || err2 != nil {
		b.Fatal(err, err2)
	}
	b.Cleanup(func() { cancel(); c.Close(context.Background()); q.Close(context.Background()) })
	var mu sync.Mutex
	at := map[string]time.Time{}
	go func() {
		for {
			n, err := c.WaitForNotification(ctx)
			if err != nil {
				return
			}
			now := time.Now()
			var change struct{ Noun, ID, State string }
			if json.Unmarshal([]byte(n.Payload), &change) == nil && change.Noun == "piece" && change.State == "filed" {
				mu.Lock()
				at[change.ID] = now
				mu.Unlock()
			}
		}
	}()
	return func(deposit string) time.Time {
		for ctx.Err() == nil {
			var piece string
			if err := q.QueryRow(ctx, "SELECT id::text FROM piece WHERE deposit_id = $1", deposit).Scan(&piece); err == nil {
				mu.Lock()
				t, ok := at[piece]
				mu.Unlock()
				if ok {
					return t
				}
			}
			time.Sleep(20 * time.Millisecond)
		}
		b.Fatalf("deposit %s was not filed", deposit)
		return time.Time{}
	}
}

// BenchmarkMemory: what a 40 MB mail adds to the resident memory of the accepting
// process while it is taken in, and to the worker's until it is opened, both warm and
// idle before.
func BenchmarkMemory(b *testing.B) {
	base, env := splitHome(b)
	accept := start(b, newHome(b), env, "--roles", "smtp")
	work := start(b, newHome(b), env, "--roles", "worker,keeper,scheduler")
	work.wait(60*time.Second, "PDF sandbox", func() bool { return strings.Contains(work.logs.String(), "pdf sandbox ready") })
	for b.Loop() {
		file := make([]byte, 29_500_000)
		_, _ = rand.Read(file)
		big := message(strconv.FormatInt(time.Now().UnixNano(), 10), "x", "x.bin", "application/octet-stream", file)
		small := message(strconv.FormatInt(time.Now().UnixNano(), 10), "x", "x.pdf", "application/pdf", taxNotice("Zoé LE GOFF", "warm"))
		if err := accept.send(base.address, small); err != nil {
			b.Fatal(err)
		}
		work.wait(60*time.Second, "warm worker", func() bool { return opened(base.deposits()) })
		time.Sleep(2 * time.Second) // idle is the measure's zero

		smtpIdle, workIdle := resident(b, accept.cmd.Process.Pid), resident(b, work.cmd.Process.Pid)
		smtpPeak, workPeak := watch(b, accept.cmd.Process.Pid), watch(b, work.cmd.Process.Pid)
		if err := accept.send(base.address, big); err != nil {
			b.Fatal(err)
		}
		work.wait(60*time.Second, "opened mail", func() bool { return opened(base.deposits()) })
		b.ReportMetric(float64(len(big))/1e6, "MB-mail")
		b.ReportMetric(float64(smtpIdle)/1e6, "MB-smtp-idle")
		b.ReportMetric(float64(smtpPeak()-smtpIdle)/1e6, "MB-smtp-added")
		b.ReportMetric(float64(workIdle)/1e6, "MB-worker-idle")
		b.ReportMetric(float64(workPeak()-workIdle)/1e6, "MB-worker-added")
		b.ReportMetric(0, "ns/op")
	}
}

func opened(deposits []deposit) bool {
	for _, d := range deposits {
		if d.State != "opened" || slices.ContainsFunc(d.Pieces, func(p struct{ State, Desk, Reason, Sentence, Kind string }) bool { return p.State == "waiting" }) {
			return false
		}
	}
	return true
}

// resident is a process's resident memory in bytes.
func resident(b *testing.B, pid int) int64 {
	b.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(raw))[1], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// watch samples resident memory every 5 ms; the function it returns stops and gives the
// highest.
func watch(b *testing.B, pid int) func() int64 {
	stop, done := make(chan struct{}), make(chan int64)
	go func() {
		var peak int64
		for {
			peak = max(peak, resident(b, pid))
			select {
			case <-stop:
				done <- peak
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return func() int64 { close(stop); return <-done }
}
