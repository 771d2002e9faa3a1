package smime

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"vaguemestre/channels/mail/cms"
)

var now = time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)

// certificate makes one that may be used as use says.
func certificate(t testing.TB, key crypto.Signer, use x509.KeyUsage) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(0x7fffffff01), Subject: pkix.Name{CommonName: "Service état civil"}, KeyUsage: use,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "Autorité", Organization: []string{"Ville"}}}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func rsaKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// encrypt writes content in pieces of step bytes, and checks that its size was foretold.
func encrypt(t testing.TB, r *Recipient, content []byte, step int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := r.Encrypt(&out, int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	for rest := content; len(rest) > 0; {
		n := min(step, len(rest))
		if _, err := w.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if int64(out.Len()) != r.Size(int64(len(content))) {
		t.Fatalf("%d bytes, %d were foretold", out.Len(), r.Size(int64(len(content))))
	}
	return out.Bytes()
}

// TestSEC53_OpensslDecrypts: what is written for each kind of key is read by OpenSSL with
// that key, whatever its length, and by nobody without it.
func TestSEC53_OpensslDecrypts(t *testing.T) {
	for name, c := range map[string]struct {
		key crypto.Signer
		use x509.KeyUsage
	}{
		"rsa2048": {rsaKey(t, 2048), x509.KeyUsageKeyEncipherment}, "rsa3072": {rsaKey(t, 3072), 0},
		"p256": {ecKey(t, elliptic.P256()), x509.KeyUsageKeyAgreement}, "p384": {ecKey(t, elliptic.P384()), 0}, "p521": {ecKey(t, elliptic.P521()), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			der := certificate(t, c.key, c.use)
			r, err := NewRecipient(der, now)
			if err != nil {
				t.Fatal(err)
			}
			for i, size := range []int{0, 1, 15, 16, 100, 127, 128, 40_000, 70_000} {
				content := bytes.Repeat([]byte("pièce "), size/7+1)[:size]
				sealed := encrypt(t, r, content, 1+i*13)
				if kind, _, err := cms.Open(sealed); err != nil || kind != cms.Encrypted {
					t.Errorf("%d bytes: kind %v, %v", size, kind, err)
				}
				got, err := openssl(t, c.key, der, sealed)
				if err != nil || !bytes.Equal(got, content) {
					t.Fatalf("%d bytes come back as %d: %v", size, len(got), err)
				}
			}
			other := rsaKey(t, 2048)
			if got, err := openssl(t, other, certificate(t, other, 0), encrypt(t, r, []byte("secret"), 10)); err == nil || bytes.Contains(got, []byte("secret")) {
				t.Error("somebody else's key opens it")
			}
		})
	}
}

func openssl(t *testing.T, key crypto.Signer, cert, sealed []byte) ([]byte, error) {
	t.Helper()
	dir := t.TempDir()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"key":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		"cert": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), "sealed": sealed,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("openssl", "cms", "-decrypt", "-binary", "-inform", "DER", "-in", "sealed", "-inkey", "key", "-recip", "cert")
	cmd.Dir = dir
	return cmd.Output()
}

// TestSEC53_UnfitCertificates: nothing is encrypted for a key that is not what it should be.
func TestSEC53_UnfitCertificates(t *testing.T) {
	good := rsaKey(t, 2048)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		der []byte
		at  time.Time
	}{
		"nothing":       {nil, now},
		"noise":         {[]byte("no certificate"), now},
		"signing only":  {certificate(t, good, x509.KeyUsageDigitalSignature), now},
		"signing curve": {certificate(t, ecKey(t, elliptic.P256()), x509.KeyUsageDigitalSignature), now},
		"small":         {certificate(t, rsaKey(t, 1024), 0), now},
		"no curve":      {certificate(t, ed, 0), now},
		"small curve":   {certificate(t, ecKey(t, elliptic.P224()), 0), now},
		"over":          {certificate(t, good, 0), now.Add(2 * time.Hour)},
		"not yet":       {certificate(t, good, 0), now.Add(-2 * time.Hour)},
	} {
		if _, err := NewRecipient(c.der, c.at); !errors.Is(err, ErrUnfit) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWrap is the vector of RFC 3394 §4.6.
func TestWrap(t *testing.T) {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	got, err := wrap(unhex("000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F"), unhex("00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F"))
	if want := unhex("28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%x, %v", got, err)
	}
}

// Content of another size than was said is no message, and memory does not grow with it.
func TestStream(t *testing.T) {
	r, err := NewRecipient(certificate(t, rsaKey(t, 2048), 0), now)
	if err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int64{"short": 4, "long": 2} {
		w, err := r.Encrypt(io.Discard, size)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.Write([]byte("abc"))
		if cerr := w.Close(); err == nil && cerr == nil {
			t.Errorf("%s: taken", name)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w, err := r.Encrypt(io.Discard, 32<<20)
	if err != nil {
		t.Fatal(err)
	}
	piece := make([]byte, 32<<10)
	for range 1 << 10 {
		if _, err := w.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if grew := after.TotalAlloc - before.TotalAlloc; grew > 1<<20 {
		t.Errorf("%d bytes allocated for 32 MiB", grew)
	}
}
