// Package pdf owns the reading of PDF files: how many pages, which text, what a
// page looks like. PDFium runs as WebAssembly inside a sandbox without files,
// network, clock or environment, with a cap on memory and time, and a fresh
// instance for each document (SEC-63). What the sandbox answers is checked before
// it is believed (SEC-61): whoever owns the guest owns its numbers too.
package pdf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/klippa-app/go-pdfium"
	"github.com/klippa-app/go-pdfium/webassembly"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// The guest is the module that go-pdfium embeds. Its checksum is that of go.sum;
// it stands here too so that a binary linked otherwise (replace, a workspace, an
// edited go.sum) does not run another guest unnoticed. Whoever upgrades go-pdfium
// changes it knowingly.
const (
	guestModule = "github.com/klippa-app/go-pdfium"
	guestSum    = "h1:CalrAbIUyPIBkGU9qJX2z7yGitDrcuJT62FQT5m5CPU="
)

var (
	// ErrPassword: the file opens only with a password, or with a scheme nobody can open here.
	ErrPassword = errors.New("pdf asks for a password")
	// ErrDamaged: the file, or the page asked for, is not a PDF that can be read.
	ErrDamaged = errors.New("pdf is damaged")
	// ErrTooComplex: reading the file broke the sandbox, or its cap on memory.
	ErrTooComplex = errors.New("pdf is too complex")
	// ErrTooLong: reading took longer than a PDF may. It is a kind of ErrTooComplex.
	ErrTooLong = fmt.Errorf("%w: out of time", ErrTooComplex)

	// errStarting and errClosed are accidents: the same file may be read later.
	errStarting = errors.New("pdf sandbox is still compiling")
	errClosed   = errors.New("pdf sandbox is closed")
)

// Config says what a document may cost. Zero fields take the value in brackets.
type Config struct {
	// CacheDir keeps the compiled guest between runs; "" compiles at each start.
	// Its content is machine code that will be run, so it must belong to this user
	// and be writable by nobody else: another directory is not used.
	CacheDir string

	Documents    int           // open at once [2]
	Memory       int64         // of one guest, in bytes [512 MiB]
	OpenTime     time.Duration // to load a file [10 s]
	PageTime     time.Duration // to read or to draw one page [15 s]
	DocumentTime time.Duration // of the sandbox for one document, all in all [60 s]
	PagePixels   int64         // of one drawn page [16 million]; a larger page is drawn at fewer dpi
}

func (c Config) withDefaults() Config {
	or(&c.Documents, 2)
	or(&c.Memory, 512<<20)
	c.Memory = min(c.Memory, 4<<30) // what 32 bits address
	or(&c.OpenTime, 10*time.Second)
	or(&c.PageTime, 15*time.Second)
	or(&c.DocumentTime, 60*time.Second)
	or(&c.PagePixels, 16_000_000)
	return c
}

func or[T int | int64 | time.Duration](v *T, otherwise T) {
	if *v <= 0 {
		*v = otherwise
	}
}

// Sandbox opens PDF files. It is safe for concurrent use.
type Sandbox struct {
	cfg   Config
	log   *slog.Logger
	ctx   context.Context // ends every guest
	stop  context.CancelFunc
	slots chan struct{} // one token a document that is open
	spare chan guest    // an unused guest, so that the next document need not wait for one
	fresh func() (guest, error)

	compiled chan struct{} // closed when pool and err are set
	err      error
	pool     pdfium.Pool
	cache    wazero.CompilationCache
	work     sync.WaitGroup // compiling, and making spares
	making   sync.Mutex     // one guest at a time is made, on the leash
	leash    leash
}

// New returns at once; the guest is compiled behind it, for seconds when CacheDir
// does not hold it yet. Open waits for it.
func New(cfg Config, log *slog.Logger) *Sandbox {
	s := newSandbox(cfg, log)
	s.fresh = s.instance
	s.work.Go(s.start)
	return s
}

func newSandbox(cfg Config, log *slog.Logger) *Sandbox {
	cfg = cfg.withDefaults()
	s := &Sandbox{
		cfg:      cfg,
		log:      log,
		slots:    make(chan struct{}, cfg.Documents),
		spare:    make(chan guest, 1),
		compiled: make(chan struct{}),
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// Ready says nil once documents can be opened, and why not until then.
func (s *Sandbox) Ready() error {
	select {
	case <-s.compiled:
		return s.err
	default:
		return errStarting
	}
}

// Close ends the guests of all open documents, waits until their users have
// closed them, and frees the compiled code. It is called once.
func (s *Sandbox) Close() error {
	s.stop()
	for range s.cfg.Documents {
		s.slots <- struct{}{}
	}
	s.work.Wait()
	if s.pool == nil {
		return nil
	}
	select {
	case g := <-s.spare:
		g.end()
	default:
	}
	return errors.Join(s.pool.Close(), s.cache.Close(context.Background()))
}

// start compiles the guest. A cache that cannot be used costs time, not service.
func (s *Sandbox) start() {
	defer close(s.compiled)
	begin := time.Now()
	if s.err = checkGuest(debug.ReadBuildInfo()); s.err != nil {
		return
	}
	if s.cfg.CacheDir != "" {
		s.err = s.compile(s.cfg.CacheDir)
	}
	if s.pool == nil && s.ctx.Err() == nil {
		s.log.Warn("pdf sandbox compiles without cache", "err", s.err)
		s.err = s.compile("")
	}
	if s.ctx.Err() != nil {
		s.err = errClosed
	}
	if s.err == nil {
		s.refill()
		s.log.Info("pdf sandbox ready", "took", time.Since(begin))
	}
}

// compile readies s.pool. The features are those the guest was built with: without
// exception handling wazero refuses it.
func (s *Sandbox) compile(cacheDir string) (err error) {
	cache := wazero.NewCompilationCache()
	if cacheDir != "" {
		if err := private(cacheDir); err != nil {
			return err
		}
		if cache, err = wazero.NewCompilationCacheWithDir(cacheDir); err != nil {
			return fmt.Errorf("open the compile cache: %w", err)
		}
	}
	s.leash.hold(experimental.WithCompilationWorkers(s.ctx, runtime.GOMAXPROCS(0)))
	pool, err := webassembly.Init(webassembly.Config{
		Context:  &s.leash,
		MaxTotal: -1,                   // the slots bound it
		FSConfig: wazero.NewFSConfig(), // explicitly nothing: the library would mount /
		Stdout:   io.Discard,
		Stderr:   io.Discard,
		RuntimeConfig: wazero.NewRuntimeConfig().
			WithCoreFeatures(api.CoreFeaturesV2 | experimental.CoreFeaturesExceptionHandling).
			WithMemoryLimitPages(uint32(s.cfg.Memory / 65536)).
			WithCloseOnContextDone(true).
			WithCompilationCache(cache),
	})
	if err != nil {
		return errors.Join(fmt.Errorf("compile the pdf sandbox: %w", err), cache.Close(s.ctx))
	}
	s.pool, s.cache = pool, cache
	return nil
}

// private makes dir and sees to it that nobody else can put code into it.
func private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the compile cache: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look at the compile cache: %w", err)
	}
	sys, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(sys.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("compile cache %s: others may write: %w", dir, fs.ErrPermission)
	}
	return nil
}

// checkGuest compares the guest linked into this binary with the one pinned. A test
// binary does not list its modules; a test holds go.sum against the pin instead.
func checkGuest(info *debug.BuildInfo, ok bool) error {
	if !ok {
		return errors.New("pdf sandbox: the binary does not say what it was built of")
	}
	for _, dep := range info.Deps {
		if dep.Path == guestModule && (dep.Replace != nil || dep.Sum != guestSum) {
			return fmt.Errorf("pdf sandbox: %s %s is not the pinned guest", dep.Path, dep.Version)
		}
	}
	return nil
}

// take hands out a guest that no document has seen, and has the next one made.
func (s *Sandbox) take() (guest, error) {
	defer s.work.Go(s.refill)
	select {
	case g := <-s.spare:
		return g, nil
	default:
		return s.fresh()
	}
}

func (s *Sandbox) refill() {
	if s.ctx.Err() != nil || len(s.spare) == cap(s.spare) {
		return
	}
	g, err := s.fresh()
	if err != nil && s.ctx.Err() != nil {
		return
	}
	if err != nil {
		s.log.Warn("pdf sandbox has no spare guest", "err", err)
		return
	}
	select {
	case s.spare <- g:
	default:
		g.end()
	}
}

func (s *Sandbox) instance() (guest, error) {
	mem, err := newMemory(s.cfg.Memory)
	if err != nil {
		return nil, err
	}
	s.making.Lock()
	defer s.making.Unlock()
	ctx, cancel := context.WithCancel(s.ctx)
	s.leash.hold(experimental.WithMemoryAllocator(ctx, mem))
	// The pool is unbounded: this never waits, it only makes an instance.
	in, err := s.pool.GetInstance(time.Minute)
	if err != nil {
		cancel()
		mem.release()
		return nil, fmt.Errorf("start a pdf guest: %w", err)
	}
	return &pdfiumGuest{in: in, cancel: cancel, memory: mem}, nil
}
