package private

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os/exec"
	"path/filepath"
	"syscall"
)

const redisSocket = "redis.sock"

// RedisConfig says where a private Redis lives and whether it remembers.
type RedisConfig struct {
	Dir        string // data, socket and log lie below; made if missing
	AppendOnly bool   // keep the append-only file, synced every second
	Log        *slog.Logger
}

// Redis is a running private Redis.
type Redis struct {
	child  *child
	socket string
}

// StartRedis ends a server that a killed process left below cfg.Dir and returns
// once PING is answered, the append-only file loaded. ctx bounds the start alone.
// From then on a server that falls is started again until Stop, and ends with
// this process. There is no memory limit and nothing is ever evicted.
func StartRedis(ctx context.Context, cfg RedisConfig) (*Redis, error) {
	return startRedis(ctx, cfg, spareRoot)
}

func startRedis(ctx context.Context, cfg RedisConfig, spare string) (*Redis, error) {
	server, process, err := findRedis()
	if err != nil {
		return nil, err
	}
	p, err := takePlace(ctx, cfg.Dir, spare, server, redisSocket, cfg.Log)
	if err != nil {
		return nil, fmt.Errorf("prepare Redis: %w", err)
	}
	if err := p.own(p.data()); err != nil {
		p.leave()
		return nil, fmt.Errorf("prepare Redis: %w", err)
	}
	out, err := openLog(filepath.Join(p.dir, "server.log"), maxLog)
	if err != nil {
		p.leave()
		return nil, fmt.Errorf("prepare Redis: %w", err)
	}
	socket := filepath.Join(p.sockets, redisSocket)
	c := &child{
		name: "Redis", place: p, log: cfg.Log, out: out,
		clear:   func() error { return endOrphans(p.dir, syscall.SIGTERM, process) },
		command: func() *exec.Cmd { return cfg.command(p, server, socket) },
		ping:    func(ctx context.Context) error { return pingRedis(ctx, socket) },
		halt:    syscall.SIGTERM,
		abort:   syscall.SIGTERM, // it writes its file to the end and leaves within 0.1 s
	}
	if err := c.start(ctx); err != nil {
		c.leave()
		return nil, err
	}
	return &Redis{child: c, socket: socket}, nil
}

func (cfg RedisConfig) command(p *place, server, socket string) *exec.Cmd {
	appendOnly := "no"
	if cfg.AppendOnly {
		appendOnly = "yes"
	}
	return p.serve(server,
		"--port", "0", "--unixsocket", socket, "--unixsocketperm", "700", "--dir", p.data(), "--daemonize", "no",
		"--appendonly", appendOnly, "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction",
		"--loglevel", "notice", "--logfile", "", "--always-show-logo", "no")
}

// Socket is the path of the server's socket.
func (r *Redis) Socket() string { return r.socket }

// URL is where the server is found, as go-redis reads it.
func (r *Redis) URL() string { return (&url.URL{Scheme: "unix", Path: r.socket}).String() }

// Restart kills the server and returns once it answers again, for tests of such
// faults. Connections break; what it held is lost unless AppendOnly is on.
func (r *Redis) Restart(ctx context.Context) error { return r.child.restart(ctx, syscall.SIGKILL) }

// Stop writes the append-only file to its end and ends the server for good. When
// ctx is over it is forced, and that is an error. A repeat is harmless.
func (r *Redis) Stop(ctx context.Context) error { return r.child.end(ctx) }
