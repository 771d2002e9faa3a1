package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
	"vaguemestre/core/attribution"
	"vaguemestre/core/opening"
)

// AddressByHash finds an address in force; core.ErrNotFound for unknown, revoked and
// expired ones alike.
func (s *Store) AddressByHash(ctx context.Context, keyedHash []byte) (core.Address, error) {
	var a core.Address
	err := s.once(ctx, "", func(b *pgx.Batch) {
		b.Queue(`SELECT tenant_id, id, set_config('vaguemestre.tenant', tenant_id::text, true) IS NOT NULL FROM address WHERE keyed_hash = $1`, keyedHash).
			QueryRow(func(r pgx.Row) error { return r.Scan(&a.Tenant, &a.ID, nil) })
		b.Queue(`
			SELECT citizen_id::text FROM deposit_address
			WHERE tenant_id = current_tenant() AND id = (SELECT id FROM address WHERE keyed_hash = $1)
			  AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
			UNION ALL
			SELECT '' FROM generic_address
			WHERE tenant_id = current_tenant() AND id = (SELECT id FROM address WHERE keyed_hash = $1) AND revoked_at IS NULL`, keyedHash, s.now()).
			QueryRow(func(r pgx.Row) error { return r.Scan(&a.Vault) })
	})
	if err != nil {
		return core.Address{}, fmt.Errorf("find address: %w", one(err))
	}
	return a, nil
}

// IntakePublic is the tenant's public intake keyset.
func (s *Store) IntakePublic(ctx context.Context, tenant core.TenantID) (public []byte, err error) {
	err = s.tx(ctx, tenant, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT intake_public FROM tenant WHERE id = $1`, tenant).Scan(&public)
	})
	if err != nil {
		return nil, fmt.Errorf("tenant %s: %w", tenant, one(err))
	}
	return public, nil
}

// Deposit reads a leased deposit for opening.
func (s *Store) Deposit(ctx context.Context, lease core.Lease) (opening.Deposit, error) {
	d := opening.Deposit{ID: core.DepositID(lease.ID), Tenant: lease.Tenant}
	err := s.tx(ctx, lease.Tenant, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			SELECT coalesce(d.citizen_id::text,''), d.channel, d.journey, d.trust, d.trust_reason, d.received_at, d.envelope, coalesce(a.object_id::text,'')
			FROM deposit d LEFT JOIN deposit_address a ON a.tenant_id = d.tenant_id AND a.id = d.address_id AND a.purpose = 'reply'
			WHERE d.tenant_id = $1 AND d.id = $2`, lease.Tenant, lease.ID).
			Scan(&d.Vault, &d.Channel, &d.Journey, &d.Trust, &d.TrustWhy, &d.Received, &d.Envelope, &d.Answers)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `
			SELECT type, object_id, ref, size, digest, wrapped, meta FROM deposit_body
			WHERE tenant_id = $1 AND deposit_id = $2 ORDER BY n`, lease.Tenant, lease.ID)
		if err != nil {
			return err
		}
		d.Bodies, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (b core.SealedBody, err error) {
			err = r.Scan(&b.Type, &b.Sealed.Object, &b.Sealed.Ref, &b.Sealed.Size, &b.Digest, &b.Sealed.Wrapped, &b.Meta)
			return b, err
		})
		return err
	})
	if err != nil {
		return opening.Deposit{}, fmt.Errorf("read deposit %s: %w", lease.ID, one(err))
	}
	return d, nil
}

// Opened commits the pieces of a deposit, the body keys re-wrapped for its vault, and
// the state, in one transaction; core.ErrStale when the lease has passed on.
func (s *Store) Opened(ctx context.Context, lease core.Lease, o opening.Opened) error {
	err := s.tx(ctx, lease.Tenant, func(tx pgx.Tx) error {
		if err := holds(ctx, tx, lease); err != nil {
			return err
		}
		batch := &pgx.Batch{}
		for _, p := range o.Pieces {
			batch.Queue(`
				INSERT INTO piece (tenant_id, id, deposit_id, citizen_id, n, object_id, ref, size, digest, wrapped, meta, state, reason, sentence)
				VALUES ($1, $2, $3, nullif($4,'')::uuid, $5, $6, $7, $8, $9, $10, $11, $12, nullif($13,''), nullif($14,''))`,
				p.Tenant, p.ID, p.Deposit, string(p.Vault), p.N, p.Sealed.Object, p.Sealed.Ref, p.Sealed.Size, p.Digest, p.Sealed.Wrapped, p.Meta, p.State, p.Reason, p.Sentence)
		}
		for i, wrapped := range o.Rewrapped {
			batch.Queue(`UPDATE deposit_body SET wrapped = $4 WHERE tenant_id = $1 AND deposit_id = $2 AND n = $3`,
				lease.Tenant, lease.ID, i+1, wrapped)
		}
		batch.Queue(`UPDATE deposit SET state = 'opened', citizen_id = $3, trust = $4, trust_reason = $5, pieces = $6, note = $7, origin = $8, signed = nullif($9,''), lease_until = NULL, reason = nullif($10,'')
			WHERE tenant_id = $1 AND id = $2`, lease.Tenant, lease.ID, o.Vault, int(o.Trust), o.Attribution.Reason, len(o.Pieces), o.Note, o.Origin, o.Signed, o.Reason)
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return err
		}
		return postLetters(ctx, tx, o.Letters, s.now())
	})
	if err != nil {
		return fmt.Errorf("record opening of deposit %s: %w", lease.ID, err)
	}
	return nil
}

// Hold puts a deposit on the desk, unopened, where it waits for a person for as long as
// the desk keeps it; core.ErrStale when the lease has passed on.
func (s *Store) Hold(ctx context.Context, lease core.Lease, h opening.Held) error {
	err := s.tx(ctx, lease.Tenant, func(tx pgx.Tx) error {
		if err := holds(ctx, tx, lease); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			UPDATE deposit SET state = 'held', trust = $3, trust_reason = $4, reason = $5, origin = $6, held_until = $7, lease_until = NULL
			WHERE tenant_id = $1 AND id = $2`, lease.Tenant, lease.ID, int(h.Trust), h.Attribution.Reason, h.Reason, h.Origin, s.now().Add(attribution.HeldFor))
		if err != nil {
			return err
		}
		return postLetters(ctx, tx, h.Letters, s.now())
	})
	if err != nil {
		return fmt.Errorf("hold deposit %s: %w", lease.ID, err)
	}
	return nil
}

// DepositRow is a deposit as lists show it.
type DepositRow struct {
	ID       core.DepositID    `json:"id"`
	Channel  string            `json:"channel"`
	State    core.DepositState `json:"state"`
	Reason   string            `json:"reason,omitempty"`
	Sentence string            `json:"sentence,omitempty"` // why, for a person
	Citizen  core.CitizenID    `json:"citizen,omitempty"`
	Trust    int               `json:"trust"`
	TrustWhy string            `json:"trust_reason"`
	Received time.Time         `json:"received"`
	Signed   string            `json:"signed,omitempty"`     // kind of signature noted, not verified
	Until    *time.Time        `json:"held_until,omitempty"` // destroyed then, unless it is attached
	Pieces   []PieceRow        `json:"pieces"`
}

// PieceRow is a piece as lists show it.
type PieceRow struct {
	ID       core.PieceID    `json:"id"`
	N        int             `json:"n"`
	State    core.PieceState `json:"state"`
	Desk     core.Desk       `json:"desk,omitempty"`
	Reason   string          `json:"reason,omitempty"`
	Sentence string          `json:"sentence,omitempty"`
	Kind     core.Kind       `json:"kind,omitempty"`
	Size     int64           `json:"size"`
	Document core.DocumentID `json:"document,omitempty"`
}

// Deposits lists the tenant's deposits, oldest first, with their pieces. Only plain
// columns: nothing is opened.
func (s *Store) Deposits(ctx context.Context, tenant core.TenantID) ([]DepositRow, error) {
	var out []DepositRow
	err := s.tx(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT id, channel, state, coalesce(reason,''), coalesce(sentence,''), coalesce(citizen_id::text,''), trust, trust_reason, received_at, coalesce(signed,''), held_until
			FROM deposit WHERE tenant_id = $1 ORDER BY received_at, id`, tenant)
		if err != nil {
			return err
		}
		at := map[core.DepositID]int{}
		out, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (d DepositRow, err error) {
			d.Pieces = []PieceRow{}
			err = r.Scan(&d.ID, &d.Channel, &d.State, &d.Reason, &d.Sentence, &d.Citizen, &d.Trust, &d.TrustWhy, &d.Received, &d.Signed, &d.Until)
			return d, err
		})
		if err != nil {
			return err
		}
		for i, d := range out {
			at[d.ID] = i
		}
		rows, err = tx.Query(ctx, `
			SELECT deposit_id, id, n, state, desk, coalesce(reason,''), coalesce(sentence,''), coalesce(kind,''), size, coalesce(document_id::text,'')
			FROM piece WHERE tenant_id = $1 ORDER BY deposit_id, n`, tenant)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var deposit core.DepositID
			var p PieceRow
			if err := rows.Scan(&deposit, &p.ID, &p.N, &p.State, &p.Desk, &p.Reason, &p.Sentence, &p.Kind, &p.Size, &p.Document); err != nil {
				return err
			}
			if i, ok := at[deposit]; ok {
				out[i].Pieces = append(out[i].Pieces, p)
			}
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list deposits: %w", err)
	}
	return out, nil
}
