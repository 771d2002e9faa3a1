// Package tenant owns what a town sets: its settings, versioned, and how a new town
// comes to be.
package tenant

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"vaguemestre/core"
)

// Settings are a town's own rules. Each change is a new version.
type Settings struct {
	DepositDomain string      `json:"deposit_domain"`  // of its secret deposit addresses
	Threshold     float64     `json:"threshold"`       // confidence under which a person decides the type, 0 to 1
	MaxFileBytes  int64       `json:"max_file_bytes"`  // per file
	MaxPages      int         `json:"max_pages"`       // per file
	Kinds         []core.Kind `json:"kinds,omitempty"` // accepted; none named: all that can be read
}

// Defaults are sensible for any town; its deposit domain it must name itself.
func Defaults() Settings {
	return Settings{Threshold: 0.6, MaxFileBytes: 20_000_000, MaxPages: 200}
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

// Validate names every fault.
func (s Settings) Validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(len(s.DepositDomain) <= 253 && domainForm.MatchString(s.DepositDomain), "deposit_domain: %q is not a domain name", s.DepositDomain)
	check(s.Threshold > 0 && s.Threshold <= 1, "threshold: %v is not between 0 and 1", s.Threshold)
	check(s.MaxFileBytes > 0, "max_file_bytes: %d is not a size", s.MaxFileBytes)
	check(s.MaxPages > 0, "max_pages: %d is not a number of pages", s.MaxPages)
	for _, k := range s.Kinds {
		check(slices.Contains(allKinds, k), "kinds: %q is not a kind we read", k)
	}
	return errors.Join(faults...)
}
