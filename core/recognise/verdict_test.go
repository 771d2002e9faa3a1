package recognise

import (
	"reflect"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"vaguemestre/core"
	"vaguemestre/core/catalogue"
)

const bill = `EDF
Facture d'électricité du 12/09/2026
Mme Zoé LE GOFF
12 rue des Tanneurs
41000 BLOIS
Point de livraison : 14512345678912   Abonnement 6 kVA   Consommation 301 kWh
`

func parse(t testing.TB, yaml string) *catalogue.Catalogue {
	t.Helper()
	c, err := catalogue.Parse([]byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestVerdictSaysWhy(t *testing.T) {
	cat := catalogue.Default()
	cat.Version = 7
	v := New(DefaultThreshold).Recognise(cat, evidence(bill), received)
	if v.Type != "facture_electricite" || v.Confidence < 0.9 || v.Producer != "phrases/1" || v.Catalogue != 7 {
		t.Fatalf("%+v", v)
	}
	for _, want := range []string{"titre « Facture d'électricité »", "émetteur « EDF »", "mention « Point de livraison »"} {
		if !strings.Contains(strings.Join(v.Evidence, "\n"), want) {
			t.Errorf("evidence %q lacks %q", v.Evidence, want)
		}
	}
	if len(v.Guesses) == 0 || v.Guesses[0] != (core.Guess{Type: v.Type, Confidence: v.Confidence}) {
		t.Errorf("guesses %v do not begin with the verdict", v.Guesses)
	}
}

func TestTwoTypesCompeting(t *testing.T) {
	text := "CERTIFICAT DE SCOLARITÉ\nL'élève est inscrite, année scolaire 2026-2027, le chef d'établissement\n" +
		"QUITTANCE DE LOYER\nReçu du locataire le paiement du loyer, dont quittance, bailleur\n"
	v := New(DefaultThreshold).Recognise(catalogue.Default(), evidence(text), received)
	if v.Type != "" || v.Confidence >= DefaultThreshold || len(v.Guesses) < 2 {
		t.Errorf("type %q, confidence %v, guesses %v: want none, low, and both", v.Type, v.Confidence, v.Guesses)
	}
}

func TestUnderTheThreshold(t *testing.T) {
	cat := catalogue.Default()
	loose, strict := New(0.1).Recognise(cat, evidence(bill), received), New(1).Recognise(cat, evidence(bill), received)
	if loose.Type == "" || strict.Type != "" || strict.Confidence != loose.Confidence || len(strict.Guesses) == 0 || strict.Holder != "Zoé LE GOFF" {
		t.Errorf("loose %+v\nstrict %+v", loose, strict)
	}
}

func TestLookalikeIsNamed(t *testing.T) {
	v := New(DefaultThreshold).Recognise(catalogue.Default(), evidence("RELEVÉ DE COMPTE\nAncien solde 12,00 Nouveau solde 45,00\nDate valeur Débit Crédit"), received)
	if v.Type != "" || v.Holder != "" || len(v.Evidence) != 1 || !strings.Contains(v.Evidence[0], "Relevé de compte bancaire") {
		t.Errorf("%+v", v)
	}
}

func TestNothingToRead(t *testing.T) {
	want := core.Verdict{Producer: "phrases/1"}
	for _, ev := range []core.Evidence{{}, evidence(""), evidence("  \n\f\t", "…", "—")} {
		if v := New(0).Recognise(catalogue.Default(), ev, received); !reflect.DeepEqual(v, want) {
			t.Errorf("%+v", v)
		}
	}
}

func TestRetiredAndSystemTypesAreNeverAnswered(t *testing.T) {
	cat := parse(t, `types:
  - {code: old, label: A, family: F, retired: true, validity: [{until: never}], signals: {titles: [facture d'électricité]}}
  - {code: letter, label: B, family: F, system: true, validity: [{until: never}]}
`)
	if v := New(0).Recognise(cat, evidence(bill), received); v.Type != "" || len(v.Guesses) != 0 {
		t.Errorf("%+v", v)
	}
}

func TestTypeOfTheTown(t *testing.T) {
	cat := parse(t, `types:
  - code: carte_bus
    label: Carte de bus
    family: Transports
    validity: [{until: period_end}]
    signals: {titles: [Carte de bus], issuers: [Azalys], marks: [abonnement scolaire]}
    reading: {holder: {after: [voyageur]}, issued: [achetée le], period: [school_year]}
`)
	v := New(DefaultThreshold).Recognise(cat, evidence("AZALYS\nCARTE DE BUS\nAbonnement scolaire 2026-2027\nVoyageur : Lou DUFOUR\nAchetée le 01/09/2026"), received)
	want := core.Period{From: core.Date{Year: 2026, Month: 9, Day: 1}, To: core.Date{Year: 2027, Month: 8, Day: 31}}
	if v.Type != "carte_bus" || v.Holder != "Lou DUFOUR" || v.Issued.String() != "2026-09-01" || v.Period != want {
		t.Errorf("%+v", v)
	}
}

// A type named on a second page only is still found; a number that identifies a person
// never leaves in the reasons.
func TestPagesAndPrivacy(t *testing.T) {
	pay := "BULLETIN DE PAIE\nSalaire de base 1 800,00\nNet à payer avant impôt\nCotisations salariales\nN° SS : 1 85 05 78 006 084 91"
	v := New(DefaultThreshold).Recognise(catalogue.Default(), evidence("Page de garde\n", pay), received)
	if v.Type != "bulletin_salaire" {
		t.Errorf("%+v", v)
	}
	all := strings.Join(v.Evidence, " ")
	if !strings.Contains(all, "numéro de sécurité sociale valide") || strings.ContainsAny(all, "0123456789") {
		t.Errorf("reasons %q", all)
	}
}

func TestSameEvidenceSameVerdict(t *testing.T) {
	r := New(DefaultThreshold)
	all := samples(t)[:20]
	cats := []*catalogue.Catalogue{catalogue.Default(), catalogue.Default()}
	want := make([]core.Verdict, len(all))
	for i, s := range all {
		want[i] = r.Recognise(cats[0], evidence(s.text), received)
	}
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			for i, s := range all {
				if got := r.Recognise(cats[n%2], evidence(s.text), received); !reflect.DeepEqual(got, want[i]) {
					t.Errorf("%s: verdicts differ", s.name)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzRecognise(f *testing.F) {
	for _, name := range []string{bill, "IDFRA<<\n", "P<FRA<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<\n1234567890123456789012345678", "du au 1er 2026\nNom :\nPrénom :", "M. M. M. et ou et",
		"\xff\xfe Né(e)\f\t|||", "12/03/2026 12/03/2026", "C.1\nI 1 l\n", "FR70", strings.Repeat("e ", 500)} {
		f.Add(name, 2026)
	}
	cat, r := catalogue.Default(), New(DefaultThreshold)
	f.Fuzz(func(t *testing.T, text string, year int) {
		day := core.Date{Year: 1900 + year&0xff, Month: 5, Day: 1}
		v := r.Recognise(cat, evidence(strings.Split(text, "\f")...), day)
		if v.Confidence < 0 || v.Confidence > 1 {
			t.Errorf("confidence %v", v.Confidence)
		}
		if !v.Issued.IsZero() && (day.Before(v.Issued) || v.Issued.Year < 1900) {
			t.Errorf("issued %s, received %s", v.Issued, day)
		}
		if !v.Period.IsZero() && v.Period.To.Before(v.Period.From) {
			t.Errorf("period %+v", v.Period)
		}
		for _, s := range append(v.Evidence, v.Holders...) {
			if !utf8.ValidString(s) || len(s) > 400 {
				t.Errorf("unfit for a page: %q", s)
			}
		}
	})
}
