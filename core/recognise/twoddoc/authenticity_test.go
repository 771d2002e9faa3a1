package twoddoc

import (
	"encoding/json"
	"testing"
	"testing/fstest"

	"vaguemestre/core"
	"vaguemestre/core/recognise/twoddoc/twoddoctest"
)

func TestAuthenticate(t *testing.T) {
	ca, leaf, _ := twoddoctest.Fixed(t)
	trust := given(t, fstest.MapFS{"FR98.pem": pemFile(ca.Cert), "FR98-0001.pem": pemFile(leaf.Cert)})
	const print = "Facture d’électricité du 17 juillet 2021\nMme Natacha SPECIMEN, 145 avenue des Spécimens, 75000 PARIS\nTotal à payer : 1 319,24 €"
	good, other := leaf.Code(t, twoddoctest.Header+twoddoctest.Bill), leaf.Code(t, twoddoctest.Header+"10M/EXEMPLE/HENRY·")
	forged := append([]byte(nil), good...)
	forged[40]++
	qr := []byte("https://example.org/")
	for name, c := range map[string]struct {
		codes [][]byte
		print string
		want  string
	}{
		"no code":          {nil, print, `"none" null 0`},
		"another code":     {[][]byte{qr}, print, `"none" null 0`},
		"good":             {[][]byte{qr, good}, print, `"valid" true 0`},
		"no text":          {[][]byte{good}, "", `"valid" null 0`},
		"forged":           {[][]byte{good, forged}, print, ``},
		"good, of another": {[][]byte{good, other}, print, `"valid" false 1`},
	} {
		ev := core.Evidence{Text: []core.PageText{{Page: 1, Source: core.SourceLayer, Text: c.print}}}
		a := Authenticate(c.codes, PrintOf(ev), trust)
		line, err := json.Marshal(a)
		var read struct {
			Signature   json.RawMessage `json:"signature"`
			Matches     json.RawMessage `json:"matches_text"`
			Differences []string        `json:"differences"`
		}
		if err == nil {
			err = json.Unmarshal(line, &read)
		}
		got := string(read.Signature) + " " + string(read.Matches) + " " + string(rune('0'+len(read.Differences)))
		if name == "forged" { // one letter of the forged one's name is another: it differs as well
			if a.Signature != InvalidSignature {
				t.Errorf("%s: %s", name, line)
			}
			continue
		}
		if err != nil || got != c.want || read.Differences == nil {
			t.Errorf("%s: %s, want %s", name, line, c.want)
		}
	}
}
