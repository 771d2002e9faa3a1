package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/netip"
	"net/smtp"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"vaguemestre/cmd/vaguemestre/zone"
)

// certificateFiles makes a certificate for the name, and gives the settings for it.
func certificateFiles(t *testing.T, name string) []string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"VAGUEMESTRE_SMTP_CERT=" + certFile, "VAGUEMESTRE_SMTP_KEY=" + keyFile, "VAGUEMESTRE_SMTP_DOMAIN=" + name}
}

// The process receives on several addresses, each in its way, and counts what it saw.
func TestSMTPOnSeveralAddresses(t *testing.T) {
	t.Parallel()
	p := prepare(t, newHome(t), certificateFiles(t, "mx.ville.test"))
	implicit := freeAddr(t)
	p.smtp, p.http = freeAddr(t)+",tls://"+implicit, freeAddr(t)
	p.start()
	plain, _, _ := strings.Cut(p.smtp, ",")
	mail := message("tls-1", "pièce", "note.txt", "text/plain", []byte("Bonjour"))
	secured, err := tls.Dial("tcp", implicit, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	client, err := smtp.NewClient(secured, "mx.ville.test")
	if err != nil {
		t.Fatal(err)
	}
	send(t, client, p.address, mail)
	if client, err = smtp.Dial(plain); err != nil {
		t.Fatal(err)
	}
	if err := client.StartTLS(&tls.Config{InsecureSkipVerify: true}); err != nil {
		t.Fatal(err)
	}
	if err := client.Rcpt("nobody@depot.demo.test"); err == nil {
		t.Error("a recipient before the sender")
	}
	send(t, client, p.address, mail)
	resp, err := http.Get("http://" + p.http + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	for _, want := range []string{
		`vaguemestre_smtp_connections_total{kind="plain"} `, `vaguemestre_smtp_connections_total{kind="tls"} 1`,
		`vaguemestre_smtp_tls_total{version="TLS 1.3"} 2`, `vaguemestre_smtp_refusals_total{reply="503 5.5.1"} 1`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("not counted: %s", want)
		}
	}
}

func send(t *testing.T, c *smtp.Client, to string, mail []byte) {
	t.Helper()
	if err := errors.Join(c.Mail("camille@example.test"), c.Rcpt(to)); err != nil {
		t.Fatal(err)
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(mail); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), c.Quit()); err != nil {
		t.Error(err)
	}
}

// A world-wide address without a certificate is a reason not to start.
func TestSEC42_NoStartInTheClear(t *testing.T) {
	t.Parallel()
	_, errs, code := vaguemestre(t, nil, "run", "--home", newHome(t), "--http", "off", "--smtp", "0.0.0.0:0")
	if code != 1 || !strings.Contains(errs, "TLS certificate") {
		t.Errorf("exit %d, saying %q", code, errs)
	}
}

// Every setting of the channel reaches it: none is at its default there when none is here.
func TestEverySMTPSettingArrives(t *testing.T) {
	t.Parallel()
	var cfg Config
	for _, f := range cfg.fields() {
		if strings.HasPrefix(f.key, "smtp") {
			if err := cfg.set(f.key, valuesFor(t, f)[0]); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := reflect.ValueOf(cfg.smtpin())
	for i := range got.NumField() {
		switch name := got.Type().Field(i).Name; name {
		case "TLS", "Seen", "Now":
		default:
			if got.Field(i).IsZero() {
				t.Errorf("%s is not set", name)
			}
		}
	}
	cfg.SMTPExempt = []string{}
	if none := cfg.smtpin().Exempt; none == nil || len(none) != 0 {
		t.Errorf("no exempt network became %v", none)
	}
	cfg.SMTPExempt = []string{"192.0.2.7/24", "2001:db8::1"}
	want := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::1/128")}
	if got := cfg.smtpin().Exempt; !reflect.DeepEqual(got, want) {
		t.Errorf("networks %v", got)
	}
}

// page is a resolver that knows some records.
type page map[string][]string

func (p page) Lookup(_ context.Context, name, kind string) ([]string, bool, error) {
	return p[kind+" "+name], true, nil
}

func (p page) Fetch(context.Context, string) (string, error) { return "", errors.New("no network") }

// doctor prints what to publish, and whether it is.
func TestDoctorAdvisesOnMail(t *testing.T) {
	t.Parallel()
	cfg, err := loadConfig("", append(certificateFiles(t, "mx.ville.test"),
		"VAGUEMESTRE_SMTP_DEPOSIT_DOMAINS=depot.ville.test", "VAGUEMESTRE_SMTP_REPORTS=tls@ville.test"), nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	adviseMail(t.Context(), &out, cfg, page{"MX depot.ville.test": {"10 mx.ville.test."}, "TXT _smtp._tls.depot.ville.test": {"v=TLSRPTv1; rua=mailto:x@y.test"}})
	for _, want := range []string{
		"✓ MX depot.ville.test: found\n",
		"! TXT _mta-sts.depot.ville.test: missing\n    publish: _mta-sts.depot.ville.test. IN TXT \"v=STSv1; id=",
		"! HTTPS https://mta-sts.depot.ville.test/.well-known/mta-sts.txt: could not be asked\n    serve there, with a certificate of that name:\n        version: STSv1\n        mode: enforce\n        mx: mx.ville.test\n        max_age: 604800\n",
		"! TXT _smtp._tls.depot.ville.test: differs\n    publish: ", "    instead: \"v=TLSRPTv1; rua=mailto:x@y.test\"\n",
		"! TLSA _25._tcp.mx.ville.test: missing\n    publish: _25._tcp.mx.ville.test. IN TLSA 3 1 1 ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("not said: %q in\n%s", want, out.String())
		}
	}
	out.Reset()
	cfg.SMTPCert, cfg.Home = "", t.TempDir()
	adviseMail(t.Context(), &out, cfg, zone.NewDNS())
	if got := out.String(); !strings.Contains(got, "TLS certificate: none") || !strings.Contains(got, "MX depot.ville.test: could not be asked") || strings.Contains(got, "TLSA 3 1 1") {
		t.Errorf("offline, without certificate: %s", got)
	}
	out.Reset()
	cfg.SMTPDomain = "localhost"
	adviseMail(t.Context(), &out, cfg, page{})
	if out.Len() != 0 {
		t.Errorf("for localhost: %s", out.String())
	}
}
