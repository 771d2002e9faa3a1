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

// Once is Tx for statements that are all known beforehand, as accepting uses it.
func (s *Store) Once(ctx context.Context, tenant core.TenantID, queue func(*pgx.Batch)) error {
	return s.once(ctx, tenant, queue)
}

// Waiting counts the deposits that wait for a commit to be over.
func (s *Store) Waiting() int {
	s.deposits.mu.Lock()
	defer s.deposits.mu.Unlock()
	return len(s.deposits.waiting)
}
