package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vaguemestre/channels/mailout"
	"vaguemestre/channels/mailout/relaytest"
	"vaguemestre/channels/mailout/submission"
	"vaguemestre/cmd/vaguemestre/control"
)

// TestSEC53_KeysAndRelayByCommand: an operator makes keys, publishes what is shown, and is
// told what is wrong with the relay and how to mend it. Nothing secret is ever shown.
func TestSEC53_KeysAndRelayByCommand(t *testing.T) {
	t.Parallel()
	relay := (&relaytest.Relay{User: "ville", Password: "right", Methods: "PLAIN"}).Start(t)
	p := start(t, newHome(t), []string{"VAGUEMESTRE_RESOLVER=127.0.0.1:1"}, "--roles", "smtp,http,mailer,keeper")
	check := func() (control.Sending, int) {
		t.Helper()
		out, errs, code := p.command("mail", "check", "--tenant", "demo", "--json")
		lines := decode[control.Sending](t, out)
		if len(lines) != 1 {
			t.Fatalf("%s%s", out, errs)
		}
		return lines[0], code
	}
	if s, code := check(); s.Sends || code != 1 {
		t.Errorf("nothing set: %+v, exit %d", s, code)
	}
	if _, errs, code := p.command("mail", "dkim", "new", "--tenant", "demo"); code != 2 || !strings.Contains(errs, "mail_from") {
		t.Errorf("keys for no domain: exit %d, %s", code, errs)
	}
	p.must("tenant", "set", "--tenant", "demo", "relay="+relay.Addr, "mail_from=demarches@ville.test", "relay_user=ville")
	if s, code := check(); s.Fault != mailout.CodeSettings || code != 1 {
		t.Errorf("no password: %+v, exit %d", s, code)
	}
	secret := func(value string) {
		t.Helper()
		p.secret(value, "--tenant", "demo", "--name", "relay")
	}
	secret("wrong")
	if s, code := check(); s.Fault != submission.CodeAuth || s.Status != "5.7.8" || code != 1 {
		t.Errorf("wrong password: %+v, exit %d", s, code)
	}
	secret("right")
	if s, code := check(); s.Fault != "" || !s.Tried || s.Domain != "ville.test" || s.Signs || code != 0 {
		t.Errorf("right password: %+v, exit %d", s, code)
	}
	keys := decode[control.DKIMRecord](t, p.must("mail", "dkim", "new", "--tenant", "demo", "--selector", "vm1", "--json"))
	if len(keys) != 2 || keys[0].Name != "vm1._domainkey.ville.test" || keys[1].Name != "vm1-ed._domainkey.ville.test" || !strings.HasPrefix(keys[0].Value, "v=DKIM1; k=rsa; p=") {
		t.Errorf("keys: %+v", keys)
	}
	if _, errs, code := p.command("mail", "dkim", "new", "--tenant", "demo", "--selector", "vm1"); code != 2 || !strings.Contains(errs, "choose another") {
		t.Errorf("keys in the place of others: exit %d, %s", code, errs)
	}
	if _, _, code := p.command("mail", "dkim", "new", "--tenant", "demo", "--selector", "../x"); code != 2 {
		t.Errorf("a selector that is none: exit %d", code)
	}
	shown := p.must("mail", "dkim", "new", "--tenant", "demo", "--selector", "vm2")
	if !strings.Contains(shown, `vm2._domainkey.ville.test. IN TXT "v=DKIM1; k=rsa; p=`) || strings.Contains(shown, "PRIVATE") {
		t.Errorf("shown: %s", shown)
	}
	p.must("tenant", "set", "--tenant", "demo", "dkim_domain=ville.test", "dkim_selector=nobodys")
	if s, code := check(); s.Fault != mailout.CodeSettings || code != 1 {
		t.Errorf("a selector without keys: %+v, exit %d", s, code)
	}
	p.must("tenant", "set", "--tenant", "demo", "dkim_selector=vm1")
	if s, _ := check(); !s.Signs || len(s.Keys) != 2 || s.Keys[0] != keys[0] || s.Keys[1] != keys[1] {
		t.Errorf("in force: %+v", s.Keys)
	}
	for _, word := range []string{"right", "wrong", "PRIVATE KEY"} {
		if strings.Contains(p.must("tenant", "set", "--tenant", "demo", "--json"), word) || strings.Contains(p.logs.String(), word+" ") {
			t.Errorf("%q is shown", word)
		}
	}
}

// doctor says what a town's relay lacks, and what to publish for its sender.
func TestDoctorAdvisesOnSending(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	adviseSenders(t.Context(), &out, t.TempDir(), page{})
	if !strings.Contains(out.String(), "none is running on this home") {
		t.Errorf("nobody runs: %s", out.String())
	}
	key := control.DKIMRecord{Name: "vm._domainkey.ville.test", Type: "TXT", Value: "v=DKIM1; k=rsa; p=AA"}
	zone := page{"TXT vm._domainkey.ville.test": {"v=DKIM1; k=rsa; p=AA"}, "TXT ville.test": {"v=spf1 mx -all"}}
	for name, c := range map[string]struct {
		sending control.Sending
		want    []string
	}{
		"nothing": {control.Sending{Code: "ville"}, []string{"! ville sends no letters: vaguemestre tenant set --tenant ville relay="}},
		"trouble": {control.Sending{Code: "ville", Sends: true, Tried: true, Relay: "smtp.ville.test:587", Fault: "relay_without_tls", Domain: "ville.test"},
			[]string{"✗ ville: relay smtp.ville.test:587: relay_without_tls\n    it offers no STARTTLS, and nothing is sent in the clear: ", "! ville: letters are not signed: vaguemestre mail dkim new --tenant ville\n"}},
		"right": {control.Sending{Code: "ville", Sends: true, Tried: true, Relay: "smtp.ville.test:587", Signs: true, Domain: "ville.test", Keys: []control.DKIMRecord{key}},
			[]string{"✓ ville: relay smtp.ville.test:587\n", "✓ ville: TXT vm._domainkey.ville.test: found\n", "✓ ville: TXT ville.test: found\n",
				"! ville: TXT _dmarc.ville.test: missing\n    publish: _dmarc.ville.test. IN TXT \"v=DMARC1; p=quarantine\"\n"}},
		"untried": {control.Sending{Code: "ville", Sends: true, Relay: "smtp.ville.test:587", Domain: "ville.test"}, []string{"! ville: relay smtp.ville.test:587: not tried"}},
	} {
		out.Reset()
		showSending(t.Context(), &out, c.sending, zone)
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: not said: %q in\n%s", name, want, out.String())
			}
		}
	}
	for _, code := range []string{mailout.CodeSettings, submission.CodeUnreachable, submission.CodeSilent, submission.CodeProtocol, submission.CodeBusy, submission.CodeNoTLS,
		submission.CodeTLS, submission.CodeCertificate, submission.CodeAuth, submission.CodeAuthMethod, submission.CodeSenderDenied} {
		if strings.Contains(mends(code, "ville"), "docs/answers.md") {
			t.Errorf("%s: no mend", code)
		}
	}
}

// secret sets a secret from a file.
func (p *program) secret(value string, args ...string) {
	p.t.Helper()
	file := filepath.Join(p.t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(value), 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.must(append([]string{"tenant", "secret", "set", "--file", file}, args...)...)
}
