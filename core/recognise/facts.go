package recognise

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/catalogue"
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

// period is what the paper covers, in the first of the forms to be found.
func (d dates) period(forms []catalogue.Form) core.Period {
	for _, f := range forms {
		var p core.Period
		switch f {
		case catalogue.FormSpan:
			p = d.span()
		case catalogue.FormMonth:
			p = d.month()
		case catalogue.FormSchoolYear:
			p = d.schoolYear()
		case catalogue.FormIncomeYear:
			p = d.incomeYear()
		}
		if !p.IsZero() {
			return p
		}
	}
	return core.Period{}
}

// span is the first « du … au … »; the best one speaks of a period.
func (d dates) span() core.Period {
	var first core.Period
	for i, to := range d.all {
		p, from := d.spanTo(i, to)
		if p.IsZero() {
			continue
		}
		if periodWord.MatchString(d.lead(to.cell, from)) {
			return p
		}
		if first.IsZero() {
			first = p
		}
	}
	return first
}

var (
	periodWord = regexp.MustCompile(`(?i)p[ée]riode|valable|validit|droits|consommation|abonnement|loyer|terme|garanti|mois`)
	joint      = regexp.MustCompile(`(?i)^[\s,]*(?:au|à|a|jusqu'?au|-|–|—|→|inclus au)[\s:]*(?:le )?$`)
	partial    = regexp.MustCompile(`(?i)\b(?:du|de|le) +([0-9]{1,2})(?:er)?(?: ?[/.] ?([0-9]{1,2})| +([a-zéûôA-ZÉÛ]{3,10}))? +(?:au|à) +$`)
)

// lead is what stands before a position: its row up to there and the row above.
func (d dates) lead(cell, at int) string {
	s := d.t.cells[cell].raw[:at]
	if cell > 0 {
		s = d.t.cells[cell-1].raw + " " + s
	}
	return s
}

// spanTo is the span that ends with date number i, and where it begins in the cell of its end.
func (d dates) spanTo(i int, to dated) (core.Period, int) {
	raw := d.t.cells[to.cell].raw
	if i > 0 {
		from := d.all[i-1]
		between := ""
		switch {
		case from.cell == to.cell:
			between = raw[from.to:to.from]
		case from.cell == to.cell-1:
			between = d.t.cells[from.cell].raw[from.to:] + " " + raw[:to.from]
		default:
			between = "…"
		}
		if joint.MatchString(between) && from.date.Before(to.date) {
			return core.Period{From: from.date, To: last(to)}, min(from.from, to.from)
		}
	}
	m := partial.FindStringSubmatch(raw[:to.from])
	if m == nil || !to.day {
		return core.Period{}, 0
	}
	day, _ := strconv.Atoi(m[1])
	month := to.date.Month
	if m[2] != "" {
		n, _ := strconv.Atoi(m[2])
		month = time.Month(n)
	} else if m[3] != "" {
		month = time.Month(monthNamed(m[3]))
	}
	year := to.date.Year
	if month > to.date.Month {
		year--
	}
	from, ok := core.NewDate(year, month, day)
	if !ok || !from.Before(to.date) {
		return core.Period{}, 0
	}
	return core.Period{From: from, To: to.date}, max(0, to.from-len(m[0]))
}

// last is the last day a date stands for: that of the month, when it has no day.
func last(x dated) core.Date {
	if x.day {
		return x.date
	}
	return x.date.AddMonths(1).AddDays(-1)
}

// month is the first month named without a day.
func (d dates) month() core.Period {
	for _, x := range d.all {
		if x.day || contraryMonth(d.t.cells[x.cell].raw[:x.from]) {
			continue
		}
		return core.Period{From: x.date, To: last(x)}
	}
	return core.Period{}
}

// contraryMonth reports whether the words just before a month make it something else.
func contraryMonth(before string) bool {
	toks := tokens(before)
	for _, tok := range toks[max(0, len(toks)-3):] {
		switch tok.folded {
		case "depuis", "loi", "decret", "ne", "nee", "entree", "anciennete", "prochaine", "cumul":
			return true
		}
	}
	return false
}

var yearPair = regexp.MustCompile(`\b(20[0-9]{2}) ?[-/–—] ?(20[0-9]{2})\b`)

// schoolYear is the first pair of years in a row: 2025-2026.
func (d dates) schoolYear() core.Period {
	for _, c := range d.t.cells {
		for _, m := range yearPair.FindAllStringSubmatch(c.raw, -1) {
			from, _ := strconv.Atoi(m[1])
			to, _ := strconv.Atoi(m[2])
			if to == from+1 {
				return core.Period{From: core.Date{Year: from, Month: time.September, Day: 1}, To: core.Date{Year: to, Month: time.August, Day: 31}}
			}
		}
	}
	return core.Period{}
}

var income = regexp.MustCompile(`(?i)revenus?(?: +de)?(?: +l'ann[ée]e)?(?: +per[çc]us +en)? +(20[0-9]{2})\b`)

// incomeYear is the calendar year of the income an income-tax notice taxes.
func (d dates) incomeYear() core.Period {
	for i, c := range d.t.cells {
		s := c.raw
		if i+1 < len(d.t.cells) {
			s += " " + d.t.cells[i+1].raw
		}
		if m := income.FindStringSubmatch(s); m != nil {
			year, _ := strconv.Atoi(m[1])
			return core.Period{From: core.Date{Year: year, Month: time.January, Day: 1}, To: core.Date{Year: year, Month: time.December, Day: 31}}
		}
	}
	return core.Period{}
}

var valid = regexp.MustCompile(`(?i)valab|valid`)

// validSpan reports whether the paper says that it is valid for that period.
func (d dates) validSpan(p core.Period) bool {
	for i, to := range d.all {
		if q, from := d.spanTo(i, to); q == p && valid.MatchString(d.lead(to.cell, from)) {
			return true
		}
	}
	return false
}
