package address

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"

	"vaguemestre/core/vault"
)

const domain = "depot.ville.test"

func index(b byte) vault.Index { return vault.NewIndex(bytes.Repeat([]byte{b}, 32)) }

func TestSEC45_AddressesAreFoundAgain(t *testing.T) {
	x, seen := index(1), map[string]bool{}
	for range 2000 {
		a := Mint(x, domain)
		local, at, _ := strings.Cut(a, "@")
		if len(local) != 20 || at != domain || strings.ContainsAny(local, "lo01") {
			t.Fatalf("minted %q", a)
		}
		hash, ok := Hash(x, a)
		if !ok || len(hash) != 32 || seen[string(hash)] {
			t.Fatalf("%q: hash %x, %v, seen before %v", a, hash, ok, seen[string(hash)])
		}
		seen[string(hash)] = true
	}
	if a := Mint(x, "Depot.VILLE.test"); !strings.HasSuffix(a, "@"+domain) {
		t.Errorf("minted %q", a)
	}
}

// An address stays what it is, however a person writes it.
func TestSEC45_CaseDashesAndBlanksDoNotCount(t *testing.T) {
	x := index(1)
	a := Mint(x, domain)
	local, _, _ := strings.Cut(a, "@")
	want, ok := Hash(x, a)
	if !ok {
		t.Fatal("not an address")
	}
	for _, written := range []string{
		strings.ToUpper(a), " " + a + "\n", local[:4] + "-" + local[4:8] + "-" + local[8:] + "@" + domain,
		"-" + local + "-@" + domain, strings.ToUpper(local[:10]) + "--" + local[10:] + "@Depot.Ville.TEST",
	} {
		if got, ok := Hash(x, written); !ok || !bytes.Equal(got, want) {
			t.Errorf("%q: %x, %v", written, got, ok)
		}
	}
	for _, other := range []string{
		local, local + "@", "@" + domain, "", a + "@" + domain, local + "@@" + domain, local[1:] + "@" + domain, local + "a@" + domain,
		"<" + a + ">", local[:10] + " " + local[10:] + "@" + domain, local + "+tag@" + domain, strings.Replace(a, local[:1], "é", 1),
	} {
		if got, ok := Hash(x, other); ok {
			t.Errorf("%q was taken for an address: %x", other, got)
		}
	}
	if got, ok := Hash(x, local+"@other.test"); !ok || bytes.Equal(got, want) {
		t.Errorf("under another domain: %x, %v; want another hash", got, ok)
	}
}

// Each of the 20 characters counts: no slip of one, and no exchange of two neighbours,
// makes another valid address more often than the check's 20 bits let it.
func TestSEC45_SlipsAreCaught(t *testing.T) {
	x, tried, passed := index(1), 0, 0
	for range 40 {
		local, _, _ := strings.Cut(Mint(x, domain), "@")
		for i := range local {
			for _, c := range "abcdefghijkmnpqrstuvwxyz23456789lo01" {
				slip := local[:i] + string(c) + local[i+1:]
				if i+1 < len(local) && c == 'a' { // once a place: exchange it with the next
					slip = local[:i] + local[i+1:i+2] + local[i:i+1] + local[i+2:]
				}
				if slip == local {
					continue
				}
				tried++
				if _, ok := Hash(x, slip+"@"+domain); ok {
					passed++
				}
			}
		}
	}
	if tried < 25_000 || passed > 2 {
		t.Errorf("%d of %d slips passed", passed, tried)
	}
}

// 10⁶ random probes: about one passes the check of 20 bits, none is an address of ours.
func TestSEC45_RandomProbes(t *testing.T) {
	const probes, owned = 1_000_000, 10_000
	x, ours := index(1), map[string]bool{}
	for range owned {
		hash, _ := Hash(x, Mint(x, domain))
		ours[string(hash)] = true
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	local := make([]byte, randomChars+checkChars)
	var passed, accepted int
	for range probes {
		for i := range local {
			local[i] = "abcdefghijkmnpqrstuvwxyz23456789"[r.IntN(32)]
		}
		if hash, ok := Hash(x, string(local)+"@"+domain); ok {
			passed++
			if ours[string(hash)] {
				accepted++
			}
		}
	}
	t.Logf("seed %d: of %d probes %d passed the check, %d accepted", seed, probes, passed, accepted)
	if accepted != 0 || passed > 15 { // 15 has odds of 10⁻¹³
		t.Errorf("seed %d: %d probes passed the check, %d accepted", seed, passed, accepted)
	}
}

// The check and the hash are keyed: whoever knows an address and another town's index
// key can neither make one here nor look one up.
func TestSEC45_KeyedByTheIndex(t *testing.T) {
	x, y, both := index(1), index(2), 0
	for range 1000 {
		a := Mint(x, domain)
		mine, _ := Hash(x, a)
		if theirs, ok := Hash(y, a); ok {
			both++
			if bytes.Equal(mine, theirs) {
				t.Errorf("%q has one hash under two keys", a)
			}
		}
	}
	if both > 2 {
		t.Errorf("%d of 1000 addresses pass under another key", both)
	}
}

// Printed letters carry addresses for years: their form cannot change.
func TestSEC45_FixedVector(t *testing.T) {
	const a = "bwh6met7b8kfxim9ti8i@depot.ville.test"
	hash, ok := Hash(index(7), a)
	if want := "fe17d5a987e099bfa31fe2288070c9dd48dff3a891cf201a3651b46dc7cf8cf7"; !ok || hex.EncodeToString(hash) != want {
		t.Errorf("%s: %x, %v; want %s", a, hash, ok, want)
	}
}

// Strangers name recipients: only what we minted, however written, is ours.
func FuzzHash(f *testing.F) {
	x := index(7)
	f.Add("bwh6met7b8kfxim9ti8i@depot.ville.test")
	f.Add("zzzz-zzzz@" + domain)
	f.Add("\"a b\"@[192.0.2.1]")
	f.Add("@@\x00")
	f.Fuzz(func(t *testing.T, s string) {
		hash, ok := Hash(x, s)
		if !ok {
			if hash != nil {
				t.Errorf("%q: a hash of what is none", s)
			}
			return
		}
		lower := strings.ToLower(s)
		for _, same := range []string{lower, strings.ToUpper(s)} {
			if strings.ToLower(same) != lower {
				continue // beyond ASCII there are letters that do not come back
			}
			if again, ok := Hash(x, same); !ok || !bytes.Equal(again, hash) {
				t.Errorf("%q: its case counts", s)
			}
		}
	})
}

// In a mailbox the town has, the secret is a plus-tag; what gateways, list software and
// people make of an address on its way changes nothing.
func TestSEC45_PlusTagsAndRewriting(t *testing.T) {
	x := index(1)
	a := Mint(x, "Depot@Ville.TEST")
	local, host, _ := strings.Cut(a, "@")
	token, tagged := strings.CutPrefix(local, "depot+")
	if !tagged || len(token) != 20 || host != "ville.test" {
		t.Fatalf("minted %q", a)
	}
	want, ok := Hash(x, a)
	if !ok {
		t.Fatal("not an address")
	}
	for _, written := range []string{
		strings.ToUpper(a), `"depot+` + token + `"@ville.test`, "depot-" + token + "@ville.test", "depot=" + token + "@ville.test", "depot_" + token + "@ville.test",
		"depot+" + token[:10] + "-" + token[10:] + "@ville.test.", "mairie.depot+" + token + "@ville.test", token + "@ville.test",
	} {
		if got, ok := Hash(x, written); !ok || !bytes.Equal(got, want) {
			t.Errorf("%q: %x, %v", written, got, ok)
		}
	}
	for _, other := range []string{"depot" + token + "@ville.test", "depot+" + token + "x@ville.test", "depot+" + token + "+x@ville.test", "depot@ville.test", "depot+@ville.test"} {
		if _, ok := Hash(x, other); ok {
			t.Errorf("%q was taken for a secret address", other)
		}
	}
	if got, ok := Hash(x, strings.Replace(a, "ville.test", "dépôt.fr", 1)); !ok {
		t.Error("a domain in letters is no domain")
	} else if same, _ := Hash(x, strings.Replace(a, "ville.test", "xn--dpt-bma0d.FR", 1)); !bytes.Equal(got, same) {
		t.Error("the domain in letters and as A-labels are two")
	}
}

// A generic address is found in any case; what looks like a secret, or carries a tag, is
// none.
func TestSEC45_GenericAddresses(t *testing.T) {
	x := index(1)
	want, ok := HashGeneric(x, "depot@ville.test")
	if !ok {
		t.Fatal("not an address")
	}
	for _, written := range []string{"Depot@Ville.TEST", " depot@ville.test. ", `"depot"@ville.test`} {
		if got, ok := HashGeneric(x, written); !ok || !bytes.Equal(got, want) {
			t.Errorf("%q: %x, %v", written, got, ok)
		}
	}
	secret := Mint(x, "depot@ville.test")
	mistyped := "a" + secret[1:]
	for _, none := range []string{secret, mistyped, secret[6:], "depot+@ville.test", "depot+x@ville.test", "@ville.test", "depot", "depot@", "de pot@ville.test", "a@b@ville.test"} {
		if got, ok := HashGeneric(x, none); ok && bytes.Equal(got, want) {
			t.Errorf("%q is the generic address", none)
		}
	}
	if got, _ := HashGeneric(x, "dépot@ville.test"); bytes.Equal(got, want) {
		t.Error("an accent does not count")
	}
}

// SEC-51: domains are compared as A-labels, local parts exactly, in NFC.
func TestSEC51_CanonicalAddresses(t *testing.T) {
	for written, want := range map[string]string{
		"Zoé.Durand@Ville.TEST":                  "Zoé.Durand@ville.test",
		"Zoe\u0301@ville.test":                   "Zoé@ville.test",
		"zoe@DÉPÔT.fr":                           "zoe@xn--dpt-bma0d.fr",
		"zoe@xn--dpt-bma0d.fr.":                  "zoe@xn--dpt-bma0d.fr",
		"zoe@vіlle.test":                         "zoe@xn--vlle-l9d.test", // Cyrillic і
		`"zoe"@ville.test`:                       "zoe@ville.test",
		"zoe@[192.0.2.1]":                        "",
		"zoe@ville..test":                        "",
		"zoe@":                                   "",
		"@ville.test":                            "",
		"zoe":                                    "",
		"zoe durand@ville.test":                  "",
		"a@b@ville.test":                         "",
		"zoe@ville\x98.test":                     "", // no UTF-8
		"zoe\xff@ville.test":                     "",
		"zoe@ville.test\x00":                     "",
		strings.Repeat("z", 400) + "@ville.test": "",
	} {
		got, ok := Canonical(written)
		if got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v; want %q", written, got, ok, want)
		}
	}
}
