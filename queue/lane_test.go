package queue

import (
	"context"
	"slices"
	"testing"
	"time"

	"vaguemestre/core"
)

func TestLaneOfATenant(t *testing.T) {
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	f := newFairness(func() time.Time { return now })
	flood, calm := newStep(core.NounPiece), newStep(core.NounDeposit)
	take := func(n int) (own int) {
		for range n {
			if f.lane(flood) == lanePiece {
				own++
			}
		}
		return own
	}
	if got := take(burst * 3); got != burst {
		t.Errorf("%d of a burst stayed in the lane, want %d", got, burst)
	}
	if got := f.lane(calm); got != laneDeposit {
		t.Errorf("another tenant rings in %s", got)
	}
	now = now.Add(5*pace + pace/2)
	if got := take(burst); got != 5 {
		t.Errorf("%d earned in five and a half paces", got)
	}
	now = now.Add(pace / 2) // the half is not lost
	if got := take(burst); got != 1 {
		t.Errorf("%d earned by the second half", got)
	}
	now = now.Add(24 * time.Hour)
	if got := take(burst * 3); got != burst {
		t.Errorf("%d after a day, want a burst", got)
	}
	now = now.Add(-48 * time.Hour) // a clock set back earns and takes nothing
	if got := take(1); got != 0 {
		t.Errorf("%d earned by going back in time", got)
	}
}

// One town rings two thousand times; the others hardly notice (REL-10).
func TestREL10_OneTenantDoesNotStarveOthers(t *testing.T) {
	t.Parallel()
	r := startRedis(t).open(Config{Concurrency: 2})
	b := NewBell(r, time.Now, quiet)
	runs(t, b.Run)
	flood := core.NewID[core.TenantID]()
	for range 2000 {
		b.Ring(core.Step{Tenant: flood, Noun: core.NounPiece, ID: core.NewID[string]()})
	}
	eventually(t, 10*time.Second, "flood in the queue", func() bool { n, _ := b.Counts(); return n == 2000 })
	d := desk{first: func(context.Context, core.Step) error { time.Sleep(2 * time.Millisecond); return nil }}
	runs(t, NewWorker(r, d.run, quiet).Run)
	var waits []time.Duration
	for range 20 {
		step := newStep(core.NounPiece)
		b.Ring(step)
		waits = append(waits, eventually(t, 10*time.Second, "the calm town's turn", func() bool { return d.count(step) == 1 }))
	}
	if done := len(d.steps()); done > 1900 {
		t.Fatalf("the flood was over after %d steps: nothing was proven", done)
	}
	slices.Sort(waits)
	t.Logf("waits beside a flood: median %v, longest %v", waits[len(waits)/2], waits[len(waits)-1])
	if p90 := waits[18]; p90 > 300*time.Millisecond {
		t.Errorf("nine in ten waited up to %v", p90)
	}
}
