package twoddoc

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"vaguemestre/core/recognise/twoddoc/twoddoctest"
)

func BenchmarkVerify(b *testing.B) {
	ca, leaf, _ := twoddoctest.Fixed(b)
	trust := given(b, fstest.MapFS{"FR98.pem": pemFile(ca.Cert), "FR98-0001.pem": pemFile(leaf.Cert)})
	code := leaf.Code(b, twoddoctest.Header+twoddoctest.Bill)
	for b.Loop() {
		if _, r := VerifyBytes(code, trust); r.Verdict != Valid {
			b.Fatal(r)
		}
	}
}

func BenchmarkCompare(b *testing.B) {
	_, leaf, _ := twoddoctest.Fixed(b)
	c, err := Decode(leaf.Code(b, twoddoctest.Header+twoddoctest.Bill))
	if err != nil {
		b.Fatal(err)
	}
	page := Print{Text: strings.Repeat("Une facture lisible comme tant autres, avec des lignes et des mots, 12,50 €.\n", 60) + "\nFacture du 17/07/2021 Mme Natacha SPECIMEN 145 av. des Spécimens 75000 PARIS 1 319,24 €"}
	for b.Loop() {
		if m := c.Compare(page); m.Matches == nil || !*m.Matches {
			b.Fatal(m)
		}
	}
}

// TestCompareIsBounded: the longest codes against the longest and most tiresome prints.
func TestCompareIsBounded(t *testing.T) {
	message := strings.Repeat("10M/A/"+strings.Repeat("A", 30)+"·60"+strings.Repeat("A/", 29)+"A·30"+strings.Repeat("A ET ", 27)+"·22"+strings.Repeat("1 A ", 9)+"·1D1·", 9)
	c := unsigned(t, "DC04FR000001123F16360101FR", message)
	for name, unit := range map[string]string{"letters": "a ", "hyphens": "a-", "the same word": "AAAAAAAA ", "numbers": "1 111 111 ", "dates": "1/1/11 ", "a line": "a", "accents": "é\u0301\u0301"} {
		began := time.Now()
		c.Compare(Print{Text: strings.Repeat(unit, 1+maxPrint/len(unit))})
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%s: %v", name, took)
		} else {
			t.Logf("%s: %v", name, took)
		}
	}
}
