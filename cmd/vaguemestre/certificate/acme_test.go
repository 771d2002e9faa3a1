package certificate

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// authority is an ACME authority for one order after another. It believes whoever
// answers its challenge, as RFC 8555 §8.3 has it, and checks no signatures.
type authority struct {
	*httptest.Server
	t       *testing.T
	key     *ecdsa.PrivateKey
	root    *x509.Certificate
	ask     func(path string) string // fetches from port 80 of the domain
	valid   atomic.Bool
	issued  atomic.Pointer[[]byte]
	orders  atomic.Int32
	refuses atomic.Bool
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.root, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.Server = httptest.NewTLSServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Replay-Nonce", fmt.Sprint(time.Now().UnixNano()))
	status := "pending"
	if a.valid.Load() {
		status = "valid"
	}
	say := func(code int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		json.NewEncoder(w).Encode(v)
	}
	order := func(status string) map[string]any {
		return map[string]any{
			"status": status, "identifiers": []any{map[string]string{"type": "dns", "value": "mx.ville.test"}},
			"authorizations": []string{a.URL + "/authz"}, "finalize": a.URL + "/finalize", "certificate": a.URL + "/cert",
		}
	}
	challenge := map[string]any{"type": "http-01", "url": a.URL + "/challenge", "token": "token-1", "status": status}
	switch r.URL.Path {
	case "/dir":
		say(200, map[string]string{"newNonce": a.URL + "/nonce", "newAccount": a.URL + "/account", "newOrder": a.URL + "/order", "revokeCert": a.URL + "/revoke", "keyChange": a.URL + "/change"})
	case "/nonce":
	case "/account":
		w.Header().Set("Location", a.URL+"/account/1")
		say(201, map[string]string{"status": "valid"})
	case "/order":
		a.orders.Add(1)
		a.valid.Store(false)
		w.Header().Set("Location", a.URL+"/order/1")
		say(201, order("pending"))
	case "/order/1":
		say(200, order(map[bool]string{true: "ready", false: "pending"}[a.valid.Load()]))
	case "/authz":
		say(200, map[string]any{"status": status, "identifier": map[string]string{"type": "dns", "value": "mx.ville.test"}, "challenges": []any{challenge}})
	case "/challenge":
		if got := a.ask("/.well-known/acme-challenge/token-1"); strings.HasPrefix(got, "token-1.") && !a.refuses.Load() {
			a.valid.Store(true)
		}
		say(200, challenge)
	case "/finalize":
		a.issue(r)
		w.Header().Set("Location", a.URL+"/order/1")
		say(200, order("valid"))
	case "/cert":
		w.Header().Set("Content-Type", "application/pem-certificate-chain")
		w.Write(*a.issued.Load())
	default:
		http.NotFound(w, r)
	}
}

// issue signs what the request asks for.
func (a *authority) issue(r *http.Request) {
	var jws struct{ Payload string }
	var payload struct{ CSR string }
	err := json.NewDecoder(r.Body).Decode(&jws)
	if err == nil {
		var raw []byte
		if raw, err = base64.RawURLEncoding.DecodeString(jws.Payload); err == nil {
			err = json.Unmarshal(raw, &payload)
		}
	}
	der, err2 := base64.RawURLEncoding.DecodeString(payload.CSR)
	csr, err3 := x509.ParseCertificateRequest(der)
	if err != nil || err2 != nil || err3 != nil {
		a.t.Errorf("no certificate request: %v, %v, %v", err, err2, err3)
		return
	}
	leaf, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: csr.DNSNames, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 3, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.root, csr.PublicKey, a.key)
	if err != nil {
		a.t.Error(err)
		return
	}
	var chain bytes.Buffer
	for _, der := range [][]byte{leaf, a.root.Raw} {
		pem.Encode(&chain, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	all := chain.Bytes()
	a.issued.Store(&all)
}

func (a *authority) run(t *testing.T, folder string) *ACME {
	t.Helper()
	source, err := ListenACME(ACMEConfig{Directory: a.URL + "/dir", Domain: "mx.ville.test", Folder: folder, HTTP: "127.0.0.1:0", Client: a.Client()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	a.ask = func(path string) string {
		req, err := http.NewRequest(http.MethodGet, "http://"+source.Addr()+path, nil)
		if err != nil {
			t.Error(err)
			return ""
		}
		req.Host = "mx.ville.test"
		resp, err := http.DefaultClient.Do(req)
		if err != nil { // nobody answers: an authority refuses then
			return ""
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return string(b)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- source.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return source
}

// TestACME has an authority issue a certificate, shows it to a client that asks for no
// name, and finds it again after a restart without another order.
func TestACME(t *testing.T) {
	a := newAuthority(t)
	folder := filepath.Join(t.TempDir(), "acme")
	source := a.run(t, folder)
	<-source.ready
	roots := x509.NewCertPool()
	roots.AddCert(a.root)
	for _, name := range []string{"", "mx.ville.test", "elsewhere.test"} {
		leaf := handshake(t, source, name)
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: "mx.ville.test", Roots: roots}); err != nil {
			t.Errorf("asked for %q: %v", name, err)
		}
		if leaf.PublicKeyAlgorithm != x509.ECDSA {
			t.Errorf("key is %v", leaf.PublicKeyAlgorithm)
		}
	}
	kept, err := Kept(folder, "mx.ville.test")
	if err != nil || !kept.Equal(handshake(t, source, "")) {
		t.Errorf("kept: %v", err)
	}
	files, err := os.ReadDir(folder)
	if err != nil || len(files) < 2 {
		t.Errorf("%d files kept: %v", len(files), err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f.Name(), info.Mode(), err)
		}
	}
	if got := a.ask("/"); !strings.Contains(got, "not found") {
		t.Errorf("port 80 serves %q", got)
	}
	orders := a.orders.Load()
	again := a.run(t, folder)
	<-again.ready
	if !handshake(t, again, "").Equal(kept) || a.orders.Load() != orders {
		t.Errorf("%d orders after a restart, %d before", a.orders.Load(), orders)
	}
}

// An authority that refuses leaves us without a certificate, and handshakes fail.
func TestACMERefused(t *testing.T) {
	a := newAuthority(t)
	a.refuses.Store(true)
	// Not t.TempDir: the attempt goes on for minutes and may write there after the test.
	folder, err := os.MkdirTemp("", "acme")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	source := a.run(t, folder)
	if _, err := source.Get(nil); err != errNoneYet {
		t.Errorf("certificate: %v", err)
	}
	client, server := net.Pipe()
	defer client.Close()
	go tls.Server(server, Config(source)).Handshake()
	if err := tls.Client(client, &tls.Config{InsecureSkipVerify: true}).Handshake(); err == nil {
		t.Error("a handshake without certificate")
	}
	if _, err := Kept(source.cfg.Folder, "mx.ville.test"); err == nil {
		t.Error("a certificate is kept")
	}
}

// handshake is the certificate that a client is shown.
func handshake(t *testing.T, s Source, name string) *x509.Certificate {
	t.Helper()
	client, server := net.Pipe()
	defer client.Close()
	go tls.Server(server, Config(s)).Handshake()
	conn := tls.Client(client, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	return conn.ConnectionState().PeerCertificates[0]
}
