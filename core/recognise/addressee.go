package recognise

import (
	"regexp"
	"strings"
)

var (
	partner  = regexp.MustCompile(`(?i)^(?:et|ou|&) `)
	postcode = regexp.MustCompile(`(?:^|[\s,])(?:F-)?[0-9O]{5},? +[A-ZÀ-Ýa-z]`)
	street   = regexp.MustCompile(`(?i)(?:^|[\s,])[0-9]{1,4} ?(?:bis|ter|[a-d])?,? +(?:rue|r\.|av|avenue|bd|boulevard|place|pl|chemin|ch|impasse|imp|all[ée]e|all|route|rte|quai|cours|square|sq|passage|résidence|lotissement|cit[ée]|villa|hameau|lieu)\b`)
)

// addressee reads the person the paper was posted to: a name with a civility above a
// street and a postcode, else a bare name there, else the first row that opens with a
// civility and a name.
func (t *text) addressee() []person {
	for i := range t.cells {
		if p, ok := t.civilName(i); ok && t.above(i, 5, postcode) {
			return p
		}
	}
	for i, c := range t.cells {
		if t.above(i, 4, postcode) && t.above(i, 3, street) {
			if p, _ := names(c.raw); len(p) > 0 && p[0].whole() && onlyName(c.raw, p) {
				return p
			}
		}
	}
	for i := range t.cells {
		if p, ok := t.civilName(i); ok {
			return p
		}
	}
	return nil
}

// civilName reads « M. Jean DUPONT » where a cell opens with it, or ends with it after
// something else on the same row.
func (t *text) civilName(i int) ([]person, bool) {
	raw := t.cells[i].raw
	for j, tok := range tokens(raw) {
		if !tok.word || !civil[tok.folded] {
			continue
		}
		at := strings.Index(raw, tok.text)
		if i+1 < len(t.cells) && partner.MatchString(t.cells[i+1].raw) {
			raw += "\n" + t.cells[i+1].raw
		}
		if p, _ := names(raw[at:]); usable(p, true) && (j == 0 || onlyName(raw[at:], p)) {
			return p, true
		}
		return nil, false
	}
	return nil, false
}

// above reports whether one of the n rows below the cell matches.
func (t *text) above(i, n int, re *regexp.Regexp) bool {
	c := t.cells[i]
	for j := i + 1; j < len(t.cells) && t.cells[j].row <= c.row+n && t.cells[j].page == c.page; j++ {
		if t.cells[j].row > c.row && re.MatchString(t.cells[j].raw) {
			return true
		}
	}
	return false
}

// onlyName reports whether a row holds nothing much beside the persons.
func onlyName(raw string, p []person) bool {
	n := 0
	for _, one := range p {
		n += len(letters(one.words))
	}
	return len(fold(raw)) <= n+len("monsieuroumadame")-4 && strings.IndexFunc(raw, func(r rune) bool { return r >= '0' && r <= '9' }) < 0
}
