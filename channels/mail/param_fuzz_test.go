package mail

import (
	"context"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzHeader checks that no header field makes the reading of parameters, encoded words
// and names fail, and that what comes out can be stored and shown anywhere.
func FuzzHeader(f *testing.F) {
	for _, seed := range []string{
		`attachment; filename="facture.pdf"`,
		`attachment; filename=Avis de situation 2026.pdf; size=3`,
		`attachment; filename*=UTF-8''facture%20%C3%A9t%C3%A9.pdf; filename="facture _t_.pdf"`,
		`attachment; filename*0*=iso-8859-1'fr'Ann%E9e; filename*1="=?utf-8?Q?_2026?="; filename*2*=.pdf`,
		`application/pdf; name="=?UTF-8?B?cmXDp3UucGRm?= =?iso-8859-1?q?_=E9?="`,
		`application/pdf name="a \"b\" c.pdf" (comment; x=y)`,
		`multipart/mixed; boundary="a; boundary=b; boundary*0=c`,
		`text/plain; name==?utf-7?Q?Re+AOc-u?=`,
		"image/png;\tname=\x1b$B\x00\xe9\u202e.png",
		"C:\\Documents\\..\\facture.pdf",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, field string) {
		value, params := parseParams([]byte(field))
		total := len(value)
		for name, p := range params {
			total += len(name)
			shown := fileName(p)
			if !utf8.ValidString(shown) || len(shown) > maxName || strings.ContainsAny(shown, "\x00\r\n/\\\u202e") {
				t.Errorf("name %q", shown)
			}
			_ = p.conflicts()
		}
		if total > 4*len(field) {
			t.Errorf("%d bytes of names from %d", total, len(field))
		}
		if words := decodeWords(field); !utf8.ValidString(words) {
			t.Errorf("words %q", words)
		}
		const limit = 1 << 16
		line := strings.NewReplacer("\r", "", "\n", "").Replace(field)
		for _, name := range []string{"Content-Type: ", "Content-Disposition: "} {
			h := readHeader(newLines(context.Background(), strings.NewReader(name+line+"\r\n\r\n")), limit)
			if !utf8.ValidString(h.name) || h.mediaType != "" && !isMediaType(h.mediaType) {
				t.Errorf("name %q, type %q", h.name, h.mediaType)
			}
		}
	})
}
