// Package compoundtest writes compound files (MS-CFB) for the tests of what reads them.
package compoundtest

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
	"unicode/utf16"
)

// Node is a storage, or a stream if it has content.
type Node struct {
	Name     string
	Content  []byte
	Children []*Node
}

// Stream is a stream with that content.
func Stream(name, content string) *Node { return &Node{Name: name, Content: []byte(content)} }

// Storage is a storage that holds those nodes.
func Storage(name string, children ...*Node) *Node { return &Node{Name: name, Children: children} }

// Builder writes one compound file.
type Builder struct {
	Shift     uint // of the sector size: 9 or 12
	Scattered bool // sectors of a stream stand in reverse

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

// File gives the compound file whose root storage holds those nodes.
func (b *Builder) File(nodes ...*Node) []byte {
	b.sectors, b.fat, b.mini, b.miniFAT, b.entries = nil, nil, nil, nil, make([]byte, 128)
	child := b.siblings(nodes)
	miniStart := b.place(b.mini)
	b.entry(0, "Root Entry", 5, child, miniStart, uint64(len(b.mini)))
	directory := b.place(b.entries)
	miniFAT := b.place(words(b.miniFAT))
	perSector := 1 << b.Shift / 4
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
	head := LE([]byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), make([]byte, 16), uint16(0x3e), uint16(b.Shift/3), uint16(0xfffe), uint16(b.Shift), uint16(6), make([]byte, 6),
		uint32(0), uint32(fats), directory, uint32(0), uint32(4096), miniFAT, uint32((len(b.miniFAT)*4+1<<b.Shift-1)>>b.Shift), difStart, uint32(difs),
		inHeader, slices.Repeat([]uint32{freeSector}, 109-len(inHeader)))
	out := append(head, make([]byte, 1<<b.Shift-len(head))...)
	for _, s := range b.sectors {
		out = append(out, s...)
	}
	return out
}

// siblings writes the entries of the nodes of one storage as a balanced tree and gives
// its root.
func (b *Builder) siblings(nodes []*Node) uint32 {
	slices.SortFunc(nodes, func(x, y *Node) int {
		return cmp.Or(cmp.Compare(len(x.Name), len(y.Name)), strings.Compare(strings.ToUpper(x.Name), strings.ToUpper(y.Name)))
	})
	if len(nodes) == 0 {
		return freeSector
	}
	middle := len(nodes) / 2
	n, i := nodes[middle], uint32(len(b.entries)/128)
	b.entries = append(b.entries, make([]byte, 128)...)
	if n.Content == nil {
		b.entry(i, n.Name, 1, b.siblings(n.Children), 0, 0)
	} else if len(n.Content) < 4096 {
		b.entry(i, n.Name, 2, freeSector, b.placeMini(n.Content), uint64(len(n.Content)))
	} else {
		b.entry(i, n.Name, 2, freeSector, b.place(n.Content), uint64(len(n.Content)))
	}
	left, right := b.siblings(nodes[:middle]), b.siblings(nodes[middle+1:])
	binary.LittleEndian.PutUint32(b.entries[i*128+68:], left)
	binary.LittleEndian.PutUint32(b.entries[i*128+72:], right)
	return i
}

func (b *Builder) entry(i uint32, name string, kind byte, child, start uint32, size uint64) {
	units := utf16.Encode([]rune(name))
	e := LE(units, make([]byte, 64-2*len(units)), uint16(2*len(units)+2), kind, byte(1), uint32(freeSector), uint32(freeSector), child, make([]byte, 36), start, size)
	copy(b.entries[i*128:], e)
}

// split cuts content into sectors.
func (b *Builder) split(content []byte) [][]byte {
	var list [][]byte
	for piece := range slices.Chunk(content, 1<<b.Shift) {
		list = append(list, append(slices.Clone(piece), make([]byte, 1<<b.Shift-len(piece))...))
	}
	return list
}

// place writes content to sectors of its own and gives the first.
func (b *Builder) place(content []byte) uint32 {
	list, first := b.split(content), uint32(len(b.sectors))
	if len(list) == 0 {
		return endOfChain
	}
	if b.Scattered {
		slices.Reverse(list)
	}
	for i := range list {
		next := first + uint32(i) + 1
		if i == len(list)-1 {
			next = endOfChain
		}
		if b.Scattered {
			next = first + uint32(i) - 1
			if i == 0 {
				next = endOfChain
			}
		}
		b.fat = append(b.fat, next)
	}
	b.sectors = append(b.sectors, list...)
	if b.Scattered {
		return first + uint32(len(list)) - 1
	}
	return first
}

func (b *Builder) placeMini(content []byte) uint32 {
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

func words(list []uint32) []byte { return LE(list) }

// LE writes values one after another, little-endian.
func LE(values ...any) []byte {
	var b []byte
	for _, v := range values {
		var err error
		if b, err = binary.Append(b, binary.LittleEndian, v); err != nil {
			panic(err)
		}
	}
	return b
}

// Packaged is the storage of an OLE object that is a file put in as a whole.
func Packaged(name, content string) []*Node {
	path := "C:\\Users\\moi\\" + name + "\x00"
	body := LE(uint16(2), []byte(name+"\x00"+path), uint16(0), uint16(3), uint32(len(path)), []byte(path), uint32(len(content)), []byte(content))
	return []*Node{Stream("\x01CompObj", "x"), Stream("\x01Ole10Native", string(LE(uint32(len(body)), body)))}
}
