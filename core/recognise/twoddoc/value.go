package twoddoc

import (
	"encoding/base32"
	"strconv"
	"strings"
	"unicode/utf8"

	"vaguemestre/core"
)

// Kind is what a value is.
type Kind string

// The kinds, as fields.tsv names them.
const (
	KindText     Kind = "text"
	KindLine     Kind = "line"   // first line of an address: QUALITE/NOM/PRENOM
	KindPerson   Kind = "person" // a person or a company in free text, or several
	KindTitle    Kind = "title"
	KindGiven    Kind = "given" // first names, parted by "/"
	KindFamily   Kind = "family"
	KindHexDate  Kind = "hexdate"  // days since 2000 in hexadecimal
	KindDate     Kind = "date"     // JJMMAAAA
	KindDateTime Kind = "datetime" // JJMMAAAAHHMM
	KindTime     Kind = "time"     // HHMMSS
	KindAmount   Kind = "amount"   // euros
	KindDecimal  Kind = "decimal"
	KindInteger  Kind = "integer"
	KindYear     Kind = "year"
	KindBool     Kind = "bool"
	KindCountry  Kind = "country"
	KindURL      Kind = "url"    // Base32
	KindNumber   Kind = "number" // of a contract, an account, a card: letters and digits
	KindStreet   Kind = "street"
	KindPlace    Kind = "place" // other lines of an address
	KindPostcode Kind = "postcode"
	KindTown     Kind = "town"
	KindAddress  Kind = "address" // a whole one, parted by "/"
	KindMRZ      Kind = "mrz"
	KindSex      Kind = "sex"

	// KindUnreadable: not what its field asks for. Text holds it as coded.
	KindUnreadable Kind = "unreadable"
)

// Value is a field's content. Text is always set, fit to be shown; the others by Kind.
type Value struct {
	Kind  Kind      `json:"kind"`
	Text  string    `json:"text"`
	Date  core.Date `json:"date,omitzero"`
	Cents *int64    `json:"cents,omitempty"` // of amounts
	Names []Name    `json:"names,omitempty"` // persons: usually one
}

// Name is a person or a company. Free text that names one person is all in Family.
type Name struct {
	Title  string   `json:"title,omitempty"`
	Family string   `json:"family,omitempty"`
	Given  []string `json:"given,omitempty"`
}

// read makes a value of what was coded. An empty value is legal.
func (k Kind) read(raw string, cut bool) Value {
	v := Value{Kind: k, Text: strings.TrimSpace(raw)}
	ok := true
	switch {
	case v.Text == "":
		return v
	case cut: // a prefix is text, whatever it was
	case k == KindHexDate:
		v.Date, ok = hexDate(v.Text)
		v.Text = showDate(v.Date, ok, v.Text)
	case k == KindDate:
		v.Date, ok = printedDate(v.Text)
		v.Text = showDate(v.Date, ok, v.Text)
	case k == KindDateTime:
		ok = v.readDateTime()
	case k == KindTime:
		if ok = isClock(v.Text, 6); ok {
			v.Text = v.Text[:2] + ":" + v.Text[2:4] + ":" + v.Text[4:]
		}
	case k == KindAmount:
		var cents int64
		if cents, ok = amount(v.Text); ok {
			v.Cents, v.Text = &cents, euros(cents)
		}
	case k == KindDecimal:
		_, ok = amount(v.Text)
	case k == KindInteger, k == KindYear:
		ok = isDigits(v.Text)
	case k == KindURL:
		v.Text, ok = url(v.Text)
	case k == KindBool:
		ok = v.readBool()
	}
	if !ok {
		v.Kind = KindUnreadable
	}
	v.readNames()
	return v
}

func showDate(d core.Date, ok bool, raw string) string {
	if !ok || d.IsZero() {
		return raw
	}
	return d.String()
}

func (v *Value) readDateTime() bool {
	if len(v.Text) != 12 || !isClock(v.Text[8:], 4) {
		return false
	}
	d, ok := printedDate(v.Text[:8])
	if ok {
		v.Date, v.Text = d, d.String()+" "+v.Text[8:10]+":"+v.Text[10:]
	}
	return ok
}

// isClock reports whether s is HHMM or HHMMSS.
func isClock(s string, n int) bool {
	if len(s) != n || !isDigits(s) || s[:2] > "23" {
		return false
	}
	for i := 2; i < n; i += 2 {
		if s[i:i+2] > "59" {
			return false
		}
	}
	return true
}

func (v *Value) readBool() bool {
	switch v.Text {
	case "0":
		v.Text = "non"
	case "1":
		v.Text = "oui"
	default:
		return false
	}
	return true
}

// amount reads a decimal number with comma or point into hundredths: "1319,24", "9894,3",
// "-234,78", "0157,5".
func amount(s string) (int64, bool) {
	sign := int64(1)
	if rest, negative := strings.CutPrefix(s, "-"); negative {
		sign, s = -1, rest
	}
	whole, part, decimals := strings.Cut(strings.ReplaceAll(s, ".", ","), ",")
	if !isDigits(whole) || len(whole) > 15 || decimals && (!isDigits(part) || len(part) > 2) {
		return 0, false
	}
	for len(part) < 2 {
		part += "0"
	}
	n, err := strconv.ParseInt(whole+part, 10, 64)
	return sign * n, err == nil
}

// euros shows hundredths the French way.
func euros(cents int64) string {
	sign := ""
	if cents < 0 {
		sign, cents = "-", -cents
	}
	whole := strconv.FormatInt(cents/100, 10)
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "\u202F" + whole[i:]
	}
	part := strconv.FormatInt(100+cents%100, 10)[1:]
	return sign + whole + "," + part + "\u00A0€"
}

// url undoes the Base32 of a web address. Only printable text counts as one.
func url(s string) (string, bool) {
	b, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimRight(s, "="))
	if err != nil || !utf8.Valid(b) || printable(string(b)) != string(b) {
		return s, false
	}
	return string(b), true
}

// readNames parts the persons that a value names.
func (v *Value) readNames() {
	switch v.Kind {
	case KindLine, KindPerson:
		if strings.Contains(v.Text, "/") {
			v.Names = []Name{lineName(v.Text)}
			return
		}
		for _, one := range splitPersons(v.Text) {
			v.Names = append(v.Names, freeName(one))
		}
	case KindGiven:
		v.Names = []Name{{Given: parts(v.Text)}}
	case KindFamily:
		v.Names = []Name{{Family: v.Text}}
	}
}

// lineName reads QUALITE/NOM/PRENOM, or NOM/PRENOM.
func lineName(s string) Name {
	p := strings.Split(s, "/")
	if title := strings.TrimSpace(p[0]); isTitle(title) || title == "" {
		n := Name{Title: title, Family: strings.TrimSpace(p[1])}
		n.Given = parts(strings.Join(p[2:], "/"))
		return n
	}
	return Name{Family: strings.TrimSpace(p[0]), Given: parts(strings.Join(p[1:], "/"))}
}

// parts splits a list at its slashes.
func parts(s string) []string {
	var out []string
	for _, p := range strings.Split(s, "/") {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}

// splitPersons parts "M X ET MME Y".
func splitPersons(s string) []string {
	var out []string
	var one []string
	flush := func() {
		if whole := strings.Join(one, " "); whole != "" && !isTitle(whole) {
			out = append(out, whole)
		}
		one = nil
	}
	for _, word := range strings.Fields(s) {
		if word == "ET" || word == "OU" || word == "&" {
			flush()
			continue
		}
		one = append(one, word)
	}
	flush()
	return out
}

// freeName sets the titles before a name apart.
func freeName(s string) Name {
	words := strings.Fields(s)
	n := 0
	for n < len(words)-1 && isTitle(words[n]) {
		n++
	}
	return Name{Title: strings.Join(words[:n], " "), Family: strings.Join(words[n:], " ")}
}

// titles stand before a name and are no part of it.
var titles = map[string]bool{"M": true, "MR": true, "MME": true, "MLE": true, "MLLE": true, "MM": true, "MMES": true, "MESDAMES": true,
	"MESSIEURS": true, "MONSIEUR": true, "MADAME": true, "MADEMOISELLE": true, "DR": true, "DOCTEUR": true, "ME": true, "MAITRE": true,
	"PR": true, "PROFESSEUR": true, "VEUVE": true}

func isTitle(s string) bool {
	for _, word := range strings.Fields(s) {
		if !titles[strings.TrimSuffix(word, ".")] && word != "ET" && word != "OU" {
			return false
		}
	}
	return s != ""
}
