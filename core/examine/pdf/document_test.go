package pdf

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"strings"
	"testing"
	"time"

	"vaguemestre/core/examine/pdf/pdftest"
)

// endless calls a form that calls a form… ten times each: nobody finishes this page.
func endless() []byte {
	w := new(pdftest.Writer)
	form := w.Stream("/Type /XObject /Subtype /Form /BBox [0 0 9 9]", []byte("0 0 1 1 re f"))
	for range 20 {
		form = w.Stream(fmt.Sprintf("/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /F %d 0 R >> >>", form),
			[]byte(strings.Repeat("/F Do ", 10)))
	}
	content := w.Stream("", []byte("/F Do"))
	page := fmt.Sprintf("/MediaBox [0 0 595 842] /Contents %d 0 R /Resources << /XObject << /F %d 0 R >> >>", content, form)
	return w.Bytes(w.Catalog("", page))
}

func deflated(data []byte) []byte {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write(data)
	_ = z.Close()
	return b.Bytes()
}

func TestTextComesPageByPage(t *testing.T) {
	d := open(t, sandbox(t, Config{}), pdftest.Text(
		"Mairie d’Alfortville\nReçu n° 12 : 45,10 €\n\n   \nFait à Créteil, le 3 août 2026",
		"",
		"docu-\nment de Saint-\nMaur, CM-\n94",
	))
	if d.Pages() != 3 {
		t.Errorf("%d pages, want 3", d.Pages())
	}
	for page, want := range map[int]string{
		1: "Mairie d’Alfortville\nReçu n° 12 : 45,10 €\nFait à Créteil, le 3 août 2026",
		2: "",
		3: "document de Saint-Maur, CM-94",
	} {
		got, err := d.Text(t.Context(), page)
		if err != nil || got != want {
			t.Errorf("page %d: %q, %v; want %q", page, got, err, want)
		}
	}
	if _, err := d.Text(t.Context(), 4); !errors.Is(err, ErrDamaged) {
		t.Errorf("a page past the end: %v, want %v", err, ErrDamaged)
	}
	if _, err := d.Text(t.Context(), 1); err != nil {
		t.Errorf("after a page that is not there: %v", err)
	}
}

func TestScanIsDrawn(t *testing.T) {
	scan := image.NewGray(image.Rect(0, 0, 100, 142))
	for i := range scan.Pix {
		scan.Pix[i] = 250
	}
	for y := range 71 {
		for x := range 50 {
			scan.SetGray(x, y, color.Gray{Y: 20})
		}
	}
	d := open(t, sandbox(t, Config{}), pdftest.Scan(scan))
	if text, err := d.Text(t.Context(), 1); err != nil || text != "" {
		t.Errorf("text of a scan: %q, %v", text, err)
	}
	img, dpi, err := d.Draw(t.Context(), 1, 150)
	if err != nil {
		t.Fatal(err)
	}
	if dpi != 150 || img.Rect != image.Rect(0, 0, 1240, 1755) {
		t.Errorf("drawn at %d dpi in %v", dpi, img.Rect)
	}
	if dark, light := img.GrayAt(300, 400).Y, img.GrayAt(900, 1200).Y; dark != 20 || light != 250 {
		t.Errorf("corners are %d and %d, want 20 and 250", dark, light)
	}
}

func TestLargePageIsDrawnSmaller(t *testing.T) {
	w := new(pdftest.Writer)
	file := w.Bytes(w.Catalog("", "/MediaBox [0 0 14400 14400]", "/MediaBox [0 0 14400 1] /UserUnit 70"))
	d := open(t, sandbox(t, Config{PagePixels: 1_000_000}), file)
	for page := 1; page <= 2; page++ {
		img, dpi, err := d.Draw(t.Context(), page, 150)
		if err != nil {
			t.Fatalf("page %d: %v", page, err)
		}
		if n := img.Rect.Dx() * img.Rect.Dy(); n > 1_000_000 || dpi < 1 || dpi > 150 {
			t.Errorf("page %d: %v at %d dpi", page, img.Rect, dpi)
		}
	}
}

func TestFieldsAreReadAndDrawn(t *testing.T) {
	w := new(pdftest.Writer)
	font := w.Add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
	look := w.Stream(fmt.Sprintf("/Type /XObject /Subtype /Form /BBox [0 0 200 20] /Resources << /Font << /F1 %d 0 R >> >>", font),
		[]byte("/Tx BMC BT /F1 12 Tf 2 5 Td (Camille Durand) Tj ET EMC"))
	field := w.Add(fmt.Sprintf("<< /Type /Annot /Subtype /Widget /FT /Tx /T (nom) /V (Camille Durand) /F 4 /Rect [100 700 300 720] /AP << /N %d 0 R >> >>", look))
	page := w.TextPage("Nom de l'hébergeant") + fmt.Sprintf(" /Annots [%d 0 R]", field)
	d := open(t, sandbox(t, Config{}), w.Bytes(w.Catalog(fmt.Sprintf("/AcroForm << /Fields [%d 0 R] >>", field), page)))

	if got, err := d.Text(t.Context(), 1); err != nil || got != "Nom de l'hébergeant\nCamille Durand" {
		t.Errorf("text %q, %v", got, err)
	}
	img, _, err := d.Draw(t.Context(), 1, 72)
	if err != nil {
		t.Fatal(err)
	}
	if !inked(img, image.Rect(100, 842-720, 300, 842-700)) {
		t.Error("the field is not drawn")
	}
}

func inked(img *image.Gray, r image.Rectangle) bool {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			if img.GrayAt(x, y).Y < 128 {
				return true
			}
		}
	}
	return false
}

func TestPasswords(t *testing.T) {
	s := sandbox(t, Config{})
	d := open(t, s, pdftest.Encrypted("", "propriétaire", "Bonjour"))
	if text, err := d.Text(t.Context(), 1); err != nil || text != "Bonjour" || !d.Traits().OwnerPassword {
		t.Errorf("owner's password only: %q, %v, %+v", text, err, d.Traits())
	}
	d.Close()
	if _, err := s.Open(t.Context(), pdftest.Encrypted("secret", "propriétaire", "Bonjour")); !errors.Is(err, ErrPassword) {
		t.Errorf("user's password: %v, want %v", err, ErrPassword)
	}
}

func TestDamagedFiles(t *testing.T) {
	s := sandbox(t, Config{})
	whole := pdftest.Text("Bonjour", "Au revoir")
	cycle := new(pdftest.Writer)
	tree := cycle.Reserve()
	cycle.Set(tree, fmt.Sprintf("<< /Type /Pages /Kids [%d 0 R] /Count 1 >>", tree))
	rootless := new(pdftest.Writer)
	for name, file := range map[string][]byte{
		"truncated":  whole[:len(whole)/3],
		"garbage":    append([]byte("%PDF-1.7\n"), bytes.Repeat([]byte("\x8f\x13~q"), 5000)...),
		"header":     []byte("%PDF-1.4"),
		"page cycle": cycle.Bytes(cycle.Add(fmt.Sprintf("<< /Type /Catalog /Pages %d 0 R >>", tree))),
		"no pages":   rootless.Bytes(rootless.Catalog("")),
		"no root":    rootless.Bytes(99),
	} {
		d, err := s.Open(t.Context(), file)
		if err == nil { // PDFium mends some: then the page itself must fail, and soon
			_, err = d.Text(t.Context(), 1)
			d.Close()
		}
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v, want %v", name, err, ErrDamaged)
		}
	}
	noXref := open(t, s, whole[:bytes.Index(whole, []byte("startxref"))])
	if text, err := noXref.Text(t.Context(), 2); err != nil || text != "Au revoir" {
		t.Errorf("without its table: %q, %v; want it mended", text, err)
	}
}

func TestTraits(t *testing.T) {
	s := sandbox(t, Config{})
	for name, c := range map[string]struct {
		catalog string
		want    Traits
	}{
		"plain":       {"", Traits{}},
		"open action": {"/OpenAction << /S /JavaScript /JS (app.alert(1)) >>", Traits{JavaScript: true}},
		"escaped":     {"/OpenAction << /S /Java#53cript /JS (app.alert(1)) >>", Traits{JavaScript: true}},
		"name tree":   {"/Names << /JavaScript << /Names [(a) << /S /JavaScript /JS (1) >>] >> >>", Traits{JavaScript: true}},
		"launch":      {"/OpenAction << /S /Launch /F (calc.exe) >>", Traits{Launch: true}},
		"embedded":    {"/Names << /EmbeddedFiles << /Names [(a.exe) << /Type /Filespec /F (a.exe) >>] >> >>", Traits{EmbeddedFiles: true}},
		"file":        {"/AF [<< /Type /EmbeddedFile >>]", Traits{EmbeddedFiles: true}},
		"xfa":         {"/AcroForm << /XFA [(template) (x)] /Fields [] >>", Traits{XFA: true}},
	} {
		w := new(pdftest.Writer)
		d, err := s.Open(t.Context(), w.Bytes(w.Catalog(c.catalog, w.TextPage("Bonjour"))))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d.Traits() != c.want {
			t.Errorf("%s: %+v, want %+v", name, d.Traits(), c.want)
		}
		if text, err := d.Text(t.Context(), 1); err != nil || text != "Bonjour" {
			t.Errorf("%s: text %q, %v", name, text, err)
		}
		d.Close()
	}
}

func TestSEC63_EndlessFileStopsInTime(t *testing.T) {
	s := sandbox(t, Config{PageTime: 300 * time.Millisecond, DocumentTime: time.Second})
	d := open(t, s, endless())
	begin := time.Now()
	_, err := d.Text(t.Context(), 1)
	if took := time.Since(begin); !errors.Is(err, ErrTooLong) || took > 1300*time.Millisecond {
		t.Errorf("%v after %v, want %v within 1.3 s", err, took, ErrTooLong)
	}
	if _, _, err := d.Draw(t.Context(), 1, 150); !errors.Is(err, ErrTooComplex) {
		t.Errorf("a stopped guest answers again: %v", err)
	}
	d.Close()
	other := open(t, s, pdftest.Text("Bonjour"))
	if text, err := other.Text(t.Context(), 1); err != nil || text != "Bonjour" {
		t.Errorf("the next document: %q, %v", text, err)
	}
}

func TestDocumentTimeIsSpentOnce(t *testing.T) {
	s := sandbox(t, Config{DocumentTime: time.Hour})
	d := open(t, s, pdftest.Text("Bonjour"))
	d.spent = time.Hour
	if _, err := d.Text(t.Context(), 1); !errors.Is(err, ErrTooLong) {
		t.Errorf("out of the document's time: %v, want %v", err, ErrTooLong)
	}
}

func TestCallersDeadlineIsAnAccident(t *testing.T) {
	d := open(t, sandbox(t, Config{}), endless())
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := d.Text(ctx, 1)
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrTooComplex) {
		t.Errorf("%v, want the caller's deadline and no fault of the file", err)
	}
}

// A page whose content inflates past the guest's memory ends the guest, soon; one
// whose picture does is drawn without it.
func TestSEC64_Bombs(t *testing.T) {
	s := sandbox(t, Config{Memory: 64 << 20})
	w := new(pdftest.Writer)
	content := w.Stream("/Filter /FlateDecode", deflated(bytes.Repeat([]byte("q "), 40<<20)))
	picture := w.Stream("/Type /XObject /Subtype /Image /Width 12000 /Height 10000 /ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /FlateDecode",
		deflated(make([]byte, 1<<20)))
	show := w.Stream("", []byte("q 595 0 0 842 0 0 cm /I Do Q"))
	d := open(t, s, w.Bytes(w.Catalog("",
		fmt.Sprintf("/MediaBox [0 0 595 842] /Contents %d 0 R /Resources << /XObject << /I %d 0 R >> >>", show, picture),
		fmt.Sprintf("/MediaBox [0 0 595 842] /Contents %d 0 R", content),
	)))
	begin := time.Now()
	if _, _, err := d.Draw(t.Context(), 1, 150); err != nil && !errors.Is(err, ErrTooComplex) {
		t.Errorf("picture: %v", err)
	}
	if _, err := d.Text(t.Context(), 2); !errors.Is(err, ErrTooComplex) {
		t.Errorf("content: %v, want %v", err, ErrTooComplex)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %v, want at most 5 s", took)
	}
}

func BenchmarkOnePageOfText(b *testing.B) {
	s := sandbox(b, Config{})
	file := pdftest.Text(strings.Repeat("Avis d’impôt établi en 2026 sur les revenus de l’année 2025\n", 50))
	open(b, s, file).Close()
	for b.Loop() {
		d, err := s.Open(b.Context(), file)
		if err != nil {
			b.Fatal(err)
		}
		if text, err := d.Text(b.Context(), 1); err != nil || len(text) < 1000 {
			b.Fatal(text, err)
		}
		d.Close()
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(pdftest.Text("Bonjour"))
	f.Add(pdftest.Encrypted("", "x", "Bonjour"))
	f.Add(pdftest.Text("Bonjour")[:300])
	f.Add([]byte("%PDF-1.7\n1 0 obj<</Pages 1 0 R/Kids[1 0 R]/Count 1>>endobj trailer<</Root 1 0 R>>"))
	f.Add([]byte("%PDF-"))
	f.Add([]byte{})
	s := sandbox(f, Config{OpenTime: 2 * time.Second, PageTime: 2 * time.Second, PagePixels: 100_000})
	f.Fuzz(func(t *testing.T, file []byte) {
		d, err := s.Open(t.Context(), file)
		if err == nil {
			_, _ = d.Text(t.Context(), 1)
			_, _, err = d.Draw(t.Context(), 1, 50)
			d.Close()
		}
		if err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrPassword) && !errors.Is(err, ErrTooComplex) {
			t.Errorf("a file is blamed on us: %v", err)
		}
	})
}
