package dispatch_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"testing"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/dispatch"
	"vaguemestre/core/store/postgres/towntest"
)

func TestServiceFaults(t *testing.T) {
	h := newHouse(t)
	h.service("etat-civil", nil)
	day := h.now.AddDate(0, 0, 1)
	for what, change := range map[string]func(*dispatch.Service){
		"no mailbox":                   func(s *dispatch.Service) { s.Mailbox = "" },
		"two mailboxes":                func(s *dispatch.Service) { s.Mailbox = "a@mairie.test,b@mairie.test" },
		"a mailbox with a line's end":  func(s *dispatch.Service) { s.Mailbox = "a@mairie.test\r\nBcc: x@y.test" },
		"a mailbox with a name":        func(s *dispatch.Service) { s.Mailbox = "A <a@mairie.test>" },
		"a mailbox with a route":       func(s *dispatch.Service) { s.Mailbox = "a%b@c@mairie.test" },
		"an address literal":           func(s *dispatch.Service) { s.Mailbox = "a@[127.0.0.1]" },
		"a deposit address":            func(s *dispatch.Service) { s.Mailbox = "a@" + towntest.Domain },
		"the generic address":          func(s *dispatch.Service) { s.Mailbox = "depot@ville.test" },
		"a tag of the generic address": func(s *dispatch.Service) { s.Mailbox = "Depot+x@ville.test" },
		"no name":                      func(s *dispatch.Service) { s.Name = "  " },
		"a name of two lines":          func(s *dispatch.Service) { s.Name = "a\nb" },
		"a name that turns":            func(s *dispatch.Service) { s.Name = "a\u202eb" },
		"a code with capitals":         func(s *dispatch.Service) { s.Code = "État" },
		"another language":             func(s *dispatch.Service) { s.Language = "de" },
		"too small a size":             func(s *dispatch.Service) { s.MaxBytes = 10 },
		"too large a size":             func(s *dispatch.Service) { s.MaxBytes = 1 << 40 },
		"a template of a path":         func(s *dispatch.Service) { s.Template = "../{n}" },
		"no certificate": func(s *dispatch.Service) {
			s.Certificate = []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
		},
		"a key in its place":       func(s *dispatch.Service) { s.Certificate = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY"}) },
		"a certificate that ended": func(s *dispatch.Service) { s.Certificate = certificate(t, h.now, h.now.Add(-time.Minute), nil) },
		"a certificate of tomorrow": func(s *dispatch.Service) {
			s.Certificate = certificate(t, day.Add(2*time.Hour), day.AddDate(1, 0, 0), nil)
		},
		"a certificate for signing": func(s *dispatch.Service) {
			s.Certificate = certificate(t, h.now, day, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })
		},
		"a certificate for web servers": func(s *dispatch.Service) {
			s.Certificate = certificate(t, h.now, day, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
		},
		"an authority's certificate": func(s *dispatch.Service) {
			s.Certificate = certificate(t, h.now, day, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true })
		},
		"another mailbox's certificate": func(s *dispatch.Service) {
			s.Certificate = certificate(t, h.now, day, func(c *x509.Certificate) { c.EmailAddresses = []string{"maire@mairie.test"} })
		},
	} {
		s := dispatch.Service{Tenant: h.ID, Code: "x", Name: "X", Mailbox: "x@mairie.test"}
		change(&s)
		if _, err := h.dir.Add(t.Context(), s); !errors.Is(err, core.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := h.dir.Add(t.Context(), dispatch.Service{Tenant: h.ID, Code: "etat-civil", Name: "X", Mailbox: "x@mairie.test"}); !errors.Is(err, dispatch.ErrCodeTaken) {
		t.Errorf("a code twice: %v", err)
	}
	own := func(c *x509.Certificate) { c.EmailAddresses = []string{"X@mairie.test"} }
	h.service("x", func(s *dispatch.Service) { s.Certificate = certificate(t, h.now, day, own) })
	for what, rule := range map[string]dispatch.Rule{
		"no such type": {Type: "cni", Moment: dispatch.WhenFiled, Purpose: "p"}, "no moment": {Type: "avis", Moment: "later", Purpose: "p"}, "no purpose": {Type: "avis", Moment: dispatch.WhenFiled},
	} {
		if _, err := h.dir.SetRule(t.Context(), h.ID, "x", rule); !errors.Is(err, core.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := h.dir.SetRule(t.Context(), h.ID, "x", dispatch.Rule{Type: "secret", Moment: dispatch.WhenFiled, Purpose: "p"})
	h.refused("type_forbidden", err)
	if all, err := h.dir.List(t.Context(), h.ID); err != nil || len(all) != 2 {
		t.Errorf("%d services, %v", len(all), err)
	}
}
