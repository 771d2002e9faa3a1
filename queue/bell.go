package queue

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"

	"vaguemestre/core"
)

const (
	bellBuffer   = 4096            // rings that wait while Redis is slow or away
	bellPatience = 2 * time.Second // for one ring to reach Redis
	bellPause    = 250 * time.Millisecond
	bellFlush    = 2 * time.Second // for what still waits when Run ends
)

// Bell wakes a worker for a step. It is rung after the commit that made the step
// due, and is allowed to fail: the Sweeper rings again.
type Bell struct {
	client *asynq.Client
	fair   *fairness
	log    *slog.Logger
	steps  chan core.Step

	ended   atomic.Bool
	rung    atomic.Uint64
	dropped atomic.Uint64
}

// NewBell returns a bell that sounds once Run runs; until then rings wait. now
// paces what each tenant may ring before the others.
func NewBell(r *Redis, now func() time.Time, log *slog.Logger) *Bell {
	return &Bell{
		client: asynq.NewClientFromRedisClient(r.client),
		fair:   newFairness(now),
		log:    log,
		steps:  make(chan core.Step, bellBuffer),
	}
}

// Ring asks for step to be worked on. It never blocks and cannot fail: a ring
// that finds no room, Redis being away, is dropped and counted. Ringing again for
// the same attempt is harmless.
func (b *Bell) Ring(step core.Step) {
	if b.ended.Load() {
		b.dropped.Add(1)
		return
	}
	select {
	case b.steps <- step:
	default:
		b.dropped.Add(1)
	}
}

// Counts says how many rings reached Redis and how many were left to the
// Sweeper, since the start.
func (b *Bell) Counts() (rung, dropped uint64) { return b.rung.Load(), b.dropped.Load() }

// Run carries rings to Redis until ctx ends, then sends what waits for at most
// two seconds and returns nil. Run it once.
func (b *Bell) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case step := <-b.steps:
			b.insist(ctx, step)
		}
	}
	b.ended.Store(true)
	b.flush(context.WithoutCancel(ctx))
	return nil
}

// insist sends one ring, waiting for Redis to come back. The rings behind it
// wait too, and the buffer decides how many.
func (b *Bell) insist(ctx context.Context, step core.Step) {
	lane := b.fair.lane(step)
	err := b.send(ctx, lane, step)
	if err == nil {
		return
	}
	b.log.Warn("queue is away; rings wait", "error", err)
	for err != nil {
		select {
		case <-ctx.Done():
			b.Ring(step) // back into the buffer, for flush
			return
		case <-time.After(bellPause):
			err = b.send(ctx, lane, step)
		}
	}
	b.log.Info("queue is back", "waiting", len(b.steps), "dropped", b.dropped.Load())
}

func (b *Bell) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, bellFlush)
	defer cancel()
	for {
		select {
		case step := <-b.steps:
			if err := b.send(ctx, b.fair.lane(step), step); err != nil {
				lost := uint64(len(b.steps)) + 1
				b.dropped.Add(lost)
				b.log.Warn("queue is away; rings left to the sweeper", "rings", lost, "error", err)
				return
			}
		default:
			return
		}
	}
}

// send enqueues one ring. A step that cannot be written is dropped, and that is
// not Redis's fault: no error.
func (b *Bell) send(ctx context.Context, lane string, step core.Step) error {
	ctx, cancel := context.WithTimeout(ctx, bellPatience)
	defer cancel()
	err := enqueue(ctx, b.client, lane, step)
	if errors.Is(err, errKind) || errors.Is(err, errPayload) {
		b.dropped.Add(1)
		b.log.Error("not a step that may be rung", "error", err)
		return nil
	}
	if err == nil {
		b.rung.Add(1)
	}
	return err
}

// enqueue puts step on a lane. A task of the same attempt that is there already
// is no error; whether it is alive is for the Sweeper to see.
func enqueue(ctx context.Context, c *asynq.Client, lane string, step core.Step) error {
	task, err := encode(step)
	if err != nil {
		return err
	}
	if _, err = c.EnqueueContext(ctx, task, asynq.Queue(lane)); errors.Is(err, asynq.ErrTaskIDConflict) {
		return nil
	}
	return err
}
