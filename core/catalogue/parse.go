package catalogue

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"vaguemestre/core"
)

// Bounds of a catalogue: recognising costs time for each phrase.
const (
	maxSize    = 1 << 20
	maxTypes   = 500
	maxPhrases = 120 // in one list
	maxPhrase  = 100 // bytes
	maxMonths  = 1200
)

var codePattern = regexp.MustCompile(`^[a-z][a-z0-9_]{1,62}$`)

// file is a catalogue as written.
type file struct {
	Groups     []Group     `yaml:"groups,omitempty"`
	Types      []Type      `yaml:"types"`
	Lookalikes []Lookalike `yaml:"lookalikes,omitempty"`
}

// Parse reads a catalogue. It refuses what it does not know, and reports every problem
// at once (errors.Join), each with its line and type.
func Parse(b []byte) (*Catalogue, error) {
	if len(b) > maxSize {
		return nil, fmt.Errorf("catalogue of %d bytes: at most %d", len(b), maxSize)
	}
	var f file
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(&f); err != nil {
		return nil, decodeError(err)
	}
	if err := dec.Decode(new(file)); !errors.Is(err, io.EOF) {
		return nil, errors.New("catalogue: one YAML document expected, more found")
	}
	if err := errors.Join(f.problems(linesOf(b))...); err != nil {
		return nil, err
	}
	return &Catalogue{types: f.Types, groups: f.Groups, lookalikes: f.Lookalikes}, nil
}

// Marshal writes a catalogue that Parse reads back the same.
func (c *Catalogue) Marshal() ([]byte, error) {
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(file{c.groups, c.types, c.lookalikes}); err != nil {
		return nil, fmt.Errorf("write catalogue: %w", err)
	}
	return out.Bytes(), nil
}

// decodeError turns the one error of the YAML reader into one for each line.
func decodeError(err error) error {
	var many *yaml.TypeError
	if !errors.As(err, &many) {
		return fmt.Errorf("read catalogue: %w", err)
	}
	errs := make([]error, len(many.Errors))
	for i, line := range many.Errors {
		errs[i] = fmt.Errorf("read catalogue: %s", line)
	}
	return errors.Join(errs...)
}

// linesOf gives the line on which each item of each top-level list begins.
func linesOf(b []byte) map[string][]int {
	lines := map[string][]int{}
	var doc yaml.Node
	if yaml.Unmarshal(b, &doc) != nil || len(doc.Content) == 0 {
		return lines
	}
	top := doc.Content[0]
	for i := 0; i+1 < len(top.Content); i += 2 {
		for _, item := range top.Content[i+1].Content {
			lines[top.Content[i].Value] = append(lines[top.Content[i].Value], item.Line)
		}
	}
	return lines
}

func (f file) problems(lines map[string][]int) []error {
	var errs []error
	at := func(list string, i int, name, format string, args ...any) {
		line := 0
		if i < len(lines[list]) {
			line = lines[list][i]
		}
		errs = append(errs, fmt.Errorf("line %d: %s: %s", line, name, fmt.Sprintf(format, args...)))
	}
	if len(f.Types) == 0 || len(f.Types) > maxTypes {
		errs = append(errs, fmt.Errorf("catalogue: %d types, want 1 to %d", len(f.Types), maxTypes))
	}
	seen := map[string]bool{}
	for i, t := range f.Types {
		if seen[t.Code] {
			at("types", i, t.Code, "declared twice")
		}
		seen[t.Code] = true
		for _, p := range t.problems() {
			at("types", i, t.Code, "%s", p)
		}
	}
	groups := map[string]bool{}
	for i, g := range f.Groups {
		if groups[g.Code] || seen[g.Code] {
			at("groups", i, g.Code, "declared twice")
		}
		groups[g.Code] = true
		for _, p := range g.problems(seen) {
			at("groups", i, g.Code, "%s", p)
		}
	}
	for i, l := range f.Lookalikes {
		if l.Label == "" {
			at("lookalikes", i, "lookalike", "has no label")
		}
		for _, p := range l.Signals.problems() {
			at("lookalikes", i, l.Label, "%s", p)
		}
	}
	if len(f.Lookalikes) > maxTypes {
		errs = append(errs, fmt.Errorf("catalogue: %d lookalikes, at most %d", len(f.Lookalikes), maxTypes))
	}
	return errs
}

// problems of a group, types being the codes of the catalogue.
func (g Group) problems(types map[string]bool) []string {
	var out []string
	if !codePattern.MatchString(g.Code) {
		out = append(out, fmt.Sprintf("code %q: want lower-case letters, digits and _", g.Code))
	}
	if g.Label == "" {
		out = append(out, "has no label")
	}
	for _, code := range g.Types {
		if !types[code] {
			out = append(out, fmt.Sprintf("names type %q, which is not in the catalogue", code))
		}
	}
	return out
}

func (t Type) problems() []string {
	var out []string
	add := func(bad bool, format string, args ...any) {
		if bad {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	add(!codePattern.MatchString(t.Code), "code %q: want lower-case letters, digits and _", t.Code)
	add(strings.TrimSpace(t.Label) == "", "has no label")
	add(strings.TrimSpace(t.Family) == "", "has no family")
	add(t.MaxBytes < 0, "max_bytes %d is negative", t.MaxBytes)
	add(t.MaxPages < 0, "max_pages %d is negative", t.MaxPages)
	add(len(t.Validity) == 0, "has no validity rule (write `until: never` for none)")
	add(t.System && !t.Signals.empty(), "is a system type: no signals, nothing may recognise it")
	kinds := []core.Kind{core.KindPDF, core.KindJPEG, core.KindPNG, core.KindGIF, core.KindWebP, core.KindTIFF, core.KindHEIC}
	for _, k := range t.Kinds {
		add(!slices.Contains(kinds, k), "kind %q is not one that is read", k)
	}
	out = append(out, t.Validity.problems("validity", validityBases)...)
	out = append(out, t.Vault.Retention.problems("vault.retention", vaultBases)...)
	out = append(out, t.RequestCopy.Retention.problems("request_copy.retention", copyBases)...)
	v := t.Validation
	for _, p := range []Policy{v.Home, v.Post, v.Phone, v.Counter, v.Certified} {
		add(p != "" && p != ByAgent && p != ByNobody, "validation %q: want agent or none", p)
	}
	ways := []Dispatch{"", DispatchFile, DispatchEncrypted, DispatchLink, DispatchNone}
	add(!slices.Contains(ways, t.Dispatch), "dispatch %q: want file, encrypted, link or none", t.Dispatch)
	out = append(out, t.Signals.problems()...)
	return append(out, t.Reading.problems()...)
}

var (
	validityBases = []Basis{FromExpiry, FromIssue, FromDeposit, FromPeriodEnd, FromSchoolYear, OnDate, Never}
	vaultBases    = append(slices.Clip(validityBases), FromValidEnd, FromDepositSchool)
	copyBases     = append(slices.Clip(vaultBases), FromRequestClosed)
)

func (rs Rules) problems(where string, bases []Basis) []string {
	var out []string
	for i, r := range rs {
		say := func(format string, args ...any) {
			out = append(out, fmt.Sprintf("%s, rule %d: %s", where, i+1, fmt.Sprintf(format, args...)))
		}
		if !slices.Contains(bases, r.Until) {
			say("until %q: want one of %v", r.Until, bases)
		}
		if r.Months < 0 || r.Months > maxMonths {
			say("months %d: want 0 to %d", r.Months, maxMonths)
		}
		if (r.Until == OnDate) == r.Date.IsZero() {
			say("a date goes with `until: date`, and only with it")
		}
		if r.Until == Never && r.Months != 0 {
			say("`until: never` has no months")
		}
		for _, d := range []core.Date{r.Date, r.IssuedFrom, r.IssuedBefore} {
			if !d.IsZero() && (d.Year < 1800 || d.Year > 2999) {
				say("date %s is out of reach", d)
			}
		}
	}
	return out
}

func (s Signals) empty() bool {
	return len(s.Titles)+len(s.Codes)+len(s.Marks)+len(s.Issuers)+len(s.Terms) == 0
}

func (s Signals) problems() []string {
	out := phraseProblems("titles", s.Titles)
	out = append(out, phraseProblems("marks", s.Marks)...)
	out = append(out, phraseProblems("issuers", s.Issuers)...)
	out = append(out, phraseProblems("terms", s.Terms)...)
	out = append(out, phraseProblems("against", s.Against)...)
	codes := []Code{MRZIdentity, MRZPassport, MRZResidence, MRZLicence, MRZVehicle, IBAN, NIR, SIRET, FiscalNumber, Plate}
	for _, c := range s.Codes {
		if !slices.Contains(codes, c) {
			out = append(out, fmt.Sprintf("code %q: want one of %v", c, codes))
		}
	}
	return out
}

func (r Reading) problems() []string {
	var out []string
	h := r.Holder
	lists := map[string][]string{"holder.after": h.After, "holder.before": h.Before, "holder.surname": h.Surname,
		"holder.given": h.Given, "holder.also": h.Also, "issued": r.Issued, "expires": r.Expires}
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		out = append(out, phraseProblems(name, lists[name])...)
	}
	forms := []Form{FormSpan, FormMonth, FormSchoolYear, FormIncomeYear}
	for _, f := range r.Period {
		if !slices.Contains(forms, f) {
			out = append(out, fmt.Sprintf("period %q: want one of %v", f, forms))
		}
	}
	return out
}

func phraseProblems(where string, phrases []string) []string {
	var out []string
	if len(phrases) > maxPhrases {
		out = append(out, fmt.Sprintf("%s: %d phrases, at most %d", where, len(phrases), maxPhrases))
	}
	for _, p := range phrases {
		if strings.TrimSpace(p) == "" {
			out = append(out, where+": an empty phrase")
		}
		if len(p) > maxPhrase {
			out = append(out, fmt.Sprintf("%s: phrase of %d bytes, at most %d", where, len(p), maxPhrase))
		}
	}
	return out
}
