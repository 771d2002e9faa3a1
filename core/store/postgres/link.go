package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
	"vaguemestre/core/link"
)

// AddLink commits a link; one of the same hash in the vault stays as it is.
func (s *Store) AddLink(ctx context.Context, l link.Link) error {
	return s.tx(ctx, l.Tenant, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO link (tenant_id, citizen_id, keyed_hash, purpose, object_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (tenant_id, citizen_id, keyed_hash) DO NOTHING`,
			l.Tenant, l.Vault, l.Hash, l.Purpose, l.Object, l.Created, l.Expires)
		return err
	})
}

// Link finds a link of the vault by its hash; core.ErrNotFound otherwise.
func (s *Store) Link(ctx context.Context, tenant core.TenantID, vault core.CitizenID, hash []byte) (link.Link, error) {
	l := link.Link{Tenant: tenant, Vault: vault, Hash: hash}
	err := s.tx(ctx, tenant, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `
			SELECT purpose, object_id, created_at, expires_at FROM link WHERE tenant_id = $1 AND citizen_id = $2 AND keyed_hash = $3`, tenant, vault, hash).
			Scan(&l.Purpose, &l.Object, &l.Created, &l.Expires)
	})
	return l, one(err)
}

// TownLink finds a link of any vault of the tenant by its hash; core.ErrNotFound.
func (s *Store) TownLink(ctx context.Context, tenant core.TenantID, hash []byte) (link.Link, error) {
	l := link.Link{Tenant: tenant, Hash: hash}
	err := s.tx(ctx, tenant, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT citizen_id, purpose, object_id, created_at, expires_at FROM link WHERE tenant_id = $1 AND keyed_hash = $2`, tenant, hash).
			Scan(&l.Vault, &l.Purpose, &l.Object, &l.Created, &l.Expires)
	})
	return l, one(err)
}

// UseLink notes when a link was first used.
func (s *Store) UseLink(ctx context.Context, l link.Link, at time.Time) error {
	return s.tx(ctx, l.Tenant, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE link SET used_at = $4 WHERE tenant_id = $1 AND citizen_id = $2 AND keyed_hash = $3 AND used_at IS NULL`, l.Tenant, l.Vault, l.Hash, at)
		return err
	})
}
