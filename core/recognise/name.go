package recognise

import (
	"slices"
	"strings"
	"unicode"
)

// civil is what stands before a name and is no part of it.
var civil = words("m mr mme mle mlle mile melle monsieur madame mademoiselle messieurs mesdames mm mmes dr docteur me maitre pr professeur")

// kin stand before the name of someone of the family.
var kin = words("fils fille neveu niece ami amie frere soeur mere pere cousin cousine compagnon compagne petit-fils petite-fille")

// relation reports whether a word says what the person named is to the writer; in
// capitals it is the surname Cousin.
func relation(t token) bool { return kin[t.folded] && unicode.IsLower([]rune(t.text)[0]) }

// skipped are words that may stand between a label and the name it announces.
var skipped = words(`e s es que qu l le la les leleve eleve lenfant enfant etudiant letudiant et ou de nom noms prenom prenoms titulaire surname given names name
	monsieurmadame jeune fils fille mon ma notre nomme nommee denomme denommee son sa par qualite ci apres dessous designe designee susnomme interesse interessee
	salarie salariee patient patiente soussigne soussignee civilite cher locataire locataires assure assuree beneficiaire usage naissance famille complet personne
	hebergee heberge forenames forename sexe sex nationality nationalite nationalit date birth`)

// stops end a name: no one bears them.
var stops = words(`ne nee nes naissance adresse domicile domiciliee demeurant rue avenue boulevard place chemin impasse allee route quai cours square lieu nationalite sexe tel telephone
	numero no num client contrat reference ref facture siret siren adherent date page total montant le du des au aux pour depuis dans est a etait appt apt appartement bat batiment res residence
	chez escalier etage cedex bp cs tsa caf cpam edf securite sociale matricule emploi qualification service direction mairie ville commune departement pole france agence centre caisse banque
	societe sa sas sarl sasu eurl sci association syndicat office habitat prefecture prefet tribunal greffe ecole college lycee universite classe groupe cabinet mutuelle assurance assurances
	attestation certificat avis bulletin quittance releve carte permis passeport extrait acte objet madame monsieur mme mlle mr iban bic compte agent email mail courriel signature situation type
	vos votre nos notre code postal fait lu profession ep epouse epoux veuve divorcee celibataire mariee usage prenom prenoms nom noms prénoms surname given names identifiant allocataire
	bonjour objet lettre copie demande taille height numéro periode mois annee fax portable mobile dossier organisme employeur bailleur proprietaire locataire adressee destinataire gerant
	paris lyon etudiant regime assure assuree conjoint enfant enfants rang beneficiaires beneficiaire titulaire titulaires sous non oui et ou par sur en se qui que avec sans vous nous
	document documents expir expiration delivrance birth sex nationality place alternate expiry france fra francaise francais republique categorie categories grade echelon indice urssaf naf ape
	carsat cnav msa quotient familial fiscal parts directeur directrice proviseur principal principale responsable president presidente docteur dr medecin soussigne soussignee domiciliation`)

// particles may begin with a small letter inside a name.
var particles = words("de du des d da do dos la le van von der den el al ben bin ibn di del della ter zu y e")

func words(s string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(s) {
		m[fold(w)] = true
	}
	return m
}

// token is a word or a mark of punctuation of a raw text.
type token struct {
	text, folded string
	word         bool
}

func tokens(s string) []token {
	var out []token
	start := -1
	flush := func(to int) {
		if start >= 0 {
			w := strings.Trim(s[start:to], "'-")
			if w != "" {
				w = capitalI(w)
				out = append(out, token{w, fold(w), true})
			}
		}
		start = -1
	}
	for i, r := range s {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.Is(unicode.Mn, r) || r == '\'' || r == '-' && start >= 0:
			if start < 0 {
				start = i
			}
		default:
			flush(i)
			if !unicode.IsSpace(r) || r == '\n' {
				out = append(out, token{text: string(r)})
			}
		}
	}
	flush(len(s))
	return out
}

// capitalI undoes what OCR does to « Ilyes » and « Inès ».
func capitalI(w string) string {
	if len(w) > 3 && w[0] == 'l' && given["i"+fold(w[1:])] {
		return "I" + w[1:]
	}
	return w
}

// person is a name as printed. whole is false for a single word: a given name or a
// surname that shares the rest with its neighbour.
type person struct {
	words []string
}

func (p person) whole() bool { return len(p.words) > 1 }

// maxNameWords bounds a name: beyond, it is a sentence.
const maxNameWords = 6

// names reads the persons at the beginning of s: « M. DUPONT Jean et Mme DUPONT Marie ».
// Civilities, connecting words and punctuation before the first are passed over; the
// rest of s does not matter. civility tells whether one was seen.
func names(s string) (found []person, civility bool) {
	toks := tokens(s)
	i := 0
	for skippedWords := 0; i < len(toks) && skippedWords < 10; i++ {
		t := toks[i]
		switch {
		case civil[t.folded] && t.word:
			civility = true
		case t.word && (!skipped[t.folded] && !relation(t) || properName(toks, i)): // the name, or none
			skippedWords = 99
			i--
		case !t.word && strings.ContainsAny(t.text, "0123456789"):
			return nil, civility
		case t.word:
			skippedWords++
		}
	}
	for len(found) < 4 {
		p, n := nameAt(toks[i:])
		if len(p.words) == 0 {
			break
		}
		found = append(found, p)
		i += n
		next, titled := joined(toks[i:])
		if next == 0 {
			break
		}
		civility = civility || titled
		i += next
	}
	return share(found), civility
}

// properName tells « Marie Le Goff » from the label « le nom »: a skipped word in
// capitals or capitalised is a name only when another name word follows and it is a
// particle.
func properName(toks []token, i int) bool {
	t := toks[i]
	if t.folded != "le" && t.folded != "la" && t.folded != "de" || !unicode.IsUpper([]rune(t.text)[0]) {
		return false
	}
	return i+1 < len(toks) && nameWord(toks[i+1]) && !skipped[toks[i+1].folded]
}

// joined is the number of tokens of « et Mme », « ou », « & », « / » between two persons.
func joined(toks []token) (n int, titled bool) {
	if len(toks) == 0 {
		return 0, false
	}
	if b := birth(toks); b > 0 {
		n, titled = joined(toks[b:])
		return n + b*min(n, 1), titled && n > 0
	}
	switch t := toks[0]; {
	case t.folded == "et" || t.folded == "ou" || t.text == "&" || t.text == "/" || t.text == ",":
	case t.text == "\n" && len(toks) > 1 && (toks[1].folded == "et" || toks[1].folded == "ou"):
		n++
	case t.word && civil[t.folded]:
		n--
	default:
		return 0, false
	}
	for n++; n < len(toks); n++ {
		t := toks[n]
		if civil[t.folded] && t.word {
			titled = true
		} else if t.text != "." && t.folded != "et" && t.folded != "ou" {
			break
		}
	}
	if toks[0].text == "," && !titled || toks[0].text == "/" && !titled {
		return 0, false
	}
	return n, titled
}

// birth is the number of tokens of « , née le 12/08/1991 à Blois », up to what follows.
func birth(toks []token) int {
	i := 0
	for i < len(toks) && i < 2 && !toks[i].word {
		i++
	}
	if i >= len(toks) || toks[i].folded != "ne" && toks[i].folded != "nee" {
		return 0
	}
	for end := min(len(toks), i+16); i < end; i++ {
		if toks[i].folded == "et" || toks[i].folded == "ou" {
			return i
		}
	}
	return 0
}

// nameAt reads one name and the number of tokens it took.
func nameAt(toks []token) (person, int) {
	var p person
	i := 0
	for ; i < len(toks); i++ {
		t := toks[i]
		if t.text == "." && len(p.words) > 0 && len([]rune(p.words[len(p.words)-1])) == 1 {
			continue // an initial
		}
		if maiden(t) && len(p.words) > 0 && i+1 < len(toks) && nameWord(toks[i+1]) {
			i++ // née DUPONT
			continue
		}
		if t.text == "\n" && len(p.words) == 1 && ownRow(toks[i+1:]) {
			continue // the surname on one row, the given name on the next
		}
		small := t.word && particles[t.folded] && i+1 < len(toks) && nameWord(toks[i+1]) && (len(p.words) > 0 || unicode.IsUpper([]rune(t.text)[0]))
		if i == 0 && lost(t) && len(toks) > 1 && nameWord(toks[1]) && capitals(toks[1].text) {
			t.text = strings.ToUpper(t.text[:1]) + t.text[1:]
			small = true
		}
		if !small && !nameWord(t) || len(p.words) == maxNameWords {
			break
		}
		p.words = append(p.words, t.text)
	}
	for len(p.words) > 0 && (particles[fold(p.words[len(p.words)-1])] || len(p.words) > 1 && len([]rune(p.words[len(p.words)-1])) == 1) {
		p.words = p.words[:len(p.words)-1]
	}
	return p, i
}

// lost reports whether a word is a given name whose capital OCR took for a small letter.
func lost(t token) bool {
	return t.word && given[t.folded] && !stops[t.folded] && t.text[0] >= 'a' && t.text[0] <= 'z'
}

// ownRow reports whether a row holds a name or a part of one, and nothing else.
func ownRow(toks []token) bool {
	n := 0
	for n < len(toks) && nameWord(toks[n]) {
		n++
	}
	return n > 0 && n <= 3 && (n == len(toks) || toks[n].text == "\n" || toks[n].text == ",")
}

func maiden(t token) bool {
	switch t.folded {
	case "ne", "nee", "epouse", "ep", "epse", "veuve":
		return t.word
	}
	return false
}

// nameWord reports whether a token may be part of a name: it begins with a capital, has
// letters only, and is not a word of the trade.
func nameWord(t token) bool {
	head, _, _ := strings.Cut(t.text, "-")
	if !t.word || t.folded == "" || stops[t.folded] || stops[fold(head)] || civil[t.folded] {
		return false
	}
	first := true
	for _, r := range t.text {
		if first && !unicode.IsUpper(r) && !strings.HasPrefix(t.text, "d'") || unicode.IsDigit(r) {
			return false
		}
		first = false
	}
	return true
}

// share gives « Jean et Marie DUPONT » the surname both bear.
func share(list []person) []person {
	if len(list) == 2 && len(list[0].words) == 1 && list[1].whole() {
		if given[fold(list[0].words[0])] {
			list[0].words = append(list[0].words, surnameOf(list[1])...)
		} else if given[fold(list[1].words[0])] {
			list = list[1:] // M. DUPONT et Mme Claire MARTIN
		}
	}
	if len(list) == 2 && list[0].whole() && len(list[1].words) == 1 && given[fold(list[1].words[0])] {
		list[1].words = append(list[1].words, surnameOf(list[0])...)
	}
	return list
}

func surnameOf(p person) []string {
	var caps []string
	for _, w := range p.words {
		if capitals(w) {
			caps = append(caps, w)
		}
	}
	if len(caps) > 0 && len(caps) < len(p.words) {
		return caps
	}
	o := p.ordered()
	return slices.Clone(o[len(o)-1:])
}

// String is « Prénom Nom », words as printed: a surname in capitals printed before the
// given names goes behind them, and so does one that a known given name follows.
func (p person) String() string { return strings.Join(p.ordered(), " ") }

func (p person) ordered() []string {
	w := p.words
	caps := 0
	for caps < len(w) && (capitals(w[caps]) || caps > 0 && particles[fold(w[caps])]) {
		caps++
	}
	switch {
	case caps > 0 && caps < len(w) && !capitals(w[len(w)-1]) && len([]rune(w[0])) > 1:
		return slices.Concat(w[caps:], w[:caps])
	case caps > 0 && caps < len(w) || caps == 0 && slices.ContainsFunc(w, capitals):
		return w // Zoé LE GOFF: the capitals tell
	case len(w) == 2 && !isGiven(w[0]) && isGiven(w[1]):
		return []string{w[1], w[0]}
	case len(w) == 3 && particles[fold(w[0])] && isGiven(w[2]):
		return []string{w[2], w[0], w[1]}
	case len(w) == 3 && !isGiven(w[0]) && !particles[fold(w[1])] && isGiven(w[2]):
		if isGiven(w[1]) {
			return []string{w[1], w[2], w[0]}
		}
		return []string{w[2], w[0], w[1]}
	}
	return w
}

// firstGiven drops the further given names that follow « Nom, prénoms : FOUCHER Régis
// Alain »: the surname in capitals tells which they are.
func (p person) firstGiven() person {
	caps := 0
	for caps < len(p.words) && (capitals(p.words[caps]) || particles[fold(p.words[caps])]) {
		caps++
	}
	if caps == 0 || caps >= len(p.words) {
		return p
	}
	return person{p.words[:caps+1]}
}

// isGiven knows the commonest given names, and compounds of them; not those that are
// common surnames too.
func isGiven(s string) bool {
	first, _, compound := strings.Cut(s, "-")
	return given[fold(s)] && !surnames[fold(s)] || compound && given[fold(first)]
}

func capitals(s string) bool {
	n := 0
	for _, r := range s {
		if unicode.IsLower(r) {
			return false
		}
		n++
	}
	return n > 1
}
