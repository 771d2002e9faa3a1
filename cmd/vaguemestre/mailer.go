package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
	_ "time/tzdata" // letters say dates where the town is, whatever the machine has installed

	"vaguemestre/channels/mailout"
	"vaguemestre/channels/mailout/dkim"
	"vaguemestre/channels/mailout/submission"
	"vaguemestre/channels/mailout/typeset"
	"vaguemestre/core"
	"vaguemestre/core/address"
	"vaguemestre/core/dispatch"
	"vaguemestre/core/link"
	"vaguemestre/core/notice"
	"vaguemestre/core/reply"
	"vaguemestre/core/store/postgres"
	"vaguemestre/core/tenant"
	"vaguemestre/core/vault"
)

func (p *process) buildMailer(ctx context.Context) error {
	if !p.cfg.has("mailer") {
		return nil
	}
	s, err := p.store(ctx, postgres.RoleMailer, 8)
	if err != nil {
		return err
	}
	p.metrics.watchLetters(s, p.now)
	secrets, err := p.secrets(s)
	if err != nil {
		return err
	}
	links := link.New(s, p.index, p.now)
	town := notice.NewComposer(s, p.keeper, links, p.now).Answered(reply.New(s, p.keeper, p.index, p.now))
	documents := dispatch.NewComposer(s, p.keeper, vault.NewReader(s, p.keeper, vault.WithRows{Blobs: p.blobs, Rows: s}), links, p.now)
	composers := byKind{core.LetterReceipt: town, core.LetterResult: town, core.LetterLink: town, core.LetterNotice: town, core.LetterDispatch: documents}
	cfg := mailout.Config{Now: p.now, Lease: p.cfg.Lease, Submission: submission.Config{Hello: p.cfg.SMTPDomain}, Seen: p.metrics.letter, Rests: p.metrics.rests}
	how := senders{s, secrets, p.index}
	p.run("mailer", mailout.New(cfg, s, composers, how, p.log).Run)
	p.tryRelay = func(ctx context.Context, t core.TenantID) (string, string, error) {
		return tryRelay(ctx, cfg.Submission, how, t)
	}
	return nil
}

// byKind hands a letter to whoever writes its kind.
type byKind map[core.LetterKind]mailout.Composer

// Compose writes it. One that nobody here writes waits for a process that does.
func (b byKind) Compose(ctx context.Context, l core.LetterLease) (core.Letter, error) {
	c, ok := b[l.Kind]
	if !ok {
		return core.Letter{}, fmt.Errorf("nobody writes letters of kind %q", l.Kind)
	}
	return c.Compose(ctx, l)
}

// senders knows how each town sends: by its settings and its secrets.
type senders struct {
	store interface {
		Settings(ctx context.Context, id core.TenantID) (tenant.Settings, int, error)
	}
	secrets *tenant.Secrets
	index   vault.Index
}

// Sender gives how a town sends now.
func (s senders) Sender(ctx context.Context, id core.TenantID) (mailout.Sender, error) {
	settings, _, err := s.store.Settings(ctx, id)
	if err != nil || !settings.Sends() {
		return mailout.Sender{}, err
	}
	out := mailout.Sender{Sender: typeset.Sender{Name: settings.FromName, Address: settings.From}}
	if out.Name == "" {
		out.Name = settings.ServiceName
	}
	if out.Relay, err = submission.ParseRelay(settings.Relay); err != nil {
		return mailout.Sender{}, err
	}
	if settings.RelayPin != "" {
		if out.Relay.Pin, err = hex.DecodeString(settings.RelayPin); err != nil {
			return mailout.Sender{}, fmt.Errorf("relay_pin: %w", err)
		}
	}
	if out.Relay.User = settings.RelayUser; out.Relay.User != "" {
		password, err := s.secrets.Open(ctx, id, tenant.SecretRelay)
		if err != nil {
			return mailout.Sender{}, fmt.Errorf("password of the relay: %w", err)
		}
		out.Relay.Password = string(password)
	}
	if out.Sign, err = s.signer(ctx, id, settings); err != nil {
		return mailout.Sender{}, err
	}
	out.ReturnPath = func(letter core.LetterID) string {
		path, _ := address.Bounce(s.index, id, string(letter), settings.MintUnder())
		return path
	}
	return out, nil
}

// signer signs by the town's keys, where a selector is set: then a letter goes signed or
// not at all.
func (s senders) signer(ctx context.Context, id core.TenantID, settings tenant.Settings) (dkim.Signer, error) {
	if settings.DKIMSelector == "" {
		return dkim.Signer{}, nil
	}
	secret, err := s.secrets.Open(ctx, id, tenant.SecretDKIM(settings.DKIMSelector))
	if err != nil {
		return dkim.Signer{}, fmt.Errorf("signing key: %w", err)
	}
	keys, err := dkim.Parse(secret, settings.DKIMSelector)
	return dkim.Signer{Domain: settings.DKIMDomain, Keys: keys}, err
}

// tryRelay opens a session with a town's relay as the mailer does, up to where a letter
// would begin, and gives the code of what is wrong; "" when nothing is.
func tryRelay(ctx context.Context, cfg submission.Config, how senders, t core.TenantID) (code, status string, err error) {
	sender, err := how.Sender(ctx, t)
	if err != nil {
		return mailout.CodeSettings, "", nil
	}
	if sender.Relay.Host == "" {
		return mailout.CodeNoRelay, "", nil
	}
	cfg.Connect, cfg.Command = 10*time.Second, 10*time.Second // somebody waits
	c, err := submission.Dial(ctx, cfg, sender.Relay)
	var fault *submission.Fault
	switch {
	case errors.As(err, &fault):
		return fault.Code, fault.Status, nil
	case err != nil:
		return "", "", err
	}
	c.Close()
	return "", "", nil
}
