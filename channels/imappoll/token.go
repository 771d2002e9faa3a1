package imappoll

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"crypto/tls"

	"vaguemestre/core"
	"vaguemestre/core/mailbox"
)

// credentials are the secret of a mailbox that is signed in to with tokens, as JSON.
type credentials struct {
	ClientSecret string `json:"client_secret,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`
}

// tokens asks for access tokens (RFC 6749) and keeps each while it is good.
type tokens struct {
	http    *http.Client
	secrets Secrets
	now     func() time.Time

	mu   sync.Mutex
	kept map[core.MailboxID]token
}

type token struct {
	value    string
	until    time.Time
	settings mailbox.Settings // it was asked for with
}

func newTokens(cfg Config, secrets Secrets) *tokens {
	return &tokens{
		http: &http.Client{
			Timeout:       cfg.Patience,
			Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12, Time: cfg.Now}, Proxy: http.ProxyFromEnvironment},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // credentials go nowhere else
		},
		secrets: secrets, now: cfg.Now, kept: map[core.MailboxID]token{},
	}
}

// token is an access token for the mailbox: the one at hand, unless fresh or nearly over.
func (t *tokens) token(ctx context.Context, box mailbox.Mailbox, secret []byte, fresh bool) (string, error) {
	t.mu.Lock()
	kept := t.kept[box.ID]
	t.mu.Unlock()
	if !fresh && kept.settings == box.Settings && t.now().Before(kept.until) {
		return kept.value, nil
	}
	var c credentials
	if err := json.Unmarshal(secret, &c); err != nil {
		return "", faulty(mailbox.FaultSecret, "the secret is no JSON object")
	}
	answer, err := t.ask(ctx, box.Settings, c)
	if err != nil {
		return "", err
	}
	if answer.RefreshToken != "" && answer.RefreshToken != c.RefreshToken && box.Settings.Grant == mailbox.GrantRefresh {
		if err := t.rotate(ctx, box, c.RefreshToken, answer.RefreshToken); err != nil {
			return "", err
		}
	}
	life := min(time.Duration(max(answer.ExpiresIn, 0))*time.Second, 24*time.Hour)
	t.mu.Lock()
	t.kept[box.ID] = token{answer.AccessToken, t.now().Add(life - time.Minute), box.Settings}
	t.mu.Unlock()
	return answer.AccessToken, nil
}

type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    int64  `json:"expires_in"`
}

func (t *tokens) ask(ctx context.Context, s mailbox.Settings, c credentials) (tokenAnswer, error) {
	form := url.Values{"grant_type": {string(s.Grant)}, "client_id": {s.ClientID}}
	if s.Scope != "" {
		form.Set("scope", s.Scope)
	}
	if c.ClientSecret != "" {
		form.Set("client_secret", c.ClientSecret)
	}
	if s.Grant == mailbox.GrantRefresh {
		form.Set("refresh_token", c.RefreshToken)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return tokenAnswer{}, faulty(mailbox.FaultTokenAway, "the address of the token service is malformed")
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	res, err := t.http.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return tokenAnswer{}, ctx.Err()
		}
		return tokenAnswer{}, faulty(mailbox.FaultTokenAway, "the token service does not answer")
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	switch {
	case err != nil:
		return tokenAnswer{}, faulty(mailbox.FaultTokenAway, "the token service broke off")
	case res.StatusCode == http.StatusTooManyRequests, res.StatusCode >= 500:
		return tokenAnswer{}, faulty(mailbox.FaultTokenAway, "the token service answers %d", res.StatusCode)
	case res.StatusCode != http.StatusOK:
		return tokenAnswer{}, faulty(mailbox.FaultToken, "the token service answers %d", res.StatusCode)
	}
	var answer tokenAnswer
	if json.Unmarshal(body, &answer) != nil || answer.AccessToken == "" || strings.ContainsAny(answer.AccessToken, "\x00\x01\r\n") {
		return tokenAnswer{}, faulty(mailbox.FaultToken, "the token service gives no token")
	}
	return answer, nil
}

// rotate keeps the refresh token that takes the place of the one used. The town's own
// word wins: a secret set meanwhile stays.
func (t *tokens) rotate(ctx context.Context, box mailbox.Mailbox, used, next string) error {
	err := t.secrets.Replace(ctx, box.Tenant, box.ID, func(stored []byte) ([]byte, error) {
		var c credentials
		if err := json.Unmarshal(stored, &c); err != nil || c.RefreshToken != used {
			return nil, core.ErrStale
		}
		c.RefreshToken = next
		return json.Marshal(c)
	})
	if err == nil || errors.Is(err, core.ErrStale) {
		return nil
	}
	return &fault{mailbox.FaultIntake, errors.New(core.Cause(err))} // the old one may be void: nothing goes on until the new one is kept
}
