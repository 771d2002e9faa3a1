package ocr

import (
	stdimage "image"

	"vaguemestre/core/examine/image"
)

// The longer side of a page, in pixels. Larger pictures are read no better and slower
// than an A4 sheet at 175 dpi; but one of 200 dpi stays as it is, for shrinking by a
// little only blurs. Under small, the letters of a whole page are too small to be told
// apart and are doubled.
const (
	largest = 2400
	reduced = 2048
	small   = 1200
	a4      = 11.69 // inches
)

// fit brings a page to the size at which it is read, and says at which resolution.
func fit(page *stdimage.Gray, dpi int) (*stdimage.Gray, int) {
	before := max(page.Rect.Dx(), page.Rect.Dy())
	switch {
	case before > largest:
		page = image.Shrink(page, reduced)
	case before < small && dpi < 100:
		page = double(page)
	}
	after := max(page.Rect.Dx(), page.Rect.Dy())
	if dpi <= 0 {
		dpi = int(float64(after) / a4)
	} else {
		dpi = dpi * after / max(before, 1)
	}
	return page, min(max(dpi, 70), 600) // what tesseract believes
}

// double makes a picture twice as large, evenly in between.
func double(src *stdimage.Gray) *stdimage.Gray {
	w, h := src.Rect.Dx(), src.Rect.Dy()
	dst := stdimage.NewGray(stdimage.Rect(0, 0, 2*w, 2*h))
	at := func(x, y int) int { return int(src.Pix[min(max(y, 0), h-1)*src.Stride+min(max(x, 0), w-1)]) }
	for y := range 2 * h {
		// The middle of a new pixel lies a quarter from that of the old one it is in.
		y0, y1 := y/2, y/2+2*(y&1)-1
		for x := range 2 * w {
			x0, x1 := x/2, x/2+2*(x&1)-1
			dst.Pix[y*dst.Stride+x] = byte((9*at(x0, y0) + 3*at(x1, y0) + 3*at(x0, y1) + at(x1, y1) + 8) / 16)
		}
	}
	return dst
}

// Flattening works on cells of this many pixels: more than a stroke is wide.
const (
	cell    = 8
	reach   = 3  // cells around one in which there is paper to be seen
	darkest = 32 // paper darker than this is no paper: dividing by it makes noise

	// What is darker than the one becomes black, what is lighter than the other white.
	// Of 1,980 words on photos and scans, 30 to 40 were misread with an upper bound of
	// 200 to 235, 80 to 90 with 180.
	clipFrom = 16
	clipTo   = 210
)

// flatten evens out the light: every pixel is divided by the paper's brightness around
// it, which is that of the brightest spots nearby, ink closed over. What is nearly as
// bright as the paper becomes white, and shadows, folds and noise with it.
func flatten(src *stdimage.Gray) *stdimage.Gray {
	w, h := src.Rect.Dx(), src.Rect.Dy()
	paper := brightest(src)
	paper.spread(reach, func(a, b byte) bool { return a > b })
	paper.spread(reach, func(a, b byte) bool { return a < b })
	paper.smooth(reach)

	var clip [256]byte
	for i := range clip {
		clip[i] = byte(min(max((i-clipFrom)*255/(clipTo-clipFrom), 0), 255))
	}
	dst := stdimage.NewGray(stdimage.Rect(0, 0, w, h))
	light := make([]int32, w)
	for y := range h {
		paper.row(y, light)
		in, out := src.Pix[y*src.Stride:][:w], dst.Pix[y*dst.Stride:][:w]
		for x, v := range in {
			out[x] = clip[min(int32(v)*255/max(light[x], darkest), 255)]
		}
	}
	return dst
}

// grid is a picture of cells.
type grid struct {
	w, h int
	pix  []byte
}

// brightest keeps the brightest pixel of each cell, leaving out the single brightest:
// on a noisy photo that one is an accident.
func brightest(src *stdimage.Gray) *grid {
	w, h := src.Rect.Dx(), src.Rect.Dy()
	g := &grid{w: (w + cell - 1) / cell, h: (h + cell - 1) / cell}
	g.pix = make([]byte, g.w*g.h)
	second := make([]byte, g.w)
	for cy := range g.h {
		row := g.pix[cy*g.w:][:g.w]
		clear(second)
		for y := cy * cell; y < min(cy*cell+cell, h); y++ {
			for x, v := range src.Pix[y*src.Stride:][:w] {
				if c := x / cell; v > row[c] {
					row[c], second[c] = v, row[c]
				} else if v > second[c] {
					second[c] = v
				}
			}
		}
		copy(row, second)
	}
	return g
}

// spread gives every cell the value, within r cells around it, that beats all others.
func (g *grid) spread(r int, beats func(a, b byte) bool) {
	g.pass(func(line, out []byte) {
		for i := range line {
			best := line[i]
			for _, v := range line[max(0, i-r):min(len(line), i+r+1)] {
				if beats(v, best) {
					best = v
				}
			}
			out[i] = best
		}
	})
}

// smooth averages over the cells around each.
func (g *grid) smooth(r int) {
	g.pass(func(line, out []byte) {
		for i := range line {
			near := line[max(0, i-r):min(len(line), i+r+1)]
			sum := 0
			for _, v := range near {
				sum += int(v)
			}
			out[i] = byte(sum / len(near))
		}
	})
}

// pass works on all rows, then on all columns.
func (g *grid) pass(work func(line, out []byte)) {
	out := make([]byte, max(g.w, g.h))
	for y := range g.h {
		row := g.pix[y*g.w:][:g.w]
		work(row, out[:g.w])
		copy(row, out)
	}
	column := make([]byte, g.h)
	for x := range g.w {
		for y := range column {
			column[y] = g.pix[y*g.w+x]
		}
		work(column, out[:g.h])
		for y := range column {
			g.pix[y*g.w+x] = out[y]
		}
	}
}

// row is the grid along one row of pixels, evenly in between the middles of cells.
func (g *grid) row(y int, dst []int32) {
	const half = cell / 2
	upper, lower, fy := between(y, g.h)
	for x := range dst {
		left, right, fx := between(x, g.w)
		top := int32(g.pix[upper*g.w+left])*(cell-fx) + int32(g.pix[upper*g.w+right])*fx
		bottom := int32(g.pix[lower*g.w+left])*(cell-fx) + int32(g.pix[lower*g.w+right])*fx
		dst[x] = (top*(cell-fy) + bottom*fy + half*cell) / (cell * cell)
	}
}

// between says which two of n cells a pixel is between, and how far it is from the first.
func between(i, n int) (a, b int, far int32) {
	shifted := max(i-cell/2, 0)
	a = min(shifted/cell, n-1)
	return a, min(a+1, n-1), int32(shifted % cell)
}

// blank reports whether a flattened page bears less ink than one line of small print.
func blank(flat *stdimage.Gray) bool {
	dark := 0
	for y := range flat.Rect.Dy() {
		for _, v := range flat.Pix[y*flat.Stride:][:flat.Rect.Dx()] {
			if v < 96 {
				dark++
			}
		}
	}
	return dark < 100
}
