package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
	"vaguemestre/core/ledger"
)

// Days accounts for the tenant's deposits and pieces, per channel and day (UTC).
func (s *Store) Days(ctx context.Context, tenant core.TenantID) ([]ledger.Day, error) {
	var out []ledger.Day
	err := s.tx(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			WITH d AS (SELECT id, channel, (received_at AT TIME ZONE 'UTC')::date AS day, state, pieces FROM deposit WHERE tenant_id = $1),
			     ds AS (SELECT channel, day, state, count(*) AS n FROM d GROUP BY 1, 2, 3),
			     ps AS (SELECT d.channel, d.day, p.state, count(*) AS n FROM piece p JOIN d ON d.id = p.deposit_id WHERE p.tenant_id = $1 GROUP BY 1, 2, 3)
			SELECT d.channel, d.day::text, count(*), coalesce(sum(d.pieces), 0),
			       (SELECT json_object_agg(ds.state, ds.n) FROM ds WHERE ds.channel = d.channel AND ds.day = d.day),
			       coalesce((SELECT json_object_agg(ps.state, ps.n) FROM ps WHERE ps.channel = d.channel AND ps.day = d.day), '{}')
			FROM d GROUP BY d.channel, d.day ORDER BY d.day, d.channel`, tenant)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (ledger.Day, error) {
			d := ledger.Day{Tenant: tenant}
			return d, r.Scan(&d.Channel, &d.Day, &d.Received, &d.Seen, &d.Deposits, &d.Pieces)
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ledger of tenant %s: %w", tenant, err)
	}
	return out, nil
}

// Empty names documents without a filed piece.
func (s *Store) Empty(ctx context.Context, tenant core.TenantID) (ids []core.DocumentID, err error) {
	err = s.tx(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT id FROM document d WHERE tenant_id = $1 AND standing <> 'deleted' AND NOT EXISTS (
			  SELECT 1 FROM piece p WHERE p.tenant_id = d.tenant_id AND p.citizen_id = d.citizen_id AND p.document_id = d.id AND p.state = 'filed')`, tenant)
		if err != nil {
			return err
		}
		ids, err = pgx.CollectRows(rows, pgx.RowTo[core.DocumentID])
		return err
	})
	return ids, err
}

// Blobs names every blob a row names.
func (s *Store) Blobs(ctx context.Context, tenant core.TenantID) ([]ledger.Blob, error) {
	var out []ledger.Blob
	err := s.tx(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT b.ref, b.digest, 'body of deposit ' || b.deposit_id FROM deposit_body b JOIN deposit d USING (tenant_id)
			WHERE b.tenant_id = $1 AND d.id = b.deposit_id AND d.state <> 'destroyed'
			UNION ALL SELECT ref, digest, 'piece ' || id FROM piece WHERE tenant_id = $1`, tenant)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (b ledger.Blob, err error) {
			return b, r.Scan(&b.Ref, &b.Digest, &b.Owner)
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("blobs of tenant %s: %w", tenant, err)
	}
	return out, nil
}

// Unnamed returns those of refs that no row names. A segment is named by every row that
// names a body in it.
func (s *Store) Unnamed(ctx context.Context, tenant core.TenantID, refs []core.Ref) ([]core.Ref, error) {
	var out []core.Ref
	err := s.tx(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			WITH segment AS (
			  SELECT DISTINCT split_part(ref, '/', 1) || '/' || split_part(ref, '/', 2) AS ref
			  FROM (SELECT ref FROM deposit_body WHERE tenant_id = $1
			        UNION ALL SELECT ref FROM piece WHERE tenant_id = $1
			        UNION ALL SELECT ref FROM artifact WHERE tenant_id = $1) named
			  WHERE starts_with(ref, $3) AND EXISTS (SELECT 1 FROM unnest($2::text[]) r WHERE starts_with(r, $3))
			)
			SELECT r FROM unnest($2::text[]) r
			WHERE NOT EXISTS (SELECT 1 FROM deposit_body WHERE tenant_id = $1 AND ref = r)
			  AND NOT EXISTS (SELECT 1 FROM piece WHERE tenant_id = $1 AND ref = r)
			  AND NOT EXISTS (SELECT 1 FROM artifact WHERE tenant_id = $1 AND ref = r)
			  AND NOT EXISTS (SELECT 1 FROM segment WHERE segment.ref = r)`, tenant, refs, core.InSegment)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, pgx.RowTo[core.Ref])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for unnamed blobs: %w", err)
	}
	return out, nil
}
