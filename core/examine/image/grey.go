package image

import (
	stdimage "image"
	"image/color"
)

// rows is a picture read row by row as grey, so that no full grey copy is needed to
// make a smaller one.
type rows struct {
	width, height int
	read          func(y int, dst []byte) // fills dst, width bytes
}

// greyRows reads any picture. A YCbCr picture's grey is its Y plane as it stands.
func greyRows(img stdimage.Image) rows {
	b := img.Bounds()
	r := rows{width: b.Dx(), height: b.Dy()}
	switch m := img.(type) {
	case *stdimage.Gray:
		r.read = func(y int, dst []byte) { copy(dst, m.Pix[y*m.Stride:]) }
	case *stdimage.YCbCr:
		r.read = func(y int, dst []byte) { copy(dst, m.Y[y*m.YStride:]) }
	case *stdimage.Gray16:
		r.read = func(y int, dst []byte) {
			row := m.Pix[y*m.Stride:]
			for x := range dst {
				dst[x] = row[2*x]
			}
		}
	case *stdimage.NYCbCrA:
		r.read = func(y int, dst []byte) {
			row, alpha := m.Y[y*m.YStride:], m.A[y*m.AStride:]
			for x := range dst {
				dst[x] = onWhite(uint32(row[x]), uint32(alpha[x]))
			}
		}
	case *stdimage.NRGBA:
		r.read = func(y int, dst []byte) {
			row := m.Pix[y*m.Stride:]
			for x := range dst {
				p := row[4*x : 4*x+4 : 4*x+4]
				dst[x] = onWhite(luma(uint32(p[0]), uint32(p[1]), uint32(p[2])), uint32(p[3]))
			}
		}
	case *stdimage.NRGBA64:
		r.read = func(y int, dst []byte) {
			row := m.Pix[y*m.Stride:]
			for x := range dst {
				p := row[8*x : 8*x+8 : 8*x+8]
				dst[x] = onWhite(luma(uint32(p[0]), uint32(p[2]), uint32(p[4])), uint32(p[6]))
			}
		}
	case *stdimage.RGBA:
		r.read = func(y int, dst []byte) {
			row := m.Pix[y*m.Stride:]
			for x := range dst {
				p := row[4*x : 4*x+4 : 4*x+4]
				dst[x] = byte(min(luma(uint32(p[0]), uint32(p[1]), uint32(p[2]))+255-uint32(p[3]), 255))
			}
		}
	case *stdimage.CMYK:
		r.read = func(y int, dst []byte) {
			row := m.Pix[y*m.Stride:]
			for x := range dst {
				p := row[4*x : 4*x+4 : 4*x+4]
				cr, cg, cb := color.CMYKToRGB(p[0], p[1], p[2], p[3])
				dst[x] = byte(luma(uint32(cr), uint32(cg), uint32(cb)))
			}
		}
	case *stdimage.Paletted:
		var grey [256]byte
		for i, c := range m.Palette {
			grey[i&0xff] = greyOf(c)
		}
		r.read = func(y int, dst []byte) {
			row := m.Pix[y*m.Stride:]
			for x := range dst {
				dst[x] = grey[row[x]]
			}
		}
	default:
		r.read = func(y int, dst []byte) {
			for x := range dst {
				dst[x] = greyOf(img.At(b.Min.X+x, b.Min.Y+y))
			}
		}
	}
	return r
}

// greyOf is the grey of a colour laid on white paper.
func greyOf(c color.Color) byte {
	r, g, b, a := c.RGBA()
	return byte(min((luma(r, g, b)+0xffff-a)>>8, 255))
}

// luma weighs the three channels as JFIF does (ITU-R BT.601).
func luma(r, g, b uint32) uint32 {
	return uint32((19595*uint64(r) + 38470*uint64(g) + 7471*uint64(b) + 1<<15) >> 16)
}

func onWhite(v, alpha uint32) byte {
	return byte((v*alpha + 255*(255-alpha) + 127) / 255)
}

// shrunk is the size of a picture no longer than maxSide; 0 leaves it as it is.
func shrunk(width, height, maxSide int) (int, int) {
	long := max(width, height)
	if maxSide <= 0 || long <= maxSide {
		return width, height
	}
	scale := func(n int) int { return max(1, int((int64(n)*int64(maxSide)+int64(long)/2)/int64(long))) }
	return scale(width), scale(height)
}

// Shrink returns src no longer than maxSide on its longer side, or src itself when it
// is short enough or maxSide is 0.
func Shrink(src *stdimage.Gray, maxSide int) *stdimage.Gray {
	if w, h := shrunk(src.Rect.Dx(), src.Rect.Dy(), maxSide); w == src.Rect.Dx() && h == src.Rect.Dy() {
		return src
	}
	return shrink(greyRows(src), maxSide)
}

// shrink averages over the area that each new pixel covers, which keeps thin strokes
// that picking pixels would lose.
func shrink(src rows, maxSide int) *stdimage.Gray {
	w, h := shrunk(src.width, src.height, maxSide)
	dst := stdimage.NewGray(stdimage.Rect(0, 0, w, h))
	if w == src.width && h == src.height {
		for y := range h {
			src.read(y, dst.Pix[y*dst.Stride:][:w])
		}
		return dst
	}
	across := shares(src.width, w)
	down := shares(src.height, h)
	line := make([]byte, src.width)
	narrow := make([]float32, w+1) // one more: the last pixel's second share, always 0
	sum := make([]float32, w+1)
	for y := range src.height {
		src.read(y, line)
		clear(narrow)
		for x, v := range line {
			s := &across[x]
			f := float32(v)
			narrow[s.to] += f * s.here
			narrow[s.to+1] += f * s.next
		}
		s := down[y]
		for x, v := range narrow {
			sum[x] += v * s.here
		}
		if y+1 < src.height && down[y+1].to == s.to {
			continue
		}
		row := dst.Pix[s.to*dst.Stride:][:w]
		for x := range row {
			row[x] = byte(sum[x] + 0.5)
		}
		for x, v := range narrow {
			sum[x] = v * s.next
		}
	}
	return dst
}

// share says how an old pixel is divided between a new one and the one after it.
type share struct {
	to         int
	here, next float32
}

// shares divides from old pixels among to new ones; the shares of each new pixel add
// up to 1. to must not be larger than from.
func shares(from, to int) []share {
	s := make([]share, from)
	for i := range s {
		start, end := int64(i)*int64(to), int64(i+1)*int64(to)
		cell := start / int64(from)
		border := (cell + 1) * int64(from)
		s[i].to = int(cell)
		s[i].here = float32(min(end, border)-start) / float32(from)
		if end > border {
			s[i].next = float32(end-border) / float32(from)
		}
	}
	return s
}

// Turn applies an EXIF orientation (CIPA DC-008, tag 0x0112): 3 turns by half, 6 a
// quarter clockwise, 8 a quarter back; 2, 4, 5 and 7 are mirrored. Anything else leaves
// the picture as it is.
func Turn(src *stdimage.Gray, orientation int) *stdimage.Gray {
	if orientation <= 1 || orientation > 8 {
		return src
	}
	w, h := src.Rect.Dx(), src.Rect.Dy()
	dw, dh := w, h
	if orientation >= 5 {
		dw, dh = h, w
	}
	dst := stdimage.NewGray(stdimage.Rect(0, 0, dw, dh))
	for y := range dh {
		row := dst.Pix[y*dst.Stride:][:dw]
		// The row comes from src, starting at index at, in steps of step.
		at, step := 0, 0
		switch orientation {
		case 2:
			at, step = y*src.Stride+w-1, -1
		case 3:
			at, step = (h-1-y)*src.Stride+w-1, -1
		case 4:
			at, step = (h-1-y)*src.Stride, 1
		case 5:
			at, step = y, src.Stride
		case 6:
			at, step = (h-1)*src.Stride+y, -src.Stride
		case 7:
			at, step = (h-1)*src.Stride+w-1-y, -src.Stride
		case 8:
			at, step = w-1-y, src.Stride
		}
		for x := range row {
			row[x] = src.Pix[at]
			at += step
		}
	}
	return dst
}
