// Package catalogue owns the document types (the référentiel): what the town accepts,
// how long each proves something, how long each is kept, who validates it, and by
// which signs it is recognised. Types are data; this package only reads and applies them.
package catalogue

import (
	_ "embed"
	"slices"

	"vaguemestre/core"
)

//go:embed default.yaml
var defaultYAML []byte

// Default is the catalogue a new town starts from. Each call returns a fresh one.
func Default() *Catalogue {
	c, err := Parse(defaultYAML)
	if err != nil {
		panic("default catalogue: " + err.Error())
	}
	return c
}

// Catalogue is one version of a town's document types. It is never changed once
// parsed, and may be shared between goroutines.
type Catalogue struct {
	Version int // of the stored row; 0 for one that was never stored

	types      []Type
	groups     []Group
	lookalikes []Lookalike
}

// Type returns the type of that code, retired ones included: documents filed under it remain.
func (c *Catalogue) Type(code string) (Type, bool) {
	i := slices.IndexFunc(c.types, func(t Type) bool { return t.Code == code })
	if i < 0 {
		return Type{}, false
	}
	return c.types[i], true
}

// Types lists all types in the order of the catalogue, retired ones included.
func (c *Catalogue) Types() []Type { return slices.Clone(c.types) }

// Group returns the group of that code.
func (c *Catalogue) Group(code string) (Group, bool) {
	i := slices.IndexFunc(c.groups, func(g Group) bool { return g.Code == code })
	if i < 0 {
		return Group{}, false
	}
	return c.groups[i], true
}

// Lookalikes are the papers that resemble a type and are none.
func (c *Catalogue) Lookalikes() []Lookalike { return slices.Clone(c.lookalikes) }

// Type is one kind of document. Code is stable and stored with every document; all
// the rest may change from one version to the next.
type Type struct {
	Code      string `yaml:"code"`
	Label     string `yaml:"label"`               // French, as citizens read it
	Family    string `yaml:"family"`              // French heading under which it is listed
	Help      string `yaml:"help,omitempty"`      // French: what it is, what is asked of it
	Reference string `yaml:"reference,omitempty"` // the law it rests on
	Retired   bool   `yaml:"retired,omitempty"`   // no longer accepted nor recognised
	System    bool   `yaml:"system,omitempty"`    // filed by the town itself; no recogniser may answer it
	Sensitive bool   `yaml:"sensitive,omitempty"` // health data, judgments (RGPD art. 9 and 10): even the code is hidden (SEC-24)

	Kinds    []core.Kind `yaml:"kinds,omitempty,flow"` // accepted; none named: all that are read
	MaxBytes int64       `yaml:"max_bytes,omitempty"`  // 0: the town's own limit
	MaxPages int         `yaml:"max_pages,omitempty"`  // 0: the town's own limit

	Validity    Rules      `yaml:"validity"` // how long it proves something
	Vault       Keeping    `yaml:"vault,omitempty"`
	RequestCopy Keeping    `yaml:"request_copy,omitempty"`
	Validation  Validation `yaml:"validation,omitempty"`
	Dispatch    Dispatch   `yaml:"dispatch,omitempty"` // to the services of the town, by e-mail

	Signals Signals `yaml:"signals,omitempty"`
	Reading Reading `yaml:"reading,omitempty"`
}

// Accepts reports whether files of kind k may be deposited under this type.
func (t Type) Accepts(k core.Kind) bool {
	return len(t.Kinds) == 0 || slices.Contains(t.Kinds, k)
}

// Keeping says how long one copy is kept. No rule: as long as its owner wants.
type Keeping struct {
	Retention Rules `yaml:"retention,omitempty"`
}

// Group is a set of types of which any one will do: a proof of address.
type Group struct {
	Code  string   `yaml:"code"`
	Label string   `yaml:"label"`
	Types []string `yaml:"types"`
}

// Lookalike is a paper that borrows the words of a type without being one: a bank
// statement shows an IBAN but is no RIB. It competes, and when it wins nothing is recognised.
type Lookalike struct {
	Label   string  `yaml:"label"`
	Signals Signals `yaml:"signals"`
}

// Dispatch says how a document may go to a service of the town by e-mail.
type Dispatch string

// How a document may go. What is left out has the default: encrypted for a sensitive
// type, as a file for any other.
const (
	DispatchFile      Dispatch = "file"
	DispatchEncrypted Dispatch = "encrypted" // as a file of a message that is encrypted, otherwise as a link
	DispatchLink      Dispatch = "link"      // as a link alone, which wants signing in
	DispatchNone      Dispatch = "none"      // not at all
)

// MayAttach reports whether a document of this type may be a file of a message that is
// encrypted to who receives it, or is not.
func (t Type) MayAttach(encrypted bool) bool {
	switch t.Dispatch {
	case DispatchFile:
		return true
	case DispatchEncrypted:
		return encrypted
	case "":
		return encrypted || !t.Sensitive
	}
	return false
}

// MayGo reports whether a document of this type may go to a service at all.
func (t Type) MayGo() bool { return t.Dispatch != DispatchNone }

// Policy says who must look at a document before it counts.
type Policy string

// The policies.
const (
	ByAgent  Policy = "agent"
	ByNobody Policy = "none"
)

// Validation is who validates, by the way the document came (ALF-5, ALF-6). What is
// left out has the default: an agent for home, post and phone; nobody at the counter,
// where an agent holds the original, nor for a certified source.
type Validation struct {
	Home      Policy `yaml:"home,omitempty"`
	Post      Policy `yaml:"post,omitempty"`
	Phone     Policy `yaml:"phone,omitempty"`
	Counter   Policy `yaml:"counter,omitempty"`
	Certified Policy `yaml:"certified,omitempty"`
}

// NeedsValidation reports whether an agent must look at a document that came by this
// journey. A journey it does not know needs an agent.
func (t Type) NeedsValidation(journey core.Journey) bool {
	v := t.Validation
	switch journey {
	case core.JourneyHome:
		return v.Home != ByNobody
	case core.JourneyPost:
		return v.Post != ByNobody
	case core.JourneyPhone:
		return v.Phone != ByNobody
	case core.JourneyCounter:
		return v.Counter == ByAgent
	}
	return true
}

// CertifiedNeedsValidation reports whether an agent must look even when the source
// itself vouches for the document: a verified 2D-Doc, a trusted connector.
func (t Type) CertifiedNeedsValidation() bool { return t.Validation.Certified == ByAgent }
