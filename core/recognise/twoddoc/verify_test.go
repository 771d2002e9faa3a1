package twoddoc

import (
	"bytes"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base32"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"vaguemestre/core/recognise/twoddoc/twoddoctest"
)

func TestVerifyEveryForm(t *testing.T) {
	ca := twoddoctest.NewCA(t, "FR98")
	p256, p384, p521 := ca.Issue("0001", elliptic.P256()), ca.Issue("0002", elliptic.P384()), ca.Issue("0003", elliptic.P521())
	binary := ca.Issue("00001", elliptic.P256())
	trust := given(t, fstest.MapFS{"FR98.pem": pemFile(ca.Cert), "FR98-0001.pem": pemFile(p256.Cert), "FR98-0002.pem": pemFile(p384.Cert),
		"FR98-0003.pem": pemFile(p521.Cert), "FR98-00001.pem": pemFile(binary.Cert)})
	raw := func(l twoddoctest.Leaf, signed string, sep string) []byte {
		signed = strings.ReplaceAll(signed, "·", "\x1d")
		return append([]byte(signed+sep), l.Sign(t, []byte(signed))...)
	}
	for name, c := range map[string]struct {
		code   []byte
		fields int
	}{
		"version 4":               {p256.Code(t, twoddoctest.Header+twoddoctest.Bill), 5},
		"version 4, annex":        {append(p256.Code(t, twoddoctest.Header+twoddoctest.Bill), "\x1d10M/FAUX/NOM"...), 5},
		"version 4, raw":          {raw(p256, twoddoctest.Header+twoddoctest.Bill, "\x1f"), 5},
		"version 3":               {p256.Code(t, "DC03FR9800011EBC1EBC0101"+twoddoctest.Bill), 5},
		"version 2":               {p256.Code(t, "DC02FR9800011EBC1EBC01"+twoddoctest.Bill), 5},
		"version 1":               {raw(p256, "DC01FR9800011EBC1EBC01"+twoddoctest.Bill, ""), 5},
		"version 1, P-384":        {raw(p384, "DC01FR9800021EBC1EBC01"+twoddoctest.Bill, ""), 5},
		"P-384":                   {p384.Code(t, "DC04FR9800021EBC1EBC0101FR"+twoddoctest.Bill), 5},
		"P-521":                   {p521.Code(t, "DC04FR9800031EBC1EBC0101FR"+twoddoctest.Bill), 5},
		"undated":                 {p256.Code(t, "DC04FR980001FFFF1EBC0301FR30M EXEMPLE·31FR7030002005500000157845Z02·32CRLYFRPP·"), 3},
		"no last separator":       {p256.Code(t, twoddoctest.Header+strings.TrimSuffix(twoddoctest.Bill, "·")), 5},
		"separator after a fixed": {p256.Code(t, twoddoctest.Header+"26FR·2475000·10X·"), 3},
		"padded Base32":           {append(p256.Code(t, twoddoctest.Header+twoddoctest.Bill), '='), 5},
		"unknown field":           {p256.Code(t, twoddoctest.Header+"ZZsomething·10X·"), 2},
		"unknown type":            {p256.Code(t, "DC04FR9800011EBC1EBCZ901FR10X·"), 1},
		"unknown perimeter":       {p256.Code(t, "DC04FR9800011EBC1EBC0102FR10X·"), 1},
		"empty message":           {p256.Code(t, twoddoctest.Header), 0},
		"cut short":               {p256.Code(t, twoddoctest.Header+"10MME/SPECIMEN/NATACHA\x1e"), 1},
		"binary":                  {binaryCode(t, binary), 2},
	} {
		t.Run(name, func(t *testing.T) {
			c, r := VerifyBytes(c.code, trust)
			if r.Verdict != Valid || r.Test || c == nil {
				t.Fatalf("%+v", r)
			}
			if want := map[bool]int{true: 1, false: 0}[strings.Contains(name, "annex")]; len(c.Annex) != want {
				t.Errorf("annex %+v", c.Annex)
			}
		})
		if code, err := Decode(c.code); err != nil || len(code.Fields) != c.fields {
			t.Errorf("%s: %d fields, want %d (%v)", name, len(code.Fields), c.fields, err)
		}
	}
}

// given is the folder that an administrator would name.
func given(t testing.TB, files fstest.MapFS) *Trust {
	t.Helper()
	trust, problems, err := Load(files, true)
	if err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	return trust
}

func pemFile(certs ...*x509.Certificate) *fstest.MapFile {
	return &fstest.MapFile{Data: twoddoctest.PEM(certs...)}
}

// toC40 writes capitals and digits in threes.
func toC40(s string) []byte {
	var out []byte
	for ; len(s) >= 3; s = s[3:] {
		v := 1
		for i, weight := range []int{1600, 40, 1} {
			v += weight * (3 + strings.IndexByte(c40Basic, s[i]))
		}
		out = append(out, byte(v>>8), byte(v))
	}
	return out
}

func binaryCode(t testing.TB, l twoddoctest.Leaf) []byte {
	t.Helper()
	date := func(n int) []byte { return []byte{byte(n >> 16), byte(n >> 8), byte(n)} }
	b := append([]byte{0xDC, 4}, toC40("FRA")...)
	b = append(b, toC40("FR9800001")...)
	b = append(append(b, date(7_07_2021)...), date(7_07_2021)...)
	b = append(b, 1, 0, 1)
	b = append(append(b, 0x10, 4), toC40("ABCDEF")...)
	b = append(append(b, 0x11, 0xFF, 1, 0x2C), bytes.Repeat([]byte{0xFF}, 300)...)
	return append(append(b, 0xFF, 64), l.Sign(t, b)...)
}

func TestVerdicts(t *testing.T) {
	ca, tests := twoddoctest.NewCA(t, "FR98"), twoddoctest.NewCA(t, "FR00")
	leaf, zero, test := ca.Issue("0001", elliptic.P256()), ca.Issue("0000", elliptic.P256()), tests.Issue("0001", elliptic.P256())
	trust := given(t, fstest.MapFS{"FR98.pem": pemFile(ca.Cert), "FR98-0001.pem": pemFile(leaf.Cert), "FR98-0000.pem": pemFile(zero.Cert),
		"FR00.pem": pemFile(tests.Cert), "FR00-0001.pem": pemFile(test.Cert)})
	good := leaf.Code(t, twoddoctest.Header+twoddoctest.Bill)
	for name, c := range map[string]struct {
		code []byte
		want Verdict
		test bool
	}{
		"good":                          {good, Valid, false},
		"nothing":                       {nil, None, false},
		"another code":                  {[]byte("https://example.org/"), None, false},
		"two letters":                   {[]byte("DC"), Malformed, false},
		"not one after all":             {[]byte("DC Comics presents"), Malformed, false},
		"version 9":                     {leaf.Code(t, "DC09FR9800011EBC1EBC0101FR"+twoddoctest.Bill), Malformed, false},
		"no signature":                  {[]byte(twoddoctest.Header + "10X"), Malformed, false},
		"half a signature":              {good[:len(good)-20], Malformed, false},
		"signature in small letters":    {bytes.Replace(good, good[len(good)-40:], bytes.ToLower(good[len(good)-40:]), 1), Malformed, false},
		"message changed":               {bytes.Replace(good, []byte("1319"), []byte("1318"), 1), InvalidSignature, false},
		"date of signature made no hex": {bytes.Replace(good, []byte("1EBC1EBC"), []byte("1EBC1EBX"), 1), InvalidSignature, false},
		"by another":                    {test.Code(t, twoddoctest.Header+twoddoctest.Bill), InvalidSignature, false},
		"other certificate":             {leaf.Code(t, "DC04FR9800091EBC1EBC0101FR"+twoddoctest.Bill), CertificateUnknown, false},
		"other authority":               {leaf.Code(t, "DC04FR9700011EBC1EBC0101FR"+twoddoctest.Bill), CertificateUnknown, false},
		"signed too late":               {leaf.Code(t, "DC04FR980001223E223E0101FR"+twoddoctest.Bill), CertificateExpiredAtSigning, false},
		"signed too early":              {leaf.Code(t, "DC04FR9800011C881C880101FR"+twoddoctest.Bill), CertificateExpiredAtSigning, false},
		"signed on the last day":        {leaf.Code(t, "DC04FR980001223D223D0101FR"+twoddoctest.Bill), Valid, false},
		"signed on the first day":       {leaf.Code(t, "DC04FR9800011C891C890101FR"+twoddoctest.Bill), Valid, false},
		"no date of signature":          {leaf.Code(t, "DC04FR9800011EBCFFFF0101FR"+twoddoctest.Bill), Malformed, false},
		"signed, but no dates":          {leaf.Code(t, "DC04FR980001ZZZZ1EBC0101FR"+twoddoctest.Bill), Malformed, false},
		"certificate for tests":         {zero.Code(t, "DC04FR9800001EBC1EBC0101FR"+twoddoctest.Bill), Valid, true},
		"authority for tests":           {test.Code(t, "DC04FR0000011EBC1EBC0101FR"+twoddoctest.Bill), Valid, true},
		"binary cut short":              {[]byte{0xDC, 4, 1, 2}, Malformed, false},
		"too long":                      {append(good, bytes.Repeat([]byte{'A'}, maxCode)...), Malformed, false},
	} {
		_, r := VerifyBytes(c.code, trust)
		if r.Verdict != c.want || r.Test != c.test || r.Reason == "" {
			t.Errorf("%s: %+v, want %s", name, r, c.want)
		}
		if strings.Contains(r.Reason, "SPECIMEN") {
			t.Errorf("%s: the reason quotes the code: %s", name, r.Reason)
		}
	}
}

// TestMutations changes valid codes at random: bits, bytes, pieces left out, doubled,
// exchanged between codes. None is accepted with another content.
func TestMutations(t *testing.T) {
	ca := twoddoctest.NewCA(t, "FR98")
	leaf, binary := ca.Issue("0001", elliptic.P256()), ca.Issue("00001", elliptic.P256())
	trust := given(t, fstest.MapFS{"FR98.pem": pemFile(ca.Cert), "FR98-0001.pem": pemFile(leaf.Cert), "FR98-00001.pem": pemFile(binary.Cert)})
	codes := [][]byte{leaf.Code(t, twoddoctest.Header+twoddoctest.Bill), leaf.Code(t, "DC03FR9800011EBC1EBC0601"+"10M/EXEMPLE/HENRY·53123154124F581319,24·"), binaryCode(t, binary)}
	signed := append([]byte("DC01FR9800011EBC1EBC01"), strings.ReplaceAll(twoddoctest.Bill, "·", "\x1d")...)
	codes = append(codes, append(signed, leaf.Sign(t, signed)...))
	random := rand.New(rand.NewPCG(2, 42))
	verdicts := map[Verdict]int{}
	const mutations = 12_000
	for i := range mutations {
		original := codes[i%len(codes)]
		changed := mutate(random, original, codes)
		c, r := VerifyBytes(changed, trust)
		verdicts[r.Verdict]++
		if r.Verdict != Valid {
			continue
		}
		same := false
		for _, o := range codes {
			before, err := Decode(o)
			same = same || err == nil && bytes.Equal(c.signed, before.signed) && c.Header == before.Header && reflect.DeepEqual(c.Fields, before.Fields)
		}
		if !same {
			t.Fatalf("mutation %d of %q is accepted: %q", i, original, changed)
		}
	}
	t.Logf("%d mutations: %v (valid: the unsigned annex, or no change at all)", mutations, verdicts)
	if verdicts[InvalidSignature] < mutations/4 {
		t.Errorf("too few reached the signature: %v", verdicts)
	}
}

// mutate changes a code in one to three ways.
func mutate(random *rand.Rand, code []byte, others [][]byte) []byte {
	b := bytes.Clone(code)
	for range 1 + random.IntN(3) {
		at := random.IntN(len(b))
		switch random.IntN(8) {
		case 0:
			b[at] ^= 1 << random.IntN(8)
		case 1:
			b[at] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ /,-\x1d\x1e\x1f"[random.IntN(43)]
		case 2:
			b = append(b[:at], b[min(len(b), at+1+random.IntN(4)):]...)
		case 3:
			b = append(b[:at], append([]byte{byte(random.IntN(256))}, b[at:]...)...)
		case 4:
			from := random.IntN(len(b))
			b = append(b[:at], append(bytes.Clone(b[from:min(len(b), from+random.IntN(30))]), b[at:]...)...)
		case 5: // the end of another code
			other := others[random.IntN(len(others))]
			b = append(b[:at], other[min(at, len(other)):]...)
		case 6: // another digit
			if i := bytes.IndexAny(b[at:], "0123456789"); i >= 0 {
				b[at+i] = '0' + (b[at+i]-'0'+1+byte(random.IntN(9)))%10
			}
		case 7: // something of one's own behind the message, before the signature
			if i := bytes.LastIndexByte(b, us); i >= 0 {
				b = append(b[:i], append([]byte("\x1d10M/FAUX/NOM\x1d"), b[i:]...)...)
			}
		}
		if len(b) == 0 {
			return b
		}
	}
	return b
}

// TestSignatureHasOneSpelling: stray bits of Base32 make no second text of a signature.
func TestSignatureHasOneSpelling(t *testing.T) {
	leaf := twoddoctest.NewCA(t, "FR98").Issue("0001", elliptic.P256())
	trust := given(t, fstest.MapFS{"FR98-0001.pem": pemFile(leaf.Cert)})
	code := leaf.Code(t, twoddoctest.Header+twoddoctest.Bill)
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	accepted := 0
	for _, last := range []byte(alphabet) {
		code[len(code)-1] = last
		if _, r := VerifyBytes(code, trust); r.Verdict == Valid {
			accepted++
		}
	}
	if _, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(string(code[len(code)-103:])); accepted != 1 || err != nil {
		t.Errorf("%d last characters are accepted", accepted)
	}
	signed := []byte(strings.ReplaceAll(twoddoctest.Header+twoddoctest.Bill, "·", "\x1d"))
	if signs(&leaf.Key.PublicKey, signed, make([]byte, 64)) || signs(&leaf.Key.PublicKey, signed, bytes.Repeat([]byte{0xFF}, 64)) {
		t.Error("a degenerate signature is accepted")
	}
}

func FuzzVerify(f *testing.F) {
	_, leaf, binary := twoddoctest.Fixed(f)
	trust := given(f, fstest.MapFS{"FR98-0001.pem": pemFile(leaf.Cert), "FR98-00001.pem": pemFile(binary.Cert)})
	seeds := [][]byte{leaf.Code(f, twoddoctest.Header+twoddoctest.Bill), binaryCode(f, binary), []byte("DC"), []byte("DC04"), leaf.Code(f, "DC04FR9800011EBC1EBC\x1b[\x00\x01\x07\x0810X·"), {0xDC, 4}, []byte(twoddoctest.Header + "\x1f"), []byte(twoddoctest.Header + "10\x1e\x1f"),
		leaf.Code(f, "DC02FR9800011EBC1EBC016F"+strings.Repeat("P FRA", 18)), leaf.Code(f, twoddoctest.Header+"0CNB2WS43T·07256199·1G7·4399,999·C399999999"+"9999·")}
	known := map[string]bool{}
	for _, s := range seeds {
		f.Add(s)
		if c, err := Decode(s); err == nil {
			known[string(c.signed)] = true
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		Join([][]byte{data, data[len(data)/2:], []byte("EX7Q02DC"), []byte("EX7Q12")})
		c, r := VerifyBytes(data, trust)
		if r.Verdict == Valid && !known[string(c.signed)] {
			t.Fatalf("accepted: %q", data)
		}
		if c == nil {
			return
		}
		h := c.Header
		if strings.ContainsFunc(h.Authority+h.Cert+h.Type+h.Perimeter+h.Country+r.Reason+strings.Join(c.Faults, ""), func(r rune) bool { return r < ' ' }) {
			t.Fatalf("a control character is shown: %+v", h)
		}
		for _, field := range append(c.Fields, c.Annex...) {
			if strings.ContainsFunc(field.ID+field.Raw+field.Value.Text, func(r rune) bool { return r < ' ' }) {
				t.Fatalf("a control character is shown: %+v", field)
			}
		}
		c.Compare(Print{Text: string(data), Exact: len(data)%2 == 0})
	})
}
