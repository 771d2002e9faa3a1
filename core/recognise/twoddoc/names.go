package twoddoc

import (
	"slices"
	"strings"
)

// labels stand before and between the parts of a name.
var labels = map[string]bool{"NOM": true, "NOMS": true, "PRENOM": true, "PRENOMS": true, "CIVILITE": true}

// withoutLabels leaves out titles and labels: "Nom de famille : X Prénom : Y" is X Y.
func withoutLabels(words []word) []word {
	var out []word
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case titles[w.upper]:
			continue
		case labels[w.upper]:
			if i+2 < len(words) && words[i+1].upper == "DE" && (words[i+2].upper == "FAMILLE" || words[i+2].upper == "NAISSANCE") {
				i += 2
			} else if i+1 < len(words) && words[i+1].upper == "DUSAGE" {
				i++
			}
			continue
		}
		out = append(out, w)
	}
	return out
}

// otherName announces the other surname of a married person.
var otherName = map[string]bool{"NE": true, "NEE": true, "EPOUSE": true, "EPOUX": true, "EPSE": true, "EP": true, "VEUVE": true, "VVE": true}

func withoutMaiden(words []word) []word {
	var out []word
	for i := 0; i < len(words); i++ {
		if otherName[words[i].upper] && i+1 < len(words) && words[i+1].line == words[i].line {
			i++
			for i+1 < len(words) && words[i+1].glued {
				i++
			}
			continue
		}
		out = append(out, words[i])
	}
	return out
}

// person looks for somebody under any of the names that the code gives.
func (s *sheet) person(p person) Outcome {
	best := s.missing()
	for _, n := range p.names {
		for _, spelled := range spellings(n) {
			if s.named(spelled, p.cut) {
				return Found
			}
		}
		if s.nearly(n) || p.cut && s.begun(n) {
			best = Unclear
		}
	}
	return best
}

// spellings of a name as one run of letters: the surname with all given names, or with the
// first ones. The order of names in the print is left open by named.
func spellings(n Name) [][]rune {
	family := letters(n.Family)
	if len(n.Given) == 0 {
		return [][]rune{family}
	}
	var out [][]rune
	run := slices.Clone(family)
	for _, g := range n.Given[:min(len(n.Given), 8)] {
		run = append(run, letters(g)...)
		out = append(out, slices.Clone(run))
	}
	slices.Reverse(out)
	return out
}

// named looks for a name in either order: whole words that, gone round from some of them,
// spell it.
func (s *sheet) named(code []rune, cut bool) bool {
	if len(code) < 2 {
		return false
	}
	for _, words := range [][]word{s.names, s.maiden} {
		found := s.runs(words, len(code), cut, func(r run) bool {
			if !unglued(words, r) || words[r.to-1].line > words[r.from].line+2 {
				return false
			}
			for k := range r.to - r.from {
				if k > 0 && cut {
					break
				}
				if s.reads(words, r, k, code, same) {
					return true
				}
			}
			return false
		})
		if found {
			return true
		}
	}
	return false
}

// begun reports whether the print names somebody of the surname of a name that was cut
// short; where the surname itself was, nothing can be said.
func (s *sheet) begun(n Name) bool {
	family := letters(n.Family)
	return len(n.Given) == 0 || s.runs(s.names, len(family), false, func(r run) bool { return s.reads(s.names, r, 0, family, same) })
}

// nearly reports whether the print may well mean this person, without saying so: an
// initial, another given name between, a hyphen more, letters that a camera confuses.
func (s *sheet) nearly(n Name) bool {
	family := letters(n.Family)
	if len(family) < 2 {
		return true
	}
	if len(n.Given) == 0 {
		return s.confused(family) || s.misread(s.names, family, true)
	}
	given := letters(n.Given[0])
	if first := splitWords(n.Given[0]); len(first) > 1 && s.named(append(slices.Clone(family), []rune(first[0].upper)...), false) {
		return true // JEAN PIERRE may be Jean, and JEAN DIRECTEUR certainly is
	}
	near := s.runs(s.names, len(family), false, func(r run) bool {
		return s.reads(s.names, r, 0, family, same) && s.givenNear(r, given)
	})
	whole := append(slices.Clone(family), given...)
	return near || s.confused(whole) || s.misread(s.names, whole, true) || s.lost(n)
}

// givenNear looks for a given name or its initial around a surname, on the same line.
func (s *sheet) givenNear(r run, given []rune) bool {
	const around = 3
	if len(given) == 0 {
		return true
	}
	line := s.names[r.from].line
	for i := max(0, r.from-around); i < min(len(s.names), r.to+around); i++ {
		w := s.names[i]
		if w.line != line || i >= r.from && i < r.to {
			continue
		}
		next := i == r.from-1 || i == r.to
		if next && (len(w.text) == 1 || len(given) == 1) && same(given[0], w.text, 0) || len(w.text) == len(given) && s.reads(s.names, run{i, i + 1}, 0, given, same) {
			return true
		}
	}
	return false
}

// confused compares after making one of what a camera or a scanner confuses: enough not
// to say no, never enough to say yes. A PDF's own text has no such excuse.
func (s *sheet) confused(code []rune) bool {
	if s.exact {
		return false
	}
	want := blur(string(code))
	if s.blurred == nil {
		s.blurred = make([]word, len(s.names))
		for i, w := range s.names {
			s.blurred[i] = word{text: []rune(blur(w.upper)), line: w.line}
		}
	}
	exactly := func(code rune, print []rune, i int) bool { return print[i] == code }
	return s.runs(s.blurred, len([]rune(want)), false, func(r run) bool {
		for k := range r.to - r.from {
			if s.reads(s.blurred, r, k, []rune(want), exactly) {
				return true
			}
		}
		return false
	})
}

// blur maps letters that look alike in bad prints onto one.
func blur(s string) string { return blurrer.Replace(s) }

var blurrer = strings.NewReplacer("RN", "M", "CL", "D", "VV", "W", "NN", "M", "0", "O", "Q", "O", "D", "O", "1", "I", "L", "I", "J", "I", "T", "I", "F", "I", "|", "I",
	"5", "S", "8", "B", "6", "G", "2", "Z", "V", "U", "E", "C", "H", "N", "R", "N", "K", "X")
