package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
	"vaguemestre/core/mailbox"
	"vaguemestre/core/tenant"
)

// AddMailbox commits a new mailbox.
func (s *Store) AddMailbox(ctx context.Context, m mailbox.Mailbox) error {
	settings, err := json.Marshal(m.Settings)
	if err != nil {
		return err
	}
	return s.tx(ctx, m.Tenant, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO mailbox (tenant_id, id, settings, enabled, created_at) VALUES ($1, $2, $3, $4, $5)`, m.Tenant, m.ID, settings, m.Enabled, m.Created)
		return err
	})
}

// ChangeMailbox lets change edit a mailbox, and makes it due.
func (s *Store) ChangeMailbox(ctx context.Context, t core.TenantID, id core.MailboxID, change func(*mailbox.Mailbox) error) error {
	return s.tx(ctx, t, func(tx pgx.Tx) error {
		m := mailbox.Mailbox{ID: id, Tenant: t}
		var raw []byte
		err := tx.QueryRow(ctx, `SELECT settings, enabled, created_at FROM mailbox WHERE tenant_id = $1 AND id = $2 FOR UPDATE`, t, id).Scan(&raw, &m.Enabled, &m.Created)
		if err != nil {
			return one(err)
		}
		if err := json.Unmarshal(raw, &m.Settings); err != nil {
			return fmt.Errorf("settings of mailbox %s: %w", id, err)
		}
		if err := change(&m); err != nil {
			return err
		}
		if raw, err = json.Marshal(m.Settings); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE mailbox SET settings = $3, enabled = $4, attempts = 0, next_at = '-infinity' WHERE tenant_id = $1 AND id = $2`, t, id, raw, m.Enabled)
		return err
	})
}

// RemoveMailbox forgets a mailbox, what was remembered of it, and its secret.
func (s *Store) RemoveMailbox(ctx context.Context, t core.TenantID, id core.MailboxID, secret tenant.Secret) error {
	return s.tx(ctx, t, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM mailbox WHERE tenant_id = $1 AND id = $2`, t, id)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return core.ErrNotFound
		}
		_, err = tx.Exec(ctx, `DELETE FROM tenant_secret WHERE tenant_id = $1 AND name = $2`, t, secret)
		return err
	})
}

// AskMailbox asks that a mailbox be tried now.
func (s *Store) AskMailbox(ctx context.Context, t core.TenantID, id core.MailboxID) (asked time.Time, err error) {
	err = s.tx(ctx, t, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `UPDATE mailbox SET asked_at = clock_timestamp(), next_at = '-infinity' WHERE tenant_id = $1 AND id = $2 RETURNING asked_at`, t, id).Scan(&asked)
	})
	return asked, one(err)
}

// MailboxStates shows a town's mailboxes, oldest first.
func (s *Store) MailboxStates(ctx context.Context, t core.TenantID) ([]mailbox.State, error) {
	var out []mailbox.State
	err := s.tx(ctx, t, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT id, settings, enabled, created_at, tried_at, succeeded_at, nullif(next_at, '-infinity'), coalesce(fault, ''), waiting,
			       coalesce(lease_until > clock_timestamp(), false), coalesce(refused, 0), coalesce(failed, 0), coalesce(codes, '{}')
			FROM mailbox b LEFT JOIN LATERAL (
			  SELECT count(*) FILTER (WHERE handling = 'refused') AS refused, count(*) FILTER (WHERE handling = 'failed') AS failed, array_agg(DISTINCT code) AS codes
			  FROM mailbox_message WHERE tenant_id = $1 AND mailbox_id = b.id AND handling <> 'taken') m ON true
			WHERE tenant_id = $1 ORDER BY created_at, id`, t)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (m mailbox.State, err error) {
			var raw []byte
			m.Tenant = t
			err = r.Scan(&m.ID, &raw, &m.Enabled, &m.Created, &m.Tried, &m.Succeeded, &m.Next, &m.Fault, &m.Waiting, &m.Polled, &m.Refused, &m.Failed, &m.Codes)
			if err == nil {
				err = json.Unmarshal(raw, &m.Settings)
			}
			return m, err
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list mailboxes: %w", err)
	}
	return out, nil
}

// Mailboxes lists the mailboxes of all towns that are emptied, or that somebody wants
// tried.
func (s *Store) Mailboxes(ctx context.Context) ([]mailbox.Mailbox, error) {
	tenants, err := s.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	var out []mailbox.Mailbox
	for _, t := range tenants {
		err := s.once(ctx, t, func(b *pgx.Batch) {
			b.Queue(`
				SELECT id, settings, enabled, created_at, asked_at IS NOT NULL AND (tried_at IS NULL OR tried_at < asked_at), next_at <= clock_timestamp()
				FROM mailbox WHERE tenant_id = $1 AND (enabled OR asked_at IS NOT NULL AND (tried_at IS NULL OR tried_at < asked_at))
				ORDER BY created_at, id`, t).Query(func(rows pgx.Rows) error {
				found, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (m mailbox.Mailbox, err error) {
					var raw []byte
					m.Tenant = t
					if err = r.Scan(&m.ID, &raw, &m.Enabled, &m.Created, &m.Asked, &m.Due); err == nil {
						err = json.Unmarshal(raw, &m.Settings)
					}
					return m, err
				})
				out = append(out, found...)
				return err
			})
		})
		if err != nil {
			return nil, fmt.Errorf("list mailboxes: %w", err)
		}
	}
	return out, nil
}

// LeaseMailbox takes a mailbox for ttl; core.ErrNotDue when another poller holds it, or
// it is to rest after a fault. Leases are timed by the database's clock.
func (s *Store) LeaseMailbox(ctx context.Context, t core.TenantID, id core.MailboxID, ttl time.Duration) (mailbox.Lease, error) {
	lease := mailbox.Lease{Tenant: t, ID: id}
	err := s.tx(ctx, t, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `
			UPDATE mailbox SET lease_token = lease_token + 1, lease_until = clock_timestamp() + $3::interval
			WHERE tenant_id = $1 AND id = $2 AND next_at <= clock_timestamp() AND (lease_until IS NULL OR lease_until <= clock_timestamp())
			RETURNING lease_token, attempts`, t, id, ttl).Scan(&lease.Token, &lease.Attempts)
	})
	if noRows(err) {
		return lease, core.ErrNotDue
	}
	if err != nil {
		return lease, fmt.Errorf("lease mailbox %s: %w", id, err)
	}
	return lease, nil
}

// RenewMailbox prolongs a lease that still holds; core.ErrStale.
func (s *Store) RenewMailbox(ctx context.Context, lease mailbox.Lease, ttl time.Duration) error {
	return s.fenced(ctx, lease, `lease_until = clock_timestamp() + $4::interval`, ttl)
}

// ReleaseMailbox gives a lease back; core.ErrStale.
func (s *Store) ReleaseMailbox(ctx context.Context, lease mailbox.Lease) error {
	return s.fenced(ctx, lease, `lease_until = NULL`)
}

// SettleMailbox notes what a poll left behind; core.ErrStale.
func (s *Store) SettleMailbox(ctx context.Context, lease mailbox.Lease, p mailbox.Progress) error {
	return s.fenced(ctx, lease, `tried_at = clock_timestamp(), waiting = $4, fault = nullif($5, ''),
		succeeded_at = CASE WHEN $5 = '' THEN clock_timestamp() ELSE succeeded_at END,
		next_at = CASE WHEN $5 = '' THEN '-infinity' ELSE clock_timestamp() + $6::interval END, attempts = $7`, p.Waiting, p.Fault, p.RetryIn, p.Attempts)
}

func (s *Store) fenced(ctx context.Context, lease mailbox.Lease, set string, args ...any) error {
	err := s.tx(ctx, lease.Tenant, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE mailbox SET `+set+` WHERE tenant_id = $1 AND id = $2 AND lease_token = $3 AND lease_until > clock_timestamp()`,
			append([]any{lease.Tenant, lease.ID, lease.Token}, args...)...)
		if err == nil && tag.RowsAffected() == 0 {
			err = core.ErrStale
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("mailbox %s: %w", lease.ID, err)
	}
	return nil
}

// GenericAddress is a town's generic address; core.ErrNotFound when it has none.
func (s *Store) GenericAddress(ctx context.Context, t core.TenantID) (core.Address, error) {
	a := core.Address{Tenant: t}
	err := s.tx(ctx, t, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT id FROM generic_address WHERE tenant_id = $1 AND revoked_at IS NULL`, t).Scan(&a.ID)
	})
	return a, one(err)
}
