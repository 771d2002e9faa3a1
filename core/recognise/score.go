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
	titles, marks, issuers, terms, against []int
	codes                                  []catalogue.Code
}

// candidate is a type, or a lookalike, with what speaks for it.
type candidate struct {
	doc     *catalogue.Type
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
	add := func(doc *catalogue.Type, s catalogue.Signals) {
		ix.docs = append(ix.docs, signals{doc, number(s.Titles), number(s.Marks), number(s.Issuers), number(s.Terms), number(s.Against), s.Codes})
	}
	for _, t := range cat.Types() {
		if t.Retired || t.System {
			continue
		}
		add(&t, t.Signals)
		ix.readings[t.Code] = newReading(t.Reading)
	}
	for _, l := range cat.Lookalikes() {
		add(nil, l.Signals)
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

// score adds up what speaks for a type, and takes off what speaks against it.
func (s signals) score(t *text, seen [][]hit, found codes) candidate {
	c := candidate{doc: s.doc}
	heading := s.headings(t, seen, &c)
	for _, code := range s.codes {
		if found.has(code) {
			c.score += codeWeights[code]
			heading = heading || codeWeights[code] >= titleWeight
			c.say("%s", found.reason(code))
		}
	}
	marks := s.each(seen, s.marks, markWeights, "mention", t, &c)
	if n := len(present(seen, s.issuers)); n > 0 {
		h := seen[present(seen, s.issuers)[0]][0]
		c.score += issuerWeight + secondIssuer*float64(min(n-1, 2))
		c.say("émetteur « %s »", t.quote(h))
	}
	terms := present(seen, s.terms)
	c.score += min(maxTerms, termWeight*float64(len(terms)))
	for _, i := range terms[:min(3, len(terms))] {
		c.say("terme « %s »", t.quote(seen[i][0]))
	}
	if !heading && marks < 2 {
		c.score *= mentionPenalty
	}
	for _, i := range present(seen, s.against) {
		c.score -= againstWeight
		if t.standing(seen[i][0]) >= headed {
			c.score -= againstTitle
		}
	}
	return c
}

// headings adds the titles seen, and reports whether one stands as a heading.
func (s signals) headings(t *text, seen [][]hit, c *candidate) bool {
	best, bestHit, count := 0.0, hit{}, 0
	for _, i := range s.titles {
		for _, h := range seen[i] {
			worth := t.standing(h) * t.height(h) * (1 - 0.06*float64(h.errors))
			if worth > best || worth == best && len(h.phrase.folded) > len(bestHit.phrase.folded) {
				best, bestHit = worth, h
			}
		}
		if len(seen[i]) > 0 {
			count++
		}
	}
	if count == 0 {
		return false
	}
	c.score += titleWeight*best + secondTitle*best*min(float64(count-1), 2)
	c.say("titre « %s »", t.quote(bestHit))
	return best >= headed
}

// each adds the phrases seen by decreasing weights, and says how many there were.
func (s signals) each(seen [][]hit, list []int, weights []float64, what string, t *text, c *candidate) int {
	there := present(seen, list)
	for n, i := range there {
		c.score += weights[min(n, len(weights)-1)]
		if n < 4 {
			c.say(what+" « %s »", t.quote(seen[i][0]))
		}
	}
	return len(there)
}

// present are the phrases of the list that were seen, in its order.
func present(seen [][]hit, list []int) []int {
	var out []int
	for _, i := range list {
		if len(seen[i]) > 0 {
			out = append(out, i)
		}
	}
	return out
}

// quote is what the paper prints at a hit. It holds nothing but the phrase, as read.
func (t *text) quote(h hit) string {
	s := t.raw(h.first, h.last)
	if len(s) > 2*len(h.phrase.said)+8 { // letters spaced out, or a glued neighbour
		return h.phrase.said
	}
	return strings.TrimSpace(s)
}

// say adds a reason, a thing a person can check on the paper.
func (c *candidate) say(format string, args ...any) {
	if c.doc != nil {
		c.reasons = append(c.reasons, fmt.Sprintf(format, args...))
	}
}
