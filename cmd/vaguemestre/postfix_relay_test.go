package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vaguemestre/channels/mailout/relaytest"
)

// A relay as towns have them: TLS alone, by STARTTLS and from the first byte, and only for
// who has a password, which Dovecot knows.
const relaySettings = `
mynetworks =
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_tls_cert_file = %[1]s
smtpd_tls_key_file = %[2]s
smtpd_tls_received_header = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:%[3]s
smtpd_sasl_authenticated_header = yes
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
`

const relayServices = `
tlsmgr unix - - n 1000? 1 tlsmgr
%s inet n - n - - smtpd
 -o smtpd_tls_wrappermode=yes
`

const dovecotSettings = `
protocols =
base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/dovecot.log
ssl = no
auth_mechanisms = plain login
disable_plaintext_auth = no
passdb {
  driver = passwd-file
  args = scheme=PLAIN %[1]s/passwd
}
userdb {
  driver = static
  args = uid=65534 gid=65534 home=/nonexistent
}
service auth {
  inet_listener {
    address = 127.0.0.1
    port = %[2]s
  }
}
service anvil {
  chroot =
}
service stats {
  chroot =
}
`

// startDovecotAuth answers Postfix whether a password is right.
func startDovecotAuth(t testing.TB, user, password string) (addr string) {
	t.Helper()
	dir := newHome(t)
	addr = freeAddr(t)
	_, port, _ := strings.Cut(addr, ":")
	if err := firstError(os.Chmod(dir, 0o755), os.WriteFile(filepath.Join(dir, "passwd"), []byte(user+":{PLAIN}"+password+"\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "dovecot.conf"), fmt.Appendf(nil, dovecotSettings, dir, port), 0o644)); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command("/usr/sbin/dovecot", "-F", "-c", filepath.Join(dir, "dovecot.conf"))
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	answers(t, addr, 10*time.Second)
	return addr
}

// pinOf is the SHA-256 of a certificate's key, as relay_pin takes it.
func pinOf(t testing.TB, certFile string) string {
	t.Helper()
	b, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// way is one way to a relay, as a town's settings name it.
type way struct{ relay, pin string }

// passwordOfRelay is that of "ville".
const passwordOfRelay = "mot-de-passe"

// relayOfTown is Postfix, reached by STARTTLS and by TLS from the first byte; for who is
// not root, and cannot start it, what plays it. text gives the messages it took.
func relayOfTown(t *testing.T) (ways []way, text func() string) {
	t.Helper()
	if os.Geteuid() != 0 {
		begun := (&relaytest.Relay{StartTLS: true, User: "ville", Password: passwordOfRelay}).Start(t)
		implicit := (&relaytest.Relay{Implicit: true, User: "ville", Password: passwordOfRelay}).Start(t)
		return []way{{begun.Addr, hex.EncodeToString(begun.Pin)}, {"tls://" + implicit.Addr, hex.EncodeToString(implicit.Pin)}}, func() string {
			var all strings.Builder
			for _, m := range append(begun.Messages(), implicit.Messages()...) {
				fmt.Fprintf(&all, "%s\n%s\n%s", m.Mail, m.Rcpt, strings.ReplaceAll(string(m.Data), "\r\n", "\n"))
			}
			return all.String()
		}
	}
	settings := certificateFiles(t, "relay.test")
	cert, key := strings.TrimPrefix(settings[0], "VAGUEMESTRE_SMTP_CERT="), strings.TrimPrefix(settings[1], "VAGUEMESTRE_SMTP_KEY=")
	implicit := freeAddr(t)
	p := startPostfix(t, "exemple.test", fmt.Sprintf(relaySettings, cert, key, startDovecotAuth(t, "ville", passwordOfRelay)), fmt.Sprintf(relayServices, implicit))
	return []way{{p.addr, pinOf(t, cert)}, {"tls://" + implicit, pinOf(t, cert)}}, func() string { return p.read(t) }
}

// TestSEC53_PostfixAsRelay: with a town's settings and secrets alone, receipts reach a real
// Postfix by STARTTLS and by TLS from the first byte, pinned and authenticated; with
// another pin, nothing does.
func TestSEC53_PostfixAsRelay(t *testing.T) {
	t.Parallel()
	ways, text := relayOfTown(t)
	p := start(t, newHome(t), nil)
	sender := decode[struct{ ID, Token string }](t, p.must("citizen", "sender", "add", "--json", "--citizen", p.citizen, "--email", "camille@exemple.test"))[0]
	p.must("citizen", "sender", "verify", "--citizen", p.citizen, "--token", sender.Token)
	p.secret(passwordOfRelay, "--tenant", "demo", "--name", "relay")
	p.must(append([]string{"tenant", "set", "--tenant", "demo", "relay=" + ways[0].relay, "relay_user=ville", "relay_pin=" + strings.Repeat("00", 32), "mail_from=demarches@demo.test"}, mentions...)...)
	p.must("mail", "dkim", "new", "--tenant", "demo", "--selector", "vm1")
	p.must("tenant", "set", "--tenant", "demo", "dkim_domain=demo.test", "dkim_selector=vm1")
	if out, _, code := p.command("mail", "check", "--tenant", "demo", "--json"); code != 1 || !strings.Contains(out, `"relay_certificate"`) {
		t.Errorf("another pin: exit %d, %s", code, out)
	}
	taken := func() int { return strings.Count(text(), "\nMessage-ID: <") }
	for i, w := range ways {
		p.must("tenant", "set", "--tenant", "demo", "relay="+w.relay, "relay_pin="+w.pin)
		p.must("mail", "check", "--tenant", "demo", "--json")
		before := taken()
		mark := fmt.Sprintf("postfix-%d", i)
		if err := p.send(p.address, message(mark, "Mon avis", "avis.pdf", "application/pdf", taxNotice("Zoé LE GOFF", mark))); err != nil {
			t.Fatal(err)
		}
		p.wait(60*time.Second, "letter in the relay's queue", func() bool { return taken() > before })
	}
	wants := []string{"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=demo.test;", "Auto-Submitted: auto-", "@demo.test>\n", "camille@exemple.test"}
	if os.Geteuid() == 0 {
		wants = append(wants, "TLSv1.3", "(Authenticated sender: ville)", "sender: \n", "recipient: camille@exemple.test")
	}
	got := text()
	for _, want := range wants {
		if !strings.Contains(got, want) {
			t.Errorf("not in the queue: %q", want)
		}
	}
	if t.Failed() {
		t.Logf("%.6000s", got)
	}
}

// read is all messages on hold, envelopes too.
func (p *postfix) read(t testing.TB) string {
	t.Helper()
	var all strings.Builder
	for _, f := range files(t, filepath.Join(p.queue, "hold")) {
		if info, err := os.Stat(f); err != nil || info.Mode()&0o100 == 0 { // still being written
			continue
		}
		out, err := exec.Command("/usr/sbin/postcat", "-c", filepath.Join(p.dir, "config"), "-e", "-h", "-b", f).CombinedOutput()
		if err != nil {
			t.Fatalf("postcat: %v: %s", err, out)
		}
		all.Write(out)
	}
	return all.String()
}
