package image

import "encoding/binary"

// Bounds of a walk through a stranger's HEIC file.
const (
	maxBoxes        = 4096
	maxAssociations = 4096
)

// heicSize tells the upright size of a HEIC file's primary picture from its properties
// (ISO/IEC 23008-12, 6.5): "ispe" is the coded size, "clap" cuts, "irot" turns by
// quarters. An EXIF orientation inside HEIC is a remark and must not be applied
// (ibid., annex A); the decoder applies these three itself.
func heicSize(file []byte) (width, height int, ok bool) {
	meta, ok := findBox(file, "meta")
	if !ok || len(meta) < 4 {
		return 0, 0, false
	}
	meta = meta[4:] // version and flags
	item, ok := primaryItem(meta)
	if !ok {
		return 0, 0, false
	}
	iprp, ok := findBox(meta, "iprp")
	if !ok {
		return 0, 0, false
	}
	ipco, ok := findBox(iprp, "ipco")
	if !ok {
		return 0, 0, false
	}
	properties := boxes(ipco)
	var size, cut, turned bool
	for _, n := range associations(iprp, item) {
		if n < 1 || n > len(properties) {
			continue // 0 is "no property"
		}
		switch p := properties[n-1]; p.kind {
		case "ispe":
			if len(p.body) >= 12 && !size {
				width, height = int(binary.BigEndian.Uint32(p.body[4:])), int(binary.BigEndian.Uint32(p.body[8:]))
				size = true
			}
		case "clap":
			if w, h, ok := aperture(p.body); ok && !cut && w <= width && h <= height {
				width, height, cut = w, h, true
			}
		case "irot":
			if len(p.body) >= 1 && p.body[0]&1 == 1 && !turned {
				width, height, turned = height, width, true
			}
		}
	}
	return width, height, size && width > 0 && height > 0 && width < 1<<31 && height < 1<<31
}

// aperture reads a "clap" property: width and height are fractions.
func aperture(b []byte) (width, height int, ok bool) {
	if len(b) < 16 {
		return 0, 0, false
	}
	n := func(i int) int { return int(binary.BigEndian.Uint32(b[4*i:])) }
	if n(1) == 0 || n(3) == 0 {
		return 0, 0, false
	}
	width, height = n(0)/n(1), n(2)/n(3)
	return width, height, width > 0 && height > 0
}

// primaryItem is the number of the picture to show ("pitm").
func primaryItem(meta []byte) (uint32, bool) {
	b, ok := findBox(meta, "pitm")
	switch {
	case !ok || len(b) < 6:
		return 0, false
	case b[0] == 0:
		return uint32(binary.BigEndian.Uint16(b[4:])), true
	case len(b) < 8:
		return 0, false
	}
	return binary.BigEndian.Uint32(b[4:]), true
}

// associations lists the properties of an item, counted from 1, in their order: it is
// the order in which they apply ("ipma").
func associations(iprp []byte, item uint32) []int {
	var all []int
	for _, box := range boxes(iprp) {
		b := box.body
		if box.kind != "ipma" || len(b) < 8 {
			continue
		}
		wideItems, wideNumbers := b[0] > 0, b[3]&1 == 1
		n := binary.BigEndian.Uint32(b[4:])
		b = b[8:]
		for range min(n, maxAssociations) {
			id, rest, ok := take(b, wideItems, 4, 2)
			if !ok || len(rest) < 1 {
				return all
			}
			count := int(rest[0])
			b = rest[1:]
			for range count {
				p, rest, ok := take(b, wideNumbers, 2, 1)
				if !ok {
					return all
				}
				b = rest
				if wideNumbers {
					p &= 0x7fff // the first bit is "essential"
				} else {
					p &= 0x7f
				}
				if id == item {
					all = append(all, int(p))
				}
			}
		}
	}
	return all
}

// take reads a big-endian number of wide bytes if isWide, else of narrow ones.
func take(b []byte, isWide bool, wide, narrow int) (n uint32, rest []byte, ok bool) {
	size := narrow
	if isWide {
		size = wide
	}
	if len(b) < size {
		return 0, nil, false
	}
	for _, c := range b[:size] {
		n = n<<8 | uint32(c)
	}
	return n, b[size:], true
}

// box is one ISO base media file format box (ISO/IEC 14496-12, 4.2).
type box struct {
	kind string
	body []byte
}

// boxes splits b, up to the first box that makes no sense.
func boxes(b []byte) []box {
	var all []box
	for len(b) >= 8 && len(all) < maxBoxes {
		size, head := uint64(binary.BigEndian.Uint32(b)), uint64(8)
		switch size {
		case 0: // up to the end
			size = uint64(len(b))
		case 1: // a 64-bit size follows
			if len(b) < 16 {
				return all
			}
			size, head = binary.BigEndian.Uint64(b[8:]), 16
		}
		if size < head || size > uint64(len(b)) {
			return all
		}
		all = append(all, box{string(b[4:8]), b[head:size]})
		b = b[size:]
	}
	return all
}

// findBox is the body of the first box of a kind.
func findBox(b []byte, kind string) ([]byte, bool) {
	for _, x := range boxes(b) {
		if x.kind == kind {
			return x.body, true
		}
	}
	return nil, false
}
