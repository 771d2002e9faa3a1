package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"vaguemestre/core"
)

const (
	pollInterval = 20 * time.Millisecond
	workerGrace  = 20 * time.Second // for running steps to end by themselves when Run must stop
	workerLimit  = 24 * time.Second // by when Run returns, whatever steps and Redis do
)

// Worker runs steps as they are rung.
type Worker struct {
	cfg     Config
	run     func(ctx context.Context, step core.Step) error
	log     *slog.Logger
	grace   time.Duration
	limit   time.Duration
	slots   chan struct{}
	running sync.WaitGroup
}

// NewWorker returns a worker that hands every rung step to run.
//
// run must claim the row, do the work and write the outcome to PostgreSQL before
// it returns: what it returns is logged, as codes, and changes nothing. So is a
// panic, with its stack. It may be called for a row that is done or leased, and
// must then do nothing and return nil or core.ErrNotDue. Its context ends only when
// the worker stops and its grace is over; losing Redis does not disturb a running
// step. A step must end by itself: nothing here limits its time.
func NewWorker(r *Redis, run func(ctx context.Context, step core.Step) error, log *slog.Logger) *Worker {
	cfg := r.cfg
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = runtime.GOMAXPROCS(0)
	}
	if cfg.PollInterval <= 0 {
		cfg.PollInterval = pollInterval
	}
	return &Worker{cfg: cfg, run: run, log: log, grace: workerGrace, limit: workerLimit, slots: make(chan struct{}, cfg.Concurrency)}
}

// Run works until ctx ends: Redis may be away at the start or at any time. Then it
// takes nothing new, leaves running steps 20 seconds, ends their context and has
// returned by 25. An error says that a step or Redis still held on by then, which
// is harmless: the row is rung for again. Run it once.
func (w *Worker) Run(ctx context.Context) error {
	client, err := connect(w.cfg.URL)
	if err != nil {
		return fmt.Errorf("run worker: %w", err)
	}
	client.AddHook(breather{})
	steps, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	server := asynq.NewServerFromRedisClient(client, asynq.Config{
		Concurrency:       w.cfg.Concurrency,
		TaskCheckInterval: w.cfg.PollInterval,
		Queues:            weights(),
		ShutdownTimeout:   w.grace,
		Logger:            serverLog{w.log},
	})
	handler := func(_ context.Context, task *asynq.Task) error {
		w.handle(steps, task)
		return nil
	}
	if err := server.Start(asynq.HandlerFunc(handler)); err != nil {
		return fmt.Errorf("run worker: %w", errors.Join(err, client.Close()))
	}
	<-ctx.Done()
	return w.stop(server, client, cut)
}

func (w *Worker) stop(server *asynq.Server, client redis.UniversalClient, cut context.CancelFunc) error {
	stopped := make(chan struct{})
	go func() {
		server.Shutdown()
		w.running.Wait()
		if err := client.Close(); err != nil {
			w.log.Debug("close the worker's redis", "error", err)
		}
		close(stopped)
	}()
	grace := time.AfterFunc(w.grace, cut)
	defer grace.Stop()
	select {
	case <-stopped:
	case <-time.After(w.limit):
		return errors.New("stop worker: a step or the queue does not let go")
	}
	return nil
}

// handle runs one task. asynq's own context is not handed on: it ends when Redis
// has been away for 30 seconds, and the queue has no say in the work.
func (w *Worker) handle(ctx context.Context, task *asynq.Task) {
	w.running.Add(1)
	defer w.running.Done()
	step, err := decode(task.Type(), task.Payload())
	if err != nil {
		w.log.Warn("ring ignored", "error", err)
		return
	}
	select {
	case w.slots <- struct{}{}: // asynq forgets a step whose lease lapsed, the processor does not
		defer func() { <-w.slots }()
	case <-ctx.Done():
		return
	}
	log := w.log.With("tenant", step.Tenant, "noun", step.Noun, "id", step.ID, "attempt", step.Attempt)
	defer recovered(log)
	if err := w.run(ctx, step); err != nil && !errors.Is(err, core.ErrNotDue) {
		log.Warn("step ended with an error", "cause", core.Cause(err))
	}
}

// recovered logs a panic. Its value is shown only when it comes from the runtime:
// another may quote what was being read.
func recovered(log *slog.Logger) {
	value := recover()
	if value == nil {
		return
	}
	reason := fmt.Sprintf("%T", value)
	if fault, ok := value.(runtime.Error); ok {
		reason = fault.Error()
	}
	log.Error("step panicked", "reason", reason, "stack", string(debug.Stack()))
}

// breather makes the worker's connection wait a little after each failure: asynq
// asks again at once when Redis refuses it, and would burn a processor.
type breather struct{}

const breath = 100 * time.Millisecond

func (breather) DialHook(next redis.DialHook) redis.DialHook { return next }

func (breather) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err != nil && !errors.Is(err, redis.Nil) && !redis.HasErrorPrefix(err, "NOSCRIPT") {
			select {
			case <-ctx.Done():
			case <-time.After(breath):
			}
		}
		return err
	}
}

func (breather) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// serverLog passes on what asynq says of itself: identifiers and Redis errors,
// for the handler never gives it anything else.
type serverLog struct{ log *slog.Logger }

func (s serverLog) Debug(args ...any) { s.log.Debug("asynq", "message", fmt.Sprint(args...)) }
func (s serverLog) Info(args ...any)  { s.log.Debug("asynq", "message", fmt.Sprint(args...)) }
func (s serverLog) Warn(args ...any)  { s.log.Warn("asynq", "message", fmt.Sprint(args...)) }
func (s serverLog) Error(args ...any) { s.log.Error("asynq", "message", fmt.Sprint(args...)) }
func (s serverLog) Fatal(args ...any) { s.log.Error("asynq", "message", fmt.Sprint(args...)) }
