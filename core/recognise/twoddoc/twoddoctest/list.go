package twoddoctest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
)

// Names of the formats of a list.
const (
	tsl       = "http://uri.etsi.org/02231/v2#"
	dsig      = "http://www.w3.org/2000/09/xmldsig#"
	excC14N   = "http://www.w3.org/2001/10/xml-exc-c14n#"
	enveloped = dsig + "enveloped-signature"
)

// The states of a service.
const (
	InAccord  = "http://uri.etsi.org/TrstSvc/Svcstatus/inaccord"
	Withdrawn = "http://uri.etsi.org/TrstSvc/Svcstatus/withdrawn"
)

// Entry is a service of a list.
type Entry struct {
	ID, Status string
	Cert       *x509.Certificate
}

// Signer signs lists, until Ends.
func Signer(t testing.TB) *x509.Certificate { return SignerUntil(t, Ends) }

// SignerUntil has another name for each end, and the same key.
func SignerUntil(t testing.TB, end time.Time) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(9), Subject: pkix.Name{CommonName: "LISTE D’ESSAI"}, NotBefore: Begins, NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, Key().Public(), Key())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// List makes and signs a trust list, issued on 11 May 2021 and due again a year later.
// It is written as Exclusive XML Canonicalization would, so that its bytes are signed as
// they are.
func List(t testing.TB, signer *x509.Certificate, sequence int, entries ...Entry) []byte {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, `<tsl:TrustServiceStatusList xmlns:tsl="%s"><tsl:SchemeInformation><tsl:TSLSequenceNumber>%d</tsl:TSLSequenceNumber>`+
		`<tsl:ListIssueDateTime>2021-05-11T14:00:00Z</tsl:ListIssueDateTime><tsl:NextUpdate><tsl:dateTime>2022-05-11T14:00:00Z</tsl:dateTime></tsl:NextUpdate></tsl:SchemeInformation><tsl:TrustServiceProviderList>`, tsl, sequence)
	for _, e := range entries {
		fmt.Fprintf(&b, `<tsl:TrustServiceProvider><tsl:TSPInformation><tsl:TSPName><tsl:Name xml:lang="fr">Essai</tsl:Name></tsl:TSPName><tsl:TSPTradeName><tsl:Name xml:lang="fr">%s</tsl:Name></tsl:TSPTradeName></tsl:TSPInformation>`+
			`<tsl:TSPServices><tsl:TSPService><tsl:ServiceInformation><tsl:ServiceTypeIdentifier>http://uri.etsi.org/TrstSvc/Svctype/CA/PKC</tsl:ServiceTypeIdentifier>`+
			`<tsl:ServiceDigitalIdentity><tsl:DigitalId><tsl:X509Certificate>%s</tsl:X509Certificate></tsl:DigitalId></tsl:ServiceDigitalIdentity><tsl:ServiceStatus>%s</tsl:ServiceStatus>`+
			`<tsl:StatusStartingTime>2021-01-01T00:00:00Z</tsl:StatusStartingTime></tsl:ServiceInformation></tsl:TSPService></tsl:TSPServices></tsl:TrustServiceProvider>`,
			e.ID, base64.StdEncoding.EncodeToString(e.Cert.Raw), e.Status)
	}
	b.WriteString(`</tsl:TrustServiceProviderList></tsl:TrustServiceStatusList>`)
	digest := sha256.Sum256([]byte(b.String()))
	info := fmt.Sprintf(`<ds:SignedInfo xmlns:ds="%s"><ds:CanonicalizationMethod Algorithm="%s"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"></ds:SignatureMethod>`+
		`<ds:Reference URI=""><ds:Transforms><ds:Transform Algorithm="%s"></ds:Transform><ds:Transform Algorithm="%s"></ds:Transform></ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod><ds:DigestValue>%s</ds:DigestValue></ds:Reference></ds:SignedInfo>`,
		dsig, excC14N, enveloped, excC14N, base64.StdEncoding.EncodeToString(digest[:]))
	sum := sha256.Sum256([]byte(info))
	value, err := rsa.SignPKCS1v15(rand.Reader, Key(), crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := fmt.Sprintf(`<ds:Signature xmlns:ds="%s">%s<ds:SignatureValue>%s</ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>%s</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>`,
		dsig, info, base64.StdEncoding.EncodeToString(value), base64.StdEncoding.EncodeToString(signer.Raw))
	return []byte(`<?xml version="1.0"?>` + strings.Replace(b.String(), "</tsl:TrustServiceStatusList>", signature+"</tsl:TrustServiceStatusList>", 1))
}
