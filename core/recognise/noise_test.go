package recognise

import (
	"math/rand/v2"
	"strings"
	"testing"

	"vaguemestre/core/catalogue"
)

// confusions are what OCR makes of letters on a poor scan.
var confusions = map[rune][]string{
	'e': {"c", "é", ""}, 'é': {"e", "ê", "6"}, 'è': {"e", "é"}, 'l': {"1", "I", "i"}, 'i': {"l", "1", "í"}, 'o': {"0", "c", "a"}, 'O': {"0", "Q"},
	'0': {"O", "o"}, '1': {"l", "I"}, 'm': {"rn", "nn"}, 'n': {"ri", "u"}, 'u': {"ii", "n"}, 'a': {"o", "à"}, 's': {"5", ""}, 't': {"f", "l"}, 'c': {"e", "("},
	'r': {"f", ""}, 'd': {"cl"}, 'h': {"b"}, 'E': {"F", "É"}, 'É': {"E", "Ê"}, 'T': {"I", "7"}, 'I': {"l", "1"}, 'R': {"K"}, 'A': {"À", "4"}, 'S': {"5"}, 'B': {"8"},
	' ': {"", "  "}, '\'': {"", " ", "’"}, ',': {".", ""}, '.': {",", ""}, ':': {";", "."},
}

// noisy spoils about one letter in a hundred times percent, the same way for the same seed.
func noisy(s string, percent float64, seed uint64) string {
	r := rand.New(rand.NewPCG(seed, 41))
	var b strings.Builder
	for _, c := range s {
		if options := confusions[c]; len(options) > 0 && r.Float64()*100 < percent {
			b.WriteString(options[r.IntN(len(options))])
			continue
		}
		b.WriteRune(c)
	}
	return b.String()
}

// score counts what was read right.
type score struct{ types, holders, issued, withHolder, withIssued, all int }

func (s *score) add(want, got facts) {
	s.all++
	if got.Type == want.Type {
		s.types++
	}
	if want.Type == "" {
		return
	}
	if len(want.Holders) > 0 {
		s.withHolder++
		if len(got.Holders) > 0 && fold(got.Holders[0]) == fold(want.Holders[0]) {
			s.holders++
		}
	}
	if !want.Issued.IsZero() {
		s.withIssued++
		if got.Issued == want.Issued {
			s.issued++
		}
	}
}

func share100(n, of int) float64 { return 100 * float64(n) / float64(max(of, 1)) }

// TestNoise reads every document again through two qualities of scan. A document may be
// lost to noise and go to a person; a paper that is none of ours must not become one.
func TestNoise(t *testing.T) {
	cat, r := catalogue.Default(), New(DefaultThreshold)
	qualities := []struct {
		percent                float64
		types, holders, issued float64 // least share right, in percent
	}{
		{0, 100, 100, 100},
		{1, 99, 85, 90},
		{4, 94, 45, 60},
	}
	for _, q := range qualities {
		var got score
		for i, s := range samples(t) {
			v := r.Recognise(cat, evidence(noisy(s.text, q.percent, uint64(i))), received)
			got.add(s.want, factsOf(v))
			if s.want.Type != v.Type && v.Type != "" {
				t.Errorf("%s at %v %% noise: taken for %s (%v)", s.name, q.percent, v.Type, v.Confidence)
			}
		}
		types, holders, issued := share100(got.types, got.all), share100(got.holders, got.withHolder), share100(got.issued, got.withIssued)
		t.Logf("noise %v %%: %d documents, type %.1f %%, holder %.1f %%, date of issue %.1f %%", q.percent, got.all, types, holders, issued)
		if types < q.types || holders < q.holders || issued < q.issued {
			t.Errorf("noise %v %%: less than %.0f, %.0f and %.0f %%", q.percent, q.types, q.holders, q.issued)
		}
	}
}
