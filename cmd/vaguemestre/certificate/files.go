// Package certificate owns the certificates that listeners show: from files, which may
// be replaced at any time, or from an authority by ACME.
package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Source gives a listener its certificate, at each handshake the one in force.
type Source interface {
	Get(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// Config is TLS with the source's certificates, 1.2 at least.
func Config(s Source) *tls.Config {
	return &tls.Config{GetCertificate: s.Get, MinVersion: tls.VersionTLS12}
}

// every is how often files are looked at, at most.
const every = 10 * time.Second

// soon is how long before its end a certificate is complained of.
const soon = 14 * 24 * time.Hour

// Files is a certificate with its chain in one file and its key in another (PEM). Files
// that were replaced are taken over with the next handshake, without a restart; as long
// as the new ones are no usable pair, the former certificate stays and the log says so,
// once.
type Files struct {
	cert, key string
	now       func() time.Time
	log       *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	looked  time.Time
	was     [2]os.FileInfo
}

// ErrUnusable: the files are no certificate with its key.
var ErrUnusable = errors.New("no usable certificate and key")

// Open reads the files; here, unusable ones are an error.
func Open(cert, key string, now func() time.Time, log *slog.Logger) (*Files, error) {
	f := &Files{cert: cert, key: key, now: now, log: log}
	f.was, f.looked = f.stat(), now()
	var err error
	if f.current, err = f.load(); err != nil {
		return nil, ErrUnusable // the reason may quote the file
	}
	return f, nil
}

// Get is a tls.Config's GetCertificate.
func (f *Files) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.now(); now.Sub(f.looked) >= every {
		f.looked = now
		f.look()
	}
	return f.current, nil
}

// look takes over files that have changed.
func (f *Files) look() {
	is := f.stat()
	if same(is[0], f.was[0]) && same(is[1], f.was[1]) {
		return
	}
	f.was = is
	fresh, err := f.load()
	if err != nil {
		f.log.Error("new TLS certificate and key are not usable, the former stay in use")
		return
	}
	f.current = fresh
	f.log.Info("TLS certificate replaced", "until", fresh.Leaf.NotAfter)
}

func (f *Files) load() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, err
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return nil, err
		}
	}
	if pair.Leaf.NotAfter.Before(f.now().Add(soon)) {
		f.log.Warn("TLS certificate ends soon", "until", pair.Leaf.NotAfter)
	}
	return &pair, nil
}

// stat is what the files look like from outside; nil for one that is missing.
func (f *Files) stat() (out [2]os.FileInfo) {
	for i, name := range []string{f.cert, f.key} {
		if info, err := os.Stat(name); err == nil {
			out[i] = info
		}
	}
	return out
}

func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// Leaf is the certificate in the file.
func Leaf(file string) (*x509.Certificate, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return leafOf(b)
}
