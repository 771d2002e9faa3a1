package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
	"vaguemestre/core/attribution"
	"vaguemestre/core/citizen"
)

// VaultsOf names the vaults for which the address with this keyed hash is verified and in
// force.
func (s *Store) VaultsOf(ctx context.Context, tenant core.TenantID, keyedHash []byte) (vaults []core.CitizenID, err error) {
	err = s.tx(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT citizen_id FROM sender WHERE tenant_id = $1 AND keyed_hash = $2 AND verified_at IS NOT NULL AND revoked_at IS NULL
			ORDER BY citizen_id`, tenant, keyedHash)
		if err != nil {
			return err
		}
		vaults, err = pgx.CollectRows(rows, pgx.RowTo[core.CitizenID])
		return err
	})
	return vaults, err
}

// AddSender commits a sender, or verifies the one that is there when the new one is,
// journals it, and orders letters that speak of it.
func (s *Store) AddSender(ctx context.Context, who core.Access, n citizen.Sender, letters ...core.LetterOrder) (id core.SenderID, err error) {
	err = s.tx(ctx, who.Tenant, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			INSERT INTO sender (tenant_id, citizen_id, id, keyed_hash, sealed, how, created_at, verified_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (tenant_id, citizen_id, keyed_hash) WHERE revoked_at IS NULL
			DO UPDATE SET verified_at = coalesce(sender.verified_at, excluded.verified_at)
			RETURNING id`, who.Tenant, who.Vault, n.ID, n.Hash, n.Sealed, n.How, n.Created, orNull(n.VerifiedAt)).Scan(&id)
		if err != nil {
			return err
		}
		for i := range letters {
			letters[i].Object = string(id)
		}
		if err := postLetters(ctx, tx, letters, s.now()); err != nil {
			return err
		}
		who.Object = string(id)
		return record(ctx, tx, who, s.now())
	})
	return id, err
}

// VerifySender marks a sender in force as verified and journals it; core.ErrNotFound for
// one that is revoked or another vault's. A repeat keeps the first time.
func (s *Store) VerifySender(ctx context.Context, who core.Access, id core.SenderID, at time.Time) error {
	return s.changeSender(ctx, who, id, `verified_at = coalesce(verified_at, $4), bounced_at = NULL`, at)
}

// ForgetSender revokes a sender in force and journals it; core.ErrNotFound likewise.
func (s *Store) ForgetSender(ctx context.Context, who core.Access, id core.SenderID, at time.Time) error {
	return s.changeSender(ctx, who, id, `revoked_at = $4`, at)
}

func (s *Store) changeSender(ctx context.Context, who core.Access, id core.SenderID, set string, at time.Time) error {
	err := s.tx(ctx, who.Tenant, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE sender SET `+set+` WHERE tenant_id = $1 AND citizen_id = $2 AND id::text = $3 AND revoked_at IS NULL`,
			who.Tenant, who.Vault, string(id), at)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return core.ErrNotFound
		}
		return record(ctx, tx, who, s.now())
	})
	if err != nil {
		return fmt.Errorf("change sender: %w", err)
	}
	return nil
}

// Senders lists a citizen's senders, oldest first, revoked ones included.
func (s *Store) Senders(ctx context.Context, tenant core.TenantID, id core.CitizenID) (out []citizen.Sender, err error) {
	err = s.tx(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT id, sealed, how, created_at, coalesce(verified_at, '0001-01-01Z'), revoked_at IS NOT NULL, bounced_at IS NOT NULL FROM sender
			WHERE tenant_id = $1 AND citizen_id = $2 ORDER BY created_at, id`, tenant, id)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (n citizen.Sender, err error) {
			return n, r.Scan(&n.ID, &n.Sealed, &n.How, &n.Created, &n.VerifiedAt, &n.Revoked, &n.Bounced)
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list senders: %w", err)
	}
	return out, nil
}

// Origin reads the sealed origin of a deposit of this vault, and the body under whose key
// it is sealed; core.ErrNotFound.
func (s *Store) Origin(ctx context.Context, tenant core.TenantID, vault core.CitizenID, deposit core.DepositID) (sealed []byte, body core.Sealed, err error) {
	err = s.tx(ctx, tenant, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `
			SELECT d.origin, b.object_id, b.ref, b.size, b.wrapped FROM deposit d
			JOIN deposit_body b ON b.tenant_id = d.tenant_id AND b.deposit_id = d.id AND b.n = 1
			WHERE d.tenant_id = $1 AND d.citizen_id = $2 AND d.id::text = $3 AND d.origin IS NOT NULL`, tenant, vault, string(deposit)).
			Scan(&sealed, &body.Object, &body.Ref, &body.Size, &body.Wrapped)
	})
	if err != nil {
		return nil, core.Sealed{}, fmt.Errorf("origin of deposit %s: %w", deposit, one(err))
	}
	return sealed, body, nil
}

// Alike finds the citizens who share one of the likenesses, those who share more kinds
// first.
func (s *Store) Alike(ctx context.Context, tenant core.TenantID, all []citizen.Likeness) ([]attribution.Candidate, error) {
	var kinds []string
	var hashes [][]byte
	for _, l := range all {
		kinds, hashes = append(kinds, string(l.Kind)), append(hashes, l.Hash)
	}
	var out []attribution.Candidate
	err := s.tx(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT l.citizen_id, array_agg(DISTINCT l.kind ORDER BY l.kind) FROM likeness l
			JOIN unnest($2::text[], $3::bytea[]) AS a (kind, hash) ON l.kind = a.kind AND l.keyed_hash = a.hash
			WHERE l.tenant_id = $1 GROUP BY l.citizen_id ORDER BY count(DISTINCT l.kind) DESC, l.citizen_id LIMIT 10`, tenant, kinds, hashes)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (c attribution.Candidate, err error) {
			return c, r.Scan(&c.Citizen, &c.Like)
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for citizens alike: %w", err)
	}
	return out, nil
}
