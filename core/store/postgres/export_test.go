package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
)

// Tx lets tests run SQL of their own exactly as every method does: under the store's
// role and one tenant, in one transaction.
func (s *Store) Tx(ctx context.Context, tenant core.TenantID, f func(pgx.Tx) error) error {
	return s.tx(ctx, tenant, f)
}
