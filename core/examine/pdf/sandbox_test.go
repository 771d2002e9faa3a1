package pdf

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/klippa-app/go-pdfium/requests"

	"vaguemestre/core/examine/pdf/pdftest"
)

// sandbox starts a real one; the compiled guest is kept between packages and runs.
func sandbox(t testing.TB, cfg Config) *Sandbox {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	cfg.CacheDir = filepath.Join(cache, "vaguemestre-test")
	s := New(cfg, slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func open(t testing.TB, s *Sandbox, file []byte) *Document {
	t.Helper()
	d, err := s.Open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func TestReadyComesAfterNew(t *testing.T) {
	s := sandbox(t, Config{})
	if err := s.Ready(); !errors.Is(err, errStarting) {
		t.Errorf("right after New: %v, want %v", err, errStarting)
	}
	open(t, s, pdftest.Text("bonjour"))
	if err := s.Ready(); err != nil {
		t.Errorf("once a document is open: %v", err)
	}
}

func TestSEC63_GuestSeesNoHostFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "there.pdf")
	if err := os.WriteFile(path, pdftest.Text("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := sandbox(t, Config{})
	<-s.compiled
	g, err := s.instance()
	if err != nil {
		t.Fatal(err)
	}
	defer g.end()
	if _, err := g.(*pdfiumGuest).in.OpenDocument(&requests.OpenDocument{FilePath: &path}); !errors.Is(judge(err), ErrDamaged) {
		t.Errorf("a host path inside the guest: %v, want unreadable", err)
	}
}

func TestDocumentsWaitForAPlace(t *testing.T) {
	s := sandbox(t, Config{Documents: 1})
	first := open(t, s, pdftest.Text("un"))
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Open(short, pdftest.Text("deux")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while the place is taken: %v, want the deadline", err)
	}
	first.Close()
	first.Close()
	open(t, s, pdftest.Text("trois"))
}

func TestClosedSandboxIsAnAccident(t *testing.T) {
	s := sandbox(t, Config{})
	idle, err := s.Open(t.Context(), pdftest.Text("un"))
	if err != nil {
		t.Fatal(err)
	}
	busy, err := s.Open(t.Context(), endless())
	if err != nil {
		t.Fatal(err)
	}
	cut := make(chan error)
	go func() {
		_, err := busy.Text(context.Background(), 1)
		busy.Close()
		cut <- err
	}()
	time.Sleep(50 * time.Millisecond) // let it run into the page
	s.stop()
	if err := <-cut; !errors.Is(err, errClosed) || errors.Is(err, ErrTooComplex) {
		t.Errorf("cut off by Close: %v, want %v", err, errClosed)
	}
	if _, err := idle.Text(t.Context(), 1); !errors.Is(err, errClosed) {
		t.Errorf("text after Close: %v, want %v", err, errClosed)
	}
	idle.Close()
	if _, err := s.Open(t.Context(), pdftest.Text("deux")); !errors.Is(err, errClosed) {
		t.Errorf("open after Close: %v, want %v", err, errClosed)
	}
}

func TestCloseDoesNotWaitForTheCompiler(t *testing.T) {
	s := New(Config{}, slog.New(slog.DiscardHandler)) // no cache: seconds of work
	time.Sleep(20 * time.Millisecond)
	begin := time.Now()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("closed after %v", took)
	}
	if err := s.Ready(); !errors.Is(err, errClosed) {
		t.Errorf("ready: %v, want %v", err, errClosed)
	}
}

func TestCompileCacheMustBePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "here")
	if err := private(dir); err != nil {
		t.Fatalf("a fresh directory: %v", err)
	}
	if err := os.Chmod(dir, 0o770); err != nil {
		t.Fatal(err)
	}
	if err := private(dir); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("writable by the group: %v, want permission", err)
	}
	if os.Geteuid() == 0 {
		if err := errors.Join(os.Chmod(dir, 0o700), os.Chown(dir, 65534, 65534)); err != nil {
			t.Fatal(err)
		}
		if err := private(dir); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("of another user: %v, want permission", err)
		}
	}
}

func TestSEC63_GuestIsPinned(t *testing.T) {
	sums, err := os.ReadFile("../../../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	var pinned bool
	for line := range strings.Lines(string(sums)) {
		f := strings.Fields(line)
		if f[0] == guestModule && !strings.HasSuffix(f[1], "/go.mod") {
			pinned = f[2] == guestSum
		}
	}
	if !pinned {
		t.Errorf("go.sum links another guest than the pinned %s: look at what changed, then pin it", guestSum)
	}
	built := func(sum string, replace *debug.Module) *debug.BuildInfo {
		return &debug.BuildInfo{Deps: []*debug.Module{{Path: "other"}, {Path: guestModule, Sum: sum, Replace: replace}}}
	}
	if err := checkGuest(built(guestSum, nil), true); err != nil {
		t.Errorf("the pinned guest: %v", err)
	}
	for name, err := range map[string]error{
		"another sum": checkGuest(built("h1:x", nil), true),
		"replaced":    checkGuest(built(guestSum, &debug.Module{Path: "../mine"}), true),
		"unknown":     checkGuest(nil, false),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
