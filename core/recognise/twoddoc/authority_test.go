package twoddoc

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base32"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"
)

// A certification authority of our own making, as those of 2D-Doc are: an RSA key above
// ECDSA certificates whose CN is their id.

// testKey is an RSA key of nothing but these tests. Fuzzing needs the same in each of its
// processes.
var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	b, err := os.ReadFile("testdata/test-authority.key")
	if err != nil {
		panic(err)
	}
	block, _ := pem.Decode(b)
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		panic(err)
	}
	return key
})

type testCA struct {
	t    testing.TB
	id   string
	cert *x509.Certificate
	key  crypto.Signer
}

type testLeaf struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

var (
	begins = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	ends   = time.Date(2023, 12, 31, 23, 59, 59, 0, time.UTC)
)

func newCA(t testing.TB, id string, change ...func(*x509.Certificate)) *testCA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newCAWith(t, id, key, change...)
}

func newCAWith(t testing.TB, id string, key crypto.Signer, change ...func(*x509.Certificate)) *testCA {
	t.Helper()
	ca := &testCA{t: t, id: id, key: key}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: id, Organization: []string{"Autorité d’essai"}, Country: []string{"FR"}},
		NotBefore: begins.AddDate(-1, 0, 0), NotAfter: ends.AddDate(5, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	for _, c := range change {
		c(template)
	}
	ca.cert = ca.create(template, template, ca.key.Public())
	return ca
}

func (ca *testCA) create(template, parent *x509.Certificate, public any) *x509.Certificate {
	ca.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, ca.key)
	if err != nil {
		ca.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		ca.t.Fatal(err)
	}
	return cert
}

// fixed is an authority with two certificates that are the same in every process: one
// for the text form, one for the binary.
func fixed(t testing.TB) (ca *testCA, text, binary testLeaf) {
	t.Helper()
	ca = newCAWith(t, "FR98", testKey())
	issue := func(id string) testLeaf {
		d := sha256.Sum256([]byte(id))
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d[:])
		if err != nil {
			t.Fatal(err)
		}
		return ca.issueFor(id, key, func(c *x509.Certificate) { c.SerialNumber = big.NewInt(int64(len(id))) })
	}
	return ca, issue("0001"), issue("00001")
}

// issue makes a certificate for signing codes.
func (ca *testCA) issue(id string, curve elliptic.Curve, change ...func(*x509.Certificate)) testLeaf {
	ca.t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		ca.t.Fatal(err)
	}
	return ca.issueFor(id, key, change...)
}

func (ca *testCA) issueFor(id string, key *ecdsa.PrivateKey, change ...func(*x509.Certificate)) testLeaf {
	ca.t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		ca.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: id, Organization: []string{"Émetteur d’essai"}}, NotBefore: begins, NotAfter: ends, KeyUsage: x509.KeyUsageDigitalSignature}
	for _, c := range change {
		c(template)
	}
	return testLeaf{ca.create(template, ca.cert, key.Public()), key}
}

// sign gives r‖s over data.
func (l testLeaf) sign(t testing.TB, data []byte) []byte {
	t.Helper()
	h := hashes[l.key.Curve].New()
	h.Write(data)
	r, s, err := ecdsa.Sign(rand.Reader, l.key, h.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	width := (l.key.Curve.Params().BitSize + 7) / 8
	return append(r.FillBytes(make([]byte, width)), s.FillBytes(make([]byte, width))...)
}

// code signs header and message in the text form; "·" stands for GS.
func (l testLeaf) code(t testing.TB, text string) []byte {
	t.Helper()
	signed := []byte(strings.ReplaceAll(text, "·", "\x1d"))
	return append(append(signed, us), base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(l.sign(t, signed))...)
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
	var b []byte
	for _, c := range certs {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return &fstest.MapFile{Data: b}
}

// listSigner signs trust lists as France Titres does.
func listSigner(t testing.TB) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(9), Subject: pkix.Name{CommonName: "LISTE D’ESSAI"}, NotBefore: begins, NotAfter: ends}
	der, err := x509.CreateCertificate(rand.Reader, template, template, testKey().Public(), testKey())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// entry is a service of a list made for a test.
type entry struct {
	id, status string
	cert       *x509.Certificate
}

// trustList makes and signs a list.
func trustList(t testing.TB, signer *x509.Certificate, sequence int, entries ...entry) []byte {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, `<?xml version="1.0"?><tsl:TrustServiceStatusList xmlns:tsl="%s" xmlns:ds="%s"><tsl:SchemeInformation><tsl:TSLSequenceNumber>%d</tsl:TSLSequenceNumber>`+
		`<tsl:ListIssueDateTime>2021-05-11T14:00:00Z</tsl:ListIssueDateTime><tsl:NextUpdate><tsl:dateTime>2022-05-11T14:00:00Z</tsl:dateTime></tsl:NextUpdate></tsl:SchemeInformation><tsl:TrustServiceProviderList>`, tsl, dsig, sequence)
	for _, e := range entries {
		fmt.Fprintf(&b, `<tsl:TrustServiceProvider><tsl:TSPInformation><tsl:TSPName><tsl:Name xml:lang="fr">Essai</tsl:Name></tsl:TSPName><tsl:TSPTradeName><tsl:Name xml:lang="fr">%s</tsl:Name></tsl:TSPTradeName></tsl:TSPInformation>`+
			`<tsl:TSPServices><tsl:TSPService><tsl:ServiceInformation><tsl:ServiceTypeIdentifier>http://uri.etsi.org/TrstSvc/Svctype/CA/PKC</tsl:ServiceTypeIdentifier>`+
			`<tsl:ServiceDigitalIdentity><tsl:DigitalId><tsl:X509Certificate>%s</tsl:X509Certificate></tsl:DigitalId></tsl:ServiceDigitalIdentity><tsl:ServiceStatus>%s</tsl:ServiceStatus>`+
			`<tsl:StatusStartingTime>2021-01-01T00:00:00Z</tsl:StatusStartingTime></tsl:ServiceInformation></tsl:TSPService></tsl:TSPServices></tsl:TrustServiceProvider>`,
			e.id, base64.StdEncoding.EncodeToString(e.cert.Raw), e.status)
	}
	b.WriteString(`</tsl:TrustServiceProviderList></tsl:TrustServiceStatusList>`)
	root, err := parseXML([]byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	var whole bytes.Buffer
	root.canonical(&whole, nil)
	digest := sha256.Sum256(whole.Bytes())
	info := fmt.Sprintf(`<ds:SignedInfo xmlns:ds="%s"><ds:CanonicalizationMethod Algorithm="%s"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"></ds:SignatureMethod>`+
		`<ds:Reference URI=""><ds:Transforms><ds:Transform Algorithm="%s"></ds:Transform><ds:Transform Algorithm="%s"></ds:Transform></ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod><ds:DigestValue>%s</ds:DigestValue></ds:Reference></ds:SignedInfo>`,
		dsig, excC14N, enveloped, excC14N, base64.StdEncoding.EncodeToString(digest[:]))
	sum := sha256.Sum256([]byte(info))
	value, err := rsa.SignPKCS1v15(rand.Reader, testKey(), crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := fmt.Sprintf(`<ds:Signature xmlns:ds="%s">%s<ds:SignatureValue>%s</ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>%s</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>`,
		dsig, info, base64.StdEncoding.EncodeToString(value), base64.StdEncoding.EncodeToString(signer.Raw))
	return []byte(strings.Replace(b.String(), "</tsl:TrustServiceStatusList>", signature+"</tsl:TrustServiceStatusList>", 1))
}
