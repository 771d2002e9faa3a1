package recognise

import (
	"regexp"
	"strconv"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/catalogue"
)

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
