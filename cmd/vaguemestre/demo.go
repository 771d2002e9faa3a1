package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

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

func (p *process) demo(ctx context.Context) error {
	towns, err := p.jobs.Store.ListTenants(ctx)
	if err != nil || len(towns) > 0 {
		return err
	}
	settings := tenant.Defaults()
	settings.DepositDomain = demoDomain
	content, err := catalogue.Default().Marshal()
	if err != nil {
		return err
	}
	town, err := p.jobs.Tenants.Add(ctx, demoCode, demoName, settings, string(content))
	if err != nil {
		return err
	}
	if _, _, err := p.jobs.Citizens.Add(ctx, town.ID, demoDomain, citizen.Identity{Given: "Camille", Family: "Démo", Email: "camille@demo.test"}, true); err != nil {
		return err
	}
	agent, err := json.Marshal(map[string]string{"name": "Agent de démonstration", "service": "Guichet unique"})
	if err != nil {
		return err
	}
	_, err = p.jobs.Tenants.AddAgent(ctx, town, agent)
	return err
}

func (p *process) showDemo(ctx context.Context, w io.Writer) error {
	id, err := p.jobs.Store.TenantNamed(ctx, demoCode)
	if err != nil {
		return nil //nolint:nilerr // a home whose operator removed the town for demonstration has none to show
	}
	citizens, err := p.jobs.Store.Citizens(ctx, id)
	if err != nil || len(citizens) == 0 {
		return err
	}
	who := core.Access{Tenant: id, Vault: citizens[0], Actor: "maintenance", Purpose: "announce_demo"}
	addresses, err := p.jobs.Citizens.Addresses(ctx, who)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Town     %s (%s)\nCitizen  %s\n", demoName, demoCode, citizens[0])
	for _, a := range addresses {
		if !a.Revoked {
			fmt.Fprintf(w, "Deposit  %s\n", a.Address)
		}
	}
	return nil
}
