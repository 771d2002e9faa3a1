package citizen

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"vaguemestre/core/address"
	"vaguemestre/core/vault"
)

// LikenessKind is in what respect somebody resembles a citizen.
type LikenessKind string

// The kinds.
const (
	LikeName  LikenessKind = "name"
	LikeEmail LikenessKind = "email"
)

// Likeness is a keyed hash that those who resemble each other share. Likenesses suggest
// a citizen to a person who decides; they file nothing.
type Likeness struct {
	Kind LikenessKind
	Hash []byte
}

// Likenesses are those of somebody with this name and this e-mail address, each of
// which may be empty. Names are alike when they have the same words, whatever their
// order, case and accents; addresses when they differ by one character or by what mail
// services disregard: case, dots, a plus-tag.
func Likenesses(index vault.Index, name, email string) []Likeness {
	var out []Likeness
	add := func(kind LikenessKind, form ...string) {
		fields := make([][]byte, len(form))
		for i, f := range form {
			fields[i] = []byte(f)
		}
		out = append(out, Likeness{kind, index.Sum("likeness "+string(kind), fields...)})
	}
	if words := nameWords(name); len(words) > 1 { // one word alone is half the town's
		add(LikeName, words...)
	}
	canonical, ok := address.Canonical(email)
	if !ok {
		return out
	}
	i := strings.LastIndexByte(canonical, '@')
	local, domain := foldedLocal(canonical[:i]), canonical[i+1:]
	for _, form := range near(local) {
		add(LikeEmail, form, domain)
	}
	return out
}

// titles are words of a display name that are no part of a name.
var titles = []string{"m", "mr", "mme", "mlle", "monsieur", "madame", "mademoiselle", "dr", "me"}

// nameWords are the words of a name in letters without accents, in alphabetical order.
func nameWords(name string) []string {
	plain := strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Mn, r), r == '\'', r == '’':
			return -1
		case unicode.IsLetter(r):
			return unicode.ToLower(r)
		}
		return ' '
	}, norm.NFD.String(name))
	words := slices.DeleteFunc(strings.Fields(plain), func(w string) bool { return slices.Contains(titles, w) })
	if len(words) > maxNameWords {
		words = words[:maxNameWords]
	}
	slices.Sort(words)
	return words
}

// Bounds on what a stranger's display name and address cost.
const (
	maxNameWords = 8
	maxNearLocal = 40
)

// foldedLocal drops from a local part what mail services disregard.
func foldedLocal(local string) string {
	local, _, _ = strings.Cut(local, "+")
	return strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || r == '_' {
			return -1
		}
		return unicode.ToLower(r)
	}, local)
}

// near are the forms of s that words at a distance of one share with it: itself, and
// itself with any one character left out.
func near(s string) []string {
	letters := []rune(s)
	if len(letters) > maxNearLocal || len(letters) < 4 { // of the shortest, too many are alike
		return []string{s}
	}
	forms := []string{s}
	for i := range letters {
		forms = append(forms, string(letters[:i])+string(letters[i+1:]))
	}
	slices.Sort(forms)
	return slices.Compact(forms)
}
