// Package ocr owns the reading of pictures of pages: it evens out the light, has
// tesseract read the page in a confined process, and tries again where nothing comes
// out. The program that uses it must call confine.Main.
package ocr

import (
	"context"
	"errors"
	"fmt"
	stdimage "image"
	"os/exec"
	"time"

	"vaguemestre/core/examine/confine"
	"vaguemestre/core/examine/image"
)

// Config says how to read. Zero fields take the default.
type Config struct {
	Tesseract string        // path of the program; looked up in PATH when empty
	Languages string        // trained data to use, as tesseract takes them; default "fra"
	Timeout   time.Duration // of one attempt at a page; default 20 s. A page gets three times that.
	Memory    int64         // resident bytes of the process; default 512 MiB (SEC-62)
}

// Reader reads pages, two at once at most: others wait.
type Reader struct {
	cfg   Config
	turns chan struct{}
}

// atOnce bounds the tesseract processes of one Reader. Each fills a core.
const atOnce = 2

// New returns a Reader. A program that is not there shows when Read is called.
func New(cfg Config) *Reader {
	if cfg.Languages == "" {
		cfg.Languages = "fra"
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 20 * time.Second
	}
	return &Reader{cfg: cfg, turns: make(chan struct{}, atOnce)}
}

// Read returns the text of an upright page, lines separated by "\n" and paragraphs by
// an empty line, or "" when nothing legible was found. dpi is the resolution at which
// the page was scanned or drawn; 0, as for a photo, takes it for a whole A4 sheet.
//
// A page that yields next to nothing is read again as it is, without the light evened
// out, and then turned: sideways and upside-down pages come out upright. An attempt
// that takes too long counts as empty; the error is confine.ErrTime only when no
// attempt ended. Any error is an accident, worth another try.
func (r *Reader) Read(ctx context.Context, page *stdimage.Gray, dpi int) (string, error) {
	program := r.cfg.Tesseract
	if program == "" {
		var err error
		if program, err = exec.LookPath("tesseract"); err != nil {
			return "", fmt.Errorf("find tesseract: %w", err)
		}
	}
	select {
	case r.turns <- struct{}{}:
		defer func() { <-r.turns }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	whole, cancel := context.WithTimeoutCause(ctx, 3*r.cfg.Timeout, confine.ErrTime)
	defer cancel()
	t := tesseract{program: program, languages: r.cfg.Languages, timeout: r.cfg.Timeout, memory: r.cfg.Memory}
	t.page, t.dpi = fit(page, dpi)
	text, err := t.best(whole)
	if err != nil && ctx.Err() != nil {
		return "", ctx.Err()
	}
	return text, err
}

// best tries one setting after the other until one is good, and returns what was best.
func (t tesseract) best(ctx context.Context) (string, error) {
	flat := flatten(t.page)
	if blank(flat) {
		return "", nil
	}
	best, err := t.read(ctx, flat)
	ended := err == nil
	for _, try := range others(best) {
		if best.good() || ctx.Err() != nil || err != nil && !errors.Is(err, confine.ErrTime) {
			break
		}
		next := t.page
		if try != asItIs {
			next = image.Turn(flat, try)
		}
		var got reading
		got, err = t.read(ctx, next)
		ended = ended || err == nil
		if got.legible > best.legible {
			best = got
		}
	}
	switch {
	case !ended, err != nil && !errors.Is(err, confine.ErrTime):
		return "", err
	case best.legible < some:
		return "", nil
	}
	return best.text, nil
}

// Second tries: not flattened, or turned (EXIF orientations).
const (
	asItIs  = 0
	half    = 3
	quarter = 6
	back    = 8
)

// others lists what else to try after a first reading, the likeliest first. Tesseract
// finds lines that run sideways by itself but cannot tell up from down: much text of
// which little makes sense is upside-down.
func others(first reading) []int {
	if first.all >= 3*enough {
		return []int{half, asItIs, quarter, back}
	}
	return []int{asItIs, half, quarter, back}
}
