// Package zone owns what a town publishes in the DNS, so that mail finds its server and
// senders insist on TLS with it: MX, MTA-STS (RFC 8461), TLS-RPT (RFC 8460) and DANE
// (RFC 7672); and so that its own letters are believed: DKIM, SPF and DMARC. It says what to publish, and whether it is.
package zone

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
)

// Town is what is published about.
type Town struct {
	Host        string            // the name of our mail server
	Domains     []string          // of the deposit addresses
	Reports     string            // address for other servers' reports on TLS; empty: none are asked for
	Certificate *x509.Certificate // shown by the server; nil when there is none yet
}

// Record is one thing to publish.
type Record struct {
	Name  string // without the last dot
	Type  string // MX, TXT or TLSA; HTTPS for a file fetched by it, whose address is Name
	Value string
	Any   bool // one of the kind will do, whatever it says: Value is an example
}

func (r Record) String() string {
	if r.Type == "TXT" {
		return r.Name + ". IN TXT " + texts(r.Value)
	}
	return fmt.Sprintf("%s. IN %s %s", r.Name, r.Type, r.Value)
}

// File is the type of a record that is no record: a file that is fetched.
const File = "HTTPS"

// Records are what the town has to publish.
func (t Town) Records() []Record {
	var out []Record
	for _, d := range t.Domains {
		d = strings.TrimSuffix(strings.ToLower(d), ".")
		policy := t.Policy()
		out = append(out,
			Record{Name: d, Type: "MX", Value: "10 " + t.Host + "."},
			Record{Name: "_mta-sts." + d, Type: "TXT", Value: "v=STSv1; id=" + sum(policy)[:20] + ";"},
			Record{Name: "https://mta-sts." + d + "/.well-known/mta-sts.txt", Type: File, Value: policy})
		if t.Reports != "" {
			out = append(out, Record{Name: "_smtp._tls." + d, Type: "TXT", Value: "v=TLSRPTv1; rua=mailto:" + t.Reports})
		}
	}
	if t.Certificate != nil {
		out = append(out, Record{Name: "_25._tcp." + t.Host, Type: "TLSA", Value: "3 1 1 " + sum(string(t.Certificate.RawSubjectPublicKeyInfo))})
	}
	return out
}

// Policy is the MTA-STS file of all domains: our server, by TLS or not at all, for a week.
func (t Town) Policy() string {
	return "version: STSv1\r\nmode: enforce\r\nmx: " + t.Host + "\r\nmax_age: 604800\r\n"
}

// sum is also the id of a policy: it changes with it.
func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// texts is a TXT value as a zone file has it: strings of at most 255 bytes, which are read
// as one.
func texts(s string) string {
	var out []string
	for len(s) > 255 {
		out, s = append(out, fmt.Sprintf("%q", s[:255])), s[255:]
	}
	return strings.Join(append(out, fmt.Sprintf("%q", s)), " ")
}

// Sender is a domain that a town's letters come from.
type Sender struct {
	Domain string
	Keys   []Record // of its signing keys
}

// Records are what makes others believe its letters: the signing keys, which servers may
// send for it, and what others are to do with what is not proven.
func (s Sender) Records() []Record {
	return append(append([]Record(nil), s.Keys...),
		Record{Name: s.Domain, Type: "TXT", Value: "v=spf1 mx include:YOUR-RELAY -all", Any: true},
		Record{Name: "_dmarc." + s.Domain, Type: "TXT", Value: "v=DMARC1; p=quarantine", Any: true})
}
