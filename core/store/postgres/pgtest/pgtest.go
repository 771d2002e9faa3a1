// Package pgtest gives a test a database of its own on a real, private PostgreSQL.
package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core/store/postgres"
	"vaguemestre/core/store/private"
)

// Server is the PostgreSQL of one package's tests.
type Server struct {
	*private.Postgres
	mu sync.Mutex
}

var (
	start  sync.Once
	server Server
	failed error
)

const template = "vaguemestre_template"

// Main runs a package's tests and stops its server, for TestMain.
func Main(m *testing.M) {
	code := m.Run()
	if server.Postgres != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		_ = server.Stop(ctx)
		cancel()
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

var (
	dir    string
	access postgres.Access // to the template
)

// begin starts the server and migrates a template database, once a package.
func begin() error {
	ctx := context.Background()
	var err error
	if dir, err = os.MkdirTemp("", "pgtest"); err != nil {
		return err
	}
	p, err := private.StartPostgres(ctx, private.PostgresConfig{Dir: dir, Fsync: true, Superuser: postgres.Superuser, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	server.Postgres = p
	founded, err := postgres.Found(ctx, p.URL, template)
	if err != nil {
		return err
	}
	access = founded
	return postgres.Migrate(ctx, founded.OwnerURL, founded.Login)
}

func exec(ctx context.Context, url, query string) error {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	_, err = c.Exec(ctx, query)
	return err
}

// Database is one test's own.
type Database struct {
	URL       string // as the application's login
	SuperURL  string
	Server    *Server
	t         testing.TB
	now       func() time.Time
	closeOnce []*postgres.Store
}

// New makes a migrated database for the test and drops it at its end.
func New(t testing.TB) *Database {
	t.Helper()
	start.Do(func() { failed = begin() })
	if failed != nil {
		t.Fatalf("start PostgreSQL: %v", failed)
	}
	name := "t_" + fmt.Sprintf("%x", random())
	server.mu.Lock() // a template can be copied by one session at a time
	err := exec(context.Background(), server.URL(postgres.Superuser, "postgres"), "CREATE DATABASE "+name+" TEMPLATE "+template)
	server.mu.Unlock()
	if err != nil {
		t.Fatalf("create database: %v", err)
	}
	d := &Database{URL: server.URL(access.Login, name), SuperURL: server.URL(postgres.Superuser, name), Server: &server, t: t, now: time.Now}
	t.Cleanup(func() {
		for _, s := range d.closeOnce {
			s.Close()
		}
		_ = exec(context.Background(), server.URL(postgres.Superuser, "postgres"), "DROP DATABASE "+name+" WITH (FORCE)")
	})
	return d
}

// Clock makes stores opened afterwards take their dates from now.
func (d *Database) Clock(now func() time.Time) { d.now = now }

// Store opens the database under a process role.
func (d *Database) Store(role postgres.Role) *postgres.Store {
	d.t.Helper()
	s, err := postgres.Open(d.t.Context(), d.URL, role, 8, d.now)
	if err != nil {
		d.t.Fatalf("open store: %v", err)
	}
	d.closeOnce = append(d.closeOnce, s)
	return s
}

// Exec runs a statement as the superuser, past every rule.
func (d *Database) Exec(query string) {
	d.t.Helper()
	if err := exec(context.Background(), d.SuperURL, query); err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
}

// Text returns the first value of the first row as text, read as the superuser.
func (d *Database) Text(query string) string {
	d.t.Helper()
	c, err := pgx.Connect(context.Background(), d.SuperURL)
	if err != nil {
		d.t.Fatal(err)
	}
	defer c.Close(context.Background())
	var text string
	if err := c.QueryRow(context.Background(), "SELECT coalesce(("+query+")::text, '')").Scan(&text); err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
	return text
}

func random() []byte {
	b := make([]byte, 6)
	_, _ = rand.Read(b)
	return b
}
