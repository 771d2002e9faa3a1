package compound

import (
	"bytes"
	"encoding/binary"
	"io"
)

// maxObjectHead is how much of an embedded file may stand before its content: its names.
const maxObjectHead = 4 << 10

// Object finds in the storage of an OLE object the file that the object was made of:
// one that was put in as a whole, with its name in the ANSI codepage of its sender (class
// Package), or the content that another program keeps there by itself (a PDF, a picture,
// a document of Office 2007 or later). It reports false for an object that is nothing
// outside the program that drew it.
func (c *File) Object(storage Entry) (name []byte, content io.Reader, ok bool) {
	var native, own Entry
	c.Children(storage, func(e Entry) {
		switch {
		case !e.IsStream() || e.Size == 0:
		case e.Name == "\x01ole10native":
			native = e
		case e.Name == "contents", e.Name == "package":
			own = e
		}
	})
	if own.IsStream() {
		content, ok = c.Stream(own)
		return nil, content, ok
	}
	content, ok = c.Stream(native)
	if !ok {
		return nil, nil, false
	}
	return packaged(content, native.Size)
}

// packaged reads the native data of an object, size bytes (MS-OLEDS §2.3.6), and in them
// the names that stand before a packaged file; without those, all of it is the content.
func packaged(native io.Reader, size uint64) (name []byte, content io.Reader, ok bool) {
	head := make([]byte, min(size, maxObjectHead))
	if _, err := io.ReadFull(native, head); err != nil || len(head) <= 4 {
		return nil, nil, false
	}
	body := head[4:]
	rest, ok := bytes.CutPrefix(body, []byte{2, 0})
	label, rest, ok1 := bytes.Cut(rest, []byte{0})
	_, rest, ok2 := bytes.Cut(rest, []byte{0}) // where it was
	if !ok || !ok1 || !ok2 || len(rest) < 8 {
		return nil, io.MultiReader(bytes.NewReader(body), native), true
	}
	again := uint64(binary.LittleEndian.Uint32(rest[4:])) // where it was meanwhile
	if rest = rest[8:]; again+4 > uint64(len(rest)) {
		return nil, io.MultiReader(bytes.NewReader(body), native), true
	}
	length, rest := int64(binary.LittleEndian.Uint32(rest[again:])), rest[again+4:]
	if length == 0 || uint64(length) > size-uint64(len(head)-len(rest)) {
		return nil, nil, false
	}
	return label, io.LimitReader(io.MultiReader(bytes.NewReader(rest), native), length), true
}
