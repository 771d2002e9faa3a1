package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
	"vaguemestre/core/filing"
)

// Answered says what a leased piece's deposit answers: the deposit for which its address
// was made, and the documents that one brought and that still stand. A document that is
// only proposed in place of another counts as that other.
func (s *Store) Answered(ctx context.Context, lease core.Lease) (a filing.Answered, err error) {
	err = s.tx(ctx, lease.Tenant, func(tx pgx.Tx) error {
		a, err = answered(ctx, tx, lease)
		return err
	})
	if err != nil {
		return filing.Answered{}, fmt.Errorf("what piece %s answers: %w", lease.ID, err)
	}
	return a, nil
}

func answered(ctx context.Context, tx pgx.Tx, lease core.Lease) (a filing.Answered, err error) {
	var own core.DepositID
	var vault core.CitizenID
	err = tx.QueryRow(ctx, `
		SELECT d.id, d.citizen_id, a.object_id FROM piece p
		JOIN deposit d ON d.tenant_id = p.tenant_id AND d.id = p.deposit_id
		JOIN deposit_address a ON a.tenant_id = d.tenant_id AND a.id = d.address_id AND a.purpose = 'reply'
		WHERE p.tenant_id = $1 AND p.id = $2`, lease.Tenant, lease.ID).Scan(&own, &vault, &a.Deposit)
	if noRows(err) {
		return a, nil
	}
	if err != nil {
		return a, err
	}
	rows, err := tx.Query(ctx, `
		SELECT d.id, d.type, EXISTS (
		  SELECT 1 FROM piece mine WHERE mine.tenant_id = $1 AND mine.citizen_id = $2 AND mine.deposit_id = $4 AND mine.id <> $5 AND mine.state = 'filed'
		    AND (mine.document_id = d.id OR mine.document_id IN (SELECT id FROM document p WHERE p.tenant_id = $1 AND p.citizen_id = $2 AND p.replaces = d.id)))
		FROM document d
		WHERE d.tenant_id = $1 AND d.citizen_id = $2 AND d.standing IN ('current','expired') AND d.id IN (
		  SELECT coalesce(o.replaces, o.id) FROM document o JOIN piece p ON p.tenant_id = o.tenant_id AND p.citizen_id = o.citizen_id AND p.document_id = o.id
		  WHERE o.tenant_id = $1 AND o.citizen_id = $2 AND p.deposit_id = $3 AND p.state = 'filed')
		ORDER BY d.created_at, d.id`, lease.Tenant, vault, a.Deposit, own, lease.ID)
	if err != nil {
		return a, err
	}
	a.Documents, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (one filing.Answer, err error) {
		return one, r.Scan(&one.ID, &one.Type, &one.Taken)
	})
	return a, err
}

// stillAnswers returns filing.ErrAnswered unless the reply answers the document as it did
// when that was looked up.
func stillAnswers(ctx context.Context, tx pgx.Tx, lease core.Lease, d core.Document) error {
	a, err := answered(ctx, tx, lease)
	if err != nil {
		return err
	}
	same := 0
	for _, known := range a.Documents {
		switch {
		case known.Type != d.Type:
		case known.ID == d.Replaces && !known.Taken:
			same++
		default:
			return filing.ErrAnswered
		}
	}
	if same != 1 {
		return filing.ErrAnswered
	}
	return nil
}

// leave takes the version in force out of force, and keeps with it what the document was.
func leave(ctx context.Context, tx pgx.Tx, tenant core.TenantID, vault core.CitizenID, id core.DocumentID, at any) error {
	_, err := tx.Exec(ctx, `
		UPDATE document_version v SET left_at = $4, was_state = d.state, was_catalogue = d.catalogue, was_channel = d.channel, was_journey = d.journey,
		       was_valid = d.valid_until, was_retain = d.retain_until
		FROM document d
		WHERE v.tenant_id = $1 AND v.citizen_id = $2 AND v.document_id = $3 AND v.left_at IS NULL
		  AND d.tenant_id = v.tenant_id AND d.citizen_id = v.citizen_id AND d.id = v.document_id`, tenant, vault, id, at)
	return err
}

// newVersion makes what was filed the version in force of the document it replaces.
func newVersion(ctx context.Context, tx pgx.Tx, f filing.Filed) (n int, err error) {
	d := f.Document
	if err := leave(ctx, tx, d.Tenant, d.Vault, d.ID, d.Created); err != nil {
		return 0, err
	}
	err = tx.QueryRow(ctx, `
		INSERT INTO document_version (tenant_id, citizen_id, document_id, n, fingerprint, meta, size, created_at)
		SELECT $1, $2, $3, max(n) + 1, $4, $5, $6, $7 FROM document_version WHERE tenant_id = $1 AND citizen_id = $2 AND document_id = $3
		RETURNING n`, d.Tenant, d.Vault, d.ID, f.Fingerprint, d.Meta, d.Size, d.Created).Scan(&n)
	if err != nil {
		return 0, err
	}
	batch := &pgx.Batch{}
	queueParts(batch, d, n)
	batch.Queue(`
		UPDATE document SET catalogue = $4, state = $5, standing = $6, channel = $7, journey = $8, valid_until = nullif($9,'')::date, retain_until = nullif($10,'')::date
		WHERE tenant_id = $1 AND citizen_id = $2 AND id = $3`,
		d.Tenant, d.Vault, d.ID, d.Catalogue, d.State, d.Standing, d.Channel, d.Journey, d.ValidUntil.String(), d.RetainUntil.String())
	return n, tx.SendBatch(ctx, batch).Close()
}

func queueParts(batch *pgx.Batch, d core.Document, version int) {
	for i, part := range d.Parts {
		batch.Queue(`
			INSERT INTO version_part (tenant_id, citizen_id, document_id, version, n, piece_id, pages)
			VALUES ($1, $2, $3, $4, $5, $6, CASE WHEN $7 > 0 THEN int4range($7, $8, '[]') END)`,
			d.Tenant, d.Vault, d.ID, version, i+1, part.Piece, part.First, part.Last)
	}
}

// Replace makes what a proposal proposes a new version of the document it replaces, and
// journals it; the proposal is no more. core.ErrNotFound when it proposes nothing, or the
// other does not stand any more: then nothing was written.
func (s *Store) Replace(ctx context.Context, who core.Access, proposal core.DocumentID, to core.DocumentState, meta []byte) error {
	err := s.tx(ctx, who.Tenant, func(tx pgx.Tx) error {
		// The journal comes first: its head's lock lets one change at a time into a vault.
		if err := record(ctx, tx, who, s.now()); err != nil {
			return err
		}
		var id core.DocumentID
		err := tx.QueryRow(ctx, `
			SELECT d.id FROM document p JOIN document d ON d.tenant_id = p.tenant_id AND d.citizen_id = p.citizen_id AND d.id = p.replaces AND d.type = p.type
			WHERE p.tenant_id = $1 AND p.citizen_id = $2 AND p.id = $3 AND p.state = 'to_confirm' AND d.standing IN ('current','expired')`,
			who.Tenant, who.Vault, proposal).Scan(&id)
		if err != nil {
			return one(err)
		}
		return s.adopt(ctx, tx, who, proposal, id, to, meta)
	})
	if err != nil {
		return fmt.Errorf("replace by document %s: %w", proposal, err)
	}
	return nil
}

// adopt moves the proposal's one version, with its parts and pieces, to the document.
func (s *Store) adopt(ctx context.Context, tx pgx.Tx, who core.Access, proposal, id core.DocumentID, to core.DocumentState, meta []byte) error {
	if err := leave(ctx, tx, who.Tenant, who.Vault, id, s.now()); err != nil {
		return err
	}
	// The proposal leaves too, so that its content may stand in the document instead.
	if err := leave(ctx, tx, who.Tenant, who.Vault, proposal, s.now()); err != nil {
		return err
	}
	var n int
	err := tx.QueryRow(ctx, `
		INSERT INTO document_version (tenant_id, citizen_id, document_id, n, fingerprint, meta, size, created_at)
		SELECT $1, $2, $4, (SELECT max(n) + 1 FROM document_version WHERE tenant_id = $1 AND citizen_id = $2 AND document_id = $4), p.fingerprint, $5, p.size, $6
		FROM document_version p WHERE p.tenant_id = $1 AND p.citizen_id = $2 AND p.document_id = $3 ORDER BY p.n DESC LIMIT 1
		RETURNING n`, who.Tenant, who.Vault, proposal, id, meta, s.now()).Scan(&n)
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	batch.Queue(`
		INSERT INTO version_part (tenant_id, citizen_id, document_id, version, n, piece_id, pages)
		SELECT tenant_id, citizen_id, $4, $5, n, piece_id, pages FROM version_part p
		WHERE tenant_id = $1 AND citizen_id = $2 AND document_id = $3
		  AND version = (SELECT max(version) FROM version_part WHERE tenant_id = $1 AND citizen_id = $2 AND document_id = $3)`, who.Tenant, who.Vault, proposal, id, n)
	batch.Queue(`
		UPDATE document d SET catalogue = p.catalogue, state = $5, standing = p.standing, channel = p.channel, journey = p.journey, valid_until = p.valid_until, retain_until = p.retain_until
		FROM document p WHERE d.tenant_id = $1 AND d.citizen_id = $2 AND d.id = $4 AND p.tenant_id = $1 AND p.citizen_id = $2 AND p.id = $3`, who.Tenant, who.Vault, proposal, id, to)
	batch.Queue(`UPDATE piece SET document_id = $4, version = $5, reason = $6 WHERE tenant_id = $1 AND citizen_id = $2 AND document_id = $3`,
		who.Tenant, who.Vault, proposal, id, n, filing.ReasonReplaced)
	batch.Queue(`DELETE FROM version_part WHERE tenant_id = $1 AND citizen_id = $2 AND document_id = $3`, who.Tenant, who.Vault, proposal)
	batch.Queue(`DELETE FROM document_version WHERE tenant_id = $1 AND citizen_id = $2 AND document_id = $3`, who.Tenant, who.Vault, proposal)
	batch.Queue(`DELETE FROM document WHERE tenant_id = $1 AND citizen_id = $2 AND id = $3`, who.Tenant, who.Vault, proposal)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	return obey(ctx, tx, who.Tenant, who.Vault, id, "", to, s.now())
}
