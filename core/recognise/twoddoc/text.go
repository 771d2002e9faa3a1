package twoddoc

import (
	"bytes"
	"encoding/base32"
	"strings"

	"vaguemestre/core"
)

// headerLen is the length of the text header by version (CAB, header of the C40 form).
var headerLen = map[int]int{1: 22, 2: 22, 3: 24, 4: 26}

// decodeText reads the form whose header is text. The signed bytes are taken as they
// stand, a last separator included: nothing is put in or left out.
func decodeText(data []byte) (*Code, error) {
	c := &Code{}
	n, err := c.readHeader(data)
	if err != nil {
		return nil, err
	}
	message, signature, annex, err := split(data, n, c.Header.Version)
	if err != nil {
		return nil, err
	}
	c.signed, c.signature = data[:n+len(message)], signature
	c.Fields = c.readMessage(message, "")
	if annex != nil {
		c.Annex = c.readMessage(annex, "annexe\u00A0: ")
	}
	c.checkStructure()
	return c, nil
}

// readHeader reads the header and returns its length. Only what keeps the certificate
// from being named is an error; the rest is kept as a fault, so that a code that was
// tampered with is told from one that never was any.
func (c *Code) readHeader(data []byte) (int, error) {
	if len(data) < 4 {
		return 0, malformed("en-tête tronqué")
	}
	version := int(data[2]-'0')*10 + int(data[3]-'0')
	n, known := headerLen[version]
	if !known || data[2] != '0' {
		return 0, malformed("version d’en-tête inconnue")
	}
	if len(data) < n {
		return 0, malformed("en-tête tronqué")
	}
	h := &c.Header
	h.Version, h.Authority, h.Cert = version, string(data[4:8]), string(data[8:12])
	if !isUpper(h.Authority) || !isUpper(h.Cert) {
		return 0, malformed("autorité ou certificat illisible")
	}
	var issuedOK, signedOK bool
	h.Issued, issuedOK = hexDate(string(data[12:16]))
	h.Signed, signedOK = hexDate(string(data[16:20]))
	h.Type, h.Perimeter = string(data[20:22]), "01"
	if version >= 3 {
		h.Perimeter = string(data[22:24])
	}
	if version >= 4 {
		h.Country = string(data[24:26])
	}
	h.Label = typeOf(*h).label
	readable := isUpper(h.Type) && isUpper(h.Perimeter) && isUpper(h.Country)
	h.Type, h.Perimeter, h.Country = printable(h.Type), printable(h.Perimeter), printable(h.Country)
	switch {
	case !issuedOK:
		c.headerFault = "date d’émission illisible"
	case !signedOK:
		c.headerFault = "date de signature illisible"
	case h.Signed.IsZero():
		c.headerFault = "date de signature absente"
	case !readable:
		c.headerFault = "type, périmètre ou pays illisible"
	}
	return n, nil
}

// isUpper reports whether s is made of capital letters and digits.
func isUpper(s string) bool {
	for i := range len(s) {
		if (s[i] < 'A' || s[i] > 'Z') && (s[i] < '0' || s[i] > '9') {
			return false
		}
	}
	return true
}

// split parts what follows the header. Since version 2 the last US parts message and
// signature; version 1 has the raw signature at the end, without a mark.
func split(data []byte, header, version int) (message, signature, annex []byte, err error) {
	body := data[header:]
	if version == 1 {
		n := rawSignature(body)
		if n == 0 {
			return nil, nil, nil, malformed("signature absente")
		}
		return body[:len(body)-n], body[len(body)-n:], nil, nil
	}
	if at, ok := rawAfterUS(body); ok && version == 4 {
		return body[:at], body[at+1:], nil, nil
	}
	at := bytes.LastIndexByte(body, us)
	if at < 0 {
		return nil, nil, nil, malformed("signature absente")
	}
	message, rest := body[:at], body[at+1:]
	text, annex, hasAnnex := bytes.Cut(rest, []byte{gs})
	if hasAnnex && version < 4 && len(annex) > 0 {
		return nil, nil, nil, malformed("données après la signature")
	}
	signature, err = unbase32(text)
	if err != nil || !isWidth(len(signature)) {
		return nil, nil, nil, malformed("signature illisible")
	}
	return message, signature, annex, nil
}

// The widths of r‖s for P-256, P-384 and P-521.
var widths = [...]int{64, 96, 132}

func isWidth(n int) bool { return n == widths[0] || n == widths[1] || n == widths[2] }

// rawAfterUS finds the US before a signature in raw bytes, which may hold a US themselves:
// version 4 may go over from C40 to bytes.
func rawAfterUS(body []byte) (at int, ok bool) {
	for _, n := range widths {
		if at = len(body) - n - 1; at >= 0 && body[at] == us {
			return at, true
		}
	}
	return 0, false
}

// rawSignature is the width of the signature that ends body (version 1): the smallest
// after which nothing but text is left.
func rawSignature(body []byte) int {
	for _, n := range widths {
		if len(body) >= n && isMessage(body[:len(body)-n]) {
			return n
		}
	}
	return 0
}

func isMessage(b []byte) bool {
	for _, c := range b {
		if (c < ' ' || c > '~') && c != gs && c != rs {
			return false
		}
	}
	return true
}

// unbase32 reads RFC 4648 Base32 with or without padding, in its one canonical spelling:
// no second text may stand for the same signature.
func unbase32(text []byte) ([]byte, error) {
	enc := base32.StdEncoding.WithPadding(base32.NoPadding)
	trimmed := strings.TrimRight(string(text), "=")
	b, err := enc.DecodeString(trimmed)
	if err == nil && enc.EncodeToString(b) != trimmed {
		err = malformed("Base32 incorrect")
	}
	return b, err
}

// readMessage reads blocks of identifier and value (CAB, message zone). It never fails:
// the bytes are signed as they are, and what cannot be parted is kept as one field.
func (c *Code) readMessage(b []byte, where string) []Field {
	var fields []Field
	for len(b) > 0 {
		if b[0] == gs || b[0] == rs { // after a value of fixed length: tolerated
			b = b[1:]
			continue
		}
		if len(b) < 2 {
			c.fault("%sreste en fin de message", where)
			break
		}
		id := string(b[:2])
		d, known := defined(c.Header.Perimeter, id)
		value, rest, cut := d.value(b[2:], c.Header.Perimeter)
		b = rest
		f := newField(id, d, value, cut)
		switch {
		case !known:
			c.fault("%schamp inconnu", where)
		case !cut && (len(value) < d.min && len(value) > 0 || d.max >= 0 && len(value) > d.max):
			c.fault("%schamp %s\u00A0: longueur inattendue", where, id)
		case f.Value.Kind == KindUnreadable:
			c.fault("%schamp %s\u00A0: valeur illisible", where, id)
		}
		fields = append(fields, f)
	}
	return fields
}

// value takes a value of this definition from the front of b, and says whether it was
// cut short by its issuer.
func (d definition) value(b []byte, perimeter string) (value string, rest []byte, cut bool) {
	end := bytes.IndexAny(b, "\x1D\x1E")
	if end < 0 {
		end = len(b)
	}
	if d.max > 0 && end > d.max {
		// No separator is needed after a value of full length; one that is too long for its
		// field is kept whole when what follows is no field.
		if next := b[d.max:]; d.min == d.max || startsField(next, perimeter) {
			return string(b[:d.max]), next, false
		}
	}
	value = string(b[:end])
	if end == len(b) {
		return value, nil, false
	}
	return value, b[end+1:], b[end] == rs
}

func startsField(b []byte, perimeter string) bool {
	if len(b) < 2 {
		return false
	}
	_, known := defined(perimeter, string(b[:2]))
	return known
}

// checkStructure notes what the type of the document asks for and the code lacks. The
// requirements changed between editions of the specification: a fault, never a forgery.
func (c *Code) checkStructure() {
	t := typeOf(c.Header)
	if t.label == "" {
		c.fault("type de document inconnu")
		return
	}
	if t.dated && c.Header.Issued == (core.Date{}) {
		c.fault("document sans date d’émission")
	}
	for _, alternatives := range t.mandatory {
		found := false
		for _, id := range alternatives {
			_, has := c.Field(id)
			found = found || has
		}
		if !found {
			c.fault("champ %s absent", strings.Join(alternatives, " ou "))
		}
	}
}
