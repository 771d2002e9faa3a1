package twoddoc

import (
	"strings"
	"testing"
)

// unsigned makes a code of a message: comparing asks for no signature.
func unsigned(t *testing.T, header, message string) *Code {
	t.Helper()
	message = strings.ReplaceAll(message, "·", "\x1d")
	c, err := Decode([]byte(header + message + "\x1f" + strings.Repeat("A", 103)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// bill is a bill of 15 October 2012, as a PDF says it.
const bill = `Électricité de Test — Facture du 15 octobre 2012
Titulaire du contrat : Mme Natacha SPÉCIMEN-DURAND
Adresse de consommation : 145 av. des Spécimens, 75000 PARIS
Consommation 250 kWh   Abonnement 12,50 €
Montant total TTC : 1 319,24 €   à payer avant le 05/11/2012`

const billHeader = "DC04FR000001123F16360101FR"

func TestCompareNames(t *testing.T) {
	for _, c := range []struct {
		name, coded, printed string
		want                 Outcome
	}{
		{"as coded", "10MME/SPECIMEN/NATACHA·", "Mme SPECIMEN NATACHA", Found},
		{"first name first", "10MME/SPECIMEN/NATACHA·", "Natacha Specimen", Found},
		{"accents and case", "10MME/LE GOFF/ZOE·", "Madame Zoé Le Goff", Found},
		{"hyphens", "10M/LE GOFF/JEAN PIERRE·", "M. Jean-Pierre LE-GOFF", Found},
		{"apostrophe", "10M/D ARTAGNAN/CHARLES·", "Charles d’Artagnan", Found},
		{"ligature", "10M/LEBOEUF/LOIC·", "Loïc Lebœuf", Found},
		{"joined in the code", "46RETIPATRICK·", "Patrick RETI", Found},
		{"labels", "62SPECIMEN·60NATACHA/CORINNE·", "Nom de famille : SPECIMEN\nPrénoms : Natacha, Corinne", Found},
		{"labels, first name first", "62SPECIMEN·60NATACHA·", "Prénom : Natacha\nNom d’usage : SPECIMEN", Found},
		{"more first names in the code", "62SPECIMEN·60NATACHA/CORINNE·", "Mme SPECIMEN Natacha", Found},
		{"maiden name between", "10MME/SPECIMEN/NATACHA·", "Mme SPECIMEN née DURAND Natacha", Found},
		{"two persons", "30M EXEMPLE HENRY ET MME SPECIMEN NATACHA·", "M. Henry EXEMPLE et Mme Natacha SPECIMEN", Found},
		{"company", "10SARL LES TROIS PINS·", "Client : SARL Les Trois Pins", Found},
		{"zero for O", "10M/DUPONT/LEON·", "M. LE0N DUP0NT", Found},
		{"l for I", "10MME/IDIR/INES·", "lnes lDlR", Found},
		{"I for l", "10M/WILLIAM/PAUL·", "PauI WiIIiam", Found},
		{"five for S", "10MME/SPECIMEN/NATACHA·", "Natacha 5PECIMEN", Found},
		{"cut short", "10MME/SPECIMEN/NATA\x1e", "Mme SPECIMEN NATACHA", Found},

		{"cut short, the other order", "10MME/SPECIMEN/NATA\x1e", "Mme Natacha SPECIMEN", Unclear},
		{"cut short, another", "10MME/SPECIMEN/NATA\x1e", "Mme Corinne BERTHIER", Differs},
		{"full length", "10MME/SPECIMEN DE LA TRES LONGUE RUE/NAT", "Mme SPECIMEN de la Très Longue Rue Natacha", Found},
		{"a profession", "10M/DUPONT/JEAN NOTAIRE·", "Maître Jean DUPONT", Unclear},
		{"half of a first name", "10M/DUPONT/JEAN PIERRE·", "M. Jean DUPONT", Unclear},
		{"an initial in the code", "10MME/SPECIMEN/N·", "Mme Natacha SPECIMEN", Unclear},
		{"another initial in the code", "10MME/SPECIMEN/N·", "Mme Corinne SPECIMEN", Differs},

		{"another name", "10MME/SPECIMEN/NATACHA·", "Mme Corinne BERTHIER", Differs},
		{"another first name", "10MME/SPECIMEN/NATACHA·", "Mme Corinne SPECIMEN", Differs},
		{"another surname", "10MME/SPECIMEN/NATACHA·", "Mme Natacha BERTHIER", Differs},
		{"one letter", "10M/DUPONT/LEON·", "M. Léon DUPOND", Differs},
		{"one letter more", "10M/MARTIN/PAUL·", "M. Paul MARTINE", Differs},
		{"longer surname", "10M/DUPONT/PAUL·", "M. Paul DUPONTEL", Differs},
		{"the parts of two others", "10M/MARTIN/PAUL·", "M. MARTIN Jean\nPaul Durand", Differs},
		{"i for l inside a word", "10MME/DURAND/ELIANE·", "Mme Ellane DURAND", Differs},

		{"double surname", "10MME/SPECIMEN/NATACHA·", "Mme Natacha SPECIMEN-DURAND", Unclear},
		{"double first name", "10M/DUPONT/JEAN·", "M. Jean-Pierre DUPONT", Unclear},
		{"initial", "10MME/SPECIMEN/NATACHA·", "Mme N. SPECIMEN", Unclear},
		{"name between", "10M/DUPONT/JEAN·", "Jean Luc DUPONT", Unclear},
	} {
		t.Run(c.name, func(t *testing.T) {
			code := unsigned(t, billHeader, c.coded)
			s := newSheet(Print{Text: "Une facture comme tant autres, lisible\n" + c.printed + "\nMerci de votre confiance", Exact: true})
			for _, p := range code.persons() {
				if got := s.person(p); got != c.want {
					t.Errorf("%+v in %q: %s, want %s", p.names, c.printed, got, c.want)
				}
			}
			if len(code.persons()) == 0 {
				t.Error("the code names nobody")
			}
		})
	}
}

// TestCompareReadings: what a camera makes of a name is never a yes to another name, and
// no no either.
func TestCompareReadings(t *testing.T) {
	long := strings.Repeat("Une facture lisible comme tant autres, avec des lignes et des mots. ", 3)
	for printed, want := range map[string]Outcome{
		"Mme Julie": Unclear, "BERNARD": Unclear, "Mme Julie BLRNARD": Unclear, "Mme Julie au restaurant": Differs, "Mme Corinne BERNARD": Differs, "Mme Julie MARTIN": Differs,
		"Mme Julie BEMARD": Unclear, "Mme Julie BERNARD": Found, "Mme JuIie BERNARD": Found, "Mme Julie BERTRAND": Differs, "Mme Julie BERNARO": Unclear,
	} {
		code := unsigned(t, billHeader, "10MME/BERNARD/JULIE·")
		if got := newSheet(Print{Text: long + "\n" + printed}).person(code.persons()[0]); got != want {
			t.Errorf("%q: %s, want %s", printed, got, want)
		}
	}
}

func TestCompareAmounts(t *testing.T) {
	for _, c := range []struct {
		coded, printed string
		want           Outcome
	}{
		{"1319,24", "1319,24 €", Found},
		{"1319,24", "1 319,24", Found},
		{"1319,24", "1\u202f319,24\u00a0€", Found},
		{"1319,24", "1.319,24", Found},
		{"1319,24", "1 319.24 EUR", Found},
		{"1319,24", "Total TTC:1319,24€", Found},
		{"1319,24", "1 3l9,24", Found},
		{"9894,3", "9 894,30", Found},
		{"63198", "Revenu fiscal de référence 63 198", Found},
		{"63198", "63 198,00", Found},
		{"-234,78", "solde débiteur 234,78", Found},
		{"1319,24", "1 319,42", Differs},
		{"1319,24", "319,24", Differs},
		{"319,24", "1 319,24", Unclear}, // or two columns
		{"319,24", "1319,24", Differs},
		{"1319,24", "11319,24", Differs},
		{"1319,24", "1319,249", Differs},
		{"1319,24", "1319,2", Differs},
		{"1319", "A1319B", Differs},
		{"1319,24", "1 819,24", Differs},
		{"63198", "2021 63 198", Found},
	} {
		cents, ok := amount(c.coded)
		if !ok {
			t.Fatal(c.coded)
		}
		s := newSheet(Print{Text: "Une facture comme tant autres : " + c.printed + " payable ensuite", Exact: true})
		if got := s.amount(cents); got != c.want {
			t.Errorf("%s in %q: %s, want %s", c.coded, c.printed, got, c.want)
		}
	}
}

// TestCompareMisreadNumbers: a digit that a scanner takes for another is no yes, and no
// no; elsewhere a digit is a digit.
func TestCompareMisreadNumbers(t *testing.T) {
	long := strings.Repeat("Une facture lisible comme tant autres, avec des lignes et des mots. ", 3)
	for printed, want := range map[string][2]Outcome{ // read off a picture, a PDF's own text
		"1 319,24 € 75000": {Found, Found}, "1 819,24 € 76000": {Unclear, Differs}, "1 519,24 € 73000": {Differs, Differs}, "1 879,24 € 76600": {Differs, Differs},
	} {
		for i, want := range want {
			s := newSheet(Print{Text: long + printed, Exact: i == 1})
			if got := s.amount(131924); got != want {
				t.Errorf("amount in %q: %s, want %s", printed, got, want)
			}
			if got := s.number("75000"); got != want {
				t.Errorf("post code in %q: %s, want %s", printed, got, want)
			}
		}
	}
	for printed, want := range map[string]Outcome{"145 avenuc des Spécimens": Unclear, "145 avenue des Spécimens": Found, "145 rue Haute": Differs} {
		if got := newSheet(Print{Text: long + printed}).street("145 AVENUE DES SPECIMENS", false); got != want {
			t.Errorf("%q: %s, want %s", printed, got, want)
		}
	}
}

func TestCompareStreets(t *testing.T) {
	for _, c := range []struct {
		coded, printed string
		want           Outcome
	}{
		{"145 AVENUE DES SPECIMENS", "145, av. des Spécimens", Found},
		{"7 PLACE DES SPECIMENS", "7 pl des Spécimens 57000 METZ", Found},
		{"12 B R ST MARTIN", "12 bis rue Saint-Martin", Found},
		{"8 RUE DE L ABBE GREGOIRE", "8 rue de l’Abbé Grégoire", Found},
		{"145 AVENUE DES SPECIMENS", "154 avenue des Spécimens", Differs},
		{"145 AVENUE DES SPECIMENS", "145 rue des Exemples", Differs},
		{"145 AVENUE DES SPECIMENS", "145 rue des Spécimens", Unclear},
		{"3 RUE JEAN JAURES", "3 rue J. Jaurès", Unclear},
		{"3 RUE JEAN JAURES", "3 rue Jean Moulin", Differs},
	} {
		s := newSheet(Print{Text: "Une facture comme tant autres\n" + c.printed + "\npayable ensuite", Exact: true})
		if got := s.street(c.coded, false); got != c.want {
			t.Errorf("%q in %q: %s, want %s", c.coded, c.printed, got, c.want)
		}
	}
}

func TestCompareDates(t *testing.T) {
	d, _ := printedDate("15102012")
	for printed, want := range map[string]Outcome{
		"15/10/2012": Found, "15.10.2012": Found, "15-10-2012": Found, "15 10 2012": Found, "15/10/12": Found, "2012-10-15": Found,
		"15 octobre 2012": Found, "15 oct. 2012": Found, "I5/1O/2012": Found,
		"Facture du 15/10/2021": Differs, "Date de facture : 15 octobre 2021": Differs, "Fait à Metz, le 16/10/2012": Differs, "Date de la facture\n16/10/2012": Differs,
		"à payer avant le 05/11/2012": Unclear, "octobre 2012": Unclear, "": Unclear,
	} {
		s := newSheet(Print{Text: "Une facture\n" + printed + "\n", Exact: true})
		if got := s.date(d, "issued"); got != want {
			t.Errorf("%q: %s, want %s", printed, got, want)
		}
	}
}

// TestCompareMisreadDates: 2012 read as 2072 under the date's label is no contradiction.
func TestCompareMisreadDates(t *testing.T) {
	d, _ := printedDate("15102012")
	for printed, want := range map[string]Outcome{"Facture du 15/10/2072": Unclear, "Facture du 15/10/2026": Differs, "Facture du 15/10/2012": Found} {
		if got := newSheet(Print{Text: printed}).date(d, "issued"); got != want {
			t.Errorf("%q: %s, want %s", printed, got, want)
		}
	}
}

// TestCompareWhole: the three answers.
func TestCompareWhole(t *testing.T) {
	const message = "26FR247500010MME/SPECIMEN DURAND/NATACHA·22145 AVENUE DES SPECIMENS·1D1319,24·"
	change := func(old, new string) string {
		if !strings.Contains(bill, old) {
			t.Fatalf("%q is not in the bill", old)
		}
		return strings.ReplaceAll(bill, old, new)
	}
	for name, c := range map[string]struct {
		text string
		want string
	}{
		"the bill":              {bill, "yes"},
		"another name":          {change("Natacha SPÉCIMEN-DURAND", "Corinne BERTHIER"), "no"},
		"another amount":        {change("1 319,24", "319,24"), "no"},
		"another street":        {change("145 av. des Spécimens", "3 rue Haute"), "no"},
		"another town":          {change("75000", "57000"), "no"},
		"made younger":          {change("Facture du 15 octobre 2012", "Facture du 15 octobre 2026"), "no"},
		"date nowhere":          {change("Facture du 15 octobre 2012", "Facture"), "?"},
		"a code glued on":       {"Certificat de scolarité de l’élève Paul MARTIN, inscrit en classe de troisième au collège Jean Moulin pour l’année", "no"},
		"nothing legible":       {"|.: ~ lll 8", "?"},
		"no text":               {"", "?"},
		"the date alone agrees": {"Le 15/10/2012", "?"},
	} {
		m := unsigned(t, billHeader, message).Compare(Print{Text: c.text, Exact: true})
		got := "?"
		if m.Matches != nil {
			got = map[bool]string{true: "yes", false: "no"}[*m.Matches]
		}
		if got != c.want || (got == "no") != (len(m.Differences) > 0) {
			t.Errorf("%s: %s (%q), want %s\n%+v", name, got, m.Differences, c.want, m.Compared)
		}
		for _, d := range m.Differences {
			if strings.Contains(d, "SPECIMEN") || strings.Contains(d, "1319") {
				t.Errorf("%s: a difference quotes the code: %q", name, d)
			}
		}
	}
}
