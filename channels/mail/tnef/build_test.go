package tnef_test

import (
	"encoding/binary"
	"unicode/utf16"
)

// le writes values one after another, little-endian.
func le(values ...any) []byte {
	var b []byte
	for _, v := range values {
		if raw, ok := v.([]byte); ok {
			b = append(b, raw...)
			continue
		}
		var err error
		if b, err = binary.Append(b, binary.LittleEndian, v); err != nil {
			panic(err)
		}
	}
	return b
}

// attribute is one attribute of a container, with its checksum.
func attribute(level byte, id uint32, data []byte) []byte {
	var sum uint16
	for _, c := range data {
		sum += uint16(c)
	}
	return le(level, id, uint32(len(data)), data, sum)
}

// container is a winmail.dat of those attributes.
func container(attributes ...[]byte) []byte {
	b := le(uint32(0x223e9f78), uint16(7), attribute(1, 0x00089006, le(uint32(0x00010000))))
	for _, a := range attributes {
		b = append(b, a...)
	}
	return b
}

func codepage(n uint32) []byte { return attribute(1, 0x00069007, le(n, uint32(0))) }

func rendering(kind uint16) []byte {
	return attribute(2, 0x00069002, le(kind, int32(-1), uint16(32), uint16(32), uint32(0)))
}

func title(name string) []byte  { return attribute(2, 0x00018010, []byte(name+"\x00")) }
func content(b string) []byte   { return attribute(2, 0x0006800f, []byte(b)) }
func mapiOf(p ...[]byte) []byte { return attribute(2, 0x00069005, block(p...)) }

// block is a block of properties.
func block(properties ...[]byte) []byte {
	b := le(uint32(len(properties)))
	for _, p := range properties {
		b = append(b, p...)
	}
	return b
}

func padded(b []byte) []byte { return append(b, make([]byte, (4-len(b)%4)%4)...) }

func long(id uint16, v uint32) []byte { return le(uint16(0x0003), id, v) }

func boolean(id uint16, v bool) []byte { return padded(le(uint16(0x000b), id, v)) }

func binaryOf(id, kind uint16, v []byte) []byte {
	return padded(le(kind, id, uint32(1), uint32(len(v)), v))
}

func ansi(id uint16, s string) []byte { return binaryOf(id, 0x001e, []byte(s+"\x00")) }

func wide(id uint16, s string) []byte {
	return binaryOf(id, 0x001f, le(utf16.Encode([]rune(s+"\x00"))))
}

// Kinds of objects, as they stand before their bytes.
var (
	iidMessage = []byte{0x07, 0x03, 0x02, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46}
	iidStorage = []byte{0x0b, 0, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46}
)

// embedded is an attachment that is a message.
func embedded(inner []byte) []byte {
	return le(rendering(1), title("message"), mapiOf(long(0x3705, 5), binaryOf(0x3701, 0x000d, le(iidMessage, inner))))
}

// named is a property with a name beside its number, which readers must pass over.
func named(name string, value []byte) []byte {
	guid := make([]byte, 16)
	if name == "" {
		return le(uint16(0x0003), uint16(0x8001), guid, uint32(0), uint32(0x8501), value)
	}
	text := le(utf16.Encode([]rune(name + "\x00")))
	return le(uint16(0x0003), uint16(0x8002), guid, uint32(1), uint32(len(text)), padded(text), value)
}
