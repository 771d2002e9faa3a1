package recognise

import (
	"fmt"
	"regexp"
	"strings"

	"vaguemestre/core/catalogue"
)

// codes are the signs with a check of their own that were found.
type codes struct {
	found map[catalogue.Code]string // the reason, in French
	mrz   mrz
}

func (c codes) has(code catalogue.Code) bool { _, ok := c.found[code]; return ok }

func (c codes) reason(code catalogue.Code) string { return c.found[code] }

var (
	ibanPattern   = regexp.MustCompile(`\b([A-Z]{2}[0-9O]{2}(?: ?[0-9A-Z]{4}){2,7}(?: ?[0-9A-Z]{1,4})?)\b`)
	nirPattern    = regexp.MustCompile(`\b([1-478] ?[0-9]{2} ?[0-9]{2} ?(?:[0-9]{2}|2[AB]) ?[0-9]{3} ?[0-9]{3}) ?[/-]? ?([0-9]{2})\b`)
	siretPattern  = regexp.MustCompile(`\b[0-9]{3} ?[0-9]{3} ?[0-9]{3} ?[0-9]{5}\b`)
	fiscalPattern = regexp.MustCompile(`(?i)(?:num[ée]ro|n°) fiscal[^0-9\n]{0,40}[0-3](?: ?[0-9]){12}\b`)
	platePattern  = regexp.MustCompile(`\b[A-HJ-NP-TV-Z]{2}[- ][0-9]{3}[- ][A-HJ-NP-TV-Z]{2}\b`)
)

// codes looks for every sign that can be checked.
func (t *text) codes() codes {
	c := codes{found: map[catalogue.Code]string{}}
	c.mrz = t.mrz()
	if c.mrz.code != "" {
		c.found[c.mrz.code] = c.mrz.reason()
	}
	for _, cell := range t.cells {
		c.look(cell.raw)
	}
	return c
}

func (c codes) look(s string) {
	for _, m := range ibanPattern.FindAllString(s, 4) {
		if validIBAN(m) {
			c.found[catalogue.IBAN] = "IBAN valide"
		}
	}
	for _, m := range nirPattern.FindAllStringSubmatch(s, 4) {
		if validNIR(m[1], m[2]) {
			c.found[catalogue.NIR] = "numéro de sécurité sociale valide"
		}
	}
	for _, m := range siretPattern.FindAllString(s, 8) {
		if luhn(strings.ReplaceAll(m, " ", "")) {
			c.found[catalogue.SIRET] = "SIRET valide"
		}
	}
	if fiscalPattern.MatchString(s) {
		c.found[catalogue.FiscalNumber] = "numéro fiscal à 13 chiffres"
	}
	if platePattern.MatchString(s) {
		c.found[catalogue.Plate] = "plaque d’immatriculation"
	}
}

// validIBAN checks an IBAN by ISO 13616 (mod 97). French ones have 27 characters, and a
// letter O that OCR put among the digits of the key is read as zero.
func validIBAN(s string) bool {
	s = strings.ReplaceAll(s, " ", "")
	for n := len(s); n >= max(15, len(s)-4); n-- { // a word may follow, caught by the pattern
		c := s[:2] + strings.ReplaceAll(s[2:4], "O", "0") + s[4:n]
		if n <= 34 && (c[:2] != "FR" || n == 27) && mod97(c[4:]+c[:4]) == 1 {
			return true
		}
	}
	return false
}

// mod97 is the remainder of a number written with letters for 10 to 35.
func mod97(s string) int {
	r := 0
	for _, c := range s {
		switch {
		case c >= '0' && c <= '9':
			r = (r*10 + int(c-'0')) % 97
		case c >= 'A' && c <= 'Z':
			r = (r*100 + int(c-'A') + 10) % 97
		}
	}
	return r
}

// validNIR checks the key of a French social security number: 97 − n mod 97, Corsican
// departments counted as 19 and 18.
func validNIR(number, key string) bool {
	n := strings.ReplaceAll(number, " ", "")
	n = strings.Replace(strings.Replace(n, "2A", "19", 1), "2B", "18", 1)
	return len(n) == 13 && fmt.Sprintf("%02d", 97-mod97(n)) == key
}

// luhn checks the control digit of a SIRET.
func luhn(s string) bool {
	sum := 0
	for i := range len(s) {
		d := int(s[len(s)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0 && strings.Trim(s, "0") != ""
}
