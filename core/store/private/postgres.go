package private

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const postgresSocket = ".s.PGSQL.5432" // clients make it of the host and the port

// PostgresConfig says where a private PostgreSQL lives and how careful it is.
type PostgresConfig struct {
	Dir            string // data, socket and log lie below; made if missing
	Superuser      string // "vaguemestre" when empty; fixed when the data are first made
	Fsync          bool   // false only for tests: a loss of power then loses the data
	MaxConnections int    // 100 when 0
	Log            *slog.Logger
}

// Postgres is a running private PostgreSQL.
type Postgres struct {
	child     *child
	superuser string
}

// StartPostgres makes the data the first time (UTF-8, locale C, data checksums),
// ends a server that a killed process left on them, and returns once a query is
// answered. ctx bounds the start alone: after a kill the server first replays
// its log, which takes as long as there is log. From then on a server that falls
// is started again until Stop, and dies with this process.
//
// Anyone who can reach the socket is let in as any role: the directory is closed
// to every other account but root.
func StartPostgres(ctx context.Context, cfg PostgresConfig) (*Postgres, error) {
	return startPostgres(ctx, cfg, debianPrograms, spareRoot)
}

func startPostgres(ctx context.Context, cfg PostgresConfig, pattern, spare string) (*Postgres, error) {
	cfg.Superuser = cmp.Or(cfg.Superuser, "vaguemestre")
	cfg.MaxConnections = cmp.Or(cfg.MaxConnections, 100)
	programs, err := findPostgres(pattern, 0)
	if err != nil {
		return nil, err
	}
	p, err := takePlace(ctx, cfg.Dir, spare, programs.server, postgresSocket, cfg.Log)
	if err != nil {
		return nil, fmt.Errorf("prepare PostgreSQL: %w", err)
	}
	c, err := cfg.child(p, programs, pattern)
	if err != nil {
		p.leave()
		return nil, fmt.Errorf("prepare PostgreSQL: %w", err)
	}
	if err := c.start(ctx); err != nil {
		c.leave()
		return nil, err
	}
	return &Postgres{child: c, superuser: cfg.Superuser}, nil
}

// child readies data and log and says how the server is run on them.
func (cfg PostgresConfig) child(p *place, programs postgresPrograms, pattern string) (*child, error) {
	socket := filepath.Join(p.sockets, postgresSocket)
	clear := func() error {
		if err := endOrphans(p.dir, syscall.SIGQUIT, "postgres", "initdb"); err != nil {
			return err
		}
		return errors.Join(dropStalePID(filepath.Join(p.data(), "postmaster.pid"), p.dir), dropStalePID(socket+".lock", p.dir))
	}
	if err := clear(); err != nil {
		return nil, err
	}
	major, err := dataVersion(p.data())
	switch {
	case err != nil:
		return nil, err
	case major == 0:
		err = cfg.initialise(p, programs.initdb)
	case major != programs.major:
		programs, err = findPostgres(pattern, major)
	}
	if err != nil {
		return nil, err
	}
	out, err := openLog(filepath.Join(p.dir, "server.log"), maxLog)
	if err != nil {
		return nil, err
	}
	return &child{
		name: "PostgreSQL", place: p, log: cfg.Log, out: out, clear: clear,
		command: func() *exec.Cmd { return cfg.command(p, programs.server) },
		ping:    func(ctx context.Context) error { return pingPostgres(ctx, socket, cfg.Superuser) },
		halt:    syscall.SIGINT,  // "fast": clients are disconnected, a checkpoint is written
		abort:   syscall.SIGQUIT, // "immediate": what is committed is replayed from the log
	}, nil
}

// dataVersion is the major version that made the data, 0 when there are none.
func dataVersion(data string) (int, error) {
	b, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

// initialise makes the data beside their place and moves them there whole: an
// initdb cut short leaves nothing that looks like data.
func (cfg PostgresConfig) initialise(p *place, initdb string) error {
	unfinished := p.data() + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	if err := p.own(unfinished); err != nil {
		return err
	}
	args := []string{"--pgdata", unfinished, "--username", cfg.Superuser, "--auth=trust",
		"--encoding=UTF8", "--locale=C", "--data-checksums", "--no-instructions"}
	if !cfg.Fsync {
		args = append(args, "--no-sync")
	}
	if _, err := p.run(exec.Command(initdb, args...)); err != nil {
		return err
	}
	// initdb also lets TCP in: there is none, and there shall be none.
	if err := os.WriteFile(filepath.Join(unfinished, "pg_hba.conf"), []byte("local all all trust\n"), 0o600); err != nil {
		return err
	}
	if err := os.Rename(unfinished, p.data()); err != nil || !cfg.Fsync {
		return err
	}
	dir, err := os.Open(p.dir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// command runs the server with every setting we rely on given on the command
// line, where neither an older postgresql.conf nor ALTER SYSTEM can change it.
func (cfg PostgresConfig) command(p *place, server string) *exec.Cmd {
	settings := []string{
		"listen_addresses=", "port=5432", "unix_socket_directories=" + p.sockets, "unix_socket_permissions=0700",
		"cluster_name=vaguemestre", "timezone=UTC", "log_timezone=UTC",
		"max_connections=" + strconv.Itoa(cfg.MaxConnections), "shared_buffers=128MB", "jit=off",
		// Plans made while a fresh table was empty are made anew once it is analysed.
		"autovacuum_naptime=5s",
		"full_page_writes=" + onOff(cfg.Fsync), "fsync=" + onOff(cfg.Fsync), "synchronous_commit=" + onOff(cfg.Fsync),
		// SEC-29: no value of a row or a statement may enter the server's log. In
		// log_min_messages "log" ranks above "error": the client gets its error,
		// whose text may quote a value, and the log does not. Terse drops the
		// details of what remains, such as the statement a killed backend ran.
		"logging_collector=off", "log_destination=stderr", "log_line_prefix=%m [%p] ", "log_min_messages=log", "log_error_verbosity=terse",
		"log_min_error_statement=panic", "log_statement=none", "log_min_duration_statement=-1", "log_min_duration_sample=-1",
		"log_parameter_max_length=0", "log_parameter_max_length_on_error=0", "log_checkpoints=off", "log_autovacuum_min_duration=-1",
	}
	args := []string{"-D", p.data()}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	return p.serve(server, args...)
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// URL is where user finds database, for pgx and for psql. An empty user is the
// superuser. The database "postgres" always exists.
func (p *Postgres) URL(user, database string) string {
	query := url.Values{"host": {p.child.place.sockets}, "user": {cmp.Or(user, p.superuser)}}
	return (&url.URL{Scheme: "postgres", Path: "/" + database, RawQuery: query.Encode()}).String()
}

// Restart ends the server without a checkpoint and returns once it answers again, for tests of
// such faults. Connections break; what was committed is there if Fsync is on.
func (p *Postgres) Restart(ctx context.Context) error { return p.child.restart(ctx, syscall.SIGQUIT) }

// Stop disconnects the clients, writes everything down and ends the server for
// good. When ctx is over the server is forced and that is an error, though no
// loss: the next start replays its log. A repeat is harmless.
func (p *Postgres) Stop(ctx context.Context) error { return p.child.end(ctx) }
