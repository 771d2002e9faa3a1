package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"vaguemestre/cmd/vaguemestre/control"
	"vaguemestre/core"
	"vaguemestre/core/catalogue"
	"vaguemestre/core/citizen"
	"vaguemestre/core/tenant"
)

// The town for demonstration that a new home starts with.
const (
	demoCode   = "demo"
	demoName   = "Ville de démonstration"
	demoDomain = "depot.demo.test"
)

// announce founds the town for demonstration when a development home has no town yet,
// and says where everything is reached.
func (p *process) announce(ctx context.Context, w io.Writer) error {
	if p.smtp != nil {
		fmt.Fprintf(w, "SMTP     %s\n", p.smtp.Addr())
	}
	if p.cfg.HTTP != "off" {
		fmt.Fprintf(w, "Health   http://%s/healthz  /readyz  /metrics\n", p.cfg.HTTP)
	}
	if p.control == nil || p.cfg.DatabaseURL != "" {
		return nil
	}
	if err := p.demo(ctx); err != nil {
		return fmt.Errorf("town for demonstration: %w", err)
	}
	return p.showDemo(ctx, w)
}

// demo founds the town. A start that was killed half-way left a part of it: the rest is
// made now. The citizen comes last, so that a town with a citizen is whole; all it may
// have twice is the agent.
func (p *process) demo(ctx context.Context) error {
	towns, err := p.jobs.Store.ListTenants(ctx)
	if err != nil {
		return err
	}
	var town tenant.Founding
	switch {
	case len(towns) == 0:
		town, err = p.demoTown(ctx)
	case len(towns) == 1 && towns[0].Code == demoCode:
		town.Tenant = towns[0]
		town.IntakePublic, err = p.jobs.Store.IntakePublic(ctx, town.ID)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	citizens, err := p.jobs.Store.Citizens(ctx, town.ID)
	if err != nil || len(citizens) > 0 {
		return err
	}
	agent, err := json.Marshal(map[string]string{"name": "Agent de démonstration", "service": "Guichet unique"})
	if err != nil {
		return err
	}
	if _, err := p.jobs.Tenants.AddAgent(ctx, town, agent); err != nil {
		return err
	}
	_, _, err = p.jobs.Citizens.Add(ctx, town.ID, demoDomain, citizen.Identity{Given: "Camille", Family: "Démo", Email: "camille@demo.test"}, true)
	return err
}

func (p *process) demoTown(ctx context.Context) (tenant.Founding, error) {
	settings := tenant.Defaults()
	settings.DepositDomain = demoDomain
	content, err := catalogue.Default().Marshal()
	if err != nil {
		return tenant.Founding{}, err
	}
	return p.jobs.Tenants.Add(ctx, demoCode, demoName, settings, string(content))
}

func (p *process) showDemo(ctx context.Context, w io.Writer) error {
	d, err := p.demonstration(ctx)
	if errors.Is(err, core.ErrNotFound) {
		return nil // a home whose operator removed the town for demonstration has none to show
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Town     %s (%s)\nCitizen  %s\n", d.Town, d.Tenant, d.Citizen)
	if d.Address != "" {
		fmt.Fprintf(w, "Deposit  %s\n", d.Address)
	}
	return nil
}

// demonstration says where the town's first citizen is reached; core.ErrNotFound when
// there is no such town.
func (p *process) demonstration(ctx context.Context) (control.Demonstration, error) {
	id, err := p.jobs.Store.TenantNamed(ctx, demoCode)
	if err != nil {
		return control.Demonstration{}, err
	}
	citizens, err := p.jobs.Store.Citizens(ctx, id)
	if err != nil {
		return control.Demonstration{}, err
	}
	if len(citizens) == 0 {
		return control.Demonstration{}, core.ErrNotFound
	}
	d := control.Demonstration{Town: demoName, Tenant: demoCode, Citizen: citizens[0], Ready: p.examiner != nil && p.examiner.Ready() == nil}
	if p.smtp != nil {
		d.SMTP = p.smtp.Addr()
	}
	who := core.Access{Tenant: id, Vault: d.Citizen, Actor: "maintenance", Purpose: "announce_demo"}
	addresses, err := p.jobs.Citizens.Addresses(ctx, who)
	for _, a := range addresses {
		if !a.Revoked {
			d.Address = a.Address
		}
	}
	return d, err
}
