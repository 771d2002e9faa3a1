package twoddoc

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1" // only to read the chain of a certificate that somebody pinned
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Trust is a set of authorities and certificates. Its zero value trusts nobody. It is
// safe for use by many once it is filled.
//
// There are two ways to fill it. A trust list and what its authorities signed: nothing
// for tests is taken, and a certificate counts only below an authority in good standing.
// Or certificates that the administrator names one by one (Given): those are pinned, tests
// included; where the authority's own certificate is given too, it must have signed them.
type Trust struct {
	// Given: the administrator chose each file (`--trust DIR`).
	Given bool

	authorities map[string][]*x509.Certificate
	withdrawn   map[string]string // authority → in French, since when
	leaves      map[string][]*x509.Certificate
	revoked     map[string]map[string]bool // authority → serial numbers
	list        *List
}

func key(authority, id string) string { return authority + "-" + id }

// UseList takes the authorities of a trust list. One that has a service in good standing
// and another that is no more is trusted for the first.
func (t *Trust) UseList(l *List) {
	t.list = l
	standing := map[string]bool{}
	for _, a := range l.Authorities {
		standing[a.ID] = standing[a.ID] || a.InAccord
	}
	for _, a := range l.Authorities {
		switch {
		case testAuthority(a.ID) && !t.Given:
			continue
		case !standing[a.ID]:
			set(&t.withdrawn, a.ID, fmt.Sprintf("L’autorité %s n’est plus reconnue par la liste de confiance n° %d (depuis le %s).", a.ID, l.Sequence, a.Since.UTC().Format("02/01/2006")))
			continue
		case !a.InAccord:
			continue
		}
		for _, cert := range a.Certificates {
			t.addAuthority(a.ID, cert)
		}
	}
}

func set[K comparable, V any](m *map[K]V, k K, v V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[k] = v
}

func (t *Trust) addAuthority(id string, cert *x509.Certificate) {
	set(&t.authorities, id, append(t.authorities[id], cert))
}

// AddAuthority takes an authority's certificate that the administrator gave.
func (t *Trust) AddAuthority(id string, cert *x509.Certificate) error {
	switch {
	case !t.Given:
		return errors.New("authorities come from the trust list alone")
	case cert.BasicConstraintsValid && !cert.IsCA:
		return errors.New("it is no authority’s certificate")
	}
	t.addAuthority(id, cert)
	return nil
}

var errWithdrawn = errors.New("its authority was withdrawn from the trust list")

// AddCertificate takes a certificate that signs codes; authorities and lists go first. The
// error says why it is not trusted. The same certificate twice is one.
func (t *Trust) AddCertificate(authority, id string, cert *x509.Certificate) error {
	if err := usable(cert); err != nil {
		return err
	}
	if !t.Given && (testAuthority(authority) || testCertificate(id)) {
		return errors.New("reserved for tests: counts only where it is given by --trust")
	}
	parents := t.authorities[authority]
	switch {
	case t.withdrawn[authority] != "":
		return errWithdrawn
	case len(parents) > 0:
		if !slices.ContainsFunc(parents, func(ca *x509.Certificate) bool { return t.issued(ca, cert) }) {
			return fmt.Errorf("not issued by authority %s", authority)
		}
	case !t.Given:
		return fmt.Errorf("authority %s is not in the trust list", authority)
	}
	k := key(authority, id)
	if !slices.ContainsFunc(t.leaves[k], cert.Equal) {
		set(&t.leaves, k, append(t.leaves[k], cert))
	}
	return nil
}

// usable: an ECDSA key on a curve of the specification, for signing.
func usable(cert *x509.Certificate) error {
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	switch {
	case !ok || hashes[key.Curve] == 0:
		return errors.New("its key is not ECDSA on P-256, P-384 or P-521")
	case cert.IsCA:
		return errors.New("it is an authority’s certificate, not one that signs codes")
	case cert.KeyUsage != 0 && cert.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0:
		return errors.New("its key is not for signing")
	case cert.NotAfter.Before(cert.NotBefore):
		return errors.New("it ends before it begins")
	}
	return nil
}

// issued reports whether ca signed cert, within its own time.
func (t *Trust) issued(ca, cert *x509.Certificate) bool {
	if !bytes.Equal(ca.RawSubject, cert.RawIssuer) && ca.Subject.String() != cert.Issuer.String() {
		return false
	}
	strict := !t.Given
	if strict && (!ca.IsCA || !ca.BasicConstraintsValid || ca.KeyUsage&x509.KeyUsageCertSign == 0 ||
		cert.NotBefore.Before(ca.NotBefore) || cert.NotBefore.After(ca.NotAfter)) {
		return false
	}
	if !bounded(ca) {
		return false
	}
	err := ca.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature)
	var old x509.InsecureAlgorithmError
	if errors.As(err, &old) && !strict && cert.SignatureAlgorithm == x509.SHA1WithRSA {
		key, ok := ca.PublicKey.(*rsa.PublicKey)
		sum := sha1.Sum(cert.RawTBSCertificate) // the file itself is pinned
		return ok && rsa.VerifyPKCS1v15(key, crypto.SHA1, sum[:], cert.Signature) == nil
	}
	return err == nil
}

// bounded refuses keys whose only use is to cost time.
func bounded(cert *x509.Certificate) bool {
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	return !ok || key.N.BitLen() <= 8192
}

// AddRevocations takes a revocation list (CRL, RFC 5280) and says whose it is. The newer of two
// lists is not looked for: what either revokes stays revoked.
func (t *Trust) AddRevocations(crl *x509.RevocationList) (authority string, err error) {
	for _, id := range slices.Sorted(maps.Keys(t.authorities)) {
		for _, ca := range t.authorities[id] {
			if bytes.Equal(ca.RawSubject, crl.RawIssuer) && bounded(ca) && crl.CheckSignatureFrom(ca) == nil {
				serials := t.revoked[id]
				for _, entry := range crl.RevokedCertificateEntries {
					set(&serials, entry.SerialNumber.String(), true)
				}
				set(&t.revoked, id, serials)
				return id, nil
			}
		}
	}
	return "", errors.New("signed by no authority of the trust list")
}

// Find implements Trusted.
func (t *Trust) Find(authority, id string) Standing {
	if why := t.withdrawn[authority]; why != "" {
		return Standing{Refusal: why, Revoked: true}
	}
	all := t.leaves[key(authority, id)]
	kept := slices.DeleteFunc(slices.Clone(all), func(c *x509.Certificate) bool { return t.revoked[authority][c.SerialNumber.String()] })
	switch {
	case len(kept) > 0:
		return Standing{Certificates: kept}
	case len(all) > 0:
		return Standing{Revoked: true, Refusal: fmt.Sprintf("Le certificat %s-%s est révoqué par son autorité.", authority, id)}
	}
	return Standing{Refusal: t.unknown(authority, id)}
}

// unknown says in French why a certificate is not known, and what would help.
func (t *Trust) unknown(authority, id string) string {
	switch {
	case !t.Given && (testAuthority(authority) || testCertificate(id)):
		return fmt.Sprintf("Le certificat %s-%s est réservé aux essais\u00A0: il n’authentifie rien.", authority, id)
	case len(t.authorities[authority]) > 0:
		return fmt.Sprintf("Le certificat %s-%s n’a pas été importé\u00A0; son autorité est connue (vaguemestre 2ddoc import).", authority, id)
	}
	return fmt.Sprintf("L’autorité %s n’est pas connue ici.", authority)
}

// Count tells how many authorities and certificates are trusted.
func (t *Trust) Count() (authorities, certificates int) {
	for _, l := range t.leaves {
		certificates += len(l)
	}
	return len(t.authorities), certificates
}

// CountOf tells how many certificates of an authority are trusted.
func (t *Trust) CountOf(authority string) int {
	n := 0
	for k, l := range t.leaves {
		if strings.HasPrefix(k, authority+"-") {
			n += len(l)
		}
	}
	return n
}

// Stale says in French what of this trust is out of date; "" when nothing is. Verdicts do
// not depend on it: a list that was not renewed still names the authorities it named.
func (t *Trust) Stale(now time.Time) string {
	switch {
	case t.list == nil && t.Given:
		return ""
	case t.list == nil:
		return "Aucune liste de confiance n’est importée\u00A0: aucun code ne peut être dit authentique."
	case !t.list.Next.IsZero() && now.After(t.list.Next):
		return fmt.Sprintf("La liste de confiance n° %d devait être renouvelée avant le %s.", t.list.Sequence, t.list.Next.UTC().Format("02/01/2006"))
	}
	return ""
}

// List is the trust list in use; nil without one.
func (t *Trust) List() *List { return t.list }

// printableText drops what a terminal must not be sent.
func printableText(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}
