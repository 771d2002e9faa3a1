package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
	"vaguemestre/core/revision"
)

// Versions lists the versions of a document of the vault, oldest first, a deleted one's
// too; core.ErrNotFound when there is none.
func (s *Store) Versions(ctx context.Context, tenant core.TenantID, vault core.CitizenID, id core.DocumentID) (out []revision.Version, err error) {
	err = s.tx(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT v.n, v.created_at, v.left_at, d.deleted_at, v.size, v.meta, coalesce(v.was_state, d.state), coalesce((CASE WHEN v.left_at IS NULL THEN d.valid_until ELSE v.was_valid END)::text,'')
			FROM document_version v JOIN document d ON d.tenant_id = v.tenant_id AND d.citizen_id = v.citizen_id AND d.id = v.document_id
			WHERE v.tenant_id = $1 AND v.citizen_id = $2 AND v.document_id::text = $3 ORDER BY v.n`, tenant, vault, string(id))
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (v revision.Version, err error) {
			var left, deleted *time.Time
			var valid string
			if err := r.Scan(&v.N, &v.Created, &left, &deleted, &v.Size, &v.Meta, &v.State, &valid); err != nil {
				return v, err
			}
			if left != nil {
				v.Left = *left
			}
			if deleted != nil {
				v.Deleted = *deleted
			}
			return v, v.ValidUntil.UnmarshalText([]byte(valid))
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("versions of document: %w", err)
	}
	if len(out) == 0 {
		return nil, core.ErrNotFound
	}
	return out, nil
}

// RestoreVersion puts a version that left after a time back in force and journals it;
// core.ErrNotFound for any other, core.ErrInvalid when its content stands elsewhere.
func (s *Store) RestoreVersion(ctx context.Context, who core.Access, id core.DocumentID, n int, after time.Time) error {
	return s.revise(ctx, who, id, func(tx pgx.Tx) error {
		var there bool
		err := tx.QueryRow(ctx, `
			SELECT true FROM document_version v JOIN document d ON d.tenant_id = v.tenant_id AND d.citizen_id = v.citizen_id AND d.id = v.document_id
			WHERE v.tenant_id = $1 AND v.citizen_id = $2 AND v.document_id::text = $3 AND v.n = $4 AND v.left_at > $5 AND d.standing <> 'deleted'`,
			who.Tenant, who.Vault, string(id), n, after).Scan(&there)
		if err != nil {
			return one(err)
		}
		if err := leave(ctx, tx, who.Tenant, who.Vault, id, s.now()); err != nil {
			return err
		}
		return back(ctx, tx, who.Tenant, who.Vault, id, n)
	})
}

// DeleteDocument takes a document out of the vault and journals it. A repeat changes
// nothing and is no error; core.ErrNotFound for what was never there.
func (s *Store) DeleteDocument(ctx context.Context, who core.Access, id core.DocumentID) error {
	at := s.now().UTC().Truncate(time.Microsecond)
	return s.revise(ctx, who, id, func(tx pgx.Tx) error {
		var deleted bool
		err := tx.QueryRow(ctx, `SELECT standing = 'deleted' FROM document WHERE tenant_id = $1 AND citizen_id = $2 AND id::text = $3`, who.Tenant, who.Vault, string(id)).Scan(&deleted)
		if err != nil || deleted {
			return one(err)
		}
		if err := leave(ctx, tx, who.Tenant, who.Vault, id, at); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE document SET standing = 'deleted', deleted_at = $4 WHERE tenant_id = $1 AND citizen_id = $2 AND id = $3`, who.Tenant, who.Vault, id, at)
		return err
	})
}

// RestoreDocument undoes a deletion that happened after a time and journals it;
// core.ErrNotFound for any other document, core.ErrInvalid when its content stands
// elsewhere by now.
func (s *Store) RestoreDocument(ctx context.Context, who core.Access, id core.DocumentID, after time.Time) error {
	return s.revise(ctx, who, id, func(tx pgx.Tx) error {
		var there bool
		err := tx.QueryRow(ctx, `SELECT true FROM document WHERE tenant_id = $1 AND citizen_id = $2 AND id::text = $3 AND standing = 'deleted' AND deleted_at > $4`,
			who.Tenant, who.Vault, string(id), after).Scan(&there)
		if err != nil {
			return one(err)
		}
		_, err = tx.Exec(ctx, `UPDATE document SET standing = 'current', deleted_at = NULL WHERE tenant_id = $1 AND citizen_id = $2 AND id = $3`, who.Tenant, who.Vault, id)
		if err != nil {
			return err
		}
		return former(ctx, tx, who.Tenant, who.Vault, id)
	})
}

// revise journals a citizen's act on a document and does it, in one transaction; an act
// that finds nothing leaves no entry.
func (s *Store) revise(ctx context.Context, who core.Access, id core.DocumentID, act func(pgx.Tx) error) error {
	who.Object = string(id)
	err := s.tx(ctx, who.Tenant, func(tx pgx.Tx) error {
		// The journal comes first: its head's lock lets one change at a time into a vault.
		if err := record(ctx, tx, who, s.now()); err != nil {
			return err
		}
		return act(tx)
	})
	if isUnique(err) {
		return fmt.Errorf("%w restoring: the vault holds the same content in another document", core.ErrInvalid)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", who.Act, err)
	}
	return nil
}

// former puts the version that left last back in force, where a document that is not
// deleted has none.
func former(ctx context.Context, tx pgx.Tx, tenant core.TenantID, vault core.CitizenID, id core.DocumentID) error {
	var n int
	err := tx.QueryRow(ctx, `
		SELECT v.n FROM document_version v JOIN document d ON d.tenant_id = v.tenant_id AND d.citizen_id = v.citizen_id AND d.id = v.document_id AND d.standing <> 'deleted'
		WHERE v.tenant_id = $1 AND v.citizen_id = $2 AND v.document_id = $3 AND NOT EXISTS (
		  SELECT 1 FROM document_version f WHERE f.tenant_id = $1 AND f.citizen_id = $2 AND f.document_id = $3 AND f.left_at IS NULL)
		ORDER BY v.left_at DESC, v.n DESC LIMIT 1`, tenant, vault, id).Scan(&n)
	if noRows(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return back(ctx, tx, tenant, vault, id, n)
}

// back puts a version in force, and makes of the document what it was then; whether it
// still proves something depends on today.
func back(ctx context.Context, tx pgx.Tx, tenant core.TenantID, vault core.CitizenID, id core.DocumentID, n int) error {
	batch := &pgx.Batch{}
	batch.Queue(`
		UPDATE document d SET state = v.was_state, catalogue = v.was_catalogue, channel = v.was_channel, journey = v.was_journey, valid_until = v.was_valid, retain_until = v.was_retain,
		       standing = CASE WHEN v.was_valid < current_date THEN 'expired' ELSE 'current' END
		FROM document_version v
		WHERE d.tenant_id = $1 AND d.citizen_id = $2 AND d.id = $3 AND v.tenant_id = $1 AND v.citizen_id = $2 AND v.document_id = $3 AND v.n = $4`, tenant, vault, id, n)
	batch.Queue(`
		UPDATE document_version SET left_at = NULL, was_state = NULL, was_catalogue = NULL, was_channel = NULL, was_journey = NULL, was_valid = NULL, was_retain = NULL
		WHERE tenant_id = $1 AND citizen_id = $2 AND document_id = $3 AND n = $4`, tenant, vault, id, n)
	return tx.SendBatch(ctx, batch).Close()
}
