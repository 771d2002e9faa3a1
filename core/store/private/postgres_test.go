package private

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// One cluster goes through everything that may happen to it: making one takes
// more than a second.
func TestPostgres(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), "postgres")
	var said bytes.Buffer
	began := time.Now()
	p := testPostgres(t, dir, slog.New(slog.NewTextHandler(&said, nil)))
	t.Logf("first start %v", time.Since(began).Round(time.Millisecond))
	address := p.URL("", "postgres")
	psql(t, address, "CREATE ROLE worker LOGIN; CREATE DATABASE town; CREATE TABLE letter (id int PRIMARY KEY); INSERT INTO letter VALUES (1);")

	t.Run("settings", func(t *testing.T) { checkSettings(t, p) })
	t.Run("a second process is refused", func(t *testing.T) {
		_, err := StartPostgres(within(t, 10*time.Second), PostgresConfig{Dir: dir, Log: quiet()})
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			t.Errorf("got %v", err)
		}
		psql(t, address, "SELECT 1") // and the first is left in peace
	})
	t.Run("the log holds no value", func(t *testing.T) { checkLog(t, p) })
	t.Run("a killed postmaster is replaced", func(t *testing.T) {
		dead := p.child.life()
		if err := dead.process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-dead.ended
		if err := p.child.await(within(t, 10*time.Second), false); err != nil {
			t.Fatal(err)
		}
		if got := psql(t, address, "SELECT id FROM letter"); got != "1" {
			t.Errorf("the row is %q", got)
		}
	})
	t.Run("restart", func(t *testing.T) {
		before := p.child.life().process.Pid
		if err := p.Restart(within(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
		if p.child.life().process.Pid == before {
			t.Error("the same process answers")
		}
		psql(t, address, "SELECT 1")
	})
	stopped(t, p)
	if n := strings.Count(said.String(), "starting it again"); n != 2 {
		t.Errorf("%d lines about the two falls:\n%s", n, said.String())
	}
	if _, err := os.Stat(filepath.Join(dir, "data", "postmaster.pid")); !os.IsNotExist(err) {
		t.Errorf("not a clean end: %v", err)
	}
	t.Run("a server left running is ended", func(t *testing.T) { checkOrphan(t, p) })
	t.Run("a number used again is no obstacle", func(t *testing.T) { checkStalePID(t, p) })
	t.Run("data of another version", func(t *testing.T) {
		version := filepath.Join(dir, "data", "PG_VERSION")
		if err := os.WriteFile(version, []byte("9\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := StartPostgres(within(t, 10*time.Second), PostgresConfig{Dir: dir, Log: quiet()})
		if err == nil || !strings.Contains(err.Error(), "postgresql-9") {
			t.Errorf("got %v", err)
		}
	})
}

func checkSettings(t *testing.T, p *Postgres) {
	want := map[string]string{
		"data_checksums": "on", "listen_addresses": "", "server_encoding": "UTF8", "lc_collate": "C", "port": "5432",
		"unix_socket_permissions": "0700", "max_connections": "100", "timezone": "UTC",
	}
	for name, value := range want {
		if got := psql(t, p.URL("", "postgres"), "SHOW "+name); got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	if got := psql(t, p.URL("worker", "town"), "SELECT current_user, current_database()"); got != "worker|town" {
		t.Errorf("connected as %q", got)
	}
	u, err := url.Parse(p.URL("worker", "town"))
	if err != nil {
		t.Fatal(err)
	}
	for _, private := range []string{u.Query().Get("host"), p.child.place.data()} {
		st, err := os.Stat(private)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v", private, st.Mode())
		}
	}
	pid := strconv.Itoa(p.child.life().process.Pid)
	if uid := owner(t, "/proc/"+pid); uid == 0 {
		t.Error("the server runs as root")
	}
	limits, err := os.ReadFile("/proc/" + pid + "/limits")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(limits)) {
		if strings.HasPrefix(line, "Max core file size") && !strings.HasPrefix(strings.Join(strings.Fields(line)[4:], " "), "0 0 ") {
			t.Errorf("a core may be written: %s", line)
		}
	}
}

// SEC-29: what statements carry stays out of the server's log, whatever goes
// wrong with them, the death of a backend included.
func checkLog(t *testing.T, p *Postgres) {
	const canary = "canari-4d1f"
	address := p.URL("", "postgres")
	psql(t, address, "CREATE TABLE holder (name text UNIQUE); INSERT INTO holder VALUES ('"+canary+"');")
	for _, wrong := range []string{
		"INSERT INTO holder VALUES ('" + canary + "')",                 // the detail quotes the key
		"SELECT '" + canary + "'::uuid",                                // the message itself quotes the value
		"SELEKT '" + canary + "'",                                      // the statement
		"DO $$ BEGIN RAISE EXCEPTION '" + canary + "'; END $$",         // the context
		"DO $$ BEGIN RAISE WARNING '" + canary + "'; END $$; SELECT x", // a lesser message
		"PREPARE q(uuid) AS SELECT $1; EXECUTE q('" + canary + "')",
	} {
		if out, err := tryPSQL(address, wrong); err == nil {
			t.Errorf("%s: no error, %s", wrong, out)
		}
	}
	long := exec.Command("psql", "--no-psqlrc", "--dbname="+address, "--command=SELECT pg_sleep(60), '"+canary+"'")
	if err := long.Start(); err != nil {
		t.Fatal(err)
	}
	var backend string
	eventually(t, 5*time.Second, "the long statement", func() bool {
		backend = psql(t, address, "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'")
		return backend != ""
	})
	pid, err := strconv.Atoi(backend)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = long.Wait()
	var log []byte
	eventually(t, 5*time.Second, "the log tells of the killed backend and of the recovery", func() bool {
		if log, err = os.ReadFile(p.child.out.path); err != nil {
			t.Fatal(err)
		}
		_, after, told := bytes.Cut(log, []byte("terminated by signal 9"))
		return told && bytes.Contains(after, []byte("ready to accept connections"))
	})
	if bytes.Contains(log, []byte(canary)) {
		t.Errorf("the log holds a value:\n%s", log)
	}
}

// checkOrphan leaves a server on the data that nobody's death ends.
func checkOrphan(t *testing.T, p *Postgres) {
	orphan := exec.Command("sleep", "0")
	*orphan = *p.child.command()
	orphan.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: p.child.place.account}
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- orphan.Wait() }()
	address := p.URL("", "postgres")
	eventually(t, 10*time.Second, "the orphan answers", func() bool { _, err := tryPSQL(address, "SELECT 1"); return err == nil })
	again := testPostgres(t, p.child.place.dir, quiet())
	select {
	case <-ended:
	case <-time.After(time.Second):
		t.Error("the orphan lives")
	}
	if got := psql(t, again.URL("", "postgres"), "SELECT id FROM letter"); got != "1" {
		t.Errorf("the row is %q", got)
	}
	stopped(t, again)
}

// checkStalePID leaves lock files with the number of a living stranger of the
// same account, as after a crash of the machine.
func checkStalePID(t *testing.T, p *Postgres) {
	stranger := exec.Command("sleep", "600")
	stranger.Dir = "/"
	stranger.SysProcAttr = &syscall.SysProcAttr{Credential: p.child.place.account}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stranger.Process.Kill()
		_ = stranger.Wait()
	})
	claim := []byte(strconv.Itoa(stranger.Process.Pid) + "\n" + p.child.place.data() + "\n1\n5432\n" + p.child.place.sockets + "\n\n0 0\nready\n")
	for _, file := range []string{filepath.Join(p.child.place.data(), "postmaster.pid"), filepath.Join(p.child.place.sockets, postgresSocket+".lock")} {
		if err := os.WriteFile(file, claim, 0o600); err != nil {
			t.Fatal(err)
		}
		if a := p.child.place.account; a != nil {
			if err := os.Chown(file, int(a.Uid), int(a.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	stopped(t, testPostgres(t, p.child.place.dir, quiet()))
	if gone(stranger.Process.Pid) {
		t.Error("the stranger was ended")
	}
}

// A home whose path is too long for a socket, with a comma and spaces.
func TestFarHome(t *testing.T) {
	t.Parallel()
	home := filepath.Join(openDir(t), "Mairie d’Alfortville, service de l’état civil", strings.Repeat("x", 60))
	p := testPostgres(t, filepath.Join(home, "postgres"), quiet())
	r := testRedis(t, filepath.Join(home, "redis"))
	if got := psql(t, p.URL("", "postgres"), "SELECT 'bonjour'"); got != "bonjour" {
		t.Errorf("got %q", got)
	}
	if got := redisCLI(t, r.Socket(), "PING"); got != "PONG" {
		t.Errorf("got %q", got)
	}
	stopped(t, p)
	stopped(t, r)
	for _, dir := range []string{p.child.place.sockets, r.child.place.sockets} {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is left behind: %v", dir, err)
		}
	}
}

// A start that is given up leaves no process and no lock.
func TestStartGivenUp(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := StartRedis(ctx, RedisConfig{Dir: dir, Log: quiet()}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if left := processesBelow(t, dir); len(left) > 0 {
		t.Errorf("left running: %v", left)
	}
	testRedis(t, dir)
}

// A server that cannot start says why instead of being tried for ever.
func TestStartFails(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	r := testRedis(t, dir)
	redisCLI(t, r.Socket(), "SET", "bell", "rung")
	stopped(t, r)
	files, err := filepath.Glob(filepath.Join(dir, "data", "appendonlydir", "*.manifest"))
	if err != nil || len(files) != 1 {
		t.Fatalf("manifest: %v, %v", files, err)
	}
	if err := os.WriteFile(files[0], []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = StartRedis(within(t, 10*time.Second), RedisConfig{Dir: dir, AppendOnly: true, Log: quiet()})
	if err == nil || !strings.Contains(err.Error(), "exit status 1") || !strings.Contains(err.Error(), "server.log") {
		t.Errorf("got %v", err)
	}
}
