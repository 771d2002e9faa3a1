// Package submission hands messages to a town's relay by SMTP (RFC 5321, 6409): over TLS
// that is verified, by kept connections, with each answer told apart: taken, not now,
// never, or the relay itself is in trouble. What a relay says is never quoted.
package submission

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"vaguemestre/core"
)

// Relay is where a town's letters go.
type Relay struct {
	Host, Port     string
	Implicit       bool // TLS from the first byte; else STARTTLS
	User, Password string
	Pin            []byte // SHA-256 of its public key; nil: its certificate is verified
}

// ParseRelay reads host:port, or tls://host:port for TLS from the first byte.
func ParseRelay(s string) (Relay, error) {
	rest, implicit := strings.CutPrefix(s, "tls://")
	host, port, err := net.SplitHostPort(rest)
	if err != nil || host == "" || port == "" {
		return Relay{}, fmt.Errorf("relay: %w: want host:port or tls://host:port", core.ErrInvalid)
	}
	return Relay{Host: host, Port: port, Implicit: implicit}, nil
}

// Config is the same for all relays.
type Config struct {
	Hello string         // our name, said to relays; "localhost" when ""
	Roots *x509.CertPool // that relays' certificates are verified against; the system's when nil

	Connect time.Duration // for a connection and its TLS; 30 s when zero
	Command time.Duration // for the answer to a command; 2 minutes when zero
	Send    time.Duration // for each 64 KiB of a message to go; 2 minutes when zero
	Final   time.Duration // for the answer to a message; 10 minutes when zero (RFC 5321 §4.5.3.2)

	nothingLocal bool // tests: this machine counts as another
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{{&c.Connect, 30 * time.Second}, {&c.Command, 2 * time.Minute}, {&c.Send, 2 * time.Minute}, {&c.Final, 10 * time.Minute}} {
		if *d.value == 0 {
			*d.value = d.or
		}
	}
	if c.Hello == "" {
		c.Hello = "localhost"
	}
	return c
}

var errPin = errors.New("the relay's public key is not the pinned one")

// tls: a pin takes the place of names and authorities.
func (c Config) tls(r Relay) *tls.Config {
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: r.Host, RootCAs: c.Roots}
	if r.Pin != nil {
		t.InsecureSkipVerify = true // VerifyConnection does it
		t.VerifyConnection = func(state tls.ConnectionState) error {
			sum := sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo)
			if subtle.ConstantTimeCompare(sum[:], r.Pin) != 1 {
				return errPin
			}
			return nil
		}
	}
	return t
}

// Codes of faults that are the relay's or the town's settings'. They are stable.
const (
	CodeUnreachable  = "relay_unreachable"
	CodeSilent       = "relay_silent"        // it did not answer in time, or hung up
	CodeProtocol     = "relay_protocol"      // what it says is no SMTP
	CodeBusy         = "relay_busy"          // not now (421, a greeting that is none, a sender put off)
	CodeNoTLS        = "relay_without_tls"   // STARTTLS is not offered, or was refused
	CodeTLS          = "relay_tls"           // the handshake failed
	CodeCertificate  = "relay_certificate"   // not valid for the relay's name, or not the pinned key
	CodeAuth         = "relay_auth"          // name or password refused, or wanted and not set
	CodeAuthMethod   = "relay_auth_method"   // neither PLAIN nor LOGIN is offered
	CodeSenderDenied = "relay_sender_denied" // the town's address is refused as a sender
)

// Codes of faults that are the letter's. Others are the relay's reply code.
const (
	CodeReplyLost = "reply_lost" // all was sent, the answer was not heard: it may have arrived
	CodeTooLarge  = "too_large"
	CodeNoUTF8    = "no_smtputf8" // the address needs what the relay does not know
)

// Fault is why a message was not taken.
type Fault struct {
	Relay  bool   // the relay's, or the settings': no letter would fare better now
	Begun  bool   // a Relay fault met once it had taken the sender: perhaps this letter brings it about
	Final  bool   // the letter's, for good
	Broken bool   // the connection is of no use any more
	Code   string // stable code, or the relay's reply code
	Status string // enhanced status, "5.1.1"; "" when there is none
	cause  error  // of ours or the network's; never a relay's words
}

func (f *Fault) Error() string {
	if f.Status != "" {
		return f.Code + " " + f.Status
	}
	return f.Code
}

func (f *Fault) Unwrap() error { return f.cause }

// relayFault is trouble on the way to the relay.
func relayFault(code string, cause error) *Fault {
	return &Fault{Relay: true, Broken: true, Code: code, cause: cause}
}

// certificateFault tells a certificate that is refused from a handshake that failed.
func certificateFault(err error) *Fault {
	var invalid *tls.CertificateVerificationError
	switch {
	case errors.As(err, &invalid), errors.Is(err, errPin):
		return relayFault(CodeCertificate, err)
	case errors.Is(err, context.DeadlineExceeded):
		return relayFault(CodeSilent, err)
	}
	return relayFault(CodeTLS, err)
}
