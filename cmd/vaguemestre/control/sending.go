package control

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"vaguemestre/channels/mailout/dkim"
	"vaguemestre/core"
	"vaguemestre/core/tenant"
)

// DKIMRecord is what is to be published of a signing key.
type DKIMRecord struct {
	Selector string `json:"selector"`
	Name     string `json:"name"`
	Type     string `json:"type"`
	Value    string `json:"value"`
}

// Sending is how a town sends, and what its relay says to that.
type Sending struct {
	ID     core.TenantID `json:"id"`
	Code   string        `json:"code"`
	Sends  bool          `json:"sends"`            // it has a relay and an address
	Domain string        `json:"domain,omitempty"` // of the address its letters come from
	Signs  bool          `json:"signs"`
	Keys   []DKIMRecord  `json:"keys,omitempty"` // of the selector in force
	Relay  string        `json:"relay,omitempty"`
	Fault  string        `json:"fault,omitempty"` // of the relay: stable code; "" none
	Status string        `json:"status,omitempty"`
	Tried  bool          `json:"tried"` // the relay was asked

	Missing []string `json:"missing,omitempty"` // mentions without which deposits are not acknowledged
}

// dkimNew makes signing keys under a selector, keeps them as a secret, and says what to
// publish. They sign once the selector is set.
func (s *Server) dkimNew(ctx context.Context, a Args) ([]any, error) {
	t, err := s.tenant(ctx, a)
	if err != nil {
		return nil, err
	}
	settings, _, err := s.jobs.Store.Settings(ctx, t)
	if err != nil {
		return nil, err
	}
	domain := settings.SigningDomain()
	if domain == "" {
		return nil, usage("set mail_from first: it is the domain of that address that signs")
	}
	public, secret, err := newKeys(a.Selector)
	if err != nil {
		return nil, err
	}
	_, _, err = s.jobs.Tenants.Change(ctx, t, func(in *tenant.Settings) error {
		if slices.ContainsFunc(in.DKIMKeys, func(k tenant.DKIMKey) bool { return k.Selector == a.Selector }) || in.DKIMSelector == a.Selector {
			return errors.New("there are keys under that selector, and letters on their way that they signed: choose another")
		}
		in.DKIMKeys = append(in.DKIMKeys, public...)
		return nil
	})
	if err == nil {
		err = s.jobs.Secrets.Set(ctx, t, tenant.SecretDKIM(a.Selector), secret)
	}
	if err != nil {
		return nil, err
	}
	return lines(records(domain, public)), nil
}

func newKeys(selector string) (public []tenant.DKIMKey, secret []byte, err error) {
	if secret, err = dkim.New(); err != nil {
		return nil, nil, err
	}
	keys, err := dkim.Parse(secret, selector)
	if err != nil {
		return nil, nil, err
	}
	for _, k := range keys {
		record, err := k.Record()
		if err != nil {
			return nil, nil, fmt.Errorf("signing key: %w", err)
		}
		public = append(public, tenant.DKIMKey{Selector: k.Selector, Record: record})
	}
	return public, secret, nil
}

func records(domain string, keys []tenant.DKIMKey) []DKIMRecord {
	var out []DKIMRecord
	for _, k := range keys {
		out = append(out, DKIMRecord{Selector: k.Selector, Name: k.Selector + "._domainkey." + domain, Type: "TXT", Value: k.Record})
	}
	return out
}

// mailCheck says how towns send, one or all, and tries their relays.
func (s *Server) mailCheck(ctx context.Context, a Args) ([]any, error) {
	if a.Tenant != "" {
		t, err := s.tenant(ctx, a)
		if err != nil {
			return nil, err
		}
		a.Tenant = string(t)
	}
	towns, err := s.jobs.Store.ListTenants(ctx)
	if err != nil {
		return nil, err
	}
	var out []any
	for _, town := range towns {
		if a.Tenant != "" && string(town.ID) != a.Tenant {
			continue
		}
		line, err := s.sending(ctx, town.ID)
		if err != nil {
			return nil, err
		}
		line.ID, line.Code = town.ID, town.Code
		out = append(out, line)
	}
	return out, nil
}

func (s *Server) sending(ctx context.Context, t core.TenantID) (Sending, error) {
	settings, _, err := s.jobs.Store.Settings(ctx, t)
	if err != nil {
		return Sending{}, err
	}
	out := Sending{Sends: settings.Sends(), Relay: settings.Relay, Signs: settings.DKIMSelector != "", Missing: settings.MissingMentions()}
	if settings.From != "" {
		out.Domain = tenant.Mail{From: settings.From}.SigningDomain()
	}
	if out.Signs {
		out.Keys = records(settings.SigningDomain(), dkimOf(settings))
	}
	if out.Sends && s.jobs.TryRelay != nil {
		out.Tried = true
		out.Fault, out.Status, err = s.jobs.TryRelay(ctx, t)
	}
	return out, err
}

// dkimOf are the keys of the selector in force.
func dkimOf(settings tenant.Settings) []tenant.DKIMKey {
	return slices.DeleteFunc(slices.Clone(settings.DKIMKeys), func(k tenant.DKIMKey) bool {
		return k.Selector != settings.DKIMSelector && k.Selector != dkim.Beside(settings.DKIMSelector)
	})
}
