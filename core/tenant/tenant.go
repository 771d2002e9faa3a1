package tenant

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/vault"
)

// ErrCodeTaken: another town has this code.
var ErrCodeTaken = errors.New("a tenant with this code exists")

// Tenant is a town (collectivité).
type Tenant struct {
	ID   core.TenantID `json:"id"`
	Code string        `json:"code"`
	Name string        `json:"name"`
}

// Founding is a new town with all it starts with.
type Founding struct {
	Tenant
	Settings      Settings
	Catalogue     string // content, version 1
	IntakePublic  []byte
	IntakeWrapped []byte
	Created       time.Time
}

// Store keeps towns.
type Store interface {
	// AddTenant commits everything at once; ErrCodeTaken for a code in use.
	AddTenant(ctx context.Context, f Founding) error
	AddAgent(ctx context.Context, tenant core.TenantID, id core.AgentID, identity []byte, created time.Time) error
}

// Keys makes a town's keys.
type Keys interface {
	TenantKeys(ctx context.Context, tenant core.TenantID) (public, wrapped []byte, err error)
}

// Registrar founds towns.
type Registrar struct {
	store Store
	keys  Keys
	now   func() time.Time
}

// New builds the registrar.
func New(store Store, keys Keys, now func() time.Time) *Registrar {
	return &Registrar{store, keys, now}
}

var codeForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Add founds a town with its keys, settings and first catalogue.
func (r *Registrar) Add(ctx context.Context, code, name string, s Settings, catalogue string) (Founding, error) {
	if !codeForm.MatchString(code) {
		return Founding{}, fmt.Errorf("%w code %q: want small letters, digits and dashes", core.ErrInvalid, code)
	}
	if name == "" {
		return Founding{}, fmt.Errorf("%w name: a tenant needs one", core.ErrInvalid)
	}
	if err := s.Validate(); err != nil {
		return Founding{}, fmt.Errorf("%w settings: %w", core.ErrInvalid, err)
	}
	f := Founding{Tenant: Tenant{core.NewID[core.TenantID](), code, name}, Settings: s, Catalogue: catalogue, Created: r.now()}
	var err error
	if f.IntakePublic, f.IntakeWrapped, err = r.keys.TenantKeys(ctx, f.ID); err != nil {
		return Founding{}, err
	}
	if err := r.store.AddTenant(ctx, f); err != nil {
		return Founding{}, fmt.Errorf("add tenant: %w", err)
	}
	return f, nil
}

// AddAgent enrols someone of the town. The identity is sealed so that only the keeper
// can open it.
func (r *Registrar) AddAgent(ctx context.Context, f Founding, identity []byte) (core.AgentID, error) {
	sealer, err := vault.NewIntakeSealer(f.ID, f.IntakePublic)
	if err != nil {
		return "", err
	}
	box, err := sealer.Box(identity)
	if err != nil {
		return "", err
	}
	id := core.NewID[core.AgentID]()
	if err := r.store.AddAgent(ctx, f.ID, id, box, r.now()); err != nil {
		return "", fmt.Errorf("add agent: %w", err)
	}
	return id, nil
}
