package ocr

import (
	"bytes"
	"context"
	"fmt"
	stdimage "image"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"vaguemestre/core/examine/confine"
)

// How many letters and digits, of words that tesseract is fairly sure of, make a page.
const (
	sure   = 60 // of 100
	enough = 20 // below, the page is worth another try
	some   = 3  // below, nothing was read but specks
)

// tesseract reads one page.
type tesseract struct {
	program   string
	languages string
	timeout   time.Duration
	memory    int64
	page      *stdimage.Gray
	dpi       int
}

// reading is what one attempt gave.
type reading struct {
	text    string
	all     int // letters and digits
	legible int // those of the words that are sure
}

// good reports whether nothing better is to be expected. An upside-down page yields as
// many letters as an upright one, but sure are 10 to 20 % of them instead of nearly all.
func (r reading) good() bool { return r.legible >= enough && 2*r.legible >= r.all }

// read has one picture read. OMP_THREAD_LIMIT matters: with two threads on two cores
// the same page takes four times as long.
func (t tesseract) read(ctx context.Context, g *stdimage.Gray) (reading, error) {
	out, err := confine.Run(ctx, confine.Task{
		Program: t.program,
		Args:    []string{"stdin", "stdout", "-l", t.languages, "--psm", "3", "--dpi", strconv.Itoa(t.dpi), "tsv"},
		Env:     []string{"OMP_THREAD_LIMIT=1", "LC_ALL=C"},
		Input:   pgm(g),
		Limits:  confine.Limits{Wall: t.timeout, Memory: t.memory, Output: 16 << 20},
	})
	if err != nil {
		return reading{}, fmt.Errorf("run tesseract: %w", err)
	}
	return parse(out), nil
}

// pgm is the picture as a portable graymap, the cheapest file there is.
func pgm(g *stdimage.Gray) io.Reader {
	w, h := g.Rect.Dx(), g.Rect.Dy()
	head := strings.NewReader(fmt.Sprintf("P5\n%d %d\n255\n", w, h))
	if g.Stride == w {
		return io.MultiReader(head, bytes.NewReader(g.Pix[:w*h]))
	}
	tight := make([]byte, 0, w*h)
	for y := range h {
		tight = append(tight, g.Pix[y*g.Stride:][:w]...)
	}
	return io.MultiReader(head, bytes.NewReader(tight))
}

// parse puts tesseract's table (twelve columns, the words at level 5) together again.
// The plain text output would say nothing of how sure it is.
func parse(tsv []byte) reading {
	var r reading
	var b strings.Builder
	var paragraph, line string // where the last word stood
	for row := range strings.Lines(strings.ToValidUTF8(string(tsv), "\uFFFD")) {
		c := strings.SplitN(strings.TrimRight(row, "\r\n"), "\t", 12)
		if len(c) < 12 || c[0] != "5" {
			continue
		}
		word := strings.TrimSpace(c[11])
		if word == "" {
			continue
		}
		inParagraph := strings.Join(c[1:4], ".")
		inLine := inParagraph + "." + c[4]
		switch {
		case b.Len() == 0:
		case inParagraph != paragraph:
			b.WriteString("\n\n")
		case inLine != line:
			b.WriteByte('\n')
		default:
			b.WriteByte(' ')
		}
		b.WriteString(word)
		paragraph, line = inParagraph, inLine
		r.all += letters(word)
		if confidence, err := strconv.ParseFloat(c[10], 64); err == nil && confidence >= sure {
			r.legible += letters(word)
		}
	}
	r.text = b.String()
	return r
}

// letters counts the letters and digits of a word; a single one is as likely a speck.
func letters(word string) int {
	n := 0
	for _, c := range word {
		if c != utf8.RuneError && (unicode.IsLetter(c) || unicode.IsDigit(c)) {
			n++
		}
	}
	if n < 2 {
		return 0
	}
	return n
}
