package recognise

import (
	"regexp"
	"slices"
	"strings"

	"vaguemestre/core"
)

// dates are those of one text, with what they may mean.
type dates struct {
	t        *text
	all      []dated
	received core.Date
}

// general labels of a date of issue, tried after those of the type.
var issueLabels = phrases([]string{"fait à", "fait le", "date d'émission", "date d'édition", "date d'établissement", "établi le", "établie le", "délivré le", "délivrée le", "édité le", "éditée le", "émis le", "émise le", "signé le"})

// what a date says when one of these words stands shortly before it: not when the paper was made.
var otherwise = words(`ne nee nes naissance birth avant jusquau jusqu echeance limite prelevement preleve prelevee depuis expire expiration expiry valable effet entree embauche anciennete expir
	inscrit inscription mariage deces compter prochaine prochain naiss debut fin rappel prise sejour decede limite paye payable immatriculation circulation visite loi decret arrete ordonnance article
	revenus exercice creation commencement clos cloture termes convocation rendez releve relevee vers consommation seance loi naissances`)

// notExpiry are the words that make a date something else than an end of validity.
var notExpiry = words("ne nee nes naissance naiss birth delivrance delivree delivre issue debut")

// issue is the date the paper bears: after a label of its type, after a label any paper
// may have, after « Blois, le », or alone on its row. A date to come is none, nor is the
// end of validity.
func (d dates) issue(labels []phrase, expires core.Date) core.Date {
	fits := func(x dated) bool {
		return x.day && x.date != expires && (d.received.IsZero() || !d.received.Before(x.date))
	}
	if x, ok := d.labelled(labels, otherwise, fits); ok {
		return x
	}
	if x, ok := d.labelled(issueLabels, otherwise, fits); ok {
		return x
	}
	for _, x := range slices.Backward(d.all) {
		if fits(x) && d.placed(x) {
			return x.date
		}
	}
	for _, x := range d.all {
		if fits(x) && d.alone(x) {
			return x.date
		}
	}
	return core.Date{}
}

// expiry is the end of validity printed, or checked in the machine-readable zone, or the
// end of a period the paper says it is valid for.
func (d dates) expiry(labels []phrase, zone mrz, period core.Period) core.Date {
	if len(labels) == 0 {
		return core.Date{}
	}
	if !zone.expires.IsZero() {
		return zone.expires
	}
	if x, ok := d.labelled(labels, notExpiry, func(x dated) bool { return x.day }); ok {
		return x
	}
	if !period.To.IsZero() && d.validSpan(period) {
		return period.To
	}
	return core.Date{}
}

// labelled is the first date that a label announces: right after it, or under it in the
// same place among the dates of the row below.
func (d dates) labelled(labels []phrase, not map[string]bool, fits func(dated) bool) (core.Date, bool) {
	for _, label := range labels {
		for _, h := range d.t.label(label) {
			if x, ok := d.after(h, not); ok && fits(x) {
				return x.date, true
			}
		}
	}
	return core.Date{}, false
}

// after is the date announced by a label that was hit, unless one of the words that
// would give it another meaning stands between or just before.
func (d dates) after(h hit, not map[string]bool) (dated, bool) {
	last := d.t.words[h.last]
	cell := d.t.cells[last.cell]
	if i := h.first - 1; i >= cell.first && not[d.t.folded(i)] {
		return dated{}, false // « prochaine facture »
	}
	reach := 45
	if len(h.phrase.folded) <= 2 {
		reach = 6
	}
	for _, x := range d.all {
		if x.cell == last.cell && x.from >= last.to && x.from-last.to <= reach {
			if between := cell.raw[last.to:x.from]; !contrary(between, not) {
				return x, true
			}
			return dated{}, false
		}
	}
	if number.MatchString(cell.raw[last.to:]) || reach < 45 && len(cell.raw)-last.to > 3 {
		return dated{}, false
	}
	return d.beyond(h, cell)
}

// number is a value that stands after a label in the place of its date; not « (7) ».
var number = regexp.MustCompile(`[0-9]{3}`)

// beyond looks in the next cell of the row, then on the two rows below.
func (d dates) beyond(h hit, cell cell) (dated, bool) {
	row, _ := d.t.row(cell.row)
	here := d.t.words[h.last].cell
	for _, x := range d.all {
		if x.cell == here+1 && d.t.cells[x.cell].row == cell.row && x.from < 12 {
			return x, true
		}
	}
	rank := d.rank(row, h)
	for n := cell.row + 1; n <= cell.row+2; n++ {
		var under []dated
		for _, x := range d.all {
			if d.t.cells[x.cell].row == n && d.t.cells[x.cell].page == cell.page {
				under = append(under, x)
			}
		}
		switch {
		case len(under) == 0:
			continue
		case len(under) > rank:
			return under[rank], true
		case len(under) == 1:
			return under[0], true
		}
		return dated{}, false
	}
	return dated{}, false
}

// dateWords head a column of dates.
var dateWords = words("date delivrance delivree delivre expiration expiry expir naissance birth issue naiss valable emission edition echeance")

// rank is the number of columns of dates headed before the one hit. « Date d'expir. /
// Expiry date » heads one.
func (d dates) rank(row []cell, h hit) int {
	n, open := 0, false
	for _, c := range row {
		for i := c.first; i < c.last; i++ {
			w := d.t.folded(i)
			again := strings.HasSuffix(strings.TrimSpace(c.raw[:d.t.words[i].from]), "/")
			if i >= h.first {
				if again && open {
					n--
				}
				return max(n, 0)
			}
			switch {
			case !dateWords[w]:
				open = open && len(w) <= 2
			case again:
				open = true
			case w == "date" || !open:
				n++
				open = true
			}
		}
		open = false
	}
	return n
}

// contrary reports whether one of those words stands in a piece of text.
func contrary(between string, not map[string]bool) bool {
	for _, tok := range tokens(between) {
		w := tok.folded
		if _, after, elided := strings.Cut(tok.text, "'"); elided {
			w = fold(after)
		}
		if tok.word && (not[w] || not[tok.folded]) {
			return true
		}
	}
	return false
}

// place is what may follow a date on its row: « , à Nîmes ».
var place = regexp.MustCompile(`^[ .,]*(?:à \p{Lu}[\p{L}' -]{1,30})?[ .]*$`)

// placed reports whether a date closes a row such as « Blois, le 12 mars 2026 ».
func (d dates) placed(x dated) bool {
	raw := d.t.cells[x.cell].raw
	toks := tokens(raw[:x.from])
	if len(toks) == 0 || len(toks) > 9 || !place.MatchString(raw[x.to:]) {
		return false
	}
	last := toks[len(toks)-1]
	if last.text == ":" && len(toks) > 1 {
		last = toks[len(toks)-2]
	}
	if last.folded != "le" && last.text != "," && last.folded != "date" {
		return false
	}
	return !contrary(raw[:x.from], otherwise) && !slices.ContainsFunc(toks, func(t token) bool { return t.folded == "du" || t.folded == "au" })
}

// alone reports whether nothing else stands on the row of a date.
func (d dates) alone(x dated) bool {
	row, _ := d.t.row(d.t.cells[x.cell].row)
	raw := d.t.cells[x.cell].raw
	around := fold(raw[:x.from] + raw[x.to:])
	if len(row) != 1 || around != "" && around != "le" && around != "date" {
		return false
	}
	before, ok := d.t.row(row[0].row - 1)
	return !ok || !contrary(before[len(before)-1].raw, otherwise)
}
