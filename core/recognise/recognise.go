// Package recognise owns the first reading of a proof: which type of the catalogue it
// is, about whom, of what date, and why. It is pure: the same catalogue, evidence and
// day give the same verdict, without any I/O.
package recognise

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync"

	"vaguemestre/core"
	"vaguemestre/core/catalogue"
)

// producer names this recogniser in its verdicts; its number changes whenever a
// verdict may.
const producer = "phrases/1"

// DefaultThreshold is the confidence under which a verdict names no type.
const DefaultThreshold = 0.6

// Phrases recognises documents by the phrases and codes that the catalogue declares
// for each type. It is safe for concurrent use.
type Phrases struct {
	threshold float64

	mu       sync.Mutex
	compiled map[*catalogue.Catalogue]*index
}

// New makes a recogniser that names no type under that confidence (0 to 1).
func New(threshold float64) *Phrases {
	return &Phrases{threshold: threshold, compiled: map[*catalogue.Catalogue]*index{}}
}

// Recognise holds the evidence against the catalogue. Under the threshold, or when the
// paper resembles something that is none of ours, Type is empty; Guesses ranks the
// candidates, and Confidence is that of the first. Holder and dates are those of the
// type named, or of the best guess, and are what the paper prints: what is not printed
// stays empty. A date after received is no date of issue; a zero received sets no such bound.
func (p *Phrases) Recognise(cat *catalogue.Catalogue, ev core.Evidence, received core.Date) core.Verdict {
	v := core.Verdict{Producer: producer, Catalogue: cat.Version}
	t := read(ev)
	if len(t.words) == 0 {
		return v
	}
	ix := p.index(cat)
	found := t.codes()
	ranked := ix.rank(t, found)
	v.Guesses = guesses(ranked)
	if ranked[0].like != "" {
		v.Evidence = []string{fmt.Sprintf("ressemble à « %s », qui n’est pas au référentiel", ranked[0].like)}
	}
	best := slices.IndexFunc(ranked, func(c candidate) bool { return c.doc != nil })
	if best < 0 || ranked[best].score <= 0 {
		return v
	}
	sure := confidence(ranked, best)
	v.Confidence = round(sure)
	if best > 0 {
		return v
	}
	v.Evidence = ranked[0].reasons
	code := ranked[0].doc.Code
	ix.readings[code].apply(t, found, received, &v)
	if sure >= p.threshold {
		v.Type = code
	}
	return v
}

// maxCompiled bounds the catalogues kept ready; a town changes its own rarely.
const maxCompiled = 64

func (p *Phrases) index(cat *catalogue.Catalogue) *index {
	p.mu.Lock()
	defer p.mu.Unlock()
	ix, ok := p.compiled[cat]
	if !ok {
		if len(p.compiled) >= maxCompiled {
			clear(p.compiled)
		}
		ix = compile(cat)
		p.compiled[cat] = ix
	}
	return ix
}

// maxGuesses and minGuess bound what a person is offered to choose from.
const (
	maxGuesses = 5
	minGuess   = 0.1
)

func guesses(ranked []candidate) []core.Guess {
	var out []core.Guess
	for i, c := range ranked {
		if c.doc == nil || c.score <= 0 {
			continue
		}
		g := core.Guess{Type: c.doc.Code, Confidence: round(confidence(ranked, i))}
		if g.Confidence >= minGuess && len(out) < maxGuesses {
			out = append(out, g)
		}
	}
	slices.SortStableFunc(out, func(a, b core.Guess) int { return cmp.Compare(b.Confidence, a.Confidence) })
	return out
}

// confidence turns the score of candidate i into 0..1: how much speaks for it, times
// how clearly it stands before the best of the others.
func confidence(ranked []candidate, i int) float64 {
	score := ranked[i].score
	if score <= 0 {
		return 0
	}
	rival := 0.0
	for j, c := range ranked {
		if j != i {
			rival = max(rival, c.score)
		}
	}
	strength := 1 - math.Exp(-score/scale)
	ratio := rival / score
	switch {
	case ratio <= 0.5:
		return strength
	case ratio <= 1:
		return strength * (1 - 0.6*(ratio-0.5)/0.5)
	}
	return strength * 0.4 / ratio
}

func round(f float64) float64 { return math.Round(f*100) / 100 }
