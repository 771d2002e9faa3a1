// Package twoddoctest is a certification authority for tests of 2D-Doc: it issues
// certificates, signs codes and makes trust lists, as the authorities and France Titres do.
package twoddoctest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // for the larger curves
	"crypto/x509"
	"crypto/x509/pkix"
	_ "embed"
	"encoding/base32"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"
)

// Begins and Ends are the time of every certificate that nobody changed.
var (
	Begins = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	Ends   = time.Date(2023, 12, 31, 23, 59, 59, 0, time.UTC)
)

// Header begins a code of version 4: authority FR98, certificate 0001, document and
// signature of 17 July 2021, an energy bill.
const Header = "DC04FR9800011EBC1EBC0101FR"

// Bill is a message to follow it; "·" stands for GS.
const Bill = "26FR247500010MME/SPECIMEN/NATACHA·22145 AVENUE DES SPECIMENS·1D1319,24·"

//go:embed authority.key
var rsaKey []byte

// Key is an RSA key of nothing but tests, the same in every process.
var Key = sync.OnceValue(func() *rsa.PrivateKey {
	block, _ := pem.Decode(rsaKey)
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		panic(err)
	}
	return key
})

// CA is a certification authority.
type CA struct {
	ID   string
	Cert *x509.Certificate
	Key  crypto.Signer

	t testing.TB
}

// Leaf is a certificate that signs codes, with its key.
type Leaf struct {
	Cert *x509.Certificate
	Key  *ecdsa.PrivateKey
}

// NewCA founds an authority with a key of its own.
func NewCA(t testing.TB, id string, change ...func(*x509.Certificate)) *CA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newCA(t, id, key, change...)
}

func newCA(t testing.TB, id string, key crypto.Signer, change ...func(*x509.Certificate)) *CA {
	t.Helper()
	ca := &CA{ID: id, Key: key, t: t}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: id, Organization: []string{"Autorité d’essai"}, Country: []string{"FR"}},
		NotBefore: Begins.AddDate(-1, 0, 0), NotAfter: Ends.AddDate(5, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	for _, c := range change {
		c(template)
	}
	ca.Cert = ca.Create(template, template, key.Public())
	return ca
}

// Fixed is an authority, FR98, with two certificates, 0001 and (for the binary form)
// 00001, that are the same in every process: fuzzing needs that.
func Fixed(t testing.TB) (ca *CA, text, binary Leaf) {
	t.Helper()
	ca = newCA(t, "FR98", Key())
	issue := func(id string) Leaf {
		d := sha256.Sum256([]byte(id))
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d[:])
		if err != nil {
			t.Fatal(err)
		}
		return ca.issue(id, key, func(c *x509.Certificate) { c.SerialNumber = big.NewInt(int64(len(id))) })
	}
	return ca, issue("0001"), issue("00001")
}

// AsCA lets a certificate issue others, which it may not.
func (l Leaf) AsCA(t testing.TB, id string) *CA { return &CA{ID: id, Cert: l.Cert, Key: l.Key, t: t} }

// Create makes a certificate of a template.
func (ca *CA) Create(template, parent *x509.Certificate, public any) *x509.Certificate {
	ca.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, ca.Key)
	if err != nil {
		ca.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		ca.t.Fatal(err)
	}
	return cert
}

// Issue makes a certificate for signing codes.
func (ca *CA) Issue(id string, curve elliptic.Curve, change ...func(*x509.Certificate)) Leaf {
	ca.t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		ca.t.Fatal(err)
	}
	return ca.issue(id, key, change...)
}

func (ca *CA) issue(id string, key *ecdsa.PrivateKey, change ...func(*x509.Certificate)) Leaf {
	ca.t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		ca.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: id, Organization: []string{"Émetteur d’essai"}}, NotBefore: Begins, NotAfter: Ends, KeyUsage: x509.KeyUsageDigitalSignature}
	for _, c := range change {
		c(template)
	}
	return Leaf{ca.Create(template, ca.Cert, key.Public()), key}
}

// Revoke makes a list of revocations, dated day days after the end of certificates.
func (ca *CA) Revoke(day int, certs ...*x509.Certificate) []byte {
	ca.t.Helper()
	at := Ends.AddDate(0, 0, day)
	list := &x509.RevocationList{Number: big.NewInt(int64(day + 1)), ThisUpdate: at, NextUpdate: at.AddDate(0, 0, 7)}
	for _, c := range certs {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: at})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, ca.Cert, ca.Key)
	if err != nil {
		ca.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

// Sign gives r‖s over data.
func (l Leaf) Sign(t testing.TB, data []byte) []byte {
	t.Helper()
	width := (l.Key.Curve.Params().BitSize + 7) / 8
	h := map[int]crypto.Hash{32: crypto.SHA256, 48: crypto.SHA384, 66: crypto.SHA512}[width].New()
	h.Write(data)
	r, s, err := ecdsa.Sign(rand.Reader, l.Key, h.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	return append(r.FillBytes(make([]byte, width)), s.FillBytes(make([]byte, width))...)
}

// Code signs header and message in the text form; "·" stands for GS.
func (l Leaf) Code(t testing.TB, text string) []byte {
	t.Helper()
	signed := []byte(strings.ReplaceAll(text, "·", "\x1d"))
	return append(append(signed, 0x1F), base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(l.Sign(t, signed))...)
}

// PEM writes certificates.
func PEM(certs ...*x509.Certificate) []byte {
	var b []byte
	for _, c := range certs {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return b
}

// Fingerprint is the SHA-256 of a certificate, in hexadecimal.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}
