package twoddoc

import (
	_ "embed"
	"strconv"
	"strings"
)

// Field is one value of a code.
type Field struct {
	ID    string `json:"id"`
	Label string `json:"label"`         // in French
	Raw   string `json:"raw"`           // as coded
	Cut   bool   `json:"cut,omitempty"` // the issuer cut the value short: the print may go on
	Value Value  `json:"value"`
}

// definition is a line of fields.tsv: what perimeter 01 says of an identifier.
type definition struct {
	min, max int // length; max -1: no bound; equal: fixed, no separator follows
	kind     Kind
	label    string
}

// kind of document, a line of types.tsv.
type docType struct {
	dated     bool
	mandatory [][]string // each a choice of identifiers
	label     string
}

//go:embed fields.tsv
var fieldTable string

//go:embed types.tsv
var typeTable string

var (
	definitions = parseFields(fieldTable)
	docTypes    = parseTypes(typeTable)
)

// parseFields panics on a table that is not one: it is built in.
func parseFields(table string) map[string]definition {
	m := map[string]definition{}
	for line := range strings.Lines(table) {
		column := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		d := definition{max: -1, kind: Kind(column[2]), label: column[3]}
		if column[1] != "*" {
			low, high, ranged := strings.Cut(column[1], "-")
			if !ranged {
				high = low
			}
			d.min, d.max = mustAtoi(low), mustAtoi(high)
		}
		m[column[0]] = d
	}
	return m
}

func mustAtoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

func parseTypes(table string) map[string]docType {
	m := map[string]docType{}
	for line := range strings.Lines(table) {
		column := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		t := docType{dated: column[1] == "D", label: column[3]}
		for _, choice := range strings.Fields(column[2]) {
			t.mandatory = append(t.mandatory, strings.Split(choice, "|"))
		}
		m[column[0]] = t
	}
	return m
}

// defined looks an identifier up. What is unknown has no length: it ends at a separator.
func defined(perimeter, id string) (definition, bool) {
	if perimeter == "01" {
		if d, ok := definitions[id]; ok {
			return d, true
		}
	}
	return definition{max: -1, kind: KindText, label: "Champ " + printable(id)}, false
}

func typeOf(h Header) docType {
	if h.Perimeter != "01" || h.Binary {
		return docType{}
	}
	return docTypes[h.Type]
}

// printable keeps what a terminal or a page may show of bytes that a stranger chose.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

func newField(id string, d definition, raw string, cut bool) Field {
	f := Field{ID: printable(id), Label: d.label, Raw: printable(raw), Cut: cut}
	f.Value = d.kind.read(f.Raw, cut)
	return f
}
