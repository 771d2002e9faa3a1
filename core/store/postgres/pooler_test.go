package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core/store/postgres"
	"vaguemestre/core/store/postgres/pgtest"
)

// Behind a pooler that hands the one server connection from transaction to
// transaction, whoever holds it next inherits neither role nor tenant.
func TestSEC05_TransactionPoolerNeverMixesTenants(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	a, b := twoTowns(t, d)
	pooled := startPooler(t, d.URL)
	s, err := postgres.Open(t.Context(), pooled, postgres.RoleWorker, 4, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	interleave(t, s, a, b)
	inOneTrip(t, s, a, b)
	if err := s.Tx(t.Context(), a, func(pgx.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	c := connect(t, pooled)
	if left := query(t, c, "SELECT current_user::text, coalesce(current_setting('vaguemestre.tenant', true), '')"); left[0] != "vaguemestre " {
		t.Errorf("the server connection keeps %q", left)
	}
	d.URL = pooled // and the whole way of a deposit can be gone through it
	newTown(t, d, "c").file("1")
}

// startPooler runs PgBouncer, with one server connection, before the database of url
// and returns the way through it.
func startPooler(t *testing.T, direct string) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer" // not in the path of every account
	}
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	server := u.Query()
	dir, err := os.MkdirTemp("", "pooler") // short, and within reach of the server's account
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	settings := fmt.Sprintf("[databases]\n* = host=%s\n[pgbouncer]\nlisten_addr =\nunix_socket_dir = %s\nauth_type = trust\nauth_file = %s\n"+
		"pool_mode = transaction\ndefault_pool_size = 1\nmax_client_conn = 20\nlog_connections = 0\nlog_disconnections = 0\n", server.Get("host"), dir, filepath.Join(dir, "users"))
	for name, content := range map[string]string{"users": fmt.Sprintf("%q \"\"\n", server.Get("user")), "pooler.ini": settings} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var said bytes.Buffer
	cmd := exec.Command(program, filepath.Join(dir, "pooler.ini"))
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: ownerOf(t, server.Get("host"))}
	if c := cmd.SysProcAttr.Credential; c != nil {
		if err := os.Chown(dir, int(c.Uid), int(c.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("pooler: %s", said.String())
		}
	})
	// Statements prepared on one server connection are not there on the next.
	u.RawQuery = url.Values{"host": {dir}, "port": {"6432"}, "user": {server.Get("user")}, "default_query_exec_mode": {"cache_describe"}}.Encode()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := pgx.Connect(t.Context(), u.String())
		if err == nil {
			_ = c.Close(context.Background())
			return u.String()
		}
		if time.Now().After(end) {
			t.Fatalf("pooler: %v", err)
		}
	}
}

// ownerOf is the account that may enter dir, when that is not ours: like the server,
// the pooler refuses to be root.
func ownerOf(t *testing.T, dir string) *syscall.Credential {
	t.Helper()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(owner.Uid) == os.Geteuid() {
		return nil
	}
	return &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}
}
