package core

import (
	"crypto/rand"
	"fmt"
)

// Every identifier is a random UUID (version 4, 122 random bits: SEC-03) in its
// canonical text form. An identifier says nothing about order or number.
type (
	TenantID   string // a town
	CitizenID  string // the owner of one vault; it names the vault too
	AgentID    string // someone of the town
	AddressID  string // a deposit address
	SenderID   string // an address that a citizen writes from
	MailboxID  string // a mailbox that is emptied
	DepositID  string // one arrival
	PieceID    string // one file found in a deposit
	DocumentID string // what stands in a vault
	ReportID   string // what came to a letter's return path
	LetterID   string // a letter of the outbox; it names its message too
	ObjectID   string // one sealed stream of bytes; bound into its encryption
)

// Ref says where sealed bytes lie. Only the blob store that made it can read
// it; everyone else keeps it as it is.
type Ref string

// InRow begins the refs of sealed bytes that lie in the row which names them.
const InRow = "row:"

// InSegment begins the refs of sealed bytes that lie in a file with others. That of the
// file is what comes before the second slash.
const InSegment = "seg:"

// NewID returns a fresh random identifier of the wanted type.
func NewID[T ~string]() T {
	var b [16]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return T(fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16]))
}
