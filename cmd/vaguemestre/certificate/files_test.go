package certificate

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 11, 3, 9, 0, 0, 0, time.UTC)

// pair makes a certificate with its key, PEM both, that bears the name.
func pair(t *testing.T, name string, until time.Time) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: start.Add(-time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

// place puts a file where another may be, as careful programs do.
func place(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// TestFilesAreReloaded: a new pair is taken over with the next look, a broken one is
// not and is complained of once, and mended it is.
func TestFilesAreReloaded(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	far := start.AddDate(1, 0, 0)
	cert, key := pair(t, "first", far)
	place(t, certFile, cert)
	place(t, keyFile, key)
	now := start
	var log bytes.Buffer
	f, err := Open(certFile, keyFile, func() time.Time { return now }, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	shows := func(want string) {
		t.Helper()
		got, err := f.Get(nil)
		if err != nil || got.Leaf.Subject.CommonName != want {
			t.Errorf("shows %v (%v), want %s", got.Leaf.Subject, err, want)
		}
	}
	shows("first")
	cert, key = pair(t, "second", far)
	place(t, certFile, cert) // the key is still to come
	now = now.Add(every - 1)
	shows("first")
	now = now.Add(1)
	shows("first")
	for range 3 {
		now = now.Add(every)
		shows("first")
	}
	if n := strings.Count(log.String(), "not usable"); n != 1 {
		t.Errorf("complained %d times: %s", n, log.String())
	}
	place(t, keyFile, key)
	now = now.Add(every)
	shows("second")
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	now = now.Add(every)
	shows("second")
	cert, key = pair(t, "third", start.AddDate(0, 0, 7))
	place(t, keyFile, key)
	place(t, certFile, cert)
	now = now.Add(every)
	shows("third")
	if !strings.Contains(log.String(), "ends soon") {
		t.Error("an end in a week is not spoken of")
	}
	if leaf, err := Leaf(certFile); err != nil || leaf.Subject.CommonName != "third" {
		t.Errorf("Leaf: %v", err)
	}
}

func TestFilesThatAreNoPair(t *testing.T) {
	dir := t.TempDir()
	cert, key := pair(t, "x", start)
	other, _ := pair(t, "y", start)
	for name, files := range map[string][2][]byte{
		"another's key": {other, key}, "no key": {cert, nil}, "no certificate": {nil, key}, "the other way round": {key, cert},
	} {
		certFile, keyFile := filepath.Join(dir, name+".cert"), filepath.Join(dir, name+".key")
		place(t, certFile, files[0])
		place(t, keyFile, files[1])
		if _, err := Open(certFile, keyFile, time.Now, slog.New(slog.DiscardHandler)); err != ErrUnusable {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Leaf(filepath.Join(dir, "no key.key")); err == nil {
		t.Error("an empty file is a certificate")
	}
}
