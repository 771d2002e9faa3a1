package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
	"vaguemestre/core/access"
)

// Record appends an access to its chain and commits. An access under a lease that
// has passed on is refused with core.ErrStale and leaves no entry.
func (s *Store) Record(ctx context.Context, a core.Access) error {
	err := s.tx(ctx, a.Tenant, func(tx pgx.Tx) error {
		if a.Lease != nil {
			if err := leased(ctx, tx, *a.Lease); err != nil {
				return err
			}
		}
		return record(ctx, tx, a, s.now())
	})
	if err != nil {
		return fmt.Errorf("record %s: %w", a.Act, err)
	}
	return nil
}

// leased is holds without locking the row: the keeper may read leases, not write them.
func leased(ctx context.Context, tx pgx.Tx, lease core.Lease) error {
	table, _, err := open(lease.Noun)
	if err != nil {
		return err
	}
	var n int
	err = tx.QueryRow(ctx, `SELECT 1 FROM `+table+`
		WHERE tenant_id = $1 AND id = $2 AND lease_token = $3 AND lease_until > clock_timestamp()`,
		lease.Tenant, lease.ID, lease.Token).Scan(&n)
	if errors.Is(err, pgx.ErrNoRows) {
		return core.ErrStale
	}
	return err
}

// record appends to the chain; the head's lock keeps entries in one order.
func record(ctx context.Context, tx pgx.Tx, a core.Access, at time.Time) error {
	return recordSealed(ctx, tx, a, nil, at)
}

// recordSealed is record for an entry that says more of persons, in a box of the vault.
func recordSealed(ctx context.Context, tx pgx.Tx, a core.Access, sealed []byte, at time.Time) error {
	chain := access.Chain(a, at)
	var seq int64
	var hash []byte
	head := func() error {
		return tx.QueryRow(ctx, `SELECT seq, hash FROM journal_head WHERE tenant_id = $1 AND chain = $2 FOR UPDATE`,
			a.Tenant, chain).Scan(&seq, &hash)
	}
	err := head()
	if errors.Is(err, pgx.ErrNoRows) {
		_, err = tx.Exec(ctx, `INSERT INTO journal_head (tenant_id, chain, seq, hash) VALUES ($1, $2, 0, '') ON CONFLICT DO NOTHING`, a.Tenant, chain)
		if err == nil {
			err = head()
		}
	}
	if err != nil {
		return fmt.Errorf("journal head: %w", err)
	}
	if seq == 0 {
		hash = nil
	}
	e := access.LinkSealed(a, sealed, at, seq, hash)
	_, err = tx.Exec(ctx, `
		INSERT INTO journal (tenant_id, chain, seq, at, actor, act, purpose, object, sealed, prev, hash)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		e.Tenant, e.Chain, e.Seq, e.At, e.Actor, e.Act, e.Purpose, e.Object, e.Sealed, e.Prev, e.Hash)
	if err != nil {
		return fmt.Errorf("journal entry: %w", err)
	}
	_, err = tx.Exec(ctx, `UPDATE journal_head SET seq = $3, hash = $4 WHERE tenant_id = $1 AND chain = $2`,
		e.Tenant, e.Chain, e.Seq, e.Hash)
	if err != nil {
		return fmt.Errorf("journal head: %w", err)
	}
	return nil
}

// VerifyJournal walks every chain of the tenant and returns the first thing that is
// wrong with each broken one, and the number of entries read. A vault without a chain
// counts as broken. The error is for accidents.
func (s *Store) VerifyJournal(ctx context.Context, tenant core.TenantID) (broken []error, entries int, err error) {
	err = s.tx(ctx, tenant, func(tx pgx.Tx) error {
		heads, err := heads(ctx, tx, tenant)
		if err != nil {
			return err
		}
		seen := map[string]*access.Verifier{}
		bad := map[string]bool{}
		rows, err := tx.Query(ctx, `
			SELECT tenant_id, chain, seq, at, actor, act, purpose, object, sealed, prev, hash
			FROM journal WHERE tenant_id = $1 ORDER BY chain, seq`, tenant)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var e access.Entry
			if err := rows.Scan(&e.Tenant, &e.Chain, &e.Seq, &e.At, &e.Actor, &e.Act, &e.Purpose, &e.Object, &e.Sealed, &e.Prev, &e.Hash); err != nil {
				return err
			}
			entries++
			v := seen[e.Chain]
			if v == nil {
				v = &access.Verifier{}
				seen[e.Chain] = v
			}
			if err := v.Next(e); err != nil && !bad[e.Chain] {
				bad[e.Chain] = true
				broken = append(broken, err)
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for chain, h := range heads {
			v := seen[chain]
			if v == nil {
				v = &access.Verifier{}
			}
			if err := v.End(chain, h.seq, h.hash); err != nil && !bad[chain] {
				broken = append(broken, err)
			}
			delete(seen, chain)
		}
		for chain := range seen {
			if !bad[chain] {
				broken = append(broken, fmt.Errorf("chain %s: has no head", chain))
			}
		}
		missing, err := chainless(ctx, tx, tenant)
		broken = append(broken, missing...)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("verify journal: %w", err)
	}
	return broken, entries, nil
}

// chainless names the vaults without any trace of a chain: each had one from its
// enrolment on.
func chainless(ctx context.Context, tx pgx.Tx, tenant core.TenantID) (missing []error, err error) {
	rows, err := tx.Query(ctx, `
		SELECT chain FROM (SELECT tenant_id, 'vault:' || id AS chain FROM citizen WHERE tenant_id = $1) c
		WHERE NOT EXISTS (SELECT 1 FROM journal_head h WHERE h.tenant_id = c.tenant_id AND h.chain = c.chain)
		  AND NOT EXISTS (SELECT 1 FROM journal j WHERE j.tenant_id = c.tenant_id AND j.chain = c.chain)`, tenant)
	if err != nil {
		return nil, err
	}
	chains, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, chain := range chains {
		missing = append(missing, fmt.Errorf("chain %s: is missing", chain))
	}
	return missing, err
}

type head struct {
	seq  int64
	hash []byte
}

func heads(ctx context.Context, tx pgx.Tx, tenant core.TenantID) (map[string]head, error) {
	rows, err := tx.Query(ctx, `SELECT chain, seq, hash FROM journal_head WHERE tenant_id = $1`, tenant)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]head{}
	for rows.Next() {
		var chain string
		var h head
		if err := rows.Scan(&chain, &h.seq, &h.hash); err != nil {
			return nil, err
		}
		out[chain] = h
	}
	return out, rows.Err()
}
