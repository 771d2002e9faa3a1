package examine

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	stdimage "image"
	"image/draw"
	"image/jpeg"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/examine/confine"
	"vaguemestre/core/examine/image"
	"vaguemestre/core/examine/pdf"
	"vaguemestre/core/examine/pdf/pdftest"
)

// base is shared by the tests: compiling its sandbox takes a while.
var base *Examiner

func TestMain(m *testing.M) {
	confine.Main(image.Job())
	cache, err := os.UserCacheDir()
	if err != nil {
		panic(err)
	}
	base = New(Config{CacheDir: filepath.Join(cache, "vaguemestre-test"), Memory: 256 << 20}, slog.New(slog.DiscardHandler))
	base.images = image.New(image.Config{}) // under the race detector, a child needs more
	code := m.Run()
	if err := base.Close(); err != nil {
		panic(err)
	}
	os.Exit(code)
}

const letter = "Mairie d’Alfortville, le 3 août 2026\nAttestation de domicile de Camille Durand"

// examiner is base with other eyes, where they are given.
func examiner(images imageDecoder, reader textReader) *Examiner {
	e := &Examiner{pdf: base.pdf, images: base.images, reader: base.reader, slots: make(chan struct{}, 2)}
	if images != nil {
		e.images = images
	}
	if reader != nil {
		e.reader = reader
	}
	return e
}

// reads answers each page in turn and remembers what it was shown.
type reads struct {
	answers []string
	err     error
	shown   []string // size and dpi
}

func (r *reads) Read(_ context.Context, page *stdimage.Gray, dpi int) (string, error) {
	r.shown = append(r.shown, fmt.Sprintf("%d×%d at %d", page.Rect.Dx(), page.Rect.Dy(), dpi))
	if r.err != nil || len(r.answers) < len(r.shown) {
		return "", r.err
	}
	return r.answers[len(r.shown)-1], nil
}

// album decodes any file to pictures of the size it is told.
type album struct {
	info image.Info
	err  error
}

func (a album) Info(core.Kind, []byte) (image.Info, error) { return a.info, a.err }

func (a album) Decode(_ context.Context, _ core.Kind, _ []byte, _, maxSide int) (image.Page, error) {
	w, h := a.info.Width, a.info.Height
	if long := max(w, h); long > maxSide {
		w, h = w*maxSide/long, h*maxSide/long
	}
	return image.Page{Gray: scan(w, h), Width: a.info.Width, Height: a.info.Height}, a.err
}

// scan is a page with something on it.
func scan(w, h int) *stdimage.Gray {
	img := stdimage.NewGray(stdimage.Rect(0, 0, w, h))
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	for i := range min(w, h) {
		img.Pix[img.PixOffset(i, i)] = 0
	}
	return img
}

func refusalCode(err error) string {
	var r *core.Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}

func mixedPages(t testing.TB) []byte {
	t.Helper()
	w := new(pdftest.Writer)
	return w.Bytes(w.Catalog("/OpenAction << /S /JavaScript /JS (1) >>",
		w.TextPage(letter), w.ScanPage(scan(300, 400)), w.TextPage("Numérisé avec MaScan"),
		w.ScanPage(scan(300, 400)), w.ScanPage(scan(300, 400)), w.TextPage(letter)))
}

func TestDocumentIsReadByLayerThenByEye(t *testing.T) {
	eyes := &reads{answers: []string{"lu sur la page deux", "lu", ""}}
	e := examiner(nil, eyes)
	got, err := e.Examine(t.Context(), mixedPages(t), Limits{}, true)
	if err != nil {
		t.Fatal(err)
	}
	want := core.Evidence{
		Kind: core.KindPDF, Pages: 6, Flags: []string{FlagJavaScript},
		Text: []core.PageText{
			{Page: 1, Source: core.SourceLayer, Text: letter},
			{Page: 2, Source: core.SourceOCR, Text: "lu sur la page deux"},
			{Page: 3, Source: core.SourceLayer, Text: "Numérisé avec MaScan"},
			{Page: 6, Source: core.SourceLayer, Text: letter},
		},
		Skipped: []string{SkippedOCREmpty, SkippedOCRPages},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	page := "1240×1755 at 150"
	if want := []string{page, page, page}; !reflect.DeepEqual(eyes.shown, want) {
		t.Errorf("looked at %v, want %v", eyes.shown, want)
	}
}

func TestNothingIsReadWithoutConsent(t *testing.T) {
	eyes := &reads{answers: []string{"lu"}}
	e := examiner(album{info: image.Info{Width: 3000, Height: 4000, Frames: 1}}, eyes)
	for name, c := range map[string]struct {
		file []byte
		want core.Evidence
	}{
		"pdf":  {mixedPages(t), core.Evidence{Kind: core.KindPDF, Pages: 6, Flags: []string{FlagJavaScript}, Skipped: []string{SkippedNoConsent}}},
		"jpeg": {jpegFile(t), core.Evidence{Kind: core.KindJPEG, Pages: 1, Width: 3000, Height: 4000, Skipped: []string{SkippedNoConsent}}},
	} {
		got, err := e.Examine(t.Context(), c.file, Limits{}, false)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
	}
	if len(eyes.shown) > 0 {
		t.Errorf("looked at %v without consent", eyes.shown)
	}
}

func TestLongDocumentIsReadInPart(t *testing.T) {
	pages := make([]string, textPages+5)
	for i := range pages {
		pages[i] = letter
	}
	got, err := examiner(nil, &reads{}).Examine(t.Context(), pdftest.Text(pages...), Limits{}, true)
	if err != nil {
		t.Fatal(err)
	}
	if got.Pages != textPages+5 || len(got.Text) != textPages || !reflect.DeepEqual(got.Skipped, []string{SkippedTextPages}) {
		t.Errorf("%d pages, %d with text, skipped %v", got.Pages, len(got.Text), got.Skipped)
	}
}

func TestPictureIsLookedAt(t *testing.T) {
	tiff := []byte("II*\x00\x08\x00\x00\x00\x00\x00\x01\x00")
	for name, c := range map[string]struct {
		file  []byte
		info  image.Info
		want  core.Evidence
		shown []string
	}{
		"photo": {jpegFile(t), image.Info{Width: 4000, Height: 3000, Frames: 1},
			core.Evidence{Kind: core.KindJPEG, Pages: 1, Width: 4000, Height: 3000, Text: []core.PageText{{Page: 1, Source: core.SourceOCR, Text: "un"}}},
			[]string{"2340×1755 at 0"}},
		"icon": {pngFile(t), image.Info{Width: 64, Height: 64, Frames: 1},
			core.Evidence{Kind: core.KindPNG, Pages: 1, Width: 64, Height: 64, Skipped: []string{SkippedSmall}}, nil},
		"animation": {gifFile(t), image.Info{Width: 800, Height: 600, Frames: 300},
			core.Evidence{Kind: core.KindGIF, Pages: 1, Width: 800, Height: 600, Text: []core.PageText{{Page: 1, Source: core.SourceOCR, Text: "un"}}},
			[]string{"800×600 at 0"}},
		"fax": {tiff, image.Info{Width: 1700, Height: 2200, Frames: 5},
			core.Evidence{Kind: core.KindTIFF, Pages: 5, Width: 1700, Height: 2200, Skipped: []string{SkippedOCRPages, SkippedOCREmpty},
				Text: []core.PageText{{Page: 1, Source: core.SourceOCR, Text: "un"}, {Page: 2, Source: core.SourceOCR, Text: "deux"}}},
			[]string{"1700×2200 at 0", "1700×2200 at 0", "1700×2200 at 0"}},
	} {
		eyes := &reads{answers: []string{"un", "deux"}}
		got, err := examiner(album{info: c.info}, eyes).Examine(t.Context(), c.file, Limits{}, true)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\ngot  %+v, %v\nwant %+v", name, got, err, c.want)
		}
		if !reflect.DeepEqual(eyes.shown, c.shown) {
			t.Errorf("%s: looked at %v, want %v", name, eyes.shown, c.shown)
		}
	}
}

func TestRefusals(t *testing.T) {
	tiff := []byte("II*\x00\x08\x00\x00\x00\x00\x00\x01\x00")
	size := func(w, h, frames int) album { return album{info: image.Info{Width: w, Height: h, Frames: frames}} }
	for name, c := range map[string]struct {
		file   []byte
		images imageDecoder
		limits Limits
		want   string
	}{
		"too large":           {jpegFile(t), nil, Limits{MaxBytes: 100}, "too_large"},
		"empty":               {nil, nil, Limits{}, "empty"},
		"archive":             {zipFile(t, "a"), nil, Limits{}, "unsupported_archive"},
		"not here":            {gifFile(t), nil, Limits{Kinds: []core.Kind{core.KindPDF}}, "kind_not_allowed"},
		"password":            {pdftest.Encrypted("a", "b", letter), nil, Limits{}, "encrypted_pdf"},
		"damaged pdf":         {pdftest.Text(letter)[:200], nil, Limits{}, "damaged_pdf"},
		"too many pages":      {pdftest.Text("1", "2", "3"), nil, Limits{MaxPages: 2}, "too_many_pages"},
		"too many pixels":     {jpegFile(t), size(10_000, 5_001, 1), Limits{}, "image_too_large"},
		"fewer pixels here":   {jpegFile(t), size(2000, 1000, 1), Limits{MaxPixels: 1_000_000}, "image_too_large"},
		"too many frames":     {tiff, size(100, 100, 201), Limits{}, "too_many_pages"},
		"too much altogether": {tiff, size(7000, 7000, 7), Limits{}, "too_many_pages"},
		"damaged image":       {jpegFile(t), album{err: &core.Refusal{Code: "damaged_image"}}, Limits{}, "damaged_image"},
		"truly damaged":       {[]byte("\xff\xd8\xff\xe0 and no more"), nil, Limits{}, "damaged_image"},
	} {
		got, err := examiner(c.images, &reads{}).Examine(t.Context(), c.file, c.limits, true)
		if refusalCode(err) != c.want || !reflect.DeepEqual(got, core.Evidence{}) {
			t.Errorf("%s: %+v, %v; want the refusal %q", name, got, err, c.want)
		}
	}
}

func TestSEC64_BombIsRefusedAndNobodyNotices(t *testing.T) {
	var z bytes.Buffer
	deflate := zlib.NewWriter(&z)
	for range 200 {
		if _, err := deflate.Write(bytes.Repeat([]byte("q "), 1<<19)); err != nil {
			t.Fatal(err)
		}
	}
	if err := deflate.Close(); err != nil {
		t.Fatal(err)
	}
	w := new(pdftest.Writer)
	content := w.Stream("/Filter /FlateDecode", z.Bytes())
	bomb := w.Bytes(w.Catalog("", fmt.Sprintf("/MediaBox [0 0 595 842] /Contents %d 0 R", content)))

	e := examiner(nil, &reads{})
	done := make(chan error)
	begin := time.Now()
	go func() {
		_, err := e.Examine(context.Background(), bomb, Limits{}, true)
		done <- err
	}()
	for range 10 {
		if ev, err := e.Examine(t.Context(), pdftest.Text(letter), Limits{}, true); err != nil || ev.AllText() != letter {
			t.Errorf("beside a bomb: %q, %v", ev.AllText(), err)
		}
	}
	if err := <-done; refusalCode(err) != "complex_pdf" {
		t.Errorf("the bomb: %v, want the refusal complex_pdf", err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the bomb took %v, want at most 5 s", took)
	}
}

// A page that nobody can finish is given up; the document is kept, and said to be
// unread.
func TestEndlessPageIsGivenUp(t *testing.T) {
	w := new(pdftest.Writer)
	form := w.Stream("/Type /XObject /Subtype /Form /BBox [0 0 9 9]", []byte("0 0 1 1 re f"))
	for range 20 {
		form = w.Stream(fmt.Sprintf("/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /F %d 0 R >> >>", form),
			[]byte(strings.Repeat("/F Do ", 10)))
	}
	endless := fmt.Sprintf("/MediaBox [0 0 595 842] /Contents %d 0 R /Resources << /XObject << /F %d 0 R >> >>", w.Stream("", []byte("/F Do")), form)
	file := w.Bytes(w.Catalog("", w.TextPage(letter), endless, w.TextPage(letter)))

	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	e := examiner(nil, &reads{})
	e.pdf = pdf.New(pdf.Config{CacheDir: filepath.Join(cache, "vaguemestre-test"), PageTime: 500 * time.Millisecond}, slog.New(slog.DiscardHandler))
	defer e.Close()
	got, err := e.Examine(t.Context(), file, Limits{}, true)
	want := core.Evidence{Kind: core.KindPDF, Pages: 3, Skipped: []string{SkippedPageTime},
		Text: []core.PageText{{Page: 1, Source: core.SourceLayer, Text: letter}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
}

func TestAccidentsAreNotRefusals(t *testing.T) {
	broken := errors.New("no tesseract")
	page := pdftest.Scan(scan(300, 400))
	_, err := examiner(nil, &reads{err: broken}).Examine(t.Context(), page, Limits{}, true)
	if !errors.Is(err, broken) || refusalCode(err) != "" {
		t.Errorf("the reader fails: %v", err)
	}
	e := examiner(album{info: image.Info{Width: 300, Height: 300, Frames: 1}, err: broken}, nil)
	if _, err := e.Examine(t.Context(), jpegFile(t), Limits{}, true); !errors.Is(err, broken) || refusalCode(err) != "" {
		t.Errorf("the decoder fails: %v", err)
	}
	slow := fmt.Errorf("read page: %w", confine.ErrTime)
	got, err := examiner(nil, &reads{err: slow}).Examine(t.Context(), page, Limits{}, true)
	if err != nil || !reflect.DeepEqual(got.Skipped, []string{SkippedOCRTime}) {
		t.Errorf("the reader takes too long: %+v, %v; want the page skipped", got, err)
	}
	gone, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	<-gone.Done()
	if _, err := e.Examine(gone, pdftest.Text(letter), Limits{}, true); !errors.Is(err, context.DeadlineExceeded) || refusalCode(err) != "" {
		t.Errorf("out of time: %v", err)
	}
}

// The same page by every way it may come: as text, scanned, photographed.
func TestPageIsReadForReal(t *testing.T) {
	doc, err := base.pdf.Open(t.Context(), pdftest.Text(letter))
	if err != nil {
		t.Fatal(err)
	}
	defer doc.Close()
	page, _, err := doc.Draw(t.Context(), 1, 200)
	if err != nil {
		t.Fatal(err)
	}
	colour := stdimage.NewRGBA(page.Rect) // as cameras write it
	draw.Draw(colour, page.Rect, page, stdimage.Point{}, draw.Src)
	photo := encoded(t, func(w io.Writer) error { return jpeg.Encode(w, colour, nil) })
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "photo.jpg"), photo, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "heif-enc", "-o", filepath.Join(dir, "photo.heic"), filepath.Join(dir, "photo.jpg")).CombinedOutput(); err != nil {
		t.Fatalf("heif-enc: %v: %s", err, out)
	}
	heic, err := os.ReadFile(filepath.Join(dir, "photo.heic"))
	if err != nil {
		t.Fatal(err)
	}
	if err := base.Ready(); err != nil {
		t.Errorf("ready, once a page was drawn: %v", err)
	}
	for name, c := range map[string]struct {
		file   []byte
		kind   core.Kind
		source string
	}{
		"text":  {pdftest.Text(letter), core.KindPDF, core.SourceLayer},
		"scan":  {pdftest.Scan(page), core.KindPDF, core.SourceOCR},
		"photo": {photo, core.KindJPEG, core.SourceOCR},
		"heic":  {heic, core.KindHEIC, core.SourceOCR},
	} {
		got, err := examiner(nil, nil).Examine(t.Context(), c.file, Limits{}, true)
		if err != nil || got.Kind != c.kind || got.Pages != 1 || len(got.Text) != 1 || got.Text[0].Source != c.source {
			t.Errorf("%s: %+v, %v", name, got, err)
			continue
		}
		if text := got.Text[0].Text; !strings.Contains(text, "Attestation de domicile de Camille Durand") || !strings.Contains(text, "3 août 2026") {
			t.Errorf("%s: read as %q", name, text)
		}
	}
}
