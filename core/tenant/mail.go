package tenant

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Mail is how a town writes: through which relay, in whose name, and what the law wants
// said in every acknowledgement (CRPA R. 112-11-1). Passwords and keys are secrets, and
// not here.
type Mail struct {
	Relay     string `json:"relay,omitempty" help:"mail server that letters are handed to: host:port, or tls://host:port for TLS from the first byte; empty: the town sends nothing"`
	RelayUser string `json:"relay_user,omitempty" help:"name to sign in there with, the password is the secret \"relay\"; empty: none"`
	RelayPin  string `json:"relay_pin,omitempty" help:"SHA-256 of its public key, in hexadecimal; empty: its certificate must be valid"`

	From         string `json:"mail_from,omitempty" help:"address letters come from"`
	FromName     string `json:"mail_name,omitempty" help:"name beside it; empty: service_name"`
	DKIMDomain   string `json:"dkim_domain,omitempty" help:"domain that signs letters; empty: that of mail_from"`
	DKIMSelector string `json:"dkim_selector,omitempty" help:"of the keys that sign, made by 'mail dkim new'; empty: not signed"`

	DKIMKeys []DKIMKey `json:"dkim_keys,omitempty"` // what is to be published of the keys that were made

	Portal          string   `json:"portal,omitempty" help:"https address of the pages that links lead to; empty: letters show codes"`
	SecurityContact string   `json:"security_contact,omitempty" help:"address told of a filing in the wrong vault"`
	Language        string   `json:"language,omitempty" help:"of letters: fr, en"`
	TimeZone        string   `json:"time_zone,omitempty" help:"dates in letters are of there"`
	ResultWait      Duration `json:"result_wait,omitempty" help:"what became of a deposit is told after that at the latest, such as 15m"`

	ServiceName    string `json:"service_name,omitempty" help:"service in charge; with the next two, every acknowledgement must name it (CRPA R. 112-11-1)"`
	ServiceAddress string `json:"service_address,omitempty" help:"its address"`
	ServicePhone   string `json:"service_phone,omitempty" help:"its telephone"`
	ServiceEmail   string `json:"service_email,omitempty" help:"its e-mail address"`
	ServiceHours   string `json:"service_hours,omitempty" help:"its opening hours"`
}

// DKIMKey is the public side of a signing key.
type DKIMKey struct {
	Selector string `json:"selector"`
	Record   string `json:"record"` // as it stands in the DNS
}

// SigningDomain is the domain that signs, or would: that of the address letters come
// from unless another is set.
func (m Mail) SigningDomain() string {
	if m.DKIMDomain != "" {
		return m.DKIMDomain
	}
	_, domain, _ := strings.Cut(strings.ToLower(m.From), "@")
	return domain
}

// Sends reports whether the town sends letters at all.
func (m Mail) Sends() bool { return m.Relay != "" && m.From != "" }

// MissingMentions names the keys without which an acknowledgement would lack what the
// law wants in it. While there is one, none is sent.
func (m Mail) MissingMentions() []string {
	var missing []string
	for _, want := range []struct{ key, value string }{
		{"service_name", m.ServiceName}, {"service_address", m.ServiceAddress}, {"service_phone", m.ServicePhone},
	} {
		if want.value == "" {
			missing = append(missing, want.key)
		}
	}
	return missing
}

// Acknowledges reports whether deposits are acknowledged by letter.
func (m Mail) Acknowledges() bool { return m.Sends() && len(m.MissingMentions()) == 0 }

// Location is where the dates of letters are read.
func (m Mail) Location() *time.Location {
	l, err := time.LoadLocation(m.TimeZone)
	if err != nil {
		return time.UTC
	}
	return l
}

func (m Mail) faults() []error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(m.Relay == "" || relayForm(m.Relay), "relay: %q is neither host:port nor tls://host:port", m.Relay)
	check(m.Relay == "" || m.From != "", "relay: without mail_from nobody is there to write")
	pin, err := hex.DecodeString(m.RelayPin)
	check(m.RelayPin == "" || err == nil && len(pin) == 32, "relay_pin: want 64 hexadecimal digits, the SHA-256 of the relay's public key")
	check(m.RelayPin == "" || m.Relay != "", "relay_pin: goes with a relay")
	check(m.RelayUser == "" || m.Relay != "", "relay_user: goes with a relay")
	for _, a := range []struct{ key, value string }{{"mail_from", m.From}, {"security_contact", m.SecurityContact}, {"service_email", m.ServiceEmail}} {
		check(a.value == "" || mailAddress(a.value), "%s: %q is not an e-mail address", a.key, a.value)
	}
	check(m.DKIMDomain == "" || domainForm.MatchString(m.DKIMDomain), "dkim_domain: %q is not a domain name", m.DKIMDomain)
	check(m.DKIMSelector == "" || domainForm.MatchString(m.DKIMSelector+".x"), "dkim_selector: %q is not a selector", m.DKIMSelector)
	for _, k := range m.DKIMKeys {
		check(domainForm.MatchString(k.Selector+".x") && oneLine(k.Record, 1000), "dkim_keys: %q is not a selector, or its record is too long", k.Selector)
	}
	check((m.DKIMDomain == "") == (m.DKIMSelector == ""), "dkim_domain and dkim_selector go together")
	check(m.DKIMDomain == "" || aligned(m.From, m.DKIMDomain), "dkim_domain: %q does not vouch for mail_from %q: receivers would not believe it", m.DKIMDomain, m.From)
	check(m.Portal == "" || portalForm(m.Portal), "portal: %q is not an address such as https://demarches.ville.fr", m.Portal)
	check(m.Language == "" || m.Language == "fr" || m.Language == "en", "language: %q is neither fr nor en", m.Language)
	_, err = time.LoadLocation(m.TimeZone)
	check(err == nil, "time_zone: %q is not a time zone such as Europe/Paris", m.TimeZone)
	check(m.ResultWait == 0 || m.ResultWait >= Duration(time.Minute) && m.ResultWait <= Duration(24*time.Hour), "result_wait: %s is not between 1m and 24h", m.ResultWait)
	for _, l := range []struct {
		key, value string
		most       int
	}{
		{"relay_user", m.RelayUser, 200}, {"mail_name", m.FromName, 100}, {"service_name", m.ServiceName, 200}, {"service_address", m.ServiceAddress, 300},
		{"service_phone", m.ServicePhone, 50}, {"service_hours", m.ServiceHours, 200},
	} {
		check(oneLine(l.value, l.most), "%s: want one line of text of at most %d letters", l.key, l.most)
	}
	return faults
}

func relayForm(s string) bool {
	host, port, err := net.SplitHostPort(strings.TrimPrefix(s, "tls://"))
	n, perr := strconv.Atoi(port)
	return err == nil && perr == nil && n > 0 && n < 65536 && host != "" && (net.ParseIP(host) != nil || host == "localhost" || domainForm.MatchString(host))
}

func mailAddress(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s && a.Name == ""
}

// aligned: the domain is that of the address, or one above it (RFC 7489 §3.1.1, relaxed).
func aligned(address, domain string) bool {
	_, of, _ := strings.Cut(strings.ToLower(address), "@")
	return of == domain || strings.HasSuffix(of, "."+domain) || strings.HasSuffix(domain, "."+of)
}

// portalForm: plain http is for a home on the machine itself.
func portalForm(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(s, "/") {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

func oneLine(s string, most int) bool {
	return len([]rune(s)) <= most && !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' })
}

// Duration is a time span written as "15m" or "1h30m".
type Duration time.Duration

// String is the form it is written in.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// MarshalText writes it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads it.
func (d *Duration) UnmarshalText(b []byte) error {
	n, err := time.ParseDuration(string(b))
	*d = Duration(n)
	return err
}
