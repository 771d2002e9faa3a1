package dispatch_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
	"time"

	"vaguemestre/core/dispatch"
)

// A signature may end like a blank line; a certificate is its bytes, all of them.
func TestCertificateThatEndsInWhitespace(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	for range 10_000 {
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		if strings.IndexByte(" \t\n\v\f\r", der[len(der)-1]) < 0 {
			continue
		}
		if got, err := dispatch.Certificate(der, "a@ville.test", time.Now()); err != nil || !bytes.Equal(got, der) {
			t.Errorf("ends in %q: %v", der[len(der)-1:], err)
		}
		return
	}
	t.Fatal("no signature ends so")
}
