package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// ACMEConfig says which certificate is asked for, and of whom.
type ACMEConfig struct {
	Directory string       // of the authority; its terms are agreed to
	Domain    string       // the one name of the certificate
	Folder    string       // where account, certificate and challenges are kept, each file 0600; shared by all hosts of the domain
	HTTP      string       // where the authority's challenges (HTTP-01) are answered: port 80 of the domain must lead there
	Client    *http.Client // to speak to the authority; http.DefaultClient when nil
}

// ACME is a certificate from an authority that speaks ACME (RFC 8555), renewed in time.
// It has an ECDSA key that stays the same from one renewal to the next: what DANE
// publishes of it need not change.
type ACME struct {
	cfg     ACMEConfig
	manager *autocert.Manager
	http    net.Listener
	log     *slog.Logger
	ready   chan struct{} // closed once there is a certificate
}

// errNoneYet: senders come again.
var errNoneYet = errors.New("no certificate from the ACME authority yet")

// ListenACME binds the address of the challenges; Run serves it.
func ListenACME(cfg ACMEConfig, log *slog.Logger) (*ACME, error) {
	ln, err := net.Listen("tcp", cfg.HTTP)
	if err != nil {
		return nil, fmt.Errorf("listen for ACME challenges: %w", err)
	}
	return &ACME{cfg: cfg, http: ln, log: log, ready: make(chan struct{}), manager: &autocert.Manager{
		Prompt:     autocert.AcceptTOS,
		Cache:      autocert.DirCache(cfg.Folder),
		HostPolicy: autocert.HostWhitelist(cfg.Domain),
		Client:     &acme.Client{DirectoryURL: cfg.Directory, HTTPClient: cfg.Client},
	}}, nil
}

// Addr is where challenges are answered.
func (a *ACME) Addr() string { return a.http.Addr().String() }

// Get is a tls.Config's GetCertificate. Whatever name a sender asks for, and most ask
// for none, there is one certificate; before there is, the handshake fails at once
// instead of waiting for an authority.
func (a *ACME) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	select {
	case <-a.ready:
		return a.ours()
	default:
		return nil, errNoneYet
	}
}

// ours asks the manager for the certificate as a client would that knows our name and
// ECDSA; the first time, it asks the authority.
func (a *ACME) ours() (*tls.Certificate, error) {
	return a.manager.GetCertificate(&tls.ClientHelloInfo{
		ServerName:       a.cfg.Domain,
		SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
		SupportedCurves:  []tls.CurveID{tls.CurveP256},
		CipherSuites:     []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	})
}

// A certificate that could not be had is asked for again after a pause that doubles.
const (
	firstPause = time.Minute
	lastPause  = time.Hour
)

// Run answers challenges and has a certificate issued, until ctx ends; it is called once.
func (a *ACME) Run(ctx context.Context) error {
	server := &http.Server{
		Handler:     a.manager.HTTPHandler(http.NotFoundHandler()),
		ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 8 << 10,
	}
	go a.obtain(ctx)
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(a.http); ctx.Err() == nil {
		return fmt.Errorf("answer ACME challenges: %w", err)
	}
	return nil
}

func (a *ACME) obtain(ctx context.Context) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		got, err := a.ours()
		if err == nil {
			close(a.ready)
			a.log.Info("TLS certificate in use", "until", got.Leaf.NotAfter)
			return // the manager renews it
		}
		if ctx.Err() != nil {
			return
		}
		a.log.Error("no TLS certificate from the ACME authority", "error", err, "pause", pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// Close gives the address back when Run was never called.
func (a *ACME) Close() error { return a.http.Close() }

// Kept is the certificate that ACME keeps in a folder for a domain.
func Kept(folder, domain string) (*x509.Certificate, error) {
	b, err := os.ReadFile(filepath.Join(folder, domain))
	if err != nil {
		return nil, err
	}
	return leafOf(b)
}

// leafOf is the first certificate in a PEM file.
func leafOf(b []byte) (*x509.Certificate, error) {
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			return nil, ErrUnusable
		}
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
}
