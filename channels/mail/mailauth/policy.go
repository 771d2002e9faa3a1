package mailauth

import (
	"context"
	"errors"
	"net"
	"strings"

	"blitiri.com.ar/go/spf"
	"github.com/emersion/go-msgauth/dmarc"

	"vaguemestre/core"
)

// policy is what the domain of From publishes about mail in its name (RFC 7489 §6.3).
type policy struct {
	result                core.Result // ResultPass when there is one, else why not
	strictDKIM, strictSPF bool
}

// fetchPolicy looks for the policy of a domain, then for that of its organisation. While
// it cannot be known, it is taken for a strict one.
func fetchPolicy(ctx context.Context, dns *questions, domain string) policy {
	p := lookupPolicy(ctx, dns, domain)
	if org := organisation(domain); p.result == core.ResultNone && org != "" && org != domain {
		return lookupPolicy(ctx, dns, org)
	}
	return p
}

func lookupPolicy(ctx context.Context, dns *questions, domain string) policy {
	var found tags
	record, err := dmarc.LookupWithOptions(domain, &dmarc.LookupOptions{LookupTXT: func(name string) ([]string, error) {
		txts, err := dns.LookupTXT(ctx, name)
		var records []string
		for _, txt := range txts {
			if version, _, _ := strings.Cut(txt, ";"); solid(version) == "v=DMARC1" {
				records = append(records, txt)
			}
		}
		if len(records) > 1 { // RFC 7489 §6.6.3: as if there were none
			records = nil
		}
		for _, txt := range records {
			found = parseTags(txt)
		}
		return records, err
	}})
	switch {
	case dmarc.IsTempFail(err):
		return policy{result: core.ResultTempError, strictDKIM: true, strictSPF: true}
	case errors.Is(err, dmarc.ErrNoPolicy):
		return policy{result: core.ResultNone}
	case err != nil: // of a record that is malformed, strictness still counts
		return policy{core.ResultPermError, found.strict("adkim"), found.strict("aspf")}
	}
	return policy{core.ResultPass, record.DKIMAlignment == dmarc.AlignmentStrict, record.SPFAlignment == dmarc.AlignmentStrict}
}

// strict reports whether a record that cannot be read as a whole may ask for strict
// alignment, also when there is no record to be seen.
func (t tags) strict(key string) bool {
	mode := t.word(key)
	return t == nil || mode != "" && mode != "r"
}

// checkSPF reports whether the peer may send for its envelope sender (RFC 7208), or for
// the name that it greets with where the sender is null. Without a network address of a
// peer there is nothing to check.
func checkSPF(ctx context.Context, dns *questions, s core.Sender) core.Result {
	ip := net.ParseIP(s.Remote)
	if ip == nil {
		return core.ResultNone
	}
	result, _ := spf.CheckHostWithSender(ip, s.Helo, s.MailFrom, spf.WithContext(ctx), spf.WithResolver(dns))
	return core.Result(result)
}

// envelopeDomain is the domain of the envelope sender, in A-labels; "" when there is none.
func envelopeDomain(s core.Sender) string {
	at := strings.LastIndexByte(s.MailFrom, '@')
	if at < 0 {
		return ""
	}
	return aLabels(s.MailFrom[at+1:])
}
