package address

import (
	"strings"
	"testing"

	"vaguemestre/core"
	"vaguemestre/core/vault"
)

// A return path names its letter, for the town that wrote it, whatever case a server
// gives it back in; and it is no deposit address.
func TestREL12_ReturnPathsNameTheirLetter(t *testing.T) {
	index := vault.NewIndex([]byte(strings.Repeat("k", 32)))
	towns := []core.TenantID{core.NewID[core.TenantID](), core.NewID[core.TenantID](), core.NewID[core.TenantID]()}
	letter := core.NewID[core.ObjectID]()
	for _, under := range []string{"depot.ville.fr", "depot@ville.fr", strings.Repeat("m", 40) + "@ville.fr"} {
		a, ok := Bounce(index, towns[1], string(letter), under)
		if !ok {
			t.Fatalf("under %s: none", under)
		}
		if local, _, _ := strings.Cut(a, "@"); len(local) > 64 {
			t.Errorf("%s: a local part of %d", a, len(local))
		}
		for _, written := range []string{a, strings.ToUpper(a), a + "."} {
			tenant, prefix, ok := ParseBounce(index, written, towns)
			if !ok || tenant != towns[1] {
				t.Fatalf("%s: %v %s", written, ok, tenant)
			}
			low, high := LetterRange(prefix)
			if low > string(letter) || high < string(letter) {
				t.Errorf("%s: letter %s is not within %s and %s", written, letter, low, high)
			}
		}
		if _, ok := Hash(index, a); ok {
			t.Errorf("%s passes for a secret deposit address", a)
		}
		if _, _, ok := ParseBounce(index, a, towns[:1]); ok {
			t.Errorf("%s is another town's too", a)
		}
		if _, _, ok := ParseBounce(vault.NewIndex([]byte(strings.Repeat("o", 32))), a, towns); ok {
			t.Errorf("%s is another installation's too", a)
		}
	}
	if _, ok := Bounce(index, towns[0], "no id", "depot.ville.fr"); ok {
		t.Error("a return path for no letter")
	}
	if _, ok := Bounce(index, towns[0], string(letter), ""); ok {
		t.Error("a return path under nothing")
	}
}

// One character that differs, and every secret address, is no return path.
func TestREL12_ReturnPathsAreNotGuessed(t *testing.T) {
	index := vault.NewIndex([]byte(strings.Repeat("k", 32)))
	town := core.NewID[core.TenantID]()
	a, _ := Bounce(index, town, string(core.NewID[core.ObjectID]()), "depot@ville.fr")
	at := strings.IndexByte(a, '@')
	for i := at - bounceChars; i < at; i++ {
		for _, c := range alphabet {
			if changed := a[:i] + string(c) + a[i+1:]; changed != a {
				if _, _, ok := ParseBounce(index, changed, []core.TenantID{town}); ok {
					t.Fatalf("%s passes for %s", changed, a)
				}
			}
		}
	}
	for _, no := range []string{"", "@", "depot@ville.fr", Mint(index, "ville.fr"), Mint(index, "depot@ville.fr"), "x" + a[at-bounceChars:]} {
		if LikeBounce(no) {
			t.Errorf("%q has the form of a return path", no)
		}
	}
}

func FuzzParseBounce(f *testing.F) {
	index := vault.NewIndex([]byte(strings.Repeat("k", 32)))
	town := core.TenantID("11111111-1111-4111-8111-111111111111")
	a, _ := Bounce(index, town, "22222222-2222-4222-8222-222222222222", "depot@ville.fr")
	f.Add(a)
	f.Add("+" + strings.Repeat("a", bounceChars) + "@x.fr")
	f.Fuzz(func(t *testing.T, s string) {
		tenant, prefix, ok := ParseBounce(index, s, []core.TenantID{town})
		if ok && (tenant != town || len(prefix) != letterHex) {
			t.Errorf("%q: %s %s", s, tenant, prefix)
		}
	})
}
