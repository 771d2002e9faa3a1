package twoddoc

import (
	"slices"
	"strings"
)

// writtenOut are the abbreviations of the postal norm (AFNOR XP Z 10-011) and those that
// people use.
var writtenOut = map[string]string{"AV": "AVENUE", "AVE": "AVENUE", "BD": "BOULEVARD", "BLD": "BOULEVARD", "BVD": "BOULEVARD", "BOUL": "BOULEVARD", "R": "RUE",
	"PL": "PLACE", "CHE": "CHEMIN", "CHEM": "CHEMIN", "CH": "CHEMIN", "IMP": "IMPASSE", "ALL": "ALLEE", "ALLEES": "ALLEE", "RTE": "ROUTE", "SQ": "SQUARE",
	"CRS": "COURS", "FBG": "FAUBOURG", "FG": "FAUBOURG", "RES": "RESIDENCE", "LOT": "LOTISSEMENT", "PAS": "PASSAGE", "SEN": "SENTIER", "QU": "QUAI",
	"ST": "SAINT", "STE": "SAINTE", "GAL": "GENERAL", "DR": "DOCTEUR", "PR": "PROFESSEUR", "MAL": "MARECHAL", "CDT": "COMMANDANT", "CAP": "CAPITAINE",
	"CNE": "CAPITAINE", "COL": "COLONEL", "PDT": "PRESIDENT", "LT": "LIEUTENANT", "CPT": "CAPITAINE", "B": "BIS", "T": "TER"}

// articles are often left out of an address.
var articles = map[string]bool{"DE": true, "DU": true, "DES": true, "LA": true, "LE": true, "LES": true, "D": true, "L": true, "A": true, "AU": true, "AUX": true}

// streetWords are the words of an address, written out and without articles: "l’abbé" is
// "l abbé" in the postal norm, so apostrophes part words here.
func streetWords(text string) []word {
	var out []word
	for _, w := range splitWords(unquote.Replace(text)) {
		if articles[w.upper] {
			continue
		}
		if long, ok := writtenOut[w.upper]; ok {
			w.text, w.upper = []rune(long), long
		}
		out = append(out, w)
	}
	return out
}

var unquote = strings.NewReplacer("'", " ", "’", " ", "‘", " ", "`", " ", "´", " ")

// placeCode is a place as one run of letters.
func placeCode(text string) []rune {
	var code []rune
	for _, w := range streetWords(text) {
		code = append(code, []rune(w.upper)...)
	}
	return code
}

// place looks for words of an address, in their order.
func (s *sheet) place(text string, cut bool) bool {
	code := placeCode(text)
	if len(code) < 2 {
		return false
	}
	return s.runs(s.streets, len(code), cut, func(r run) bool { return s.reads(s.streets, r, 0, code, sameInStreet) })
}

// sameInStreet: streets hold letters and numbers.
func sameInStreet(code rune, print []rune, i int) bool {
	return same(code, print, i) || code >= '0' && code <= '9' && sameNumber(code, print, i)
}

func (s *sheet) street(text string, cut bool) Outcome {
	if s.place(text, cut) {
		return Found
	}
	if s.nearStreet(text) || s.misread(s.streets, placeCode(text), false) {
		return Unclear
	}
	return s.missing()
}

// nearStreet: the house's number and the street's last word are on one line, the words
// between differ (JEAN, J, JEAN BAPTISTE…).
func (s *sheet) nearStreet(text string) bool {
	words := streetWords(text)
	if len(words) < 2 {
		return false
	}
	first, last := words[0].upper, words[len(words)-1].upper
	for i, w := range s.streets {
		if w.upper != first {
			continue
		}
		for _, v := range s.streets[i+1 : min(len(s.streets), i+8)] {
			if v.line == w.line && v.upper == last {
				return true
			}
		}
	}
	return false
}

// town leaves CEDEX and its number out.
func (s *sheet) town(text string, cut bool) Outcome {
	name, _, _ := strings.Cut(strings.ToUpper(text), " CEDEX")
	if s.place(name, cut) {
		return Found
	}
	return s.missing()
}

// address looks for the parts of a whole address: the street, the post code and the town.
// The street and the post code decide.
func (s *sheet) address(text string, cut bool) Outcome {
	outcomes := []Outcome{}
	all := parts(text)
	for i, part := range all {
		part = strings.TrimSpace(part)
		switch {
		case len(part) == 5 && isDigits(part):
			outcomes = append(outcomes, s.number(part))
		case part[0] >= '0' && part[0] <= '9':
			outcomes = append(outcomes, s.street(part, cut && i == len(all)-1))
		}
	}
	switch {
	case len(outcomes) == 0 || slices.Contains(outcomes, Unclear):
		return Unclear
	case slices.Contains(outcomes, Differs):
		return Differs
	}
	return Found
}

// number looks for a number or reference, however it is spaced.
func (s *sheet) number(text string) Outcome {
	code := letters(text)
	if len(code) < 2 {
		return Unclear
	}
	eq := sameNumber
	if s.exact {
		eq = func(code rune, print []rune, i int) bool { return strings.ToUpper(string(print[i])) == string(code) }
	}
	if s.runs(s.words, len(code), false, func(r run) bool { return s.reads(s.words, r, 0, code, eq) }) {
		return Found
	}
	if s.misreadNumber(code) {
		return Unclear
	}
	return s.missing()
}

// mrz looks for the two or three lines of a machine-readable zone, which the code joins
// with spaces for "<"; where the print has none that can be read, for the words of its
// names and its number.
func (s *sheet) mrz(raw string) Outcome {
	missing := 0
	groups := strings.Fields(raw)
	for _, g := range groups {
		code := letters(g)
		if len(code) < 3 {
			continue
		}
		if !s.runs(s.words, len(code), false, func(r run) bool { return s.reads(s.words, r, 0, code, sameInStreet) }) {
			missing++
		}
	}
	switch {
	case len(groups) == 0:
		return Unclear
	case missing == 0:
		return Found
	}
	return Unclear // cards are printed in many ways; the recogniser reads their own MRZ
}
