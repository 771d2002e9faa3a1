package mailbox_test

import (
	"strings"
	"testing"

	"vaguemestre/core/mailbox"
)

func TestSettings(t *testing.T) {
	good := map[string]string{"server": "imap.ville.fr:993", "user": "depot@ville.fr"}
	for name, tc := range map[string]struct {
		set       map[string]string
		plaintext bool
		faults    []string // none: the settings are good
	}{
		"defaults":                     {},
		"STARTTLS and a folder":        {set: map[string]string{"tls": "starttls", "server": "imap.ville.fr:143", "folder": "Dépôt/À traiter"}},
		"everything stays":             {set: map[string]string{"done": "", "refused": ""}},
		"a trusted server":             {set: map[string]string{"trust": "mx.ville.fr", "unaddressed": "refuse"}},
		"plain text":                   {set: map[string]string{"tls": "none", "server": "127.0.0.1:143"}, faults: []string{"tls"}},
		"plain text, development":      {set: map[string]string{"tls": "none", "server": "127.0.0.1:143"}, plaintext: true},
		"plain text elsewhere":         {set: map[string]string{"tls": "none"}, plaintext: true, faults: []string{"tls"}},
		"no server":                    {set: map[string]string{"server": "imap.ville.fr"}, faults: []string{"server"}},
		"no user":                      {set: map[string]string{"user": ""}, faults: []string{"user"}},
		"a line break":                 {set: map[string]string{"user": "a\r\nb", "done": "x\ny"}, faults: []string{"user", "done"}},
		"wildcards":                    {set: map[string]string{"folder": "INBOX*", "refused": "a%"}, faults: []string{"folder", "refused"}},
		"moved to where it was":        {set: map[string]string{"done": "inbox"}, faults: []string{"done"}},
		"no such way":                  {set: map[string]string{"tls": "ssl", "auth": "cram-md5", "unaddressed": "drop"}, faults: []string{"tls", "auth", "unaddressed"}},
		"tokens of nobody":             {set: map[string]string{"auth": "xoauth2"}, faults: []string{"token_url", "client_id", "grant"}},
		"tokens in the clear":          {set: map[string]string{"provider": "google", "client_id": "c", "token_url": "http://oauth.ville.fr/"}, faults: []string{"token_url"}},
		"Google":                       {set: map[string]string{"provider": "google", "client_id": "c"}},
		"Microsoft, as an application": {set: map[string]string{"provider": "microsoft", "directory": "d-1", "client_id": "c"}},
		"Microsoft, for somebody":      {set: map[string]string{"provider": "microsoft", "directory": "d-1", "client_id": "c", "grant": "refresh_token"}},
	} {
		s := mailbox.Defaults()
		if err := s.Set(good); err != nil {
			t.Fatal(err)
		}
		if err := s.Set(tc.set); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		err := s.Validate(tc.plaintext)
		if (err == nil) != (len(tc.faults) == 0) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, fault := range tc.faults {
			if !strings.Contains(err.Error(), fault+":") {
				t.Errorf("%s: %q does not name %s", name, err, fault)
			}
		}
		if err != nil && strings.Count(err.Error(), "\n")+1 != len(tc.faults) {
			t.Errorf("%s: %q names other faults than %v", name, err, tc.faults)
		}
	}
}

func TestProviders(t *testing.T) {
	s := mailbox.Defaults()
	if err := s.Set(map[string]string{"provider": "microsoft", "directory": "d-1", "client_id": "c", "user": "depot@ville.fr"}); err != nil {
		t.Fatal(err)
	}
	want := mailbox.Defaults()
	want.Server, want.User, want.Auth, want.ClientID = "outlook.office365.com:993", "depot@ville.fr", mailbox.AuthXOAuth2, "c"
	want.TokenURL, want.Scope, want.Grant = "https://login.microsoftonline.com/d-1/oauth2/v2.0/token", "https://outlook.office365.com/.default", mailbox.GrantClient
	if s != want {
		t.Errorf("%+v, want %+v", s, want)
	}
	before := s
	for _, bad := range []map[string]string{{"provider": "yahoo"}, {"provider": "microsoft"}, {"provider": "microsoft", "directory": "a/b"}, {"servre": "x"}} {
		if err := s.Set(bad); err == nil || s != before {
			t.Errorf("%v: %v, and the settings are %+v", bad, err, s)
		}
	}
}

// Every fault has its sentence: what is wrong, and what to do or what happens next.
func TestSentences(t *testing.T) {
	for _, code := range []string{
		mailbox.FaultUnreachable, mailbox.FaultCertificate, mailbox.FaultNoTLS, mailbox.FaultPreauth, mailbox.FaultSecret, mailbox.FaultLogin, mailbox.FaultNoMethod, mailbox.FaultToken,
		mailbox.FaultTokenAway, mailbox.FaultFolder, mailbox.FaultFolderCreate, mailbox.FaultMove, mailbox.FaultProtocol, mailbox.FaultCut, mailbox.FaultSlow, mailbox.FaultIntake,
	} {
		if s := mailbox.Sentence(code); s == mailbox.Sentence(mailbox.FaultOurs) || !strings.HasSuffix(s, ".") || strings.Contains(s, "'") || strings.Contains(s, " :") || strings.Contains(s, " ;") {
			t.Errorf("%s: %q", code, s)
		}
	}
	for _, code := range []string{mailbox.CodeTooLarge, mailbox.CodeNoAddress, mailbox.CodeUnread, mailbox.CodeLater} {
		if mailbox.MessageSentence(code) == "" {
			t.Errorf("%s has no sentence", code)
		}
	}
	if mailbox.Sentence("") != "" {
		t.Error("no fault has a sentence")
	}
}
