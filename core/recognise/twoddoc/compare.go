package twoddoc

import (
	"strings"

	"vaguemestre/core"
)

// Print is the printed text of the document that a code stands on.
type Print struct {
	Text  string // pages parted by form feeds, lines by "\n"
	Exact bool   // the PDF's own text; false for what was read off a picture
}

// PrintOf is the text that examining found.
func PrintOf(ev core.Evidence) Print {
	p := Print{Text: ev.AllText(), Exact: len(ev.Text) > 0}
	for _, page := range ev.Text {
		p.Exact = p.Exact && page.Source == core.SourceLayer
	}
	return p
}

// Outcome is what became of one field in the print.
type Outcome string

// The outcomes.
const (
	Found   Outcome = "found"
	Differs Outcome = "differs" // the print is legible, and does not say so
	Unclear Outcome = "unclear" // neither can be said
)

// Compared is one thing that was looked for.
type Compared struct {
	ID      string  `json:"id"` // of the field; "issued" for the header's date
	Label   string  `json:"label"`
	Outcome Outcome `json:"outcome"`

	decides bool // whether it counts in the whole
	person  bool
}

// Match is the answer to whether code and print agree: yes, no, or neither can be said.
type Match struct {
	Matches     *bool
	Differences []string // in French, for an agent; without the values
	Compared    []Compared
}

// maxPrint bounds the text that is looked at, in bytes.
const maxPrint = 128 << 10

// maxFields is more than any document has.
const maxFields = 200

// Compare looks for what the code says in the print. What is only written otherwise
// counts as found: accents, case, hyphens, order of names, abbreviated streets, spaces in
// numbers, digits that were read as letters and the reverse. A letter that is another
// letter never does: DUPONT is not DUPOND, and neither is 1 319,24 the same as 1 319,42.
//
// No needs one name, amount, street, post code or number of a card or account that a
// legible print does not bear, or a date that it gives otherwise under a label. Yes needs
// every one of them found, a person among them if the code names any, and the document's
// date if any date is printed.
func (c *Code) Compare(p Print) Match {
	if len(c.Fields) > maxFields {
		return Match{Differences: []string{}}
	}
	s := newSheet(p)
	var all []Compared
	for _, person := range c.persons() {
		all = append(all, Compared{person.id, person.label, s.person(person), true, true})
	}
	for _, f := range c.Fields {
		if o, decides, compared := s.field(f); compared {
			all = append(all, Compared{f.ID, f.Label, o, decides, false})
		}
	}
	if !c.Header.Issued.IsZero() {
		o := s.date(c.Header.Issued, "issued")
		// A date that stands nowhere among those printed may be an old bill made new.
		all = append(all, Compared{"issued", "Date du document", o, o != Unclear || len(s.dates) > 0, false})
	}
	return conclude(all)
}

func conclude(all []Compared) Match {
	m := Match{Differences: []string{}, Compared: all}
	found, unclear, persons, known := 0, 0, 0, 0
	for _, one := range all {
		if one.person {
			persons++
		}
		switch {
		case !one.decides:
		case one.Outcome == Differs:
			m.Differences = append(m.Differences, one.Label+"\u00A0: ce que dit le code n’est pas imprimé sur le document")
		case one.Outcome == Unclear:
			unclear++
		default:
			found++
			if one.person {
				known++
			}
		}
	}
	no, yes := false, true
	switch {
	case len(m.Differences) > 0:
		m.Matches = &no
	case unclear == 0 && found > 0 && (persons == 0 || known > 0):
		m.Matches = &yes
	}
	return m
}

// person is somebody whom a code names.
type person struct {
	id, label string
	names     []Name // each a way in which the code names the same one
	cut       bool
}

// nameParts are the fields that together name one person: given names (one form or
// another), surname (one or another).
var nameParts = []struct {
	label         string
	given, family []string
}{
	{"Bénéficiaire", []string{"12"}, []string{"13"}},
	{"Destinataire de la facture", []string{"16"}, []string{"17"}},
	{"Co-bénéficiaire", []string{"1K"}, []string{"1L"}},
	{"Co-destinataire", []string{"1O"}, []string{"1P"}},
	{"Employeur", []string{"5P"}, []string{"5O"}},
	{"Déclarant", []string{"5R"}, []string{"5Q"}},
	{"Titulaire", []string{"61", "60"}, []string{"62", "63", "64"}},
	{"Défunt", []string{"73"}, []string{"72", "74"}},
	{"Titulaire", []string{"81"}, []string{"80"}},
	{"Étudiant", []string{"B1", "B0"}, []string{"B2", "B3", "B4"}},
	{"Vendeur", []string{"C2"}, []string{"C1"}},
	{"Acheteur", []string{"C7"}, []string{"C6"}},
	{"Expéditeur", []string{"DC"}, []string{"DB"}},
	{"Exportateur", []string{"DK"}, []string{"DJ"}},
	{"Destinataire", []string{"DR"}, []string{"DQ"}},
	{"Personne", []string{"F0"}, []string{"F1"}},
	{"Praticien", []string{"I4"}, []string{"I3"}},
	{"Patient", []string{"L1"}, []string{"L0"}},
}

// persons are those whom the code names, each once.
func (c *Code) persons() []person {
	var out []person
	for _, f := range c.Fields {
		if f.Value.Kind == KindLine || f.Value.Kind == KindPerson {
			for _, n := range f.Value.Names {
				out = append(out, person{f.ID, f.Label, []Name{n}, f.Cut || len(f.Raw) == definitions[f.ID].max})
			}
		}
	}
	for _, part := range nameParts {
		p := person{label: part.label}
		for _, family := range part.family {
			f, ok := c.Field(family)
			if !ok || f.Value.Text == "" {
				continue
			}
			p.id, p.cut = f.ID, p.cut || f.Cut
			p.names = append(p.names, c.given(part.given, f.Value.Text, &p)...)
		}
		if len(p.names) > 0 {
			out = append(out, p)
		}
	}
	return out
}

// given joins a surname with each form of the given names.
func (c *Code) given(ids []string, family string, p *person) []Name {
	var out []Name
	for _, id := range ids {
		if f, ok := c.Field(id); ok && f.Value.Text != "" {
			p.cut = p.cut || f.Cut
			out = append(out, Name{Family: family, Given: parts(f.Value.Text)})
		}
	}
	if len(out) == 0 {
		out = []Name{{Family: family}}
	}
	return out
}

// cards are the numbers that say whose a document is: they decide.
var cards = map[string]bool{"31": true, "66": true, "A1": true, "A4": true, "AH": true, "AL": true, "BK": true, "82": true}

// field looks for a field that names no person. Not all kinds are printed as coded: what
// is not compared says nothing.
func (s *sheet) field(f Field) (o Outcome, decides, compared bool) {
	v := f.Value
	if v.Text == "" {
		return Unclear, false, false
	}
	switch v.Kind {
	case KindAmount:
		o = Unclear
		if v.Cents != nil {
			o = s.amount(*v.Cents)
			decides = *v.Cents != 0 || o == Found // naught is often left out
		}
		return o, decides, true
	case KindStreet:
		return s.street(v.Text, f.Cut), true, true
	case KindPostcode:
		return s.number(v.Text), true, true
	case KindTown:
		o = s.town(v.Text, f.Cut)
		return o, o != Differs, true // the post code decides; a town has many spellings
	case KindAddress:
		return s.address(v.Text, f.Cut), true, strings.Contains(v.Text, "/")
	case KindNumber:
		return s.number(f.Raw), cards[f.ID] && !f.Cut, true
	case KindMRZ:
		return s.mrz(f.Raw), true, true
	case KindDate, KindHexDate:
		if v.Date.IsZero() {
			return Unclear, false, false
		}
		o = s.date(v.Date, f.ID)
		return o, o != Unclear, true
	}
	return Unclear, false, false
}
