package pipeline_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/store/postgres"
)

// asleep is a worker's view of the database while the worker is stopped: no renewal
// leaves it.
type asleep struct{ *postgres.Store }

func (asleep) Renew(context.Context, core.Lease, time.Duration) error { return nil }

// A worker stopped past its lease wakes up with its result and may not write it: the
// piece is filed once, by the one that took over.
func TestREL07_SleeperCommitsNothing(t *testing.T) {
	t.Parallel()
	w := newDesk(t)
	step := w.pieces("one")[0]
	began, wake := make(chan struct{}), make(chan struct{})
	sleeper := &reader{examine: func(context.Context, []byte, bool) (core.Evidence, error) {
		close(began)
		<-wake
		return core.Evidence{Kind: core.KindPNG, Pages: 9}, nil
	}}
	ended := make(chan error)
	go func() { ended <- w.runnerOf(asleep{w.Worker}, sleeper, 100*time.Millisecond).Run(t.Context(), step) }()
	<-began
	w.run(w.runner(time.Minute), step)
	w.wantStanding("while it is leased", step, "waiting attempts 1 leased")
	time.Sleep(150 * time.Millisecond)
	w.run(w.runner(time.Minute), step)
	w.wantStanding("taken over", step, "filed attempts 2")
	before := w.Text("SELECT to_jsonb(p) FROM piece p")
	close(wake)
	if err := <-ended; err != nil {
		t.Errorf("the sleeper's run: %v", err)
	}
	if w.last() != "piece stale" {
		t.Errorf("the sleeper's attempt is counted as %q", w.last())
	}
	if after := w.Text("SELECT to_jsonb(p) FROM piece p"); after != before {
		t.Errorf("the sleeper changed the piece: was %s, is %s", before, after)
	}
	if n := w.Text("SELECT count(*) FROM artifact"); n != "2" || w.documents() != 1 {
		t.Errorf("%s artifacts, %d documents", n, w.documents())
	}
}

// A sleeper whose connection was cut meanwhile wakes up to an accident, and finds only
// when it wants to write that down that the piece is another's: that too is a lease
// passed on, and no attempt to be made later.
func TestREL07_SleeperWakesToAnAccident(t *testing.T) {
	t.Parallel()
	w := newDesk(t)
	step := w.pieces("one")[0]
	began, wake := make(chan struct{}), make(chan struct{})
	sleeper := &reader{examine: func(context.Context, []byte, bool) (core.Evidence, error) {
		close(began)
		<-wake
		return core.Evidence{}, errors.New("terminating connection due to idle-in-transaction timeout")
	}}
	ended := make(chan error)
	go func() { ended <- w.runnerOf(asleep{w.Worker}, sleeper, 100*time.Millisecond).Run(t.Context(), step) }()
	<-began
	time.Sleep(150 * time.Millisecond)
	w.run(w.runner(time.Minute), step)
	close(wake)
	if err := <-ended; err != nil || w.last() != "piece stale" {
		t.Errorf("the sleeper's run: %v, counted as %q", err, w.last())
	}
	w.wantStanding("taken over", step, "filed attempts 2")
}

// A worker whose lease is lost learns it at the next renewal and stops working.
func TestREL07_LostLeaseStopsTheWork(t *testing.T) {
	t.Parallel()
	w := newDesk(t)
	step := w.pieces("one")[0]
	w.read.examine = func(ctx context.Context, _ []byte, _ bool) (core.Evidence, error) {
		w.Exec("UPDATE piece SET lease_token = lease_token + 1")
		select {
		case <-ctx.Done():
			return core.Evidence{}, ctx.Err()
		case <-time.After(10 * time.Second):
			return seenText, nil
		}
	}
	began := time.Now()
	w.run(w.runner(300*time.Millisecond), step)
	if took := time.Since(began); took > 5*time.Second || w.last() != "piece stale" {
		t.Errorf("%q after %v", w.last(), took)
	}
	w.wantStanding("left to its new holder", step, "waiting attempts 1 leased")
}

// Work longer than a lease keeps it.
func TestLeaseIsRenewedWhileTheWorkGoesOn(t *testing.T) {
	t.Parallel()
	w := newDesk(t)
	step := w.pieces("one")[0]
	other := &reader{}
	w.read.examine = func(context.Context, []byte, bool) (core.Evidence, error) {
		for range 6 {
			time.Sleep(200 * time.Millisecond)
			w.run(w.runnerOf(w.Worker, other, time.Minute), step)
		}
		return seenText, nil
	}
	w.run(w.runner(600*time.Millisecond), step)
	w.wantStanding("after twice the lease", step, "filed attempts 1")
	if n, _ := other.asked(); n != 0 {
		t.Errorf("another worker took it %d times", n)
	}
}

// However many workers are rung for a step, one does it; one that finds it done, or
// finds nothing, has nothing to complain of.
func TestManyRunnersDoAStepOnce(t *testing.T) {
	t.Parallel()
	w := newDesk(t)
	deposit := w.arrive("one", "two", "three")
	race := func(step core.Step) {
		t.Helper()
		ended := make(chan error)
		for range 4 {
			go func() { ended <- w.runner(time.Minute).Run(t.Context(), step) }()
		}
		for range 4 {
			if err := <-ended; err != nil {
				t.Errorf("run %s: %v", step.Noun, err)
			}
		}
	}
	race(deposit)
	w.wantStanding("opened", deposit, "opened attempts 1")
	if n := w.Text("SELECT count(*) FROM piece"); n != "3" || len(w.rung) != 3 {
		t.Fatalf("%s pieces, %d rung", n, len(w.rung))
	}
	for range 3 {
		step := <-w.rung
		race(step)
		w.wantStanding("filed", step, "filed attempts 1")
	}
	w.wantAsked("once a piece", 3, 3)
	if w.documents() != 3 {
		t.Errorf("%d documents", w.documents())
	}
	r := w.runner(time.Minute)
	w.run(r, deposit) // finished
	w.run(r, core.Step{Tenant: w.ID, Noun: core.NounPiece, ID: string(core.NewID[core.PieceID]())})
	w.run(r, core.Step{Tenant: core.NewID[core.TenantID](), Noun: core.NounDeposit, ID: deposit.ID})
	w.wantAsked("nothing more", 3, 3)
	if err := r.Run(t.Context(), core.Step{Tenant: w.ID, Noun: "letter", ID: deposit.ID}); err == nil {
		t.Error("a step of no noun is run")
	}
	if steps, err := w.Worker.Due(t.Context(), w.ID, 10); err != nil || len(steps) > 0 {
		t.Errorf("still due: %v (%v)", steps, err)
	}
}
