package recognise

import (
	"strings"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/catalogue"
)

// mrz is a machine-readable zone whose check digits hold (ICAO 9303), or the two lines
// of 36 of the French identity card of before 2021.
type mrz struct {
	code           catalogue.Code
	surname, given string // as the zone spells them, spaces for fillers
	expires        core.Date
	checked        bool // check digits were there and right
}

func (m mrz) reason() string {
	if m.checked {
		return "zone de lecture optique (MRZ) vérifiée"
	}
	return "zone de lecture optique (MRZ)"
}

// mrz looks for a zone; its code is empty when there is none.
func (t *text) mrz() mrz {
	lines := t.mrzLines()
	for i, l := range lines {
		if m, ok := passportZone(l, next(lines, i, 1)); ok {
			return m
		}
		if m, ok := cardZone(l, next(lines, i, 1), next(lines, i, 2)); ok {
			return m
		}
		if m, ok := oldCardZone(l, next(lines, i, 1)); ok {
			return m
		}
	}
	for _, l := range lines {
		switch {
		case strings.HasPrefix(l, "D1FRA") && len(l) >= 20:
			return mrz{code: catalogue.MRZLicence}
		case strings.HasPrefix(l, "CRFRA") && len(l) >= 20:
			return mrz{code: catalogue.MRZVehicle}
		}
	}
	return mrz{}
}

func next(lines []string, i, n int) string {
	if i+n < len(lines) {
		return lines[i+n]
	}
	return ""
}

// mrzLines are the rows that may be part of a zone: long runs of capitals, digits and fillers.
func (t *text) mrzLines() []string {
	var out []string
	clean := strings.NewReplacer(" ", "", "«", "<<", "‹", "<", "(", "<", "{", "<", "\u00a0", "", "\u00ab", "<<")
	for _, c := range t.cells {
		s := strings.ToUpper(clean.Replace(c.raw))
		if len(s) < 26 || len(s) > 50 || strings.IndexFunc(s, func(r rune) bool { return !mrzRune(r) }) >= 0 {
			continue
		}
		digits := strings.IndexFunc(s, func(r rune) bool { return r >= '0' && r <= '9' }) >= 0
		if strings.Contains(s, "<") || digits {
			out = append(out, s)
		}
	}
	return out
}

func mrzRune(r rune) bool { return r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '<' }

// passportZone reads TD3: two lines of 44.
func passportZone(one, two string) (mrz, bool) {
	if len(one) < 30 || one[0] != 'P' || !strings.Contains(one, "<<") || len(two) < 28 {
		return mrz{}, false
	}
	m := mrz{code: catalogue.MRZPassport}
	if !check(two[0:9], two[9]) && !checkDate(two[13:19], two[19]) && !checkDate(two[21:27], two[27]) {
		return mrz{}, false
	}
	m.checked = checkDate(two[13:19], two[19]) && checkDate(two[21:27], two[27])
	if m.checked {
		m.expires = mrzDate(two[21:27])
	}
	m.surname, m.given = mrzNames(one[5:])
	return m, true
}

// cardZone reads TD1: three lines of 30.
func cardZone(one, two, three string) (mrz, bool) {
	if len(one) < 28 || len(two) < 18 || !strings.ContainsRune("IAC", rune(one[0])) || strings.HasPrefix(one, "CRFRA") {
		return mrz{}, false
	}
	if !checkDate(two[0:6], two[6]) || !checkDate(two[8:14], two[14]) {
		return mrz{}, false
	}
	m := mrz{code: catalogue.MRZResidence, checked: true, expires: mrzDate(two[8:14])}
	if one[1] == 'D' && two[15:18] == "FRA" || one[:5] == "IDFRA" {
		m.code = catalogue.MRZIdentity
	}
	m.surname, m.given = mrzNames(three)
	return m, true
}

// oldCardZone reads the French card of two lines of 36: IDFRA, surname (25), department
// and office (6); then number (12), check, given names (14), birth (6), check, sex, check.
func oldCardZone(one, two string) (mrz, bool) {
	if !strings.HasPrefix(one, "IDFRA") || len(one) < 30 || len(two) < 34 {
		return mrz{}, false
	}
	if !check(two[0:12], two[12]) && !checkDate(two[27:33], two[33]) {
		return mrz{}, false
	}
	m := mrz{code: catalogue.MRZIdentity, checked: check(two[0:12], two[12]) && checkDate(two[27:33], two[33])}
	surname, _, _ := strings.Cut(one[5:30], "<<")
	given, _, _ := strings.Cut(strings.TrimLeft(two[13:27], "<"), "<<")
	m.surname, m.given = spaced(surname), spaced(given)
	return m, true
}

// checkDate is check for a field that can only hold digits.
func checkDate(field string, digit byte) bool {
	b := []byte(field)
	for i := range b {
		b[i] = mrzDigit(b[i])
	}
	return check(string(b), digit)
}

// check works out a check digit: weights 7, 3, 1, letters from 10, fillers 0. A check
// digit that OCR took for a letter is read as the digit.
func check(field string, digit byte) bool {
	sum := 0
	for i := range len(field) {
		sum += mrzValue(field[i]) * [3]int{7, 3, 1}[i%3]
	}
	if digit == '<' {
		digit = '0'
	}
	return mrzDigit(digit) == byte('0'+sum%10)
}

func mrzValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'Z':
		return int(c-'A') + 10
	}
	return 0
}

// mrzDigit undoes what OCR does to a lone digit.
func mrzDigit(c byte) byte {
	if i := strings.IndexByte("OQDIZSBG", c); i >= 0 {
		return "00012586"[i]
	}
	return c
}

// mrzDate reads YYMMDD as the end of a validity: this century.
func mrzDate(s string) core.Date {
	n := func(i int) int { return int(mrzDigit(s[i])-'0')*10 + int(mrzDigit(s[i+1])-'0') }
	d, ok := core.NewDate(2000+n(0), time.Month(n(2)), n(4))
	if !ok {
		return core.Date{}
	}
	return d
}

// mrzNames reads SURNAME<<GIVEN<NAMES<<<.
func mrzNames(s string) (surname, given string) {
	end := len(strings.TrimRight(s, "<KCL")) // fillers at the end are often misread
	if i := strings.IndexByte(s[end:], '<'); i >= 0 {
		s = s[:end+i]
	}
	surname, given, _ = strings.Cut(s, "<<")
	given, _, _ = strings.Cut(given, "<<")
	return spaced(surname), spaced(given)
}

func spaced(s string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(s, "<", " ")), " ")
}
