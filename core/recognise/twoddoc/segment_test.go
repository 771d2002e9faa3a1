package twoddoc

import (
	"bytes"
	"testing"
	"testing/fstest"

	"vaguemestre/core/recognise/twoddoc/twoddoctest"
)

func TestJoin(t *testing.T) {
	ca, leaf, _ := twoddoctest.Fixed(t)
	trust := given(t, fstest.MapFS{"FR98.pem": pemFile(ca.Cert), "FR98-0001.pem": pemFile(leaf.Cert)})
	code := leaf.Code(t, twoddoctest.Header+twoddoctest.Bill)
	part := func(header string, from, to int) []byte { return append([]byte(header), code[from:to]...) }
	a, b, c := part("EX7Q02", 0, 50), part("EX7Q12", 50, 120), part("EX7Q22", 120, len(code))
	qr, other := []byte("https://example.org/"), []byte("EAN12345")
	for name, symbols := range map[string][][]byte{
		"in order":   {a, b, c},
		"at random":  {c, qr, a, other, b},
		"read twice": {a, a, b, c, b},
		"and alone":  {a, code, b, c},
	} {
		joined := Join(symbols)
		found := 0
		for _, j := range joined {
			if bytes.Equal(j, code) {
				found++
			}
		}
		if want := map[bool]int{true: 2, false: 1}[name == "and alone"]; found != want {
			t.Errorf("%s: %q", name, joined)
		}
		if got := Authenticate(symbols, Print{}, trust); got.Signature != Valid {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for name, symbols := range map[string][][]byte{
		"one is missing":      {a, c},
		"another's":           {a, b, part("EX8Q22", 120, len(code))},
		"another count":       {a, b, part("EX7Q23", 120, len(code))},
		"place beyond":        {a, b, part("EX7Q32", 120, len(code))},
		"begins with nothing": {part("EX7Q02", 1, 50), b, c},
	} {
		if joined := Join(symbols); len(joined) != len(symbols) {
			t.Errorf("%s: %q", name, joined)
		}
		if got := Authenticate(symbols, Print{}, trust); got.Signature != None {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := Authenticate([][]byte{a, part("EX7Q12", 51, 121), c}, Print{}, trust); got.Signature != InvalidSignature && got.Signature != Malformed {
		t.Errorf("a symbol was changed: %+v", got)
	}
}
