package mailbox

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Settings are where a mailbox is and what is done with its messages.
type Settings struct {
	Server  string `json:"server"` // host:port
	TLS     TLS    `json:"tls"`
	User    string `json:"user"`
	Auth    Auth   `json:"auth"`
	Folder  string `json:"folder"`          // that is emptied
	Done    string `json:"done"`            // where what was taken in goes; "": it stays
	Refused string `json:"refused"`         // where what is refused goes; "": it stays
	Trusted string `json:"trust,omitempty"` // authserv-id of the server whose Authentication-Results are believed

	// Unaddressed is what becomes of a message that names no deposit address of the town's:
	// "generic", as if it had come to the generic address, or "refuse".
	Unaddressed string `json:"unaddressed"`

	TokenURL string `json:"token_url,omitempty"` // OAuth 2: where tokens come from
	ClientID string `json:"client_id,omitempty"`
	Scope    string `json:"scope,omitempty"`
	Grant    Grant  `json:"grant,omitempty"`
}

// TLS is how the line is encrypted.
type TLS string

// Ways of TLS.
const (
	TLSImplicit TLS = "implicit" // from the first byte
	TLSStart    TLS = "starttls"
	TLSNone     TLS = "none" // development, on this machine alone
)

// Auth is how one signs in.
type Auth string

// Ways to sign in. The latter two take tokens of OAuth 2.
const (
	AuthPlain       Auth = "plain"
	AuthLogin       Auth = "login"
	AuthXOAuth2     Auth = "xoauth2"
	AuthOAuthBearer Auth = "oauthbearer"
)

// Tokens reports whether one signs in with a token that has to be asked for.
func (a Auth) Tokens() bool { return a == AuthXOAuth2 || a == AuthOAuthBearer }

// Grant is how tokens are asked for.
type Grant string

// Grants.
const (
	GrantRefresh Grant = "refresh_token"      // on behalf of somebody who agreed once
	GrantClient  Grant = "client_credentials" // as an application the town's administrator admitted
)

// Defaults are those of a mailbox that says nothing.
func Defaults() Settings {
	return Settings{TLS: TLSImplicit, Auth: AuthPlain, Folder: "INBOX", Done: "Déposés", Refused: "Refusés", Unaddressed: Generic}
}

// What becomes of a message without an address of ours.
const (
	Generic = "generic"
	Refuse  = "refuse"
)

// providers are what is the same for all customers of one. {directory} is the setting
// "directory", the town's own at Microsoft.
var providers = map[string]Settings{
	"microsoft": {Server: "outlook.office365.com:993", Auth: AuthXOAuth2, TokenURL: "https://login.microsoftonline.com/{directory}/oauth2/v2.0/token"},
	"google":    {Server: "imap.gmail.com:993", Auth: AuthXOAuth2, TokenURL: "https://oauth2.googleapis.com/token", Scope: "https://mail.google.com/", Grant: GrantRefresh},
}

// microsoftScopes differ by grant.
var microsoftScopes = map[Grant]string{
	GrantRefresh: "https://outlook.office365.com/IMAP.AccessAsUser.All offline_access",
	GrantClient:  "https://outlook.office365.com/.default",
}

// Set changes settings by the names they have in JSON. Two names stand for several:
// provider (microsoft or google), and with it directory. Nothing is changed on error,
// which names every key there is not.
func (s *Settings) Set(values map[string]string) error {
	next, faults := *s, []error(nil)
	if provider := values["provider"]; provider != "" {
		if err := next.provide(provider, values["directory"], Grant(values["grant"])); err != nil {
			faults = append(faults, err)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if key == "provider" || key == "directory" {
			continue
		}
		if f := next.field(key); f != nil {
			f.SetString(values[key])
			continue
		}
		faults = append(faults, fmt.Errorf("%s: no such key", key))
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	*s = next
	return nil
}

// field is the setting of that name in JSON; nil for none.
func (s *Settings) field(key string) *reflect.Value {
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); name == key {
			f := v.Field(i)
			return &f
		}
	}
	return nil
}

var directoryForm = regexp.MustCompile(`^[A-Za-z0-9.-]{1,100}$`)

func (s *Settings) provide(provider, directory string, grant Grant) error {
	p, known := providers[provider]
	if !known {
		return fmt.Errorf("provider: %q is neither microsoft nor google", provider)
	}
	if provider == "microsoft" {
		if !directoryForm.MatchString(directory) {
			return errors.New("directory: provider=microsoft needs the directory (tenant) id of the town")
		}
		if p.Grant = grant; grant == "" {
			p.Grant = GrantClient
		}
		p.Scope = microsoftScopes[p.Grant]
		p.TokenURL = strings.ReplaceAll(p.TokenURL, "{directory}", directory)
	}
	s.Server, s.TLS, s.Auth, s.TokenURL, s.Scope, s.Grant = p.Server, TLSImplicit, p.Auth, p.TokenURL, p.Scope, p.Grant
	return nil
}

var authservForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,253}$`)

// Validate names every fault. plaintext says that a server on this machine may be spoken
// to without TLS, as in development.
func (s Settings) Validate(plaintext bool) error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	host, port, err := net.SplitHostPort(s.Server)
	check(err == nil && host != "" && port != "" && line(s.Server, 300), "server: %q is not host:port", s.Server)
	check(slices.Contains([]TLS{TLSImplicit, TLSStart, TLSNone}, s.TLS), "tls: %q is none of implicit, starttls", s.TLS)
	check(s.TLS != TLSNone || plaintext && Loopback(host), "tls: none is for development, with a server on this machine")
	check(s.User != "" && line(s.User, 320), "user: %q is no user name", s.User)
	check(slices.Contains([]Auth{AuthPlain, AuthLogin, AuthXOAuth2, AuthOAuthBearer}, s.Auth), "auth: %q is none of plain, login, xoauth2, oauthbearer", s.Auth)
	check(s.Folder != "", "folder: it must have a name")
	for key, name := range map[string]string{"folder": s.Folder, "done": s.Done, "refused": s.Refused} {
		check(line(name, 200) && !strings.ContainsAny(name, `*%\"`), "%s: %q is no name of a folder", key, name)
	}
	check(s.Done == "" || !sameFolder(s.Done, s.Folder), "done: it is the folder that is emptied")
	check(s.Refused == "" || !sameFolder(s.Refused, s.Folder), "refused: it is the folder that is emptied")
	check(s.Trusted == "" || authservForm.MatchString(s.Trusted), "trust: %q is not the name of a server in Authentication-Results", s.Trusted)
	check(s.Unaddressed == Generic || s.Unaddressed == Refuse, "unaddressed: %q is neither generic nor refuse", s.Unaddressed)
	if s.Auth.Tokens() {
		check(tokenURL(s.TokenURL, plaintext), "token_url: want an address that begins with https://")
		check(s.ClientID != "" && line(s.ClientID, 300), "client_id: the application that asks for tokens")
		check(line(s.Scope, 1000), "scope: one line")
		check(s.Grant == GrantRefresh || s.Grant == GrantClient, "grant: %q is neither refresh_token nor client_credentials", s.Grant)
	}
	return errors.Join(faults...)
}

// line: nothing in it could end a line of a protocol.
func line(s string, most int) bool {
	return len(s) <= most && !strings.ContainsFunc(s, unicode.IsControl)
}

// INBOX alone is written in any case (RFC 3501 §5.1).
func sameFolder(a, b string) bool {
	return a == b || strings.EqualFold(a, "INBOX") && strings.EqualFold(b, "INBOX")
}

func tokenURL(raw string, plaintext bool) bool {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return false
	}
	return u.Scheme == "https" || plaintext && u.Scheme == "http" && Loopback(u.Hostname())
}

// Loopback reports whether a host is this machine, by its name alone.
func Loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
