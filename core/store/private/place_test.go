package private

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Below a home that only root can enter, as /root is, the server's account finds
// no way: everything lies elsewhere, and is found there again.
func TestHomeNobodyElseEnters(t *testing.T) {
	t.Parallel()
	root, spare := openDir(t), filepath.Join(openDir(t), "spare")
	closed := filepath.Join(root, "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(closed, "var", "redis")
	var said bytes.Buffer
	cfg := RedisConfig{Dir: dir, AppendOnly: true, Log: slog.New(slog.NewTextHandler(&said, nil))}
	for _, life := range []string{"first", "second"} {
		r, err := startRedis(within(t, 10*time.Second), cfg, spare)
		if err != nil {
			t.Fatal(err)
		}
		if life == "first" {
			redisCLI(t, r.Socket(), "SET", "bell", "rung")
		}
		if got := redisCLI(t, r.Socket(), "GET", "bell"); got != "rung" {
			t.Errorf("%s life: the key is %q", life, got)
		}
		stopped(t, r)
	}
	want, lines := dir, 0 // anyone but root enters their own home
	if os.Geteuid() == 0 {
		want, lines = filepath.Join(spare, shortHash(dir)), 1
	}
	if _, err := os.Stat(filepath.Join(want, "data", "appendonlydir")); err != nil {
		t.Error(err)
	}
	if n := strings.Count(said.String(), "data lies elsewhere"); n != lines {
		t.Errorf("%d lines say where the data lie:\n%s", n, said.String())
	}
}

// The owner of the data stays their owner, whoever starts the server.
func TestOwnerStays(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	first := testRedis(t, dir)
	stopped(t, first)
	want := owner(t, filepath.Join(dir, "data"))
	if os.Geteuid() == 0 {
		want = nobody(t).Uid
		for _, part := range []string{"data", "data/appendonlydir", "run"} {
			if err := os.Chown(filepath.Join(dir, part), int(want), -1); err != nil {
				t.Fatal(err)
			}
		}
		files, err := filepath.Glob(filepath.Join(dir, "data", "appendonlydir", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if err := os.Chown(f, int(want), -1); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := testRedis(t, dir)
	if got := owner(t, r.Socket()); got != want {
		t.Errorf("the server runs as %d, the data belong to %d", got, want)
	}
}

func TestForeignSocketDir(t *testing.T) {
	t.Parallel()
	p := &place{}
	dir := filepath.Join(t.TempDir(), "vaguemestre-0")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := p.checkOwned(dir); err != nil {
		t.Errorf("our own: %v", err)
	}
	link := dir + "-link"
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if err := p.checkOwned(link); err == nil {
		t.Error("a link is taken")
	}
	if err := os.Chmod(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := p.checkOwned(dir); err == nil {
		t.Error("a directory open to its group is taken")
	}
	if err := p.checkOwned("/proc/1/task"); err == nil {
		t.Error("a directory of another kind of owner is taken")
	}
}

func TestFindPostgres(t *testing.T) {
	root, path := t.TempDir(), t.TempDir()
	install := func(folder, version string) string {
		t.Helper()
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		script := "#!/bin/sh\necho 'postgres (PostgreSQL) " + version + "'\n"
		for _, name := range []string{"postgres", "initdb"} {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		return filepath.Join(folder, "postgres")
	}
	pattern := filepath.Join(root, "*", "bin")
	t.Setenv("PATH", path)
	if _, err := findPostgres(pattern, 0); err == nil || !strings.Contains(err.Error(), "install the package postgresql") {
		t.Errorf("none: %v", err)
	}
	nine, ten := install(filepath.Join(root, "9", "bin"), "9.6.24"), install(filepath.Join(root, "10", "bin"), "10.23 (Debian)")
	check := func(name string, major int, want string) {
		t.Helper()
		got, err := findPostgres(pattern, major)
		if err != nil || got.server != want {
			t.Errorf("%s: %v, %v; want %s", name, got, err, want)
		}
	}
	check("newest", 0, ten)
	check("the version of the data", 9, nine)
	inPath := install(path, "8.4")
	check("PATH first", 0, inPath)
	check("unless the data want another", 10, ten)
	if _, err := findPostgres(pattern, 17); err == nil || !strings.Contains(err.Error(), "postgresql-17") {
		t.Errorf("not installed: %v", err)
	}
	if _, _, err := findRedis(); err == nil || !strings.Contains(err.Error(), "install the package redis-server") {
		t.Errorf("no Redis: %v", err)
	}
}

func TestLogFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "server.log")
	l, err := openLog(path, 20)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"one\n", "two two two two\n", "three\n", "four\nfive\n"} {
		if n, err := l.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	l.close()
	for file, want := range map[string]string{path + ".1": "one\ntwo two two two\n", path: "three\nfour\nfive\n"} {
		b, err := os.ReadFile(file)
		if err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", file, b, err)
		}
	}
	if l.last() != "five" {
		t.Errorf("last line %q", l.last())
	}
	// A link in its place is not followed, and the writer is not held up.
	target := path + ".target"
	if err := os.Rename(path, target); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	if n, err := l.Write([]byte("six\n")); n != 4 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if b, err := os.ReadFile(target); err != nil || strings.Contains(string(b), "six") {
		t.Errorf("written through a link: %q, %v", b, err)
	}
}
