package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
	"vaguemestre/core/address"
	"vaguemestre/core/bounce"
	"vaguemestre/core/intake"
)

// RecordReport commits a report, or returns the id of the one that was there;
// core.ErrNotFound when its letter has had as many as it may.
func (s *Store) RecordReport(ctx context.Context, r intake.Report) (id core.ReportID, err error) {
	err = s.tx(ctx, r.Tenant, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			INSERT INTO report (tenant_id, id, letter, channel, fingerprint, received_at, sealed)
			SELECT $1, $2, $3, $4, $5, $6, $7 WHERE (SELECT count(*) FROM report WHERE tenant_id = $1 AND letter = $3) < $8
			ON CONFLICT (tenant_id, fingerprint) DO NOTHING RETURNING id`, r.Tenant, r.ID, r.Letter, r.Channel, r.Fingerprint, r.Received, r.Sealed, intake.ReportsAtMost).Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) {
			err = one(tx.QueryRow(ctx, `SELECT id FROM report WHERE tenant_id = $1 AND fingerprint = $2`, r.Tenant, r.Fingerprint).Scan(&id))
		}
		return err
	})
	return id, err
}

// Report reads a leased report.
func (s *Store) Report(ctx context.Context, lease core.Lease) (r bounce.Report, err error) {
	err = s.tx(ctx, lease.Tenant, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT letter, sealed FROM report WHERE tenant_id = $1 AND id = $2`, lease.Tenant, lease.ID).Scan(&r.Letter, &r.Sealed)
	})
	if err != nil {
		return bounce.Report{}, fmt.Errorf("read report %s: %w", lease.ID, one(err))
	}
	return r, nil
}

// ReadReport notes what a leased report says on its letter, flags its citizen when the
// letter came back for good, and ends the report, in one transaction. bounce.ErrEarly
// when the letter waits; core.ErrStale when the lease has passed on.
func (s *Store) ReadReport(ctx context.Context, lease core.Lease, said core.DeliveryReport) error {
	err := s.tx(ctx, lease.Tenant, func(tx pgx.Tx) error {
		if err := holds(ctx, tx, lease); err != nil {
			return err
		}
		reason := string(said.Delivery)
		switch said.Delivery {
		case core.DeliveryBounced, core.DeliveryDelayed, core.DeliveryDelivered:
			known, err := s.noteDelivery(ctx, tx, lease, said)
			if err != nil {
				return err
			}
			if !known {
				reason = "unknown_letter"
			}
		}
		_, err := tx.Exec(ctx, `UPDATE report SET state = 'read', reason = $3, lease_until = NULL WHERE tenant_id = $1 AND id = $2`, lease.Tenant, lease.ID, reason)
		return err
	})
	if err != nil {
		return fmt.Errorf("note report %s: %w", lease.ID, err)
	}
	return nil
}

// noteDelivery notes on a report's letter what became of it; known is false when there is
// no such letter, or it was never sent.
func (s *Store) noteDelivery(ctx context.Context, tx pgx.Tx, lease core.Lease, said core.DeliveryReport) (known bool, err error) {
	var prefix string
	if err := tx.QueryRow(ctx, `SELECT letter FROM report WHERE tenant_id = $1 AND id = $2`, lease.Tenant, lease.ID).Scan(&prefix); err != nil {
		return false, err
	}
	low, high := address.LetterRange(prefix)
	var l bounced
	err = tx.QueryRow(ctx, `SELECT id, coalesce(citizen_id::text,''), state, kind, once FROM letter WHERE tenant_id = $1 AND id BETWEEN $2 AND $3 LIMIT 1`, lease.Tenant, low, high).
		Scan(&l.id, &l.vault, &l.state, &l.kind, &l.once)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return false, nil
	case err != nil:
		return false, err
	case l.state == core.LetterWaiting:
		return false, bounce.ErrEarly
	}
	outcome := core.LetterOutcome{State: core.LetterState(said.Delivery), Code: string(said.Delivery), Status: said.Status}
	if err := letterStatus(ctx, tx, lease.Tenant, l.id, outcome, s.now()); err != nil {
		if errors.Is(err, core.ErrNotFound) {
			return false, nil
		}
		return false, err
	}
	if said.Delivery == core.DeliveryBounced && l.toContact() {
		err = s.unreachable(ctx, tx, lease.Tenant, l)
	}
	return true, err
}

// bounced is a letter of which a report speaks.
type bounced struct {
	id    core.LetterID
	vault core.CitizenID
	state core.LetterState
	kind  core.LetterKind
	once  string
}

// toContact reports whether the letter went to the address that letters to the citizen go
// to, and not to one that is yet to be verified, to another sender or to a service.
func (b bounced) toContact() bool {
	return b.vault != "" && b.kind != core.LetterDispatch && b.once != "sender" && !strings.HasPrefix(b.once, "verify_sender")
}

// unreachable notes that letters to the citizen's contact come back, until it is verified
// again.
func (s *Store) unreachable(ctx context.Context, tx pgx.Tx, tenant core.TenantID, b bounced) error {
	var sender core.SenderID
	err := tx.QueryRow(ctx, `
		UPDATE sender SET bounced_at = $3 WHERE tenant_id = $1 AND citizen_id = $2 AND id = (
		  SELECT id FROM sender WHERE tenant_id = $1 AND citizen_id = $2 AND verified_at IS NOT NULL AND revoked_at IS NULL `+contactFirst+`)
		RETURNING id`, tenant, b.vault, s.now()).Scan(&sender)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return record(ctx, tx, core.Access{Tenant: tenant, Vault: b.vault, Actor: "pipeline", Act: "contact_unreachable", Purpose: "letter_bounced", Object: string(sender)}, s.now())
}

// ExpireReports deletes the reports that came before a time, and returns how many.
func (s *Store) ExpireReports(ctx context.Context, tenant core.TenantID, now, before time.Time) (n int, err error) {
	err = s.tx(ctx, tenant, func(tx pgx.Tx) error {
		var near bool
		if err := tx.QueryRow(ctx, `SELECT abs(extract(epoch FROM clock_timestamp() - $1::timestamptz)) < 300`, now).Scan(&near); err != nil {
			return err
		}
		if !near {
			return errClocks
		}
		tag, err := tx.Exec(ctx, `DELETE FROM report WHERE tenant_id = $1 AND received_at < $2`, tenant, before)
		n = int(tag.RowsAffected())
		return err
	})
	return n, err
}

// ReportRow is a report as lists show it.
type ReportRow struct {
	ID       core.ReportID `json:"id"`
	Letter   core.LetterID `json:"letter,omitempty"` // "" when there is none of that id
	Channel  string        `json:"channel"`
	State    string        `json:"state"`
	Says     string        `json:"says,omitempty"`
	Received time.Time     `json:"received"`
}

// Reports lists what came to the town's return paths, oldest first.
func (s *Store) Reports(ctx context.Context, tenant core.TenantID) (out []ReportRow, err error) {
	err = s.tx(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT r.id, coalesce((SELECT l.id::text FROM letter l WHERE l.tenant_id = r.tenant_id AND l.id BETWEEN rpad(r.letter, 32, '0')::uuid AND rpad(r.letter, 32, 'f')::uuid LIMIT 1), ''),
			       r.channel, r.state, coalesce(r.reason,''), r.received_at
			FROM report r WHERE r.tenant_id = $1 ORDER BY r.received_at, r.id`, tenant)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (w ReportRow, err error) {
			return w, r.Scan(&w.ID, &w.Letter, &w.Channel, &w.State, &w.Says, &w.Received)
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list reports: %w", err)
	}
	return out, nil
}
