package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"vaguemestre/channels"
	"vaguemestre/channels/imappoll"
	"vaguemestre/core/intake"
	"vaguemestre/core/mailbox"
	"vaguemestre/core/store/postgres"
)

// development: a home whose database is its own is a development home.
func (c *Config) development() bool { return c.DatabaseURL == "" }

func (p *process) buildIMAP(ctx context.Context) error {
	if !p.cfg.has("imap") {
		return nil
	}
	s, err := p.store(ctx, postgres.RoleIMAP, 6)
	if err != nil {
		return err
	}
	secrets, err := p.secrets(s)
	if err != nil {
		return err
	}
	roots, err := authorities(p.cfg.IMAPCA)
	if err != nil {
		return err
	}
	in := p.metrics.count(intake.New(s, p.blobs, p.index, p.bell, p.log))
	channel := imappoll.New(imappoll.Config{
		MaxBytes: p.cfg.IMAPMaxBytes, MaxHeader: p.cfg.SMTPMaxHeader, Poll: p.cfg.IMAPPoll, Idle: p.cfg.IMAPIdle, Patience: p.cfg.IMAPPatience,
		InFlight: p.cfg.IMAPInFlight, Lease: p.cfg.Lease, Plaintext: p.cfg.development(), Roots: roots, Now: p.now, Seen: p.metrics.imap,
	}, in, s, mailbox.NewSecrets(secrets), p.log)
	p.run("mailboxes", func(ctx context.Context) error { return channels.Serve(ctx, p.log, channel) })
	return nil
}

func (c *Config) validateIMAP() error {
	var faults []error
	if c.IMAPIdle >= 29*time.Minute {
		faults = append(faults, errors.New("imap_idle: servers hang up after 29 minutes of silence"))
	}
	if _, err := authorities(c.IMAPCA); err != nil {
		faults = append(faults, errors.New("imap_ca: want a readable file of certificates (PEM)"))
	}
	return errors.Join(faults...)
}

// authorities are the system's with those of a file; nil, which is the system's, without.
func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("imap_ca: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("imap_ca: %s holds no certificate", file)
	}
	return roots, nil
}
