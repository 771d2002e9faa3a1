// Package examine owns what a stranger's bytes become: Evidence. It decides the true
// kind of a file, holds it against the limits, and reads its text, in confined
// parsers only. A file that cannot be accepted is a *core.Refusal; any other error is
// an accident, and the same file may pass later.
package examine

import (
	"context"
	"errors"
	"fmt"
	stdimage "image"
	"log/slog"
	"slices"
	"unicode"

	"vaguemestre/core"
	"vaguemestre/core/examine/confine"
	"vaguemestre/core/examine/image"
	"vaguemestre/core/examine/ocr"
	"vaguemestre/core/examine/pdf"
)

// What is noticed (Evidence.Flags).
const (
	FlagOwnerPassword = "owner_password" // the PDF opens, its owner reserved rights
	FlagJavaScript    = "javascript"
	FlagLaunch        = "launch_action"
	FlagEmbeddedFiles = "embedded_files"
	FlagXFA           = "xfa" // a form drawn by a program: what is read may be only a notice
)

// What is not done (Evidence.Skipped).
const (
	SkippedNoConsent   = "no_reading_consent" // no legal basis for reading (SEC-102)
	SkippedOCREmpty    = "ocr_empty"          // a page was looked at, and nothing found
	SkippedOCRPages    = "ocr_page_limit"     // more pages without text than are looked at
	SkippedTextPages   = "text_page_limit"    // more pages than are read
	SkippedPageDamaged = "page_damaged"
	SkippedPageTime    = "page_timeout" // a page took too long; it and the later ones are not read
	SkippedOCRTime     = "ocr_timeout"  // a page was looked at too long, and given up
	SkippedSmall       = "too_small_to_read"
)

const (
	textPages = 20 // of a document, read at most
	ocrPages  = 3  // of a document, looked at at most
	// ocrDPI suffices: 150 dpi found every field that 300 dpi found, in half the time.
	ocrDPI = 150
	// photoSide is the long side of a photo as it is looked at: an A4 page at 200 dpi.
	// Package ocr reads nothing larger.
	photoSide = 2340
	// fewLetters: a page with less of a text layer is looked at too. It may be a scan
	// that bears a stamp, or the name of the app that made it.
	fewLetters = 40
	// documentPixels bounds the pages of one file together (SEC-64).
	documentPixels = 300_000_000
)

// Limits say what a file may be. The fields of a zero Limits take those of DefaultLimits.
type Limits struct {
	MaxBytes  int64
	MaxPages  int
	MaxPixels int64       // of an image, or of each page of one
	Kinds     []core.Kind // accepted; others are refused
}

// DefaultLimits accepts every kind that is read, up to 50 MB, 200 pages and 50
// million pixels (SEC-64).
func DefaultLimits() Limits {
	return Limits{
		MaxBytes:  50_000_000,
		MaxPages:  200,
		MaxPixels: 50_000_000,
		Kinds: []core.Kind{core.KindPDF, core.KindJPEG, core.KindPNG, core.KindHEIC,
			core.KindWebP, core.KindTIFF, core.KindGIF},
	}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	if l.MaxBytes <= 0 {
		l.MaxBytes = d.MaxBytes
	}
	if l.MaxPages <= 0 {
		l.MaxPages = d.MaxPages
	}
	if l.MaxPixels <= 0 {
		l.MaxPixels = d.MaxPixels
	}
	if len(l.Kinds) == 0 {
		l.Kinds = d.Kinds
	}
	return l
}

// imageDecoder turns a picture into gray pixels, upright, in a confined process.
type imageDecoder interface {
	Info(kind core.Kind, file []byte) (image.Info, error)
	Decode(ctx context.Context, kind core.Kind, file []byte, frame, maxSide int) (image.Page, error)
}

// textReader reads printed text off a picture; "" when it finds none. A dpi of 0 takes
// the picture for a whole A4 sheet.
type textReader interface {
	Read(ctx context.Context, page *stdimage.Gray, dpi int) (string, error)
}

// Config says what examining may cost. Zero fields take the value in brackets.
type Config struct {
	CacheDir    string // keeps the compiled PDF sandbox between runs; see pdf.Config [none]
	Concurrency int    // files examined at once [2]
	Memory      int64  // of one parser, in bytes [512 MiB]
	Tesseract   string // path of the program [looked up in PATH]
}

// Examiner examines files. It is safe for concurrent use.
type Examiner struct {
	pdf    *pdf.Sandbox
	images imageDecoder
	reader textReader
	slots  chan struct{} // one token a file under examination
}

// New returns at once, while the PDF sandbox compiles: see Ready.
func New(cfg Config, log *slog.Logger) *Examiner {
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = 2
	}
	return &Examiner{
		pdf:    pdf.New(pdf.Config{CacheDir: cfg.CacheDir, Documents: cfg.Concurrency, Memory: cfg.Memory}, log),
		images: image.New(image.Config{Memory: cfg.Memory}),
		reader: ocr.New(ocr.Config{Tesseract: cfg.Tesseract, Memory: cfg.Memory}),
		slots:  make(chan struct{}, cfg.Concurrency),
	}
}

// Ready says nil once files of every kind can be examined, and why not until then.
// Examine may be called before: it waits.
func (e *Examiner) Ready() error { return e.pdf.Ready() }

// Close ends what is under way and frees the sandbox.
func (e *Examiner) Close() error { return e.pdf.Close() }

// Examine finds out what file is and, when read is true, what it says. Without read,
// there being no legal basis for it, kind, limits and dimensions are all that is
// looked at. It may be repeated: the same file gives the same evidence.
func (e *Examiner) Examine(ctx context.Context, file []byte, limits Limits, read bool) (core.Evidence, error) {
	limits = limits.withDefaults()
	kind, err := admit(file, limits)
	if err != nil {
		return core.Evidence{}, err
	}
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
	case <-ctx.Done():
		return core.Evidence{}, fmt.Errorf("wait to examine: %w", ctx.Err())
	}
	r := reading{Evidence: core.Evidence{Kind: kind}, reader: e.reader}
	if kind == core.KindPDF {
		err = e.document(ctx, &r, file, limits, read)
	} else {
		err = e.picture(ctx, &r, file, limits, read)
	}
	if err != nil {
		return core.Evidence{}, fmt.Errorf("examine %s: %w", kind, err)
	}
	return r.Evidence, nil
}

// admit judges by the bytes alone, before any parser sees them.
func admit(file []byte, limits Limits) (core.Kind, error) {
	if int64(len(file)) > limits.MaxBytes {
		return "", TooLarge(limits.MaxBytes)
	}
	kind, refusal := kindOf(file)
	if refusal != nil {
		return "", refusal
	}
	if !slices.Contains(limits.Kinds, kind) {
		return "", refuseKind(kind, limits.Kinds)
	}
	return kind, nil
}

func (e *Examiner) document(ctx context.Context, r *reading, file []byte, limits Limits, read bool) error {
	doc, err := e.pdf.Open(ctx, file)
	if err != nil {
		return refusePDF(err)
	}
	defer doc.Close()
	r.Pages, r.Flags = doc.Pages(), flags(doc.Traits())
	if r.Pages > limits.MaxPages {
		return refusePages(r.Pages, limits.MaxPages)
	}
	if !read {
		r.skip(SkippedNoConsent)
		return nil
	}
	if r.Pages > textPages {
		r.skip(SkippedTextPages)
	}
	for page := 1; page <= min(r.Pages, textPages); page++ {
		err := r.page(ctx, doc, page)
		switch {
		case err == nil:
		case errors.Is(err, pdf.ErrTooLong):
			r.skip(SkippedPageTime)
			return nil
		case errors.Is(err, pdf.ErrDamaged):
			r.skip(SkippedPageDamaged)
		default:
			return refusePDF(err)
		}
	}
	return nil
}

// refusePDF tells the file's fault from ours.
func refusePDF(err error) error {
	switch {
	case errors.Is(err, pdf.ErrPassword):
		return refusePassword
	case errors.Is(err, pdf.ErrDamaged):
		return refuseDamagedPDF
	case errors.Is(err, pdf.ErrTooComplex):
		return refuseComplexPDF
	}
	return err
}

func flags(t pdf.Traits) []string {
	var flags []string
	for _, f := range []struct {
		set  bool
		name string
	}{
		{t.OwnerPassword, FlagOwnerPassword},
		{t.JavaScript, FlagJavaScript},
		{t.Launch, FlagLaunch},
		{t.EmbeddedFiles, FlagEmbeddedFiles},
		{t.XFA, FlagXFA},
	} {
		if f.set {
			flags = append(flags, f.name)
		}
	}
	return flags
}

func (e *Examiner) picture(ctx context.Context, r *reading, file []byte, limits Limits, read bool) error {
	info, err := e.images.Info(r.Kind, file)
	if err != nil {
		return fmt.Errorf("measure: %w", err)
	}
	r.Width, r.Height, r.Pages = info.Width, info.Height, 1
	if r.Kind == core.KindTIFF { // the frames of the others are one page that moves
		r.Pages = max(1, info.Frames)
	}
	area := int64(info.Width) * int64(info.Height)
	if area > limits.MaxPixels {
		return refusePixels(info.Width, info.Height, limits.MaxPixels)
	}
	if most := min(int64(limits.MaxPages), documentPixels/max(1, area)); int64(r.Pages) > most {
		return refusePages(r.Pages, int(most))
	}
	if !read {
		r.skip(SkippedNoConsent)
		return nil
	}
	if max(info.Width, info.Height) < 200 { // an icon
		r.skip(SkippedSmall)
		return nil
	}
	if r.Pages > ocrPages {
		r.skip(SkippedOCRPages)
	}
	for frame := range min(r.Pages, ocrPages) {
		page, err := e.images.Decode(ctx, r.Kind, file, frame, photoSide)
		if err != nil {
			return fmt.Errorf("decode: %w", err)
		}
		if err := r.look(ctx, page.Gray, 0, frame+1, ""); err != nil {
			return err
		}
	}
	return nil
}

// reading is evidence in the making.
type reading struct {
	core.Evidence
	reader textReader
	looked int // pages given to the reader
}

func (r *reading) skip(why string) {
	if !slices.Contains(r.Skipped, why) {
		r.Skipped = append(r.Skipped, why)
	}
}

func (r *reading) add(page int, source, text string) {
	if text != "" {
		r.Text = append(r.Text, core.PageText{Page: page, Source: source, Text: text})
	}
}

// page takes the text layer of a page of doc, or looks at the page when that says
// too little.
func (r *reading) page(ctx context.Context, doc *pdf.Document, page int) error {
	layer, err := doc.Text(ctx, page)
	if err != nil {
		return err
	}
	switch {
	case letters(layer) >= fewLetters:
		r.add(page, core.SourceLayer, layer)
		return nil
	case r.looked >= ocrPages:
		r.skip(SkippedOCRPages)
		r.add(page, core.SourceLayer, layer)
		return nil
	}
	img, dpi, err := doc.Draw(ctx, page, ocrDPI)
	if err != nil {
		r.add(page, core.SourceLayer, layer)
		return err
	}
	return r.look(ctx, img, dpi, page, layer)
}

// look reads a page off its picture, and keeps the layer where that says more.
func (r *reading) look(ctx context.Context, img *stdimage.Gray, dpi, page int, layer string) error {
	r.looked++
	text, err := r.reader.Read(ctx, img, dpi)
	switch {
	case errors.Is(err, confine.ErrTime), errors.Is(err, confine.ErrMemory):
		r.skip(SkippedOCRTime) // it would be no better next time
	case err != nil:
		return fmt.Errorf("read page %d: %w", page, err)
	case letters(text) == 0:
		r.skip(SkippedOCREmpty)
	}
	if letters(layer) >= letters(text) {
		r.add(page, core.SourceLayer, layer)
	} else {
		r.add(page, core.SourceOCR, text)
	}
	return nil
}

func letters(s string) int {
	n := 0
	for _, r := range s {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			n++
		}
	}
	return n
}
