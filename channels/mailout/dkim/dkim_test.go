package dkim_test

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"vaguemestre/channels/mail/mailauth"
	"vaguemestre/channels/mailout/dkim"
	"vaguemestre/core"
)

var at = time.Date(2026, 11, 25, 9, 30, 0, 0, time.UTC)

// zone answers what a town has published.
type zone map[string]string

func (z zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	if txt, ok := z[strings.TrimSuffix(name, ".")]; ok {
		return []string{txt}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}
func (zone) LookupMX(context.Context, string) ([]*net.MX, error)          { return nil, nil }
func (zone) LookupIPAddr(context.Context, string) ([]net.IPAddr, error)   { return nil, nil }
func (zone) LookupAddr(context.Context, string) (names []string, _ error) { return nil, nil }

// published makes keys and publishes them.
func published(t testing.TB) (dkim.Signer, zone) {
	t.Helper()
	secret, err := dkim.New()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := dkim.Parse(secret, "vm2026")
	if err != nil || len(keys) != 2 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	z := zone{}
	for _, k := range keys {
		record, err := k.Record()
		if err != nil {
			t.Fatal(err)
		}
		z[k.Selector+"._domainkey.blois.test"] = record
	}
	return dkim.Signer{Domain: "blois.test", Keys: keys}, z
}

func reason(t testing.TB, z zone, message []byte) string {
	t.Helper()
	o, err := mailauth.New(mailauth.Config{Resolver: z, Now: func() time.Time { return at }}).Authenticate(t.Context(), bytes.NewReader(message), core.Sender{})
	if err != nil {
		t.Fatal(err)
	}
	return o.Reason
}

const message = "From: =?utf-8?q?Ville?=\r\n <demarches@blois.test>\r\nTo:  a@b.test\t\r\nSubject: Un  sujet\t plié\r\n  encore\r\nDate: Wed, 25 Nov 2026 09:30:00 +0000\r\n" +
	"Message-ID: <x@blois.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n" +
	"\r\n \t\r\nBonjour  à \t tous \r\n\tau revoir\r\n.\r\n\r\n\r\n"

// TestSEC53_Signed: each of the two signatures is believed on its own by the library our
// own receiving stands on, and the same message gets the same ones.
func TestSEC53_Signed(t *testing.T) {
	signer, z := published(t)
	both, err := signer.Sign([]byte(message), at)
	if err != nil {
		t.Fatal(err)
	}
	again, err := signer.Sign([]byte(message), at)
	if err != nil || !bytes.Equal(both, again) {
		t.Error("signed twice, and not the same")
	}
	if n := bytes.Count(both, []byte("DKIM-Signature:")); n != 2 {
		t.Errorf("%d signatures", n)
	}
	for line := range strings.SplitSeq(string(both), "\r\n") {
		if len(line) > 78 {
			t.Errorf("line of %d: %s", len(line), line)
		}
	}
	for i, key := range signer.Keys {
		one := dkim.Signer{Domain: signer.Domain, Keys: signer.Keys[i : i+1]}
		field, err := one.Sign([]byte(message), at)
		if err != nil {
			t.Fatal(err)
		}
		if got := reason(t, z, append(field, message...)); got != mailauth.ReasonDKIM {
			t.Errorf("%s: %s", key.Selector, got)
		}
		for what, changed := range map[string]string{
			"another From":    "From: evil@blois.test\r\n" + message,
			"a second To":     strings.Replace(message, "To:", "To: c@d.test\r\nTo:", 1),
			"a Reply-To":      "Reply-To: c@d.test\r\n" + message,
			"another subject": strings.Replace(message, "Un  sujet", "Votre sujet", 1),
			"another date":    "Date: Wed, 25 Nov 2026 10:30:00 +0000\r\n" + message,
			"a word more":     strings.Replace(message, "revoir", "revoir !", 1),
			"a line more":     message + "x\r\n",
			"a type":          "Content-Type: text/html\r\n" + message,
		} {
			if got := reason(t, z, append(bytes.Clone(field), changed...)); got == mailauth.ReasonDKIM {
				t.Errorf("%s: %s goes unnoticed", key.Selector, what)
			}
		}
		for what, changed := range map[string]string{
			"blanks":           strings.ReplaceAll(strings.ReplaceAll(message, "  ", " "), "tous \r\n", "tous\t\t\r\n"),
			"fewer last lines": strings.TrimSuffix(message, "\r\n\r\n"),
			"a field of a hop": "Received: by relay.test; x\r\n" + message,
		} {
			if got := reason(t, z, append(bytes.Clone(field), changed...)); got != mailauth.ReasonDKIM {
				t.Errorf("%s: %s breaks it: %s", key.Selector, what, got)
			}
		}
	}
	if _, err := signer.Sign([]byte("no body"), at); err == nil {
		t.Error("what is no message is signed")
	}
}

// Bodies of any form are read as the library reads them.
func TestBodies(t *testing.T) {
	signer, z := published(t)
	signer.Keys = signer.Keys[1:]
	header, _, _ := strings.Cut(message, "\r\n\r\n")
	for _, body := range []string{"", "\r\n", "x", "x\r\n", " \r\n", "\t x\r\n", "x \t y\t\r\n\r\n \r\n", "x\r\n\r\n\r\ny\r\n", strings.Repeat("a b  c\t\r\n", 5000), "é\u00a0 è\r\n"} {
		m := []byte(header + "\r\n\r\n" + body)
		field, err := signer.Sign(m, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := reason(t, z, append(field, m...)); got != mailauth.ReasonDKIM {
			t.Errorf("body %.40q: %s", body, got)
		}
	}
}

// FuzzBody: whatever lines a letter has, its signature is believed.
func FuzzBody(f *testing.F) {
	signer, z := published(f)
	signer.Keys = signer.Keys[1:]
	header, _, _ := strings.Cut(message, "\r\n\r\n")
	for _, s := range []string{"", "x\n\n", " \t\n", "a  b\t\n\nc"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		body = strings.NewReplacer("\r", "", "\n", "\r\n").Replace(body)
		if strings.Count(body, "\n") > 1000 { // in a row, and receiving believes nothing
			return
		}
		m := []byte(header + "\r\n\r\n" + body)
		field, err := signer.Sign(m, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := reason(t, z, append(field, m...)); got != mailauth.ReasonDKIM {
			t.Errorf("%s", got)
		}
	})
}

// TestKeys: what is no key is refused, and the reason quotes nothing of it.
func TestKeys(t *testing.T) {
	for _, secret := range []string{"", "secret", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n", "-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0\n-----END RSA PRIVATE KEY-----\n"} {
		if _, err := dkim.Parse([]byte(secret), "s"); err == nil || strings.Contains(err.Error(), "c2Vj") {
			t.Errorf("%q: %v", secret, err)
		}
	}
	signer, _ := published(t)
	if a, b := signer.Keys[0].Selector, signer.Keys[1].Selector; a != "vm2026" || b != "vm2026-ed" {
		t.Errorf("selectors %s and %s", a, b)
	}
}
