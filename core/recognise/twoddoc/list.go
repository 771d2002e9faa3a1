package twoddoc

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// List is a trust list of France Titres (ETSI TS 102 231 and its successor TS 119 612).
type List struct {
	Sequence    int
	Issued      time.Time
	Next        time.Time // when the next one is due; zero when not told
	Signer      *x509.Certificate
	Authorities []Authority
}

// Authority is a service of the list: one that issues certificates for 2D-Doc.
type Authority struct {
	ID           string // FR03
	Name         string // its operator
	InAccord     bool   // in good standing
	Since        time.Time
	Certificates []*x509.Certificate
	Where        string // place that publishes what it issued
}

const (
	tsl       = "http://uri.etsi.org/02231/v2#"
	inAccord  = "http://uri.etsi.org/TrstSvc/Svcstatus/inaccord"
	serviceCA = "http://uri.etsi.org/TrstSvc/Svctype/CA/"
)

// ReadList reads a signed trust list and checks that nobody changed it since. The caller
// decides, by Fingerprint(Signer), whether who signed it may. An unsigned list is none.
func ReadList(data []byte) (*List, error) {
	root, err := parseXML(data)
	if err != nil {
		return nil, err
	}
	if !root.is(tsl, "TrustServiceStatusList") {
		return nil, errors.New("no trust list (TrustServiceStatusList)")
	}
	content, signer, err := verifySigned(root)
	if err != nil {
		return nil, fmt.Errorf("trust list: %w", err)
	}
	if root, err = parseXML(content); err != nil { // from here on only what was signed is read
		return nil, err
	}
	l := &List{Signer: signer}
	if err := l.readScheme(root.one(tsl, "SchemeInformation")); err != nil {
		return nil, err
	}
	if l.Issued.Before(signer.NotBefore) || l.Issued.After(signer.NotAfter) {
		return nil, errors.New("trust list: issued outside the time of its signer’s certificate")
	}
	for _, provider := range root.one(tsl, "TrustServiceProviderList").all(tsl, "TrustServiceProvider") {
		if err := l.readProvider(provider); err != nil {
			return nil, err
		}
	}
	if len(l.Authorities) == 0 {
		return nil, errors.New("trust list: names no authority")
	}
	return l, nil
}

func (l *List) readScheme(scheme *element) error {
	var err error
	if l.Sequence, err = strconv.Atoi(scheme.one(tsl, "TSLSequenceNumber").text()); err != nil {
		return errors.New("trust list: no sequence number")
	}
	if l.Issued, err = time.Parse(time.RFC3339, scheme.one(tsl, "ListIssueDateTime").text()); err != nil {
		return errors.New("trust list: no date of issue")
	}
	if next := scheme.one(tsl, "NextUpdate").one(tsl, "dateTime").text(); next != "" {
		if l.Next, err = time.Parse(time.RFC3339, next); err != nil {
			return errors.New("trust list: date of the next one unreadable")
		}
	}
	return nil
}

// readProvider takes the services of a provider whose trade name is an authority's id.
func (l *List) readProvider(provider *element) error {
	about := provider.one(tsl, "TSPInformation")
	id := firstName(about.one(tsl, "TSPTradeName"))
	if !isAuthority(id) {
		return nil
	}
	for _, service := range provider.all(tsl, "TSPService") {
		info := service.one(tsl, "ServiceInformation")
		if kind := info.one(tsl, "ServiceTypeIdentifier").text(); len(kind) < len(serviceCA) || kind[:len(serviceCA)] != serviceCA {
			continue
		}
		a := Authority{ID: id, Name: firstName(about.one(tsl, "TSPName")), Where: firstURI(about.one(tsl, "TSPInformationURI"))}
		a.InAccord = info.one(tsl, "ServiceStatus").text() == inAccord
		var err error
		if a.Since, err = time.Parse(time.RFC3339, info.one(tsl, "StatusStartingTime").text()); err != nil {
			return fmt.Errorf("trust list: authority %s has no date", id)
		}
		if identity := info.one(tsl, "ServiceDigitalIdentity"); identity != nil {
			for _, e := range identity.all(tsl, "X509Certificate") {
				der, err := unbase64(e)
				if err != nil {
					return fmt.Errorf("trust list: certificate of %s: %w", id, err)
				}
				cert, err := x509.ParseCertificate(der)
				if err != nil {
					return fmt.Errorf("trust list: certificate of %s: %w", id, err)
				}
				a.Certificates = append(a.Certificates, cert)
			}
		}
		l.Authorities = append(l.Authorities, a)
	}
	return nil
}

// firstName is the first name of a multilingual one; an id is the same in every language.
func firstName(e *element) string {
	if e == nil {
		return ""
	}
	for _, n := range e.all(tsl, "Name") {
		return printableText(n.text())
	}
	return ""
}

func firstURI(e *element) string {
	if e == nil {
		return ""
	}
	for _, n := range e.all(tsl, "URI") {
		return printableText(n.text())
	}
	return ""
}

// isAuthority: a country and a number.
func isAuthority(id string) bool {
	return len(id) == 4 && isUpper(id) && !isDigits(id[:1]) && !isDigits(id[1:2])
}

// Fingerprint is the SHA-256 of a certificate, as openssl and browsers compute it, in
// hexadecimal.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}
