// Package relaytest plays a town's relay, well behaved or not, and remembers what it was
// told.
package relaytest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// What Answer may give in place of a reply.
const (
	HangUp = "\x00hang up"
	Silent = "\x00silent" // until the client has gone
)

// Message is one that the relay took.
type Message struct {
	Mail, Rcpt string // the commands, whole
	Data       []byte // as it was before its dots were doubled
}

// Relay is a relay on loopback. Its fields are set before Start.
type Relay struct {
	Offers         []string // of EHLO, besides STARTTLS and AUTH
	StartTLS       bool     // offered, and performed
	Implicit       bool     // TLS from the first byte
	User, Password string   // "": no authentication is wanted
	Methods        string   // of AUTH; "PLAIN LOGIN" when ""
	// Answer replaces the reply to a command, or to a message, which is ".". The first
	// greeting is asked for as "". A reply may have several lines; "" leaves it as it is.
	Answer func(session int, command string) string

	Addr string
	Pin  []byte         // SHA-256 of its public key
	Pool *x509.CertPool // with its certificate, which is for localhost alone

	cert tls.Certificate
	mu   sync.Mutex
	// What was received.
	messages []Message
	clear    bytes.Buffer // before TLS
	sessions int
	open     int
	most     int
	auths    int
}

// Start serves until the test ends.
func (r *Relay) Start(t testing.TB) *Relay {
	t.Helper()
	r.certificate(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.Addr = ln.Addr().String()
	var all sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	all.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			all.Go(func() { r.serve(conn) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return r
}

func (r *Relay) certificate(t testing.TB) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	r.cert = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	r.Pool = x509.NewCertPool()
	r.Pool.AddCert(leaf)
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	r.Pin = sum[:]
}

// Messages are those taken so far.
func (r *Relay) Messages() []Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.messages)
}

// Clear is what was received unencrypted.
func (r *Relay) Clear() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.clear.String()
}

// Sessions are how many were begun, how many at most stood open together, and how often
// somebody authenticated.
func (r *Relay) Sessions() (begun, together, authenticated int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sessions, r.most, r.auths
}
