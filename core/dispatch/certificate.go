package dispatch

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	"vaguemestre/core"
)

// Certificate reads a certificate to encrypt to, PEM or DER, and returns its DER. It must
// be in force, made for receiving encrypted mail, with a key that is strong enough, and
// name the mailbox when it names any.
func Certificate(b []byte, mailbox string, now time.Time) ([]byte, error) {
	fault := func(format string, args ...any) error {
		return fmt.Errorf("%w certificate: %s", core.ErrInvalid, fmt.Sprintf(format, args...))
	}
	if block, _ := pem.Decode(b); block != nil {
		if block.Type != "CERTIFICATE" {
			return nil, fault("the file holds a %s", strings.ToLower(block.Type))
		}
		b = block.Bytes
	}
	c, err := x509.ParseCertificate(b)
	if err != nil {
		return nil, fault("the file holds no X.509 certificate")
	}
	if r := inForce(c, now); r != nil {
		return nil, fault("%s", r.Reason)
	}
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 {
			return nil, fault("its key of %d bits is too short: at least 2048", key.N.BitLen())
		}
		if c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageKeyEncipherment == 0 {
			return nil, fault("its key may not encrypt (key usage without keyEncipherment): it is one for signing")
		}
	case *ecdsa.PublicKey:
		if !slices.Contains([]elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()}, key.Curve) {
			return nil, fault("its curve is not P-256, P-384 or P-521")
		}
		if c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageKeyAgreement == 0 {
			return nil, fault("its key may not encrypt (key usage without keyAgreement): it is one for signing")
		}
	default:
		return nil, fault("its key is neither RSA nor ECDSA")
	}
	uses := c.ExtKeyUsage
	if len(uses)+len(c.UnknownExtKeyUsage) > 0 && !slices.Contains(uses, x509.ExtKeyUsageEmailProtection) && !slices.Contains(uses, x509.ExtKeyUsageAny) {
		return nil, fault("it was not issued for e-mail (extended key usage without emailProtection)")
	}
	if c.IsCA {
		return nil, fault("it is an authority's")
	}
	if len(c.EmailAddresses) > 0 && !slices.ContainsFunc(c.EmailAddresses, func(a string) bool { return strings.EqualFold(a, mailbox) }) {
		return nil, fault("it was issued for another mailbox")
	}
	return c.Raw, nil
}

// inForce refuses a certificate before and after its time.
func inForce(c *x509.Certificate, now time.Time) *core.Refusal {
	switch {
	case now.After(c.NotAfter):
		return &core.Refusal{Code: "certificate_expired", Reason: fmt.Sprintf("Le certificat du service a expiré le %s : rien n’est envoyé en clair, remplacez-le.", c.NotAfter.Format("02/01/2006"))}
	case now.Before(c.NotBefore):
		return &core.Refusal{Code: "certificate_not_yet", Reason: fmt.Sprintf("Le certificat du service n’est valable qu’à partir du %s : rien n’est envoyé en clair d’ici là.", c.NotBefore.Format("02/01/2006"))}
	}
	return nil
}

// CertificateFault says why nothing can be encrypted to the service at that time; nil when
// it can, or need not be.
func (s Service) CertificateFault(now time.Time) *core.Refusal {
	if !s.Encrypts() {
		return nil
	}
	c, err := x509.ParseCertificate(s.Certificate)
	if err != nil {
		return &core.Refusal{Code: "certificate_broken", Reason: "Le certificat du service est illisible : rien n’est envoyé en clair, remplacez-le."}
	}
	return inForce(c, now)
}
