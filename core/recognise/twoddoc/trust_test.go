package twoddoc

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"vaguemestre/core/recognise/twoddoc/twoddoctest"
)

// TestGivenFolder: what an administrator gives counts, tests included, unless an authority
// given beside says otherwise.
func TestGivenFolder(t *testing.T) {
	ca, rogue, tests := twoddoctest.NewCA(t, "FR98"), twoddoctest.NewCA(t, "FR98"), twoddoctest.NewCA(t, "FR00")
	leaf, forged, test := ca.Issue("0001", elliptic.P256()), rogue.Issue("0002", elliptic.P256()), tests.Issue("0001", elliptic.P256())
	trust, problems, err := Load(fstest.MapFS{
		"FR98.pem":         pemFile(ca.Cert),
		"FR98-0001.pem":    pemFile(leaf.Cert),
		"FR98-0002.pem":    pemFile(forged.Cert),
		"FR00-0001.der":    {Data: test.Cert.Raw}, // alone: pinned
		"FR98-0003.pem":    {Data: []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")},
		"README.md":        {Data: []byte("no certificate")},
		".hidden.pem":      {Data: []byte("garbage")},
		"sub/FR97-001.pem": pemFile(leaf.Cert),
	}, true)
	if err != nil || len(problems) != 2 {
		t.Fatal(problems, err)
	}
	for name, c := range map[string]struct {
		leaf twoddoctest.Leaf
		head string
		want Verdict
	}{
		"issued":           {leaf, "DC04FR9800011EBC1EBC0101FR", Valid},
		"not issued by it": {forged, "DC04FR9800021EBC1EBC0101FR", CertificateUnknown},
		"tests, pinned":    {test, "DC04FR0000011EBC1EBC0101FR", Valid},
	} {
		if _, r := VerifyBytes(c.leaf.Code(t, c.head+twoddoctest.Bill), trust); r.Verdict != c.want {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if _, _, err := Load(fstest.MapFS{"a": {}}, true); err != nil {
		t.Error(err)
	}
}

// TestTestsCountOnlyWhenGiven: neither a trust list nor a certificate makes an authority
// for tests count in a folder that was imported.
func TestTestsCountOnlyWhenGiven(t *testing.T) {
	ca, tests := twoddoctest.NewCA(t, "FR98"), twoddoctest.NewCA(t, "FR00")
	signer := twoddoctest.Signer(t)
	zero, test := ca.Issue("0000", elliptic.P256()), tests.Issue("0001", elliptic.P256())
	folder := fstest.MapFS{
		ListName:        {Data: twoddoctest.List(t, signer, 1, twoddoctest.Entry{ID: "FR98", Status: inAccord, Cert: ca.Cert}, twoddoctest.Entry{ID: "FR00", Status: inAccord, Cert: tests.Cert})},
		SignerName:      {Data: []byte(Fingerprint(signer))},
		"FR00.pem":      pemFile(tests.Cert),
		"FR00-0001.pem": pemFile(test.Cert),
		"FR98-0000.pem": pemFile(zero.Cert),
	}
	imported, problems, err := Load(folder, false)
	if err != nil || len(problems) != 2 {
		t.Fatal(problems, err)
	}
	trusted, _, err := Load(folder, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range [][]byte{test.Code(t, "DC04FR0000011EBC1EBC0101FR"+twoddoctest.Bill), zero.Code(t, "DC04FR9800001EBC1EBC0101FR"+twoddoctest.Bill)} {
		if _, r := VerifyBytes(code, imported); r.Verdict != CertificateUnknown || !strings.Contains(r.Reason, "essais") {
			t.Errorf("imported: %+v", r)
		}
		if _, r := VerifyBytes(code, Several{imported, trusted}); r.Verdict != Valid || !r.Test {
			t.Errorf("given: %+v", r)
		}
	}
}

// TestTrustList: authorities of a list whose signer was noted, and what they issued.
func TestTrustList(t *testing.T) {
	ca, gone, late := twoddoctest.NewCA(t, "FR98"), twoddoctest.NewCA(t, "FR97"), twoddoctest.NewCA(t, "FR96")
	signer := twoddoctest.Signer(t)
	leaf, left := ca.Issue("0001", elliptic.P256()), gone.Issue("0001", elliptic.P256())
	before := late.Issue("0001", elliptic.P256(), func(c *x509.Certificate) { c.NotBefore = twoddoctest.Begins.AddDate(-9, 0, 0) })
	list := twoddoctest.List(t, signer, 7, twoddoctest.Entry{ID: "FR98", Status: inAccord, Cert: ca.Cert}, twoddoctest.Entry{ID: "FR97", Status: twoddoctest.Withdrawn, Cert: gone.Cert}, twoddoctest.Entry{ID: "FR96", Status: inAccord, Cert: late.Cert}, twoddoctest.Entry{ID: "whatever", Status: inAccord, Cert: late.Cert})
	folder := fstest.MapFS{ListName: {Data: list}, SignerName: {Data: []byte(strings.ToUpper(Fingerprint(signer)) + "\n")},
		"FR98-0001.pem": pemFile(leaf.Cert), "FR97-0001.pem": pemFile(left.Cert), "FR96-0001.pem": pemFile(before.Cert), "FR98.pem": pemFile(gone.Cert)}
	trust, problems, err := Load(folder, false)
	if err != nil || len(problems) != 2 {
		t.Fatal(problems, err)
	}
	for name, c := range map[string]struct {
		code []byte
		want Verdict
	}{
		"in good standing":            {leaf.Code(t, twoddoctest.Header+twoddoctest.Bill), Valid},
		"withdrawn":                   {left.Code(t, "DC04FR9700011EBC1EBC0101FR"+twoddoctest.Bill), Revoked},
		"issued before its authority": {before.Code(t, "DC04FR9600011EBC1EBC0101FR"+twoddoctest.Bill), CertificateUnknown},
	} {
		if _, r := VerifyBytes(c.code, trust); r.Verdict != c.want {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if trust.Stale(twoddoctest.Begins) != "" || trust.Stale(twoddoctest.Ends) == "" || (&Trust{}).Stale(twoddoctest.Begins) == "" {
		t.Error("a list that was not renewed is told, one that is new is not")
	}

	folder[SignerName] = &fstest.MapFile{Data: []byte(strings.Repeat("0", 64))}
	if other, problems, _ := Load(folder, false); len(problems) == 0 || other.List() != nil {
		t.Error("a list by somebody else is taken")
	}
	delete(folder, SignerName)
	if other, problems, _ := Load(folder, false); len(problems) == 0 || other.List() != nil {
		t.Error("a list is taken although no signer was noted")
	}
}

// TestRevoked: a revoked certificate verifies nothing, whenever the code was signed; a
// list of revocations counts only when the authority signed it.
func TestRevoked(t *testing.T) {
	ca, other := twoddoctest.NewCA(t, "FR98"), twoddoctest.NewCA(t, "FR98")
	leaf, kept := ca.Issue("0001", elliptic.P256()), ca.Issue("0002", elliptic.P256())
	crl := func(by *twoddoctest.CA) *fstest.MapFile { return &fstest.MapFile{Data: by.Revoke(0, leaf.Cert)} }
	folder := fstest.MapFS{"FR98.pem": pemFile(ca.Cert), "FR98-0001.pem": pemFile(leaf.Cert), "FR98-0002.pem": pemFile(kept.Cert), "FR98.crl": crl(ca)}
	trust := given(t, folder)
	if _, r := VerifyBytes(leaf.Code(t, twoddoctest.Header+twoddoctest.Bill), trust); r.Verdict != Revoked || r.Reason == "" {
		t.Errorf("revoked: %+v", r)
	}
	if _, r := VerifyBytes(kept.Code(t, "DC04FR9800021EBC1EBC0101FR"+twoddoctest.Bill), trust); r.Verdict != Valid {
		t.Errorf("another of the same authority: %+v", r)
	}
	if _, r := VerifyBytes(leaf.Code(t, twoddoctest.Header+twoddoctest.Bill), Several{trust, given(t, fstest.MapFS{"FR98-0001.pem": pemFile(leaf.Cert)})}); r.Verdict != Revoked {
		t.Errorf("revoked in one of two: %+v", r)
	}
	folder["FR98.crl"] = crl(other)
	trust, problems, err := Load(folder, true)
	if _, r := VerifyBytes(leaf.Code(t, twoddoctest.Header+twoddoctest.Bill), trust); r.Verdict != Valid || len(problems) != 1 || err != nil {
		t.Errorf("revoked by another: %+v, %v, %v", r, problems, err)
	}
}

// TestRenewedUnderOneID: two certificates of one id are both tried.
func TestRenewedUnderOneID(t *testing.T) {
	ca := twoddoctest.NewCA(t, "FR98")
	a, b := ca.Issue("0001", elliptic.P256()), ca.Issue("0001", elliptic.P256())
	trust := given(t, fstest.MapFS{"FR98.pem": pemFile(ca.Cert), "FR98-0001.pem": pemFile(a.Cert, b.Cert)})
	for _, l := range []twoddoctest.Leaf{a, b} {
		if _, r := VerifyBytes(l.Code(t, twoddoctest.Header+twoddoctest.Bill), trust); r.Verdict != Valid {
			t.Errorf("%+v", r)
		}
	}
}

// TestHostileCertificates: none of these signs a code.
func TestHostileCertificates(t *testing.T) {
	ca := twoddoctest.NewCA(t, "FR98")
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := func() *x509.Certificate {
		return &x509.Certificate{SerialNumber: big.NewInt(5), Subject: pkix.Name{CommonName: "0001"}, NotBefore: twoddoctest.Begins, NotAfter: twoddoctest.Ends}
	}
	stranger := twoddoctest.NewCA(t, "FR98", func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, 0 })
	for name, cert := range map[string]*x509.Certificate{
		"RSA":                  ca.Create(template(), ca.Cert, twoddoctest.Key().Public()),
		"P-224":                ca.Create(template(), ca.Cert, p224.Public()),
		"an authority":         ca.Issue("0001", elliptic.P256(), func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }).Cert,
		"not for signing":      ca.Issue("0001", elliptic.P256(), func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }).Cert,
		"ends before it began": ca.Issue("0001", elliptic.P256(), func(c *x509.Certificate) { c.NotBefore, c.NotAfter = twoddoctest.Ends, twoddoctest.Begins }).Cert,
	} {
		trust, problems, err := Load(fstest.MapFS{"FR98.pem": pemFile(ca.Cert), "FR98-0001.pem": pemFile(cert)}, true)
		if err != nil || len(problems) != 1 {
			t.Errorf("%s: %v, %v", name, problems, err)
		}
		if f := trust.Find("FR98", "0001"); len(f.Certificates) != 0 {
			t.Errorf("%s: trusted", name)
		}
	}
	if _, problems, _ := Load(fstest.MapFS{"FR98.pem": pemFile(stranger.Cert)}, true); len(problems) != 1 {
		t.Errorf("a certificate that is no authority’s is taken for one: %v", problems)
	}
	// A leaf below a leaf that bears the authority's name: no authority.
	child := ca.Issue("", elliptic.P256(), func(c *x509.Certificate) { c.Subject = ca.Cert.Subject })
	below := child.AsCA(t, "FR98")
	grandchild := below.Issue("0002", elliptic.P256())
	if _, problems, _ := Load(fstest.MapFS{"FR98.pem": pemFile(ca.Cert), "FR98-0002.pem": pemFile(grandchild.Cert)}, true); len(problems) != 1 {
		t.Errorf("a certificate signs another: %v", problems)
	}
}

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

// TestHostileLists: what is signed and what is read are one, or the list is refused.
func TestHostileLists(t *testing.T) {
	ca := twoddoctest.NewCA(t, "FR98")
	signer := twoddoctest.Signer(t)
	good := string(twoddoctest.List(t, signer, 3, twoddoctest.Entry{ID: "FR98", Status: inAccord, Cert: ca.Cert}))
	if l, err := ReadList([]byte(good)); err != nil || l.Sequence != 3 || len(l.Authorities) != 1 || l.Authorities[0].ID != "FR98" {
		t.Fatal(l, err)
	}
	signature := good[strings.Index(good, "<ds:Signature "):strings.Index(good, "</tsl:TrustServiceStatusList>")]
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the list", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	other := string(twoddoctest.List(t, signer, 4, twoddoctest.Entry{ID: "FR97", Status: inAccord, Cert: ca.Cert}))
	for name, list := range map[string]string{
		"unsigned":              replace(signature, ""),
		"signed twice":          replace(signature, signature+signature),
		"another's signature":   replace(signature, other[strings.Index(other, "<ds:Signature "):strings.Index(other, "</tsl:TrustServiceStatusList>")]),
		"signature deeper":      strings.Replace(strings.Replace(good, signature, "", 1), "</tsl:TrustServiceProviderList>", signature+"</tsl:TrustServiceProviderList>", 1),
		"wrapped":               `<tsl:TrustServiceStatusList xmlns:tsl="` + tsl + `">` + strings.TrimPrefix(good, `<?xml version="1.0"?>`) + `</tsl:TrustServiceStatusList>`,
		"another provider":      replace("FR98</tsl:Name>", "FR99</tsl:Name>"),
		"provider added":        replace("<tsl:TrustServiceProviderList>", "<tsl:TrustServiceProviderList><tsl:TrustServiceProvider/>"),
		"attribute added":       replace(`xml:lang="fr">FR98`, `xml:lang="en">FR98`),
		"number":                replace("Number>3<", "Number>9<"),
		"DOCTYPE":               replace(`<?xml version="1.0"?>`, `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]>`),
		"instruction":           replace("<tsl:SchemeInformation>", "<?php x?><tsl:SchemeInformation>"),
		"attribute twice":       replace(`xml:lang="fr"`, `xml:lang="fr" xml:lang="fr"`),
		"prefix of nobody":      replace("<tsl:SchemeInformation>", "<x:y/><tsl:SchemeInformation>"),
		"weak digest":           replace("xmlenc#sha256", "xmldsig#sha1"),
		"other transform":       replace(enveloped, "http://www.w3.org/TR/1999/REC-xslt-19991116"),
		"covers an element":     replace(`URI=""`, `URI="#x"`),
		"no reference":          good[:strings.Index(good, "<ds:Reference")] + good[strings.Index(good, "</ds:SignedInfo>"):],
		"two roots":             good + "<a/>",
		"not closed":            good[:len(good)-10],
		"deep":                  strings.Repeat("<a>", 100_000),
		"other document":        "<html></html>",
		"too large":             good + strings.Repeat(" ", maxXML),
		"nothing":               "",
		"bytes":                 "\x00\xff<",
		"signer's time is over": string(twoddoctest.List(t, twoddoctest.SignerUntil(t, twoddoctest.Begins.Add(time.Hour)), 3, twoddoctest.Entry{ID: "FR98", Status: inAccord, Cert: ca.Cert})),
	} {
		if l, err := ReadList([]byte(list)); err == nil {
			t.Errorf("%s: taken: %+v", name, l)
		}
	}
	for name, list := range map[string]string{ // what canonical XML holds for the same
		"comment":        replace("<tsl:SchemeInformation>", "<!-- c --><tsl:SchemeInformation>"),
		"single quotes":  replace(`xml:lang="fr"`, `xml:lang='fr'`),
		"empty element":  replace(`<ds:CanonicalizationMethod Algorithm="`+excC14N+`"></ds:CanonicalizationMethod>`, `<ds:CanonicalizationMethod Algorithm="`+excC14N+`"/>`),
		"reference":      replace("FR98</tsl:Name>", "&#70;R98</tsl:Name>"),
		"unused prefix":  replace("<tsl:SchemeInformation>", `<tsl:SchemeInformation xmlns:z="urn:z">`),
		"CDATA":          replace("FR98</tsl:Name>", "<![CDATA[FR98]]></tsl:Name>"),
		"space in a tag": replace("<tsl:SchemeInformation>", "<tsl:SchemeInformation  >"),
	} {
		if _, err := ReadList([]byte(list)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReadList(f *testing.F) {
	ca, _, _ := twoddoctest.Fixed(f)
	good := twoddoctest.List(f, twoddoctest.Signer(f), 3, twoddoctest.Entry{ID: "FR98", Status: inAccord, Cert: ca.Cert})
	want, err := ReadList(good)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`<a xmlns="urn:a" xmlns:b="urn:b" b:c="&lt;&#xD;"><b:d xmlns:b="urn:b2"/>x<!-- y --></a>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if l, err := ReadList(data); err == nil && (l.Sequence != want.Sequence || len(l.Authorities) != 1 || !l.Authorities[0].Certificates[0].Equal(want.Authorities[0].Certificates[0])) {
			t.Fatalf("another list is taken: %q", data)
		}
		root, err := parseXML(data)
		if err != nil {
			return
		}
		var once, twice bytes.Buffer
		root.canonical(&once, nil)
		again, err := parseXML(once.Bytes())
		if err != nil {
			t.Fatalf("%q is canonically %q: %v", data, once.Bytes(), err)
		}
		if again.canonical(&twice, nil); !bytes.Equal(once.Bytes(), twice.Bytes()) {
			t.Fatalf("%q and %q", once.Bytes(), twice.Bytes())
		}
	})
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
			authority, id, _ := Ids(c)
			if trust.AddCertificate(authority, id, c) == nil && authority == "FR98" && !c.Equal(leaf) {
				t.Fatalf("another certificate is trusted: %x", c.Raw)
			}
		}
	})
}
