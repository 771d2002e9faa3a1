package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
	"vaguemestre/core/dispatch"
)

// Dispatches lists the town's dispatches, oldest first, of one vault when it is named.
func (s *Store) Dispatches(ctx context.Context, tenant core.TenantID, vault core.CitizenID) (out []dispatch.Dispatch, err error) {
	err = s.tx(ctx, tenant, func(tx pgx.Tx) (err error) {
		out, err = dispatches(ctx, tx, tenant, `$2 = '' OR d.citizen_id::text = $2`, string(vault))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list dispatches: %w", err)
	}
	return out, nil
}

// Dispatch reads one; core.ErrNotFound.
func (s *Store) Dispatch(ctx context.Context, tenant core.TenantID, id dispatch.ID) (d dispatch.Dispatch, err error) {
	err = s.tx(ctx, tenant, func(tx pgx.Tx) (err error) {
		d, err = dispatchWhere(ctx, tx, tenant, `d.id::text = $2`, string(id))
		return err
	})
	return d, err
}

// DispatchOf finds the dispatch that an item of the vault is part of; core.ErrNotFound.
func (s *Store) DispatchOf(ctx context.Context, tenant core.TenantID, vault core.CitizenID, item dispatch.ItemID) (d dispatch.Dispatch, found dispatch.Item, err error) {
	err = s.tx(ctx, tenant, func(tx pgx.Tx) (err error) {
		d, err = dispatchWhere(ctx, tx, tenant, `d.citizen_id = $2 AND d.id IN (
			SELECT p.dispatch_id FROM dispatch_document i JOIN dispatch_part p ON p.tenant_id = i.tenant_id AND p.citizen_id = i.citizen_id AND p.id = i.part_id
			WHERE i.tenant_id = $1 AND i.citizen_id = $2 AND i.id::text = $3)`, vault, string(item))
		return err
	})
	for _, p := range d.Parts {
		for _, i := range p.Items {
			if i.ID == item {
				return d, i, err
			}
		}
	}
	return d, found, err
}

// DispatchPart reads a part with its dispatch and who is named in it; core.ErrNotFound.
func (s *Store) DispatchPart(ctx context.Context, tenant core.TenantID, vault core.CitizenID, id dispatch.PartID) (out dispatch.Sending, err error) {
	err = s.tx(ctx, tenant, func(tx pgx.Tx) (err error) {
		out.Dispatch, err = dispatchWhere(ctx, tx, tenant, `d.citizen_id::text = $2 AND d.id IN (
			SELECT dispatch_id FROM dispatch_part WHERE tenant_id = $1 AND citizen_id::text = $2 AND id::text = $3)`, string(vault), string(id))
		if err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT identity FROM citizen WHERE tenant_id = $1 AND id = $2`, tenant, vault).Scan(&out.Identity); err != nil {
			return one(err)
		}
		if out.Agent == "" {
			return nil
		}
		return one(tx.QueryRow(ctx, `SELECT identity FROM agent WHERE tenant_id = $1 AND id = $2`, tenant, out.Agent).Scan(&out.AgentIdentity))
	})
	for _, p := range out.Parts {
		if p.ID == id {
			out.Part = p
		}
	}
	return out, err
}

func dispatchWhere(ctx context.Context, tx pgx.Tx, tenant core.TenantID, where string, args ...any) (dispatch.Dispatch, error) {
	all, err := dispatches(ctx, tx, tenant, where, args...)
	if err != nil {
		return dispatch.Dispatch{}, fmt.Errorf("read dispatch: %w", err)
	}
	if len(all) == 0 {
		return dispatch.Dispatch{}, core.ErrNotFound
	}
	return all[0], nil
}

// dispatches reads those for which where holds, its arguments from $2 on.
func dispatches(ctx context.Context, tx pgx.Tx, tenant core.TenantID, where string, args ...any) ([]dispatch.Dispatch, error) {
	args = append([]any{tenant}, args...)
	rows, err := tx.Query(ctx, `
		SELECT d.tenant_id, d.citizen_id, d.id, coalesce(d.agent_id::text,''), coalesce(d.rule_document::text,''), d.purpose, d.sealed, d.sending, d.created_at, d.cancelled_at, `+serviceColumns+`
		FROM dispatch d JOIN service s ON s.tenant_id = d.tenant_id AND s.id = d.service_id
		WHERE d.tenant_id = $1 AND (`+where+`) ORDER BY d.created_at, d.id`, args...)
	if err != nil {
		return nil, err
	}
	out, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (d dispatch.Dispatch, err error) {
		var ended *time.Time
		err = r.Scan(append([]any{&d.Tenant, &d.Vault, &d.ID, &d.Agent, &d.Document, &d.Purpose, &d.Sealed, &d.Sending, &d.Created, &ended}, into(&d.Service)...)...)
		d.Ended = orZero(ended)
		return d, err
	})
	if err != nil || len(out) == 0 {
		return nil, err
	}
	at := map[dispatch.ID]*dispatch.Dispatch{}
	for i := range out {
		at[out[i].ID] = &out[i]
	}
	return out, addParts(ctx, tx, at, where, args)
}

// addParts reads the parts of dispatches with their documents and letters.
func addParts(ctx context.Context, tx pgx.Tx, at map[dispatch.ID]*dispatch.Dispatch, where string, args []any) error {
	rows, err := tx.Query(ctx, `
		SELECT p.dispatch_id, p.id, p.sending, p.n, p.created_at, i.id, i.n, i.document_id, i.link,
		       l.id, l.state, coalesce(l.code,''), coalesce(l.status,''), l.settled_at
		FROM dispatch d
		JOIN dispatch_part p ON p.tenant_id = d.tenant_id AND p.citizen_id = d.citizen_id AND p.dispatch_id = d.id
		JOIN dispatch_document i ON i.tenant_id = p.tenant_id AND i.citizen_id = p.citizen_id AND i.part_id = p.id
		JOIN letter l ON l.tenant_id = p.tenant_id AND l.kind = 'dispatch' AND l.object_id = p.id::text AND l.once = ''
		WHERE d.tenant_id = $1 AND (`+where+`) ORDER BY p.dispatch_id, p.sending, p.n, i.n`, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var of dispatch.ID
		var p dispatch.Part
		var i dispatch.Item
		var settled *time.Time
		if err := rows.Scan(&of, &p.ID, &p.Sending, &p.N, &p.Created, &i.ID, &i.N, &i.Document, &i.Link, &p.Letter, &p.State, &p.Code, &p.Status, &settled); err != nil {
			return err
		}
		p.Settled = orZero(settled)
		d := at[of]
		if n := len(d.Parts); n == 0 || d.Parts[n-1].ID != p.ID {
			d.Parts = append(d.Parts, p)
		}
		last := &d.Parts[len(d.Parts)-1]
		last.Items = append(last.Items, i)
	}
	return rows.Err()
}

// orZero is the inverse of orNull.
func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
