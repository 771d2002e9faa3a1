package dispatch

import (
	"context"
	"errors"
	"io"
	"slices"

	"vaguemestre/core"
	"vaguemestre/core/vault"
)

// Vault reads documents, journaling first.
type Vault interface {
	Read(ctx context.Context, who core.Access, id core.DocumentID, part int) (vault.Item, io.ReadCloser, error)
}

// Open hands the document of a link to an agent of the service it was sent to: that
// dispatch is the grant, for that service, those documents and that purpose, and it ends
// with the link (SEC-10). Anybody else, a cancelled dispatch, a document that may not go
// any more: core.ErrNotFound, and the attempt is journaled. The caller closes.
func (d *Desk) Open(ctx context.Context, t core.TenantID, agent core.AgentID, token string, file int) (vault.Item, io.ReadCloser, error) {
	if err := d.store.HasAgent(ctx, t, agent); err != nil {
		return vault.Item{}, nil, err
	}
	found, err := d.links.ForAgent(ctx, t, token)
	if err != nil {
		return vault.Item{}, nil, err
	}
	of, item, err := d.store.DispatchOf(ctx, t, found.Vault, ItemID(found.Object))
	if err != nil {
		return vault.Item{}, nil, err
	}
	who := core.Access{Tenant: t, Vault: found.Vault, Actor: "agent:" + string(agent), Purpose: of.journaled()}
	granted, err := d.granted(ctx, of, item, agent)
	if err == nil && !granted {
		who.Act, who.Object = "refuse_disclosure", string(item.Document)
		if err = d.store.Record(ctx, who); err == nil {
			err = core.ErrNotFound
		}
	}
	if err != nil {
		return vault.Item{}, nil, err
	}
	opened, body, err := d.vault.Read(ctx, who, item.Document, file)
	if err != nil {
		return vault.Item{}, nil, err
	}
	if err := d.links.Used(ctx, found); err != nil {
		body.Close()
		return vault.Item{}, nil, err
	}
	return opened, body, nil
}

// granted reports whether the agent may see the document now.
func (d *Desk) granted(ctx context.Context, of Dispatch, item Item, agent core.AgentID) (bool, error) {
	if !of.Ended.IsZero() || of.Service.Removed {
		return false, nil
	}
	agents, err := d.store.ServiceAgents(ctx, of.Tenant, of.Service.ID)
	if err != nil || !slices.Contains(agents, agent) {
		return false, err
	}
	doc, err := d.store.Document(ctx, of.Tenant, of.Vault, item.Document)
	if errors.Is(err, core.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return Fit(doc, core.DateOf(d.now())) == nil, nil
}
