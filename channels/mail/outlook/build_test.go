package outlook_test

import (
	"fmt"
	"strings"
	"unicode/utf16"

	"vaguemestre/channels/mail/compound/compoundtest"
)

type node = compoundtest.Node

var (
	stream  = compoundtest.Stream
	storage = compoundtest.Storage
	le      = compoundtest.LE
)

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
			nodes = append(nodes, &node{Name: fmt.Sprintf("__substg1.0_%04X%04X", p.id, p.kind), Content: p.content})
			value = uint64(len(p.content))
		}
		list = append(list, le(p.kind, p.id, uint32(6), value)...)
	}
	return append(nodes, &node{Name: "__properties_version1.0", Content: list})
}

// attachment is the nth attachment of a message.
func attachment(n int, properties ...property) *node {
	return storage(fmt.Sprintf("__attach_version1.0_#%08X", n), holding(8, properties...)...)
}

// object is an attachment that is a storage: a message or an OLE object.
func object(n int, method uint32, children []*node) *node {
	a := attachment(n, long(0x3705, method), wide(0x3001, "Fwd: dossier"))
	a.Children = append(a.Children, storage("__substg1.0_3701000D", children...))
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
	return (&compoundtest.Builder{Shift: 9}).File(message(32, []property{wide(0x001a, "IPM.Note")}, attachments...)...)
}
