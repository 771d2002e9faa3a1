package control

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/dispatch"
	"vaguemestre/core/tenant"
)

// Service is a service as `service list` shows it.
type Service struct {
	ID          dispatch.ServiceID `json:"id"`
	Code        string             `json:"code"`
	Name        string             `json:"name"`
	Mailbox     string             `json:"mailbox"`
	Language    string             `json:"language"`
	MaxBytes    int64              `json:"max_bytes"`
	LinksOnly   bool               `json:"links_only"`
	Template    string             `json:"template"`
	ASCII       bool               `json:"ascii"`
	Certificate *Certificate       `json:"certificate"`
	Agents      []core.AgentID     `json:"agents"`
	Rules       []Rule             `json:"rules"`
}

// Certificate is what a service's messages are encrypted to.
type Certificate struct {
	SHA256 string    `json:"sha256"`
	Until  time.Time `json:"until"`
	Fault  string    `json:"fault,omitempty"` // why nothing can be sent, in French
}

// Rule is a rule of a service.
type Rule struct {
	Type    string          `json:"type"`
	When    dispatch.Moment `json:"when"`
	Purpose string          `json:"purpose"`
}

// edit changes a service by the names of the flags of `service set`.
func edit(v *dispatch.Service, fields map[string]string) error {
	var err error
	for key, value := range fields {
		switch key {
		case "name":
			v.Name = value
		case "mailbox":
			v.Mailbox = value
		case "language":
			v.Language = value
		case "template":
			v.Template = value
		case "certificate":
			v.Certificate = []byte(value)
		case "max-bytes":
			v.MaxBytes, err = strconv.ParseInt(value, 10, 64)
		case "links-only":
			v.LinksOnly, err = strconv.ParseBool(value)
		case "ascii":
			v.ASCII, err = strconv.ParseBool(value)
		default:
			return usage("--%s is not one of a service's", key)
		}
		if err != nil {
			return usage("--%s: %q has another form", key, value)
		}
	}
	return nil
}

func (s *Server) serviceAdd(ctx context.Context, a Args) ([]any, error) {
	t, err := s.tenant(ctx, a)
	if err != nil {
		return nil, err
	}
	v := dispatch.Service{Tenant: t, Code: a.Code}
	if err := edit(&v, a.Settings); err != nil {
		return nil, err
	}
	if v, err = s.jobs.Directory.Add(ctx, v); err != nil {
		return nil, err
	}
	return s.showService(ctx, v)
}

func (s *Server) serviceSet(ctx context.Context, a Args) ([]any, error) {
	t, err := s.tenant(ctx, a)
	if err != nil {
		return nil, err
	}
	var bad error
	v, err := s.jobs.Directory.Change(ctx, t, a.Code, func(v *dispatch.Service) { bad = edit(v, a.Settings) })
	if bad != nil {
		return nil, bad
	}
	if err != nil {
		return nil, err
	}
	return s.showService(ctx, v)
}

func (s *Server) serviceList(ctx context.Context, a Args) ([]any, error) {
	t, err := s.tenant(ctx, a)
	if err != nil {
		return nil, err
	}
	all, err := s.jobs.Directory.List(ctx, t)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, v := range all {
		shown, err := s.showService(ctx, v)
		if err != nil {
			return nil, err
		}
		out = append(out, shown...)
	}
	return out, nil
}

func (s *Server) showService(ctx context.Context, v dispatch.Service) ([]any, error) {
	out := Service{ID: v.ID, Code: v.Code, Name: v.Name, Mailbox: v.Mailbox, Language: v.Language, MaxBytes: v.MaxBytes,
		LinksOnly: v.LinksOnly, Template: v.Template, ASCII: v.ASCII, Rules: []Rule{}}
	agents, err := s.jobs.Directory.Agents(ctx, v.Tenant, v.Code)
	if err != nil {
		return nil, err
	}
	out.Agents = append([]core.AgentID{}, agents...)
	rules, err := s.jobs.Directory.Rules(ctx, v.Tenant, v.Code)
	if err != nil {
		return nil, err
	}
	for _, r := range rules {
		out.Rules = append(out.Rules, Rule{r.Type, r.Moment, r.Purpose})
	}
	if c, err := x509.ParseCertificate(v.Certificate); v.Encrypts() && err == nil {
		sum := sha256.Sum256(c.Raw)
		out.Certificate = &Certificate{SHA256: hex.EncodeToString(sum[:]), Until: c.NotAfter}
		if r := v.CertificateFault(time.Now()); r != nil {
			out.Certificate.Fault = r.Reason
		}
	}
	return []any{out}, nil
}

func (s *Server) serviceRemove(ctx context.Context, a Args) ([]any, error) {
	t, err := s.tenant(ctx, a)
	if err != nil {
		return nil, err
	}
	return nil, s.jobs.Directory.Remove(ctx, t, a.Code)
}

func (s *Server) ruleAdd(ctx context.Context, a Args) ([]any, error) {
	t, err := s.tenant(ctx, a)
	if err != nil {
		return nil, err
	}
	r, err := s.jobs.Directory.SetRule(ctx, t, a.Service, dispatch.Rule{Type: a.Type, Moment: dispatch.Moment(a.When), Purpose: a.Purpose})
	if err != nil {
		return nil, err
	}
	return []any{Rule{r.Type, r.Moment, r.Purpose}}, nil
}

func (s *Server) ruleRemove(ctx context.Context, a Args) ([]any, error) {
	t, err := s.tenant(ctx, a)
	if err != nil {
		return nil, err
	}
	return nil, s.jobs.Directory.RemoveRule(ctx, t, a.Service, a.Type)
}

// serviceAgentAdd makes an agent one of the service's; one who is not named by an id is
// enrolled first.
func (s *Server) serviceAgentAdd(ctx context.Context, a Args) ([]any, error) {
	t, err := s.tenant(ctx, a)
	if err != nil {
		return nil, err
	}
	if (a.Agent == "") == (a.Name == "") {
		return nil, usage("name an agent by --agent, or enrol one by --name")
	}
	if _, err := s.jobs.Directory.Service(ctx, t, a.Service); err != nil {
		return nil, err
	}
	agent := core.AgentID(a.Agent)
	if agent == "" {
		public, err := s.jobs.Store.IntakePublic(ctx, t)
		if err != nil {
			return nil, err
		}
		identity, err := json.Marshal(map[string]string{"name": a.Name})
		if err != nil {
			return nil, err
		}
		if agent, err = s.jobs.Tenants.AddAgent(ctx, tenant.Founding{Tenant: tenant.Tenant{ID: t}, IntakePublic: public}, identity); err != nil {
			return nil, err
		}
	}
	if err := s.jobs.Directory.AddAgent(ctx, t, a.Service, agent); err != nil {
		return nil, err
	}
	return []any{map[string]any{"id": agent, "service": a.Service}}, nil
}

func (s *Server) serviceAgentRemove(ctx context.Context, a Args) ([]any, error) {
	t, err := s.tenant(ctx, a)
	if err != nil {
		return nil, err
	}
	return nil, s.jobs.Directory.RemoveAgent(ctx, t, a.Service, core.AgentID(a.Agent))
}
