// Package mapi owns the words that winmail.dat and .msg share: what Outlook knows of an
// attachment, as numbered properties (MS-OXPROPS, MS-OXCMSG §2.2.2), and the texts in them.
package mapi

import (
	"encoding/binary"
	"io"
	"strings"

	"vaguemestre/core"
)

// Types of properties (MS-OXCDATA §2.11.1).
const (
	TypeInt16   = 0x0002
	TypeInt32   = 0x0003
	TypeBool    = 0x000b
	TypeObject  = 0x000d
	TypeString8 = 0x001e // in the codepage of the message
	TypeUnicode = 0x001f // UTF-16, little-endian
	TypeBinary  = 0x0102
	Many        = 0x1000 // added to the type of each of several values
)

// Properties of messages and attachments that are read.
const (
	DisplayName         = 0x3001
	AttachData          = 0x3701 // TypeBinary: the content; TypeObject: a message or an OLE object
	AttachFilename      = 0x3704 // eight characters and three
	AttachMethod        = 0x3705
	AttachLongFilename  = 0x3707
	AttachTransportName = 0x370c
	AttachType          = 0x370e // MIME type
	AttachContentID     = 0x3712
	AttachFlags         = 0x3714
	AttachDisposition   = 0x3716
	AttachHidden        = 0x7ffe
	InternetCodepage    = 0x3fde
	MessageCodepage     = 0x3ffd
)

// How an attachment holds its content (MS-OXCMSG §2.2.2.9).
const (
	MethodEmbedded = 5 // a message
	MethodOLE      = 6
)

// flagRendered says that the text of the message shows the attachment.
const flagRendered = 4

// Property is one property as it was read: Value is its bytes, whatever the type.
type Property struct {
	ID, Type uint16
	Value    []byte
}

// Number is the value of a short, long or boolean property; 0 of any other.
func (p Property) Number() uint32 {
	switch {
	case p.Type == TypeInt32 && len(p.Value) >= 4:
		return binary.LittleEndian.Uint32(p.Value)
	case (p.Type == TypeInt16 || p.Type == TypeBool) && len(p.Value) >= 2:
		return uint32(binary.LittleEndian.Uint16(p.Value))
	}
	return 0
}

// Text is the value of a text property; "" of any other.
func (p Property) Text(c Codepage) string {
	switch p.Type {
	case TypeUnicode:
		return utf16Text(p.Value)
	case TypeString8:
		return c.Text(p.Value)
	}
	return ""
}

// Attachment is what is known of one attachment. Its zero value knows nothing.
type Attachment struct {
	names  map[uint16]string // by property
	kind   string
	cid    string
	inline bool
	Method uint32
}

// OfAttachment reports whether Set heeds a property of that number.
func OfAttachment(id uint16) bool {
	switch id {
	case AttachLongFilename, AttachFilename, AttachTransportName, DisplayName, AttachType,
		AttachContentID, AttachMethod, AttachFlags, AttachHidden, AttachDisposition:
		return true
	}
	return false
}

// Set notes a property, if it is one of an attachment that counts. Of a property that
// comes twice, the last counts.
func (a *Attachment) Set(p Property, c Codepage) {
	switch p.ID {
	case AttachLongFilename, AttachFilename, AttachTransportName, DisplayName:
		a.Name(p.ID, p.Text(c))
	case AttachType:
		kind, _, _ := strings.Cut(p.Text(c), ";")
		a.kind = strings.ToLower(strings.TrimSpace(kind))
	case AttachContentID:
		a.cid = strings.Trim(strings.TrimSpace(p.Text(c)), "<>")
	case AttachMethod:
		a.Method = p.Number()
	case AttachFlags:
		a.inline = a.inline || p.Number()&flagRendered != 0
	case AttachHidden:
		a.inline = a.inline || p.Number() != 0
	case AttachDisposition:
		a.inline = a.inline || strings.HasPrefix(strings.ToLower(p.Text(c)), "inline")
	}
}

// Name notes a file name as the property id would give it.
func (a *Attachment) Name(id uint16, name string) {
	if a.names == nil {
		a.names = map[uint16]string{}
	}
	a.names[id] = strings.TrimSpace(name)
}

// Object notes that the attachment is an OLE object, which stands in the text, and the
// name of the file put in as a whole that it is; "" if it is none.
func (a *Attachment) Object(file string) {
	if a.inline = file == ""; file != "" {
		a.Name(AttachLongFilename, file)
	}
}

// Part is the attachment as a part with that content.
func (a *Attachment) Part(via string, depth int, content io.Reader) core.Part {
	part := core.Part{
		Type:      a.kind,
		Inline:    a.inline,
		ContentID: a.cid,
		Depth:     depth,
		Via:       via,
		Body:      content,
	}
	for _, id := range []uint16{AttachLongFilename, AttachFilename, AttachTransportName, DisplayName} {
		if part.Name = a.names[id]; part.Name != "" {
			break
		}
	}
	return part
}
