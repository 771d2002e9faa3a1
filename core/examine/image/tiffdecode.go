package image

import (
	"bytes"
	"fmt"
	stdimage "image"
	"image/jpeg"

	"golang.org/x/image/tiff"
)

// Compressions (TIFF 6.0; technical note 2 for 7).
const (
	compressionHuffman = 2
	compressionFax     = 3
	compressionOldJPEG = 6
	compressionJPEG    = 7
)

// decodeTIFF decodes one page. JPEG inside TIFF, which the library does not know, is
// what office scanners write: it is decoded here.
func decodeTIFF(file []byte, frame, maxPixels int) (stdimage.Image, error) {
	pages := tiffPages(file)
	if frame < 0 || frame >= len(pages) {
		return nil, errDamaged
	}
	p := pages[frame]
	if w, h := p.size(); !fits(w, h, maxPixels) {
		return nil, errDamaged
	}
	compression := p.number(tagCompression, 1)
	switch compression {
	case compressionOldJPEG:
		return nil, fmt.Errorf("%w: JPEG of the old kind", errUnsupported)
	case compressionJPEG:
		return p.decodeJPEG()
	}
	img, err := tiff.Decode(p.view())
	if err != nil && (compression == compressionHuffman || compression == compressionFax) {
		// The library reads few of the varieties that fax machines write.
		return nil, fmt.Errorf("%w: %w", errUnsupported, err)
	}
	return img, err
}

// blocks says how a page is cut up: into strips over its whole width, or into tiles.
type blocks struct {
	width, height   int
	offsets, counts []uint32
}

func (p tiffPage) blocks() (blocks, bool) {
	w, h := p.size()
	b := blocks{
		width:   w,
		height:  int(min(p.number(tagRowsPerStrip, uint32(h)), uint32(h))),
		offsets: p.numbers(tagStripOffsets), counts: p.numbers(tagStripByteCounts),
	}
	if tw, th := p.number(tagTileWidth, 0), p.number(tagTileHeight, 0); tw > 0 && th > 0 {
		const widest = 1 << 16 // what one JPEG picture can be
		if tw > widest || th > widest {
			return b, false
		}
		b = blocks{int(tw), int(th), p.numbers(tagTileOffsets), p.numbers(tagTileByteCounts)}
	}
	if b.width <= 0 || b.height <= 0 {
		return b, false
	}
	across, down := (w+b.width-1)/b.width, (h+b.height-1)/b.height
	return b, len(b.offsets) == across*down && len(b.counts) == across*down
}

// decodeJPEG puts a page together from blocks that are JPEG pictures each, sharing
// their tables (TIFF technical note 2).
func (p tiffPage) decodeJPEG() (stdimage.Image, error) {
	const chunky = 1
	b, ok := p.blocks()
	if !ok {
		return nil, errDamaged
	}
	if p.number(tagPlanar, chunky) != chunky {
		return nil, fmt.Errorf("%w: separate colour planes", errUnsupported)
	}
	tables, _ := p.raw(tagJPEGTables)
	w, h := p.size()
	page := stdimage.NewGray(stdimage.Rect(0, 0, w, h))
	across := (w + b.width - 1) / b.width
	for i := range b.offsets {
		from, to := int64(b.offsets[i]), int64(b.offsets[i])+int64(b.counts[i])
		if to > int64(len(p.file.data)) {
			return nil, errDamaged
		}
		img, err := p.decodeBlock(tables, p.file.data[from:to], b)
		if err != nil {
			return nil, err
		}
		paste(page, img, (i%across)*b.width, (i/across)*b.height)
	}
	return page, nil
}

// decodeBlock decodes one strip or tile, which may be filled up to whole JPEG blocks.
func (p tiffPage) decodeBlock(tables, stream []byte, b blocks) (rows, error) {
	const filling = 16
	if len(tables) > 4 && len(stream) > 2 {
		// Without the end mark of the one and the start mark of the other, they are one file.
		stream = append(bytes.Clone(tables[:len(tables)-2]), stream[2:]...)
	}
	c, err := jpeg.DecodeConfig(bytes.NewReader(stream))
	if err != nil {
		return rows{}, err
	}
	if c.Width > b.width+filling || c.Height > b.height+filling {
		return rows{}, errDamaged
	}
	img, err := jpeg.Decode(bytes.NewReader(stream))
	if err != nil {
		return rows{}, err
	}
	const rgb = 2
	if m, ok := img.(*stdimage.YCbCr); ok && p.number(tagPhotometric, 0) == rgb && m.SubsampleRatio == stdimage.YCbCrSubsampleRatio444 {
		return rgbRows(m), nil
	}
	return greyRows(img), nil
}

// rgbRows reads a picture whose three planes are red, green and blue, whatever the
// JPEG decoder took them for: in TIFF the directory says so, not the stream.
func rgbRows(m *stdimage.YCbCr) rows {
	return rows{width: m.Rect.Dx(), height: m.Rect.Dy(), read: func(y int, dst []byte) {
		r, g, b := m.Y[y*m.YStride:], m.Cb[y*m.CStride:], m.Cr[y*m.CStride:]
		for x := range dst {
			dst[x] = byte(luma(uint32(r[x]), uint32(g[x]), uint32(b[x])))
		}
	}}
}

// paste copies src onto page with its upper left corner at x, y, as far as it fits.
func paste(page *stdimage.Gray, src rows, x, y int) {
	line := make([]byte, src.width)
	for i := 0; i < src.height && y+i < page.Rect.Dy(); i++ {
		src.read(i, line)
		copy(page.Pix[(y+i)*page.Stride+x:(y+i)*page.Stride+page.Rect.Dx()], line)
	}
}
