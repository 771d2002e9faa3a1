package imappoll

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"

	"vaguemestre/core"
	"vaguemestre/core/mailbox"
)

// signIn authenticates. A token that is refused is asked for anew, once.
func (c *Channel) signIn(ctx context.Context, client *imapclient.Client, l *line, box mailbox.Mailbox) error {
	secret, err := c.secrets.Secret(ctx, box.Tenant, box.ID)
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return err
		}
		return &fault{mailbox.FaultSecret, errors.New(core.Cause(err))}
	}
	caps := client.Caps()
	if caps == nil {
		return l.ending(errCut)
	}
	if !box.Settings.Auth.Tokens() {
		return l.refused(c.withPassword(client, caps, box.Settings, string(secret)))
	}
	for fresh := false; ; fresh = true {
		token, err := c.tokens.token(ctx, box, secret, fresh)
		if err != nil {
			return err
		}
		err = client.Authenticate(withToken(box.Settings, token))
		var no *imap.Error
		if fresh || !errors.As(err, &no) {
			return l.refused(err)
		}
	}
}

func (c *Channel) withPassword(client *imapclient.Client, caps imap.CapSet, s mailbox.Settings, password string) error {
	switch {
	case s.Auth == mailbox.AuthPlain && caps.Has("AUTH=PLAIN"):
		return client.Authenticate(sasl.NewPlainClient("", s.User, password))
	case s.Auth == mailbox.AuthLogin && !caps.Has(imap.CapLoginDisabled):
		return client.Login(s.User, password).Wait()
	}
	return faulty(mailbox.FaultNoMethod, "the server does not offer %s", s.Auth)
}

// refused names the fault of signing in.
func (l *line) refused(err error) error {
	var no *imap.Error
	if errors.As(err, &no) {
		return faulty(mailbox.FaultLogin, "%s %s", no.Type, no.Code)
	}
	if err == nil {
		return nil
	}
	return l.ending(err)
}

func withToken(s mailbox.Settings, token string) sasl.Client {
	if s.Auth == mailbox.AuthXOAuth2 {
		return bearer{"XOAUTH2", "user=" + s.User + "\x01auth=Bearer " + token + "\x01\x01", ""}
	}
	host, port, _ := net.SplitHostPort(s.Server) // valid settings have both
	user := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(s.User)
	return bearer{"OAUTHBEARER", "n,a=" + user + ",\x01host=" + host + "\x01port=" + port + "\x01auth=Bearer " + token + "\x01\x01", "\x01"}
}

// bearer signs in with a token: by OAUTHBEARER (RFC 7628), or the mechanism of Google and
// Microsoft that came before.
type bearer struct{ mechanism, response, dismissal string }

func (b bearer) Start() (string, []byte, error) { return b.mechanism, []byte(b.response), nil }

// Next answers the challenge that says why the token was refused; the refusal follows.
func (b bearer) Next([]byte) ([]byte, error) { return []byte(b.dismissal), nil }
