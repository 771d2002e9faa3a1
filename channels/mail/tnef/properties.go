package tnef

import (
	"encoding/binary"
	"slices"

	"vaguemestre/channels/mail/mapi"
)

// cursor reads a block of properties (MS-OXTNEF §2.1.3.4), in which everything begins
// at a multiple of four bytes. Past the end it reads nothing and is short.
type cursor struct {
	b     []byte
	short bool
}

// take gives the next n bytes and passes over what fills them up.
func (c *cursor) take(n uint64) []byte {
	if c.short || n > uint64(len(c.b)) {
		c.short = true
		return nil
	}
	taken := c.b[:n]
	c.b = c.b[min(uint64(len(c.b)), (n+3)&^3):]
	return taken
}

func (c *cursor) uint32() uint32 {
	if b := c.take(4); len(b) == 4 {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// eachProperty hands the properties in b to set; of one with several values, the first
// alone. It reports false if b ends before its properties do.
func eachProperty(b []byte, set func(mapi.Property)) bool {
	c := cursor{b: b}
	for n := c.uint32(); n > 0 && !c.short; n-- {
		tag := c.uint32()
		p := mapi.Property{Type: uint16(tag), ID: uint16(tag >> 16)}
		if p.ID >= 0x8000 {
			c.name()
		}
		many := p.Type&mapi.Many != 0
		p.Type &^= mapi.Many
		size, fixed := sizes[p.Type]
		values := uint32(1)
		if many || !fixed {
			values = c.uint32()
		}
		for i := uint32(0); i < values && !c.short; i++ {
			n := size
			if !fixed {
				if !slices.Contains(variable, p.Type) {
					return false
				}
				n = uint64(c.uint32())
			}
			if v := c.take(n); i == 0 && !c.short {
				p.Value = v
			}
		}
		if !c.short {
			set(p)
		}
	}
	return !c.short
}

// name passes over the name that a property has beside its number.
func (c *cursor) name() {
	c.take(guidSize)
	if kind := c.uint32(); kind == 0 {
		c.take(4)
		return
	}
	c.take(uint64(c.uint32()))
}

// sizes of the values of a fixed size, by type (MS-OXCDATA §2.11.1).
var sizes = map[uint16]uint64{
	0x0002: 2, 0x0003: 4, 0x0004: 4, 0x0005: 8, 0x0006: 8, 0x0007: 8,
	0x000a: 4, 0x000b: 2, 0x0014: 8, 0x0040: 8, 0x0048: 16,
}

// variable are the types whose values say their size.
var variable = []uint16{mapi.TypeObject, mapi.TypeString8, mapi.TypeUnicode, mapi.TypeBinary}
