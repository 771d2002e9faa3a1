package mailauth

import (
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// aLabels gives a domain name as DNS and we compare it: lower-case A-labels. A name that
// is none gives "".
func aLabels(domain string) string {
	name, err := idna.Lookup.ToASCII(domain)
	if err != nil || name == "" || len(name) > 253 {
		return ""
	}
	name = strings.ToLower(name)
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return ""
		}
	}
	return name
}

// organisation is the domain that somebody registered, of which name is part; "" when
// name is a public suffix itself, under which strangers are neighbours.
func organisation(name string) string {
	org, err := publicsuffix.EffectiveTLDPlusOne(name)
	if err != nil {
		return ""
	}
	return org
}

// aligned reports whether a domain that was authenticated speaks for the domain of From
// (RFC 7489 §3.1): it is the same or, unless strict, of the same organisation. A public
// suffix speaks for nobody.
func aligned(domain, from string, strict bool) bool {
	org := organisation(domain)
	if org == "" {
		return false
	}
	return domain == from || !strict && org == organisation(from)
}
