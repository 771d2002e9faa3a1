package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"runtime/debug"
	"strings"

	"vaguemestre/channels"
	"vaguemestre/channels/smtpin"
	"vaguemestre/cmd/vaguemestre/certificate"
	"vaguemestre/core/intake"
	"vaguemestre/core/store/postgres"
)

func (p *process) buildSMTP(ctx context.Context) error {
	if !p.cfg.has("smtp") {
		return nil
	}
	if len(p.cfg.Roles) == 1 {
		collectSeldom()
	}
	s, err := p.store(ctx, postgres.RoleSMTP, 6)
	if err != nil {
		return err
	}
	cfg := p.cfg.smtpin()
	cfg.Now, cfg.Seen = p.now, p.metrics.smtp
	source, err := p.certificates()
	if err != nil {
		return err
	}
	if source != nil {
		cfg.TLS = certificate.Config(source)
	}
	in := p.metrics.count(intake.New(s, p.blobs, p.index, p.bell, p.log))
	p.smtp = smtpin.New(cfg, in, p.log)
	if err := p.smtp.Listen(); err != nil {
		return err
	}
	p.run("channels", func(ctx context.Context) error { return channels.Serve(ctx, p.log, p.smtp) })
	return nil
}

// collectSeldom spares a process that only accepts a seventh of its processor time: next
// to nothing lives in its heap from one mail to the next. GOGC and GOMEMLIMIT win.
func collectSeldom() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(80 << 20) // collected as often as it takes to stay below
	}
}

// certificates is where the SMTP listeners have theirs from; nil without TLS.
func (p *process) certificates() (certificate.Source, error) {
	switch {
	case p.cfg.SMTPCert != "":
		files, err := certificate.Open(p.cfg.SMTPCert, p.cfg.SMTPKey, p.now, p.log)
		if err != nil {
			return nil, errors.New("smtp_cert and smtp_key are no usable certificate and key")
		}
		return files, nil
	case p.cfg.SMTPACME != "":
		a, err := certificate.ListenACME(certificate.ACMEConfig{
			Directory: p.cfg.SMTPACME, Domain: p.cfg.SMTPDomain, Folder: p.home.ACME(), HTTP: p.cfg.SMTPACMEHTTP,
		}, p.log)
		if err != nil {
			return nil, err
		}
		p.onClose(func() { a.Close() })
		p.run("acme", a.Run)
		return a, nil
	}
	return nil, nil
}

// smtpin is the channel's part of the settings, which are valid.
func (c *Config) smtpin() smtpin.Config {
	balancers, _ := prefixes(c.SMTPProxy)
	exempt, _ := prefixes(c.SMTPExempt)
	return smtpin.Config{
		Addrs: c.SMTP, Domain: c.SMTPDomain, Contact: c.SMTPContact, Balancers: balancers, Exempt: exempt,
		MaxBytes: c.SMTPMaxBytes, MaxHeader: c.SMTPMaxHeader, MaxLine: c.SMTPMaxLine, MaxRecipients: c.SMTPMaxRecipients,
		MaxSessions: c.SMTPMaxSessions, MaxMessages: c.SMTPMaxMessages, MaxCommands: c.SMTPMaxCommands,
		MaxErrors: c.SMTPMaxErrors, MaxUnknown: c.SMTPMaxUnknown,
		NetworkSessions: c.SMTPNetworkSessions, NetworkConnections: c.SMTPNetworkConnections,
		NetworkMessages: c.SMTPNetworkMessages, NetworkUnknown: c.SMTPNetworkUnknown,
		AddressMessages: c.SMTPAddressMessages,
		ReadTimeout:     c.SMTPReadTimeout, DataTimeout: c.SMTPDataTimeout, SlowWindow: c.SMTPSlowWindow, MinSpeed: c.SMTPMinSpeed,
		GreetDelay: c.SMTPGreetDelay, UnknownDelay: c.SMTPUnknownDelay, StopTimeout: c.SMTPStopTimeout,
	}
}

// contactForm: an address that fits into a reply and into a record.
var contactForm = regexp.MustCompile(`^[A-Za-z0-9.!#$%&*+/=?^_{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}$`)

func (c *Config) validateSMTP() error {
	var faults []error
	check := func(ok bool, fault string) {
		if !ok {
			faults = append(faults, errors.New(fault))
		}
	}
	check((c.SMTPCert == "") == (c.SMTPKey == ""), "smtp_cert and smtp_key go together")
	check(c.SMTPACME == "" || c.SMTPCert == "", "smtp_acme and smtp_cert: one of them, the certificate has one source")
	if c.SMTPACME != "" {
		u, err := url.Parse(c.SMTPACME)
		check(err == nil && u.Scheme == "https" && u.Host != "", "smtp_acme: want an address that begins with https://")
		check(strings.Contains(c.SMTPDomain, "."), "smtp_acme: smtp_domain must be a name of the DNS")
	}
	check(len(c.SMTP) > 0, "smtp: name at least one address")
	for _, addr := range c.SMTP {
		_, _, err := net.SplitHostPort(strings.TrimPrefix(addr, "tls://"))
		check(err == nil, "smtp: want addresses such as 127.0.0.1:2525 or tls://:465")
	}
	for key, networks := range map[string][]string{"smtp_proxy": c.SMTPProxy, "smtp_exempt": c.SMTPExempt} {
		_, err := prefixes(networks)
		check(err == nil, key+": want networks such as 192.0.2.0/24 or 2001:db8::/32")
	}
	for key, address := range map[string]string{"smtp_contact": c.SMTPContact, "smtp_reports": c.SMTPReports} {
		check(address == "" || contactForm.MatchString(address), key+": want an e-mail address")
	}
	return errors.Join(faults...)
}

// prefixes reads networks; an address alone is one, too. None is an empty list.
func prefixes(texts []string) ([]netip.Prefix, error) {
	out := []netip.Prefix{}
	for _, text := range texts {
		n, err := netip.ParsePrefix(text)
		if err != nil {
			a, err := netip.ParseAddr(text)
			if err != nil {
				return nil, err
			}
			n = netip.PrefixFrom(a, a.BitLen())
		}
		out = append(out, n.Masked())
	}
	return out, nil
}
