package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"vaguemestre/core"
)

const (
	sweepEvery = 10 * time.Second
	sweepTurn  = 5 * time.Second // what reading one tenant's rows may take
	sweepLimit = 10_000          // rows of one tenant and noun looked at in one sweep
	sweepBatch = 500             // ids looked at in one script, to keep it short
)

// Outbox is the truth about work: the rows themselves.
type Outbox interface {
	// Tenants lists every tenant that may have work.
	Tenants(ctx context.Context) ([]core.TenantID, error)
	// Due lists at most limit rows of the tenant and noun, longest due first, that
	// stand in a non-final state, are not leased, and whose next attempt is due by
	// the clock that times the leases.
	Due(ctx context.Context, tenant core.TenantID, limit int) ([]core.Step, error)
}

// Sweeper rings again for every due row without a living task. Any number may
// run at once.
type Sweeper struct {
	redis  redis.UniversalClient
	client *asynq.Client
	outbox Outbox
	every  time.Duration
	fair   *fairness
	log    *slog.Logger
}

// NewSweeper returns a sweeper over outbox; now paces what each tenant may ring
// before the others.
func NewSweeper(r *Redis, outbox Outbox, now func() time.Time, log *slog.Logger) *Sweeper {
	every := r.cfg.SweepEvery
	if every <= 0 {
		every = sweepEvery
	}
	return &Sweeper{
		redis:  r.client,
		client: asynq.NewClientFromRedisClient(r.client),
		outbox: outbox,
		every:  every,
		fair:   newFairness(now),
		log:    log,
	}
}

// Run sweeps at once, then at every interval, until ctx ends; it returns nil. A
// sweep that failed is logged and the next one tries again.
func (s *Sweeper) Run(ctx context.Context) error {
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for {
		rung, err := s.Sweep(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.log.Warn("sweep", "rung", rung, "error", err)
		case rung > 0:
			s.log.Info("sweep rang again", "rung", rung)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Sweep goes round the tenants once and says how many rows it rang for. The
// error of one tenant does not keep the others from their turn; when Redis is
// away it gives up at once.
func (s *Sweeper) Sweep(ctx context.Context) (rung int, err error) {
	if err := s.redis.SAdd(ctx, keyQueues, lanes[0], lanes[1], lanes[2]).Err(); err != nil {
		return 0, fmt.Errorf("name the lanes: %w", err)
	}
	tenants, err := s.outbox.Tenants(ctx)
	if err != nil {
		return 0, fmt.Errorf("list tenants: %w", err)
	}
	var faults []error
	for _, tenant := range tenants {
		steps, err := s.due(ctx, tenant)
		if err != nil {
			faults = append(faults, fmt.Errorf("due rows of tenant %s: %w", tenant, err))
		}
		n, err := s.ring(ctx, steps)
		rung += n
		if err != nil {
			faults = append(faults, fmt.Errorf("ring for tenant %s: %w", tenant, err))
			if s.redis.Ping(ctx).Err() != nil {
				break
			}
		}
	}
	return rung, errors.Join(faults...)
}

// due asks the outbox for the tenant's rows. Rows that may not be rung are an
// error beside those that may.
func (s *Sweeper) due(ctx context.Context, tenant core.TenantID) ([]core.Step, error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTurn)
	defer cancel()
	steps, err := s.outbox.Due(ctx, tenant, sweepLimit)
	sound := slices.DeleteFunc(steps, func(step core.Step) bool {
		_, fault := encode(step)
		err = errors.Join(err, fault)
		return fault != nil
	})
	return sound, err
}

// ring enqueues those of steps that have no living task.
func (s *Sweeper) ring(ctx context.Context, steps []core.Step) (rung int, err error) {
	nouns := make(map[core.Noun][]core.Step)
	for _, step := range steps {
		nouns[step.Noun] = append(nouns[step.Noun], step)
	}
	for noun, steps := range nouns {
		for batch := range slices.Chunk(steps, sweepBatch) {
			n, err := s.ringBatch(ctx, noun, batch)
			rung += n
			if err != nil {
				return rung, err
			}
		}
	}
	return rung, nil
}

// ringBatch looks in every lane where a step of this noun may stand, and
// enqueues what stands in none.
func (s *Sweeper) ringBatch(ctx context.Context, noun core.Noun, steps []core.Step) (rung int, err error) {
	standing := make([]bool, len(steps))
	for _, lane := range lanesOf(noun) {
		if err := s.weed(ctx, lane, steps, standing); err != nil {
			return 0, err
		}
	}
	for i, step := range steps {
		if standing[i] {
			continue
		}
		if err := enqueue(ctx, s.client, s.fair.lane(step), step); err != nil {
			return rung, fmt.Errorf("enqueue %s: %w", taskID(step), err)
		}
		rung++
	}
	return rung, nil
}

// weed marks the steps whose task is alive in lane and deletes the dead ones.
func (s *Sweeper) weed(ctx context.Context, lane string, steps []core.Step, standing []bool) error {
	args := make([]any, 0, len(steps)+2)
	args = append(args, key(lane, "t:"), leaseSeconds-silenceSeconds)
	for _, step := range steps {
		args = append(args, taskID(step))
	}
	answer, err := weed.Run(ctx, s.redis, weedKeys(lane), args...).Int64Slice()
	if err != nil {
		return fmt.Errorf("look at lane %s: %w", lane, err)
	}
	for i, stands := range answer {
		standing[i] = standing[i] || stands == 1
	}
	return nil
}
