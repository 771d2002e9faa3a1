package tenant

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/address"
	"vaguemestre/core/vault"
)

var (
	// ErrCodeTaken: another town has this code.
	ErrCodeTaken = errors.New("a tenant with this code exists")
	// ErrAddressTaken: another town receives at this generic address.
	ErrAddressTaken = errors.New("another tenant has this generic address")
)

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
	Generic       *Generic // nil: none
	Catalogue     string   // content, version 1
	IntakePublic  []byte
	IntakeWrapped []byte
	Created       time.Time
}

// Generic is a town's generic address as it is looked up.
type Generic struct {
	ID   core.AddressID
	Hash []byte // keyed
}

// Store keeps towns.
type Store interface {
	// AddTenant commits everything at once; ErrCodeTaken for a code in use,
	// ErrAddressTaken for a generic address in use.
	AddTenant(ctx context.Context, f Founding) error
	// Settings reads the settings in force and their version; core.ErrNotFound.
	Settings(ctx context.Context, id core.TenantID) (Settings, int, error)
	// ChangeSettings commits settings as the version after the one they were made from,
	// with the generic address they name in the place of any other. ErrChanged when that
	// version is no longer in force.
	ChangeSettings(ctx context.Context, id core.TenantID, from int, s Settings, generic *Generic, at time.Time) error
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
	index vault.Index
	now   func() time.Time
}

// New builds the registrar.
func New(store Store, keys Keys, index vault.Index, now func() time.Time) *Registrar {
	return &Registrar{store, keys, index, now}
}

// generic is the address of the settings as it is looked up; nil when they name none.
func (r *Registrar) generic(s Settings) (*Generic, error) {
	if s.Generic == "" {
		return nil, nil
	}
	hash, ok := address.HashGeneric(r.index, s.Generic)
	if !ok {
		return nil, fmt.Errorf("%w settings: generic_address: %q has the form of a secret address", core.ErrInvalid, s.Generic)
	}
	return &Generic{ID: core.NewID[core.AddressID](), Hash: hash}, nil
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
	if f.Generic, err = r.generic(s); err != nil {
		return Founding{}, err
	}
	if f.IntakePublic, f.IntakeWrapped, err = r.keys.TenantKeys(ctx, f.ID); err != nil {
		return Founding{}, err
	}
	if err := r.store.AddTenant(ctx, f); err != nil {
		return Founding{}, fmt.Errorf("add tenant: %w", err)
	}
	return f, nil
}

// ErrChanged: somebody changed the settings in the meantime.
var ErrChanged = errors.New("the settings were changed by somebody else")

// Change lets change edit a town's settings and puts them in force as a new version. It
// returns them with their version. Nothing changed is no new version.
func (r *Registrar) Change(ctx context.Context, id core.TenantID, change func(*Settings) error) (Settings, int, error) {
	old, version, err := r.store.Settings(ctx, id)
	if err != nil {
		return Settings{}, 0, err
	}
	s := old
	s.Kinds, s.DKIMKeys = slices.Clone(old.Kinds), slices.Clone(old.DKIMKeys)
	if err := change(&s); err != nil {
		return Settings{}, 0, fmt.Errorf("%w settings: %w", core.ErrInvalid, err)
	}
	if err := s.Validate(); err != nil {
		return Settings{}, 0, fmt.Errorf("%w settings: %w", core.ErrInvalid, err)
	}
	if reflect.DeepEqual(s, old) {
		return old, version, nil
	}
	generic, err := r.generic(s)
	if err != nil {
		return Settings{}, 0, err
	}
	if err := r.store.ChangeSettings(ctx, id, version, s, generic, r.now()); err != nil {
		return Settings{}, 0, fmt.Errorf("change settings: %w", err)
	}
	return s, version + 1, nil
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
