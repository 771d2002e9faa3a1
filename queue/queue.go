// Package queue owns the bell: it tells a worker that a row has work to do, and
// rings again for rows left standing. PostgreSQL is the truth; whatever is in
// Redis may be lost at any instant and is rung again by the Sweeper. Only opaque
// identifiers enter Redis: never a name, never the text of an error.
//
// A ring may be lost, late or doubled. Whoever is woken claims the row first and
// finds nothing due when the ring was one too many.
package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Config is what an installation may choose. Zero values take the defaults.
type Config struct {
	// URL of the Redis: redis://, rediss:// (TLS), unix:///path?db=0,
	// redis-sentinel:// or redis-cluster:// (rediss-… with TLS). User and password
	// go before the host, options in the query as go-redis names them. Sentinel
	// needs ?master_name=…, and &username=…&password=… for the Redis behind it;
	// further nodes are added with &addr=host:port.
	URL          string
	Concurrency  int           // steps one Worker runs at once; default: one per processor
	PollInterval time.Duration // how often an idle Worker looks, on average; default 20 ms
	SweepEvery   time.Duration // default 10 s: what is lost is rung again well within 60 s (REL-06)
}

const (
	dialTimeout = 2 * time.Second
	ioTimeout   = 3 * time.Second
)

// Redis is the connection Bell, Sweeper and Worker share. It connects when first
// used and reconnects by itself.
type Redis struct {
	cfg    Config
	client redis.UniversalClient
}

// Open checks cfg; it does not need Redis to be there. Close releases the
// connections. What go-redis itself has to say goes to log, for this is the only
// package that uses it.
func Open(cfg Config, log *slog.Logger) (*Redis, error) {
	client, err := connect(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("open queue: %w", err)
	}
	redis.SetLogger(driverLog{log})
	return &Redis{cfg, client}, nil
}

// Close releases the connections. Bell, Sweeper and Worker must have ended.
func (r *Redis) Close() error { return r.client.Close() }

// Ping reports whether Redis answers.
func (r *Redis) Ping(ctx context.Context) error {
	if err := r.client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("ping queue: %w", err)
	}
	return nil
}

// Depth is how many rings of one lane wait and how many steps run. Work that
// nobody was rung for yet is not in it: PostgreSQL knows that.
type Depth struct {
	Lane    string
	Pending int64
	Active  int64
}

// Depth measures every lane.
func (r *Redis) Depth(ctx context.Context) ([]Depth, error) {
	var pending, active [len(lanes)]*redis.IntCmd
	_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, lane := range lanes {
			pending[i] = p.LLen(ctx, key(lane, "pending"))
			active[i] = p.LLen(ctx, key(lane, "active"))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("measure queue: %w", err)
	}
	depths := make([]Depth, len(lanes))
	for i, lane := range lanes {
		depths[i] = Depth{lane, pending[i].Val(), active[i].Val()}
	}
	return depths, nil
}

// connect makes a client of any topology. Its errors never quote the URL, which
// may hold a password.
func connect(uri string) (redis.UniversalClient, error) {
	scheme, rest, _ := strings.Cut(uri, "://")
	kind, topology, _ := strings.Cut(scheme, "-")
	uri = kind + "://" + rest
	var client redis.UniversalClient
	var err error
	switch topology {
	case "":
		client, err = connectOne(uri)
	case "sentinel":
		client, err = connectSentinel(uri)
	case "cluster":
		client, err = connectCluster(uri)
	default:
		err = errors.New("unknown scheme")
	}
	if malformed := new(url.Error); errors.As(err, &malformed) {
		err = errors.New("malformed")
	}
	if err != nil {
		return nil, fmt.Errorf("read the redis URL: %w", err)
	}
	return client, nil
}

func connectOne(uri string) (redis.UniversalClient, error) {
	o, err := redis.ParseURL(uri)
	if err != nil {
		return nil, err
	}
	o.DialTimeout = cmp.Or(o.DialTimeout, dialTimeout)
	o.ReadTimeout = cmp.Or(o.ReadTimeout, ioTimeout)
	o.DialerRetries = cmp.Or(o.DialerRetries, 1) // a command is tried four times already
	o.ContextTimeoutEnabled = true
	o.DisableIdentity = true // says nothing of us, and older servers answer it with an error
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(o), nil
}

func connectSentinel(uri string) (redis.UniversalClient, error) {
	o, err := redis.ParseFailoverURL(uri)
	if err != nil {
		return nil, err
	}
	o.DialTimeout = cmp.Or(o.DialTimeout, dialTimeout)
	o.ReadTimeout = cmp.Or(o.ReadTimeout, ioTimeout)
	o.DialerRetries = cmp.Or(o.DialerRetries, 1) // a command is tried four times already
	o.ContextTimeoutEnabled = true
	o.DisableIdentity = true
	return redis.NewFailoverClient(o), nil
}

func connectCluster(uri string) (redis.UniversalClient, error) {
	o, err := redis.ParseClusterURL(uri)
	if err != nil {
		return nil, err
	}
	o.DialTimeout = cmp.Or(o.DialTimeout, dialTimeout)
	o.ReadTimeout = cmp.Or(o.ReadTimeout, ioTimeout)
	o.DialerRetries = cmp.Or(o.DialerRetries, 1) // a command is tried four times already
	o.ContextTimeoutEnabled = true
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClusterClient(o), nil
}

// driverLog receives what go-redis would print on standard error: each line
// repeats an error the caller is handed anyway.
type driverLog struct{ log *slog.Logger }

func (d driverLog) Printf(ctx context.Context, format string, args ...any) {
	d.log.DebugContext(ctx, "redis driver", "message", fmt.Sprintf(format, args...))
}
