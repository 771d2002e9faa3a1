package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	"golang.org/x/net/dns/dnsmessage"
)

// records is a DNS server on loopback that knows these TXT records, by lower-case name.
type records map[string]string

// serve answers until the test ends, and returns its address.
func (r records) serve(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 4<<10)
		for {
			n, peer, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var q dnsmessage.Message
			if q.Unpack(buf[:n]) != nil || len(q.Questions) != 1 {
				continue
			}
			a := dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, Authoritative: true, RecursionAvailable: true}, Questions: q.Questions}
			name := strings.ToLower(strings.TrimSuffix(q.Questions[0].Name.String(), "."))
			if text, ok := r[name]; !ok {
				a.RCode = dnsmessage.RCodeNameError
			} else if q.Questions[0].Type == dnsmessage.TypeTXT {
				a.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Type: dnsmessage.TypeTXT, Class: dnsmessage.ClassINET, TTL: 60},
					Body: &dnsmessage.TXTResource{TXT: []string{text}}}}
			}
			if out, err := a.Pack(); err == nil {
				_, _ = conn.WriteTo(out, peer)
			}
		}
	}()
	return conn.LocalAddr().String()
}

// signer signs as example.test does.
type signer struct{ key ed25519.PrivateKey }

func newSigner(t *testing.T) (signer, records) {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{key}, records{"mai._domainkey.example.test": "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public), "example.test": "v=spf1 -all"}
}

func (s signer) sign(t *testing.T, msg []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	err := dkim.Sign(&out, bytes.NewReader(msg), &dkim.SignOptions{Domain: "example.test", Selector: "mai", Signer: s.key, HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// arrived is one line of `deposits list --json`, with how far its sender is trusted.
type arrived struct {
	ID, State, Reason, Citizen string
	Trust                      int
	TrustWhy                   string `json:"trust_reason"`
	Pieces                     []struct{ State, Reason, Sentence, Document string }
}

func (p *program) arrived(n int) []arrived {
	p.t.Helper()
	var all []arrived
	p.wait(60*time.Second, fmt.Sprintf("%d deposits opened or held", n), func() bool {
		all = decode[arrived](p.t, p.must("deposits", "list", "--json", "--tenant", "demo"))
		for _, a := range all {
			if a.State == "received" {
				return false
			}
			for _, piece := range a.Pieces {
				if piece.State == "waiting" || piece.State == "examined" || piece.State == "recognised" {
					return false
				}
			}
		}
		return len(all) == n
	})
	return all
}

// Whose a mail is, from the wire to the vault: what a citizen signs goes into their own
// vault as far as it is proven, the rest waits at the desk, and an error there is undone.
func TestSEC44_WhoseAMailIs(t *testing.T) {
	t.Parallel()
	s, dns := newSigner(t)
	p := start(t, newHome(t), []string{"VAGUEMESTRE_RESOLVER=" + dns.serve(t)})
	const generic = "depot@ville.test"
	p.must("tenant", "set", "--tenant", "demo", "generic_address="+generic)
	send := func(to string, msg []byte) {
		t.Helper()
		if err := p.send(to, msg); err != nil {
			t.Fatal(err)
		}
	}
	notice := func(id string) []byte {
		return message(id, "Mon avis", id+".pdf", "application/pdf", taxNotice("Camille DEMO", id))
	}
	stands := func(i int, want string) arrived {
		t.Helper()
		a := p.arrived(i + 1)[i]
		if got := fmt.Sprintf("%s T%d %s", a.State, a.Trust, a.TrustWhy); got != want {
			t.Errorf("mail %d: %s, want %s", i, got, want)
		}
		return a
	}

	send(p.address, s.sign(t, notice("w0")))
	first := stands(0, "opened T2 secret_address")
	token := decode[struct{ Token string }](t, p.must("vault", "link", "--json", "--citizen", p.citizen, "--deposit", first.ID))[0].Token
	if out := p.must("vault", "confirm", "--json", "--citizen", p.citizen, "--token", token, "--remember"); !strings.Contains(out, `"to_validate"`) {
		t.Errorf("confirmed: %s", out)
	}
	send(p.address, s.sign(t, notice("w1")))
	stands(1, "opened T3 secret_address_and_verified_sender")
	send(generic, s.sign(t, notice("w2")))
	stands(2, "opened T1 verified_sender")
	send(generic, notice("w3"))
	stands(3, "held T0 no_signature")
	forged := s.sign(t, notice("w4"))
	send(generic, bytes.Replace(forged, []byte("Mon avis"), []byte("Mon autre avis"), 1))
	held := stands(4, "held T0 bad_signature")
	states := map[string]int{}
	for _, d := range p.vault() {
		states[d.State]++
	}
	if states["to_validate"] != 2 || states["to_confirm"] != 1 {
		t.Errorf("documents stand %v", states)
	}

	// The desk: a look, a wrong vault, and back.
	out := p.must("deposits", "show", "--json", "--tenant", "demo", "--deposit", held.ID)
	if !strings.Contains(out, `"from":"camille@example.test"`) || !strings.Contains(out, `"proven":false`) || !strings.Contains(out, `"dkim":"fail"`) {
		t.Errorf("shown: %s", out)
	}
	other := decode[enrolment](t, p.must("citizen", "add", "--json", "--tenant", "demo", "--given", "Luc", "--family", "Autre", "--email", "luc@demo.test"))[0]
	attach := func(citizen string, matches ...string) (string, int) {
		args := []string{"deposits", "attach", "--json", "--tenant", "demo", "--deposit", held.ID, "--citizen", citizen}
		for _, m := range matches {
			args = append(args, "--match", m)
		}
		_, errs, code := p.command(args...)
		return errs, code
	}
	if errs, code := attach(other.ID, "name"); code != 2 || !strings.Contains(errs, "matches") {
		t.Errorf("attached on one match: exit %d, %s", code, errs)
	}
	if errs, code := attach(other.ID, "name", "birth_date"); code != 0 {
		t.Fatalf("attach: exit %d, %s", code, errs)
	}
	stands(4, "opened T0 attached")
	vaultOf := func(citizen string) []row {
		return decode[row](t, p.must("vault", "list", "--json", "--citizen", citizen))
	}
	if docs := vaultOf(other.ID); len(docs) != 1 || docs[0].State != "to_confirm" {
		t.Errorf("the wrong vault holds %+v", docs)
	}
	p.must("deposits", "detach", "--tenant", "demo", "--deposit", held.ID, "--citizen", other.ID)
	if docs := vaultOf(other.ID); len(docs) != 0 {
		t.Errorf("the wrong vault still holds %+v", docs)
	}
	if errs, code := attach(p.citizen, "name", "email"); code != 0 {
		t.Fatalf("attach to whom it belongs: exit %d, %s", code, errs)
	}
	stands(4, "opened T0 attached")
	if docs := p.vault(); len(docs) != 4 {
		t.Errorf("%d documents in the right vault", len(docs))
	}
	if metrics := string(metricsOf(t, p)); !strings.Contains(metrics, `vaguemestre_attributions_total{reason="secret_address_and_verified_sender",trust="T3"} 1`) {
		t.Error("no metric of a T3 verdict")
	}
	p.must("check")
	p.must("journal", "verify")
	p.stop()
}
