package outlook_test

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
)

// node is a storage, or a stream if it has content.
type node struct {
	name     string
	content  []byte
	children []*node
}

func stream(name, content string) *node { return &node{name: name, content: []byte(content)} }

func storage(name string, children ...*node) *node { return &node{name: name, children: children} }

// builder writes a compound file (MS-CFB).
type builder struct {
	shift     uint // of the sector size: 9 or 12
	scattered bool // sectors of a stream stand in reverse

	sectors [][]byte
	fat     []uint32
	mini    []byte
	miniFAT []uint32
	entries []byte
}

const (
	freeSector = 0xffffffff
	endOfChain = 0xfffffffe
	fatSector  = 0xfffffffd
	difSector  = 0xfffffffc
)

// file gives the compound file whose root storage holds those nodes.
func (b *builder) file(nodes ...*node) []byte {
	b.sectors, b.fat, b.mini, b.miniFAT, b.entries = nil, nil, nil, nil, make([]byte, 128)
	child := b.siblings(nodes)
	miniStart := b.place(b.mini)
	b.entry(0, "Root Entry", 5, child, miniStart, uint64(len(b.mini)))
	directory := b.place(b.entries)
	miniFAT := b.place(words(b.miniFAT))
	perSector := 1 << b.shift / 4
	// The FAT counts its own sectors, and those that list them.
	var fats, difs int
	for need := 1; need > fats; need = (len(b.sectors) + fats + difs + perSector - 1) / perSector {
		fats = need
		difs = max(0, (fats-109+perSector-2)/(perSector-1))
	}
	first := uint32(len(b.sectors))
	for range fats {
		b.fat = append(b.fat, fatSector)
	}
	for range difs {
		b.fat = append(b.fat, difSector)
	}
	for len(b.fat) < fats*perSector {
		b.fat = append(b.fat, freeSector)
	}
	b.sectors = append(b.sectors, b.split(words(b.fat))...)
	list := make([]uint32, fats)
	for i := range list {
		list[i] = first + uint32(i)
	}
	inHeader := list[:min(fats, 109)]
	difStart := uint32(endOfChain)
	if difs > 0 {
		difStart = first + uint32(fats)
	}
	for rest, i := list[len(inHeader):], 0; i < difs; i++ {
		n := min(len(rest), perSector-1)
		part := append(slices.Clone(rest[:n]), slices.Repeat([]uint32{freeSector}, perSector-1-n)...)
		next := uint32(endOfChain)
		if i < difs-1 {
			next = difStart + uint32(i) + 1
		}
		b.sectors = append(b.sectors, words(append(part, next)))
		rest = rest[n:]
	}
	head := le([]byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), make([]byte, 16), uint16(0x3e), uint16(b.shift/3), uint16(0xfffe), uint16(b.shift), uint16(6), make([]byte, 6),
		uint32(0), uint32(fats), directory, uint32(0), uint32(4096), miniFAT, uint32((len(b.miniFAT)*4+1<<b.shift-1)>>b.shift), difStart, uint32(difs),
		inHeader, slices.Repeat([]uint32{freeSector}, 109-len(inHeader)))
	out := append(head, make([]byte, 1<<b.shift-len(head))...)
	for _, s := range b.sectors {
		out = append(out, s...)
	}
	return out
}

// siblings writes the entries of the nodes of one storage as a balanced tree and gives
// its root.
func (b *builder) siblings(nodes []*node) uint32 {
	slices.SortFunc(nodes, func(x, y *node) int {
		return cmp.Or(cmp.Compare(len(x.name), len(y.name)), strings.Compare(strings.ToUpper(x.name), strings.ToUpper(y.name)))
	})
	if len(nodes) == 0 {
		return freeSector
	}
	middle := len(nodes) / 2
	n, i := nodes[middle], uint32(len(b.entries)/128)
	b.entries = append(b.entries, make([]byte, 128)...)
	if n.content == nil {
		b.entry(i, n.name, 1, b.siblings(n.children), 0, 0)
	} else if len(n.content) < 4096 {
		b.entry(i, n.name, 2, freeSector, b.placeMini(n.content), uint64(len(n.content)))
	} else {
		b.entry(i, n.name, 2, freeSector, b.place(n.content), uint64(len(n.content)))
	}
	left, right := b.siblings(nodes[:middle]), b.siblings(nodes[middle+1:])
	binary.LittleEndian.PutUint32(b.entries[i*128+68:], left)
	binary.LittleEndian.PutUint32(b.entries[i*128+72:], right)
	return i
}

func (b *builder) entry(i uint32, name string, kind byte, child, start uint32, size uint64) {
	units := utf16.Encode([]rune(name))
	e := le(units, make([]byte, 64-2*len(units)), uint16(2*len(units)+2), kind, byte(1), uint32(freeSector), uint32(freeSector), child, make([]byte, 36), start, size)
	copy(b.entries[i*128:], e)
}

// split cuts content into sectors.
func (b *builder) split(content []byte) [][]byte {
	var list [][]byte
	for piece := range slices.Chunk(content, 1<<b.shift) {
		list = append(list, append(slices.Clone(piece), make([]byte, 1<<b.shift-len(piece))...))
	}
	return list
}

// place writes content to sectors of its own and gives the first.
func (b *builder) place(content []byte) uint32 {
	list, first := b.split(content), uint32(len(b.sectors))
	if len(list) == 0 {
		return endOfChain
	}
	if b.scattered {
		slices.Reverse(list)
	}
	for i := range list {
		next := first + uint32(i) + 1
		if i == len(list)-1 {
			next = endOfChain
		}
		if b.scattered {
			next = first + uint32(i) - 1
			if i == 0 {
				next = endOfChain
			}
		}
		b.fat = append(b.fat, next)
	}
	b.sectors = append(b.sectors, list...)
	if b.scattered {
		return first + uint32(len(list)) - 1
	}
	return first
}

func (b *builder) placeMini(content []byte) uint32 {
	if len(content) == 0 {
		return endOfChain
	}
	first := uint32(len(b.miniFAT))
	count := (len(content) + 63) / 64
	for i := range count {
		b.miniFAT = append(b.miniFAT, first+uint32(i)+1)
	}
	b.miniFAT[len(b.miniFAT)-1] = endOfChain
	b.mini = append(append(b.mini, content...), make([]byte, count*64-len(content))...)
	return first
}

func words(list []uint32) []byte { return le(list) }

// le writes values one after another, little-endian.
func le(values ...any) []byte {
	var b []byte
	for _, v := range values {
		var err error
		if b, err = binary.Append(b, binary.LittleEndian, v); err != nil {
			panic(err)
		}
	}
	return b
}

// property is one property of a message or an attachment.
type property struct {
	id, kind uint16
	fixed    uint64
	content  []byte
}

func long(id uint16, v uint32) property { return property{id: id, kind: 3, fixed: uint64(v)} }

func boolean(id uint16, v bool) property {
	p := property{id: id, kind: 0x0b}
	if v {
		p.fixed = 1
	}
	return p
}

func ansi(id uint16, s string) property { return property{id: id, kind: 0x1e, content: []byte(s)} }

func wide(id uint16, s string) property {
	return property{id: id, kind: 0x1f, content: le(utf16.Encode([]rune(s)))}
}

func data(s string) property { return property{id: 0x3701, kind: 0x0102, content: []byte(s)} }

// holding gives the nodes that hold properties, behind a header of the given size.
func holding(header int, properties ...property) []*node {
	list := make([]byte, header)
	var nodes []*node
	for _, p := range properties {
		value := p.fixed
		if p.content != nil {
			nodes = append(nodes, &node{name: fmt.Sprintf("__substg1.0_%04X%04X", p.id, p.kind), content: p.content})
			value = uint64(len(p.content))
		}
		list = append(list, le(p.kind, p.id, uint32(6), value)...)
	}
	return append(nodes, &node{name: "__properties_version1.0", content: list})
}

// attachment is the nth attachment of a message.
func attachment(n int, properties ...property) *node {
	return storage(fmt.Sprintf("__attach_version1.0_#%08X", n), holding(8, properties...)...)
}

// object is an attachment that is a storage: a message or an OLE object.
func object(n int, method uint32, children []*node) *node {
	a := attachment(n, long(0x3705, method), wide(0x3001, "Fwd: dossier"))
	a.children = append(a.children, storage("__substg1.0_3701000D", children...))
	return a
}

// message gives the nodes of a message.
func message(header int, properties []property, attachments ...*node) []*node {
	properties = append(properties, wide(0x0037, "Justificatif"), wide(0x1000, strings.Repeat("Bonjour. ", 600)))
	nodes := append(holding(header, properties...), attachments...)
	return append(nodes,
		storage("__nameid_version1.0", stream("__substg1.0_00020102", ""), stream("__substg1.0_00030102", "x")),
		storage("__recip_version1.0_#00000000", holding(8, wide(0x3001, "Mairie"))...))
}

func saved(attachments ...*node) []byte {
	return (&builder{shift: 9}).file(message(32, []property{wide(0x001a, "IPM.Note")}, attachments...)...)
}
