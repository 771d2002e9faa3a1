package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
	"vaguemestre/core/filing"
	"vaguemestre/core/pipeline"
)

const pieceColumns = `p.tenant_id, p.id, p.deposit_id, coalesce(p.citizen_id::text,''), d.channel, d.journey, d.trust, p.n,
	p.object_id, p.ref, p.size, p.wrapped, p.meta, p.state, p.desk, coalesce(p.reason,''), coalesce(p.sentence,''),
	coalesce(p.kind,''), coalesce(p.pages,0), coalesce(p.document_id::text,''),
	coalesce((SELECT a.object_id::text FROM deposit_address a WHERE a.tenant_id = d.tenant_id AND a.id = d.address_id AND a.purpose = 'reply'),'')`

func scanPiece(row pgx.Row, p *core.Piece) error {
	return row.Scan(&p.Tenant, &p.ID, &p.Deposit, &p.Vault, &p.Channel, &p.Journey, &p.Trust, &p.N,
		&p.Sealed.Object, &p.Sealed.Ref, &p.Sealed.Size, &p.Sealed.Wrapped, &p.Meta, &p.State, &p.Desk, &p.Reason, &p.Sentence,
		&p.Kind, &p.Pages, &p.Document, &p.Answers)
}

// Piece reads a leased piece with its artifacts, when it arrived, and whether its
// owner consents to having it read.
func (s *Store) Piece(ctx context.Context, lease core.Lease) (pipeline.Piece, error) {
	var p pipeline.Piece
	err := s.tx(ctx, lease.Tenant, func(tx pgx.Tx) error {
		err := scanPiece(tx.QueryRow(ctx, `SELECT `+pieceColumns+` FROM piece p JOIN deposit d ON d.tenant_id = p.tenant_id AND d.id = p.deposit_id
			WHERE p.tenant_id = $1 AND p.id = $2`, lease.Tenant, lease.ID), &p.Piece)
		if err != nil {
			return err
		}
		err = tx.QueryRow(ctx, `
			SELECT d.received_at, coalesce(c.reading_consent_at IS NOT NULL AND c.reading_consent_revoked IS NULL, false)
			FROM deposit d LEFT JOIN citizen c ON c.tenant_id = d.tenant_id AND c.id = d.citizen_id
			WHERE d.tenant_id = $1 AND d.id = $2`, lease.Tenant, p.Deposit).Scan(&p.Received, &p.ReadingConsent)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT kind, producer, sealed FROM artifact WHERE tenant_id = $1 AND piece_id = $2 AND sealed IS NOT NULL ORDER BY created_at`,
			lease.Tenant, lease.ID)
		if err != nil {
			return err
		}
		p.Artifacts, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (a core.Artifact, err error) {
			return a, r.Scan(&a.Kind, &a.Producer, &a.Sealed)
		})
		return err
	})
	if err != nil {
		return pipeline.Piece{}, fmt.Errorf("read piece %s: %w", lease.ID, one(err))
	}
	return p, nil
}

// Amend lets change edit the leased piece and commits its state, desk, reason, kind,
// pages and new artifacts. A final state gives the lease back. core.ErrStale when the
// lease has passed to another.
func (s *Store) Amend(ctx context.Context, lease core.Lease, change func(*core.Piece) error) error {
	err := s.tx(ctx, lease.Tenant, func(tx pgx.Tx) error {
		if err := holds(ctx, tx, lease); err != nil {
			return err
		}
		var p core.Piece
		err := scanPiece(tx.QueryRow(ctx, `SELECT `+pieceColumns+` FROM piece p JOIN deposit d ON d.tenant_id = p.tenant_id AND d.id = p.deposit_id
			WHERE p.tenant_id = $1 AND p.id = $2`, lease.Tenant, lease.ID), &p)
		if err != nil {
			return err
		}
		if err := change(&p); err != nil {
			return err
		}
		batch := &pgx.Batch{}
		batch.Queue(`
			UPDATE piece SET state = $3, desk = $4, reason = nullif($5,''), sentence = nullif($6,''), kind = nullif($7,''), pages = nullif($8,0),
			       lease_until = CASE WHEN $3 IN ('waiting','examined','recognised') THEN lease_until END
			WHERE tenant_id = $1 AND id = $2`,
			p.Tenant, p.ID, p.State, p.Desk, p.Reason, p.Sentence, p.Kind, p.Pages)
		for _, a := range p.Artifacts {
			batch.Queue(`
				INSERT INTO artifact (tenant_id, piece_id, kind, producer, sealed, created_at) VALUES ($1, $2, $3, $4, $5, $6)
				ON CONFLICT DO NOTHING`, p.Tenant, p.ID, a.Kind, a.Producer, a.Sealed, s.now())
		}
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return err
		}
		if p.State.Open() {
			return nil
		}
		return resultDue(ctx, tx, lease.Tenant, lease.ID, s.now())
	})
	if err != nil {
		return fmt.Errorf("amend piece %s: %w", lease.ID, err)
	}
	return nil
}

// File commits a document and the state of its piece, with the journal's entry and what
// the rules of services send on, in one transaction (REL-09). Content that stands in the
// vault already becomes no second document and no second version: the piece joins the one
// that is there. filing.ErrAnswered when what a reply replaces has changed meanwhile.
func (s *Store) File(ctx context.Context, lease core.Lease, f filing.Filed) (core.DocumentID, error) {
	d := f.Document
	err := s.tx(ctx, lease.Tenant, func(tx pgx.Tx) error {
		if err := holds(ctx, tx, lease); err != nil {
			return err
		}
		// The journal comes first: its head's lock lets one filing at a time into a vault,
		// so that two copies of one file cannot both find the vault without it.
		if err := record(ctx, tx, f.Access, s.now()); err != nil {
			return err
		}
		version, err := place(ctx, tx, lease, &f, s.now())
		if err != nil {
			return err
		}
		d = f.Document
		_, err = tx.Exec(ctx, `UPDATE piece SET state = 'filed', document_id = $3, version = $4, lease_until = NULL, reason = nullif($5,''), desk = '' WHERE tenant_id = $1 AND id = $2`,
			lease.Tenant, lease.ID, d.ID, version, f.Reason)
		if err != nil {
			return err
		}
		return resultDue(ctx, tx, lease.Tenant, lease.ID, s.now())
	})
	if err != nil {
		return "", fmt.Errorf("file piece %s: %w", lease.ID, err)
	}
	return d.ID, nil
}

// place puts what was filed into the vault, and says which version of which document it
// is: of one that is there already, of the one it replaces, or of a new one.
func place(ctx context.Context, tx pgx.Tx, lease core.Lease, f *filing.Filed, now time.Time) (version int, err error) {
	d := &f.Document
	var there core.DocumentID
	err = tx.QueryRow(ctx, `SELECT document_id, n FROM document_version WHERE tenant_id = $1 AND citizen_id = $2 AND fingerprint = $3 AND left_at IS NULL`,
		d.Tenant, d.Vault, f.Fingerprint).Scan(&there, &version)
	if err == nil {
		d.ID, f.Reason = there, ""
		return version, nil
	}
	if !noRows(err) {
		return 0, err
	}
	if d.Replaces != "" {
		if err := stillAnswers(ctx, tx, lease, *d); err != nil {
			return 0, err
		}
	}
	if version = 1; d.ID == d.Replaces {
		version, err = newVersion(ctx, tx, *f)
	} else {
		err = insertDocument(ctx, tx, *f)
	}
	if err != nil {
		return 0, err
	}
	return version, obey(ctx, tx, d.Tenant, d.Vault, d.ID, "", d.State, now)
}

func insertDocument(ctx context.Context, tx pgx.Tx, f filing.Filed) error {
	d := f.Document
	batch := &pgx.Batch{}
	batch.Queue(`
		INSERT INTO document (tenant_id, citizen_id, id, type, catalogue, state, standing, channel, journey, valid_until, retain_until, created_at, replaces)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, nullif($10,'')::date, nullif($11,'')::date, $12, nullif($13,'')::uuid)`,
		d.Tenant, d.Vault, d.ID, d.Type, d.Catalogue, d.State, d.Standing, d.Channel, d.Journey, d.ValidUntil.String(), d.RetainUntil.String(), d.Created, string(d.Replaces))
	batch.Queue(`
		INSERT INTO document_version (tenant_id, citizen_id, document_id, n, fingerprint, meta, size, created_at)
		VALUES ($1, $2, $3, 1, $4, $5, $6, $7)`,
		d.Tenant, d.Vault, d.ID, f.Fingerprint, d.Meta, d.Size, d.Created)
	queueParts(batch, d, 1)
	return tx.SendBatch(ctx, batch).Close()
}
