// Package compound owns the reading of compound files (MS-CFB), the small file systems
// in which Outlook keeps a message and an OLE object its content.
package compound

import (
	"bytes"
	"encoding/binary"
	"io"
)

// File is a compound file: storages that hold storages and streams, whose sectors are
// chained by a table. Nothing in it is believed: a sector may be missing, a chain may go
// round, and two streams may claim the same sectors. So every chain is followed for as
// many sectors as the file has at most, every directory entry is visited once, and all
// streams together may not be larger than the file. Beside the bytes of the file, which
// must not change, it holds some 2 % of their size.
type File struct {
	data      []byte
	shift     uint     // a sector is 1<<shift bytes
	count     int      // sectors in the file
	fat       []uint32 // sectors that hold the chains of sectors
	miniFAT   []uint32 // sectors that hold the chains of mini sectors
	directory []uint32 // sectors that hold the directory
	mini      []uint32 // sectors that hold the mini sectors
	long      bool     // sizes have 64 bits
	seen      []bool   // directory entries that were visited
	budget    uint64   // bytes that streams may still have
}

const (
	headerSize  = 512
	entrySize   = 128
	miniShift   = 6       // a mini sector has 64 bytes
	miniCutoff  = 4 << 10 // a smaller stream is kept in mini sectors
	maxRegular  = 0xfffffffa
	endOfChain  = 0xfffffffe
	noEntry     = 0xffffffff
	headerFATs  = 109 // FAT sectors listed in the header
	typeStorage = 1
	typeStream  = 2
	typeRoot    = 5
)

// Begins reports whether prefix, of eight bytes or more, is how a compound file begins.
func Begins(prefix []byte) bool {
	return bytes.HasPrefix(prefix, []byte{0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1})
}

// Open reads the header and gives the storage that holds all others. It reports false
// if data is no compound file.
func Open(data []byte) (*File, Entry, bool) {
	if !Begins(data) || len(data) < headerSize {
		return nil, Entry{}, false
	}
	field := func(at int) uint32 { return binary.LittleEndian.Uint32(data[at:]) }
	c := &File{
		data:   data,
		shift:  uint(binary.LittleEndian.Uint16(data[30:])),
		long:   binary.LittleEndian.Uint16(data[26:]) > 3,
		budget: uint64(len(data)),
	}
	if c.shift != 9 && c.shift != 12 {
		return nil, Entry{}, false
	}
	c.count = max(0, (len(data)-1)>>c.shift) // the header takes one; the last may be cut short
	c.readFAT(field(68))
	c.directory = c.chain(field(48))
	c.miniFAT = c.chain(field(60))
	c.seen = make([]bool, len(c.directory)<<c.shift/entrySize)
	root, ok := c.entry(0)
	if !ok || root.kind != typeRoot {
		return nil, Entry{}, false
	}
	c.seen[0] = true
	c.mini = c.chain(root.start)
	return c, root, true
}

// readFAT lists the sectors of the FAT: those in the header, then those in the chain
// of sectors that begins at next.
func (c *File) readFAT(next uint32) {
	perSector := 1 << c.shift / 4
	list := c.data[76 : 76+headerFATs*4]
	for range c.count + 1 {
		for ; len(list) >= 4; list = list[4:] {
			if len(c.fat)*perSector >= c.count {
				return
			}
			c.fat = append(c.fat, binary.LittleEndian.Uint32(list))
		}
		sector := c.sector(next) // none for what is no number of a sector
		if len(sector) < 1<<c.shift {
			return
		}
		list, next = sector[:len(sector)-4], binary.LittleEndian.Uint32(sector[len(sector)-4:])
	}
}

// sector is the content of a sector: short if the file ends in it, empty if before.
func (c *File) sector(n uint32) []byte {
	at := (uint64(n) + 1) << c.shift
	if at >= uint64(len(c.data)) {
		return nil
	}
	return c.data[at:min(at+1<<c.shift, uint64(len(c.data)))]
}

// miniSector is the content of a mini sector, likewise.
func (c *File) miniSector(n uint32) []byte {
	i, at := uint64(n)<<miniShift>>c.shift, uint64(n)<<miniShift&(1<<c.shift-1)
	if i >= uint64(len(c.mini)) {
		return nil
	}
	sector := c.sector(c.mini[i])
	if at >= uint64(len(sector)) {
		return nil
	}
	return sector[at:min(at+1<<miniShift, uint64(len(sector)))]
}

// next is what follows sector n in the chains that table holds.
func (c *File) next(table []uint32, n uint32) uint32 {
	i := uint64(n) << 2
	if i>>c.shift >= uint64(len(table)) {
		return endOfChain
	}
	sector, at := c.sector(table[i>>c.shift]), i&(1<<c.shift-1)
	if at+4 > uint64(len(sector)) {
		return endOfChain
	}
	return binary.LittleEndian.Uint32(sector[at:])
}

// chain lists the sectors from start on.
func (c *File) chain(start uint32) []uint32 {
	var list []uint32
	for n := start; n < maxRegular && len(list) < c.count; n = c.next(c.fat, n) {
		list = append(list, n)
	}
	return list
}

// Entry is one storage or stream; its zero value is neither.
type Entry struct {
	Name string // in lower case; "" if not plain ASCII
	Size uint64 // of a stream, as it says itself

	kind               byte
	left, right, child uint32
	start              uint32
}

// IsStorage reports whether e holds other entries.
func (e Entry) IsStorage() bool { return e.kind == typeStorage }

// IsStream reports whether e has content, which may be empty.
func (e Entry) IsStream() bool { return e.kind == typeStream }

// entry reads a directory entry.
func (c *File) entry(i uint32) (Entry, bool) {
	at := uint64(i) * entrySize
	if at>>c.shift >= uint64(len(c.directory)) {
		return Entry{}, false
	}
	b := c.sector(c.directory[at>>c.shift])
	if at &= 1<<c.shift - 1; at+entrySize > uint64(len(b)) {
		return Entry{}, false
	}
	b = b[at : at+entrySize]
	field := func(at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
	e := Entry{
		Name:  entryName(b[:64]),
		kind:  b[66],
		left:  field(68),
		right: field(72),
		child: field(76),
		start: field(116),
		Size:  uint64(field(120)),
	}
	if c.long {
		e.Size = binary.LittleEndian.Uint64(b[120:])
	}
	return e, true
}

func entryName(b []byte) string {
	var name [32]byte
	n := 0
	for ; n < len(name); n++ {
		unit := binary.LittleEndian.Uint16(b[2*n:])
		if unit == 0 {
			break
		}
		if unit > 0x7f {
			return ""
		}
		name[n] = byte(unit)
		if unit >= 'A' && unit <= 'Z' {
			name[n] += 'a' - 'A'
		}
	}
	return string(name[:n])
}

// Children hands the entries in a storage to each, in the order of their names. It
// reports false if some are missing, or were visited before and are passed over.
func (c *File) Children(storage Entry, each func(Entry)) bool {
	type visit struct {
		i   uint32
		all bool // its left side was visited
	}
	whole := true
	stack := []visit{{i: storage.child}}
	for len(stack) > 0 {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if v.i == noEntry || v.i == 0 { // some programs write the root for none
			continue
		}
		e, ok := c.entry(v.i)
		if !ok || !v.all && c.seen[v.i] {
			whole = false
			continue
		}
		if v.all {
			each(e)
			stack = append(stack, visit{i: e.right})
			continue
		}
		c.seen[v.i] = true
		stack = append(stack, visit{v.i, true}, visit{i: e.left})
	}
	return whole
}

// Stream gives the content of e. It reports false if not all of it is there, or if the
// streams given so far and this one would be larger than the file.
func (c *File) Stream(e Entry) (io.Reader, bool) {
	if e.kind != typeStream || e.Size > c.budget {
		return nil, false
	}
	s := stream{c: c, next: e.start, left: e.Size, mini: e.Size < miniCutoff}
	for trial := s; trial.left > 0; {
		if !trial.advance() {
			return nil, false
		}
	}
	c.budget -= e.Size
	return &s, true
}

// stream reads a stream sector by sector.
type stream struct {
	c     *File
	next  uint32 // sector
	left  uint64 // bytes in it and after
	mini  bool
	piece []byte // of a sector, not yet handed out
}

// advance goes to the next sector, if all that the stream has there is in the file.
func (s *stream) advance() bool {
	table, sector := s.c.fat, s.c.sector
	want := uint64(1) << s.c.shift
	if s.mini {
		table, sector, want = s.c.miniFAT, s.c.miniSector, 1<<miniShift
	}
	want = min(want, s.left)
	if s.next >= maxRegular {
		return false
	}
	piece := sector(s.next)
	if want == 0 || uint64(len(piece)) < want {
		return false
	}
	s.piece, s.left, s.next = piece[:want], s.left-want, s.c.next(table, s.next)
	return true
}

func (s *stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(s.piece) == 0 && !s.advance() {
		return 0, io.EOF
	}
	n := copy(p, s.piece)
	s.piece = s.piece[n:]
	return n, nil
}
