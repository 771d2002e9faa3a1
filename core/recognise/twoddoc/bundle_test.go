package twoddoc

import (
	"bytes"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"testing"

	"vaguemestre/core/recognise/twoddoc/twoddoctest"
)

// TestBundles: the forms in which authorities publish certificates.
func TestBundles(t *testing.T) {
	ca := twoddoctest.NewCA(t, "FR98")
	a, b := ca.Issue("0001", elliptic.P256()).Cert, ca.Issue("0002", elliptic.P256()).Cert
	multi := func(encoding string, body func([]byte) []byte) []byte {
		var out bytes.Buffer
		for _, c := range []*x509.Certificate{a, b} {
			out.WriteString("--=_x\r\nContent-Type: application/pkix-cert\r\nContent-Transfer-Encoding: " + encoding + "\r\n\r\n")
			out.Write(body(c.Raw))
			out.WriteString("\r\n")
		}
		out.WriteString("--=_x--\r\n")
		return out.Bytes()
	}
	raw := func(b []byte) []byte { return b }
	b64 := func(b []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(b)) }
	both := append(bytes.Clone(a.Raw), b.Raw...)
	for name, data := range map[string][]byte{
		"PEM":                    pemFile(a, b).Data,
		"DER, one after another": both,
		"multipart":              multi("binary", raw),
		"multipart in base64":    multi("base64", b64),
		"multipart with header":  append([]byte("Content-Type: multipart/mixed; boundary=\"=_x\"\r\n\r\n"), multi("binary", raw)...),
		"PKCS #7":                pkcs7Of(t, both),
		"PKCS #7 in PEM":         pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: pkcs7Of(t, both)}),
	} {
		certs, err := ReadCertificates(data)
		if err != nil || len(certs) != 2 || !certs[0].Equal(a) || !certs[1].Equal(b) {
			t.Errorf("%s: %d certificates, %v", name, len(certs), err)
		}
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "text": []byte("<html>404</html>"), "half of one": both[:len(both)-9], "an integer behind": append(bytes.Clone(a.Raw), 2, 1, 1),
		"length of 4 GiB": {0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF, 1}, "boundary alone": []byte("--"), "no end": []byte("--x\r\nA: b\r\n\r\n"), "key": []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
		"too large": make([]byte, maxBundle+1), "many": bytes.Repeat([]byte{0x30, 0}, maxCertificates+1),
	} {
		if certs, err := ReadCertificates(data); err == nil {
			t.Errorf("%s: %d certificates", name, len(certs))
		}
	}
}

// TestBundleWithOneDamaged: the others are read, and the damage is told.
func TestBundleWithOneDamaged(t *testing.T) {
	ca := twoddoctest.NewCA(t, "FR98")
	a := ca.Issue("0001", elliptic.P256())
	certs, err := ReadCertificates(append([]byte{0x30, 3, 2, 1, 1}, a.Cert.Raw...))
	if len(certs) != 1 || err == nil || !certs[0].Equal(a.Cert) {
		t.Errorf("%d certificates, %v", len(certs), err)
	}
}

// pkcs7Of wraps certificates, as openssl crl2pkcs7 does.
func pkcs7Of(t testing.TB, certs []byte) []byte {
	t.Helper()
	marshal := func(v any) []byte {
		b, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	set := asn1.RawValue{Tag: asn1.TagSet, IsCompound: true}
	inner := marshal(struct {
		Version int
		Digests asn1.RawValue
		Info    struct{ Type asn1.ObjectIdentifier }
		Certs   asn1.RawValue
		Signers asn1.RawValue
	}{1, set, struct{ Type asn1.ObjectIdentifier }{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}}, asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: certs}, set})
	return marshal(struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}{signedDataOID, asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: inner}})
}

func FuzzReadCertificates(f *testing.F) {
	ca, text, _ := twoddoctest.Fixed(f)
	leaf := text.Cert
	trust := &Trust{Given: true}
	if err := trust.AddAuthority("FR98", ca.Cert); err != nil {
		f.Fatal(err)
	}
	f.Add(pemFile(leaf).Data)
	f.Add(append(bytes.Clone(leaf.Raw), ca.Cert.Raw...))
	f.Add(pkcs7Of(f, leaf.Raw))
	f.Add([]byte("--x\r\nContent-Transfer-Encoding: base64\r\n\r\nMAA=\r\n--x--"))
	f.Fuzz(func(t *testing.T, data []byte) {
		certs, err := ReadCertificates(data)
		if err != nil {
			_, _ = ReadRevocations(data)
			return
		}
		for _, c := range certs {
			authority, id, _ := IDs(c)
			if trust.AddCertificate(authority, id, c) == nil && authority == "FR98" && !c.Equal(leaf) {
				t.Fatalf("another certificate is trusted: %x", c.Raw)
			}
		}
	})
}
