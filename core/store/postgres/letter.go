package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
)

// PostLetters commits orders of one tenant. A letter that was ordered before is left as
// it is.
func (s *Store) PostLetters(ctx context.Context, tenant core.TenantID, orders ...core.LetterOrder) error {
	err := s.tx(ctx, tenant, func(tx pgx.Tx) error { return postLetters(ctx, tx, orders, s.now()) })
	if err != nil {
		return fmt.Errorf("post letters: %w", err)
	}
	return nil
}

// postLetters writes orders in the transaction of what causes them. Orders for one
// recipient wait for one another at the count of that recipient's day.
func postLetters(ctx context.Context, tx pgx.Tx, orders []core.LetterOrder, at time.Time) error {
	for _, o := range orders {
		var written, counted int
		err := tx.QueryRow(ctx, `
			WITH written AS (
			  INSERT INTO letter (tenant_id, id, kind, citizen_id, object_id, once, counted, sealed, next_at, created_at)
			  VALUES ($1, $2, $3, nullif($4,'')::uuid, $5, $6, $7, $8, $9, $10)
			  ON CONFLICT (tenant_id, kind, object_id, once) DO NOTHING RETURNING tenant_id, counted),
			counted AS (
			  INSERT INTO letter_count (tenant_id, keyed_hash, n, day) SELECT tenant_id, counted, 1, $12::date FROM written WHERE counted IS NOT NULL AND $11 > 0
			  ON CONFLICT (tenant_id, keyed_hash) DO UPDATE SET n = letter_count.n + 1 WHERE letter_count.n < $11 RETURNING 1)
			SELECT (SELECT count(*) FROM written), (SELECT count(*) FROM counted)`,
			o.Tenant, o.ID, o.Kind, string(o.Vault), o.Object, o.Once, o.Address, o.Sealed, o.Due, at, o.Limit, at.UTC().Format(time.DateOnly)).
			Scan(&written, &counted)
		if err == nil && written > 0 && o.Address != nil && counted == 0 {
			err = oneTooMany(ctx, tx, o, at)
		}
		if err != nil {
			return fmt.Errorf("order %s: %w", o.Kind, err)
		}
	}
	return nil
}

// ForgetLetterCounts forgets how many letters went to whom on the days before a time, in
// every town.
func (s *Store) ForgetLetterCounts(ctx context.Context, before time.Time) error {
	err := s.eachTenant(ctx, func(tenant core.TenantID, tx pgx.Tx) (bool, error) {
		_, err := tx.Exec(ctx, `DELETE FROM letter_count WHERE tenant_id = $1 AND day < $2::date`, tenant, before.UTC().Format(time.DateOnly))
		return false, err
	})
	if err != nil && !errors.Is(err, core.ErrNotFound) {
		return fmt.Errorf("forget letter counts: %w", err)
	}
	return nil
}

// oneTooMany cancels a letter just ordered, and orders what takes its place.
func oneTooMany(ctx context.Context, tx pgx.Tx, o core.LetterOrder, at time.Time) error {
	_, err := tx.Exec(ctx, `UPDATE letter SET state = 'cancelled', code = 'daily_cap', settled_at = $3 WHERE tenant_id = $1 AND id = $2`, o.Tenant, o.ID, at)
	if err != nil || o.Instead == nil {
		return err
	}
	return postLetters(ctx, tx, []core.LetterOrder{*o.Instead}, at)
}

// ClaimLetters counts an attempt at up to n letters that are due and leases them for ttl,
// before any work is done. Tenants take turns: one with ten thousand letters due leaves
// the others their share. What nobody else claims goes to whoever has more. Of the tenants
// except, none is claimed and no attempt counted.
func (s *Store) ClaimLetters(ctx context.Context, n int, ttl time.Duration, except ...core.TenantID) ([]core.LetterLease, error) {
	tenants, err := s.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	tenants = slices.DeleteFunc(tenants, func(t core.TenantID) bool { return slices.Contains(except, t) })
	rand.Shuffle(len(tenants), func(i, j int) { tenants[i], tenants[j] = tenants[j], tenants[i] })
	var out []core.LetterLease
	for len(tenants) > 0 && len(out) < n {
		var more []core.TenantID // that used their share up
		for i, t := range tenants {
			share := (n - len(out) + len(tenants) - i - 1) / (len(tenants) - i)
			if share == 0 {
				break
			}
			got, err := s.claimLetters(ctx, t, share, ttl)
			if err != nil {
				return out, fmt.Errorf("claim letters: %w", err)
			}
			out = append(out, got...)
			if len(got) == share {
				more = append(more, t)
			}
		}
		tenants = more
	}
	return out, nil
}

func (s *Store) claimLetters(ctx context.Context, tenant core.TenantID, n int, ttl time.Duration) (out []core.LetterLease, err error) {
	err = s.tx(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			WITH due AS MATERIALIZED ( -- once: a subquery may be run again for every row, and lock more than the limit
			  SELECT id FROM letter WHERE tenant_id = $1 AND state = 'waiting' AND next_at <= $3
			    AND (lease_until IS NULL OR lease_until <= clock_timestamp())
			  ORDER BY next_at, id LIMIT $2 FOR UPDATE SKIP LOCKED)
			UPDATE letter l SET attempts = attempts + 1, lease_token = lease_token + 1, lease_until = clock_timestamp() + $4::interval,
			       first_at = coalesce(first_at, $3)
			FROM due WHERE l.tenant_id = $1 AND l.id = due.id
			RETURNING l.id, kind, coalesce(citizen_id::text,''), object_id, once, next_at, sealed, attempts, lease_token, lease_until, first_at`,
			tenant, n, s.now(), ttl)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (core.LetterLease, error) {
			l := core.LetterLease{LetterOrder: core.LetterOrder{Tenant: tenant}}
			return l, r.Scan(&l.ID, &l.Kind, &l.Vault, &l.Object, &l.Once, &l.Due, &l.Sealed, &l.Attempt, &l.Token, &l.Until, &l.First)
		})
		return err
	})
	return out, err
}

// RenewLetter prolongs a lease that still holds; core.ErrStale when it does not.
func (s *Store) RenewLetter(ctx context.Context, l core.LetterLease, ttl time.Duration) error {
	return s.settleLetter(ctx, l, `lease_until = clock_timestamp() + $4::interval`, ttl)
}

// SettleLetter writes how an attempt ended and gives the lease back; core.ErrStale when
// the lease has passed on, and then nothing was written.
func (s *Store) SettleLetter(ctx context.Context, l core.LetterLease, o core.LetterOutcome) error {
	return s.settleLetter(ctx, l, `state = $4, code = nullif($5,''), status = nullif($6,''), lease_until = NULL,
		next_at = CASE WHEN $4 = 'waiting' THEN $7::timestamptz + $8::interval ELSE next_at END,
		settled_at = CASE WHEN $4 = 'waiting' THEN NULL ELSE $7::timestamptz END`,
		string(o.State), o.Code, o.Status, s.now(), o.RetryIn)
}

func (s *Store) settleLetter(ctx context.Context, l core.LetterLease, set string, args ...any) error {
	err := s.tx(ctx, l.Tenant, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE letter SET `+set+`
			WHERE tenant_id = $1 AND id = $2 AND lease_token = $3 AND lease_until > clock_timestamp() AND state = 'waiting'`,
			append([]any{l.Tenant, l.ID, l.Token}, args...)...)
		if err == nil && tag.RowsAffected() == 0 {
			err = core.ErrStale
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("settle letter %s: %w", l.ID, err)
	}
	return nil
}

// LetterStatus notes what the recipient's server said of a letter that was sent:
// delivered, delayed or bounced. What is known to be lost stays so. core.ErrNotFound for
// a letter that is not there or was never sent.
func (s *Store) LetterStatus(ctx context.Context, tenant core.TenantID, id core.LetterID, o core.LetterOutcome) error {
	err := s.tx(ctx, tenant, func(tx pgx.Tx) error { return letterStatus(ctx, tx, tenant, id, o, s.now()) })
	if err != nil {
		return fmt.Errorf("status of letter %s: %w", id, err)
	}
	return nil
}

// letterStatus is LetterStatus in the transaction of what brought the news.
func letterStatus(ctx context.Context, tx pgx.Tx, tenant core.TenantID, id core.LetterID, o core.LetterOutcome, at time.Time) error {
	switch o.State {
	case core.LetterDelivered, core.LetterDelayed, core.LetterBounced:
	default:
		return fmt.Errorf("%w state %q: want delivered, delayed or bounced", core.ErrInvalid, o.State)
	}
	var sent bool
	err := tx.QueryRow(ctx, `SELECT state IN ('sent','delivered','delayed','bounced') FROM letter WHERE tenant_id = $1 AND id::text = $2`, tenant, string(id)).Scan(&sent)
	if err != nil || !sent {
		if err == nil || errors.Is(err, pgx.ErrNoRows) {
			err = core.ErrNotFound
		}
		return err
	}
	_, err = tx.Exec(ctx, `
		UPDATE letter SET state = $3, code = nullif($4,''), status = nullif($5,''), settled_at = $6
		WHERE tenant_id = $1 AND id::text = $2 AND (state IN ('sent','delayed') OR (state = 'delivered' AND $3 = 'bounced'))`,
		tenant, string(id), string(o.State), o.Code, o.Status, at)
	return err
}
