package queue

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/store/private"
)

// workerURL makes this test binary a worker that takes one step, says so, and
// never claims it: a process to be killed.
const workerURL = "VAGUEMESTRE_TEST_WORKER"

func TestMain(m *testing.M) {
	if uri := os.Getenv(workerURL); uri != "" {
		stuckWorker(uri)
		return
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil { // these tests wait for Redis and leases; they do not compute
		panic(err)
	}
	os.Exit(m.Run())
}

func stuckWorker(uri string) {
	r, err := Open(Config{URL: uri, Concurrency: 1}, slog.New(slog.DiscardHandler))
	if err != nil {
		panic(err)
	}
	w := NewWorker(r, func(_ context.Context, step core.Step) error {
		fmt.Println("took", step.ID)
		select {}
	}, slog.New(slog.DiscardHandler))
	if err := w.Run(context.Background()); err != nil {
		panic(err)
	}
}

// server is a real Redis on a Unix socket. What it held is there again after
// stop and start.
type server struct {
	t   *testing.T
	cfg private.RedisConfig
	url string
	run *private.Redis
}

func startRedis(t *testing.T) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "queue") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, cfg: private.RedisConfig{Dir: dir, AppendOnly: true, Log: quiet}}
	t.Cleanup(func() {
		s.stop()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	s.start()
	return s
}

func (s *server) start() {
	s.t.Helper()
	var err error
	if s.run, err = private.StartRedis(s.t.Context(), s.cfg); err != nil {
		s.t.Fatal(err)
	}
	s.url = s.run.URL()
}

func (s *server) stop() {
	s.t.Helper()
	if s.run == nil {
		return
	}
	if err := s.run.Stop(context.Background()); err != nil {
		s.t.Error(err)
	}
	s.run = nil
}

func (s *server) open(cfg Config) *Redis {
	s.t.Helper()
	if cfg.URL == "" {
		cfg.URL = s.url
	}
	r, err := Open(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = r.Close() })
	return r
}

// runs starts run and, when the test is over, ends it and wants no error.
func runs(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run ended: %v", err)
		}
	})
}

func eventually(t *testing.T, within time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > within {
			t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(start)
}

func newStep(noun core.Noun) core.Step {
	return core.Step{Tenant: core.NewID[core.TenantID](), Noun: noun, ID: core.NewID[string](), Attempt: 1}
}

func newSteps(n int) []core.Step {
	steps := make([]core.Step, n)
	for i := range steps {
		steps[i] = newStep([]core.Noun{core.NounDeposit, core.NounPiece}[i%2])
	}
	return steps
}

// desk remembers the steps it was handed, and may do something with them.
type desk struct {
	mu    sync.Mutex
	seen  []core.Step
	first func(ctx context.Context, step core.Step) error
}

func (d *desk) run(ctx context.Context, step core.Step) error {
	d.mu.Lock()
	d.seen = append(d.seen, step)
	d.mu.Unlock()
	if d.first != nil {
		return d.first(ctx, step)
	}
	return nil
}

func (d *desk) steps() []core.Step {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.seen)
}

func (d *desk) count(step core.Step) (n int) {
	for _, s := range d.steps() {
		if s == step {
			n++
		}
	}
	return n
}

// rows is an outbox: what is in it is due until taken out.
type rows struct {
	mu     sync.Mutex
	due    []core.Step
	broken core.TenantID // reading this tenant's rows fails
}

var errBroken = errors.New("connection refused")

func (r *rows) Tenants(context.Context) ([]core.TenantID, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var tenants []core.TenantID
	for _, step := range r.due {
		if !slices.Contains(tenants, step.Tenant) {
			tenants = append(tenants, step.Tenant)
		}
	}
	return tenants, nil
}

func (r *rows) Due(_ context.Context, tenant core.TenantID, limit int) ([]core.Step, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if tenant == r.broken {
		return nil, errBroken
	}
	var due []core.Step
	for _, step := range r.due {
		if step.Tenant == tenant && len(due) < limit {
			due = append(due, step)
		}
	}
	return due, nil
}

func (r *rows) done(_ context.Context, step core.Step) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.due = slices.DeleteFunc(r.due, func(s core.Step) bool { return s == step })
	return nil
}

// page is a log one can read while it is written.
type page struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.Write(b)
}

func (p *page) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.String()
}

func (p *page) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(io.Writer(p), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

var quiet = slog.New(slog.DiscardHandler)

func TestDepthAndPing(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	r := s.open(Config{})
	b := NewBell(r, time.Now, quiet)
	runs(t, b.Run)
	flood := core.NewID[core.TenantID]()
	for range burst + 3 { // one tenant: three too many for its lane
		b.Ring(core.Step{Tenant: flood, Noun: core.NounPiece, ID: core.NewID[string]()})
	}
	b.Ring(newStep(core.NounDeposit))
	want := []Depth{{laneDeposit, 1, 0}, {lanePiece, burst, 0}, {laneBulk, 3, 0}}
	var got []Depth
	eventually(t, 5*time.Second, "rings arrive", func() bool {
		var err error
		if got, err = r.Depth(t.Context()); err != nil {
			t.Fatal(err)
		}
		return slices.Equal(got, want)
	})
	s.stop()
	if err := r.Ping(t.Context()); err == nil {
		t.Error("ping answered by nobody")
	}
	if _, err := r.Depth(t.Context()); err == nil {
		t.Error("depth of nothing")
	}
	s.start()
}

func TestOpenKeepsThePasswordToItself(t *testing.T) {
	for _, uri := range []string{
		"", "http://x", "redis-raft://:hush@h", "redis://:hush@h/notanumber", "redis://:hush/x@h", "redis://h\x7f:hush",
		"redis-sentinel://:hush@h:1?nonsense=1", "redis-cluster://:hush@h:1?nonsense=1",
	} {
		_, err := Open(Config{URL: uri}, quiet)
		if err == nil {
			t.Errorf("%q opened", uri)
		} else if strings.Contains(err.Error(), "hush") {
			t.Errorf("error tells the password: %v", err)
		}
	}
}
