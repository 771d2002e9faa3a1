package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
	"vaguemestre/core/dispatch"
)

const serviceColumns = `s.tenant_id, s.id, s.code, s.name, s.mailbox, s.language, s.max_bytes, s.links_only, s.template, s.ascii, s.certificate, s.created_at, s.removed_at IS NOT NULL`

// into lists where serviceColumns are scanned to.
func into(s *dispatch.Service) []any {
	return []any{&s.Tenant, &s.ID, &s.Code, &s.Name, &s.Mailbox, &s.Language, &s.MaxBytes, &s.LinksOnly, &s.Template, &s.ASCII, &s.Certificate, &s.Created, &s.Removed}
}

// AddService commits a service; dispatch.ErrCodeTaken for a code in use.
func (s *Store) AddService(ctx context.Context, v dispatch.Service) error {
	err := s.tx(ctx, v.Tenant, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO service (tenant_id, id, code, name, mailbox, language, max_bytes, links_only, template, ascii, certificate, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
			v.Tenant, v.ID, v.Code, v.Name, v.Mailbox, v.Language, v.MaxBytes, v.LinksOnly, v.Template, v.ASCII, v.Certificate, v.Created)
		return err
	})
	if isUnique(err) {
		return dispatch.ErrCodeTaken
	}
	return err
}

// ChangeService writes what may change of a service; core.ErrNotFound for one that was
// removed.
func (s *Store) ChangeService(ctx context.Context, v dispatch.Service) error {
	return s.tx(ctx, v.Tenant, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE service SET name = $3, mailbox = $4, language = $5, max_bytes = $6, links_only = $7, template = $8, ascii = $9, certificate = $10
			WHERE tenant_id = $1 AND id = $2 AND removed_at IS NULL`,
			v.Tenant, v.ID, v.Name, v.Mailbox, v.Language, v.MaxBytes, v.LinksOnly, v.Template, v.ASCII, v.Certificate)
		return affected(tag.RowsAffected(), err)
	})
}

// affected is core.ErrNotFound when no row was.
func affected(rows int64, err error) error {
	if err == nil && rows == 0 {
		return core.ErrNotFound
	}
	return err
}

// RemoveService ends a service with its rules, and cancels what waits to go there.
func (s *Store) RemoveService(ctx context.Context, tenant core.TenantID, id dispatch.ServiceID, at time.Time) error {
	err := s.tx(ctx, tenant, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE service SET removed_at = $3 WHERE tenant_id = $1 AND id = $2 AND removed_at IS NULL`, tenant, id, at)
		if err := affected(tag.RowsAffected(), err); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM service_rule WHERE tenant_id = $1 AND service_id = $2`, tenant, id); err != nil {
			return err
		}
		return recall(ctx, tx, tenant, "service_removed", at, `
			SELECT p.id::text FROM dispatch_part p JOIN dispatch d ON d.tenant_id = p.tenant_id AND d.citizen_id = p.citizen_id AND d.id = p.dispatch_id
			WHERE p.tenant_id = $1 AND d.service_id = $4`, id)
	})
	if err != nil {
		return fmt.Errorf("remove service: %w", err)
	}
	return nil
}

// Services lists the services that were not removed, by code.
func (s *Store) Services(ctx context.Context, tenant core.TenantID) (out []dispatch.Service, err error) {
	err = s.tx(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT `+serviceColumns+` FROM service s WHERE s.tenant_id = $1 AND s.removed_at IS NULL ORDER BY s.code`, tenant)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (v dispatch.Service, err error) { return v, r.Scan(into(&v)...) })
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	return out, nil
}

// SetRule puts a rule in the place of the service's rule for the same type.
func (s *Store) SetRule(ctx context.Context, tenant core.TenantID, r dispatch.Rule) error {
	return s.tx(ctx, tenant, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM service_rule WHERE tenant_id = $1 AND service_id = $2 AND type = $3`, tenant, r.Service, r.Type); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO service_rule (tenant_id, service_id, type, moment, purpose, created_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			tenant, r.Service, r.Type, r.Moment, r.Purpose, r.Created)
		return err
	})
}

// RemoveRule ends a rule; core.ErrNotFound when there is none.
func (s *Store) RemoveRule(ctx context.Context, tenant core.TenantID, service dispatch.ServiceID, typ string) error {
	return s.tx(ctx, tenant, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM service_rule WHERE tenant_id = $1 AND service_id = $2 AND type = $3`, tenant, service, typ)
		return affected(tag.RowsAffected(), err)
	})
}

// Rules lists a service's rules by type.
func (s *Store) Rules(ctx context.Context, tenant core.TenantID, service dispatch.ServiceID) (out []dispatch.Rule, err error) {
	err = s.tx(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT service_id, type, moment, purpose, created_at FROM service_rule WHERE tenant_id = $1 AND service_id = $2 ORDER BY type`, tenant, service)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (v dispatch.Rule, err error) {
			return v, r.Scan(&v.Service, &v.Type, &v.Moment, &v.Purpose, &v.Created)
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list rules: %w", err)
	}
	return out, nil
}

// HasAgent returns core.ErrNotFound for no agent of the town.
func (s *Store) HasAgent(ctx context.Context, tenant core.TenantID, agent core.AgentID) error {
	return s.tx(ctx, tenant, func(tx pgx.Tx) error { return hasAgent(ctx, tx, tenant, agent) })
}

func hasAgent(ctx context.Context, tx pgx.Tx, tenant core.TenantID, agent core.AgentID) error {
	var n int
	return one(tx.QueryRow(ctx, `SELECT 1 FROM agent WHERE tenant_id = $1 AND id::text = $2`, tenant, string(agent)).Scan(&n))
}

// AddServiceAgent makes an agent of the town one of the service's; a repeat changes
// nothing, core.ErrNotFound for no agent of this town.
func (s *Store) AddServiceAgent(ctx context.Context, tenant core.TenantID, service dispatch.ServiceID, agent core.AgentID, at time.Time) error {
	return s.tx(ctx, tenant, func(tx pgx.Tx) error {
		if err := hasAgent(ctx, tx, tenant, agent); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO service_agent (tenant_id, service_id, agent_id, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, tenant, service, agent, at)
		return err
	})
}

// RemoveServiceAgent ends that; core.ErrNotFound for no agent of the service.
func (s *Store) RemoveServiceAgent(ctx context.Context, tenant core.TenantID, service dispatch.ServiceID, agent core.AgentID) error {
	return s.tx(ctx, tenant, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM service_agent WHERE tenant_id = $1 AND service_id = $2 AND agent_id::text = $3`, tenant, service, string(agent))
		return affected(tag.RowsAffected(), err)
	})
}

// ServiceAgents lists a service's agents, the oldest first.
func (s *Store) ServiceAgents(ctx context.Context, tenant core.TenantID, service dispatch.ServiceID) (ids []core.AgentID, err error) {
	err = s.tx(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT agent_id FROM service_agent WHERE tenant_id = $1 AND service_id = $2 ORDER BY created_at, agent_id`, tenant, service)
		if err != nil {
			return err
		}
		ids, err = pgx.CollectRows(rows, pgx.RowTo[core.AgentID])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list agents: %w", err)
	}
	return ids, nil
}
