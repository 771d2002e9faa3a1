package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
	"vaguemestre/core/dispatch"
)

// AddDispatch commits a dispatch with the disclosure of each document in the journal, and
// a letter for each part, in one transaction. A *core.Refusal when a document has left
// the vault, or its state, since it was looked at.
func (s *Store) AddDispatch(ctx context.Context, d dispatch.Dispatch) error {
	err := s.tx(ctx, d.Tenant, func(tx pgx.Tx) error {
		if err := disclose(ctx, tx, d, s.now()); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO dispatch (tenant_id, citizen_id, id, service_id, agent_id, purpose, sealed, sending, created_at)
			VALUES ($1, $2, $3, $4, $5, '', $6, $7, $8)`,
			d.Tenant, d.Vault, d.ID, d.Service.ID, d.Agent, d.Sealed, d.Sending, d.Created)
		if err != nil {
			return err
		}
		return insertParts(ctx, tx, d)
	})
	if err != nil {
		return fmt.Errorf("add dispatch: %w", err)
	}
	return nil
}

// errMoved: a document changed between the look at it and its dispatch.
var errMoved = &core.Refusal{Code: "changed", Reason: "Un document vient de changer ou de quitter le porte-documents : vérifiez la sélection."}

// errSentAnew: somebody else was quicker.
var errSentAnew = &core.Refusal{Code: "changed", Reason: "Cet envoi vient d’être renvoyé ou annulé par quelqu’un d’autre : regardez où il en est."}

// disclose journals each document of the latest sending as disclosed. The journal comes
// first: its head's lock keeps out who takes a document away (Detach), so that what is
// still there then is there when the letters are ordered.
func disclose(ctx context.Context, tx pgx.Tx, d dispatch.Dispatch, at time.Time) error {
	var ids []core.DocumentID
	for _, p := range d.Parts {
		for _, item := range p.Items {
			ids = append(ids, item.Document)
			if err := recordSealed(ctx, tx, d.Disclosure(item.Document), d.Sealed, at); err != nil {
				return err
			}
		}
	}
	var n int
	err := tx.QueryRow(ctx, `
		SELECT count(*) FROM document WHERE tenant_id = $1 AND citizen_id = $2 AND id = ANY($3::uuid[])
		AND state IN ('to_validate','validated') AND standing = 'current'`, d.Tenant, d.Vault, ids).Scan(&n)
	if err == nil && n != len(ids) {
		err = errMoved
	}
	return err
}

// insertParts writes a sending: its parts, their documents, and the letters.
func insertParts(ctx context.Context, tx pgx.Tx, d dispatch.Dispatch) error {
	batch := &pgx.Batch{}
	var orders []core.LetterOrder
	for _, p := range d.Parts {
		batch.Queue(`INSERT INTO dispatch_part (tenant_id, citizen_id, dispatch_id, id, sending, n, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			d.Tenant, d.Vault, d.ID, p.ID, p.Sending, p.N, p.Created)
		for _, item := range p.Items {
			batch.Queue(`INSERT INTO dispatch_document (tenant_id, citizen_id, part_id, id, n, document_id, link) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
				d.Tenant, d.Vault, p.ID, item.ID, item.N, item.Document, item.Link)
		}
		orders = append(orders, core.LetterOrder{ID: core.NewID[core.LetterID](), Tenant: d.Tenant, Kind: core.LetterDispatch, Vault: d.Vault, Object: string(p.ID), Due: p.Created})
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	return postLetters(ctx, tx, orders, d.Created)
}

// AddSending commits d.Sending with its parts in the place of the one before, whose
// letters that wait are cancelled; otherwise as AddDispatch. who is journaled too. A
// *core.Refusal when the dispatch was cancelled, or sent anew, in the meantime.
func (s *Store) AddSending(ctx context.Context, who core.Access, d dispatch.Dispatch) error {
	err := s.tx(ctx, d.Tenant, func(tx pgx.Tx) error {
		if err := record(ctx, tx, who, s.now()); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `
			UPDATE dispatch SET sending = $4 WHERE tenant_id = $1 AND citizen_id = $2 AND id = $3 AND sending = $4 - 1 AND cancelled_at IS NULL`,
			d.Tenant, d.Vault, d.ID, d.Sending)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return errSentAnew
		}
		if err := recallDispatch(ctx, tx, d.Tenant, d.Vault, d.ID, "sent_anew", s.now()); err != nil {
			return err
		}
		if err := disclose(ctx, tx, d, s.now()); err != nil {
			return err
		}
		return insertParts(ctx, tx, d)
	})
	if err != nil {
		return fmt.Errorf("send dispatch %s anew: %w", d.ID, err)
	}
	return nil
}

// CancelDispatch cancels a dispatch and its letters that wait, and journals it;
// core.ErrNotFound when it is cancelled.
func (s *Store) CancelDispatch(ctx context.Context, who core.Access, id dispatch.ID, at time.Time) error {
	err := s.tx(ctx, who.Tenant, func(tx pgx.Tx) error {
		if err := record(ctx, tx, who, s.now()); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `UPDATE dispatch SET cancelled_at = $4 WHERE tenant_id = $1 AND citizen_id = $2 AND id::text = $3 AND cancelled_at IS NULL`,
			who.Tenant, who.Vault, string(id), at)
		if err := affected(tag.RowsAffected(), err); err != nil {
			return err
		}
		return recallDispatch(ctx, tx, who.Tenant, who.Vault, id, "by_hand", at)
	})
	if err != nil {
		return fmt.Errorf("cancel dispatch %s: %w", id, err)
	}
	return nil
}

func recallDispatch(ctx context.Context, tx pgx.Tx, tenant core.TenantID, vault core.CitizenID, id dispatch.ID, code string, at time.Time) error {
	return recall(ctx, tx, tenant, code, at, `SELECT id::text FROM dispatch_part WHERE tenant_id = $1 AND citizen_id = $4 AND dispatch_id = $5`, vault, id)
}

// recallDocuments cancels the letters that wait and hold one of the documents: they have
// left the vault (SEC-17).
func recallDocuments(ctx context.Context, tx pgx.Tx, tenant core.TenantID, vault core.CitizenID, gone []core.DocumentID, at time.Time) error {
	if len(gone) == 0 {
		return nil
	}
	return recall(ctx, tx, tenant, "withdrawn", at, `
		SELECT part_id::text FROM dispatch_document WHERE tenant_id = $1 AND citizen_id = $4 AND document_id = ANY($5::uuid[])`, vault, gone)
}

// recall cancels the letters that wait of the parts which a query names, its arguments
// from $4 on. One that is being sent at this moment cannot be called back for certain: its
// code ends in _late, and what the mailer says of it afterwards is stale.
func recall(ctx context.Context, tx pgx.Tx, tenant core.TenantID, code string, at time.Time, parts string, args ...any) error {
	_, err := tx.Exec(ctx, `
		UPDATE letter SET state = 'cancelled', settled_at = $3, code = $2 || CASE WHEN lease_until > clock_timestamp() THEN '_late' ELSE '' END
		WHERE tenant_id = $1 AND kind = 'dispatch' AND state = 'waiting' AND object_id IN (`+parts+`)`,
		append([]any{tenant, code, at}, args...)...)
	if err != nil {
		return fmt.Errorf("recall letters: %w", err)
	}
	return nil
}

// obey sends a document that has gone from one state to another wherever the rules for
// its type say, in the transaction of that change. What does not prove anything any more
// goes nowhere by itself, and no version goes to a service by rules twice.
func obey(ctx context.Context, tx pgx.Tx, tenant core.TenantID, vault core.CitizenID, id core.DocumentID, from, to core.DocumentState, now time.Time) error {
	moments := dispatch.Moments(from, to)
	if len(moments) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `
		SELECT r.purpose, `+serviceColumns+`
		FROM document d
		JOIN service_rule r ON r.tenant_id = d.tenant_id AND r.type = d.type AND r.moment = ANY($4)
		JOIN service s ON s.tenant_id = r.tenant_id AND s.id = r.service_id AND s.removed_at IS NULL
		WHERE d.tenant_id = $1 AND d.citizen_id = $2 AND d.id = $3 AND d.standing = 'current' AND (d.valid_until IS NULL OR d.valid_until >= $5::date)
		ORDER BY s.code`, tenant, vault, id, moments, core.DateOf(now).String())
	if err != nil {
		return err
	}
	ruled, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (d dispatch.Dispatch, err error) {
		return d, r.Scan(append([]any{&d.Purpose}, into(&d.Service)...)...)
	})
	if err != nil || len(ruled) == 0 {
		return err
	}
	version, files, err := filesOf(ctx, tx, tenant, vault, id)
	if err != nil || len(files) == 0 {
		return err
	}
	for _, d := range ruled {
		d.Tenant, d.Vault, d.ID, d.Document, d.Sending, d.Created = tenant, vault, core.NewID[dispatch.ID](), id, 1, now
		d.Lay([]dispatch.Candidate{{Document: id, Files: files}})
		if err := insertRuled(ctx, tx, d, version, now); err != nil {
			return fmt.Errorf("rule of service %s: %w", d.Service.ID, err)
		}
	}
	return nil
}

// insertRuled writes a dispatch that a rule makes, unless there was one before.
func insertRuled(ctx context.Context, tx pgx.Tx, d dispatch.Dispatch, version int, now time.Time) error {
	tag, err := tx.Exec(ctx, `
		INSERT INTO dispatch (tenant_id, citizen_id, id, service_id, rule_document, rule_version, purpose, sending, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (tenant_id, citizen_id, service_id, rule_document, rule_version) DO NOTHING`,
		d.Tenant, d.Vault, d.ID, d.Service.ID, d.Document, version, d.Purpose, d.Sending, d.Created)
	if err != nil || tag.RowsAffected() == 0 {
		return err
	}
	if err := record(ctx, tx, d.Disclosure(d.Document), now); err != nil {
		return err
	}
	return insertParts(ctx, tx, d)
}

// filesOf is the version of a document that is in force, and the sizes of its files, in
// order; none when one of them is but a part of a file, which cannot go alone.
func filesOf(ctx context.Context, tx pgx.Tx, tenant core.TenantID, vault core.CitizenID, id core.DocumentID) (version int, files []int64, err error) {
	rows, err := tx.Query(ctx, `
		SELECT v.n, f.size, p.pages IS NOT NULL FROM document_version v
		JOIN version_part p ON p.tenant_id = v.tenant_id AND p.citizen_id = v.citizen_id AND p.document_id = v.document_id AND p.version = v.n
		JOIN piece f ON f.tenant_id = p.tenant_id AND f.id = p.piece_id
		WHERE v.tenant_id = $1 AND v.citizen_id = $2 AND v.document_id = $3 AND v.left_at IS NULL ORDER BY p.n`, tenant, vault, id)
	if err != nil {
		return 0, nil, err
	}
	var size int64
	var some, part bool
	_, err = pgx.ForEachRow(rows, []any{&version, &size, &some}, func() error {
		files, part = append(files, size), part || some
		return nil
	})
	if part {
		return version, nil, err
	}
	return version, files, err
}
