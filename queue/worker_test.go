package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"vaguemestre/core"
)

func TestWorkerOutlivesRedis(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	s.stop() // away at the start
	r := s.open(Config{Concurrency: 2})
	b := NewBell(r, time.Now, quiet)
	runs(t, b.Run)
	var d desk
	runs(t, NewWorker(r, d.run, quiet).Run)
	steps := newSteps(3)
	b.Ring(steps[0])
	time.Sleep(300 * time.Millisecond)
	s.start()
	eventually(t, 10*time.Second, "first step", func() bool { return d.count(steps[0]) == 1 })
	s.stop() // and in the middle
	b.Ring(steps[1])
	time.Sleep(300 * time.Millisecond)
	s.start()
	b.Ring(steps[2])
	took := eventually(t, 10*time.Second, "all steps", func() bool { return d.count(steps[1]) == 1 && d.count(steps[2]) == 1 })
	t.Logf("back at work %v after Redis answered", took)
}

// Nothing a step says reaches Redis, and nothing personal reaches the log.
func TestErrorsAndPanicsStayHere(t *testing.T) {
	t.Parallel()
	r := startRedis(t).open(Config{Concurrency: 1})
	var log page
	b := NewBell(r, time.Now, log.logger())
	runs(t, b.Run)
	steps := newSteps(7)
	d := desk{first: func(_ context.Context, step core.Step) error {
		switch slices.Index(steps, step) {
		case 0:
			return fmt.Errorf("read avis-dupont.pdf: %w", errBroken)
		case 1:
			return fmt.Errorf("examine: %w", &core.Refusal{Code: "too_large", Reason: "Le fichier de M. Dupont est trop lourd."})
		case 2:
			panic("M. Dupont, 1 84 12 76 451 089 46")
		case 3:
			var none []int
			_ = none[len(steps)]
		case 4:
			return fmt.Errorf("claim: %w", core.ErrNotDue)
		case 5:
			return fmt.Errorf("amend Dupont: %w", errors.Join(core.ErrStale))
		}
		return nil
	}}
	runs(t, NewWorker(r, d.run, log.logger()).Run)
	for _, step := range steps {
		b.Ring(step)
	}
	eventually(t, 5*time.Second, "all run", func() bool { return len(d.steps()) == len(steps) })
	var depths []Depth
	eventually(t, 5*time.Second, "nothing left in Redis", func() bool {
		depths, _ = r.Depth(t.Context())
		return !slices.ContainsFunc(depths, func(d Depth) bool { return d.Pending+d.Active > 0 })
	})
	inspector := asynq.NewInspectorFromRedisClient(r.client)
	for _, lane := range []string{laneDeposit, lanePiece} {
		if info, err := inspector.GetQueueInfo(lane); err != nil || info.Size != 0 || info.Failed != 0 {
			t.Errorf("lane %s keeps %+v, %v", lane, info, err)
		}
	}
	said := log.String()
	for _, want := range []string{
		`cause="error *errors.errorString"`, `cause="too_large *core.Refusal"`, `cause="stale `,
		"reason=string stack=", `reason="runtime error: index out of range [7] with length 0" stack=`,
		"worker_test.go", "tenant=" + string(steps[0].Tenant), "id=" + steps[0].ID, "attempt=1",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	if strings.Contains(said, steps[4].ID) || strings.Contains(said, steps[6].ID) {
		t.Error("a step that was not due, or went well, is logged")
	}
	for _, secret := range []string{"Dupont", "dupont", "1 84 12"} {
		if strings.Contains(said, secret) {
			t.Errorf("the log tells %q", secret)
		}
	}
}

func TestWorkerIgnoresForeignTasks(t *testing.T) {
	t.Parallel()
	r := startRedis(t).open(Config{Concurrency: 1})
	client := asynq.NewClientFromRedisClient(r.client)
	for _, task := range []*asynq.Task{
		asynq.NewTask("piece:burn", []byte("dupont")),
		asynq.NewTask("piece:lead", []byte("dupont")),
		asynq.NewTask("piece:lead", nil),
	} {
		if _, err := client.EnqueueContext(t.Context(), task, asynq.Queue(lanePiece)); err != nil {
			t.Fatal(err)
		}
	}
	var log page
	var d desk
	runs(t, NewWorker(r, d.run, log.logger()).Run)
	eventually(t, 5*time.Second, "three ignored", func() bool { return strings.Count(log.String(), "ring ignored") == 3 })
	if strings.Contains(log.String(), "dupont") {
		t.Error("the log quotes a foreign task")
	}
	if n := len(d.steps()); n != 0 {
		t.Errorf("%d foreign tasks ran", n)
	}
}

// A stopping worker lets running steps end, and cuts those that would not.
func TestWorkerStops(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	for name, c := range map[string]struct {
		work     time.Duration
		stubborn bool
		redis    bool
		within   time.Duration
		wantErr  bool
	}{
		"a step ends within the grace": {work: 300 * time.Millisecond, redis: true, within: time.Second},
		"a step is cut after it":       {work: time.Hour, redis: true, within: 3 * time.Second},
		"a step ignores being cut":     {stubborn: true, redis: true, within: 4 * time.Second, wantErr: true},
		"redis is away":                {work: 300 * time.Millisecond, within: 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			s := s
			if !c.redis {
				s = startRedis(t)
			}
			r := s.open(Config{Concurrency: 1})
			b := NewBell(r, time.Now, quiet)
			runs(t, b.Run)
			began, cut, free := make(chan struct{}), make(chan bool, 1), make(chan struct{})
			w := NewWorker(r, func(ctx context.Context, _ core.Step) error {
				close(began)
				if c.stubborn {
					<-free
					return nil
				}
				select {
				case <-ctx.Done():
					cut <- true
				case <-time.After(c.work):
					cut <- false
				}
				return ctx.Err()
			}, quiet)
			w.grace, w.limit = time.Second, 3*time.Second
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- w.Run(ctx) }()
			b.Ring(newStep(core.NounDeposit))
			<-began
			if !c.redis {
				s.stop()
			}
			start := time.Now()
			cancel()
			err := <-ended
			took := time.Since(start)
			if (err != nil) != c.wantErr || took > c.within {
				t.Errorf("ended after %v: %v", took, err)
			}
			close(free)
			if !c.stubborn {
				if wasCut := <-cut; wasCut != (c.work > w.grace) {
					t.Errorf("cut: %v", wasCut)
				}
			}
		})
		if err := s.open(Config{}).client.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
}
