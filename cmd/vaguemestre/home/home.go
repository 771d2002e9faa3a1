// Package home keeps the embedded home: one folder with a private PostgreSQL, a private
// Redis, the blobs, the keys and the compiled sandbox, for a process that was told of
// no servers of its own.
package home

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"vaguemestre/core/store/postgres"
	"vaguemestre/core/store/private"
)

// Home is a folder held by this process alone.
type Home struct {
	dir  string
	lock *os.File
	log  *slog.Logger

	postgres *private.Postgres
	redis    *private.Redis
}

// ErrInUse: another process serves this home.
var ErrInUse = errors.New("another vaguemestre serves this home")

// Open takes the folder, making it when missing. Others may pass through it, or the
// servers' own account could not reach its data when started by root; they may list and
// read nothing in it.
func Open(dir string, log *slog.Logger) (*Home, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("home: %w", err)
	}
	for _, d := range []struct {
		path string
		mode os.FileMode
	}{{dir, 0o711}, {filepath.Join(dir, "keys"), 0o700}, {filepath.Join(dir, "cache"), 0o700}} {
		if err := os.MkdirAll(d.path, d.mode); err != nil {
			return nil, fmt.Errorf("home: %w", err)
		}
		if err := os.Chmod(d.path, d.mode); err != nil {
			return nil, fmt.Errorf("home: %w", err)
		}
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("home: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("%w: %s", ErrInUse, dir)
	}
	return &Home{dir: dir, lock: lock, log: log}, nil
}

// Paths of what lies in a home.
func (h *Home) Blobs() string    { return filepath.Join(h.dir, "blobs") }
func (h *Home) KEK() string      { return filepath.Join(h.dir, "keys", "kek.json") }
func (h *Home) IndexKey() string { return filepath.Join(h.dir, "keys", "index.key") }
func (h *Home) Secrets() string  { return filepath.Join(h.dir, "keys", "secrets.key") }
func (h *Home) ACME() string     { return ACME(h.dir) }
func (h *Home) Cache() string    { return filepath.Join(h.dir, "cache") }
func (h *Home) Socket() string   { return Socket(h.dir) }

// ACME is where a home keeps what an ACME authority gave it.
func ACME(dir string) string { return filepath.Join(dir, "keys", "acme") }

// Socket is where the process that serves a home listens for commands.
func Socket(dir string) string { return filepath.Join(dir, "control.sock") }

const database = "vaguemestre"

// Database starts the private PostgreSQL and returns how it is reached. After a kill
// -9 it recovers first.
func (h *Home) Database(ctx context.Context) (postgres.Access, error) {
	server, err := private.StartPostgres(ctx, private.PostgresConfig{
		Dir: filepath.Join(h.dir, "postgres"), Superuser: postgres.Superuser, Fsync: true, Log: h.log,
	})
	if err != nil {
		return postgres.Access{}, fmt.Errorf("private PostgreSQL: %w", err)
	}
	h.postgres = server
	return postgres.Found(ctx, server.URL, database)
}

// Redis starts the private Redis and returns its URL.
func (h *Home) Redis(ctx context.Context) (string, error) {
	r, err := private.StartRedis(ctx, private.RedisConfig{Dir: filepath.Join(h.dir, "redis"), AppendOnly: true, Log: h.log})
	if err != nil {
		return "", fmt.Errorf("private Redis: %w", err)
	}
	h.redis = r
	return r.URL(), nil
}

// Close stops the private servers and gives the folder back.
func (h *Home) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var errs []error
	if h.redis != nil {
		errs = append(errs, h.redis.Stop(ctx))
	}
	if h.postgres != nil {
		errs = append(errs, h.postgres.Stop(ctx))
	}
	errs = append(errs, h.lock.Close())
	return errors.Join(errs...)
}
