package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const lease = 2 * time.Second

// newOffice is everything but a worker, with short leases.
func newOffice(t *testing.T) *program {
	return start(t, newHome(t), []string{"VAGUEMESTRE_LEASE=" + lease.String(), "VAGUEMESTRE_SWEEP=500ms"}, "--roles", "smtp,http,scheduler,keeper")
}

// worker starts a worker on the office's servers and keys.
func (p *program) worker() *program {
	p.t.Helper()
	env := append(p.shared(), p.env...)
	env = append(env, "VAGUEMESTRE_DATABASE_URL="+p.database("vaguemestre"),
		"VAGUEMESTRE_KEK_FILE="+filepath.Join(p.home, "keys", "kek.json"))
	w := start(p.t, newHome(p.t), env, "--roles", "worker,keeper")
	w.wait(60*time.Second, "PDF sandbox", func() bool { return strings.Contains(w.logs.String(), "pdf sandbox ready") })
	return w
}

// freeze stops a process where it stands; what it returns lets it go on.
func (p *program) freeze() (thaw func()) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		p.t.Fatal(err)
	}
	thaw = func() { _ = p.cmd.Process.Signal(syscall.SIGCONT) }
	p.t.Cleanup(thaw)
	return thaw
}

// once fails the test unless there is one document, filed once.
func (p *program) once() {
	p.t.Helper()
	if n := p.query(`SELECT count(*) FROM journal WHERE act = 'file'`); n != 1 || len(p.vault()) != 1 || !filed(p.deposits()) {
		p.t.Errorf("%d filings, documents %+v, deposits %+v", n, p.vault(), p.deposits())
	}
	p.must("check")
	p.must("journal", "verify")
}

// REL-07: a worker that was stopped in the middle of a piece for two leases cannot
// commit what it goes on to find; another has filed the piece meanwhile, once.
func TestREL07_StoppedWhileReading(t *testing.T) {
	t.Parallel()
	office := newOffice(t)
	slow := office.worker()
	pages := [][]string{noticeLines("Zoé LE GOFF", "rel07")}
	for n := range 19 {
		pages = append(pages, slices.Repeat([]string{fmt.Sprintf("Annexe %d : %s", n, strings.Repeat("rien à signaler, ", 40))}, 300))
	}
	if err := office.send(office.address, message("rel07", "Mon avis", "avis.pdf", "application/pdf", pagesPDF(pages...))); err != nil {
		t.Fatal(err)
	}
	const held = `SELECT count(*) FROM piece WHERE state = 'waiting' AND lease_until > clock_timestamp()`
	office.wait(60*time.Second, "piece in work", func() bool { return office.query(held) == 1 })
	thaw, stopped := slow.freeze(), time.Now()
	if office.query(held) != 1 {
		t.Fatal("the piece was too quick for this test")
	}
	office.worker()
	office.wait(90*time.Second, "document", func() bool { return filed(office.deposits()) })
	t.Logf("another had filed it %v after the stop", time.Since(stopped).Round(time.Millisecond))
	time.Sleep(time.Until(stopped.Add(2 * lease)))
	before := office.query(`SELECT sum(lease_token) FROM piece`)
	thaw()
	slow.wait(60*time.Second, "refusal of the stale lease", func() bool {
		return strings.Contains(slow.logs.String(), "lease passed to another worker")
	})
	office.once()
	if after := office.query(`SELECT sum(lease_token) FROM piece`); after != before {
		t.Errorf("leased again, %d times", after-before)
	}
}

// A worker stopped within a transaction holds the row locked besides. The database ends
// that transaction, so that another worker gets the row although the first never moves.
func TestREL07_StoppedWhileCommitting(t *testing.T) {
	t.Parallel()
	office := newOffice(t)
	slow := office.worker()
	release := office.lock("artifact")
	if err := office.send(office.address, message("rel07", "Mon avis", "avis.pdf", "application/pdf", taxNotice("Zoé LE GOFF", "rel07"))); err != nil {
		t.Fatal(err)
	}
	office.wait(60*time.Second, "transaction under way", func() bool {
		return office.query(`SELECT count(*) FROM pg_stat_activity WHERE application_name = 'vaguemestre-worker' AND wait_event_type = 'Lock'`) == 1
	})
	thaw, stopped := slow.freeze(), time.Now()
	release()
	office.worker()
	office.wait(90*time.Second, "document", func() bool { return filed(office.deposits()) })
	t.Logf("another had filed it %v after the stop", time.Since(stopped).Round(time.Millisecond))
	thaw()
	slow.wait(60*time.Second, "end of the broken attempt", func() bool {
		return strings.Contains(slow.logs.String(), "lease passed to another worker") || strings.Contains(slow.logs.String(), "attempt ended")
	})
	office.once()
}

// lock keeps everyone from writing to a table until release.
func (p *program) lock(table string) (release func()) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	c := p.superuser(ctx)
	release = func() { c.Close(ctx); cancel() } // which rolls back
	p.t.Cleanup(release)
	if _, err := c.Exec(ctx, "BEGIN; LOCK TABLE "+table+" IN SHARE ROW EXCLUSIVE MODE"); err != nil {
		p.t.Fatal(err)
	}
	return release
}
