package smtpin_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"vaguemestre/channels/smtpin"
)

// certificate is a TLS configuration with a fresh certificate of its own.
func certificate(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mx.ville.test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// startTLS secures the conversation and says EHLO again.
func (d *dialog) startTLS() *dialog {
	d.t.Helper()
	d.cmd("STARTTLS", "220 ")
	secured := d.handshake()
	secured.cmd("EHLO secured.test", "250")
	return secured
}

func (d *dialog) handshake() *dialog {
	conn := tls.Client(d.Conn, &tls.Config{InsecureSkipVerify: true})
	return &dialog{d.t, conn, bufio.NewReader(conn)}
}

func TestSTARTTLS(t *testing.T) {
	intake := &town{}
	addr, _ := open(t, smtpin.Config{TLS: certificate(t)}, intake)
	d := dial(t, addr)
	if got := d.cmd("EHLO plain.test", "250"); !strings.Contains(got, "STARTTLS") {
		t.Errorf("not offered: %q", got)
	}
	d.envelope(mine) // forgotten by what follows
	d = d.startTLS()
	d.cmd("DATA", "503 5.5.1 ")
	if got := d.cmd("EHLO secured.test", "250"); strings.Contains(got, "STARTTLS") {
		t.Errorf("offered again: %q", got)
	}
	d.cmd("STARTTLS", "503 5.5.1 ")
	d.envelope(mine)
	d.data(letter, "250 ")
	d.cmd("QUIT", "221 ")
	if taken := intake.Taken(); len(taken) != 1 || !taken[0].Sender.TLS || taken[0].Sender.Helo != "secured.test" {
		t.Errorf("took %+v", taken)
	}
}

func TestSTARTTLSIsNotOffered(t *testing.T) {
	addr, _ := open(t, smtpin.Config{}, &town{})
	d := dial(t, addr)
	if got := d.cmd("EHLO plain.test", "250"); strings.Contains(got, "STARTTLS") {
		t.Errorf("offered: %q", got)
	}
	d.cmd("STARTTLS", "502 ")
	d.cmd("NOOP", "250 ")
}

// TestSEC41_NothingFollowsSTARTTLS injects commands in the clear: none may be carried out
// after the handshake, as if it had been protected.
func TestSEC41_NothingFollowsSTARTTLS(t *testing.T) {
	intake := &town{}
	addr, _ := open(t, smtpin.Config{TLS: certificate(t)}, intake)
	d := dial(t, addr)
	d.send("STARTTLS\r\nMAIL FROM:<evil@b.test>\r\n")
	d.expect("503 5.5.1 ")
	d.expect("")
	d = dial(t, addr)
	d.cmd("STARTTLS", "220 ")
	d.send("MAIL FROM:<evil@b.test>\r\n") // no handshake
	d.Conn.(*net.TCPConn).CloseWrite()
	if got, _ := io.ReadAll(d.r); bytes.Contains(got, []byte("250")) {
		t.Errorf("a command without the handshake was answered: %q", got)
	}
}

func TestSEC42_PlaintextOnlyOnLoopback(t *testing.T) {
	if err := smtpin.New(smtpin.Config{Addrs: []string{"0.0.0.0:0"}}, &town{}, slog.New(slog.DiscardHandler)).Listen(); err == nil {
		t.Error("listens to the world without TLS")
	}
	intake := &town{}
	addr, _ := open(t, smtpin.Config{Addrs: []string{"0.0.0.0:0"}, TLS: certificate(t)}, intake)
	d := dial(t, addr)
	d.cmd("MAIL FROM:<a@b.test>", "530 5.7.0 ")
	d.cmd("RCPT TO:<"+mine+">", "503 5.5.1 ")
	d = d.startTLS()
	d.envelope(mine)
	d.data(letter, "250 ")
	if n := len(intake.Taken()); n != 1 {
		t.Errorf("%d messages taken in", n)
	}
}
