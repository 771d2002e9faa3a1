package citizen

import (
	"slices"
	"strings"
	"testing"

	"vaguemestre/core/vault"
)

func TestLikenesses(t *testing.T) {
	index := vault.NewIndex(make([]byte, 32))
	alike := func(name, email, otherName, otherEmail string) (kinds []LikenessKind) {
		other := Likenesses(index, otherName, otherEmail)
		for _, l := range Likenesses(index, name, email) {
			if slices.ContainsFunc(other, func(o Likeness) bool { return o.Kind == l.Kind && string(o.Hash) == string(l.Hash) }) && !slices.Contains(kinds, l.Kind) {
				kinds = append(kinds, l.Kind)
			}
		}
		return kinds
	}
	const name, email = "Zoé Le Goff", "zoe.legoff@example.fr"
	both, byName, byEmail := []LikenessKind{LikeName, LikeEmail}, []LikenessKind{LikeName}, []LikenessKind{LikeEmail}
	for _, c := range []struct {
		name, email string
		want        []LikenessKind
	}{
		{name, email, both},
		{"LE GOFF Zoe", "ZOE.LEGOFF@EXAMPLE.FR", both},
		{"Mme Zoé LE GOFF", "", byName},
		{"", "zoelegoff@example.fr", byEmail},
		{"", "zoe.legoff+mairie@example.fr", byEmail},
		{"", "zoe.legof@example.fr", byEmail},   // a letter missing
		{"", "zoe.leggoff@example.fr", byEmail}, // one too many
		{"", "zoe.legaff@example.fr", byEmail},  // another
		{"", "zoe.legaf@example.fr", nil},       // two
		{"", "zoe.legoff@example.com", nil},     // another service
		{"Zoé", "", nil},                        // half a name
		{"Zoé Durand", "", nil},
		{"Le Goff", "", nil},
		{"", "", nil},
		{strings.Repeat("z ", 10_000), strings.Repeat("z", 200) + "@example.fr", nil},
	} {
		if got := alike(name, email, c.name, c.email); !slices.Equal(got, c.want) {
			t.Errorf("%q <%.40s>: alike by %v, want %v", c.name, c.email, got, c.want)
		}
	}
	if n := len(Likenesses(index, strings.Repeat("é ", 1000), strings.Repeat("z", 300)+"@x.fr")); n > maxNearLocal+2 {
		t.Errorf("%d likenesses of one person", n)
	}
}
