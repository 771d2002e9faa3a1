package recognise

import (
	"testing"

	"vaguemestre/core"
	"vaguemestre/core/catalogue"
)

func TestCodes(t *testing.T) {
	cases := []struct {
		name, text string
		code       catalogue.Code
		want       bool
	}{
		{"IBAN of the 2D-Doc specification", "IBAN FR70 3000 2005 5000 0015 7845 Z02", catalogue.IBAN, true},
		{"the same, not spaced", "FR7030002005500000157845Z02", catalogue.IBAN, true},
		{"the same with O for 0 in its key", "FR7O 3000 2005 5000 0015 7845 Z02", catalogue.IBAN, true},
		{"one digit wrong", "FR70 3000 2005 5000 0015 7846 Z02", catalogue.IBAN, false},
		{"a word follows", "FR70 3000 2005 5000 0015 7845 Z02 BIC", catalogue.IBAN, true},
		{"Belgian", "BE68 5390 0754 7034", catalogue.IBAN, true},
		{"NIR", "1 85 05 78 006 084 91", catalogue.NIR, true},
		{"NIR, wrong key", "1 85 05 78 006 084 92", catalogue.NIR, false},
		{"NIR born in Corsica", "2 90 03 2A 004 012 34", catalogue.NIR, true},
		{"SIRET", "SIRET 732 829 320 00074", catalogue.SIRET, true},
		{"SIRET, wrong", "SIRET 732 829 320 00075", catalogue.SIRET, false},
		{"zeros", "000 000 000 00000", catalogue.SIRET, false},
		{"numéro fiscal", "Numéro fiscal : 30 05 123 456 789", catalogue.FiscalNumber, true},
		{"thirteen digits of something else", "Numéro FIP : 3005123456789", catalogue.FiscalNumber, false},
		{"plate", "Véhicule AB-123-CD", catalogue.Plate, true},
		{"no plate: I and O are not used", "OI-123-IO", catalogue.Plate, false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if got := read(evidence(tc.text)).codes().has(tc.code); got != tc.want {
				t.Errorf("%q: %s found %v, want %v", tc.text, tc.code, got, tc.want)
			}
		})
	}
}

func TestMachineReadableZone(t *testing.T) {
	cases := []struct {
		name, text string
		want       mrz
	}{
		{"passport of ICAO 9303, part 4, with its date of this century",
			"P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10",
			mrz{catalogue.MRZPassport, "ERIKSSON", "ANNA MARIA", core.Date{Year: 2012, Month: 4, Day: 15}, true}},
		{"the same, spaces and guillemets from OCR, O for 0",
			"P<UTOERIKSSON«ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO74O8122F12O4159 ZE184226B<<<<<10",
			mrz{catalogue.MRZPassport, "ERIKSSON", "ANNA MARIA", core.Date{Year: 2012, Month: 4, Day: 15}, true}},
		{"French card of today",
			"IDFRAX4RTBPFW46<<<<<<<<<<<<<<<\n9007138F3002119FRA<<<<<<<<<<<6\nMARTIN<<MAELYS<GAELLE<MARIE<<<",
			mrz{catalogue.MRZIdentity, "MARTIN", "MAELYS GAELLE MARIE", core.Date{Year: 2030, Month: 2, Day: 11}, true}},
		{"French card of before 2021",
			"IDFRABERTHIER<<<<<<<<<<<<<<<<<<<<<<<\n8806923102858CORINNE<<<<<<<6512068F6",
			mrz{catalogue.MRZIdentity, "BERTHIER", "CORINNE", core.Date{}, true}},
		{"wrong check digits throughout",
			"P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C30UTO7408120F1204150ZE184226B<<<<<10", mrz{}},
		{"licence", "D1FRA13AA000026181231MARTIN<<9\n", mrz{code: catalogue.MRZLicence}},
		{"nothing of the kind", "REFERENCE CLIENT 1234567890 1234567890 AB\n", mrz{}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if got := read(evidence(tc.text)).mrz(); got != tc.want {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
		})
	}
}

func TestNamesThatEndLikeFillers(t *testing.T) {
	surname, given := mrzNames("MICHEL<<LUC<<<<<<KK<<<")
	if surname != "MICHEL" || given != "LUC" {
		t.Errorf("read %q, %q", surname, given)
	}
}
