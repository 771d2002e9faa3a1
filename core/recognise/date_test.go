package recognise

import (
	"strings"
	"testing"

	"vaguemestre/core"
	"vaguemestre/core/catalogue"
)

func TestDates(t *testing.T) {
	cases := []struct{ text, want string }{
		{"12/03/2026", "2026-03-12"},
		{"12.03.2026", "2026-03-12"},
		{"12-03-2026", "2026-03-12"},
		{"12 / 03 / 2026", "2026-03-12"},
		{"12 03 2026", "2026-03-12"},
		{"le 12 mars 2026.", "2026-03-12"},
		{"1er janvier 2026", "2026-01-01"},
		{"1ER FÉVRIER 2026", "2026-02-01"},
		{"15 août 2026 et 3 décembre 2026", "2026-08-15 2026-12-03"},
		{"8 sept. 2026", "2026-09-08"},
		{"12 rnars 2026", ""},
		{"12 févrler 2026", "2026-02-12"},
		{"15décembre 2026", "2026-12-15"},
		{"mars 2026", "2026-03"},
		{"03/2026", "2026-03"},
		{"I2/O3/2026", "2026-03-12"},
		{"l2/O3/2O26", ""},
		{"12/O3/2026", "2026-03-12"},
		{"31/02/2026", ""},
		{"12/13/2026", ""},
		{"12/03/1850", ""},
		{"12/03/26", "2026-03-12"},
		{"12/03/58", "1958-03-12"},
		{"06 12 03 2026 45", ""},
		{"02 12 2020 11 02 2030", "2020-12-02 2030-02-11"},
		{"K7M2 05 06 2034", "2034-06-05"},
		{"IP 192.168.12.203", ""},
		{"n° 4512/03/2026", ""},
		{"2e trimestre 2026", ""},
		{"Capital 1 026 mars", ""},
	}
	for _, tc := range cases {
		var got []string
		for _, d := range datesIn(tc.text, 0) {
			s := d.date.String()
			if !d.day {
				s = s[:7]
			}
			got = append(got, s)
		}
		if s := strings.Join(got, " "); s != tc.want {
			t.Errorf("%q: %q, want %q", tc.text, s, tc.want)
		}
	}
}

func TestPeriods(t *testing.T) {
	cases := []struct {
		text string
		form catalogue.Form
		want string
	}{
		{"Période du 01/12/2025 au 28/02/2026", catalogue.FormSpan, "2025-12-01 2026-02-28"},
		{"du 1er au 31 octobre 2026", catalogue.FormSpan, "2026-10-01 2026-10-31"},
		{"du 19/09 au 18/10/2026", catalogue.FormSpan, "2026-09-19 2026-10-18"},
		{"du 15 décembre au 14 janvier 2026", catalogue.FormSpan, "2025-12-15 2026-01-14"},
		{"de mars 2026 à mai 2026", catalogue.FormSpan, "2026-03-01 2026-05-31"},
		{"du 01/10/2026\nau 31/10/2026", catalogue.FormSpan, "2026-10-01 2026-10-31"},
		{"du 31/10/2026 au 01/10/2026", catalogue.FormSpan, " "},
		{"Né le 01/02/2000\nContrat du 05/01/2020 au 04/01/2021\nPériode de consommation : 01/05/2026 - 30/06/2026", catalogue.FormSpan, "2026-05-01 2026-06-30"},
		{"Paie de février 2028", catalogue.FormMonth, "2028-02-01 2028-02-29"},
		{"Entrée le 12 mars 2020, août 2026", catalogue.FormMonth, "2026-08-01 2026-08-31"},
		{"Année scolaire 2025 - 2026", catalogue.FormSchoolYear, "2025-09-01 2026-08-31"},
		{"2019/2024", catalogue.FormSchoolYear, " "},
		{"IMPÔT SUR LES REVENUS\nDE 2025", catalogue.FormIncomeYear, "2025-01-01 2025-12-31"},
		{"revenus de l'année 2024", catalogue.FormIncomeYear, "2024-01-01 2024-12-31"},
	}
	for _, tc := range cases {
		x := read(evidence(tc.text))
		p := dates{t: x, all: x.dates()}.period([]catalogue.Form{tc.form})
		if got := p.From.String() + " " + p.To.String(); got != tc.want {
			t.Errorf("%q as %s: %q, want %q", tc.text, tc.form, got, tc.want)
		}
	}
}

func TestIssueDateIsPrintedOrNone(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"after its label", "Date d'émission : 12/03/2026", "2026-03-12"},
		{"label and date on two rows", "Date d'émission\n12 mars 2026", "2026-03-12"},
		{"place and date", "Niort, le 12 mars 2026", "2026-03-12"},
		{"date, then place", "Le 12 mars 2026 à Niort", "2026-03-12"},
		{"alone on its row", "le 12 mars 2026", "2026-03-12"},
		{"two columns", "Date de délivrance   Date d'expiration\n12/03/2021   11/03/2031", "2021-03-12"},
		{"a birth is none", "né le 12/03/1990", ""},
		{"nor a term", "à payer avant le 12/03/2026", ""},
		{"nor the next one", "Prochaine facture le 12/03/2026", ""},
		{"nor a mere date in a sentence", "Le relevé du 12/03/2026 montre une hausse de la consommation", ""},
		{"nor one to come", "Fait à Niort, le 12 mars 2027", ""},
		{"nor one of another century", "Fait à Niort, le 12 mars 1826", ""},
	}
	labels := phrases([]string{"date d'émission", "date de délivrance"})
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			x := read(evidence(tc.text))
			d := dates{t: x, all: x.dates(), received: received}
			if got := d.issue(labels, plausibleOrZero(2031, 3, 11)).String(); got != tc.want {
				t.Errorf("%q: %q, want %q", tc.text, got, tc.want)
			}
		})
	}
}

func plausibleOrZero(year, month, day int) core.Date {
	d, _ := plausible(year, month, day)
	return d
}
