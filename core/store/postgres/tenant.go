package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
	"vaguemestre/core/tenant"
)

// AddTenant commits a new town with its keys, settings and catalogue.
func (s *Store) AddTenant(ctx context.Context, f tenant.Founding) error {
	settings, err := json.Marshal(f.Settings)
	if err != nil {
		return err
	}
	err = s.tx(ctx, f.ID, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		batch.Queue(`INSERT INTO tenant (id, code, name, intake_public, created_at) VALUES ($1, $2, $3, $4, $5)`, f.ID, f.Code, f.Name, f.IntakePublic, f.Created)
		batch.Queue(`INSERT INTO tenant_key (tenant_id, wrapped, created_at) VALUES ($1, $2, $3)`, f.ID, f.IntakeWrapped, f.Created)
		batch.Queue(`INSERT INTO tenant_settings (tenant_id, version, settings, created_at) VALUES ($1, 1, $2, $3)`, f.ID, settings, f.Created)
		batch.Queue(`INSERT INTO catalogue (tenant_id, version, content, created_at) VALUES ($1, 1, $2, $3)`, f.ID, f.Catalogue, f.Created)
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return err
		}
		return addGeneric(ctx, tx, f.ID, f.Generic, f.Created)
	})
	if isUnique(err) && !errors.Is(err, tenant.ErrAddressTaken) {
		return tenant.ErrCodeTaken
	}
	return err
}

// addGeneric puts a generic address in the place of any other.
func addGeneric(ctx context.Context, tx pgx.Tx, id core.TenantID, g *tenant.Generic, at time.Time) error {
	if _, err := tx.Exec(ctx, `UPDATE generic_address SET revoked_at = $2 WHERE tenant_id = $1 AND revoked_at IS NULL`, id, at); err != nil || g == nil {
		return err
	}
	var owner core.TenantID
	var addressID core.AddressID
	err := tx.QueryRow(ctx, `
		INSERT INTO address (keyed_hash, tenant_id, id) VALUES ($1, $2, $3)
		ON CONFLICT (keyed_hash) DO NOTHING RETURNING tenant_id, id`, g.Hash, id, g.ID).Scan(&owner, &addressID)
	if noRows(err) { // it was there before: in force again, if it was this town's
		err = tx.QueryRow(ctx, `SELECT tenant_id, id FROM address WHERE keyed_hash = $1`, g.Hash).Scan(&owner, &addressID)
	}
	if err != nil {
		return err
	}
	if owner != id {
		return tenant.ErrAddressTaken
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO generic_address (tenant_id, id, created_at) VALUES ($1, $2, $3)
		ON CONFLICT (tenant_id, id) DO UPDATE SET revoked_at = NULL`, id, addressID, at)
	return err
}

// ChangeSettings commits settings as the version after from, with their generic address.
func (s *Store) ChangeSettings(ctx context.Context, id core.TenantID, from int, settings tenant.Settings, generic *tenant.Generic, at time.Time) error {
	raw, err := json.Marshal(settings)
	if err != nil {
		return err
	}
	err = s.tx(ctx, id, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			INSERT INTO tenant_settings (tenant_id, version, settings, created_at)
			SELECT $1, $2 + 1, $3, $4 WHERE (SELECT max(version) FROM tenant_settings WHERE tenant_id = $1) = $2`, id, from, raw, at)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return tenant.ErrChanged
		}
		return addGeneric(ctx, tx, id, generic, at)
	})
	if isUnique(err) {
		return tenant.ErrChanged
	}
	return err
}

// AddAgent enrols someone of the town.
func (s *Store) AddAgent(ctx context.Context, tenant core.TenantID, id core.AgentID, identity []byte, created time.Time) error {
	return s.tx(ctx, tenant, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO agent (tenant_id, id, identity, created_at) VALUES ($1, $2, $3, $4)`, tenant, id, identity, created)
		return err
	})
}

// ListTenants lists all towns, oldest first.
func (s *Store) ListTenants(ctx context.Context) ([]tenant.Tenant, error) {
	var out []tenant.Tenant
	err := s.tx(ctx, "", func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT id, code, name FROM tenant ORDER BY created_at, id`)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (t tenant.Tenant, err error) {
			return t, r.Scan(&t.ID, &t.Code, &t.Name)
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	return out, nil
}

// Settings reads the town's settings in force and their version.
func (s *Store) Settings(ctx context.Context, id core.TenantID) (tenant.Settings, int, error) {
	var raw []byte
	var version int
	err := s.tx(ctx, id, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT settings, version FROM tenant_settings WHERE tenant_id = $1 ORDER BY version DESC LIMIT 1`, id).Scan(&raw, &version)
	})
	if err != nil {
		return tenant.Settings{}, 0, fmt.Errorf("settings of tenant %s: %w", id, one(err))
	}
	settings, err := tenant.Parse(raw)
	return settings, version, err
}

// Catalogue reads the town's catalogue in force and its version; "" instead of its
// content when the caller has that version already.
func (s *Store) Catalogue(ctx context.Context, id core.TenantID, have int) (content string, version int, err error) {
	err = s.tx(ctx, id, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `
			SELECT CASE WHEN version = $2 THEN '' ELSE content END, version FROM catalogue
			WHERE tenant_id = $1 ORDER BY version DESC LIMIT 1`, id, have).Scan(&content, &version)
	})
	if err != nil {
		return "", 0, fmt.Errorf("catalogue of tenant %s: %w", id, one(err))
	}
	return content, version, nil
}

// VaultKey finds a vault's wrapped key.
func (s *Store) VaultKey(ctx context.Context, tenant core.TenantID, vault core.CitizenID) (wrapped []byte, err error) {
	err = s.tx(ctx, tenant, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT wrapped FROM vault_key WHERE tenant_id = $1 AND citizen_id = $2`, tenant, vault).Scan(&wrapped)
	})
	return wrapped, one(err)
}

// IntakeKey finds a tenant's wrapped private intake keyset.
func (s *Store) IntakeKey(ctx context.Context, tenant core.TenantID) (wrapped []byte, err error) {
	err = s.tx(ctx, tenant, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT wrapped FROM tenant_key WHERE tenant_id = $1`, tenant).Scan(&wrapped)
	})
	return wrapped, one(err)
}

// TenantNamed finds a town by its id or its code.
func (s *Store) TenantNamed(ctx context.Context, name string) (core.TenantID, error) {
	all, err := s.ListTenants(ctx)
	if err != nil {
		return "", err
	}
	for _, t := range all {
		if string(t.ID) == name || t.Code == name {
			return t.ID, nil
		}
	}
	return "", core.ErrNotFound
}

// eachTenant runs f under every tenant until it says done.
func (s *Store) eachTenant(ctx context.Context, f func(core.TenantID, pgx.Tx) (done bool, err error)) error {
	tenants, err := s.Tenants(ctx)
	if err != nil {
		return err
	}
	for _, id := range tenants {
		var done bool
		err := s.tx(ctx, id, func(tx pgx.Tx) (err error) {
			done, err = f(id, tx)
			return err
		})
		if err != nil || done {
			return err
		}
	}
	return core.ErrNotFound
}

// noRows reports the absence of a row, which is no accident.
func noRows(err error) bool { return errors.Is(err, pgx.ErrNoRows) }
