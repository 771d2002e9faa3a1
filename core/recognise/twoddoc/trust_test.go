package twoddoc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"testing/fstest"

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
