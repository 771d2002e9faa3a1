package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
	"vaguemestre/core/notice"
	"vaguemestre/core/reply"
)

// KeepReplyAddress commits the address at which a deposit is answered, or puts off the end
// of the one it has; ok is false when that was revoked, or the deposit is another's by now.
func (s *Store) KeepReplyAddress(ctx context.Context, a reply.Address) (ok bool, err error) {
	err = s.tx(ctx, a.Tenant, func(tx pgx.Tx) error {
		var whose bool
		err := tx.QueryRow(ctx, `SELECT citizen_id = $3 FROM deposit WHERE tenant_id = $1 AND id = $2 AND citizen_id IS NOT NULL`, a.Tenant, a.Deposit, a.Vault).Scan(&whose)
		if noRows(err) || err == nil && !whose {
			return nil
		}
		if err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `INSERT INTO address (keyed_hash, tenant_id, id) VALUES ($1, $2, $3) ON CONFLICT (keyed_hash) DO NOTHING`, a.Hash, a.Tenant, a.ID)
		if err != nil {
			return err
		}
		if tag.RowsAffected() > 0 {
			ok = true
			_, err = tx.Exec(ctx, `
				INSERT INTO deposit_address (tenant_id, id, citizen_id, sealed, created_at, expires_at, purpose, object_id) VALUES ($1, $2, $3, $4, $5, $6, 'reply', $7)`,
				a.Tenant, a.ID, a.Vault, a.Sealed, a.Created, a.Expires, a.Deposit)
			return err
		}
		tag, err = tx.Exec(ctx, `
			UPDATE deposit_address SET expires_at = greatest(expires_at, $4) WHERE tenant_id = $1 AND citizen_id = $2 AND purpose = 'reply' AND revoked_at IS NULL
			  AND id = (SELECT id FROM address WHERE keyed_hash = $3)`, a.Tenant, a.Vault, a.Hash, a.Expires)
		ok = err == nil && tag.RowsAffected() > 0
		return err
	})
	if err != nil {
		return false, fmt.Errorf("reply address of deposit %s: %w", a.Deposit, err)
	}
	return ok, nil
}

// Answerable names the documents that a deposit brought into the vault and that stand
// there, oldest first. One that is only proposed in place of another is itself.
func (s *Store) Answerable(ctx context.Context, tenant core.TenantID, vault core.CitizenID, deposit core.DepositID) (out []notice.Answerable, err error) {
	err = s.tx(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT d.id, d.type FROM document d
			WHERE d.tenant_id = $1 AND d.citizen_id = $2 AND d.standing IN ('current','expired') AND EXISTS (
			  SELECT 1 FROM piece p WHERE p.tenant_id = d.tenant_id AND p.citizen_id = d.citizen_id AND p.document_id = d.id AND p.deposit_id::text = $3 AND p.state = 'filed')
			ORDER BY d.created_at, d.id`, tenant, vault, string(deposit))
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (a notice.Answerable, err error) {
			return a, r.Scan(&a.ID, &a.Type)
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("documents of deposit %s: %w", deposit, err)
	}
	return out, nil
}
