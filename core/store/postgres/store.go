// Package postgres holds every line of SQL. A method is one transaction; no
// transaction leaves the package.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"vaguemestre/core"
	"vaguemestre/migrations"
)

// Role is a process role; its group role in the database says what it may do.
type Role string

// Process roles.
const (
	RoleSMTP      Role = "smtp"
	RoleHTTP      Role = "http"
	RoleWorker    Role = "worker"
	RoleScheduler Role = "scheduler"
	RoleMailer    Role = "mailer"
	RoleKeeper    Role = "keeper"
	RoleIMAP      Role = "imap"
)

// Store serves the jobs under one process role.
type Store struct {
	pool     *pgxpool.Pool
	role     Role
	now      func() time.Time
	deposits arrivals
}

// Open connects under a role. Every transaction takes the role's group role and its
// tenant for itself alone (SEC-05), so that a transaction pooler may stand between.
// It fails when the database would let this login pass row-level security, or loses
// commits.
func Open(ctx context.Context, url string, role Role, conns int32, now func() time.Time) (*Store, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("database URL is malformed") // pgx would quote it, password included
	}
	cfg.MaxConns = conns
	cfg.ConnConfig.RuntimeParams["application_name"] = "vaguemestre-" + string(role)
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	s := &Store{pool: pool, role: role, now: now}
	if err := s.safe(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return s, nil
}

// safe refuses a login that could read across tenants, and a server that
// acknowledges commits it may lose (REL-01).
func (s *Store) safe(ctx context.Context) error {
	err := s.tx(ctx, "", func(tx pgx.Tx) error {
		var passes, migrated bool
		var fsync, sync string
		err := tx.QueryRow(ctx, `
			SELECT EXISTS (SELECT 1 FROM pg_roles WHERE (rolsuper OR rolbypassrls) AND pg_has_role(session_user, oid, 'MEMBER'))
			    OR EXISTS (SELECT 1 FROM pg_class WHERE relrowsecurity AND pg_has_role(session_user, relowner, 'MEMBER')),
			       to_regclass('public.journal') IS NOT NULL,
			       current_setting('fsync'), current_setting('synchronous_commit')`).Scan(&passes, &migrated, &fsync, &sync)
		if err != nil {
			return fmt.Errorf("check login: %w", err)
		}
		if passes {
			return errors.New("the database login is, or may become, a superuser, a role with BYPASSRLS or the tables' owner, and could pass row-level security: give the application a login of its own")
		}
		if fsync != "on" || sync == "off" {
			return errors.New("the database runs without fsync or synchronous_commit: it could lose what was acknowledged")
		}
		if !migrated {
			return errNotMigrated
		}
		return nil
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == "42501" || pg.Code == "22023") { // the role is not ours to take, or not there
		return errNotMigrated
	}
	return err
}

var errNotMigrated = errors.New("the database was not migrated for this login: start once with VAGUEMESTRE_DATABASE_OWNER_URL set")

// Close ends all connections.
func (s *Store) Close() { s.pool.Close() }

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.pool.Ping(ctx) }

// idleAtMost is how long a transaction may wait for its next statement, in ms. Ours
// compute nothing in between; one that waits belongs to a process that was stopped or
// whose host is gone, and would hold its rows' locks until the network noticed.
const idleAtMost = "10000"

// tx runs f in one transaction as the store's role, seeing the tenant's rows alone.
func (s *Store) tx(ctx context.Context, tenant core.TenantID, f func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SELECT set_config('role', $1, true), set_config('vaguemestre.tenant', $2, true),
			set_config('idle_in_transaction_session_timeout', $3, true)`,
			"vaguemestre_"+string(s.role), string(tenant), idleAtMost)
		if err != nil {
			return fmt.Errorf("take role %s: %w", s.role, err)
		}
		return f(tx)
	})
}

// once runs a transaction whose statements are all known beforehand, in one round trip:
// sent together, they are one transaction, committed when they all went well, and nil
// says so. Role and tenant are set as tx sets them. It cannot stand idle in between.
func (s *Store) once(ctx context.Context, tenant core.TenantID, queue func(*pgx.Batch)) error {
	b := &pgx.Batch{}
	b.Queue(`SELECT set_config('role', $1, true), set_config('vaguemestre.tenant', $2, true)`, "vaguemestre_"+string(s.role), string(tenant))
	queue(b)
	return s.pool.SendBatch(ctx, b).Close()
}

// one turns "no rows" into core.ErrNotFound.
func one(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return core.ErrNotFound
	}
	return err
}

// isUnique reports a violated unique constraint.
func isUnique(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505"
}

// Migrate brings the schema up to date as the owner, and lets login act under every
// process role. A repeat changes nothing, and processes that start together take turns.
func Migrate(ctx context.Context, ownerURL, login string) error {
	cfg, err := pgx.ParseConfig(ownerURL)
	if err != nil {
		return errors.New("owner's database URL is malformed")
	}
	db := stdlib.OpenDB(*cfg)
	defer db.Close()
	turn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	defer turn.Close()
	// The lock is that of a session, which ends with db: no pooler may stand before it.
	if _, err := turn.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, int64(migrating)); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return grantRoles(ctx, db, login)
}

// migrating names the advisory lock of whoever migrates this database.
const migrating = 0x7661677565 // "vague"

func grantRoles(ctx context.Context, db *sql.DB, login string) error {
	for _, role := range []string{"smtp", "imap", "upload", "post", "http", "worker", "scheduler", "mailer", "keeper"} {
		var member bool
		if err := db.QueryRowContext(ctx, `SELECT pg_has_role($1, $2, 'MEMBER')`, login, "vaguemestre_"+role).Scan(&member); err != nil {
			return fmt.Errorf("role %s: %w", role, err)
		}
		if member {
			continue
		}
		if _, err := db.ExecContext(ctx, fmt.Sprintf(`GRANT vaguemestre_%s TO %s`, role, pgx.Identifier{login}.Sanitize())); err != nil {
			return fmt.Errorf("grant role %s: %w", role, err)
		}
	}
	return nil
}

// Tenants lists all tenants; it is the one list outside row-level security.
func (s *Store) Tenants(ctx context.Context) ([]core.TenantID, error) {
	var ids []core.TenantID
	err := s.tx(ctx, "", func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT id FROM tenant ORDER BY created_at, id`)
		if err != nil {
			return err
		}
		ids, err = pgx.CollectRows(rows, pgx.RowTo[core.TenantID])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	return ids, nil
}

// Login is the user a database URL names.
func Login(url string) (string, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return "", errors.New("database URL is malformed")
	}
	return cfg.User, nil
}
