package recognise

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"vaguemestre/core/catalogue"
)

// Weights, in points. A heading with an issuer and a few of the usual words makes
// about ten, which is a confidence of about 0.9.
const (
	titleWeight    = 6.0 // a heading; a mere mention a fifth of it
	secondTitle    = 1.0 // another title of the same type
	issuerWeight   = 2.0
	secondIssuer   = 0.5
	againstWeight  = 2.0
	againstTitle   = 2.5  // more, when it stands as a heading
	headed         = 0.45 // the standing from which a phrase is a heading
	maxTerms       = 3.2
	termWeight     = 0.5
	scale          = 4.0
	mentionPenalty = 0.5 // of the other points, when no heading nor mark was seen
)

// markWeights are the points of the first mark seen, the second… and any further one.
var markWeights = []float64{2, 1.6, 1.3, 1, 0.8, 0.6, 0.4}

// codeWeights are the points of a sign that was checked.
var codeWeights = map[catalogue.Code]float64{
	catalogue.MRZIdentity: 9, catalogue.MRZPassport: 9, catalogue.MRZResidence: 9, catalogue.MRZLicence: 7, catalogue.MRZVehicle: 7,
	catalogue.IBAN: 1.5, catalogue.NIR: 0.8, catalogue.SIRET: 0.4, catalogue.FiscalNumber: 0.8, catalogue.Plate: 1,
}

// index is a catalogue made ready: each phrase folded once, however many types say it.
type index struct {
	phrases  []phrase
	docs     []signals // types, then lookalikes
	readings map[string]reading
}

// signals are those of one type or lookalike; phrases by their number in the index.
type signals struct {
	doc                                    *catalogue.Type // nil: a lookalike
	like                                   string          // its label
	titles, marks, issuers, terms, against []int
	codes                                  []catalogue.Code
}

// candidate is a type, or a lookalike, with what speaks for it.
type candidate struct {
	doc     *catalogue.Type
	like    string // label of the lookalike
	score   float64
	reasons []string
}

func compile(cat *catalogue.Catalogue) *index {
	ix := &index{readings: map[string]reading{}}
	numbers := map[string]int{}
	number := func(list []string) []int {
		var out []int
		for _, s := range list {
			f := fold(s)
			n, ok := numbers[f]
			if !ok {
				n = len(ix.phrases)
				numbers[f] = n
				ix.phrases = append(ix.phrases, phrase{s, []byte(f)})
			}
			if f != "" {
				out = append(out, n)
			}
		}
		return out
	}
	add := func(doc *catalogue.Type, like string, s catalogue.Signals) {
		ix.docs = append(ix.docs, signals{doc, like, number(s.Titles), number(s.Marks), number(s.Issuers), number(s.Terms), number(s.Against), s.Codes})
	}
	for _, t := range cat.Types() {
		if t.Retired || t.System {
			continue
		}
		add(&t, "", t.Signals)
		ix.readings[t.Code] = newReading(t.Reading)
	}
	for _, l := range cat.Lookalikes() {
		add(nil, l.Label, l.Signals)
	}
	return ix
}

// rank scores every type and lookalike, best first. There is always one.
func (ix *index) rank(t *text, found codes) []candidate {
	seen := make([][]hit, len(ix.phrases))
	for i, p := range ix.phrases {
		seen[i] = t.find(p)
	}
	out := make([]candidate, 0, len(ix.docs)+1)
	for _, s := range ix.docs {
		out = append(out, s.score(t, seen, found))
	}
	out = append(out, candidate{})
	slices.SortStableFunc(out, func(a, b candidate) int { return cmp.Compare(b.score, a.score) })
	return out
}

// tally is a candidate in the making: words that counted once do not count again.
type tally struct {
	candidate
	t       *text
	seen    [][]hit
	counted []hit
}

// fresh gives the first place of phrase i among words that have not counted yet.
func (y *tally) fresh(i int) (hit, bool) {
	for _, h := range y.seen[i] {
		if !slices.ContainsFunc(y.counted, func(c hit) bool { return c.first <= h.first && h.last <= c.last }) {
			return h, true
		}
	}
	return hit{}, false
}

// say adds a reason: a thing a person can check on the paper.
func (y *tally) say(format string, args ...any) {
	if y.doc != nil {
		y.reasons = append(y.reasons, fmt.Sprintf(format, args...))
	}
}

// score adds up what speaks for a type, and takes off what speaks against it.
func (s signals) score(t *text, seen [][]hit, found codes) candidate {
	y := tally{candidate: candidate{doc: s.doc, like: s.like}, t: t, seen: seen}
	sure := y.titles(s.titles)
	sure = y.codes(s.codes, found) || sure
	marks := y.marks(s.marks)
	y.issuers(s.issuers)
	y.terms(s.terms)
	if !sure && marks < 2 {
		y.candidate.score *= mentionPenalty
	}
	for _, i := range s.against {
		if len(seen[i]) == 0 {
			continue
		}
		y.candidate.score -= againstWeight
		if t.standing(seen[i][0]) >= headed {
			y.candidate.score -= againstTitle
		}
	}
	return y.candidate
}

// titles counts the best title, a little the others, and reports whether one stands as a heading.
func (y *tally) titles(list []int) bool {
	best, bestHit, others := 0.0, hit{}, -1
	for _, i := range list {
		for _, h := range y.seen[i] {
			worth := y.t.standing(h) * y.t.height(h) * (1 - 0.06*float64(h.errors))
			if worth > best || worth == best && len(h.phrase.folded) > len(bestHit.phrase.folded) {
				best, bestHit = worth, h
			}
			y.counted = append(y.counted, h)
		}
		if len(y.seen[i]) > 0 {
			others++
		}
	}
	if others < 0 {
		return false
	}
	y.candidate.score += titleWeight*best + secondTitle*best*float64(min(others, 2))
	y.say("titre « %s »", y.t.quote(bestHit))
	return best >= headed
}

// codes counts the checked signs, and reports whether one settles the matter.
func (y *tally) codes(list []catalogue.Code, found codes) bool {
	sure := false
	for _, code := range list {
		if found.has(code) {
			y.candidate.score += codeWeights[code]
			sure = sure || codeWeights[code] >= titleWeight
			y.say("%s", found.reason(code))
		}
	}
	return sure
}

// marks counts the marks, each further one less, and says how many there were.
func (y *tally) marks(list []int) int {
	n := 0
	for _, i := range list {
		h, ok := y.fresh(i)
		if !ok {
			continue
		}
		y.candidate.score += markWeights[min(n, len(markWeights)-1)]
		y.counted = append(y.counted, h)
		if n++; n <= 4 {
			y.say("mention « %s »", y.t.quote(h))
		}
	}
	return n
}

func (y *tally) issuers(list []int) {
	n := 0
	for _, i := range list {
		if len(y.seen[i]) == 0 {
			continue
		}
		if n++; n == 1 {
			y.candidate.score += issuerWeight
			y.say("émetteur « %s »", y.t.quote(y.seen[i][0]))
		} else if n <= 3 {
			y.candidate.score += secondIssuer
		}
	}
}

func (y *tally) terms(list []int) {
	points, n := 0.0, 0
	for _, i := range list {
		h, ok := y.fresh(i)
		if !ok {
			continue
		}
		points += termWeight
		y.counted = append(y.counted, h)
		if n++; n <= 3 {
			y.say("terme « %s »", y.t.quote(h))
		}
	}
	y.candidate.score += min(maxTerms, points)
}

// quote is what the paper prints at a hit. It holds nothing but the phrase, as read.
func (t *text) quote(h hit) string {
	s := t.raw(h.first, h.last)
	if len(s) > 2*len(h.phrase.said)+8 { // letters spaced out, or a glued neighbour
		return h.phrase.said
	}
	return strings.TrimSpace(s)
}
