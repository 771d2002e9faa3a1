package imappoll_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-imap/v2"

	"vaguemestre/channels/imappoll"
	"vaguemestre/core/mailbox"
)

// xoauth2Server is the other side of XOAUTH2.
type xoauth2Server struct {
	ok     func(user, token string) bool
	failed bool
}

func (x *xoauth2Server) Next(response []byte) (challenge []byte, done bool, err error) {
	if x.failed {
		return nil, false, errNo
	}
	if response == nil {
		return []byte{}, false, nil
	}
	user, rest, _ := bytes.Cut(bytes.TrimPrefix(response, []byte("user=")), []byte("\x01auth=Bearer "))
	if x.ok(string(user), strings.TrimSuffix(string(rest), "\x01\x01")) {
		return nil, true, nil
	}
	x.failed = true
	return []byte(`{"status":"401"}`), false, nil
}

// office gives out tokens, as Microsoft and Google do: each refresh token once.
type office struct {
	mu      sync.Mutex
	refresh string
	asked   int
	good    string // the access token that is good
	answer  int    // instead, if not 0
	form    map[string]string
}

func (o *office) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked++
	_ = r.ParseForm()
	o.form = map[string]string{}
	for k := range r.PostForm {
		o.form[k] = r.PostForm.Get(k)
	}
	if o.answer != 0 {
		http.Error(w, `{"error":"invalid_grant"}`, o.answer)
		return
	}
	if o.form["grant_type"] == "refresh_token" {
		if o.form["refresh_token"] != o.refresh {
			http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
			return
		}
		o.refresh = fmt.Sprintf("refresh-%d", o.asked)
	}
	o.good = fmt.Sprintf("access-%d", o.asked)
	answer := map[string]any{"access_token": o.good, "expires_in": 3600, "token_type": "Bearer"}
	if o.form["grant_type"] == "refresh_token" {
		answer["refresh_token"] = o.refresh
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (o *office) is(token string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return token == o.good
}

// Tokens are asked for, kept while they are good, asked for anew when the server refuses
// one, and a refresh token that takes the place of another is kept.
func TestTokens(t *testing.T) {
	for _, auth := range []mailbox.Auth{mailbox.AuthXOAuth2, mailbox.AuthOAuthBearer} {
		for _, grant := range []mailbox.Grant{mailbox.GrantRefresh, mailbox.GrantClient} {
			t.Run(string(auth)+" "+string(grant), func(t *testing.T) {
				o := &office{refresh: "refresh-0"}
				desk := httptest.NewTLSServer(o)
				defer desk.Close()
				roots := x509.NewCertPool()
				roots.AddCert(desk.Certificate())
				b := &boxes{box: memBox(t), messages: map[uint32]mailbox.Remembered{}}
				m := startMem(t, b, imap.CapMove, imap.CapUIDPlus)
				m.tokens.Store(o.is)
				s := &b.box.Settings
				s.Auth, s.Grant, s.TokenURL, s.ClientID, s.Scope = auth, grant, desk.URL+"/token", "client-1", "imap"
				kept := &secret{value: []byte(`{"client_secret":"confidential","refresh_token":"refresh-0"}`)}
				m.append(t, "INBOX", letter("une", 300))
				in := &filed{}
				c := imappoll.New(quick(imappoll.Config{Roots: roots}), in, b, kept, slog.New(slog.DiscardHandler))
				stop := serve(t, c)
				eventually(t, "taken in", func() bool { return m.count(t, "Déposés") == 1 })
				stop()
				stop = serve(t, c)
				was := b.polls()
				eventually(t, "another poll", func() bool { return b.polls() > was })
				if o.asked != 1 {
					t.Errorf("asked for %d tokens", o.asked)
				}
				stop()
				o.mu.Lock()
				o.good = "revoked"
				o.mu.Unlock()
				stop = serve(t, c)
				was = b.polls()
				eventually(t, "a poll with a fresh token", func() bool { return b.polls() > was })
				stop()
				want := map[string]string{"grant_type": string(grant), "client_id": "client-1", "client_secret": "confidential", "scope": "imap"}
				if grant == mailbox.GrantRefresh {
					want["refresh_token"] = "refresh-1"
				}
				if fmt.Sprint(o.form) != fmt.Sprint(want) || o.asked != 2 {
					t.Errorf("asked %d times, at last with %v, want %v", o.asked, o.form, want)
				}
				if grant == mailbox.GrantRefresh && !strings.Contains(string(kept.value), `"refresh-2"`) {
					t.Error("the refresh token that is good now was not kept")
				}
			})
		}
	}
}

// What the token office answers is told apart: an authorisation that is over needs a
// person, an office that is away does not.
func TestTokenFaults(t *testing.T) {
	for name, tc := range map[string]struct {
		answer int
		secret string
		want   string
	}{
		"authorisation over": {answer: 400, secret: `{}`, want: mailbox.FaultToken},
		"office away":        {answer: 503, secret: `{}`, want: mailbox.FaultTokenAway},
		"asked too often":    {answer: 429, secret: `{}`, want: mailbox.FaultTokenAway},
		"redirected":         {answer: 302, secret: `{}`, want: mailbox.FaultToken},
		"secret is no JSON":  {secret: `hunter2`, want: mailbox.FaultSecret},
		"token not taken":    {secret: `{}`, want: mailbox.FaultLogin},
	} {
		t.Run(name, func(t *testing.T) {
			desk := httptest.NewTLSServer(&office{answer: tc.answer})
			defer desk.Close()
			roots := x509.NewCertPool()
			roots.AddCert(desk.Certificate())
			b := &boxes{box: memBox(t), messages: map[uint32]mailbox.Remembered{}}
			m := startMem(t, b)
			m.tokens.Store(func(string) bool { return false })
			s := &b.box.Settings
			s.Auth, s.Grant, s.TokenURL, s.ClientID = mailbox.AuthXOAuth2, mailbox.GrantClient, desk.URL, "client-1"
			stop := serve(t, imappoll.New(quick(imappoll.Config{Roots: roots}), &filed{}, b, &secret{value: []byte(tc.secret)}, slog.New(slog.DiscardHandler)))
			eventually(t, "a fault", func() bool { return len(b.faults()) > 0 })
			stop()
			if f := b.faults(); f[0] != tc.want {
				t.Errorf("fault %s, want %s", f[0], tc.want)
			}
		})
	}
}
