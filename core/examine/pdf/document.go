package pdf

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"sync"
	"time"
)

const (
	// maxPages and maxText are past any document a town receives; a guest that says
	// more lies, or was made to.
	maxPages = 100_000
	maxText  = 1_000_000 // UTF-16 units of one page
	// maxSide is in points; PDF 1.7 allows 14,400, times a user unit.
	maxSide = 1_000_000
)

// Traits are what a document holds beside its pages. They are hints for a person:
// what hides in compressed objects may go unseen.
type Traits struct {
	OwnerPassword bool // it opens, with rights its owner reserved
	JavaScript    bool
	Launch        bool // an action that starts a program
	EmbeddedFiles bool
	XFA           bool // a form whose pages are made by a program, not drawn
}

// Document is one open PDF file. It is used by one goroutine at a time, and must
// be closed: until then it holds one of the sandbox's places.
type Document struct {
	s      *Sandbox
	g      guest
	pages  int
	traits Traits
	spent  time.Duration // in the guest, so far
	dead   error         // why the guest is of no more use
	free   sync.Once
}

// Open loads file into a fresh guest. It waits for a free place, and for the
// sandbox to be compiled, as long as ctx allows. ErrPassword, ErrDamaged and
// ErrTooComplex are the file's fault, any other error is not.
func (s *Sandbox) Open(ctx context.Context, file []byte) (*Document, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	g, err := s.take()
	if err != nil {
		<-s.slots
		return nil, err
	}
	d := &Document{s: s, g: g}
	if err := d.within(ctx, s.cfg.OpenTime, func() error { return d.load(file) }); err != nil {
		d.Close()
		return nil, fmt.Errorf("open pdf: %w", err)
	}
	return d, nil
}

func (s *Sandbox) enter(ctx context.Context) error {
	select {
	case <-s.compiled:
	case <-ctx.Done():
		return fmt.Errorf("wait for the pdf sandbox: %w", ctx.Err())
	}
	if s.err != nil {
		return s.err
	}
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("wait for a place in the pdf sandbox: %w", ctx.Err())
	case <-s.ctx.Done():
		return errClosed
	}
	if s.ctx.Err() != nil {
		<-s.slots
		return errClosed
	}
	return nil
}

func (d *Document) load(file []byte) error {
	if err := d.g.load(file); err != nil {
		return err
	}
	n, err := d.g.pageCount()
	if err != nil {
		return err
	}
	if n < 1 || n > maxPages {
		return ErrDamaged
	}
	t, seen := d.g.traits(), namesIn(file)
	d.pages = n
	d.traits = Traits{
		OwnerPassword: t.encrypted,
		JavaScript:    t.javaScript || seen["JavaScript"],
		Launch:        seen["Launch"],
		EmbeddedFiles: t.attachments || seen["EmbeddedFile"],
		XFA:           t.xfa,
	}
	return nil
}

// within runs call and stops the guest when limit, the document's own time or ctx
// is over. A guest that broke or was stopped answers nothing more: every later
// call returns the same error.
func (d *Document) within(ctx context.Context, limit time.Duration, call func() error) error {
	if d.dead != nil {
		return d.dead
	}
	limit = min(limit, d.s.cfg.DocumentTime-d.spent)
	timed, cancel := context.WithTimeoutCause(ctx, limit, ErrTooLong)
	defer cancel()
	unwatch := context.AfterFunc(timed, d.g.stop)
	begin := time.Now()
	err := call()
	d.spent += time.Since(begin)
	stopped := !unwatch()
	switch {
	case d.s.ctx.Err() != nil:
		d.dead = errClosed
	case stopped:
		d.dead = context.Cause(timed)
	case err != nil && !errors.Is(err, ErrPassword) && !errors.Is(err, ErrDamaged):
		d.dead = fmt.Errorf("%w: %w", ErrTooComplex, err)
	default:
		return err
	}
	return d.dead
}

// Close ends the guest and gives its place back. It may be called twice.
func (d *Document) Close() {
	d.free.Do(func() {
		d.g.end()
		if d.dead == nil {
			d.dead = errClosed
		}
		<-d.s.slots
	})
}

// Pages is the number of pages, at least 1.
func (d *Document) Pages() int { return d.pages }

// Traits are what was noticed on opening.
func (d *Document) Traits() Traits { return d.traits }

// Text returns the text layer of a page, counted from 1: lines separated by "\n",
// in the order in which the page writes them. It is "" when the page has none, or
// one that says nothing: glyphs without a letter. ErrDamaged concerns this page
// alone; after ErrTooComplex the document is of no more use.
func (d *Document) Text(ctx context.Context, page int) (string, error) {
	var text string
	err := d.within(ctx, d.s.cfg.PageTime, func() error {
		n, err := d.g.textLength(page - 1)
		if err != nil {
			return err
		}
		if n < 0 || n > maxText {
			return ErrDamaged
		}
		if n == 0 {
			return nil
		}
		text, err = d.g.text(page-1, n)
		if err == nil && len(text) > 3*n { // no UTF-16 unit takes more in UTF-8
			return ErrDamaged
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("text of page %d: %w", page, err)
	}
	if text = tidy(text); !legible(text) {
		return "", nil
	}
	return text, nil
}

// Draw renders a page, counted from 1, annotations included, and says at how many
// dots per inch: as asked, fewer for a page so large that it would pass the limit.
// Errors are those of Text.
func (d *Document) Draw(ctx context.Context, page, dpi int) (*image.Gray, int, error) {
	var drawn *image.Gray
	err := d.within(ctx, d.s.cfg.PageTime, func() error {
		width, height, err := d.g.pageSize(page - 1)
		if err != nil {
			return err
		}
		if !sane(width) || !sane(height) {
			return ErrDamaged
		}
		dpi = fit(width, height, dpi, d.s.cfg.PagePixels)
		if dpi == 0 {
			return ErrDamaged
		}
		w, h := pixels(width, dpi), pixels(height, dpi)
		pix, stride, err := d.g.draw(page-1, w, h)
		if err != nil {
			return err
		}
		drawn, err = copyOut(pix, stride, w, h)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("draw page %d: %w", page, err)
	}
	return drawn, dpi, nil
}

// sane is false for NaN and infinities too.
func sane(side float64) bool { return side > 0 && side <= maxSide }

func pixels(points float64, dpi int) int {
	return max(1, int(math.Ceil(points*float64(dpi)/72)))
}

// fit lowers dpi until the page has at most limit pixels; 0 when there is no such.
func fit(width, height float64, dpi int, limit int64) int {
	most := math.Sqrt(float64(limit) / (width * height) * 72 * 72)
	for dpi = min(dpi, int(most)); dpi > 0; dpi-- {
		if int64(pixels(width, dpi))*int64(pixels(height, dpi)) <= limit {
			break
		}
	}
	return max(dpi, 0)
}

// copyOut takes the picture out of the guest's memory, where it will not last.
func copyOut(pix []byte, stride, w, h int) (*image.Gray, error) {
	if stride < w || stride > len(pix) || stride*(h-1)+w > len(pix) {
		return nil, ErrDamaged
	}
	img := image.NewGray(image.Rect(0, 0, w, h))
	for y := range h {
		copy(img.Pix[y*img.Stride:][:w], pix[y*stride:])
	}
	return img, nil
}
