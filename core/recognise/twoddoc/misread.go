package twoddoc

import (
	"slices"
	"strings"
)

// What a camera or a bad scan may have made of something: enough not to say no, never
// enough to say yes. A PDF's own text has no such excuse.

// misread reports whether some words are nearly the code's: one letter or two are others,
// missing, or too many. With turned, the words may stand in another order.
func (s *sheet) misread(words []word, code []rune, turned bool) bool {
	slack := 1
	if len(code) >= 9 {
		slack = 2
	}
	if s.exact || len(code) < 5 {
		return false
	}
	const most = 12
	for from := range words {
		sum := 0
		for to := from; to < len(words) && to < from+most && sum <= len(code)+slack; to++ {
			sum += len(words[to].text)
			if sum < len(code)-slack || sum > len(code)+slack {
				continue
			}
			turns := 1
			if turned {
				turns = to + 1 - from
			}
			for k := range turns {
				if s.near(turn(words[from:to+1], k), code, slack) {
					return true
				}
			}
		}
		if s.work < 0 {
			return false
		}
	}
	return false
}

// turn strings words together, beginning with the k-th.
func turn(words []word, k int) []rune {
	var out []rune
	for j := range words {
		out = append(out, []rune(words[(k+j)%len(words)].upper)...)
	}
	return out
}

// near reports whether at most slack letters must be changed, added or taken away
// (Levenshtein).
func (s *sheet) near(a, b []rune, slack int) bool {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i, r := range a {
		if s.work -= len(b); s.work < 0 {
			return false
		}
		diagonal := row[0]
		row[0] = i + 1
		best := row[0]
		for j, c := range b {
			change := diagonal
			if r != c {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
			best = min(best, row[j+1])
		}
		if best > slack {
			return false
		}
	}
	return row[len(b)] <= slack
}

// lost reports whether a part of a name stands alone, where the rest may have been
// overlooked: after a title or at the head of a line, and at the line's end.
func (s *sheet) lost(n Name) bool {
	if s.exact || len(n.Given) == 0 {
		return false
	}
	for _, part := range []string{n.Family, n.Given[0]} {
		code := letters(part)
		if len(code) < 4 {
			continue
		}
		alone := s.runs(s.words, len(code), false, func(r run) bool {
			line := s.words[r.from].line
			before := r.from == 0 || s.words[r.from-1].line != line || titles[s.words[r.from-1].upper]
			after := r.to == len(s.words) || s.words[r.to].line != line
			return before && after && s.reads(s.words, r, 0, code, same)
		})
		if alone {
			return true
		}
	}
	return false
}

// mixedUp are digits that scanners take for one another.
var mixedUp = []string{"17", "38", "56", "68", "08", "06", "14", "39", "49", "27", "58", "89"}

// misreadDigits reports whether a run of digits is another but for one that is easily
// taken for another.
func misreadDigits(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	wrong := 0
	for i := range len(a) {
		if a[i] == b[i] {
			continue
		}
		wrong++
		pair := string([]byte{min(a[i], b[i]), max(a[i], b[i])})
		if wrong > 1 || !slices.Contains(mixedUp, pair) {
			return false
		}
	}
	return wrong == 1
}

// misreadNumber looks for a number that is code but for one digit.
func (s *sheet) misreadNumber(code []rune) bool {
	if s.exact {
		return false
	}
	want := string(code)
	return s.runs(s.words, len(code), false, func(r run) bool {
		var b strings.Builder
		for _, w := range s.words[r.from:r.to] {
			b.WriteString(digitOf.Replace(w.upper))
		}
		return misreadDigits(b.String(), want)
	})
}
