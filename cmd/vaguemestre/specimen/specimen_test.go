package specimen

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"strings"
	"testing"
	"time"
)

var camille = Person{Given: "Camille", Family: "DÉMO", Street: "12 rue des Lilas", City: "30000 Démoville"}

func (p Paper) says(words string) bool {
	for _, m := range p.marks {
		if strings.Contains(m.text, words) {
			return true
		}
	}
	return false
}

// The papers are dated so that they prove something on the day they are sent.
func TestDates(t *testing.T) {
	for day, want := range map[string]struct{ notice, bill, period string }{
		"2026-11-23": {"AVIS D’IMPÔT 2026", "du 14/11/2026", "du 01/09/2026 au 31/10/2026"},
		"2026-08-01": {"AVIS D’IMPÔT 2026", "du 23/07/2026", "du 01/05/2026 au 30/06/2026"},
		"2026-07-31": {"AVIS D’IMPÔT 2025", "du 22/07/2026", "du 01/05/2026 au 30/06/2026"},
		"2026-01-05": {"AVIS D’IMPÔT 2025", "du 27/12/2025", "du 01/10/2025 au 30/11/2025"},
		"2028-03-31": {"AVIS D’IMPÔT 2027", "du 22/03/2028", "du 01/01/2028 au 29/02/2028"},
	} {
		on, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		if notice := TaxNotice(camille, on, "n"); !notice.says(want.notice) || !notice.says("Déclarant 1\u00a0: Camille DÉMO") {
			t.Errorf("%s: the notice does not say %q", day, want.notice)
		}
		if bill := ElectricityBill(camille, on, "n"); !bill.says(want.bill) || !bill.says(want.period) {
			t.Errorf("%s: the bill does not say %q and %q: %v", day, want.bill, want.period, bill.marks)
		}
	}
}

// A PDF reader finds every object where the table says it lies, and the number in it.
func TestPDF(t *testing.T) {
	on := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	one, other := TaxNotice(camille, on, "(1)").PDF(), TaxNotice(camille, on, "2").PDF()
	if bytes.Equal(one, other) || !bytes.Contains(one, []byte(`26 30 \(1\)`)) {
		t.Error("the number is not in the paper")
	}
	for n, offset := range offsets(t, one) {
		if want := []byte(string(rune('1'+n)) + " 0 obj"); !bytes.HasPrefix(one[offset:], want) {
			t.Errorf("object %d does not lie at %d", n+1, offset)
		}
	}
}

func offsets(t *testing.T, pdf []byte) (at []int) {
	t.Helper()
	_, table, _ := bytes.Cut(pdf, []byte("65535 f \n"))
	for line := range bytes.Lines(table) {
		if !bytes.HasSuffix(line, []byte(" 00000 n \n")) {
			break
		}
		n := 0
		for _, digit := range line[:10] {
			n = 10*n + int(digit-'0')
		}
		at = append(at, n)
	}
	if len(at) != 6 {
		t.Fatalf("the table names %d objects", len(at))
	}
	return at
}

// A photo is no scan: the page stands askew on a table, and the light falls unevenly.
func TestPhoto(t *testing.T) {
	on := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	bill := ElectricityBill(camille, on, "n")
	one, err := bill.Photo(1)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := bill.Photo(1); err != nil || !bytes.Equal(one, again) {
		t.Errorf("the same seed gave other bytes (%v)", err)
	}
	if bytes.Contains(one, []byte("Exif\x00")) {
		t.Error("the photo carries EXIF")
	}
	photo, err := jpeg.Decode(bytes.NewReader(one))
	if err != nil {
		t.Fatal(err)
	}
	b := photo.Bounds()
	lit, shaded := mean(photo, b.Dx()/8, b.Dy()/6), mean(photo, 7*b.Dx()/8, 5*b.Dy()/6)
	if lit < 1.3*shaded {
		t.Errorf("paper is %.0f where the light falls and %.0f in the shadow: that is even", lit, shaded)
	}
	if wood := mean(photo, 40, b.Dy()/2); wood > 0.7*lit {
		t.Errorf("no table around the page: %.0f beside %.0f", wood, lit)
	}
	upper, lower := edge(photo, b.Dy()/4), edge(photo, 3*b.Dy()/4)
	if upper-lower < 10 {
		t.Errorf("the page begins at %d above and at %d below: it stands straight", upper, lower)
	}
}

// mean is the brightness of 41 × 41 pixels.
func mean(m image.Image, x, y int) float64 {
	sum := 0.0
	for dy := -20; dy <= 20; dy++ {
		for dx := -20; dx <= 20; dx++ {
			sum += float64(color.GrayModel.Convert(m.At(x+dx, y+dy)).(color.Gray).Y)
		}
	}
	return sum / (41 * 41)
}

// edge is where, from the left, wood gives way to paper.
func edge(m image.Image, y int) int {
	x := 25
	for x < m.Bounds().Dx()/2 && mean(m, x, y) < 150 {
		x++
	}
	return x
}
