package zone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// DNS is a Resolver that asks name servers.
type DNS struct {
	servers []string // host:port
	client  *http.Client
}

// patience is how long a server may take to answer.
const patience = 3 * time.Second

// NewDNS asks the servers, host:port, in turn.
func NewDNS(servers ...string) *DNS {
	return &DNS{servers, &http.Client{Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error {
		return errors.New("redirected") // RFC 8461 §3.3: never followed
	}}}
}

// System asks the servers of resolv.conf.
func System(file string) (*DNS, error) {
	conf, err := dns.ClientConfigFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("name servers: %w", err)
	}
	var servers []string
	for _, s := range conf.Servers {
		servers = append(servers, net.JoinHostPort(s, conf.Port))
	}
	return NewDNS(servers...), nil
}

// Lookup asks the first server that answers.
func (d *DNS) Lookup(ctx context.Context, name, kind string) ([]string, bool, error) {
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), dns.StringToType[kind])
	q.SetEdns0(1232, true)
	err := errors.New("no name server")
	for _, server := range d.servers {
		var answer *dns.Msg
		if answer, err = exchange(ctx, q, server); err == nil {
			return valuesOf(answer), answer.AuthenticatedData, nil
		}
	}
	return nil, false, fmt.Errorf("ask for %s: %w", kind, err)
}

// exchange asks by UDP, and again by TCP when the answer is too long for it.
func exchange(ctx context.Context, q *dns.Msg, server string) (*dns.Msg, error) {
	for _, network := range []string{"udp", "tcp"} {
		client := &dns.Client{Net: network, Timeout: patience}
		answer, _, err := client.ExchangeContext(ctx, q, server)
		switch {
		case err != nil:
			return nil, err
		case answer.Truncated && network == "udp":
			continue
		case answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError:
			return nil, errors.New(dns.RcodeToString[answer.Rcode])
		}
		return answer, nil
	}
	return nil, errors.New("truncated")
}

func valuesOf(m *dns.Msg) []string {
	var out []string
	for _, rr := range m.Answer {
		switch rr := rr.(type) {
		case *dns.MX:
			out = append(out, fmt.Sprintf("%d %s", rr.Preference, rr.Mx))
		case *dns.TXT:
			out = append(out, strings.Join(rr.Txt, ""))
		case *dns.TLSA:
			out = append(out, fmt.Sprintf("%d %d %d %s", rr.Usage, rr.Selector, rr.MatchingType, rr.Certificate))
		}
	}
	return out
}

// maxFile is how much of a file is read.
const maxFile = 64 << 10

// Fetch gets a file, the first of it when it is long. A host that does not exist has none.
func (d *DNS) Fetch(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := d.client.Do(req)
	var nowhere *net.DNSError
	if errors.As(err, &nowhere) && nowhere.IsNotFound {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return "", nil
	}
	if resp.StatusCode != http.StatusOK {
		return "", errors.New(resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxFile))
	return string(b), err
}
