package dispatch

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"vaguemestre/core"
	"vaguemestre/core/catalogue"
	"vaguemestre/core/tenant"
)

// DefaultMaxBytes is what most mailboxes take: a message of 10 MB as it is sent.
const DefaultMaxBytes = 10_000_000

// Bounds of what a message may measure.
const (
	leastBytes = 100_000
	mostBytes  = 100_000_000
)

// ErrCodeTaken: the town has a service of this code.
var ErrCodeTaken = errors.New("a service with this code exists")

// ServiceStore keeps services, their agents and rules. All methods answer for one tenant.
type ServiceStore interface {
	// AddService commits a service; ErrCodeTaken for a code in use.
	AddService(ctx context.Context, s Service) error
	// ChangeService writes what may change of a service that was not removed.
	ChangeService(ctx context.Context, s Service) error
	// RemoveService ends a service and its rules, and cancels what waits to go there;
	// core.ErrNotFound.
	RemoveService(ctx context.Context, tenant core.TenantID, id ServiceID, at time.Time) error
	// Services lists the services that were not removed, by code.
	Services(ctx context.Context, tenant core.TenantID) ([]Service, error)
	// SetRule puts a rule in the place of the service's rule for the same type.
	SetRule(ctx context.Context, tenant core.TenantID, r Rule) error
	// RemoveRule returns core.ErrNotFound when there is none.
	RemoveRule(ctx context.Context, tenant core.TenantID, service ServiceID, typ string) error
	Rules(ctx context.Context, tenant core.TenantID, service ServiceID) ([]Rule, error)
	// AddServiceAgent makes an agent of the town one of the service's; a repeat changes
	// nothing, core.ErrNotFound for no agent of this town.
	AddServiceAgent(ctx context.Context, tenant core.TenantID, service ServiceID, agent core.AgentID, at time.Time) error
	RemoveServiceAgent(ctx context.Context, tenant core.TenantID, service ServiceID, agent core.AgentID) error
	ServiceAgents(ctx context.Context, tenant core.TenantID, service ServiceID) ([]core.AgentID, error)
	Settings(ctx context.Context, id core.TenantID) (tenant.Settings, int, error)
	Catalogue(ctx context.Context, id core.TenantID, have int) (content string, version int, err error)
}

// Directory keeps the services of the towns.
type Directory struct {
	store ServiceStore
	now   func() time.Time
}

// NewDirectory builds the directory.
func NewDirectory(store ServiceStore, now func() time.Time) *Directory { return &Directory{store, now} }

// Add enters a service. What is left out has its default; Certificate may be PEM.
// core.ErrInvalid names every fault.
func (d *Directory) Add(ctx context.Context, s Service) (Service, error) {
	s.ID, s.Created = core.NewID[ServiceID](), d.now().UTC().Truncate(time.Microsecond)
	if s.Language == "" {
		s.Language = "fr"
	}
	if s.MaxBytes == 0 {
		s.MaxBytes = DefaultMaxBytes
	}
	if s.Template == "" {
		s.Template = DefaultTemplate
	}
	if err := d.check(ctx, &s); err != nil {
		return Service{}, err
	}
	if err := d.store.AddService(ctx, s); err != nil {
		return Service{}, fmt.Errorf("add service: %w", err)
	}
	return s, nil
}

// Change lets change edit a service; its tenant, identity and code stay.
func (d *Directory) Change(ctx context.Context, t core.TenantID, code string, change func(*Service)) (Service, error) {
	old, err := d.Service(ctx, t, code)
	if err != nil {
		return Service{}, err
	}
	s := old
	change(&s)
	s.Tenant, s.ID, s.Code, s.Created = old.Tenant, old.ID, old.Code, old.Created
	if err := d.check(ctx, &s); err != nil {
		return Service{}, err
	}
	if err := d.store.ChangeService(ctx, s); err != nil {
		return Service{}, fmt.Errorf("change service: %w", err)
	}
	return s, nil
}

// Remove ends a service: it receives nothing any more, waiting letters included.
func (d *Directory) Remove(ctx context.Context, t core.TenantID, code string) error {
	s, err := d.Service(ctx, t, code)
	if err != nil {
		return err
	}
	return d.store.RemoveService(ctx, t, s.ID, d.now())
}

// List lists the town's services by code.
func (d *Directory) List(ctx context.Context, t core.TenantID) ([]Service, error) {
	return d.store.Services(ctx, t)
}

// Service finds a service by its code; a *core.Refusal when there is none.
func (d *Directory) Service(ctx context.Context, t core.TenantID, code string) (Service, error) {
	return named(ctx, d.store, t, code)
}

func named(ctx context.Context, store interface {
	Services(ctx context.Context, tenant core.TenantID) ([]Service, error)
}, t core.TenantID, code string) (Service, error) {
	all, err := store.Services(ctx, t)
	if err != nil {
		return Service{}, err
	}
	i := slices.IndexFunc(all, func(s Service) bool { return s.Code == code })
	if i < 0 {
		return Service{}, &core.Refusal{Code: "unknown_service", Reason: "Ce service n’est pas déclaré : les documents ne sont envoyés qu’aux services déclarés par la collectivité."}
	}
	return all[i], nil
}

// SetRule lets every document of a type go to a service from a moment on.
func (d *Directory) SetRule(ctx context.Context, t core.TenantID, code string, r Rule) (Rule, error) {
	s, err := d.Service(ctx, t, code)
	if err != nil {
		return Rule{}, err
	}
	types, err := types(ctx, d.store, t)
	if err != nil {
		return Rule{}, err
	}
	typ, known := types.Type(r.Type)
	switch {
	case !known:
		return Rule{}, fmt.Errorf("%w rule: the catalogue has no type %q", core.ErrInvalid, r.Type)
	case !typ.MayGo():
		return Rule{}, forbidden(typ)
	case r.Moment != WhenFiled && r.Moment != WhenValidated:
		return Rule{}, fmt.Errorf("%w rule: %q is neither filed nor validated", core.ErrInvalid, r.Moment)
	case !sentence(r.Purpose, maxPurpose):
		return Rule{}, fmt.Errorf("%w rule: say in one line for which purpose", core.ErrInvalid)
	}
	r.Service, r.Created = s.ID, d.now().UTC().Truncate(time.Microsecond)
	return r, d.store.SetRule(ctx, t, r)
}

// RemoveRule ends a rule; core.ErrNotFound when there is none.
func (d *Directory) RemoveRule(ctx context.Context, t core.TenantID, code, typ string) error {
	s, err := d.Service(ctx, t, code)
	if err != nil {
		return err
	}
	return d.store.RemoveRule(ctx, t, s.ID, typ)
}

// Rules lists a service's rules by type.
func (d *Directory) Rules(ctx context.Context, t core.TenantID, code string) ([]Rule, error) {
	s, err := d.Service(ctx, t, code)
	if err != nil {
		return nil, err
	}
	return d.store.Rules(ctx, t, s.ID)
}

// AddAgent lets an agent of the town open the links that were sent to a service.
func (d *Directory) AddAgent(ctx context.Context, t core.TenantID, code string, agent core.AgentID) error {
	s, err := d.Service(ctx, t, code)
	if err != nil {
		return err
	}
	return d.store.AddServiceAgent(ctx, t, s.ID, agent, d.now())
}

// RemoveAgent ends that at once; core.ErrNotFound for no agent of the service.
func (d *Directory) RemoveAgent(ctx context.Context, t core.TenantID, code string, agent core.AgentID) error {
	s, err := d.Service(ctx, t, code)
	if err != nil {
		return err
	}
	return d.store.RemoveServiceAgent(ctx, t, s.ID, agent)
}

// Agents lists the agents of a service.
func (d *Directory) Agents(ctx context.Context, t core.TenantID, code string) ([]core.AgentID, error) {
	s, err := d.Service(ctx, t, code)
	if err != nil {
		return nil, err
	}
	return d.store.ServiceAgents(ctx, t, s.ID)
}

var (
	codeForm    = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	mailboxForm = regexp.MustCompile(`^[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*@([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

// maxPurpose is in letters.
const maxPurpose = 200

// sentence reports one line of text that says something.
func sentence(s string, most int) bool {
	return strings.TrimSpace(s) != "" && plain(s, most)
}

func plain(s string, most int) bool {
	return len([]rune(s)) <= most && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.Is(unseen, r) })
}

// check names every fault of a service and brings its certificate into DER.
func (d *Directory) check(ctx context.Context, s *Service) error {
	settings, _, err := d.store.Settings(ctx, s.Tenant)
	if err != nil {
		return err
	}
	var faults []error
	say := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	local, domain, _ := strings.Cut(s.Mailbox, "@")
	say(codeForm.MatchString(s.Code), "code %q: want small letters, digits and dashes", s.Code)
	say(sentence(s.Name, 100), "name: want one line of at most 100 letters")
	say(mailboxForm.MatchString(s.Mailbox) && len(local) <= 64 && len(domain) <= 253, "mailbox: want one address such as etat-civil@ville.fr")
	say(s.Mailbox == "" || !ours(settings, s.Mailbox), "mailbox: documents sent there would come in again as deposits")
	say(s.Language == "fr" || s.Language == "en", "language %q: want fr or en", s.Language)
	say(s.MaxBytes >= leastBytes && s.MaxBytes <= mostBytes, "max_bytes %d: want %d to %d", s.MaxBytes, leastBytes, mostBytes)
	if _, err := ParseTemplate(s.Template); err != nil {
		faults = append(faults, err)
	}
	if s.Encrypts() {
		der, err := Certificate(s.Certificate, s.Mailbox, d.now())
		if err != nil {
			faults = append(faults, err)
		}
		s.Certificate = der
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("%w service: %w", core.ErrInvalid, err)
	}
	return nil
}

// ours reports a mailbox at which the town itself takes deposits.
func ours(s tenant.Settings, mailbox string) bool {
	mailbox = strings.ToLower(mailbox)
	local, domain, _ := strings.Cut(mailbox, "@")
	untagged, _, _ := strings.Cut(local, "+")
	return domain == s.DepositDomain || mailbox == s.Generic || untagged+"@"+domain == s.Generic
}

// types reads the town's catalogue in force.
func types(ctx context.Context, store interface {
	Catalogue(ctx context.Context, id core.TenantID, have int) (string, int, error)
}, t core.TenantID) (*catalogue.Catalogue, error) {
	content, version, err := store.Catalogue(ctx, t, 0)
	if err != nil {
		return nil, err
	}
	c, err := catalogue.Parse([]byte(content))
	if err != nil {
		return nil, fmt.Errorf("catalogue %d of tenant %s: %w", version, t, err)
	}
	return c, nil
}

func forbidden(t catalogue.Type) *core.Refusal {
	return &core.Refusal{Code: "type_forbidden", Reason: "Le référentiel interdit de transmettre ce type de document à un service : « " + t.Label + " »."}
}
