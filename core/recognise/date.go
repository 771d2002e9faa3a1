package recognise

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"vaguemestre/core"
)

// dated is a date on the paper. day is false for a month alone: its date is the first.
type dated struct {
	date     core.Date
	day      bool
	cell     int
	from, to int // in the raw text of the cell
}

// A date in digits: 12/03/2026, 12.03.2026, 12-03-2026, 12 03 2026, 12/03/26. OCR may have
// put O, l, I or | for a digit.
var (
	digitDate = regexp.MustCompile(`[0-9][0-9OolI]?(?:\.[0-9OolI]{1,2}\.|-[0-9OolI]{1,2}-| ?/ ?[0-9OolI]{1,2} ?/ ?)[0-9OolI]{2,4}|[OolI][0-9](?:\.[0-9OolI]{2}\.|/[0-9OolI]{2}/)[0-9OolI]{4}`)
	spaceDate = regexp.MustCompile(`[0-9]{2} [0-9]{2} (?:19|20)[0-9]{2}`)
	monthDate = regexp.MustCompile(`(?i)(?:([0-9OolI]{1,2}) ?(er|eme|ème|°|"|')? ?[\-.]? ?)?([a-zéûôèA-ZÉÛÔ0-9]{3,10})\.?[ \-.]{0,2}([12][0-9OolI]{3})`)
	monthOnly = regexp.MustCompile(`[0-9]{2} ?/ ?20[0-9]{2}`)
)

// dates finds every date of the text, in reading order.
func (t *text) dates() []dated {
	var out []dated
	for i, c := range t.cells {
		out = append(out, datesIn(c.raw, i)...)
	}
	return out
}

// datesIn finds the dates of one cell, in order; where two readings overlap the first form wins.
func datesIn(s string, cell int) []dated {
	if strings.IndexFunc(s, func(r rune) bool { return r >= '0' && r <= '9' }) < 0 {
		return nil
	}
	var out []dated
	taken := make([]bool, len(s))
	add := func(from, to int, d core.Date, day, ok bool) {
		if !ok || taken[from] || taken[to-1] || beside(s, from, to) {
			return
		}
		for i := from; i < to; i++ {
			taken[i] = true
		}
		at := len(out)
		for at > 0 && out[at-1].from > from {
			at--
		}
		out = append(out[:at], append([]dated{{d, day, cell, from, to}}, out[at:]...)...)
	}
	for _, m := range digitDate.FindAllStringIndex(s, -1) {
		d, ok := readDigits(s[m[0]:m[1]])
		add(m[0], m[1], d, true, ok)
	}
	for _, m := range monthDate.FindAllStringSubmatchIndex(s, -1) {
		d, day, ok := readMonth(s, m)
		from := m[0]
		if !day {
			from = m[6]
		}
		add(from, m[1], d, day, ok)
	}
	for _, m := range spaceDate.FindAllStringIndex(s, -1) {
		d, ok := readDigits(strings.ReplaceAll(s[m[0]:m[1]], " ", "/"))
		add(m[0], m[1], d, true, ok && !besideNumber(s, m[0], m[1]))
	}
	for _, m := range monthOnly.FindAllStringIndex(s, -1) {
		p := strings.FieldsFunc(s[m[0]:m[1]], func(r rune) bool { return r == '/' || r == ' ' })
		month, _ := strconv.Atoi(p[0])
		year, _ := strconv.Atoi(p[1])
		d, ok := core.NewDate(year, time.Month(month), 1)
		add(m[0], m[1], d, false, ok)
	}
	return out
}

// beside reports whether what was matched is a piece of something longer: a digit or a
// letter touches it, or a further separator with digits (an IP address, a number).
func beside(s string, from, to int) bool {
	if from > 0 && (digit(s[from-1]) || s[from-1] == '/' && from > 1 && digit(s[from-2])) {
		return true
	}
	return to < len(s) && digit(s[to])
}

// besideNumber reports whether groups of digits go on before or after: a telephone or
// account number rather than a date.
func besideNumber(s string, from, to int) bool {
	before := strings.Fields(s[:from])
	if len(before) > 0 && strings.Trim(before[len(before)-1], "0123456789") == "" && !endsInDate(before) {
		return true
	}
	return to+1 < len(s) && s[to] == ' ' && digit(s[to+1]) && !dateAhead(s[to+1:])
}

// endsInDate reports whether the last three groups are themselves a date.
func endsInDate(groups []string) bool {
	n := len(groups)
	return n >= 3 && spaceDate.MatchString(strings.Join(groups[n-3:], " "))
}

// dateAhead lets two dates stand side by side.
func dateAhead(s string) bool {
	m := spaceDate.FindStringIndex(s)
	return m != nil && m[0] == 0
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

var asDigits = strings.NewReplacer("O", "0", "o", "0", "l", "1", "I", "1", " ", "")

// readDigits reads day, month, year. A year of two digits is of this century, unless
// that lies thirty years ahead or more.
func readDigits(s string) (core.Date, bool) {
	if strings.Count(s, "O")+strings.Count(s, "o")+strings.Count(s, "l")+strings.Count(s, "I") > 2 {
		return core.Date{}, false // more guessed than read
	}
	p := strings.FieldsFunc(asDigits.Replace(s), func(r rune) bool { return r == '/' || r == '.' || r == '-' })
	if len(p) != 3 || len(p[2]) == 3 || len(p[2]) < 2 {
		return core.Date{}, false
	}
	day, _ := strconv.Atoi(p[0])
	month, _ := strconv.Atoi(p[1])
	year, _ := strconv.Atoi(p[2])
	if len(p[2]) == 2 {
		if year += 2000; year >= 2056 {
			year -= 100
		}
	}
	return plausible(year, month, day)
}

func plausible(year, month, day int) (core.Date, bool) {
	if year < 1900 || year > 2199 {
		return core.Date{}, false
	}
	return core.NewDate(year, time.Month(month), day)
}

// readMonth reads a match of monthDate: an optional day, a month in letters, a year.
func readMonth(s string, m []int) (d core.Date, day, ok bool) {
	month := monthNamed(s[m[6]:m[7]])
	if month == 0 {
		return core.Date{}, false, false
	}
	year, _ := strconv.Atoi(asDigits.Replace(s[m[8]:m[9]]))
	if m[2] >= 0 {
		if n, err := strconv.Atoi(asDigits.Replace(s[m[2]:m[3]])); err == nil && n >= 1 && n <= 31 && (m[2] == 0 || !digit(s[m[2]-1])) {
			d, ok = plausible(year, month, n)
			return d, true, ok
		}
	}
	d, ok = plausible(year, month, 1)
	return d, false, ok
}

var monthNames = []string{"janvier", "fevrier", "mars", "avril", "mai", "juin", "juillet", "aout", "septembre", "octobre", "novembre", "decembre"}

// monthNamed reads a month in French, whole, shortened to its first letters, or with one
// wrong letter; 0 for any other word.
func monthNamed(s string) int {
	f := fold(strings.NewReplacer("0", "o", "1", "i").Replace(s))
	for i, name := range monthNames {
		if f == name {
			return i + 1
		}
		short := len(f) >= 3 && len(f) <= 5 && strings.HasPrefix(name, f) && f != "jui" && f != "mar"
		if short || len(name) > 4 && len(f) > 4 && near(f, name) {
			return i + 1
		}
	}
	return 0
}

// near reports whether two words differ by at most one letter changed, lost or added.
func near(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) == len(b) {
		return i == len(a) || a[i+1:] == b[i+1:]
	}
	return a[i:] == b[i+1:]
}
