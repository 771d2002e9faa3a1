// Package outlook owns the reading of messages saved by Outlook (.msg, MS-OXMSG), with
// the messages embedded in them.
package outlook

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"vaguemestre/channels/mail/compound"
	"vaguemestre/channels/mail/mapi"
	"vaguemestre/core"
)

// What is wrong with a message. What could be read was delivered before.
var (
	ErrBroken = errors.New("not a whole Outlook message")
	ErrDeep   = errors.New("messages in an Outlook message nested too deep")
)

// Begins reports whether prefix, of eight bytes or more, is how a .msg begins. Other
// compound files (.doc, .xls) begin so too: Open tells them apart.
func Begins(prefix []byte) bool { return compound.Begins(prefix) }

// Open hands the files attached to an Outlook message to each, in order, also those of
// messages embedded in it, down to maxDepth of them one in another. The text of a message
// is no file. Depth counts the embedded messages around a part: 0 in the message itself.
//
// Of an OLE object in its text the file it was made of is given, if it was made of one.
// A signed or encrypted message holds one file, the MIME entity it was sent as, whose
// type says so: multipart/signed or application/pkcs7-mime.
//
// Names, types and Content-IDs are UTF-8 without NUL; a part is never empty, and all
// together are not larger than data, which must not change meanwhile.
//
// An error of each ends the reading and is returned as it is. Otherwise the error says
// that parts may be missing: it wraps ErrBroken, also when data is no message at all, or
// ErrDeep.
func Open(data []byte, maxDepth int, each func(core.Part) error) error {
	c, root, ok := compound.Open(data)
	if !ok {
		return fmt.Errorf("%w: no compound file", ErrBroken)
	}
	r := reader{File: c, maxDepth: maxDepth, each: each}
	if err := r.message(root, 0, topHeader, 0); err != nil {
		return err
	}
	return r.fault
}

// reader is one Open under way.
type reader struct {
	*compound.File
	maxDepth int
	each     func(core.Part) error
	fault    error // the first fault met
}

func (r *reader) broken(what string) {
	if r.fault == nil {
		r.fault = fmt.Errorf("%w: %s", ErrBroken, what)
	}
}

// Names of the entries that make a message (MS-OXMSG §2), in lower case.
const (
	propertiesName = "__properties_version1.0"
	attachmentName = "__attach_version1.0_#"
	propertyName   = "__substg1.0_"
	objectName     = "__substg1.0_3701000d" // a storage: a message or an OLE object
)

// Bytes before the properties of fixed size, by what they belong to.
const (
	topHeader        = 32
	embeddedHeader   = 24
	attachmentHeader = 8
)

// attachment is where an attachment stands.
type attachment struct {
	number  uint64
	storage compound.Entry
}

// maxAttachments is how many attachments of one message are looked at: a list of them is
// held in memory.
const maxAttachments = 10_000

// message reads the message in a storage, depth embedded messages down, whose texts are
// in codepage c unless it says otherwise. Its error is one of each.
func (r *reader) message(storage compound.Entry, depth, header int, c mapi.Codepage) error {
	var attachments []attachment
	var properties, class compound.Entry
	found := false
	whole := r.Children(storage, func(e compound.Entry) {
		name, isAttachment := strings.CutPrefix(e.Name, attachmentName)
		switch {
		case e.Name == propertiesName:
			properties, found = e, true
		case isAttachment && e.IsStorage():
			found = true
			if len(attachments) == maxAttachments {
				r.broken("too many attachments")
				return
			}
			n, _ := strconv.ParseUint(name, 16, 32)
			attachments = append(attachments, attachment{n, e})
		case strings.HasPrefix(e.Name, propertyName+"001a"): // message class
			class = e
		}
	})
	if !whole {
		r.broken("directory damaged")
	}
	if !found {
		r.broken("no message in it")
		return nil
	}
	var byText, byInternet mapi.Codepage
	r.fixed(properties, header, func(p mapi.Property) {
		switch p.ID {
		case mapi.MessageCodepage:
			byText = mapi.Codepage(p.Number())
		case mapi.InternetCodepage:
			byInternet = mapi.Codepage(p.Number())
		}
	})
	for _, own := range []mapi.Codepage{byInternet, byText} {
		if own.Known() {
			c = own
		}
	}
	slices.SortStableFunc(attachments, func(a, b attachment) int { return int(int64(a.number) - int64(b.number)) })
	kind := ""
	if class.IsStream() && len(attachments) == 1 {
		kind = signedType(r.property(class).Text(c))
	}
	for _, a := range attachments {
		if err := r.attachment(a.storage, depth, c, kind); err != nil {
			return err
		}
	}
	return nil
}

// signedType is the type of the only attachment of a message of that class (MS-OXOSMIME
// §2.1), "" if it is any other message.
func signedType(class string) string {
	switch class = strings.ToLower(class); {
	case strings.HasSuffix(class, ".smime.multipartsigned"):
		return "multipart/signed"
	case strings.HasSuffix(class, ".smime"):
		return "application/pkcs7-mime"
	}
	return ""
}

// attachment reads one attachment: a file, or the files of an embedded message. Kind is
// its type if it says none.
func (r *reader) attachment(storage compound.Entry, depth int, c mapi.Codepage, kind string) error {
	var a mapi.Attachment
	var properties, content, object compound.Entry
	whole := r.Children(storage, func(e compound.Entry) {
		switch {
		case e.Name == propertiesName:
			properties = e
		case e.Name == objectName && e.IsStorage():
			object = e
		case e.Name == propertyName+"37010102" && e.IsStream():
			content = e
		case e.IsStream():
			if id, _, ok := propertyTag(e.Name); ok && mapi.OfAttachment(id) {
				a.Set(r.property(e), c)
			}
		}
	})
	if !whole {
		r.broken("directory damaged")
	}
	r.fixed(properties, attachmentHeader, func(p mapi.Property) { a.Set(p, c) })
	switch {
	case content.Size > 0:
		body, ok := r.Stream(content)
		if !ok {
			r.broken("content of an attachment missing")
			return nil
		}
		part := a.Part(core.ViaMSG, depth, body)
		if part.Type == "" {
			part.Type = kind
		}
		return r.each(part)
	case object.IsStorage() && a.Method == mapi.MethodOLE:
		name, body, ok := r.Object(object)
		if !ok {
			return nil
		}
		a.Object(c.Text(name))
		return r.each(a.Part(core.ViaMSG, depth, body))
	case object.IsStorage():
		if depth >= r.maxDepth {
			if r.fault == nil {
				r.fault = ErrDeep
			}
			return nil
		}
		return r.message(object, depth+1, embeddedHeader, c)
	}
	return nil
}

// propertyTag reads the number and type of a property from the name of its stream.
func propertyTag(name string) (id, kind uint16, ok bool) {
	digits, ok := strings.CutPrefix(name, propertyName)
	if !ok || len(digits) != 8 {
		return 0, 0, false
	}
	tag, err := strconv.ParseUint(digits, 16, 32)
	return uint16(tag >> 16), uint16(tag), err == nil
}

// property reads the property in a stream, of a long one the beginning.
func (r *reader) property(e compound.Entry) mapi.Property {
	id, kind, _ := propertyTag(e.Name)
	p := mapi.Property{ID: id, Type: kind}
	body, ok := r.Stream(e)
	if !ok {
		r.broken("property missing")
		return p
	}
	p.Value, _ = io.ReadAll(io.LimitReader(body, mapi.MaxText)) // of memory: no error
	return p
}

// fixed hands the properties of fixed size to set, from the stream that holds them
// behind a header.
func (r *reader) fixed(properties compound.Entry, header int, set func(mapi.Property)) {
	if !properties.IsStream() {
		r.broken("properties missing")
		return
	}
	body, ok := r.Stream(properties)
	if !ok {
		r.broken("properties missing")
		return
	}
	var b [16]byte // tag, flags, value
	if _, err := io.ReadFull(body, make([]byte, header)); err != nil {
		return
	}
	for {
		if _, err := io.ReadFull(body, b[:]); err != nil {
			return
		}
		tag := binary.LittleEndian.Uint32(b[:])
		switch p := (mapi.Property{ID: uint16(tag >> 16), Type: uint16(tag), Value: b[8:]}); p.Type {
		case mapi.TypeInt16, mapi.TypeInt32, mapi.TypeBool: // of others, their size stands there
			set(p)
		}
	}
}
