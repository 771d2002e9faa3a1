package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
	"vaguemestre/core/attribution"
)

// Arrival reads a deposit as the desk sees it; core.ErrNotFound.
func (s *Store) Arrival(ctx context.Context, tenant core.TenantID, id core.DepositID) (attribution.Arrival, error) {
	a := attribution.Arrival{Tenant: tenant}
	err := s.tx(ctx, tenant, func(tx pgx.Tx) error {
		var until *time.Time
		err := tx.QueryRow(ctx, `
			SELECT id, coalesce(citizen_id::text,''), channel, state, coalesce(reason,''), trust, trust_reason, received_at, held_until, envelope, origin
			FROM deposit WHERE tenant_id = $1 AND id::text = $2`, tenant, string(id)).
			Scan(&a.ID, &a.Vault, &a.Channel, &a.State, &a.Reason, &a.Trust, &a.TrustWhy, &a.Received, &until, &a.Envelope, &a.Origin)
		if err != nil {
			return err
		}
		if until != nil {
			a.Until = *until
		}
		rows, err := tx.Query(ctx, `SELECT object_id, ref, size, wrapped FROM deposit_body WHERE tenant_id = $1 AND deposit_id = $2 ORDER BY n`, tenant, a.ID)
		if err != nil {
			return err
		}
		a.Bodies, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (b core.Sealed, err error) {
			return b, r.Scan(&b.Object, &b.Ref, &b.Size, &b.Wrapped)
		})
		return err
	})
	if err != nil {
		return attribution.Arrival{}, fmt.Errorf("read deposit: %w", one(err))
	}
	return a, nil
}

// Attach gives a held deposit to who.Vault, to be opened from the beginning, and journals
// it there; core.ErrNotFound when it is not held, or there is no such citizen. What was
// proven of its sender proves nothing of another vault, and never more than the citizen's
// yes would.
func (s *Store) Attach(ctx context.Context, who core.Access, id core.DepositID) error {
	return s.tx(ctx, who.Tenant, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE deposit SET state = 'received', citizen_id = c.id, reason = NULL, held_until = NULL, attempts = 0, next_at = '-infinity',
			       address_id = CASE WHEN deposit.citizen_id = c.id THEN address_id END,
			       trust = CASE WHEN deposit.citizen_id = c.id THEN least(trust, $4) ELSE 0 END, trust_reason = $5
			FROM citizen c
			WHERE deposit.tenant_id = $1 AND deposit.id = $2 AND deposit.state = 'held' AND c.tenant_id = $1 AND c.id::text = $3`,
			who.Tenant, id, string(who.Vault), int(core.T2), core.TrustAttached)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return core.ErrNotFound
		}
		return record(ctx, tx, who, s.now())
	})
}

// Detach takes a deposit, its pieces and the documents that only they make out of
// who.Vault, holds it for nobody with its bodies' keys wrapped as given, and journals it
// for both. A worker that is at it finds its lease gone. It returns blobs to delete.
func (s *Store) Detach(ctx context.Context, who core.Access, id core.DepositID, wrapped [][]byte, until time.Time, letters []core.LetterOrder) (orphans []core.Ref, err error) {
	err = s.tx(ctx, who.Tenant, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE deposit SET state = 'held', citizen_id = NULL, address_id = NULL, trust = 0, trust_reason = 'detached', reason = 'detached', sentence = NULL,
			       pieces = NULL, note = NULL, attempts = 0, lease_token = lease_token + 1, lease_until = NULL, held_until = $4
			WHERE tenant_id = $1 AND citizen_id = $2 AND id = $3 AND state <> 'destroyed'`, who.Tenant, who.Vault, id, until)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return core.ErrNotFound
		}
		_, err = tx.Exec(ctx, `UPDATE deposit_address SET revoked_at = $3 WHERE tenant_id = $1 AND object_id = $2 AND purpose = 'reply' AND revoked_at IS NULL`, who.Tenant, id, s.now())
		if err != nil {
			return err
		}
		for i, w := range wrapped {
			if _, err := tx.Exec(ctx, `UPDATE deposit_body SET wrapped = $4 WHERE tenant_id = $1 AND deposit_id = $2 AND n = $3`, who.Tenant, id, i+1, w); err != nil {
				return err
			}
		}
		// The journal comes first of what follows: its head's lock keeps filing out of the vault.
		if err := record(ctx, tx, who, s.now()); err != nil {
			return err
		}
		if orphans, err = unmake(ctx, tx, who.Tenant, who.Vault, id, s.now()); err != nil {
			return err
		}
		if err := silence(ctx, tx, who.Tenant, who.Vault, id, s.now()); err != nil {
			return err
		}
		if err := postLetters(ctx, tx, letters, s.now()); err != nil {
			return err
		}
		nobody := who
		nobody.Vault = ""
		return record(ctx, tx, nobody, s.now())
	})
	return orphans, err
}

// unmake deletes the pieces of a deposit, the versions that nothing else makes, and the
// documents that have no other. A version whose content came by another deposit too keeps
// that deposit's piece; a document that loses the version in force has the former again.
// Letters that wait to take one of them to a service do not go.
func unmake(ctx context.Context, tx pgx.Tx, tenant core.TenantID, vault core.CitizenID, id core.DepositID, at time.Time) ([]core.Ref, error) {
	_, err := tx.Exec(ctx, `
		UPDATE version_part v SET piece_id = (
		  SELECT o.id FROM piece o WHERE o.tenant_id = $1 AND o.citizen_id = $2 AND o.document_id = v.document_id AND o.version = v.version AND o.deposit_id <> $3 AND o.state = 'filed'
		  ORDER BY o.id LIMIT 1)
		FROM piece mine
		WHERE v.tenant_id = $1 AND v.citizen_id = $2 AND mine.tenant_id = $1 AND mine.deposit_id = $3 AND v.piece_id = mine.id AND EXISTS (
		  SELECT 1 FROM piece o WHERE o.tenant_id = $1 AND o.citizen_id = $2 AND o.document_id = v.document_id AND o.version = v.version AND o.deposit_id <> $3 AND o.state = 'filed')`,
		tenant, vault, id)
	if err != nil {
		return nil, err
	}
	touched, err := unmakeVersions(ctx, tx, tenant, vault, id)
	if err != nil {
		return nil, err
	}
	_, err = tx.Exec(ctx, `DELETE FROM artifact WHERE tenant_id = $1 AND piece_id IN (SELECT id FROM piece WHERE tenant_id = $1 AND deposit_id = $2)`, tenant, id)
	if err != nil {
		return nil, err
	}
	if err := recallDocuments(ctx, tx, tenant, vault, touched, at); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `DELETE FROM piece WHERE tenant_id = $1 AND deposit_id = $2 RETURNING ref`, tenant, id)
	if err != nil {
		return nil, err
	}
	refs, err := pgx.CollectRows(rows, pgx.RowTo[core.Ref])
	if err != nil {
		return nil, err
	}
	_, err = tx.Exec(ctx, `
		DELETE FROM document d WHERE tenant_id = $1 AND citizen_id = $2 AND id = ANY($3::uuid[]) AND NOT EXISTS (
		  SELECT 1 FROM document_version v WHERE v.tenant_id = $1 AND v.citizen_id = $2 AND v.document_id = d.id)`, tenant, vault, touched)
	if err != nil {
		return nil, err
	}
	return orphaned(ctx, tx, tenant, id, refs)
}

// unmakeVersions deletes the versions that the deposit's pieces make, and names their
// documents.
func unmakeVersions(ctx context.Context, tx pgx.Tx, tenant core.TenantID, vault core.CitizenID, id core.DepositID) ([]core.DocumentID, error) {
	rows, err := tx.Query(ctx, `
		SELECT DISTINCT v.document_id, v.version FROM version_part v JOIN piece p ON p.tenant_id = v.tenant_id AND p.id = v.piece_id
		WHERE v.tenant_id = $1 AND v.citizen_id = $2 AND p.deposit_id = $3`, tenant, vault, id)
	if err != nil {
		return nil, err
	}
	var touched []core.DocumentID
	var versions []int32
	var document core.DocumentID
	var version int32
	_, err = pgx.ForEachRow(rows, []any{&document, &version}, func() error {
		touched, versions = append(touched, document), append(versions, version)
		return nil
	})
	if err != nil {
		return nil, err
	}
	batch := &pgx.Batch{}
	for _, table := range []struct{ name, version string }{{"version_part", "version"}, {"document_version", "n"}} {
		batch.Queue(`DELETE FROM `+table.name+` t USING unnest($3::uuid[], $4::int[]) g(document, version)
			WHERE t.tenant_id = $1 AND t.citizen_id = $2 AND t.document_id = g.document AND t.`+table.version+` = g.version`, tenant, vault, touched, versions)
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return nil, err
	}
	for _, d := range touched {
		if err := former(ctx, tx, tenant, vault, d); err != nil {
			return nil, err
		}
	}
	return touched, nil
}

// orphaned leaves out of refs those that a body of the deposit lies in.
func orphaned(ctx context.Context, tx pgx.Tx, tenant core.TenantID, id core.DepositID, refs []core.Ref) ([]core.Ref, error) {
	rows, err := tx.Query(ctx, `
		SELECT r FROM unnest($3::text[]) r WHERE NOT EXISTS (SELECT 1 FROM deposit_body WHERE tenant_id = $1 AND deposit_id = $2 AND ref = r)`, tenant, id, refs)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[core.Ref])
}

// errClocks: destroying by a wrong clock cannot be undone.
var errClocks = errors.New("the clocks of database and program are more than five minutes apart")

// ExpireHeld erases the keys of deposits that are held beyond now, oldest first, journals
// it, and returns the blobs they opened. Nothing is erased while the database's clock is
// not near now (REL-14).
func (s *Store) ExpireHeld(ctx context.Context, tenant core.TenantID, now time.Time, limit int) (deposits int, blobs []core.Ref, err error) {
	err = s.tx(ctx, tenant, func(tx pgx.Tx) error {
		var near bool
		if err := tx.QueryRow(ctx, `SELECT abs(extract(epoch FROM clock_timestamp() - $1::timestamptz)) < 300`, now).Scan(&near); err != nil {
			return err
		}
		if !near {
			return errClocks
		}
		rows, err := tx.Query(ctx, `SELECT id FROM deposit WHERE tenant_id = $1 AND state = 'held' AND held_until <= $2 ORDER BY held_until LIMIT $3 FOR UPDATE SKIP LOCKED`,
			tenant, now, limit)
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[core.DepositID])
		if err != nil || len(ids) == 0 {
			return err
		}
		deposits = len(ids)
		rows, err = tx.Query(ctx, `
			WITH gone AS (DELETE FROM deposit_body WHERE tenant_id = $1 AND deposit_id = ANY($2::uuid[]) RETURNING ref)
			SELECT ref FROM gone WHERE NOT starts_with(ref, $3)`, tenant, ids, core.InRow) // those in a row went with it
		if err != nil {
			return err
		}
		if blobs, err = pgx.CollectRows(rows, pgx.RowTo[core.Ref]); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			UPDATE deposit SET state = 'destroyed', reason = 'unclaimed', envelope = '', note = NULL, origin = NULL, held_until = NULL
			WHERE tenant_id = $1 AND id = ANY($2::uuid[])`, tenant, ids)
		for _, id := range ids {
			if err == nil {
				err = record(ctx, tx, core.Access{Tenant: tenant, Actor: "scheduler", Act: "destroy_deposit", Purpose: "unclaimed", Object: string(id)}, now)
			}
		}
		return err
	})
	return deposits, blobs, err
}
