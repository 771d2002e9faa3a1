// Package tnef owns the reading of winmail.dat (application/ms-tnef, MS-OXTNEF), in
// which Outlook and Exchange pack the attachments of a message.
package tnef

import (
	"bytes"
	"errors"

	"vaguemestre/core"
)

// What is wrong with a container. What could be read was delivered before.
var (
	ErrBroken = errors.New("winmail.dat cut short or damaged")
	ErrDeep   = errors.New("messages in winmail.dat nested too deep")
)

// Begins reports whether prefix, of four bytes or more, is how a winmail.dat begins.
func Begins(prefix []byte) bool {
	return bytes.HasPrefix(prefix, []byte{0x78, 0x9f, 0x3e, 0x22})
}

// Open hands the files in a winmail.dat to each, in order, also those of messages
// embedded in it, down to maxDepth of them one in another. The text of a message is no
// file. Depth counts the embedded messages around a part: 0 in the container itself.
//
// Names, types and Content-IDs are UTF-8 without NUL; a part is never empty, and all
// together are not larger than data, of which they are slices: data must not change.
//
// An error of each ends the reading and is returned as it is. Otherwise the error says
// that parts may be missing: it wraps ErrBroken or ErrDeep.
func Open(data []byte, maxDepth int, each func(core.Part) error) error {
	return ErrBroken
}
