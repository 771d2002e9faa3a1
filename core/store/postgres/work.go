package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
)

// open names the non-final states of a noun: a row in one of them is work to do.
func open(n core.Noun) (table, states string, err error) {
	switch n {
	case core.NounDeposit:
		return "deposit", "state = 'received'", nil
	case core.NounPiece:
		return "piece", "state IN ('waiting','examined','recognised')", nil
	case core.NounReport:
		return "report", "state = 'received'", nil
	}
	return "", "", fmt.Errorf("no such noun: %q", n)
}

// Due names the rows that stand in a non-final state, are leased to nobody and whose
// next attempt is due, longest waiting first. Leases and attempts are timed by the
// database's clock, so that hosts need not agree on theirs.
func (s *Store) Due(ctx context.Context, tenant core.TenantID, limit int) ([]core.Step, error) {
	var steps []core.Step
	err := s.tx(ctx, tenant, func(tx pgx.Tx) error {
		for _, noun := range []core.Noun{core.NounDeposit, core.NounPiece, core.NounReport} {
			table, states, _ := open(noun)
			rows, err := tx.Query(ctx, `
				SELECT id, attempts FROM `+table+`
				WHERE tenant_id = $1 AND `+states+` AND next_at <= clock_timestamp()
				  AND (lease_until IS NULL OR lease_until <= clock_timestamp())
				ORDER BY next_at LIMIT $2`, tenant, limit)
			if err != nil {
				return err
			}
			found, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (core.Step, error) {
				step := core.Step{Tenant: tenant, Noun: noun}
				return step, r.Scan(&step.ID, &step.Attempt)
			})
			if err != nil {
				return err
			}
			steps = append(steps, found...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find due work: %w", err)
	}
	return steps, nil
}

// Claim counts the attempt and takes the lease for ttl before any work is done. The
// lease's Attempt includes this one. core.ErrNotDue when there is nothing to do now.
func (s *Store) Claim(ctx context.Context, step core.Step, ttl time.Duration) (core.Lease, error) {
	table, states, err := open(step.Noun)
	if err != nil {
		return core.Lease{}, err
	}
	lease := core.Lease{Step: step}
	err = s.tx(ctx, step.Tenant, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `
			UPDATE `+table+` SET attempts = attempts + 1, lease_token = lease_token + 1,
			       lease_until = clock_timestamp() + $3::interval
			WHERE tenant_id = $1 AND id = $2 AND `+states+` AND next_at <= clock_timestamp()
			  AND (lease_until IS NULL OR lease_until <= clock_timestamp())
			RETURNING lease_token, attempts, lease_until`, step.Tenant, step.ID, ttl).
			Scan(&lease.Token, &lease.Attempt, &lease.Until)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return core.Lease{}, core.ErrNotDue
	}
	if err != nil {
		return core.Lease{}, fmt.Errorf("claim %s %s: %w", step.Noun, step.ID, err)
	}
	return lease, nil
}

// Renew prolongs a lease that still holds; core.ErrStale when it does not.
func (s *Store) Renew(ctx context.Context, lease core.Lease, ttl time.Duration) error {
	return s.settle(ctx, lease, nil, `lease_until = clock_timestamp() + $4::interval`, ttl)
}

// Settle writes what an attempt that did not finish its row leaves behind, and gives
// the lease back. core.ErrStale when the lease has passed on.
func (s *Store) Settle(ctx context.Context, lease core.Lease, o core.Outcome) error {
	state := ""
	switch {
	case o.Refused:
		state = "refused"
	case o.Failed:
		state = "failed"
	}
	told := func(tx pgx.Tx) error {
		if err := postLetters(ctx, tx, o.Letters, s.now()); err != nil || state == "" || lease.Noun != core.NounPiece {
			return err
		}
		return resultDue(ctx, tx, lease.Tenant, lease.ID, s.now())
	}
	return s.settle(ctx, lease, told, `lease_until = NULL, reason = nullif($4, ''), sentence = nullif($7, ''),
		state = coalesce(nullif($5, ''), state), next_at = clock_timestamp() + $6::interval,
		attempts = attempts - CASE WHEN $8 THEN 1 ELSE 0 END`,
		o.Code, state, o.RetryIn, o.Sentence, o.Uncounted)
}

func (s *Store) settle(ctx context.Context, lease core.Lease, then func(pgx.Tx) error, set string, args ...any) error {
	table, states, err := open(lease.Noun)
	if err != nil {
		return err
	}
	err = s.tx(ctx, lease.Tenant, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE `+table+` SET `+set+`
			WHERE tenant_id = $1 AND id = $2 AND lease_token = $3 AND lease_until > clock_timestamp() AND `+states,
			append([]any{lease.Tenant, lease.ID, lease.Token}, args...)...)
		if err == nil && tag.RowsAffected() == 0 {
			err = core.ErrStale
		}
		if err == nil && then != nil {
			err = then(tx)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("settle %s %s: %w", lease.Noun, lease.ID, err)
	}
	return nil
}

// holds returns core.ErrStale unless the lease still holds; it locks the row.
func holds(ctx context.Context, tx pgx.Tx, lease core.Lease) error {
	table, _, err := open(lease.Noun)
	if err != nil {
		return err
	}
	var n int
	err = tx.QueryRow(ctx, `SELECT 1 FROM `+table+`
		WHERE tenant_id = $1 AND id = $2 AND lease_token = $3 AND lease_until > clock_timestamp()
		FOR UPDATE`, lease.Tenant, lease.ID, lease.Token).Scan(&n)
	if errors.Is(err, pgx.ErrNoRows) {
		return core.ErrStale
	}
	return err
}
