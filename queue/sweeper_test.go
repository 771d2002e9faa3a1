package queue

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"vaguemestre/core"
)

func sweep(t *testing.T, s *Sweeper, want int) {
	t.Helper()
	if rung, err := s.Sweep(t.Context()); err != nil || rung != want {
		t.Fatalf("sweep rang %d, %v; want %d", rung, err, want)
	}
}

func TestSweepRingsForWhatStands(t *testing.T) {
	t.Parallel()
	r := startRedis(t).open(Config{})
	box := &rows{due: newSteps(250)}
	s := NewSweeper(r, box, time.Now, quiet)
	sweep(t, s, 250)
	sweep(t, s, 0) // pending: left alone
	d := desk{}
	d.first = box.done
	runs(t, NewWorker(r, d.run, quiet).Run)
	eventually(t, 10*time.Second, "all done", func() bool { left, _ := box.Tenants(t.Context()); return len(left) == 0 })
	sweep(t, s, 0)
}

func TestSweepSparesOtherTenants(t *testing.T) {
	t.Parallel()
	srv := startRedis(t)
	r := srv.open(Config{})
	steps := newSteps(4)
	steps[1].ID = "dupont.pdf" // a row that must not be rung
	if err := r.client.Set(t.Context(), key(laneDeposit, "t:")+taskID(steps[2]), "no task", 0).Err(); err != nil {
		t.Fatal(err)
	}
	box := &rows{due: steps, broken: steps[0].Tenant}
	s := NewSweeper(r, box, time.Now, quiet)
	rung, err := s.Sweep(t.Context())
	if rung != 1 || !errors.Is(err, errBroken) || !errors.Is(err, errPayload) {
		t.Errorf("rang %d, %v", rung, err)
	}
	if !strings.Contains(err.Error(), "WRONGTYPE") {
		t.Errorf("a torn task was passed over in silence: %v", err)
	}
	if strings.Contains(err.Error(), "dupont") {
		t.Errorf("the error quotes the row: %v", err)
	}
	srv.stop()
	if _, err := s.Sweep(t.Context()); err == nil {
		t.Error("swept without Redis")
	}
}

// Whatever was done to a task by hand or by accident, its row is rung again.
func TestREL06_SweepRingsThroughDeadTasks(t *testing.T) {
	t.Parallel()
	r := startRedis(t).open(Config{})
	inspector := asynq.NewInspectorFromRedisClient(r.client)
	client := asynq.NewClientFromRedisClient(r.client)
	put := func(t *testing.T, step core.Step, opts ...asynq.Option) {
		t.Helper()
		task, err := encode(step)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.EnqueueContext(t.Context(), task, append(opts, asynq.Queue(lanePiece))...); err != nil {
			t.Fatal(err)
		}
	}
	cases := []struct {
		name string
		kill func(t *testing.T, step core.Step)
	}{
		{"archived by an operator", func(t *testing.T, step core.Step) {
			put(t, step)
			if err := inspector.ArchiveTask(lanePiece, taskID(step)); err != nil {
				t.Fatal(err)
			}
		}},
		{"pending, but gone from the list", func(t *testing.T, step core.Step) {
			put(t, step)
			if err := r.client.Del(t.Context(), key(lanePiece, "pending")).Err(); err != nil {
				t.Fatal(err)
			}
		}},
		{"put off", func(t *testing.T, step core.Step) { put(t, step, asynq.ProcessIn(time.Hour)) }},
		{"active, its lease gone", func(t *testing.T, step core.Step) {
			put(t, step)
			ctx := t.Context()
			err := errors.Join(r.client.LMove(ctx, key(lanePiece, "pending"), key(lanePiece, "active"), "RIGHT", "LEFT").Err(),
				r.client.HSet(ctx, key(lanePiece, "t:")+taskID(step), "state", "active").Err())
			if err != nil {
				t.Fatal(err)
			}
		}},
		{"completed and retained", func(t *testing.T, step core.Step) {
			put(t, step, asynq.Retention(time.Hour))
			var d desk
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- NewWorker(r, d.run, quiet).Run(ctx) }()
			eventually(t, 5*time.Second, "completed", func() bool {
				info, err := inspector.GetTaskInfo(lanePiece, taskID(step))
				return err == nil && info.State == asynq.TaskStateCompleted
			})
			cancel()
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, c := range cases { // one after the other: they share a Redis
		t.Run(c.name, func(t *testing.T) {
			step := newStep(core.NounPiece)
			c.kill(t, step)
			s := NewSweeper(r, &rows{due: []core.Step{step}}, time.Now, quiet)
			sweep(t, s, 1)
			info, err := inspector.GetTaskInfo(lanePiece, taskID(step))
			if err != nil || info.State != asynq.TaskStatePending {
				t.Errorf("task is %+v, %v", info, err)
			}
			sweep(t, s, 0)
			counted, err := inspector.GetQueueInfo(lanePiece)
			if err != nil || counted.Size != 1 {
				t.Errorf("the lane holds %+v, %v", counted, err)
			}
			if err := inspector.DeleteTask(lanePiece, taskID(step)); err != nil {
				t.Error(err)
			}
		})
	}
}

// Redis is emptied while steps wait and run: every row is rung again, and the
// worker lives on (REL-06).
func TestREL06_FlushLosesNothing(t *testing.T) {
	t.Parallel()
	r := startRedis(t).open(Config{Concurrency: 4, SweepEvery: 100 * time.Millisecond})
	box := &rows{due: newSteps(60)}
	b := NewBell(r, time.Now, quiet)
	runs(t, b.Run)
	for _, step := range box.due {
		b.Ring(step)
	}
	eventually(t, 5*time.Second, "rung", func() bool { n, _ := b.Counts(); return n == 60 })
	gate := make(chan struct{})
	d := desk{first: func(ctx context.Context, step core.Step) error { <-gate; return box.done(ctx, step) }}
	runs(t, NewWorker(r, d.run, quiet).Run)
	eventually(t, 5*time.Second, "four at work", func() bool { return len(d.steps()) == 4 })
	if err := r.client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	runs(t, NewSweeper(r, box, time.Now, quiet).Run)
	close(gate)
	took := eventually(t, 10*time.Second, "every row done", func() bool { left, _ := box.Tenants(t.Context()); return len(left) == 0 })
	t.Logf("60 steps done %v after the flush", took)
	queues, err := asynq.NewInspectorFromRedisClient(r.client).Queues()
	if err != nil || len(queues) != len(lanes) {
		t.Errorf("inspectors see %v, %v", queues, err)
	}
}

// A worker killed between taking a task and claiming its row leaves the task
// active under the very id the Sweeper would ring: it must not wait for asynq,
// which archives such a task only after two minutes.
func TestREL06_KilledWorkerIsRungAgain(t *testing.T) {
	t.Parallel()
	srv := startRedis(t)
	r := srv.open(Config{SweepEvery: time.Second})
	box := &rows{due: []core.Step{newStep(core.NounPiece)}}
	runs(t, NewSweeper(r, box, time.Now, quiet).Run)

	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), workerURL+"="+srv.url)
	said, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil || line != "took "+box.due[0].ID+"\n" {
		t.Errorf("the worker said %q, %v", line, err)
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait() // killed: its error is the point
	var d desk
	d.first = box.done
	runs(t, NewWorker(r, d.run, quiet).Run)
	took := eventually(t, 40*time.Second, "rung again", func() bool { return len(d.steps()) > 0 })
	t.Logf("rung again %v after the kill", took)
	if took < 5*time.Second {
		t.Errorf("rung again after %v: the lease was not looked at", took)
	}
}

// A step that runs long under a living worker is not rung a second time, even
// while its row looks due.
func TestLongStepIsLeftAlone(t *testing.T) {
	t.Parallel()
	r := startRedis(t).open(Config{})
	step := newStep(core.NounPiece)
	box := &rows{due: []core.Step{step}}
	s := NewSweeper(r, box, time.Now, quiet)
	sweep(t, s, 1)
	gate := make(chan struct{})
	d := desk{first: func(context.Context, core.Step) error { <-gate; return nil }}
	runs(t, NewWorker(r, d.run, quiet).Run)
	t.Cleanup(func() { close(gate) })
	eventually(t, 5*time.Second, "at work", func() bool { return d.count(step) == 1 })
	for began := time.Now(); time.Since(began) < (silenceSeconds+2)*time.Second; time.Sleep(500 * time.Millisecond) {
		sweep(t, s, 0)
	}
}
