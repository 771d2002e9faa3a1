package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
	"vaguemestre/core/notice"
	"vaguemestre/core/tenant"
)

// contactFirst orders a citizen's verified senders: the address given at enrolment, then
// the one verified first. One from which a letter came back is left out until it was
// verified again.
const contactFirst = `AND bounced_at IS NULL ORDER BY contact DESC, verified_at, id LIMIT 1`

// Recipients reads the town's settings and, unless vault is "", the citizen's addresses.
func (s *Store) Recipients(ctx context.Context, t core.TenantID, vault core.CitizenID) (to notice.Recipients, err error) {
	var raw []byte
	err = s.once(ctx, t, func(b *pgx.Batch) {
		b.Queue(`SELECT settings FROM tenant_settings WHERE tenant_id = $1 ORDER BY version DESC LIMIT 1`, t).
			QueryRow(func(r pgx.Row) error { return r.Scan(&raw) })
		b.Queue(`
			SELECT (SELECT keyed_hash FROM sender WHERE tenant_id = $1 AND citizen_id::text = $2 AND verified_at IS NOT NULL AND revoked_at IS NULL `+contactFirst+`),
			       coalesce((SELECT array_agg(keyed_hash) FROM sender WHERE tenant_id = $1 AND citizen_id::text = $2 AND revoked_at IS NULL), '{}')`, t, string(vault)).
			QueryRow(func(r pgx.Row) error { return r.Scan(&to.Contact, &to.Addresses) })
	})
	if err == nil {
		to.Settings, err = tenant.Parse(raw)
	}
	if err != nil {
		return notice.Recipients{}, fmt.Errorf("recipients of tenant %s: %w", t, one(err))
	}
	return to, nil
}

// Owner says whose a deposit is; "" for nobody's.
func (s *Store) Owner(ctx context.Context, t core.TenantID, deposit core.DepositID) (owner core.CitizenID, err error) {
	err = s.tx(ctx, t, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT coalesce(citizen_id::text,'') FROM deposit WHERE tenant_id = $1 AND id::text = $2`, t, string(deposit)).Scan(&owner)
	})
	if err != nil {
		return "", fmt.Errorf("owner of deposit %s: %w", deposit, one(err))
	}
	return owner, nil
}

// resultDue lets the result of a piece's deposit be told once no piece of it is under way
// any more. A result that was told before, or is being told, while one was, is followed
// by a last one. The letter's lock lets pieces that end together look one after another,
// so that the last of them finds itself the last.
func resultDue(ctx context.Context, tx pgx.Tx, t core.TenantID, piece string, at time.Time) error {
	var id core.LetterID
	var deposit core.DepositID
	var waits bool
	err := tx.QueryRow(ctx, `
		SELECT l.id, p.deposit_id, l.state = 'waiting' AND coalesce(l.lease_until <= clock_timestamp(), true)
		FROM piece p JOIN letter l ON l.tenant_id = p.tenant_id AND l.kind = 'result' AND l.object_id = p.deposit_id::text AND l.once = p.citizen_id::text
		WHERE p.tenant_id = $1 AND p.id = $2 AND l.state <> 'cancelled' FOR UPDATE OF l`, t, piece).Scan(&id, &deposit, &waits)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("result letter: %w", err)
	}
	var open bool
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM piece WHERE tenant_id = $1 AND deposit_id = $2 AND state IN ('waiting','examined','recognised'))`, t, deposit).Scan(&open)
	if err != nil || open {
		return err
	}
	if waits {
		_, err = tx.Exec(ctx, `UPDATE letter SET next_at = $3 WHERE tenant_id = $1 AND id = $2 AND next_at > $3`, t, id, at)
		return err
	}
	last := core.LetterOrder{ID: core.NewID[core.LetterID](), Tenant: t, Kind: core.LetterResult, Object: string(deposit), Due: at, Limit: notice.PerDay}
	err = tx.QueryRow(ctx, `SELECT coalesce(citizen_id::text,''), once, counted FROM letter WHERE tenant_id = $1 AND id = $2`, t, id).Scan(&last.Vault, &last.Once, &last.Address)
	if err != nil {
		return err
	}
	last.Once += notice.Last
	return postLetters(ctx, tx, []core.LetterOrder{last}, at)
}

// silence cancels the letters on a deposit that still wait to be told to a vault.
func silence(ctx context.Context, tx pgx.Tx, t core.TenantID, vault core.CitizenID, deposit core.DepositID, at time.Time) error {
	_, err := tx.Exec(ctx, `
		UPDATE letter SET state = 'cancelled', code = 'detached', settled_at = $4
		WHERE tenant_id = $1 AND citizen_id = $2 AND object_id = $3 AND state = 'waiting'`, t, vault, string(deposit), at)
	return err
}

// Told reads a deposit as letters speak of it; core.ErrNotFound.
func (s *Store) Told(ctx context.Context, t core.TenantID, deposit core.DepositID) (notice.Told, error) {
	told := notice.Told{Deposit: deposit}
	err := s.tx(ctx, t, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			SELECT coalesce(d.citizen_id::text,''), d.channel, d.state, d.trust, d.received_at, d.envelope, d.origin, coalesce(b.object_id::text,''), coalesce(b.wrapped,'')
			FROM deposit d LEFT JOIN deposit_body b ON b.tenant_id = d.tenant_id AND b.deposit_id = d.id AND b.n = 1
			WHERE d.tenant_id = $1 AND d.id::text = $2`, t, string(deposit)).
			Scan(&told.Vault, &told.Channel, &told.State, &told.Trust, &told.Received, &told.Envelope, &told.Origin, &told.Body.Object, &told.Body.Wrapped)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `
			SELECT p.state, p.desk, coalesce(p.reason,''), coalesce(p.sentence,''), coalesce(d.type,''), coalesce(d.state,''), coalesce(d.standing,''), coalesce(d.valid_until::text,'')
			FROM piece p LEFT JOIN document d ON d.tenant_id = p.tenant_id AND d.citizen_id = p.citizen_id AND d.id = p.document_id
			WHERE p.tenant_id = $1 AND p.deposit_id::text = $2 AND p.state <> 'set_aside' ORDER BY p.n`, t, string(deposit))
		if err != nil {
			return err
		}
		told.Pieces, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (p notice.ToldPiece, err error) {
			var valid string
			if err := r.Scan(&p.State, &p.Desk, &p.Reason, &p.Sentence, &p.Type, &p.Document, &p.Standing, &valid); err != nil {
				return p, err
			}
			return p, p.ValidUntil.UnmarshalText([]byte(valid))
		})
		return err
	})
	if err != nil {
		return notice.Told{}, fmt.Errorf("read deposit %s: %w", deposit, one(err))
	}
	return told, nil
}

// Contact reads the address letters to a citizen go to; core.ErrNotFound when none is
// verified.
func (s *Store) Contact(ctx context.Context, t core.TenantID, vault core.CitizenID) (notice.Contact, error) {
	return s.contact(ctx, t, `citizen_id = $2 AND verified_at IS NOT NULL AND revoked_at IS NULL `+contactFirst, vault)
}

// SenderContact reads one sender in force of the citizen's; core.ErrNotFound.
func (s *Store) SenderContact(ctx context.Context, t core.TenantID, vault core.CitizenID, id core.SenderID) (notice.Contact, error) {
	return s.contact(ctx, t, `citizen_id = $2 AND id::text = $3 AND revoked_at IS NULL`, vault, string(id))
}

func (s *Store) contact(ctx context.Context, t core.TenantID, where string, args ...any) (c notice.Contact, err error) {
	err = s.tx(ctx, t, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT sealed, verified_at IS NOT NULL FROM sender WHERE tenant_id = $1 AND `+where, append([]any{t}, args...)...).Scan(&c.Box, &c.Verified)
	})
	if err != nil {
		return notice.Contact{}, fmt.Errorf("contact: %w", one(err))
	}
	return c, nil
}

// ReceiptRow is the registration of a deposit as its owner keeps it, in the vault whether
// a letter went out or not. Its service is the one in charge when it came.
type ReceiptRow struct {
	Number   core.DepositID    `json:"number"`
	Received time.Time         `json:"received"`
	Channel  string            `json:"channel"`
	State    core.DepositState `json:"state"`
	Files    int               `json:"files"` // those set aside left out
	Service  string            `json:"service"`
	Address  string            `json:"service_address"`
	Phone    string            `json:"service_phone"`
	Email    string            `json:"service_email,omitempty"`
	Hours    string            `json:"service_hours,omitempty"`
	Letter   core.LetterState  `json:"letter,omitempty"` // of the receipt, or else of the result; "": none was ordered
}

// Receipts lists the deposits of a vault, oldest first, and journals it.
func (s *Store) Receipts(ctx context.Context, who core.Access) (out []ReceiptRow, err error) {
	err = s.tx(ctx, who.Tenant, func(tx pgx.Tx) error {
		if err := record(ctx, tx, who, s.now()); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `
			SELECT d.id, d.received_at, d.channel, d.state,
			       (SELECT count(*) FROM piece p WHERE p.tenant_id = d.tenant_id AND p.deposit_id = d.id AND p.state <> 'set_aside'),
			       coalesce(t.settings->>'service_name',''), coalesce(t.settings->>'service_address',''), coalesce(t.settings->>'service_phone',''),
			       coalesce(t.settings->>'service_email',''), coalesce(t.settings->>'service_hours',''),
			       coalesce((SELECT l.state FROM letter l WHERE l.tenant_id = d.tenant_id AND l.citizen_id = d.citizen_id AND l.object_id = d.id::text AND l.once <> 'sender'
			                 ORDER BY l.kind, l.created_at LIMIT 1), '')
			FROM deposit d JOIN LATERAL (
			  SELECT settings FROM tenant_settings s WHERE s.tenant_id = d.tenant_id ORDER BY created_at <= d.received_at DESC,
			         CASE WHEN created_at <= d.received_at THEN version ELSE -version END DESC LIMIT 1) t ON true
			WHERE d.tenant_id = $1 AND d.citizen_id = $2 AND d.state <> 'destroyed' ORDER BY d.received_at, d.id`, who.Tenant, who.Vault)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (d ReceiptRow, err error) {
			return d, r.Scan(&d.Number, &d.Received, &d.Channel, &d.State, &d.Files, &d.Service, &d.Address, &d.Phone, &d.Email, &d.Hours, &d.Letter)
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list receipts: %w", err)
	}
	return out, nil
}

// Untold names the citizen's deposits whose result was one letter too many between two
// times: those of whom it is best proven that they are the citizen's first, then the oldest.
func (s *Store) Untold(ctx context.Context, t core.TenantID, vault core.CitizenID, from, to time.Time) (ids []core.DepositID, err error) {
	err = s.tx(ctx, t, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT l.object_id FROM letter l JOIN deposit d ON d.tenant_id = l.tenant_id AND d.citizen_id = l.citizen_id AND d.id::text = l.object_id
			WHERE l.tenant_id = $1 AND l.citizen_id = $2 AND l.kind = 'result' AND l.state = 'cancelled' AND l.code = 'daily_cap' AND l.created_at >= $3 AND l.created_at < $4
			ORDER BY d.trust DESC, l.created_at, l.id`, t, vault, from, to)
		if err != nil {
			return err
		}
		ids, err = pgx.CollectRows(rows, pgx.RowTo[core.DepositID])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("deposits untold: %w", err)
	}
	return ids, nil
}
