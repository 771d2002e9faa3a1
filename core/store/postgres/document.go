package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
)

// Documents lists what stands in a vault, oldest first, deleted ones left out.
func (s *Store) Documents(ctx context.Context, tenant core.TenantID, vault core.CitizenID) ([]core.Document, error) {
	return s.documents(ctx, tenant, vault, "")
}

// Document reads one document of the vault; core.ErrNotFound otherwise.
func (s *Store) Document(ctx context.Context, tenant core.TenantID, vault core.CitizenID, id core.DocumentID) (core.Document, error) {
	found, err := s.documents(ctx, tenant, vault, id)
	if err != nil {
		return core.Document{}, err
	}
	if len(found) == 0 {
		return core.Document{}, core.ErrNotFound
	}
	return found[0], nil
}

func (s *Store) documents(ctx context.Context, tenant core.TenantID, vault core.CitizenID, only core.DocumentID) ([]core.Document, error) {
	var docs []core.Document
	err := s.tx(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT d.tenant_id, d.citizen_id, d.id, d.type, d.catalogue, d.state, d.standing, d.channel, d.journey,
			       coalesce(d.valid_until::text,''), coalesce(d.retain_until::text,''), d.created_at,
			       coalesce(d.replaces::text,''), v.n, v.size, v.meta, part.n, part.piece_id, coalesce(lower(part.pages),0), coalesce(upper(part.pages)-1,0),
			       p.object_id, p.ref, p.size, p.wrapped
			FROM document d
			JOIN document_version v ON v.tenant_id = d.tenant_id AND v.citizen_id = d.citizen_id AND v.document_id = d.id AND v.left_at IS NULL
			JOIN version_part part ON part.tenant_id = d.tenant_id AND part.citizen_id = d.citizen_id AND part.document_id = d.id AND part.version = v.n
			JOIN piece p ON p.tenant_id = part.tenant_id AND p.id = part.piece_id
			WHERE d.tenant_id = $1 AND d.citizen_id = $2 AND ($3 = '' OR d.id::text = $3) AND d.standing <> 'deleted'
			ORDER BY d.created_at, d.id, part.n`, tenant, vault, string(only))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var d core.Document
			var part core.PiecePages
			var n int
			var valid, retain string
			err := rows.Scan(&d.Tenant, &d.Vault, &d.ID, &d.Type, &d.Catalogue, &d.State, &d.Standing, &d.Channel, &d.Journey,
				&valid, &retain, &d.Created, &d.Replaces, &d.Version, &d.Size, &d.Meta, &n, &part.Piece, &part.First, &part.Last,
				&part.Sealed.Object, &part.Sealed.Ref, &part.Sealed.Size, &part.Sealed.Wrapped)
			if err != nil {
				return err
			}
			if err := d.ValidUntil.UnmarshalText([]byte(valid)); err != nil {
				return err
			}
			if err := d.RetainUntil.UnmarshalText([]byte(retain)); err != nil {
				return err
			}
			if n > 1 {
				last := &docs[len(docs)-1]
				last.Parts = append(last.Parts, part)
				continue
			}
			d.Parts = []core.PiecePages{part}
			docs = append(docs, d)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read documents: %w", err)
	}
	return docs, nil
}

// MoveDocument changes a document's state from one to another and journals it, and sends
// it where the rules of services say, in one transaction; core.ErrNotFound when the document does not stand in the first state.
func (s *Store) MoveDocument(ctx context.Context, who core.Access, id core.DocumentID, from, to core.DocumentState) error {
	err := s.tx(ctx, who.Tenant, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE document SET state = $5, replaces = NULL WHERE tenant_id = $1 AND citizen_id = $2 AND id = $3 AND state = $4 AND standing <> 'deleted'`,
			who.Tenant, who.Vault, id, from, to)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return core.ErrNotFound
		}
		if err := record(ctx, tx, who, s.now()); err != nil {
			return err
		}
		return obey(ctx, tx, who.Tenant, who.Vault, id, from, to, s.now())
	})
	if err != nil {
		return fmt.Errorf("move document %s: %w", id, err)
	}
	return nil
}

// DocumentsOf names the documents of the vault that hold a piece of the deposit, oldest
// first.
func (s *Store) DocumentsOf(ctx context.Context, tenant core.TenantID, vault core.CitizenID, deposit core.DepositID) (ids []core.DocumentID, err error) {
	err = s.tx(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT d.id FROM document d
			WHERE d.tenant_id = $1 AND d.citizen_id = $2 AND d.standing <> 'deleted' AND EXISTS (
			  SELECT 1 FROM piece p WHERE p.tenant_id = d.tenant_id AND p.citizen_id = d.citizen_id AND p.document_id = d.id AND p.deposit_id::text = $3)
			ORDER BY d.created_at, d.id`, tenant, vault, string(deposit))
		if err != nil {
			return err
		}
		ids, err = pgx.CollectRows(rows, pgx.RowTo[core.DocumentID])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("documents of deposit %s: %w", deposit, err)
	}
	return ids, nil
}
