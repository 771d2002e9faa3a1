package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
	"vaguemestre/core/citizen"
)

// AddCitizen commits a citizen with vault key, consent and first address.
func (s *Store) AddCitizen(ctx context.Context, e citizen.Enrolment) error {
	return s.tx(ctx, e.Tenant, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO citizen (tenant_id, id, identity, reading_consent_version, reading_consent_at, created_at)
			VALUES ($1, $2, $3, nullif($4,''), CASE WHEN $4 <> '' THEN $5::timestamptz END, $5)`,
			e.Tenant, e.ID, e.Identity, e.Consent, e.Created)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO vault_key (tenant_id, citizen_id, wrapped, created_at) VALUES ($1, $2, $3, $4)`, e.Tenant, e.ID, e.VaultKey, e.Created)
		if err != nil {
			return err
		}
		if err := addAddress(ctx, tx, e.Tenant, e.ID, e.Address); err != nil {
			return err
		}
		if err := addLikenesses(ctx, tx, e.Tenant, e.ID, e.Alike); err != nil {
			return err
		}
		if err := addContact(ctx, tx, e); err != nil {
			return err
		}
		who := core.Access{Tenant: e.Tenant, Vault: e.ID, Actor: "maintenance", Act: "enrol", Purpose: "open_vault"}
		return record(ctx, tx, who, s.now())
	})
}

// addContact notes the address given at enrolment, and orders the letter that proves it.
func addContact(ctx context.Context, tx pgx.Tx, e citizen.Enrolment) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO sender (tenant_id, citizen_id, id, keyed_hash, sealed, how, created_at, contact) VALUES ($1, $2, $3, $4, $5, $6, $7, true)`,
		e.Tenant, e.ID, e.Contact.ID, e.Contact.Hash, e.Contact.Sealed, e.Contact.How, e.Contact.Created)
	if err != nil {
		return err
	}
	return postLetters(ctx, tx, e.Letters, e.Created)
}

func addAddress(ctx context.Context, tx pgx.Tx, tenant core.TenantID, owner core.CitizenID, a citizen.Address) error {
	batch := &pgx.Batch{}
	batch.Queue(`INSERT INTO address (keyed_hash, tenant_id, id) VALUES ($1, $2, $3)`, a.Hash, tenant, a.ID)
	batch.Queue(`INSERT INTO deposit_address (tenant_id, id, citizen_id, sealed, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		tenant, a.ID, owner, a.Sealed, a.Created, orNull(a.Expires))
	return tx.SendBatch(ctx, batch).Close()
}

func addLikenesses(ctx context.Context, tx pgx.Tx, tenant core.TenantID, owner core.CitizenID, all []citizen.Likeness) error {
	batch := &pgx.Batch{}
	for _, l := range all {
		batch.Queue(`INSERT INTO likeness (tenant_id, citizen_id, kind, keyed_hash) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, tenant, owner, l.Kind, l.Hash)
	}
	return tx.SendBatch(ctx, batch).Close()
}

// orNull is a time for a column whose NULL means "none".
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// CitizenTenant finds whose citizen this is, tenant by tenant: an operator names a
// citizen without a town.
func (s *Store) CitizenTenant(ctx context.Context, id core.CitizenID) (core.TenantID, error) {
	var found core.TenantID
	err := s.eachTenant(ctx, func(tenant core.TenantID, tx pgx.Tx) (bool, error) {
		var n int
		err := tx.QueryRow(ctx, `SELECT 1 FROM citizen WHERE tenant_id = $1 AND id::text = $2`, tenant, string(id)).Scan(&n)
		if noRows(err) {
			return false, nil
		}
		found = tenant
		return err == nil, err
	})
	if err != nil {
		return "", fmt.Errorf("find citizen: %w", err)
	}
	return found, nil
}

// Addresses lists a citizen's own deposit addresses, oldest first; slots' and those for
// answers left out.
func (s *Store) Addresses(ctx context.Context, tenant core.TenantID, id core.CitizenID) ([]citizen.Address, error) {
	var out []citizen.Address
	err := s.tx(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT id, sealed, created_at, expires_at, revoked_at IS NOT NULL FROM deposit_address
			WHERE tenant_id = $1 AND citizen_id = $2 AND slot_id IS NULL AND purpose = 'deposit' ORDER BY created_at, id`, tenant, id)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (a citizen.Address, err error) {
			var expires *time.Time
			err = r.Scan(&a.ID, &a.Sealed, &a.Created, &expires, &a.Revoked)
			if expires != nil {
				a.Expires = *expires
			}
			return a, err
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	return out, nil
}

// ReplaceAddresses revokes the citizen's own addresses in force, those for answers too, adds a fresh one when
// given, and journals it, in one transaction.
func (s *Store) ReplaceAddresses(ctx context.Context, who core.Access, fresh *citizen.Address) error {
	now := s.now().UTC().Truncate(time.Microsecond)
	err := s.tx(ctx, who.Tenant, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE deposit_address SET revoked_at = $3 WHERE tenant_id = $1 AND citizen_id = $2 AND slot_id IS NULL AND revoked_at IS NULL`,
			who.Tenant, who.Vault, now)
		if err != nil {
			return err
		}
		if fresh != nil {
			if err := addAddress(ctx, tx, who.Tenant, who.Vault, *fresh); err != nil {
				return err
			}
		}
		return record(ctx, tx, who, now)
	})
	if err != nil {
		return fmt.Errorf("replace addresses: %w", err)
	}
	return nil
}

// Citizens lists the town's citizens, oldest first.
func (s *Store) Citizens(ctx context.Context, tenant core.TenantID) (ids []core.CitizenID, err error) {
	err = s.tx(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT id FROM citizen WHERE tenant_id = $1 ORDER BY created_at, id`, tenant)
		if err != nil {
			return err
		}
		ids, err = pgx.CollectRows(rows, pgx.RowTo[core.CitizenID])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list citizens: %w", err)
	}
	return ids, nil
}
