// Package tenant owns what a town sets: its settings, versioned, and how a new town
// comes to be.
package tenant

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"vaguemestre/core"
)

// Settings are a town's own rules. Each change is a new version.
type Settings struct {
	DepositDomain string      `json:"deposit_domain" help:"domain of the town's secret deposit addresses"`
	AddressForm   AddressForm `json:"address_form,omitempty" help:"how they are written: domain (token@deposit_domain) or plus (a tag of generic_address); domain unless said"`
	Generic       string      `json:"generic_address,omitempty" help:"mailbox everybody may write to, such as depot@ville.fr; empty: none"`
	Threshold     float64     `json:"threshold" help:"confidence under which a person decides the type, 0 to 1"`
	MaxFileBytes  int64       `json:"max_file_bytes" help:"largest file taken in"`
	MaxPages      int         `json:"max_pages" help:"most pages of a file"`
	Kinds         []core.Kind `json:"kinds,omitempty" help:"kinds of file taken in, as a list in JSON; empty: all that can be read"`

	Mail
}

// Setting is one by the name it is set with, and what it means.
type Setting struct{ Name, Help string }

// List names all settings that a person sets, in the order of Settings.
func List() []Setting { return settingsOf(reflect.TypeFor[Settings]()) }

func settingsOf(t reflect.Type) (list []Setting) {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch help := f.Tag.Get("help"); {
		case f.Anonymous:
			list = append(list, settingsOf(f.Type)...)
		case help != "":
			list = append(list, Setting{name, help})
		}
	}
	return list
}

// AddressForm is how secret deposit addresses are written.
type AddressForm string

// The forms. A domain of their own is the default; plus-tags serve a town that can
// spare a mailbox and no domain.
const (
	FormDomain AddressForm = "domain" // token@deposit_domain
	FormPlus   AddressForm = "plus"   // mailbox+token@domain, of the generic address
)

// MintUnder is what secret addresses are made under: a domain, or a mailbox.
func (s Settings) MintUnder() string {
	if s.AddressForm == FormPlus {
		return s.Generic
	}
	return s.DepositDomain
}

// Defaults are sensible for any town; its deposit domain it must name itself.
func Defaults() Settings {
	return Settings{Threshold: 0.6, MaxFileBytes: 20_000_000, MaxPages: 200,
		Mail: Mail{Language: "fr", TimeZone: "Europe/Paris", ResultWait: Duration(15 * time.Minute)}}
}

// Set changes settings by the names they have in JSON. A value that is no JSON, or not of
// the form the key wants, is text, so that text needs no quotes: not even a number that is
// one of a telephone. The error names every key there is not and every value
// that does not fit; then nothing is changed.
func (s *Settings) Set(values map[string]string) error {
	var faults []error
	next := *s
	for _, key := range slices.Sorted(maps.Keys(values)) {
		text, _ := json.Marshal(values[key]) // text always has a form
		if next.set(key, []byte(values[key])) != nil && next.set(key, text) != nil {
			faults = append(faults, fmt.Errorf("%s: no such key, or its value has another form", key))
		}
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	*s = next
	return nil
}

// set changes one key to a value in JSON, or nothing.
func (s *Settings) set(key string, raw []byte) error {
	name, _ := json.Marshal(key)
	if !json.Valid(raw) { // or it could bring keys of its own
		return core.ErrInvalid
	}
	next := *s
	dec := json.NewDecoder(bytes.NewReader(slices.Concat([]byte("{"), name, []byte(":"), raw, []byte("}"))))
	dec.DisallowUnknownFields()
	err := dec.Decode(&next)
	if err == nil {
		*s = next
	}
	return err
}

// Parse reads settings over the defaults and validates them; the error names every
// fault.
func Parse(b []byte) (Settings, error) {
	s := Defaults()
	if err := json.Unmarshal(b, &s); err != nil {
		return Settings{}, fmt.Errorf("settings: %w", err)
	}
	return s, s.Validate()
}

var (
	domainForm = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	allKinds   = []core.Kind{core.KindPDF, core.KindJPEG, core.KindPNG, core.KindGIF, core.KindWebP, core.KindTIFF, core.KindHEIC}
)

var mailboxForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,38}[a-z0-9])?$`) // 40, and a plus and a token fit into the 64 of RFC 5321

func genericForm(address string) bool {
	mailbox, domain, found := strings.Cut(address, "@")
	return found && mailboxForm.MatchString(mailbox) && len(domain) <= 253 && domainForm.MatchString(domain)
}

// Validate names every fault.
func (s Settings) Validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(len(s.DepositDomain) <= 253 && domainForm.MatchString(s.DepositDomain), "deposit_domain: %q is not a domain name", s.DepositDomain)
	check(slices.Contains([]AddressForm{"", FormDomain, FormPlus}, s.AddressForm), "address_form: %q is neither domain nor plus", s.AddressForm)
	check(s.Generic == "" || genericForm(s.Generic), "generic_address: %q is not an address in small letters without a plus", s.Generic)
	check(s.AddressForm != FormPlus || s.Generic != "", "address_form: plus needs a generic_address to hang the tags on")
	check(s.Threshold > 0 && s.Threshold <= 1, "threshold: %v is not between 0 and 1", s.Threshold)
	check(s.MaxFileBytes > 0, "max_file_bytes: %d is not a size", s.MaxFileBytes)
	check(s.MaxPages > 0, "max_pages: %d is not a number of pages", s.MaxPages)
	for _, k := range s.Kinds {
		check(slices.Contains(allKinds, k), "kinds: %q is not a kind we read", k)
	}
	faults = append(faults, s.Mail.faults()...)
	return errors.Join(faults...)
}
