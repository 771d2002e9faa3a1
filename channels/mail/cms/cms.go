// Package cms owns the reading of the Cryptographic Message Syntax (RFC 5652) as far as
// S/MIME needs it for looking inside: what kind of object it is, and the content that
// a signature was put around. It verifies nothing.
package cms

import (
	"bytes"
	"encoding/asn1"
	"errors"
)

// Kind is what a CMS object is.
type Kind int

// The kinds that matter here.
const (
	Other     Kind = iota // of a kind that is neither, or not CMS at all
	Signed                // SignedData: its content can be read
	Encrypted             // only the holder of a key can read it
)

// Open says what data is and, if that is signed, the content that was signed: empty
// when the signature is detached from it, or data holds certificates alone. The content
// is smaller than data, of which it may be a slice. BER is understood, indefinite
// lengths and strings in pieces included (X.690 §8), for programs stream it. An error
// says that data is cut short or damaged; the kind may be known all the same.
func Open(data []byte) (Kind, []byte, error) {
	info, _, err := next(data)
	if err != nil || info.tag != tagSequence {
		return Other, nil, errDamaged
	}
	oid, rest, err := next(info.content)
	if err != nil || oid.tag != tagOID {
		return Other, nil, errDamaged
	}
	kind := kindOf(oid.content)
	if kind != Signed {
		return kind, nil, nil
	}
	explicit, _, err := next(rest)
	if err != nil {
		return kind, nil, err
	}
	signed, _, err := next(explicit.content)
	if err != nil || signed.tag != tagSequence {
		return kind, nil, errDamaged
	}
	content, err := signedContent(signed.content)
	return kind, content, err
}

// signedContent finds eContent in a SignedData (RFC 5652 §5.1): version, digest
// algorithms, then the encapsulated content: its type and, unless detached, an OCTET
// STRING.
func signedContent(b []byte) ([]byte, error) {
	var e element
	var err error
	for range 3 {
		if e, b, err = next(b); err != nil {
			return nil, err
		}
	}
	if e.tag != tagSequence {
		return nil, errDamaged
	}
	_, rest, err := next(e.content)
	if err != nil || len(rest) == 0 {
		return nil, err
	}
	explicit, _, err := next(rest)
	if err != nil {
		return nil, err
	}
	octets, _, err := next(explicit.content)
	if err != nil || octets.tag&^constructed != tagOctets {
		return nil, errDamaged
	}
	return joined(octets, 0)
}

// kindOf knows the content types of CMS by their identifiers, all of them under
// 1.2.840.113549.1 (RFC 5652 §14, RFC 5083).
func kindOf(oid []byte) Kind {
	for _, known := range []struct {
		oid  []int
		kind Kind
	}{
		{[]int{7, 2}, Signed},
		{[]int{7, 3}, Encrypted},         // EnvelopedData
		{[]int{7, 4}, Encrypted},         // signed and enveloped, as in PKCS #7
		{[]int{7, 6}, Encrypted},         // EncryptedData
		{[]int{9, 16, 1, 23}, Encrypted}, // AuthEnvelopedData
	} {
		der, err := asn1.Marshal(append(asn1.ObjectIdentifier{1, 2, 840, 113549, 1}, known.oid...))
		if err == nil && bytes.Equal(der[2:], oid) {
			return known.kind
		}
	}
	return Other
}

var errDamaged = errors.New("CMS object cut short or damaged")

// Tags, with the bit that says that an element is made of others.
const (
	constructed = 0x20
	tagOctets   = 0x04
	tagOID      = 0x06
	tagSequence = 0x10 | constructed
)

// element is one element of BER.
type element struct {
	tag     byte
	content []byte
}

// next takes the first element of b.
func next(b []byte) (element, []byte, error) {
	tag, head, length, err := header(b)
	if err != nil {
		return element{}, nil, err
	}
	body := b[head:]
	if length >= 0 {
		return element{tag, body[:length]}, body[length:], nil
	}
	end, err := indefiniteEnd(body)
	if err != nil {
		return element{}, nil, err
	}
	return element{tag, body[:end]}, body[end+2:], nil
}

// header reads tag and length: how long they are, and how long the content is, -1 when
// it ends with an end-of-contents of its own. Tags of more than one byte have no place
// in what is read here.
func header(b []byte) (tag byte, head, length int, err error) {
	if len(b) < 2 || b[0]&0x1f == 0x1f {
		return 0, 0, 0, errDamaged
	}
	tag, first := b[0], b[1]
	switch {
	case first < 0x80:
		head, length = 2, int(first)
	case first == 0x80:
		if tag&constructed == 0 {
			return 0, 0, 0, errDamaged
		}
		return tag, 2, -1, nil
	default:
		head = 2 + int(first&0x7f)
		if head > 6 || len(b) < head {
			return 0, 0, 0, errDamaged
		}
		for _, c := range b[2:head] {
			length = length<<8 | int(c)
		}
	}
	if length > len(b)-head {
		return 0, 0, 0, errDamaged
	}
	return tag, head, length, nil
}

// indefiniteEnd is the length of a content of indefinite length, in one pass over it
// however deep it nests.
func indefiniteEnd(b []byte) (int, error) {
	open := 1
	for at := 0; ; {
		tag, head, length, err := header(b[at:])
		switch {
		case err != nil:
			return 0, err
		case length < 0:
			open++
			at += head
		case tag == 0 && length == 0:
			if open--; open == 0 {
				return at, nil
			}
			at += head
		default:
			at += head + length
		}
	}
}

// maxPieces is how deep an OCTET STRING in pieces may nest.
const maxPieces = 8

// joined is an OCTET STRING, put together when it comes in pieces.
func joined(e element, depth int) ([]byte, error) {
	if e.tag&constructed == 0 {
		return e.content, nil
	}
	if depth == maxPieces {
		return nil, errDamaged
	}
	var out []byte
	for b := e.content; len(b) > 0; {
		piece, rest, err := next(b)
		if err != nil || piece.tag&^constructed != tagOctets {
			return nil, errDamaged
		}
		more, err := joined(piece, depth+1)
		if err != nil {
			return nil, err
		}
		out, b = append(out, more...), rest
	}
	return out, nil
}
