package ocr

import (
	"bytes"
	"context"
	"errors"
	stdimage "image"
	"image/color"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"vaguemestre/core/examine/confine"
	"vaguemestre/core/examine/image"
)

func TestMain(m *testing.M) {
	confine.Main(image.Job())
	os.Exit(m.Run())
}

var lines = []string{
	"ÉLECTRICITÉ DE PROVENCE",
	"Justificatif de domicile",
	"",
	"Madame Hélène Lefèvre",
	"12, rue de la République",
	"94140 Alfortville",
	"",
	"Facture du 3 mars 2026",
	"Votre numéro de client : 5 081 442 937",
	"",
	"Nous vous remercions de votre confiance et vous prions de trouver",
	"ci-dessous le détail de votre consommation pour la période allant",
	"du 1er janvier au 28 février 2026, relevée à votre adresse.",
	"",
	"Abonnement                     24,60 €",
	"Consommation                  118,35 €",
	"Montant total à régler        142,95 €",
	"",
	"Le prélèvement sera effectué le 20 mars 2026 sur votre compte.",
}

// words are those that any reading of the page above has to hold.
var words = []string{"Justificatif", "domicile", "Hélène", "Lefèvre", "République", "94140", "Alfortville", "Facture",
	"mars", "2026", "consommation", "période", "janvier", "février", "Montant", "142,95", "prélèvement", "compte"}

// sheet draws the page as an A4 sheet at some resolution.
func sheet(t testing.TB, dpi int) *stdimage.Gray {
	t.Helper()
	parsed, err := opentype.Parse(goregular.TTF)
	if err != nil {
		t.Fatal(err)
	}
	face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: 11, DPI: float64(dpi), Hinting: font.HintingNone})
	if err != nil {
		t.Fatal(err)
	}
	page := stdimage.NewGray(stdimage.Rect(0, 0, dpi*827/100, dpi*1169/100))
	for i := range page.Pix {
		page.Pix[i] = 255
	}
	d := font.Drawer{Dst: page, Src: stdimage.NewUniform(color.Gray{20}), Face: face}
	for i, line := range lines {
		d.Dot = fixed.P(dpi*8/10, dpi*(12+3*i)/10)
		d.DrawString(line)
	}
	return page
}

// photo is the sheet on a dark table, unevenly lit and noisy, as a phone sees it.
func photo(t testing.TB) *stdimage.Gray {
	t.Helper()
	paper := sheet(t, 240)
	const left, top = 500, 480
	out := stdimage.NewGray(stdimage.Rect(0, 0, 3024, 4032))
	random := rand.New(rand.NewPCG(1, 2))
	for y := range 4032 {
		for x := range 3024 {
			v := 70.0
			if x >= left && y >= top && x-left < paper.Rect.Dx() && y-top < paper.Rect.Dy() {
				v = 30 + 0.8*float64(paper.GrayAt(x-left, y-top).Y)
			}
			light := 1 - 0.55*float64(x)/3024 - 0.2*float64(y)/4032
			if x+y/2 > 2900 {
				light *= 0.6 // the shadow of a hand
			}
			out.Pix[y*out.Stride+x] = byte(min(max(v*light+random.NormFloat64()*7, 0), 255))
		}
	}
	return out
}

// missing lists what a text should hold and does not.
func missing(text string) []string {
	var m []string
	for _, w := range words {
		if !strings.Contains(text, w) {
			m = append(m, w)
		}
	}
	return m
}

func TestRead(t *testing.T) {
	r := New(Config{})
	scan := sheet(t, 200)
	shot := photo(t)
	for _, c := range []struct {
		name   string
		page   *stdimage.Gray
		dpi    int
		misses int // words that may be lost
	}{
		{"scan at 200 dpi", scan, 200, 0},
		{"scan at 150 dpi", sheet(t, 150), 150, 0},
		{"scan at 300 dpi", sheet(t, 300), 300, 0},
		{"small picture", sheet(t, 75), 0, 3},
		{"photo", shot, 0, 1},
		{"upside down", image.Turn(scan, 3), 200, 0},
		{"sideways", image.Turn(scan, 6), 200, 0},
		{"sideways the other way", image.Turn(scan, 8), 200, 0},
		{"photo upside down", image.Turn(shot, 3), 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			text, err := r.Read(t.Context(), c.page, c.dpi)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%v", time.Since(start).Round(10*time.Millisecond))
			if m := missing(text); len(m) > c.misses {
				t.Errorf("missing %q in\n%s", m, text)
			}
		})
	}
}

// TestLayout: lines stay lines, and come in their order.
func TestLayout(t *testing.T) {
	text, err := New(Config{}).Read(t.Context(), sheet(t, 150), 150)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Madame Hélène Lefèvre\n12, rue de la République\n94140 Alfortville\n", "Facture du 3 mars 2026\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("missing %q in\n%s", want, text)
		}
	}
}

func TestNothingToRead(t *testing.T) {
	r := New(Config{})
	noise := stdimage.NewGray(stdimage.Rect(0, 0, 1240, 1754))
	random := rand.New(rand.NewPCG(3, 4))
	for i := range noise.Pix {
		noise.Pix[i] = byte(200 + random.IntN(40))
	}
	for name, page := range map[string]*stdimage.Gray{
		"black":   stdimage.NewGray(stdimage.Rect(0, 0, 1240, 1754)),
		"noise":   noise,
		"pixel":   stdimage.NewGray(stdimage.Rect(0, 0, 1, 1)),
		"nothing": stdimage.NewGray(stdimage.Rectangle{}),
	} {
		if text, err := r.Read(t.Context(), page, 150); err != nil || text != "" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

func TestFailures(t *testing.T) {
	page := sheet(t, 150)
	if _, err := New(Config{Tesseract: "/usr/bin/no-such-program"}).Read(t.Context(), page, 150); !errors.Is(err, confine.ErrUnconfined) {
		t.Errorf("without the program: %v", err)
	}
	var exit *confine.ExitError
	if _, err := New(Config{Languages: "xxx"}).Read(t.Context(), page, 150); !errors.As(err, &exit) {
		t.Errorf("without its data: %v", err)
	}
	if _, err := New(Config{Timeout: 50 * time.Millisecond}).Read(t.Context(), page, 150); !errors.Is(err, confine.ErrTime) {
		t.Errorf("without time: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := New(Config{}).Read(ctx, page, 150); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with an ended context: %v", err)
	}
}

// TestTwoAtOnce: a third page waits, and gives up with its context.
func TestTwoAtOnce(t *testing.T) {
	r := New(Config{})
	for range atOnce {
		r.turns <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.Read(ctx, sheet(t, 75), 75); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	<-r.turns
	if text, err := r.Read(t.Context(), sheet(t, 150), 150); err != nil || text == "" {
		t.Errorf("%q, %v", text, err)
	}
}

// TestFlatten: what was lit unevenly is white paper and dark ink everywhere.
func TestFlatten(t *testing.T) {
	paper := sheet(t, 150)
	lit := stdimage.NewGray(paper.Rect)
	for y := range paper.Rect.Dy() {
		for x := range paper.Rect.Dx() {
			lit.Pix[y*lit.Stride+x] = byte(int(paper.Pix[y*paper.Stride+x]) * (300 - 200*x/paper.Rect.Dx()) / 300)
		}
	}
	flat := flatten(lit)
	wrong := 0
	for i, v := range paper.Pix {
		if v == 255 && flat.Pix[i] != 255 || v < 40 && flat.Pix[i] > 60 {
			wrong++
		}
	}
	if share := float64(wrong) / float64(len(paper.Pix)); share > 0.002 {
		t.Errorf("%.2f %% of the pixels are wrong", 100*share)
	}
}

// TestOthers: the page that is hardest to read is not read more often than five times.
func TestOthers(t *testing.T) {
	for _, first := range []reading{{}, {all: 400, legible: 50}} {
		if n := len(others(first)); n != 4 {
			t.Errorf("%d more tries after %+v", n, first)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("level\tpage_num\n5\t1\t1\t1\t1\t1\t0\t0\t9\t9\t96.1\tBonjour\n5\t1\t1\t1\t2\t1\t0\t0\t9\t9\t12\tà\xff\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := parse(b)
		if r.legible > len(b) || !bytes.Equal(bytes.ToValidUTF8([]byte(r.text), nil), []byte(r.text)) {
			t.Errorf("%d legible in %q", r.legible, r.text)
		}
	})
}

func BenchmarkPrepare(b *testing.B) {
	shot := photo(b)
	for b.Loop() {
		g, _ := fit(shot, 0)
		flatten(g)
	}
}
