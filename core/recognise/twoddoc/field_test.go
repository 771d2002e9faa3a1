package twoddoc

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"vaguemestre/core"
)

// lengths are those that the specification gives fields of interest to a town hall, as
// our notes on the format list them: id, length; "*" no bound.
const lengths = `01 * 02 * 03 * 04 * 05 * 06 4 07 6 08 4 09 4 0A 9 0B 9 0C * 0D 36 10 0-38 11 0-38 12 0-38 13 0-38 14 0-38 15 0-38 16 0-38 17 0-38 18 * 19 * 1A * 1B * 1C 8 1D 0-16
1E 0-30 1F 0-30 1G 1 1H 1 1I 0-38 1J 0-38 1K 0-38 1L 0-38 20 0-38 21 0-38 22 0-38 23 0-38 24 5 25 0-32 26 2 27 0-38 28 0-38 29 0-38 2A 0-38 2B 5 2C 0-32 2D 2 30 0-140 31 14-38 32 8-11
33 0-30 34 2 35 14-34 36 4 37 4 38 0-11 39 0-11 40 13 41 0-12 42 * 43 1-5 44 13 45 4 46 0-38 47 13 48 0-38 49 13 4A 8 4B 8 4V 0-10 4W 0-10 4X 0-10 4Y * 50 14 51 6 52 7 53 4 54 4 55 8 56 4
57 8 58 0-11 59 0-12 5A 0-11 5B 0-12 5C 0-11 5D 0-38 5E 0-38 5F 0-38 5G 0-38 5H 5 5I 0-32 5J 2 60 0-60 61 0-20 62 0-38 63 0-38 64 0-38 65 2 66 0-20 67 2 68 1 69 8 6A 0-32 6C 2 6F 0-90
6M 0-40 6N 8 6O 8 6Q 0-10 6S 0-38 6T 0-38 6U 0-38 6V 0-38 6W 5 6X 0-32 6Y 2 A0 2 A1 0-17 A2 0-17 A3 0-17 A4 17 AA 8 AH 0-30 AI 8 B0 0-60 B1 0-20 B2 0-38 B3 0-38 B7 8 BK 14`

func TestFieldTable(t *testing.T) {
	words := strings.Fields(lengths)
	for i := 0; i < len(words); i += 2 {
		d, ok := defined("01", words[i])
		got := fmt.Sprintf("%d-%d", d.min, d.max)
		switch {
		case d.max < 0:
			got = "*"
		case d.min == d.max:
			got = fmt.Sprint(d.min)
		}
		if !ok || got != words[i+1] {
			t.Errorf("%s: %s, want %s", words[i], got, words[i+1])
		}
	}
	kinds := []Kind{KindText, KindLine, KindPerson, KindTitle, KindGiven, KindFamily, KindHexDate, KindDate, KindDateTime, KindTime, KindAmount, KindDecimal, KindInteger, KindYear,
		KindBool, KindCountry, KindURL, KindNumber, KindStreet, KindPlace, KindPostcode, KindTown, KindAddress, KindMRZ, KindSex}
	id := regexp.MustCompile(`^[0-9A-Z]{2}$`)
	for name, d := range definitions {
		fixed := map[Kind]int{KindHexDate: 4, KindDate: 8, KindDateTime: 12, KindTime: 6, KindPostcode: 5, KindCountry: 2, KindBool: 1, KindYear: 4, KindSex: 1}[d.kind]
		if !id.MatchString(name) || !slices.Contains(kinds, d.kind) || fixed != 0 && (d.min != fixed || d.max != fixed) || d.label == "" || strings.ContainsAny(d.label, "'\"") {
			t.Errorf("%s: %+v", name, d)
		}
	}
	for name, d := range docTypes {
		if !id.MatchString(name) || d.label == "" {
			t.Errorf("type %s: %+v", name, d)
		}
		for _, choice := range d.mandatory {
			for _, f := range choice {
				if _, ok := definitions[f]; !ok {
					t.Errorf("type %s wants the unknown field %s", name, f)
				}
			}
		}
	}
	for _, part := range nameParts {
		for _, f := range append(slices.Clone(part.given), part.family...) {
			if k := definitions[f].kind; k != KindGiven && k != KindFamily {
				t.Errorf("%s: %s is a %s", part.label, f, k)
			}
		}
	}
	t.Logf("%d fields, %d types", len(definitions), len(docTypes))
}

func TestDates(t *testing.T) {
	for in, want := range map[string]string{"0000": "2000-01-01", "0E84": "2010-03-05", "19D3": "2018-02-06", "111E": "2011-12-31", "FFFE": "2179-06-05", "FFFF": "",
		"0e84": "!", "FFFFF": "!", "GGGG": "!", "": "!", "+123": "!", " 123": "!", "0x1F": "!"} {
		check(t, in, want, func() (core.Date, bool) { return hexDate(in) })
	}
	for in, want := range map[string]string{"15032012": "2012-03-15", "29022024": "2024-02-29", "31121899": "1899-12-31", "29022023": "!", "00032012": "!", "15002012": "!", "15132012": "!",
		"31042012": "!", "1503201": "!", "150320122": "!", "1503201X": "!", "15030000": "!", "-5032012": "!"} {
		check(t, in, want, func() (core.Date, bool) { return printedDate(in) })
	}
	for in, want := range map[int]string{7_07_2021: "2021-07-07", 12_31_1999: "1999-12-31", 2_29_2024: "2024-02-29", 2_29_2023: "!", 13_01_2020: "!", 0: "!", 0xFFFFFF: "", 0xFFFFFE: "!", 1_00_2020: "!", 1_32_2020: "!"} {
		check(t, fmt.Sprint(in), want, func() (core.Date, bool) { return binaryDate([]byte{byte(in >> 16), byte(in >> 8), byte(in)}) })
	}
}

func check(t *testing.T, in, want string, read func() (core.Date, bool)) {
	t.Helper()
	d, ok := read()
	if got := map[bool]string{true: d.String(), false: "!"}[ok]; got != want {
		t.Errorf("%q: %s, want %s", in, got, want)
	}
}

func TestValues(t *testing.T) {
	for _, c := range []struct {
		kind Kind
		raw  string
		text string // "!": unreadable
	}{
		{KindAmount, "1319,24", "1\u202f319,24\u00a0€"}, {KindAmount, "9894,3", "9\u202f894,30\u00a0€"}, {KindAmount, "-234,78", "-234,78\u00a0€"}, {KindAmount, "63198", "63\u202f198,00\u00a0€"},
		{KindAmount, "-0,05", "-0,05\u00a0€"}, {KindAmount, "1,234", "!"}, {KindAmount, "1,", "!"}, {KindAmount, ",5", "!"}, {KindAmount, "1e9", "!"}, {KindAmount, "99999999999999999", "!"}, {KindAmount, "--1", "!"},
		{KindDecimal, "0157,5", "0157,5"}, {KindDecimal, "2,75", "2,75"}, {KindInteger, "0003", "0003"}, {KindInteger, "3A", "!"}, {KindYear, "2021", "2021"},
		{KindDate, "15032012", "2012-03-15"}, {KindDate, "99032012", "!"}, {KindHexDate, "1231", "2012-10-01"}, {KindHexDate, "FFFF", "FFFF"}, {KindHexDate, "12G1", "!"},
		{KindDateTime, "150320121430", "2012-03-15 14:30"}, {KindDateTime, "150320122430", "!"}, {KindTime, "235959", "23:59:59"}, {KindTime, "236059", "!"},
		{KindBool, "1", "oui"}, {KindBool, "0", "non"}, {KindBool, "7", "!"},
		{KindURL, "NB2WS43TNFSXELLKOVZXI2LDMUXGM4RPGE4DSNRVGQ3TQNJTIFBA", "huissier-justice.fr/1896547853AB"}, {KindURL, "1189", "!"}, {KindURL, "AAAA", "!"},
		{KindPostcode, "57000", "57000"}, {KindPostcode, "2A004", "2A004"}, {KindText, "", ""}, {KindAmount, "", ""},
	} {
		v := c.kind.read(c.raw, false)
		if got := map[bool]string{true: "!", false: v.Text}[v.Kind == KindUnreadable]; got != c.text {
			t.Errorf("%s %q: %q, want %q", c.kind, c.raw, got, c.text)
		}
	}
}

func TestNames(t *testing.T) {
	for raw, want := range map[string]string{
		"MME/SPECIMEN/NATACHA":                    "[{MME SPECIMEN [NATACHA]}]",
		"M/LE GOFF/JEAN/PIERRE":                   "[{M LE GOFF [JEAN PIERRE]}]",
		"SPECIMEN/NATACHA":                        "[{ SPECIMEN [NATACHA]}]",
		"M ET MME/DUPONT/JEAN":                    "[{M ET MME DUPONT [JEAN]}]",
		"M EXEMPLE HENRY ET MME SPECIMEN NATACHA": "[{M EXEMPLE HENRY []} {MME SPECIMEN NATACHA []}]",
		"M ET MME DUPONT JEAN":                    "[{MME DUPONT JEAN []}]",
		"RETI PATRICK":                            "[{ RETI PATRICK []}]",
		"MME":                                     "[]",
		"/":                                       "[{  []}]",
	} {
		if got := fmt.Sprint(KindLine.read(raw, false).Names); got != want {
			t.Errorf("%q: %s, want %s", raw, got, want)
		}
	}
}

func TestC40(t *testing.T) {
	for _, s := range []string{"FRA", "FR9800001", "ABC123 XY"} {
		if got, err := c40(toC40(s)); err != nil || got != s {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
	for _, b := range [][]byte{{1}, {0, 0}, {0xFF, 0xFF}, {0xFA, 1}} {
		if got, err := c40(b); err == nil {
			t.Errorf("%x: %q", b, got)
		}
	}
	pair := func(a, b, c int) []byte { v := a*1600 + b*40 + c + 1; return []byte{byte(v >> 8), byte(v)} }
	shifted := slices.Concat(pair(0, 29, 1), pair(14, 2, 1), pair(14, 4, 5)) // sets 1, 2, 3, then none
	if got, err := c40(shifted); err != nil || got != "\x1d/aA01" {
		t.Errorf("%q, %v", got, err)
	}
}
