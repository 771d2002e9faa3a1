// Package outlook owns the reading of messages saved by Outlook (.msg, MS-OXMSG), with
// the compound file they are kept in (MS-CFB).
package outlook

import (
	"bytes"
	"errors"

	"vaguemestre/core"
)

// What is wrong with a message. What could be read was delivered before.
var (
	ErrBroken = errors.New("not a whole Outlook message")
	ErrDeep   = errors.New("messages in an Outlook message nested too deep")
)

// Begins reports whether prefix, of eight bytes or more, is how a .msg begins. Other
// compound files (.doc, .xls) begin so too: Open tells them apart.
func Begins(prefix []byte) bool {
	return bytes.HasPrefix(prefix, []byte{0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1})
}

// Open hands the files attached to an Outlook message to each, in order, also those of
// messages embedded in it, down to maxDepth of them one in another. The text of a message
// is no file. Depth counts the embedded messages around a part: 0 in the message itself.
//
// Names, types and Content-IDs are UTF-8 without NUL; a part is never empty, and all
// together are not larger than data, which must not change meanwhile.
//
// An error of each ends the reading and is returned as it is. Otherwise the error says
// that parts may be missing: it wraps ErrBroken, also when data is no message at all, or
// ErrDeep.
func Open(data []byte, maxDepth int, each func(core.Part) error) error {
	return ErrBroken
}
