package zone

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func town(t *testing.T) Town {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return Town{Host: "mx.ville.test", Domains: []string{"Depot.ville.test."}, Reports: "tls@ville.test", Certificate: cert}
}

const policy = "version: STSv1\r\nmode: enforce\r\nmx: mx.ville.test\r\nmax_age: 604800\r\n"

// TestSEC42_Records: what the town has to publish, as it stands in a zone file.
func TestSEC42_Records(t *testing.T) {
	town := town(t)
	spki := sha256.Sum256(town.Certificate.RawSubjectPublicKeyInfo)
	id := sha256.Sum256([]byte(policy))
	var got []string
	for _, r := range town.Records() {
		got = append(got, r.String())
	}
	want := []string{
		"depot.ville.test. IN MX 10 mx.ville.test.",
		`_mta-sts.depot.ville.test. IN TXT "v=STSv1; id=` + hex.EncodeToString(id[:])[:20] + `;"`,
		"https://mta-sts.depot.ville.test/.well-known/mta-sts.txt. IN HTTPS " + policy,
		`_smtp._tls.depot.ville.test. IN TXT "v=TLSRPTv1; rua=mailto:tls@ville.test"`,
		"_25._tcp.mx.ville.test. IN TLSA 3 1 1 " + hex.EncodeToString(spki[:]),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("records\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	town.Certificate, town.Reports = nil, ""
	if n := len(town.Records()); n != 3 {
		t.Errorf("%d records without certificate and reports", n)
	}
}

// TestSEC53_SenderRecords: the records that make a town's letters believed, as a zone file
// has them, and how they are found.
func TestSEC53_SenderRecords(t *testing.T) {
	key := "v=DKIM1; k=rsa; p=" + strings.Repeat("A", 392)
	s := Sender{Domain: "ville.test", Keys: []Record{{Name: "vm._domainkey.ville.test", Type: "TXT", Value: key}}}
	records := s.Records()
	if got, want := records[0].String(), `vm._domainkey.ville.test. IN TXT "`+key[:255]+`" "`+key[255:]+`"`; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	for name, c := range map[string]struct {
		book book
		want []State
	}{
		"nothing": {book{}, []State{Missing, Missing, Missing}},
		"right": {book{values: map[string][]string{
			"TXT vm._domainkey.ville.test": {strings.ReplaceAll(key, " ", "")}, "TXT ville.test": {"google-site", "v=spf1 include:x -all"}, "TXT _dmarc.ville.test": {"v=DMARC1;p=reject"},
		}}, []State{Found, Found, Found}},
		"wrong": {book{values: map[string][]string{
			"TXT vm._domainkey.ville.test": {"v=DKIM1; p="}, "TXT ville.test": {"spf1"}, "TXT _dmarc.ville.test": {"v=spf1 -all"},
		}}, []State{Differs, Missing, Missing}},
	} {
		var got []State
		for _, f := range Check(t.Context(), c.book, records) {
			got = append(got, f.State)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// book is a resolver that knows what stands in it.
type book struct {
	values map[string][]string
	files  map[string]string
	signed bool
	err    error
}

func (b book) Lookup(_ context.Context, name, kind string) ([]string, bool, error) {
	return b.values[kind+" "+name], b.signed, b.err
}

func (b book) Fetch(_ context.Context, url string) (string, error) { return b.files[url], b.err }

func TestSEC42_Check(t *testing.T) {
	town := town(t)
	records := town.Records()
	right := book{signed: true, files: map[string]string{records[2].Name: strings.ReplaceAll(policy, "\r\n", "\n")}, values: map[string][]string{
		"MX depot.ville.test":             {"20 backup.test.", "5 MX.ville.test."},
		"TXT _mta-sts.depot.ville.test":   {"other", strings.ReplaceAll(records[1].Value, " ", "")},
		"TXT _smtp._tls.depot.ville.test": {records[3].Value + ";"},
		"TLSA _25._tcp.mx.ville.test":     {"3 1 1 00", strings.ToUpper(records[4].Value)},
	}}
	unsigned, empty, wrong := right, book{signed: true}, right
	unsigned.signed = false
	wrong.files = map[string]string{records[2].Name: strings.Replace(policy, "enforce", "testing", 1)}
	wrong.values = map[string][]string{
		"MX depot.ville.test": {"10 mx.elsewhere.test."}, "TXT _mta-sts.depot.ville.test": {"v=STSv1; id=1;"},
		"TXT _smtp._tls.depot.ville.test": {"v=spf1 -all"}, "TLSA _25._tcp.mx.ville.test": {"3 1 1 00"},
	}
	for name, c := range map[string]struct {
		book book
		want []State
	}{
		"right":   {right, []State{Found, Found, Found, Found, Found}},
		"bare":    {unsigned, []State{Found, Found, Found, Found, Unsigned}},
		"nothing": {empty, []State{Missing, Missing, Missing, Missing, Missing}},
		"wrong":   {wrong, []State{Differs, Differs, Differs, Missing, Differs}},
		"offline": {book{err: errors.New("no network")}, []State{Unknown, Unknown, Unknown, Unknown, Unknown}},
	} {
		var got []State
		for _, f := range Check(t.Context(), c.book, records) {
			got = append(got, f.State)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if f := Check(t.Context(), wrong, records)[0]; !reflect.DeepEqual(f.Have, []string{"10 mx.elsewhere.test."}) {
		t.Errorf("have %v", f.Have)
	}
}

// TestDNS asks a server of ours for what there is, what there is not, and what is too
// long for UDP.
func TestDNS(t *testing.T) {
	long := strings.Repeat("x", 200)
	zone := map[string][]string{
		"MX depot.ville.test.":         {"depot.ville.test. 60 IN MX 10 mx.ville.test."},
		"TXT t.ville.test.":            {`t.ville.test. 60 IN TXT "v=STSv1; " "id=1;"`},
		"TLSA _25._tcp.mx.ville.test.": {"_25._tcp.mx.ville.test. 60 IN TLSA 3 1 1 00ff"},
	}
	for range 20 {
		zone["TXT long.ville.test."] = append(zone["TXT long.ville.test."], `long.ville.test. 60 IN TXT "`+long+`"`)
	}
	server := serveZone(t, zone)
	dead, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	d := NewDNS(dead.LocalAddr().String(), server)
	for _, c := range []struct {
		kind, name string
		want       []string
	}{
		{"MX", "depot.ville.test", []string{"10 mx.ville.test."}},
		{"TXT", "t.ville.test", []string{"v=STSv1; id=1;"}},
		{"TLSA", "_25._tcp.mx.ville.test", []string{"3 1 1 00ff"}},
		{"MX", "nowhere.test", nil},
	} {
		got, signed, err := d.Lookup(t.Context(), c.name, c.kind)
		if err != nil || !signed || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %s: %v, signed %t, %v", c.kind, c.name, got, signed, err)
		}
	}
	if got, _, err := d.Lookup(t.Context(), "long.ville.test", "TXT"); err != nil || len(got) != 20 || got[0] != long {
		t.Errorf("by TCP: %d values, %v", len(got), err)
	}
	if _, _, err := d.Lookup(t.Context(), "broken.test", "MX"); err == nil {
		t.Error("SERVFAIL is an answer")
	}
	if _, _, err := NewDNS().Lookup(t.Context(), "depot.ville.test", "MX"); err == nil {
		t.Error("nobody asked, and an answer")
	}
	if _, err := System("/nonexistent"); err == nil {
		t.Error("name servers from nowhere")
	}
}

// serveZone is a name server on loopback, by UDP and TCP.
func serveZone(t *testing.T, zone map[string][]string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pc, err := net.ListenPacket("udp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		m.AuthenticatedData = true
		asked := q.Question[0]
		values, known := zone[dns.TypeToString[asked.Qtype]+" "+asked.Name]
		switch {
		case asked.Name == "broken.test.":
			m.Rcode = dns.RcodeServerFailure
		case !known:
			m.Rcode = dns.RcodeNameError
		}
		for _, text := range values {
			rr, err := dns.NewRR(text)
			if err != nil {
				t.Error(err)
				return
			}
			m.Answer = append(m.Answer, rr)
		}
		if w.RemoteAddr().Network() == "udp" {
			m.Truncate(1232)
		}
		w.WriteMsg(m)
	})
	for _, s := range []*dns.Server{{Listener: ln, Handler: handler}, {PacketConn: pc, Handler: handler}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go s.ActivateAndServe()
		<-started
		t.Cleanup(func() { s.Shutdown() })
	}
	return ln.Addr().String()
}

// TestFetch: a file, none, a redirection that is not followed, and one without end.
func TestFetch(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/file":
			w.Write([]byte(policy))
		case "/moved":
			http.Redirect(w, r, "/file", http.StatusFound)
		case "/endless":
			for range 10_000 {
				w.Write(make([]byte, 1<<10))
			}
		case "/broken":
			w.WriteHeader(http.StatusBadGateway)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	d := NewDNS()
	d.client.Transport = server.Client().Transport
	for path, want := range map[string]string{"/file": policy, "/none": ""} {
		if got, err := d.Fetch(t.Context(), server.URL+path); err != nil || got != want {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	for _, path := range []string{"/moved", "/broken"} {
		if _, err := d.Fetch(t.Context(), server.URL+path); err == nil {
			t.Errorf("%s is taken", path)
		}
	}
	if got, err := d.Fetch(t.Context(), server.URL+"/endless"); err != nil || len(got) != maxFile {
		t.Errorf("endless: %d bytes, %v", len(got), err)
	}
	if _, err := NewDNS().Fetch(t.Context(), server.URL+"/file"); err == nil {
		t.Error("a certificate that nobody vouches for is believed")
	}
}
