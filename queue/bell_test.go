package queue

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"vaguemestre/core"
)

func TestRingRunsTheStepOnce(t *testing.T) {
	t.Parallel()
	r := startRedis(t).open(Config{})
	b := NewBell(r, time.Now, quiet)
	runs(t, b.Run)
	steps := newSteps(40)
	for range 3 { // the same attempt three times: one task
		for _, step := range steps {
			b.Ring(step)
		}
	}
	eventually(t, 5*time.Second, "rings sent", func() bool { n, _ := b.Counts(); return n == 120 })
	var d desk
	runs(t, NewWorker(r, d.run, quiet).Run)
	eventually(t, 5*time.Second, "all run", func() bool { return len(d.steps()) >= len(steps) })
	again := steps[0]
	again.Attempt++
	b.Ring(again)
	b.Ring(steps[1]) // its task is done and forgotten: rings anew
	eventually(t, 5*time.Second, "next attempt runs", func() bool { return d.count(again) == 1 && d.count(steps[1]) == 2 })
	for _, step := range steps {
		if n := d.count(step); n != 1 && step != steps[1] {
			t.Errorf("%v ran %d times", step, n)
		}
	}
}

// Accepting a deposit takes no longer for Redis being away (REL-06).
func TestRingNeverBlocks(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	s.stop()
	r := s.open(Config{})
	b := NewBell(r, time.Now, quiet)
	runs(t, b.Run)
	steps := newSteps(bellBuffer + 1000)
	took := make([]time.Duration, len(steps))
	for i, step := range steps {
		start := time.Now()
		b.Ring(step)
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	if p999 := took[len(took)*999/1000]; p999 > time.Millisecond {
		t.Errorf("Ring took %v at the 999th thousandth", p999)
	}
	rung, dropped := b.Counts()
	if rung != 0 || dropped < 998 || dropped > 1000 { // one or two are in the sender's hand
		t.Errorf("%d rung, %d dropped of %d", rung, dropped, len(steps))
	}
	s.start()
	eventually(t, 10*time.Second, "what waited is rung", func() bool {
		rung, dropped := b.Counts()
		return rung+dropped == uint64(len(steps))
	})
}

func TestBellFlushesBeforeItEnds(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	r := s.open(Config{})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	b := NewBell(r, time.Now, quiet)
	for _, step := range newSteps(100) {
		b.Ring(step)
	}
	if err := b.Run(ended); err != nil {
		t.Fatal(err)
	}
	b.Ring(newStep(core.NounPiece)) // too late
	if rung, dropped := b.Counts(); rung != 100 || dropped != 1 {
		t.Errorf("%d rung, %d dropped", rung, dropped)
	}

	s.stop()
	b = NewBell(r, time.Now, quiet)
	for _, step := range newSteps(100) {
		b.Ring(step)
	}
	start := time.Now()
	if err := b.Run(ended); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > bellFlush+time.Second {
		t.Errorf("flushing to nobody took %v", took)
	}
	if rung, dropped := b.Counts(); rung != 0 || dropped != 100 {
		t.Errorf("%d rung, %d dropped", rung, dropped)
	}
}

// The ring in the sender's hand when the bell must stop is not forgotten.
func TestBellStopsWhileItInsists(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	r := s.open(Config{})
	s.stop()
	var log page
	b := NewBell(r, time.Now, log.logger())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	for _, step := range newSteps(10) {
		b.Ring(step)
	}
	eventually(t, 5*time.Second, "it notices", func() bool { return strings.Contains(log.String(), "queue is away; rings wait") })
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if rung, dropped := b.Counts(); rung != 0 || dropped != 10 {
		t.Errorf("%d rung, %d dropped of 10", rung, dropped)
	}
}

func TestSEC108_BellRingsOnlyOpaqueIDs(t *testing.T) {
	t.Parallel()
	r := startRedis(t).open(Config{})
	var log page
	b := NewBell(r, time.Now, log.logger())
	runs(t, b.Run)
	b.Ring(core.Step{Tenant: core.NewID[core.TenantID](), Noun: core.NounPiece, ID: "dupont.pdf"})
	b.Ring(newStep(core.NounPiece))
	eventually(t, 5*time.Second, "one rung, one dropped", func() bool {
		rung, dropped := b.Counts()
		return rung == 1 && dropped == 1
	})
}
