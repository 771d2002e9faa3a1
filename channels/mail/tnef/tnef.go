// Package tnef owns the reading of winmail.dat (application/ms-tnef, MS-OXTNEF), in
// which Outlook and Exchange pack the attachments of a message.
package tnef

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"vaguemestre/channels/mail/compound"
	"vaguemestre/channels/mail/mapi"
	"vaguemestre/core"
)

// What is wrong with a container. What could be read was delivered before.
var (
	ErrBroken = errors.New("winmail.dat cut short or damaged")
	ErrDeep   = errors.New("messages in winmail.dat nested too deep")
)

var signature = []byte{0x78, 0x9f, 0x3e, 0x22}

// Begins reports whether prefix, of four bytes or more, is how a winmail.dat begins.
func Begins(prefix []byte) bool { return bytes.HasPrefix(prefix, signature) }

// Open hands the files in a winmail.dat to each, in order, also those of messages
// embedded in it, down to maxDepth of them one in another. The text of a message is no
// file. Depth counts the embedded messages around a part: 0 in the container itself.
//
// Names, types and Content-IDs are UTF-8 without NUL; a part is never empty, and all
// together are not larger than data, which must not change meanwhile. Of an OLE object
// the file it was made of is given, if it was made of one, else the object.
//
// An error of each ends the reading and is returned as it is. Otherwise the error says
// that parts may be missing or damaged: it wraps ErrBroken or ErrDeep.
func Open(data []byte, maxDepth int, each func(core.Part) error) error {
	r := reader{maxDepth: maxDepth, each: each}
	if err := r.container(data, 0); err != nil {
		return err
	}
	return r.fault
}

// reader is one Open under way.
type reader struct {
	maxDepth int
	each     func(core.Part) error
	fault    error // the first fault met
}

func (r *reader) broken(what string) {
	if r.fault == nil {
		r.fault = fmt.Errorf("%w: %s", ErrBroken, what)
	}
}

// Attributes that are read (MS-OXTNEF §2.1.3.3), without their types, which say nothing
// more and are not always right.
const (
	attOEMCodepage       = 0x9007
	attMessageProperties = 0x9003
	attRendering         = 0x9002 // begins an attachment
	attTitle             = 0x8010
	attData              = 0x800f
	attTransportName     = 0x9001
	attProperties        = 0x9005
)

// container reads one winmail.dat, depth embedded messages down. Its error is one of each.
func (r *reader) container(data []byte, depth int) error {
	if !Begins(data) || len(data) < 6 {
		r.broken("no signature")
		return nil
	}
	m := message{reader: r, depth: depth}
	for rest := data[6:]; ; {
		var a attribute
		var ok bool
		if a, rest, ok = r.attribute(rest); !ok {
			return m.deliver()
		}
		if err := m.add(a); err != nil {
			return err
		}
	}
}

// attribute is one item of a container.
type attribute struct {
	id   uint16
	data []byte
}

// Levels of an attribute: what it belongs to.
const (
	levelMessage    = 1
	levelAttachment = 2
)

// attribute takes the next attribute from b. It reports false at the end, and when what
// follows is none.
func (r *reader) attribute(b []byte) (attribute, []byte, bool) {
	const head, tail = 9, 2
	switch {
	case len(b) > 0 && (b[0] == levelMessage || b[0] == levelAttachment) && len(b) >= head:
	case len(bytes.Trim(b, "\x00 \t\r\n")) == 0: // programs that carry mail add some
		return attribute{}, nil, false
	default:
		r.broken("no attribute where one should be")
		return attribute{}, nil, false
	}
	id, size := binary.LittleEndian.Uint16(b[1:]), uint64(binary.LittleEndian.Uint32(b[5:]))
	if size > uint64(len(b)-head) {
		r.broken("attribute cut short")
		return attribute{}, nil, false
	}
	data, rest := b[head:head+size], b[head+size:]
	if len(rest) < tail {
		r.broken("checksum cut short")
		return attribute{id, data}, nil, true
	}
	if sum(data) != binary.LittleEndian.Uint16(rest) {
		r.broken("wrong checksum")
	}
	return attribute{id, data}, rest[tail:], true
}

// sum is the checksum of an attribute.
func sum(data []byte) uint16 {
	var s uint16
	for _, c := range data {
		s += uint16(c)
	}
	return s
}

// message is one message being read, with its current attachment.
type message struct {
	*reader
	depth    int
	codepage mapi.Codepage

	open       bool // an attachment has begun
	attachment mapi.Attachment
	data       []byte // its content from attData…
	value      []byte // …from its properties…
	object     []byte // …and its message or OLE object, behind its kind
}

func (m *message) add(a attribute) error {
	switch a.id {
	case attOEMCodepage:
		if len(a.data) >= 4 {
			m.codepage = mapi.Codepage(binary.LittleEndian.Uint32(a.data))
		}
		return nil
	case attMessageProperties:
		m.properties(a.data, m.setCodepage)
		return nil
	case attRendering:
		err := m.deliver()
		m.open = true
		return err
	case attTitle:
		m.attachment.Name(mapi.AttachFilename, m.codepage.Text(a.data))
	case attTransportName:
		m.attachment.Name(mapi.AttachTransportName, m.codepage.Text(a.data))
	case attData:
		m.data = a.data
	case attProperties:
		m.properties(a.data, m.setAttachment)
	default:
		return nil
	}
	m.open = true
	return nil
}

func (m *message) properties(b []byte, set func(mapi.Property)) {
	if !eachProperty(b, set) {
		m.broken("properties cut short")
	}
}

// setCodepage notes the codepage of a message that names none before.
func (m *message) setCodepage(p mapi.Property) {
	if c := mapi.Codepage(p.Number()); (p.ID == mapi.MessageCodepage || p.ID == mapi.InternetCodepage) && c.Known() && !m.codepage.Known() {
		m.codepage = c
	}
}

func (m *message) setAttachment(p mapi.Property) {
	switch {
	case p.ID == mapi.AttachData && p.Type == mapi.TypeBinary:
		m.value = p.Value
	case p.ID == mapi.AttachData && p.Type == mapi.TypeObject:
		m.object = p.Value
	default:
		m.attachment.Set(p, m.codepage)
	}
}

// deliver hands out the attachment that has been read, if there is one: the files of an
// embedded message, or a content. Beside an object its attData holds a drawing of it, or
// a sentence for programs that know no better.
func (m *message) deliver() error {
	done := *m
	m.open, m.attachment, m.data, m.value, m.object = false, mapi.Attachment{}, nil, nil, nil
	if !done.open {
		return nil
	}
	kind, object := done.object[:min(len(done.object), guidSize)], done.object[min(len(done.object), guidSize):]
	if bytes.Equal(kind, kindMessage) || Begins(object) {
		return m.embedded(object)
	}
	if c, root, ok := compound.Open(object); ok && bytes.Equal(kind, kindStorage) {
		if name, content, ok := c.Object(root); ok {
			done.attachment.Object(m.codepage.Text(name))
			return m.each(done.attachment.Part(core.ViaTNEF, m.depth, content))
		}
	}
	for _, content := range [][]byte{object, done.value, done.data} {
		if len(content) > 0 {
			return m.each(done.attachment.Part(core.ViaTNEF, m.depth, bytes.NewReader(content)))
		}
	}
	return nil
}

// What stands before an object: IID_IMessage before an embedded message, IID_IStorage
// before an OLE object; other kinds are as long.
var (
	kindMessage = []byte{0x07, 0x03, 0x02, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46}
	kindStorage = []byte{0x0b, 0, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46}
)

const guidSize = 16

func (m *message) embedded(data []byte) error {
	if m.depth >= m.maxDepth {
		if m.fault == nil {
			m.fault = ErrDeep
		}
		return nil
	}
	return m.container(data, m.depth+1)
}
