package image

import (
	"encoding/binary"
	"io"
)

// Bounds of a walk through a stranger's TIFF file.
const (
	maxDirectories = 2000 // ten times the pages of the longest document (SEC-64)
	maxEntries     = 512  // of one directory; a scanner writes about twenty
)

// TIFF tags (TIFF 6.0, section 8; supplement 2 for 347).
const (
	tagSubfile         = 254
	tagWidth           = 256
	tagHeight          = 257
	tagCompression     = 259
	tagPhotometric     = 262
	tagStripOffsets    = 273
	tagOrientation     = 274
	tagRowsPerStrip    = 278
	tagStripByteCounts = 279
	tagPlanar          = 284
	tagTileWidth       = 322
	tagTileHeight      = 323
	tagTileOffsets     = 324
	tagTileByteCounts  = 325
	tagJPEGTables      = 347
)

// tiffFile is a TIFF file, or the EXIF block of another picture.
type tiffFile struct {
	data  []byte
	order binary.ByteOrder
}

// openTIFF reads the file header and says where the first directory is.
func openTIFF(data []byte) (t tiffFile, first uint32, ok bool) {
	if len(data) < 8 {
		return t, 0, false
	}
	t.data = data
	switch string(data[:4]) {
	case "II*\x00":
		t.order = binary.LittleEndian
	case "MM\x00*":
		t.order = binary.BigEndian
	default:
		return t, 0, false
	}
	return t, t.order.Uint32(data[4:]), true
}

// directory is one IFD: what describes a page.
type directory struct {
	file    tiffFile
	entries map[uint16][]byte // the twelve bytes of each; the first of a tag counts
}

// directory reads the one at offset, and where the next one is; 0 when it is the last.
func (t tiffFile) directory(offset uint32) (d directory, next uint32, ok bool) {
	at := int64(offset)
	if at < 8 || at+2 > int64(len(t.data)) {
		return d, 0, false
	}
	n := int64(t.order.Uint16(t.data[at:]))
	at += 2
	if n == 0 || n > maxEntries || at+12*n > int64(len(t.data)) {
		return d, 0, false
	}
	d = directory{file: t, entries: make(map[uint16][]byte, n)}
	for range n {
		entry := t.data[at : at+12]
		if tag := t.order.Uint16(entry); d.entries[tag] == nil {
			d.entries[tag] = entry
		}
		at += 12
	}
	if at+4 <= int64(len(t.data)) { // writers of EXIF blocks leave it out at times
		next = t.order.Uint32(t.data[at:])
	}
	return d, next, true
}

// raw is the bytes of a tag's values, with the size of one; nil when it is absent, of
// a type without use here, or outside the file.
func (d directory) raw(tag uint16) (values []byte, size int64) {
	entry := d.entries[tag]
	if entry == nil {
		return nil, 0
	}
	o := d.file.order
	switch o.Uint16(entry[2:]) {
	case 1, 7: // BYTE, UNDEFINED
		size = 1
	case 3: // SHORT
		size = 2
	case 4: // LONG
		size = 4
	default:
		return nil, 0
	}
	length := int64(o.Uint32(entry[4:])) * size
	if length <= 4 {
		return entry[8 : 8+length], size
	}
	at := int64(o.Uint32(entry[8:]))
	if at+length > int64(len(d.file.data)) {
		return nil, 0
	}
	return d.file.data[at : at+length], size
}

// numbers are a tag's values.
func (d directory) numbers(tag uint16) []uint32 {
	b, size := d.raw(tag)
	if len(b) == 0 {
		return nil
	}
	n := make([]uint32, 0, int64(len(b))/size)
	for ; len(b) > 0; b = b[size:] {
		switch size {
		case 1:
			n = append(n, uint32(b[0]))
		case 2:
			n = append(n, uint32(d.file.order.Uint16(b)))
		default:
			n = append(n, d.file.order.Uint32(b))
		}
	}
	return n
}

// number is a tag's first value, or what it is when absent.
func (d directory) number(tag uint16, absent uint32) uint32 {
	b, size := d.raw(tag)
	switch {
	case len(b) == 0:
		return absent
	case size == 1:
		return uint32(b[0])
	case size == 2:
		return uint32(d.file.order.Uint16(b))
	}
	return d.file.order.Uint32(b)
}

func (d directory) orientation() int {
	if o := d.number(tagOrientation, 1); o >= 1 && o <= 8 {
		return int(o)
	}
	return 1
}

// size is the page's, as stored; 0, 0 when it has none that fits a signed 32-bit number.
func (d directory) size() (width, height int) {
	w, h := d.number(tagWidth, 0), d.number(tagHeight, 0)
	if w == 0 || h == 0 || w > 1<<31-1 || h > 1<<31-1 {
		return 0, 0
	}
	return int(w), int(h)
}

// tiffPage is a directory that holds a page, not a thumbnail or a mask.
type tiffPage struct {
	directory
	offset uint32
}

// tiffPages walks the chain of directories. It stops at the first one that makes no
// sense, that was seen before, or after maxDirectories: the pages until there count.
func tiffPages(file []byte) []tiffPage {
	t, next, ok := openTIFF(file)
	if !ok {
		return nil
	}
	var pages []tiffPage
	seen := make(map[uint32]bool)
	for next != 0 && !seen[next] && len(seen) < maxDirectories {
		seen[next] = true
		d, after, ok := t.directory(next)
		if !ok {
			break
		}
		const thumbnail, mask = 1, 4
		if w, _ := d.size(); w > 0 && d.number(tagSubfile, 0)&(thumbnail|mask) == 0 {
			pages = append(pages, tiffPage{d, next})
		}
		next = after
	}
	return pages
}

func tiffHeader(file []byte, frame int) (header, error) {
	pages := tiffPages(file)
	if frame < 0 || frame >= len(pages) {
		return header{}, damaged()
	}
	p := pages[frame]
	h := header{frames: len(pages), orientation: p.orientation()}
	h.width, h.height = p.size()
	if h.orientation >= 5 {
		h.width, h.height = h.height, h.width
	}
	return h, nil
}

// tiffView is a TIFF file whose header points at another directory than its first: the
// decoder of the x/image library reads no other.
type tiffView struct {
	data  []byte
	first [4]byte
}

func (p tiffPage) view() *tiffView {
	v := &tiffView{data: p.file.data}
	p.file.order.PutUint32(v.first[:], p.offset)
	return v
}

// ReadAt implements io.ReaderAt, which is all that the decoder uses of a reader.
func (v *tiffView) ReadAt(b []byte, at int64) (int, error) {
	if at < 0 || at >= int64(len(v.data)) {
		return 0, io.EOF
	}
	n := copy(b, v.data[at:])
	for i := range v.first {
		if j := 4 + int64(i) - at; j >= 0 && j < int64(n) {
			b[j] = v.first[i]
		}
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// Read implements io.Reader for the decoder's signature; it reads nothing.
func (v *tiffView) Read([]byte) (int, error) { return 0, io.EOF }
