package cms_test

import (
	"bytes"
	"strings"
	"testing"

	"vaguemestre/channels/mail/cms"
)

// der is an element of definite length.
func der(tag byte, content ...[]byte) []byte {
	body := bytes.Join(content, nil)
	switch n := len(body); {
	case n < 0x80:
		return append([]byte{tag, byte(n)}, body...)
	case n < 0x100:
		return append([]byte{tag, 0x81, byte(n)}, body...)
	default:
		return append([]byte{tag, 0x82, byte(n >> 8), byte(n)}, body...)
	}
}

// ber is an element of indefinite length.
func ber(tag byte, content ...[]byte) []byte {
	return append(append([]byte{tag, 0x80}, bytes.Join(content, nil)...), 0, 0)
}

// pkcs7 is an identifier of PKCS #7; 1 is data, 2 signed, 3 enveloped.
func pkcs7(n byte) []byte {
	return der(0x06, []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, n})
}

// object is a CMS object of that kind whose fields el encodes; body stands where the
// content stands, if it is not nil.
func object(el func(byte, ...[]byte) []byte, kind byte, body []byte) []byte {
	encapsulated := [][]byte{pkcs7(1)}
	if body != nil {
		encapsulated = append(encapsulated, el(0xa0, body))
	}
	fields := [][]byte{der(0x02, []byte{1}), der(0x31, der(0x30, pkcs7(1))), el(0x30, encapsulated...), der(0x31)}
	return el(0x30, pkcs7(kind), el(0xa0, el(0x30, fields...)))
}

func TestOpen(t *testing.T) {
	text := []byte("Content-Type: text/plain\r\n\r\n" + strings.Repeat("Bonjour. ", 30))
	whole := der(0x04, text)
	pieces := ber(0x24, der(0x04, text[:100]), der(0x24, der(0x04, text[100:150]), der(0x04, text[150:])))
	deep := der(0x04, text)
	for range 20 {
		deep = der(0x24, deep)
	}
	for _, tc := range []struct {
		name    string
		data    []byte
		kind    cms.Kind
		content []byte
		damaged bool
	}{
		{"signed", object(der, 2, whole), cms.Signed, text, false},
		{"signed, streamed", object(ber, 2, pieces), cms.Signed, text, false},
		{"signed, in pieces of definite length", object(der, 2, pieces), cms.Signed, text, false},
		{"detached signature", object(der, 2, nil), cms.Signed, nil, false},
		{"more after it", append(object(der, 2, whole), 0, 0, 'x'), cms.Signed, text, false},
		{"enveloped", object(der, 3, nil), cms.Encrypted, nil, false},
		{"encrypted", object(ber, 6, nil), cms.Encrypted, nil, false},
		{"authenticated and enveloped", der(0x30, der(0x06, []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x17})), cms.Encrypted, nil, false},
		{"data alone", object(der, 1, whole), cms.Other, nil, false},
		{"cut short", object(der, 2, whole)[:200], cms.Other, nil, true},
		{"streamed, cut short", object(ber, 2, pieces)[:200], cms.Other, nil, true},
		{"pieces too deep", object(der, 2, deep), cms.Signed, nil, true},
		{"content that is no string", object(der, 2, der(0x02, text)), cms.Signed, nil, true},
		{"a string of indefinite length that is not made of others", object(der, 2, ber(0x04, text)), cms.Signed, nil, true},
		{"a length of eight bytes", []byte{0x30, 0x88, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, cms.Other, nil, true},
		{"no CMS", []byte("0 is how it begins"), cms.Other, nil, true},
		{"empty", nil, cms.Other, nil, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			kind, content, err := cms.Open(tc.data)
			if kind != tc.kind || !bytes.Equal(content, tc.content) || (err != nil) != tc.damaged {
				t.Errorf("kind %d, content %q, error %v", kind, content, err)
			}
		})
	}
}

// FuzzOpen checks that nothing makes the reading fail or give out more than it was given.
func FuzzOpen(f *testing.F) {
	f.Add(object(der, 2, der(0x04, []byte("signed"))))
	f.Add(object(ber, 2, ber(0x24, der(0x04, []byte("sig")), der(0x04, []byte("ned")))))
	f.Add(object(der, 3, nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		kind, content, err := cms.Open(data)
		if len(content) > len(data) || len(content) > 0 && (kind != cms.Signed || err != nil) {
			t.Errorf("kind %d, %d bytes of content from %d, error %v", kind, len(content), len(data), err)
		}
	})
}
