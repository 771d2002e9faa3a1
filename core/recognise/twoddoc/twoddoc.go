// Package twoddoc reads and verifies 2D-Doc, the signed code that French issuers print on
// bills, tax notices and certificates (cachet électronique visible, run by France Titres).
//
// It owns three questions, and keeps their answers apart: what the code says (Decode),
// whether an authority that is trusted signed it (Verify), and whether the document it
// stands on says the same (Compare). A valid signature vouches for the code alone: a code
// cut from a true bill and glued onto another is valid, and only Compare tells.
//
// The format is the ANTS/France Titres specification of 2D-Doc (CAB), versions 3.2.6 to
// 3.3.4, header versions 1 to 4. The package is pure: certificates and trust lists come
// in as bytes or as an fs.FS, the clock as an argument.
package twoddoc

import (
	"bytes"
	"errors"
	"fmt"

	"vaguemestre/core"
)

// Separators of the text form (CAB, message zone): each is one byte.
const (
	gs = 0x1D // ends a value
	rs = 0x1E // ends a value that was cut short
	us = 0x1F // ends the message, the signature follows
)

// maxCode bounds what is looked at: the largest DataMatrix (144×144, ISO/IEC 16022) holds
// 3,116 digits, less of anything else, and a code may be spread over several.
const maxCode = maxSymbols * 3116

// ErrNone: the bytes are some other code, or none; nothing is wrong with them.
var ErrNone = errors.New("no 2D-Doc")

// MalformedError: the bytes claim to be a 2D-Doc and cannot be read as one. Where names
// the part in French, without quoting it: a code holds personal data.
type MalformedError struct{ Where string }

func (e *MalformedError) Error() string { return "malformed 2D-Doc: " + e.Where }

func malformed(where string) error { return &MalformedError{Where: where} }

// Code is a 2D-Doc as read. Nothing of it is proven before Verify.
type Code struct {
	Header Header
	Fields []Field // in the order of the code
	Annex  []Field // what follows the signature (version 4): signed by nobody, never to be believed

	// Faults are departures from the specification that do not keep the code from being
	// verified: an unknown field, a value of the wrong length, mandatory data absent.
	Faults []string

	// headerFault is what is wrong in the header although its certificate can be named: a
	// code with one is never valid.
	headerFault string

	signed    []byte // exactly the bytes that the signature covers
	signature []byte // r‖s, of fixed width
}

// Header says who signed what, when.
type Header struct {
	Version   int       `json:"version"`
	Binary    bool      `json:"binary,omitempty"`
	Authority string    `json:"authority"`         // the certification authority: country and number, FR03
	Cert      string    `json:"certificate"`       // the certificate's id at that authority: its subject's CN
	Issued    core.Date `json:"issued,omitzero"`   // date of the document; zero when undated
	Signed    core.Date `json:"signed,omitzero"`   // date of the signature
	Type      string    `json:"document_type"`     // code of the document's kind
	Label     string    `json:"label,omitempty"`   // that kind in French; "" when unknown
	Perimeter string    `json:"perimeter"`         // whose table of types and fields it follows
	Country   string    `json:"country,omitempty"` // of the issuer, since version 4
}

// ForTests reports whether the code names an authority or a certificate that the
// specification reserves for tests: authority 00 of any country, certificate 0000 of any
// authority.
func (h Header) ForTests() bool { return testAuthority(h.Authority) || testCertificate(h.Cert) }

func testAuthority(ca string) bool { return len(ca) == 4 && ca[2:] == "00" }

func testCertificate(id string) bool {
	return len(id) >= 4 && len(bytes.Trim([]byte(id), "0")) == 0
}

// Decode reads a code as a DataMatrix reader hands it over. The error is ErrNone for
// bytes that are no 2D-Doc, or a *MalformedError. What it accepts is not yet verified.
func Decode(data []byte) (*Code, error) {
	switch {
	case len(data) > maxCode:
		return nil, malformed("plus long qu’aucun code")
	case bytes.HasPrefix(data, []byte("DC")):
		return decodeText(data)
	case len(data) > 1 && data[0] == 0xDC:
		return decodeBinary(data)
	}
	return nil, ErrNone
}

// Field returns the first field with this identifier.
func (c *Code) Field(id string) (Field, bool) {
	for _, f := range c.Fields {
		if f.ID == id {
			return f, true
		}
	}
	return Field{}, false
}

// fault notes a departure once.
func (c *Code) fault(format string, args ...any) {
	const most = 32
	if len(c.Faults) < most {
		c.Faults = append(c.Faults, fmt.Sprintf(format, args...))
	}
}
