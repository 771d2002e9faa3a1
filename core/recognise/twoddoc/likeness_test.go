package twoddoc

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

var (
	surnames = strings.Fields(`MARTIN BERNARD THOMAS PETIT ROBERT RICHARD DURAND DUBOIS MOREAU LAURENT SIMON MICHEL LEFEBVRE LEROY ROUX DAVID BERTRAND MOREL FOURNIER GIRARD BONNET DUPONT
		LAMBERT FONTAINE ROUSSEAU VINCENT MULLER LEFEVRE FAURE ANDRE MERCIER BLANC GUERIN BOYER GARNIER CHEVALIER FRANCOIS LEGRAND GAUTHIER GARCIA PERRIN ROBIN CLEMENT MORIN NICOLAS HENRY
		ROUSSEL MATHIEU GAUTIER MASSON MARCHAND DUVAL DENIS DUMONT MARIE LEMAIRE NOEL MEYER DUFOUR MEUNIER BRUN BLANCHARD GIRAUD JOLY RIVIERE LUCAS BRUNET GAILLARD BARBIER ARNAUD MARTINEZ
		GERARD ROCHE RENARD SCHMITT ROY LEROUX COLIN VIDAL CARON PICARD ROGER FABRE AUBERT LEMOINE RENAUD DUMAS LACROIX OLIVIER PHILIPPE BOURGEOIS PIERRE BENOIT REY LECLERC PAYET ROLLAND`)
	givenNames = strings.Fields(`JEAN MARIE PIERRE MICHEL ANDRE PHILIPPE NATHALIE ISABELLE SYLVIE CATHERINE ALAIN PATRICK NICOLAS CHRISTOPHE SOPHIE ZOE LEA LEO LINA ELIANE JULIE JULIEN LUCAS LUCIE LUC ANNE ANNA
		EMILE EMILIE PAUL PAULE PAULINE LOIC LOUIS LOUISE CAMILLE INES ILIAN NOAH ADAM`)
)

// spell writes a person in one of the ways of prints.
func spell(random *rand.Rand, family, given string) string {
	capital := func(s string) string { return s[:1] + strings.ToLower(s[1:]) }
	switch random.IntN(6) {
	case 0:
		return "M. " + given + " " + family
	case 1:
		return "Mme " + capital(given) + " " + family
	case 2:
		return family + " " + capital(given)
	case 3:
		return capital(family) + " " + capital(given)
	case 4:
		return "Nom : " + family + "\nPrénom : " + capital(given)
	}
	return strings.ToUpper(family + "   " + given)
}

// worn replaces capitals by the digits that they are read as.
func worn(random *rand.Rand, s string) string {
	return strings.Map(func(r rune) rune {
		if i := strings.IndexRune("OSBZGI", r); i >= 0 && random.IntN(3) == 0 {
			return rune("058261"[i])
		}
		return r
	}, s)
}

// edit changes one letter.
func edit(random *rand.Rand, s string) string {
	i := random.IntN(len(s))
	letter := string(rune('A' + random.IntN(26)))
	switch random.IntN(4) {
	case 0:
		return s[:i] + letter + s[i+1:]
	case 1:
		return s[:i] + letter + s[i:]
	case 2:
		return s[:i] + s[min(i+1, len(s)):]
	}
	if i+1 < len(s) {
		return s[:i] + s[i+1:i+2] + s[i:i+1] + s[i+2:]
	}
	return s + letter
}

// TestNoOtherNameMatches prints 4,000 other names, most of them one letter away, and as many that
// are the same: none of the others is found, each of the same is.
func TestNoOtherNameMatches(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 25))
	pick := func(from []string) string { return from[random.IntN(len(from))] }
	outcomes := map[Outcome]int{}
	for range 4_000 {
		family, given := pick(surnames), pick(givenNames)
		otherFamily, otherGiven := family, given
		switch random.IntN(4) {
		case 0:
			otherFamily = pick(surnames)
		case 1:
			otherGiven = pick(givenNames)
		case 2:
			otherFamily = edit(random, family)
		default:
			otherGiven = edit(random, given)
		}
		if len(otherFamily) < 2 || len(otherGiven) < 2 {
			continue
		}
		who := person{names: []Name{{Family: family, Given: []string{given}}}}
		around := func(s string) Print {
			return Print{Text: "Votre facture de fourniture, référence client inconnue\n" + worn(random, s) + "\n12 rue du Moulin, consommation annuelle constatée en kilowattheures", Exact: random.IntN(2) == 0}
		}
		printed := spell(random, family, given)
		if got := newSheet(around(printed)).person(who); got != Found {
			t.Fatalf("%s %s is not found in %q: %s", given, family, printed, got)
		}
		// The same letters in the other order are the same name; I and L read as 1 are one.
		one := func(a, b string) string { return strings.ReplaceAll(a+b, "L", "I") }
		if same := one(family, given); one(otherFamily, otherGiven) == same || one(otherGiven, otherFamily) == same {
			continue
		}
		printed = spell(random, otherFamily, otherGiven)
		got := newSheet(around(printed)).person(who)
		outcomes[got]++
		if got == Found {
			t.Fatalf("%s %s is found in %q", given, family, printed)
		}
	}
	t.Log("other names:", outcomes)
}

// TestNoOtherAmountMatches: the same for amounts, most of them one digit away.
func TestNoOtherAmountMatches(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 26))
	spaces := []string{"", " ", "\u00a0", "\u202f", "."}
	write := func(cents int64) string {
		s := euros(cents)
		s = strings.TrimSuffix(s, "\u00a0€")
		s = strings.ReplaceAll(s, "\u202f", spaces[random.IntN(len(spaces))])
		if random.IntN(4) == 0 {
			s = strings.ReplaceAll(s, "0", "O")
			if s[0] == 'O' {
				s = "0" + s[1:]
			}
		}
		return "Total TTC : " + s + []string{" €", "€", " EUR", "", "\n"}[random.IntN(5)]
	}
	outcomes := map[Outcome]int{}
	for range 4_000 {
		cents := random.Int64N([]int64{1000, 100_000, 10_000_000, 1_000_000_000}[random.IntN(4)])
		other := cents
		switch digits := []byte(euros(cents)); random.IntN(3) {
		case 0:
			other = random.Int64N(10_000_000)
		case 1:
			i := slices.IndexFunc(digits, func(b byte) bool { return b >= '0' && b <= '9' })
			digits[i] = '0' + byte(random.IntN(10))
			other, _ = amount(strings.ReplaceAll(strings.TrimSuffix(string(digits), "\u00a0€"), "\u202f", ""))
		default:
			other = cents * 10
		}
		sheetOf := func(s string) *sheet {
			return newSheet(Print{Text: "Votre facture de fourniture, référence client\n" + s + "\npayable sans délai", Exact: true})
		}
		if text := write(cents); sheetOf(text).amount(cents) != Found {
			t.Fatalf("%d is not found in %q", cents, text)
		}
		if other == cents {
			continue
		}
		text := write(other)
		got := sheetOf(text).amount(cents)
		outcomes[got]++
		if got == Found {
			t.Fatalf("%d is found in %q", cents, text)
		}
	}
	t.Log("other amounts:", outcomes)
}
