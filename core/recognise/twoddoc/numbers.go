package twoddoc

import (
	"regexp"
	"strconv"
	"strings"

	"vaguemestre/core"
)

// amountPattern takes a whole number as it is grouped: by threes with single spaces or
// points, with decimals or none. Letters that look like digits may stand in it.
var amountPattern = regexp.MustCompile(`[0-9][0-9OoIlSBZ]*(?:[ \x{00A0}\x{202F}\x{2009}.'’][0-9OoIlSBZ]{3})*(?:[,.][0-9OoIlSBZ]{1,2})?`)

var digitOf = strings.NewReplacer("O", "0", "o", "0", "I", "1", "l", "1", "S", "5", "B", "8", "Z", "2")

// findAmounts reads every number of a text in hundredths. A number that continues with
// a letter or a digit, or follows one, is a part of something else. Groups that might as
// well be two columns are read both ways, the second as doubtful.
func findAmounts(text string) (sure, doubtful map[int64]bool) {
	sure, doubtful = map[int64]bool{}, map[int64]bool{}
	for _, at := range amountPattern.FindAllStringIndex(text, -1) {
		if alnumAround(text, at[0], at[1]) {
			continue
		}
		number := digitOf.Replace(text[at[0]:at[1]])
		for _, way := range groupings(number) {
			into := sure
			if way.doubtful {
				into = doubtful
			}
			if cents, ok := amount(way.text); ok {
				into[cents] = true
			}
		}
	}
	return sure, doubtful
}

// alnumAround reports whether what stands around makes the number a part of another word.
func alnumAround(text string, from, to int) bool {
	before, after := byte(' '), byte(' ')
	if from > 0 {
		before = text[from-1]
	}
	if to < len(text) {
		after = text[to]
	}
	isAlnum := func(c byte) bool {
		return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' && c != 'e' && c != 'E'
	}
	if after == ',' || after == '.' { // 1,2345 is not 1,23
		return isAlnum(before) || to+1 < len(text) && text[to+1] >= '0' && text[to+1] <= '9'
	}
	return isAlnum(before) || before == ',' || isAlnum(after)
}

type grouping struct {
	text     string
	doubtful bool
}

// groupings are the ways to read "12 345 678,90": as one number, or, if the space was one
// between columns, as some of its groups.
func groupings(number string) []grouping {
	const most = 5 // groups of one amount
	decimals := ""
	if i := strings.LastIndexAny(number, ",."); i >= 0 && len(number)-i-1 <= 2 {
		number, decimals = number[:i], ","+number[i+1:]
	}
	groups := strings.FieldsFunc(number, func(r rune) bool { return r < '0' || r > '9' })
	var out []grouping
	for from := range groups {
		for to := from + 1; to <= min(len(groups), from+most); to++ {
			g := grouping{text: strings.Join(groups[from:to], ""), doubtful: to-from < len(groups)}
			if to == len(groups) {
				g.text += decimals
			}
			out = append(out, g)
		}
	}
	return out
}

// amount looks for an amount; debit columns have no sign, so none is asked for.
func (s *sheet) amount(cents int64) Outcome {
	cents = max(cents, -cents)
	switch {
	case s.amounts[cents]:
		return Found
	case s.doubtful[cents]:
		return Unclear
	case !s.exact:
		want := strconv.FormatInt(cents, 10)
		for other := range s.amounts {
			if misreadDigits(strconv.FormatInt(other, 10), want) {
				return Unclear
			}
		}
	}
	return s.missing()
}

// dated is a date of the print with what stands before it on its line.
type dated struct {
	date   core.Date
	before string // capitals, without accents
}

var (
	numericDate = regexp.MustCompile(`\b([0-3OIl]?[0-9OIl])[ ]?[/.\- ][ ]?([01OIl]?[0-9OIl])[ ]?[/.\- ][ ]?((?:19|20)[0-9OIl]{2}|[0-9]{2})\b`)
	isoDate     = regexp.MustCompile(`\b((?:19|20)[0-9]{2})-([01][0-9])-([0-3][0-9])\b`)
	writtenDate = regexp.MustCompile(`\b([0-3]?[0-9])(?:ER)? +(JANV(?:IER)?|FEV(?:R(?:IER)?)?|MARS|AVR(?:IL)?|MAI|JUIN|JUIL(?:LET)?|AOUT|SEPT(?:EMBRE)?|OCT(?:OBRE)?|NOV(?:EMBRE)?|DEC(?:EMBRE)?)\.? +((?:19|20)[0-9]{2})\b`)
)

var months = map[string]string{"JAN": "01", "FEV": "02", "MAR": "03", "AVR": "04", "MAI": "05", "JUN": "06", "JUL": "07", "AOU": "08", "SEP": "09", "OCT": "10", "NOV": "11", "DEC": "12"}

// maxLabel is how far before a date its label is looked for, in bytes.
const maxLabel = 80

const maxDates = 2_000

// findDates reads the full dates of a text.
func findDates(text string) []dated {
	var out []dated
	previous := ""
	for line := range strings.Lines(text) {
		upper := strings.ToUpper(plain(line))
		add := func(at []int, year, month, day string) {
			if len(year) == 2 {
				year = "20" + year
			}
			if d, ok := civil(year, month, day); ok && len(out) < maxDates {
				before := upper[:at[0]]
				if strings.TrimSpace(before) == "" {
					before = previous
				}
				before = before[max(0, len(before)-maxLabel):]
				out = append(out, dated{d, before})
			}
		}
		for _, at := range numericDate.FindAllStringSubmatchIndex(upper, -1) {
			add(at, digitOf.Replace(upper[at[6]:at[7]]), digitOf.Replace(upper[at[4]:at[5]]), digitOf.Replace(upper[at[2]:at[3]]))
		}
		for _, at := range isoDate.FindAllStringSubmatchIndex(upper, -1) {
			add(at, upper[at[2]:at[3]], upper[at[4]:at[5]], upper[at[6]:at[7]])
		}
		for _, at := range writtenDate.FindAllStringSubmatchIndex(upper, -1) {
			name := upper[at[4]:at[5]]
			key := name[:3]
			if strings.HasPrefix(name, "JUIN") {
				key = "JUN"
			} else if strings.HasPrefix(name, "JUIL") {
				key = "JUL"
			}
			add(at, upper[at[6]:at[7]], months[key], upper[at[2]:at[3]])
		}
		if strings.TrimSpace(upper) != "" {
			previous = upper
		}
	}
	return out
}

// dateLabels are what announces a date in a print, by the field that holds the same.
var dateLabels = map[string]*regexp.Regexp{
	"issued": regexp.MustCompile(`(FACTURE (N[°O]? ?\S+ )?DU|DATE (DE |D ?['’]? ?)?(LA )?(FACTURE|FACTURATION|EMISSION|EDITION|ETABLISSEMENT|DELIVRANCE|DU DOCUMENT)|EMISE? LE|ETABLIE? LE|EDITEE? LE|DELIVREE? LE|FAIT (A [A-Z' -]{1,40},? ?)?LE)\W*$`),
	"4A":     regexp.MustCompile(`MISE EN RECOUVREMENT\W*(LE)?\W*$`),
	"4B":     regexp.MustCompile(`DECLARATION\W*(DU|LE)?\W*$`),
	"57":     regexp.MustCompile(`SIGNEE? LE\W*$`),
	"69":     regexp.MustCompile(`(NEE?(\(E\))? LE|DATE DE NAISSANCE)\W*$`),
	"B7":     regexp.MustCompile(`(NEE?(\(E\))? LE|DATE DE NAISSANCE)\W*$`),
	"75":     regexp.MustCompile(`(NEE?(\(E\))? LE|DATE DE NAISSANCE)\W*$`),
	"AI":     regexp.MustCompile(`(EXPIRE LE|EXPIRATION|FIN DE VALIDITE|JUSQU.AU)\W*$`),
	"6O":     regexp.MustCompile(`(EXPIRE LE|EXPIRATION|FIN DE VALIDITE|JUSQU.AU)\W*$`),
	"08":     regexp.MustCompile(`(EXPIRE LE|EXPIRATION|FIN DE VALIDITE|JUSQU.AU)\W*$`),
}

func digits(d core.Date) string { return strings.ReplaceAll(d.String(), "-", "") }

// date looks for a date in any form. Its absence says nothing, since a code holds dates
// that are not printed; another date under its own label does.
func (s *sheet) date(d core.Date, field string) Outcome {
	labelled := false
	label := dateLabels[field]
	for _, p := range s.dates {
		if p.date == d {
			return Found
		}
		if label != nil && label.MatchString(p.before) {
			labelled = labelled || s.exact || !misreadDigits(digits(p.date), digits(d))
		}
	}
	if labelled {
		return Differs
	}
	return Unclear
}
