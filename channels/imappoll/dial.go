package imappoll

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"vaguemestre/core"
	"vaguemestre/core/mailbox"
)

// fault is an error with the stable code that the mailbox shows.
type fault struct {
	code string
	err  error
}

func (f *fault) Error() string { return f.code + ": " + f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

func faulty(code string, format string, args ...any) error {
	return &fault{code, fmt.Errorf(format, args...)}
}

// dial connects to the server of a mailbox, encrypted and greeted, not signed in.
func (c *Channel) dial(ctx context.Context, s mailbox.Settings, handler *imapclient.UnilateralDataHandler) (*imapclient.Client, *line, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Patience)
	defer cancel()
	host, _, err := net.SplitHostPort(s.Server)
	if err != nil {
		return nil, nil, faulty(mailbox.FaultUnreachable, "server: %w", err)
	}
	if s.TLS == mailbox.TLSNone && !(c.cfg.Plaintext && mailbox.Loopback(host)) {
		return nil, nil, faulty(mailbox.FaultNoTLS, "plain text is for development, on this machine")
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", s.Server)
	if err != nil {
		return nil, nil, &fault{mailbox.FaultUnreachable, err}
	}
	greeting := ""
	if s.TLS == mailbox.TLSStart {
		if err := startTLS(ctx, conn); err != nil {
			conn.Close()
			return nil, nil, err
		}
		greeting = "* OK encrypted\r\n" // the server greets once, before
	}
	if s.TLS != mailbox.TLSNone {
		secure := tls.Client(conn, &tls.Config{ServerName: host, RootCAs: c.cfg.Roots, MinVersion: tls.VersionTLS12, Time: c.cfg.Now})
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, nil, handshakeFault(err)
		}
		conn = secure
	}
	// What is a little too large is read, and refused; what is beyond ends the connection.
	l := newLine(conn, 4*c.cfg.MaxBytes, c.cfg.Patience)
	if greeting != "" {
		l.greeting = strings.NewReader(greeting)
	}
	client := imapclient.New(l, &imapclient.Options{UnilateralDataHandler: handler})
	stop := context.AfterFunc(ctx, func() { l.close(context.Cause(ctx)) })
	defer stop()
	if err := client.WaitGreeting(); err != nil {
		client.Close()
		return nil, nil, l.ending(err)
	}
	if client.State() != imap.ConnStateNotAuthenticated {
		client.Close()
		return nil, nil, faulty(mailbox.FaultPreauth, "the server sent PREAUTH")
	}
	return client, l, nil
}

// handshakeFault tells a certificate that does not hold from a line that was cut.
func handshakeFault(err error) error {
	var verification *tls.CertificateVerificationError
	if errors.As(err, &verification) {
		return &fault{mailbox.FaultCertificate, err}
	}
	return &fault{mailbox.FaultUnreachable, fmt.Errorf("TLS: %w", err)}
}

// startTLS asks for TLS in plain text. Nothing the server says before it counts: what it
// sends behind its answer, which somebody on the way may have added, ends the connection.
func startTLS(ctx context.Context, conn net.Conn) error {
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline) // a connection that cannot is broken, and reading says so
	defer conn.SetDeadline(time.Time{})
	r := bufio.NewReaderSize(conn, 4<<10)
	say := func(wanted string) (string, error) {
		for range 20 { // untagged responses may come first
			text, err := r.ReadSlice('\n')
			if err != nil {
				return "", &fault{mailbox.FaultUnreachable, fmt.Errorf("before TLS: %w", err)}
			}
			said := strings.ToUpper(string(text))
			if strings.HasPrefix(said, "* PREAUTH") {
				return "", faulty(mailbox.FaultPreauth, "the server sent PREAUTH before TLS")
			}
			if strings.HasPrefix(said, wanted) {
				return said, nil
			}
		}
		return "", faulty(mailbox.FaultProtocol, "the server does not answer")
	}
	if greeting, err := say("* "); err != nil || !strings.HasPrefix(greeting, "* OK") {
		if err == nil {
			err = faulty(mailbox.FaultUnreachable, "the server does not let us in")
		}
		return err
	}
	if _, err := conn.Write([]byte("S1 STARTTLS\r\n")); err != nil {
		return &fault{mailbox.FaultCut, err}
	}
	answer, err := say("S1 ")
	if err != nil {
		return err
	}
	if !strings.HasPrefix(answer, "S1 OK") {
		return faulty(mailbox.FaultNoTLS, "the server refuses STARTTLS")
	}
	if r.Buffered() > 0 {
		return faulty(mailbox.FaultProtocol, "bytes came in plain text after the answer to STARTTLS")
	}
	return nil
}

// ending names why a conversation ended: for what this end of the line saw, or err.
func (l *line) ending(err error) error {
	var already *fault
	if errors.As(err, &already) {
		return err
	}
	why, ended := l.why()
	var no *imap.Error
	var timeout net.Error
	switch {
	case errors.Is(why, context.DeadlineExceeded):
		return &fault{mailbox.FaultSlow, errTimeout}
	case errors.Is(why, errCut), errors.Is(why, context.Canceled), errors.Is(why, core.ErrStale):
		return &fault{mailbox.FaultCut, why}
	case why != nil:
		return &fault{mailbox.FaultProtocol, why}
	case errors.As(err, &no): // its text is the server's: not for a log
		return faulty(mailbox.FaultProtocol, "%s %s", no.Type, no.Code)
	case errors.As(ended, &timeout) && timeout.Timeout():
		return &fault{mailbox.FaultSlow, errTimeout}
	case ended != nil:
		return &fault{mailbox.FaultCut, errCut}
	}
	return &fault{mailbox.FaultProtocol, errNonsense}
}

var (
	errTimeout  = errors.New("the server did not answer in time")
	errCut      = errors.New("the connection was cut")
	errNonsense = errors.New("the server's answer is no IMAP")
)
