package recognise

import (
	"bytes"
	"unicode"
)

// phrase is a folded phrase, ready to be looked for.
type phrase struct {
	said   string // as the catalogue writes it
	folded []byte
}

// hit is a place where a phrase stands: words first to last, read with so many wrong letters.
type hit struct {
	phrase      phrase
	first, last int
	errors      int
}

// maxHits bounds the places at which one phrase is looked at.
const maxHits = 8

// tolerance is how many wrong, lost or added letters a phrase of n letters survives:
// none when it is short enough to be some other word.
func tolerance(n int) int {
	switch {
	case n < 9:
		return 0
	case n < 14:
		return 1
	case n < 22:
		return 2
	}
	return 3
}

// label is find for a phrase that announces a fact: one wrong letter less, for the price
// of a mistake is a wrong fact, and all on one row.
func (t *text) label(p phrase) []hit {
	if hits := t.findExact(p); len(hits) > 0 {
		return hits
	}
	if k := tolerance(len(p.folded)) - 1; k > 0 {
		if h, ok := t.findNear(p, k); ok && t.words[h.first].cell == t.words[h.last].cell {
			return []hit{h}
		}
	}
	return nil
}

// find gives the places of p: the exact ones, else the best of those OCR may have spoilt.
func (t *text) find(p phrase) []hit {
	if hits := t.findExact(p); len(hits) > 0 {
		return hits
	}
	if k := tolerance(len(p.folded)); k > 0 {
		if h, ok := t.findNear(p, k); ok {
			return []hit{h}
		}
	}
	return nil
}

func (t *text) findExact(p phrase) []hit {
	var hits []hit
	n := len(p.folded)
	if n == 0 {
		return nil
	}
	for from := 0; len(hits) < maxHits; {
		i := bytes.Index(t.stream[from:], p.folded)
		if i < 0 {
			break
		}
		at := from + i
		if h, ok := t.hitAt(p, at, at+n, 0); ok {
			hits = append(hits, h)
		}
		from = at + 1
	}
	return hits
}

// hitAt accepts a match that begins and ends with a word; a plural s may follow. A long
// phrase may touch its neighbours: OCR loses spaces.
func (t *text) hitAt(p phrase, at, end, errors int) (hit, bool) {
	h := hit{p, t.wordAt(at), t.wordAt(end - 1), errors}
	if len(p.folded) >= 16 {
		return h, true
	}
	plural := end < len(t.stream) && (t.stream[end] == 's' || t.stream[end] == 'e') && t.ends(end+1) && len(p.folded) > 3
	return h, t.starts(at) && (t.ends(end) || plural)
}

// findNear finds the best place of p with at most k errors. One of k+1 pieces of the
// phrase then stands there unspoilt: only around those is the distance worked out.
func (t *text) findNear(p phrase, k int) (hit, bool) {
	n := len(p.folded)
	best, found := hit{errors: k + 1}, false
	for piece := range k + 1 {
		lo, hi := piece*n/(k+1), (piece+1)*n/(k+1)
		for from, tries := 0, 0; tries < 64; tries++ {
			i := bytes.Index(t.stream[from:], p.folded[lo:hi])
			if i < 0 {
				break
			}
			at := from + i - lo
			from += i + 1
			start, end, e := nearest(p.folded, t.stream, at, k)
			if e >= best.errors {
				continue
			}
			if h, ok := t.snap(p, start, end, e); ok {
				best, found = h, true
			}
		}
	}
	return best, found
}

// snap makes a near match begin and end with words, allowing for the letters that were lost.
func (t *text) snap(p phrase, start, end, errors int) (hit, bool) {
	first, last := t.wordAt(start), t.wordAt(end-1)
	if first >= len(t.words) || last >= len(t.words) {
		return hit{}, false
	}
	off := start - t.words[first].at + t.words[last].end - end
	if off > 1 && len(p.folded) < 20 {
		return hit{}, false
	}
	return hit{p, first, last, errors}, true
}

// nearest works out where in text, around at, the pattern fits with the fewest errors
// (insertions, losses, changes), at most k; k+1 when nowhere.
func nearest(pattern, text []byte, at, k int) (start, end, errors int) {
	lo := max(0, at-k)
	hi := min(len(text), at+len(pattern)+k)
	if hi-lo < len(pattern)-k {
		return 0, 0, k + 1
	}
	const wide = 128
	var costs, froms [wide + 1]int // by length of text consumed: errors, and where the match began
	window := text[lo:hi]
	if len(window) > wide {
		return 0, 0, k + 1
	}
	for j := range len(window) + 1 {
		costs[j], froms[j] = 0, j
	}
	for i, c := range pattern {
		diagonal, from := costs[0], froms[0]
		costs[0] = i + 1
		for j, w := range window {
			next, nextFrom := diagonal, from
			if c != w {
				next++
			}
			if up := costs[j+1] + 1; up < next {
				next, nextFrom = up, froms[j+1]
			}
			if left := costs[j] + 1; left < next {
				next, nextFrom = left, froms[j]
			}
			diagonal, from = costs[j+1], froms[j+1]
			costs[j+1], froms[j+1] = next, nextFrom
		}
	}
	errors = k + 1
	for j := 1; j <= len(window); j++ {
		if costs[j] < errors && froms[j] < j {
			start, end, errors = lo+froms[j], lo+j, costs[j]
		}
	}
	return start, end, errors
}

// standing says how much a hit looks like a heading rather than a mention, from 0.2 to 1:
// alone on its row, at the beginning of it, in capitals.
func (t *text) standing(h hit) float64 {
	first, last := t.words[h.first], t.words[h.last]
	letters, row := last.end-first.at, 0
	for i := first.cell; i <= last.cell; i++ {
		c := t.cells[i]
		row += t.words[c.last-1].end - t.words[c.first].at
	}
	s := 0.2
	if h.first == t.cells[first.cell].first {
		s += 0.2
	}
	switch share := float64(letters) / float64(row); {
	case share >= 0.75:
		s += 0.5
	case share >= 0.45:
		s += 0.3
	}
	if shouted(t.raw(h.first, h.last)) {
		s += 0.3
	}
	return min(s, 1)
}

// shouted reports whether a run of at least six letters is all capitals.
func shouted(s string) bool {
	letters := 0
	for _, r := range s {
		if unicode.IsLower(r) {
			return false
		}
		if unicode.IsLetter(r) {
			letters++
		}
	}
	return letters >= 6
}

// height says how much a place counts: the head of the first page most.
func (t *text) height(h hit) float64 {
	c := t.cells[t.words[h.first].cell]
	switch {
	case c.page > 0:
		return 0.6
	case c.pageRow < 12 || 3*c.pageRow < t.rows:
		return 1
	case 3*c.pageRow < 2*t.rows:
		return 0.85
	}
	return 0.7
}
