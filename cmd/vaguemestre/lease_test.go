package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/filing"
	"vaguemestre/core/opening"
	"vaguemestre/core/store/postgres"
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
	office.wait(20*time.Second, "piece in work", func() bool { return office.query(held) == 1 })
	thaw, stopped := slow.freeze(), time.Now()
	if office.query(held) != 1 {
		t.Fatal("the piece was too quick for this test")
	}
	office.worker()
	office.wait(30*time.Second, "document", func() bool { return filed(office.deposits()) })
	t.Logf("another had filed it %v after the stop", time.Since(stopped).Round(time.Millisecond))
	time.Sleep(time.Until(stopped.Add(2 * lease)))
	before := office.query(`SELECT sum(lease_token) FROM piece`)
	thaw()
	slow.wait(20*time.Second, "refusal of the stale lease", func() bool {
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
	office.wait(20*time.Second, "transaction under way", func() bool {
		return office.query(`SELECT count(*) FROM pg_stat_activity WHERE application_name = 'vaguemestre-worker' AND wait_event_type = 'Lock'`) == 1
	})
	thaw, stopped := slow.freeze(), time.Now()
	release()
	office.worker()
	office.wait(30*time.Second, "document", func() bool { return filed(office.deposits()) })
	t.Logf("another had filed it %v after the stop", time.Since(stopped).Round(time.Millisecond))
	thaw()
	slow.wait(20*time.Second, "end of the broken attempt", func() bool {
		return strings.Contains(slow.logs.String(), "lease passed to another worker") || strings.Contains(slow.logs.String(), "attempt ended")
	})
	office.once()
}

// What a stale lease may still try, call by call, whether another has claimed the row
// since or nobody: nothing is written.
func TestREL07_StaleLeaseWritesNothing(t *testing.T) {
	t.Parallel()
	office := newOffice(t)
	if err := office.send(office.address, message("rel07", "Mon avis", "avis.pdf", "application/pdf", taxNotice("Zoé LE GOFF", "rel07"))); err != nil {
		t.Fatal(err)
	}
	s, err := postgres.Open(t.Context(), office.database("vaguemestre"), postgres.RoleWorker, 2, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	stale := map[string]func(core.Lease) error{
		"renew":  func(l core.Lease) error { return s.Renew(t.Context(), l, time.Minute) },
		"settle": func(l core.Lease) error { return s.Settle(t.Context(), l, core.Outcome{Failed: true, Code: "x"}) },
	}
	office.refuses(s, core.NounDeposit, stale, map[string]func(core.Lease) error{
		"opened": func(l core.Lease) error { return s.Opened(t.Context(), l, opening.Opened{}) },
	})
	worker := office.worker()
	office.wait(20*time.Second, "document", func() bool { return filed(office.deposits()) })
	worker.kill()
	office.exec(`UPDATE piece SET state = 'recognised', document_id = NULL`)
	office.refuses(s, core.NounPiece, stale, map[string]func(core.Lease) error{
		"amend": func(l core.Lease) error {
			return s.Amend(t.Context(), l, func(p *core.Piece) error { p.State = core.PieceAtDesk; return nil })
		},
		"file": func(l core.Lease) error {
			p, err := s.Piece(t.Context(), l)
			if err != nil {
				return err
			}
			_, err = s.File(t.Context(), l, filing.Filed{
				Document: core.Document{Tenant: l.Tenant, Vault: p.Vault, ID: core.NewID[core.DocumentID]()},
				Access:   core.Access{Tenant: l.Tenant, Vault: p.Vault, Act: "file"},
			})
			return err
		},
	})
	office.worker() // files it again, as the same document
	office.wait(20*time.Second, "document", func() bool { return filed(office.deposits()) })
	if got := office.vault(); len(got) != 1 {
		t.Errorf("documents %+v", got)
	}
	office.must("check")
}

// refuses tries everything under a lease that lapsed, then again once the row is leased
// anew; that lease is given back.
func (p *program) refuses(s *postgres.Store, noun core.Noun, tries ...map[string]func(core.Lease) error) {
	p.t.Helper()
	ctx := p.t.Context()
	state := func() int { return p.query(`SELECT hashtext(state || lease_token || attempts) FROM ` + string(noun)) }
	step := core.Step{Tenant: core.TenantID(p.text(`SELECT id::text FROM tenant`)), Noun: noun, ID: p.text(`SELECT id::text FROM ` + string(noun))}
	old, err := s.Claim(ctx, step, time.Millisecond)
	if err != nil {
		p.t.Fatal(err)
	}
	time.Sleep(10 * time.Millisecond)
	check := func(when string) {
		before := state()
		for _, calls := range tries {
			for name, call := range calls {
				if err := call(old); !errors.Is(err, core.ErrStale) {
					p.t.Errorf("%s of a %s under a lease %s: %v", name, noun, when, err)
				}
			}
		}
		if state() != before {
			p.t.Errorf("a lease %s changed the %s", when, noun)
		}
	}
	check("that lapsed")
	fresh, err := s.Claim(ctx, step, time.Minute)
	if err != nil {
		p.t.Fatal(err)
	}
	check("that passed to another")
	if err := s.Settle(ctx, fresh, core.Outcome{Uncounted: true}); err != nil {
		p.t.Errorf("the lease in force: %v", err)
	}
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
