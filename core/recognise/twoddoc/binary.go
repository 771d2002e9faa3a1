package twoddoc

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// The binary form (CAB version 4, marker 0xDC): identifiers are one byte, lengths are
// explicit, dates are MMJJAAAA as an integer on three bytes.
const (
	binaryHeader    = 19
	binarySignature = 0xFF // in the place of an identifier: the signature follows
	longValue       = 0xFF // in the place of a length: two bytes of length follow
)

// decodeBinary reads the binary form. The tables of its perimeters are not public to
// us: its fields are shown by number, and prove nothing about the print.
func decodeBinary(data []byte) (*Code, error) {
	if len(data) < binaryHeader || data[1] != 4 {
		return nil, malformed("en-tête binaire tronqué ou de version inconnue")
	}
	country, err := c40(data[2:4])
	if err != nil {
		return nil, err
	}
	signer, err := c40(data[4:10])
	if err != nil || len(signer) < 8 || !isUpper(signer) || !isUpper(country) {
		return nil, malformed("autorité ou certificat illisible")
	}
	c := &Code{Header: Header{
		Version: 4, Binary: true, Country: country,
		Authority: signer[:4], Cert: signer[4:],
		Type: fmt.Sprintf("%02X", data[16]), Perimeter: fmt.Sprintf("%04X", data[17:19]),
	}}
	var issuedOK, signedOK bool
	c.Header.Issued, issuedOK = binaryDate(data[10:13])
	c.Header.Signed, signedOK = binaryDate(data[13:16])
	if !issuedOK || !signedOK || c.Header.Signed.IsZero() {
		c.headerFault = "date illisible"
	}
	rest, err := c.readBlocks(data[binaryHeader:])
	if err != nil {
		return nil, err
	}
	c.signed = data[:len(data)-len(rest)]
	return c, c.takeSignature(rest[1:])
}

// readBlocks reads fields up to the signature's mark, and returns from there.
func (c *Code) readBlocks(b []byte) ([]byte, error) {
	for len(b) > 0 && b[0] != binarySignature {
		value, rest, err := sized(b[1:])
		if err != nil {
			return nil, err
		}
		c.Fields = append(c.Fields, binaryField(b[0], value))
		b = rest
	}
	if len(b) == 0 {
		return nil, malformed("signature absente")
	}
	return b, nil
}

func (c *Code) takeSignature(b []byte) error {
	signature, annex, err := sized(b)
	if err != nil || !isWidth(len(signature)) {
		return malformed("signature illisible")
	}
	c.signature = signature
	for len(annex) > 0 {
		value, rest, err := sized(annex[1:])
		if err != nil {
			c.fault("annexe\u00A0: illisible")
			break
		}
		c.Annex = append(c.Annex, binaryField(annex[0], value))
		annex = rest
	}
	return nil
}

// sized takes a length and as many bytes.
func sized(b []byte) (value, rest []byte, err error) {
	if len(b) < 1 {
		return nil, nil, malformed("longueur absente")
	}
	n, b := int(b[0]), b[1:]
	if n == longValue {
		if len(b) < 2 {
			return nil, nil, malformed("longueur absente")
		}
		n, b = int(binary.BigEndian.Uint16(b)), b[2:]
	}
	if n > len(b) {
		return nil, nil, malformed("valeur plus longue que le code")
	}
	return b[:n], b[n:], nil
}

// binaryField shows a value as C40 text where it is some, in hexadecimal elsewhere.
func binaryField(id byte, value []byte) Field {
	text, err := c40(value)
	if err != nil || text == "" || printable(text) != text {
		text = strings.ToUpper(hex.EncodeToString(value))
	}
	name := fmt.Sprintf("%02X", id)
	return Field{ID: name, Label: "Donnée binaire " + name, Raw: text, Value: Value{Kind: KindText, Text: text}}
}

// C40, the encodation of ISO/IEC 16022 for capitals and digits: three values in two bytes,
// value 0 to 2 shifting the next into another set.
const (
	c40Basic  = " 0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	c40Shift2 = "!\"#$%&'()*+,-./:;<=>?@[\\]^_"
	c40Shift3 = "`abcdefghijklmnopqrstuvwxyz{|}~\x7F"
)

// c40 undoes C40 in whole pairs of bytes.
func c40(b []byte) (string, error) {
	if len(b)%2 != 0 {
		return "", malformed("C40 illisible")
	}
	var out bytes.Buffer
	shift := 0
	for ; len(b) > 0; b = b[2:] {
		v := int(b[0])<<8 + int(b[1]) - 1
		if v < 0 || v >= 40*40*40 {
			return "", malformed("C40 illisible")
		}
		for _, digit := range [...]int{v / 1600, v / 40 % 40, v % 40} {
			var ok bool
			if shift, ok = c40Digit(&out, shift, digit); !ok {
				return "", malformed("C40 illisible")
			}
		}
	}
	return out.String(), nil
}

func c40Digit(out *bytes.Buffer, shift, digit int) (next int, ok bool) {
	switch {
	case shift == 0 && digit < 3:
		return digit + 1, true
	case shift == 0:
		out.WriteByte(c40Basic[digit-3])
	case shift == 1 && digit < 32:
		out.WriteByte(byte(digit))
	case shift == 2 && digit < len(c40Shift2):
		out.WriteByte(c40Shift2[digit])
	case shift == 3 && digit < len(c40Shift3):
		out.WriteByte(c40Shift3[digit])
	default: // FNC1 and the upper shift stand in no 2D-Doc
		return 0, false
	}
	return 0, true
}
