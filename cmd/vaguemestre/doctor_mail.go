package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"strings"
	"time"

	"vaguemestre/cmd/vaguemestre/certificate"
	"vaguemestre/cmd/vaguemestre/home"
	"vaguemestre/cmd/vaguemestre/zone"
)

// nameServers are those that doctor asks: the one of the settings, or the system's; with
// none, nothing can be asked.
func nameServers(cfg Config) *zone.DNS {
	if cfg.Resolver != "" {
		return zone.NewDNS(cfg.Resolver)
	}
	system, err := zone.System("/etc/resolv.conf")
	if err != nil {
		return zone.NewDNS()
	}
	return system
}

// askFor bounds all questions together: without a network, doctor says so soon.
const askFor = 15 * time.Second

// adviseMail says what the town has to publish so that its mail arrives, and arrives by
// TLS, and whether it is published. What is not is no fault of this machine's.
func adviseMail(ctx context.Context, out io.Writer, cfg Config, resolver zone.Resolver) {
	if !cfg.has("smtp") || !strings.Contains(cfg.SMTPDomain, ".") {
		return
	}
	town := zone.Town{Host: cfg.SMTPDomain, Domains: cfg.SMTPDepositDomains, Reports: cfg.SMTPReports}
	if len(town.Domains) == 0 {
		town.Domains = []string{cfg.SMTPDomain}
	}
	var err error
	if town.Certificate, err = shownCertificate(cfg); err != nil {
		fmt.Fprintln(out, "! TLS certificate: none to be read yet, so no TLSA record")
	} else if left := time.Until(town.Certificate.NotAfter); left < 14*24*time.Hour {
		fmt.Fprintf(out, "! TLS certificate: ends on %s\n", town.Certificate.NotAfter.Format(time.DateOnly))
	}
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	for _, f := range zone.Check(ctx, resolver, town.Records()) {
		mark := "!"
		if f.State == zone.Found {
			mark = "✓"
		}
		fmt.Fprintf(out, "%s %s %s: %s\n", mark, f.Type, f.Name, f.State)
		if f.State != zone.Found {
			show(out, f)
		}
	}
}

// show prints what to publish.
func show(out io.Writer, f zone.Finding) {
	if f.Type == zone.File {
		fmt.Fprintf(out, "    serve there, with a certificate of that name:\n        %s\n", strings.ReplaceAll(strings.TrimSpace(f.Value), "\r\n", "\n        "))
		return
	}
	fmt.Fprintf(out, "    publish: %s\n", f)
	for _, have := range f.Have {
		fmt.Fprintf(out, "    instead: %q\n", have)
	}
}

// shownCertificate is the one that senders are shown.
func shownCertificate(cfg Config) (*x509.Certificate, error) {
	if cfg.SMTPCert != "" {
		return certificate.Leaf(cfg.SMTPCert)
	}
	return certificate.Kept(home.ACME(cfg.Home), cfg.SMTPDomain)
}
