package private

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// homeVariable makes the test binary the small program of TestKilledProcess.
const homeVariable = "PRIVATE_TEST_HOME"

func TestMain(m *testing.M) {
	if home := os.Getenv(homeVariable); home != "" {
		if err := keepBoth(home); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// keepBoth runs both servers below home until standard input ends, as the product
// does in its embedded home.
func keepBoth(home string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	log := slog.New(slog.DiscardHandler)
	p, err := StartPostgres(ctx, PostgresConfig{Dir: filepath.Join(home, "postgres"), Fsync: true, Log: log})
	if err != nil {
		return err
	}
	r, err := StartRedis(ctx, RedisConfig{Dir: filepath.Join(home, "redis"), AppendOnly: true, Log: log})
	if err != nil {
		return err
	}
	fmt.Printf("%s\n%s\n", p.URL("", "postgres"), r.Socket())
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	if err := r.Stop(ctx); err != nil {
		return err
	}
	return p.Stop(ctx)
}

// openDir is a temporary directory that the servers' account can enter: those of
// package testing are closed.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// testPostgres starts a PostgreSQL that is stopped with the test at the latest.
func testPostgres(t *testing.T, dir string, log *slog.Logger) *Postgres {
	t.Helper()
	p, err := StartPostgres(within(t, 30*time.Second), PostgresConfig{Dir: dir, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopped(t, p) })
	return p
}

func testRedis(t *testing.T, dir string) *Redis {
	t.Helper()
	r, err := StartRedis(within(t, 30*time.Second), RedisConfig{Dir: dir, AppendOnly: true, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopped(t, r) })
	return r
}

func stopped(t *testing.T, server interface{ Stop(context.Context) error }) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := server.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// psql runs statements with PostgreSQL's own client and gives what it printed.
func psql(t *testing.T, url, statements string) string {
	t.Helper()
	out, err := tryPSQL(url, statements)
	if err != nil {
		t.Fatalf("psql %q: %v: %s", statements, err, out)
	}
	return out
}

func tryPSQL(url, statements string) (string, error) {
	cmd := exec.Command("psql", "--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname="+url)
	cmd.Stdin = strings.NewReader(statements)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func redisCLI(t *testing.T, socket string, args ...string) string {
	t.Helper()
	out, err := exec.Command("redis-cli", append([]string{"-s", socket}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli %q: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// processesBelow are all processes whose working directory is below dir.
func processesBelow(t *testing.T, dir string) []int {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, link := range links {
		if cwd, err := os.Readlink(link); err == nil && strings.HasPrefix(cwd, dir+"/") {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link)))
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// eventually waits for what must become true soon.
func eventually(t *testing.T, limit time.Duration, what string, is func() bool) {
	t.Helper()
	for began := time.Now(); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// gone reports whether the process has ended: a zombie whose parent has yet to
// look at it runs no more.
func gone(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || bytes.Contains(b, []byte(") Z "))
}

func owner(t *testing.T, path string) uint32 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Uid
}
