package private

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// keeper is one life of the small program that keeps both servers.
type keeper struct {
	cmd         *exec.Cmd
	stdin       io.Closer
	url, socket string
}

func startKeeper(t *testing.T, binary, home string, account *syscall.Credential) *keeper {
	t.Helper()
	k := &keeper{cmd: exec.Command(binary)}
	// PGPORT is of the person who starts us and must not reach the server.
	k.cmd.Env = append(os.Environ(), homeVariable+"="+home, "PGPORT=none")
	k.cmd.Dir, k.cmd.Stderr = "/", os.Stderr
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: account}
	stdin, err := k.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := k.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := k.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.cmd.Process.Kill() })
	k.stdin = stdin
	lines := bufio.NewScanner(stdout)
	for _, s := range []*string{&k.url, &k.socket} {
		if !lines.Scan() {
			t.Fatalf("the program said nothing: %v", k.cmd.Wait())
		}
		*s = lines.Text()
	}
	return k
}

// A process that keeps servers is killed with no chance to clean up: its servers
// end with it, and the next start finds everything that was committed.
func TestKilledProcess(t *testing.T) {
	accounts := map[string]*syscall.Credential{"our own account": nil}
	if os.Geteuid() == 0 {
		accounts["an unprivileged account"] = nobody(t)
	}
	for name, account := range accounts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killAndRecover(t, account)
		})
	}
}

func killAndRecover(t *testing.T, account *syscall.Credential) {
	binary, home := stage(t, account)
	k := startKeeper(t, binary, home, account)
	psql(t, k.url, "CREATE TABLE letter (id int); INSERT INTO letter VALUES (1);")
	redisCLI(t, k.socket, "SET", "bell", "rung")
	// A busy backend has work in hand when its postmaster goes.
	busy := exec.Command("psql", "--no-psqlrc", "--dbname="+k.url, "--command=SELECT count(*) FROM generate_series(1, 1e12)")
	if err := busy.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "the busy backend", func() bool {
		return psql(t, k.url, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'") == "2"
	})
	servers := processesBelow(t, home)
	if len(servers) < 6 {
		t.Fatalf("only %d server processes", len(servers))
	}
	for _, pid := range servers {
		if pgid, err := syscall.Getpgid(pid); err == nil && pgid == syscall.Getpgrp() {
			t.Errorf("process %d would get our terminal's Ctrl-C", pid)
		}
	}

	killed := time.Now()
	if err := k.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = k.cmd.Wait() // "signal: killed"
	again := startKeeper(t, binary, home, account)
	t.Logf("answering again %v after the kill", time.Since(killed).Round(time.Millisecond))
	_ = busy.Wait() // its connection is gone
	for _, pid := range servers {
		eventually(t, 2*time.Second-time.Since(killed), "process "+strconv.Itoa(pid)+" has ended", func() bool { return gone(pid) })
	}
	if got := psql(t, again.url, "SELECT id FROM letter"); got != "1" {
		t.Errorf("the row is %q", got)
	}
	if got := redisCLI(t, again.socket, "GET", "bell"); got != "rung" {
		t.Errorf("the key is %q", got)
	}

	if err := again.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := again.cmd.Wait(); err != nil {
		t.Errorf("clean end: %v", err)
	}
	if left := processesBelow(t, home); len(left) > 0 {
		t.Errorf("left running: %v", left)
	}
}

// Without a new start to end them the servers still go, by the kernel's signal.
func TestKilledProcessAlone(t *testing.T) {
	t.Parallel()
	binary, home := stage(t, nil)
	k := startKeeper(t, binary, home, nil)
	servers := processesBelow(t, home)
	if len(servers) < 6 {
		t.Fatalf("only %d server processes", len(servers))
	}
	killed := time.Now()
	if err := k.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range servers {
		eventually(t, 2*time.Second-time.Since(killed), "process "+strconv.Itoa(pid)+" has ended", func() bool { return gone(pid) })
	}
	t.Logf("no server left %v after the kill", time.Since(killed).Round(time.Millisecond))
	_ = k.cmd.Wait()
}

// stage gives a copy of this binary that account may run, and a home of its own.
func stage(t *testing.T, account *syscall.Credential) (binary, home string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	dir := openDir(t)
	binary, home = filepath.Join(dir, "keeper"), filepath.Join(dir, "home")
	if err := os.WriteFile(binary, b, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(home, 0o711); err != nil {
		t.Fatal(err)
	}
	if account != nil {
		if err := os.Chown(home, int(account.Uid), int(account.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	return binary, home
}

func nobody(t *testing.T) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// A server that dies alone is replaced, and says so once.
func TestKilledServer(t *testing.T) {
	t.Parallel()
	r := testRedis(t, openDir(t))
	redisCLI(t, r.Socket(), "SET", "bell", "rung")
	dead := r.child.life()
	if err := dead.process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-dead.ended
	if err := r.child.await(within(t, 5*time.Second), false); err != nil {
		t.Fatal(err)
	}
	if got := redisCLI(t, r.Socket(), "GET", "bell"); got != "rung" {
		t.Errorf("the key is %q", got)
	}
	if err := r.Restart(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	if got := redisCLI(t, r.Socket(), "GET", "bell"); got != "rung" {
		t.Errorf("after Restart the key is %q", got)
	}
	for range 2 {
		stopped(t, r)
	}
	if err := r.Restart(within(t, time.Second)); err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("Restart after Stop: %v", err)
	}
	if left := processesBelow(t, r.child.place.dir); len(left) > 0 {
		t.Errorf("left running: %v", left)
	}
}
