package twoddoc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	_ "crypto/sha256" // the hashes that curves are used with
	_ "crypto/sha512"
	"crypto/x509"
	"fmt"
	"math/big"

	"vaguemestre/core"
)

// Verdict is what the signature of a code is worth. It says nothing of the print.
type Verdict string

// The verdicts, as `classify` prints them (catalogue.md, "Output contract").
const (
	Valid                       Verdict = "valid"
	InvalidSignature            Verdict = "invalid_signature" // the code is not what was signed
	CertificateUnknown          Verdict = "certificate_unknown"
	CertificateExpiredAtSigning Verdict = "certificate_expired_at_signature" // rightly signed, outside the certificate's time
	Revoked                     Verdict = "revoked"                          // the certificate, or its authority, is trusted no more
	Malformed                   Verdict = "malformed"
	None                        Verdict = "none" // no 2D-Doc
)

// Result is a verdict with its reason in French, fit for an agent; it quotes no field.
type Result struct {
	Verdict Verdict
	Reason  string
	Test    bool // by an authority for tests, which was given
}

// Trusted knows certificates. *Trust is one; Several asks more than one.
type Trusted interface {
	// Find says what is known of a certificate, by its authority's id and its own.
	Find(authority, id string) Standing
}

// Standing is what is known of a certificate. Without Certificates, Refusal says why.
type Standing struct {
	Certificates []*x509.Certificate // usually one; two issued under one id are both tried
	Refusal      string              // in French
	Revoked      bool                // known, and trusted no more
}

// Several asks in order: the first that knows the certificate, be it as revoked, decides.
type Several []Trusted

// Find implements Trusted.
func (s Several) Find(authority, id string) Standing {
	var last Standing
	for _, t := range s {
		f := t.Find(authority, id)
		if f.Revoked || len(f.Certificates) > 0 {
			return f
		}
		if last.Refusal == "" {
			last = f
		}
	}
	if last.Refusal == "" {
		last.Refusal = "Aucune autorité n’est connue ici."
	}
	return last
}

// VerifyBytes decodes and verifies. The code is nil when the verdict is None, or
// Malformed for bytes that cannot be read.
func VerifyBytes(data []byte, trust Trusted) (*Code, Result) {
	c, err := Decode(data)
	switch e := err.(type) {
	case nil:
		return c, c.Verify(trust)
	case *MalformedError:
		return nil, Result{Verdict: Malformed, Reason: "Le code n’est pas un 2D-Doc lisible (" + e.Where + ")."}
	}
	return nil, Result{Verdict: None, Reason: "Aucun code 2D-Doc."}
}

// Verify says what the signature is worth, in the order of the specification (CAB,
// verification), but that a signature which does not hold is named before a certificate
// that was out of its time: the first is about this code, the second about its issuer.
// Whether the certificate is still in its time today does not matter; the date of signing
// is part of what is signed.
func (c *Code) Verify(trust Trusted) Result {
	f := trust.Find(c.Header.Authority, c.Header.Cert)
	switch {
	case f.Revoked:
		return Result{Verdict: Revoked, Reason: f.Refusal}
	case len(f.Certificates) == 0:
		return Result{Verdict: CertificateUnknown, Reason: f.Refusal}
	}
	signer := c.signer(f.Certificates)
	r := Result{Test: c.Header.ForTests()}
	switch {
	case signer == nil:
		r.Verdict, r.Reason = InvalidSignature, "La signature ne correspond pas au contenu du code\u00A0: il a été modifié, ou n’a pas été émis par qui il dit."
	case c.headerFault != "":
		r.Verdict, r.Reason = Malformed, "L’en-tête du code est incorrect\u00A0: "+c.headerFault+"."
	case !inTime(signer, c.Header.Signed):
		r.Verdict, r.Reason = CertificateExpiredAtSigning, fmt.Sprintf("Signé le %s, hors de la durée du certificat %s-%s (du %s au %s).", French(c.Header.Signed),
			c.Header.Authority, c.Header.Cert, French(core.DateOf(signer.NotBefore.UTC())), French(core.DateOf(signer.NotAfter.UTC())))
	default:
		r.Verdict, r.Reason = Valid, fmt.Sprintf("Signé le %s par le certificat %s-%s (%s).", French(c.Header.Signed), c.Header.Authority, c.Header.Cert, organisation(signer))
	}
	if r.Test {
		r.Reason += " Autorité de test."
	}
	return r
}

// signer is the certificate whose key made the signature; nil when none did.
func (c *Code) signer(candidates []*x509.Certificate) *x509.Certificate {
	for _, cert := range candidates {
		if key, ok := cert.PublicKey.(*ecdsa.PublicKey); ok && signs(key, c.signed, c.signature) {
			return cert
		}
	}
	return nil
}

// signs checks ECDSA over r‖s of fixed width (not DER); the curve decides the hash.
func signs(key *ecdsa.PublicKey, signed, signature []byte) bool {
	hash, ok := hashes[key.Curve]
	width := (key.Curve.Params().BitSize + 7) / 8
	if !ok || len(signature) != 2*width {
		return false
	}
	h := hash.New()
	h.Write(signed)
	r, s := new(big.Int).SetBytes(signature[:width]), new(big.Int).SetBytes(signature[width:])
	return ecdsa.Verify(key, h.Sum(nil), r, s)
}

// hashes by curve (CAB, signature zone; FIPS 186-4).
var hashes = map[elliptic.Curve]crypto.Hash{
	elliptic.P256(): crypto.SHA256,
	elliptic.P384(): crypto.SHA384,
	elliptic.P521(): crypto.SHA512,
}

// inTime compares days: a code bears no hour.
func inTime(cert *x509.Certificate, d core.Date) bool {
	return !d.Before(core.DateOf(cert.NotBefore.UTC())) && !core.DateOf(cert.NotAfter.UTC()).Before(d)
}

func organisation(cert *x509.Certificate) string {
	for _, o := range cert.Subject.Organization {
		return printableText(o)
	}
	return cert.SerialNumber.Text(16)
}

// French is a date as French prints write it.
func French(d core.Date) string {
	if d.IsZero() {
		return "(sans date)"
	}
	return fmt.Sprintf("%02d/%02d/%04d", d.Day, int(d.Month), d.Year)
}
