package recognise

import (
	"regexp"
	"slices"
	"strings"

	"vaguemestre/core"
	"vaguemestre/core/catalogue"
)

// reading is where a type prints its facts, labels folded.
type reading struct {
	holder          catalogue.Holder
	after, before   []phrase
	surname, given  []phrase
	also            []phrase
	issued, expires []phrase
	period          []catalogue.Form
}

func newReading(r catalogue.Reading) reading {
	h := r.Holder
	return reading{
		holder: h, after: phrases(h.After), before: phrases(h.Before),
		surname: phrases(h.Surname), given: phrases(h.Given), also: phrases(h.Also),
		issued: phrases(r.Issued), expires: phrases(r.Expires), period: r.Period,
	}
}

func phrases(list []string) []phrase {
	out := make([]phrase, len(list))
	for i, s := range list {
		out[i] = phrase{s, []byte(fold(s))}
	}
	return out
}

// apply reads holder and dates into the verdict.
func (r reading) apply(t *text, found codes, received core.Date, v *core.Verdict) {
	if holders := r.holders(t, found.mrz); len(holders) > 0 {
		v.Holder, v.Holders = holders[0], holders
	}
	d := dates{t: t, all: t.dates(), received: received}
	v.Period = d.period(r.period)
	v.Expires = d.expiry(r.expires, found.mrz, v.Period)
	v.Issued = d.issue(r.issued, v.Expires)
}

// holders are the persons the proof is about, « Prénom Nom », the main one first.
func (r reading) holders(t *text, zone mrz) []string {
	found := r.main(t, zone)
	if len(found) > 0 {
		if len(found) == 1 {
			found = append(found, t.following(r.also, found[0])...)
		}
	}
	var out []string
	for _, p := range found {
		s := p.String()
		if p.whole() && len(s) <= 80 && !slices.ContainsFunc(out, func(o string) bool { return fold(o) == fold(s) }) {
			out = append(out, s)
		}
	}
	return out[:min(len(out), 4)]
}

// main tries each way the type names, in order.
func (r reading) main(t *text, zone mrz) []person {
	fields := t.fields(r.surname, r.given, r.holder.Several)
	if r.holder.MRZ && zone.surname != "" {
		return []person{zone.person(fields)}
	}
	if p := t.preceding(r.before, r.holder.Several); len(p) > 0 {
		return p
	}
	if r.holder.Several && len(fields) > 1 {
		return fields
	}
	if p := t.following(r.after, person{}); len(p) > 0 {
		return p
	}
	if len(fields) > 0 {
		return fields
	}
	if r.holder.Addressee {
		return t.addressee()
	}
	return nil
}

// person is the name of the zone, spelled as the fields beside it when they agree: they
// have the accents and tell compound names.
func (m mrz) person(fields []person) person {
	for _, f := range fields {
		if letters(f.words) == letters([]string{m.surname, m.given}) || strings.HasSuffix(letters(f.words), fold(m.surname)) {
			return f
		}
	}
	givenName, _, _ := strings.Cut(m.given, " ")
	return person{append(strings.Fields(givenName), strings.Fields(m.surname)...)}
}

func letters(words []string) string { return fold(strings.Join(words, "")) }

// following reads the persons that come after the first label to have any, beside the one known.
func (t *text) following(labels []phrase, known person) []person {
	for _, label := range labels {
		for _, h := range t.label(label) {
			if p := t.after(h); len(p) > 0 && letters(p[0].words) != letters(known.words) {
				if strings.HasSuffix(string(label.folded), "prenoms") {
					p[0] = p[0].firstGiven()
				}
				return p
			}
		}
	}
	return nil
}

// after reads the persons after a label: at once on the same row, in the cell beside,
// or on the next rows; else, inside a sentence, after the first civility not far off.
func (t *text) after(h hit) []person {
	rest := t.rest(h, 3)
	if p, civility := names(rest); usable(p, civility) {
		if len(p) > 1 && t.secondColumn(h, rest) {
			return p[len(p)-1:]
		}
		return p
	}
	for i, tok := range tokens(rest) {
		if i > 40 || !tok.word || !civil[tok.folded] && !relation(tok) || len(h.phrase.folded) < 7 {
			continue
		}
		at := strings.Index(rest, tok.text)
		if p, _ := names(rest[max(at, 0):]); usable(p, true) {
			return p
		}
		if civil[tok.folded] {
			break
		}
	}
	return nil
}

// secondColumn reports whether a label heads the last of two columns that OCR ran
// together: « Employeur Salarié » over « Mme Hélène GRAND Mme Rosa PEREIRA ».
func (t *text) secondColumn(h hit, rest string) bool {
	first := t.cells[t.words[h.first].cell].first
	below, _, _ := strings.Cut(strings.TrimLeft(rest, "\n"), "\n")
	titles := 0
	for _, tok := range tokens(below) {
		if tok.word && civil[tok.folded] {
			titles++
		}
	}
	return h.first > first && strings.HasPrefix(rest, "\n") && titles > 1 && !coupled.MatchString(below)
}

var coupled = regexp.MustCompile(`(?i)\b(?:et|ou)\b|&`)

// usable reports whether what was read can be a holder: a whole name.
func usable(p []person, civility bool) bool {
	if len(p) == 0 || !p[0].whole() {
		return false
	}
	if civility {
		return true
	}
	for _, w := range p[0].words { // without « M. » before it, two words with a capital may be anything
		if len([]rune(w)) < 2 {
			return false
		}
	}
	return len(p[0].words) <= 4 || slices.ContainsFunc(p[0].words, isGiven)
}

// rest is what follows a hit: the rest of its cell, then up to n further cells, one a line.
func (t *text) rest(h hit, n int) string {
	last := t.words[h.last]
	c := t.cells[last.cell]
	parts := []string{strings.TrimLeft(c.raw[last.to:], " :.")}
	if under, ok := t.under(last); ok {
		parts = append(parts, under)
	}
	for i := last.cell + 1; i < len(t.cells) && i <= last.cell+n && t.cells[i].page == c.page; i++ {
		parts = append(parts, t.cells[i].raw)
	}
	return strings.Join(parts, "\n")
}

// under is the cell below a label that heads a column: nothing but the label in its
// cell, other cells beside it, as many on the next row.
func (t *text) under(label word) (string, bool) {
	c := t.cells[label.cell]
	row, _ := t.row(c.row)
	below, _ := t.row(c.row + 1)
	if len(strings.Trim(c.raw[label.to:], " ().es")) > 0 || len(row) < 2 || len(below) != len(row) || below[0].page != c.page {
		return "", false
	}
	for i := range row {
		if row[i].first == c.first {
			return below[i].raw, true
		}
	}
	return "", false
}

// preceding reads the person who comes shortly before one of the labels, in a contract:
// « Mme Zoé LE GOFF, née le …, ci-après dénommée la salariée ».
func (t *text) preceding(labels []phrase, couple bool) []person {
	var out []person
	for _, label := range labels {
		for _, h := range t.label(label) {
			p := t.before(h)
			if len(p) == 0 || slices.ContainsFunc(out, func(o person) bool { return letters(o.words) == letters(p[0].words) }) {
				continue
			}
			if out = append(out, p...); !couple || len(out) > 1 {
				return out
			}
		}
	}
	return out
}

// apart is the length from which a label tells of a person named some rows above it.
const apart = 12

// before reads the person before a hit: the name that ends there, else, before a label
// that leaves no doubt, the last with a civility on its row or the five above.
func (t *text) before(h hit) []person {
	w := t.words[h.first]
	var above []string
	for i := max(0, w.cell-5); i < w.cell; i++ {
		above = append(above, t.cells[i].raw)
	}
	s := strings.Join(append(above, t.cells[w.cell].raw[:w.from]), "\n")
	if p := lastName(s); p.whole() {
		return []person{p}
	}
	if len(h.phrase.folded) < apart {
		return nil
	}
	return lastCivil(s)
}

// lastCivil reads the last person announced by a civility in s.
func lastCivil(s string) []person {
	for from := len(s); from > 0; {
		i := strings.LastIndexAny(s[:from], "M")
		if i < 0 {
			return nil
		}
		from = i
		word, _, _ := strings.Cut(s[i:], " ")
		if !civil[fold(word)] || i > 0 && s[i-1] != ' ' && s[i-1] != '\n' && s[i-1] != '(' {
			continue
		}
		if p, _ := names(s[i:]); usable(p, true) {
			return p
		}
	}
	return nil
}

// lastName reads the name on which s ends, punctuation aside.
func lastName(s string) person {
	toks := tokens(s)
	end := len(toks)
	for end > 0 && !toks[end-1].word {
		end--
	}
	start := end
	for start > 0 && end-start < maxNameWords && toks[start-1].word && (nameWord(toks[start-1]) || particles[toks[start-1].folded]) {
		start--
	}
	p, _ := nameAt(toks[start:end])
	return p
}

// fields reads surname and given name where each has its own label. Of several given
// names the first is kept. With couple, two pairs are looked for.
func (t *text) fields(surname, given []phrase, couple bool) []person {
	var out []person
	var used []int
	for _, label := range surname {
		for _, h := range t.label(label) {
			family := t.value(h, nil)
			if family == nil || slices.Contains(used, h.first) || t.partOf(h, "pre", "usage") {
				continue
			}
			if first := t.nearest(given, h, family); first != nil {
				out = append(out, person{append(slices.Clone(first), family...)})
				used = append(used, h.first, h.last)
			}
			if len(out) > 0 && !couple || len(out) == 2 {
				return out
			}
		}
		if len(out) > 0 && !couple {
			break
		}
	}
	return out
}

// partOf reports whether a label is in truth a piece of another: « nom d'usage ».
func (t *text) partOf(h hit, words ...string) bool {
	for i := h.last + 1; i <= h.last+2 && i < len(t.words); i++ {
		if t.words[i].cell == t.words[h.last].cell && slices.Contains(words, t.folded(i)) {
			return true
		}
	}
	return false
}

// nearest reads the given name whose label stands closest after the surname's, or just before it.
func (t *text) nearest(labels []phrase, label hit, family []string) []string {
	var best []string
	distance := 1 << 30
	for _, l := range labels {
		for _, h := range t.label(l) {
			d := t.words[h.first].cell - t.words[label.last].cell
			if d < 0 {
				d = 3 - 2*d
			}
			if d > 8 || d >= distance {
				continue
			}
			if v := t.value(h, family); v != nil {
				best, distance = v[:1], d
			}
		}
	}
	return best
}

// value is the name after a label, on its row or the next ones. Where both labels head
// the same row, the surname stands before the given name: it is passed over.
func (t *text) value(h hit, surname []string) []string {
	toks := tokens(t.rest(h, 3))
	for i, lines := 0, 0; i < len(toks) && lines < 4; i++ {
		tok := toks[i]
		switch {
		case tok.text == "\n":
			lines++
		case tok.word && (nameWord(tok) && !skipped[tok.folded] || properName(toks, i)):
			p, n := nameAt(row(toks[i:]))
			if len(p.words) == 0 {
				return nil
			}
			if letters(p.words) == letters(surname) {
				i += n - 1
				continue
			}
			return p.words
		case tok.word && len(tok.text) > 2 && !skipped[tok.folded] && !civil[tok.folded]:
			return nil
		}
	}
	return nil
}

// row cuts tokens at the end of their row.
func row(toks []token) []token {
	if i := slices.IndexFunc(toks, func(t token) bool { return t.text == "\n" }); i >= 0 {
		return toks[:i]
	}
	return toks
}
