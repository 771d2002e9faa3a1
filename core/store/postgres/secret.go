package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
	"vaguemestre/core/tenant"
)

// PutSecret sets a town's secret, in the place of any other of the name.
func (s *Store) PutSecret(ctx context.Context, t core.TenantID, name tenant.Secret, sealed []byte, at time.Time) error {
	return s.tx(ctx, t, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO tenant_secret (tenant_id, name, sealed, set_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (tenant_id, name) DO UPDATE SET sealed = $3, set_at = $4`, t, name, sealed, at)
		return err
	})
}

// Secret reads a town's secret, sealed.
func (s *Store) Secret(ctx context.Context, t core.TenantID, name tenant.Secret) (sealed []byte, err error) {
	err = s.tx(ctx, t, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT sealed FROM tenant_secret WHERE tenant_id = $1 AND name = $2`, t, name).Scan(&sealed)
	})
	return sealed, one(err)
}

// ReplaceSecret sets a secret that still is what was read before.
func (s *Store) ReplaceSecret(ctx context.Context, t core.TenantID, name tenant.Secret, before, sealed []byte, at time.Time) error {
	return s.tx(ctx, t, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE tenant_secret SET sealed = $4, set_at = $5 WHERE tenant_id = $1 AND name = $2 AND sealed = $3`, t, name, before, sealed, at)
		if err == nil && tag.RowsAffected() == 0 {
			err = core.ErrStale
		}
		return err
	})
}

// ListSecrets lists a town's secrets by name.
func (s *Store) ListSecrets(ctx context.Context, t core.TenantID) ([]tenant.SecretSet, error) {
	var out []tenant.SecretSet
	err := s.tx(ctx, t, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT name, set_at FROM tenant_secret WHERE tenant_id = $1 ORDER BY name`, t)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, pgx.RowToStructByPos[tenant.SecretSet])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list secrets: %w", err)
	}
	return out, nil
}

// ForgetSecret removes a town's secret.
func (s *Store) ForgetSecret(ctx context.Context, t core.TenantID, name tenant.Secret) error {
	return s.tx(ctx, t, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM tenant_secret WHERE tenant_id = $1 AND name = $2`, t, name)
		if err == nil && tag.RowsAffected() == 0 {
			err = core.ErrNotFound
		}
		return err
	})
}
