package recognise

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vaguemestre/core"
	"vaguemestre/core/catalogue"
)

var update = flag.Bool("update", false, "rewrite testdata/*.json from what is recognised")

// received is the day on which every test document is handed in.
var received = core.Date{Year: 2026, Month: 11, Day: 20}

// facts is what a test document must be read as.
type facts struct {
	Type    string      `json:"type"`
	Holders []string    `json:"holders,omitempty"`
	Issued  core.Date   `json:"issued,omitzero"`
	Expires core.Date   `json:"expires,omitzero"`
	Period  core.Period `json:"period,omitzero"`
}

func factsOf(v core.Verdict) facts {
	if v.Type == "" {
		return facts{}
	}
	return facts{v.Type, v.Holders, v.Issued, v.Expires, v.Period}
}

// sample is one test document.
type sample struct {
	name, text string
	want       facts
}

func samples(t testing.TB) []sample {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test documents: %v", err)
	}
	var out []sample
	for _, f := range files {
		body, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		s := sample{name: strings.TrimSuffix(filepath.Base(f), ".txt"), text: string(body)}
		if b, err := os.ReadFile(strings.TrimSuffix(f, ".txt") + ".json"); err == nil {
			if err := json.Unmarshal(b, &s.want); err != nil {
				t.Fatalf("%s: %v", f, err)
			}
		} else if !*update {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

func evidence(pages ...string) core.Evidence {
	ev := core.Evidence{Kind: core.KindPDF, Pages: len(pages)}
	for i, p := range pages {
		ev.Text = append(ev.Text, core.PageText{Page: i + 1, Source: core.SourceLayer, Text: p})
	}
	return ev
}

func TestDocuments(t *testing.T) {
	cat, r := catalogue.Default(), New(DefaultThreshold)
	for _, s := range samples(t) {
		t.Run(s.name, func(t *testing.T) {
			v := r.Recognise(cat, evidence(strings.Split(s.text, "\f")...), received)
			got := factsOf(v)
			if *update {
				b, err := json.MarshalIndent(got, "", "  ")
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile("testdata/"+s.name+".json", append(b, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if !slices.Equal(got.Holders, s.want.Holders) || fmt.Sprint(got) != fmt.Sprint(s.want) {
				t.Errorf("got  %+v\nwant %+v\nconfidence %v guesses %v\n%s", got, s.want, v.Confidence, v.Guesses, strings.Join(v.Evidence, " · "))
			}
		})
	}
}
