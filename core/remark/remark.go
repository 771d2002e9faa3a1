// Package remark reads what the writer of a reply says in their own words, and the one
// command among it. It is pure, and never certain: what it finds causes a letter to whom
// it concerns, and nothing more.
package remark

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// AsksDeletion reports whether the own words of a reply ask that what it answers be
// deleted: its first line, after a greeting, is SUPPRIMER, or DELETE, alone or with words
// of courtesy. What is quoted, and what stands in a signature, says nothing: our own mail
// explains the word, and is quoted in every reply.
func AsksDeletion(note string) bool {
	for _, line := range strings.Split(Own(note), "\n") {
		words := strings.FieldsFunc(plain(line), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		if len(words) == 0 || greets(words) {
			continue
		}
		return commands(words) && !strings.Contains(line, "?")
	}
	return false
}

// greets: Bonjour Madame.
func greets(words []string) bool {
	switch words[0] {
	case "bonjour", "bonsoir", "hello", "hi", "madame", "monsieur", "mesdames", "messieurs", "dear", "cher", "chere", "good":
		return len(words) <= 5
	}
	return false
}

// commands: the word, first, and none beside it that could turn its meaning.
func commands(words []string) bool {
	switch words[0] {
	case "supprimer", "supprimez", "supprime", "suppression", "delete", "merci", "svp", "please", "veuillez":
	default:
		return false
	}
	asked := false
	for _, w := range words {
		switch w {
		case "supprimer", "supprimez", "supprime", "suppression", "delete":
			asked = true
		case "svp", "stp", "s", "il", "vous", "te", "plait", "merci", "de", "veuillez", "please", "thanks", "thank", "you", "d", "avance", "bien",
			"ce", "cet", "cette", "le", "la", "les", "ces", "mon", "ma", "mes", "du", "l", "this", "the", "my", "it",
			"document", "documents", "piece", "pieces", "fichier", "file", "envoi", "demande":
		default:
			return false
		}
	}
	return asked
}

// invisible are the blanks and marks that programs put where nobody sees them.
var invisible = strings.NewReplacer("\u00a0", " ", "\u202f", " ", "\u200b", "", "\ufeff", "")

// maxRead is how much of a note is looked at, in bytes.
const maxRead = 64 << 10

// Own is what the writer of a reply wrote: without what is quoted, without signature, and
// without what stands under the mark by which programs set off the mail that is answered.
// Where a program quotes without marking the lines, nothing under that mark is read.
func Own(note string) string {
	var own []string
	quoted := false // lines marked as quoted have been passed
	introduced := false
	written := false // something of one's own
	if len(note) > maxRead {
		note = note[:maxRead]
	}
	lines := strings.Split(strings.ReplaceAll(note, "\r\n", "\n"), "\n")
	for i, line := range lines {
		text := strings.TrimSpace(invisible.Replace(line))
		switch {
		case strings.HasPrefix(text, ">") || strings.HasPrefix(text, "|"):
			quoted, introduced = true, false
			continue
		case text == "":
		case line == "-- " || text == "--" || signs(text):
			return join(own)
		case separates(text, lines[i+1:]):
			return join(own)
		case introduces(text, lines[i+1:]):
			if written {
				return join(own)
			}
			introduced = true
			continue
		case introduced && !quoted && !startsIntroduction(lines, i): // quoted, but not marked
			return join(own)
		case quoted && written: // own words, then a quote, then a signature or more quotes
			return join(own)
		}
		if !introduced {
			own, written = append(own, text), written || text != ""
		}
	}
	return join(own)
}

// startsIntroduction reports whether the line continues the introduction on the line
// before it: programs fold them.
func startsIntroduction(lines []string, i int) bool {
	return i > 0 && introduces(strings.TrimSpace(lines[i-1])+" "+strings.TrimSpace(lines[i]), nil)
}

func join(own []string) string { return strings.TrimSpace(strings.Join(own, "\n")) }

// signs: what telephones and programs put under a mail.
func signs(text string) bool {
	p := plain(text)
	for _, mark := range []string{"envoye de mon ", "envoye depuis ", "envoye a partir de ", "envoye via ", "sent from my ", "sent from ", "get outlook for ", "telecharger outlook pour ", "obtenez outlook pour ", "sent with "} {
		if strings.HasPrefix(p, mark) {
			return true
		}
	}
	return false
}

// separates reports whether the mail that is answered follows, unmarked: Outlook's rule of
// underscores, its "original message", or the head it repeats.
func separates(text string, after []string) bool {
	p := plain(text)
	bare := strings.Trim(p, "-_ *")
	switch bare {
	case "message d'origine", "message original", "message initial", "original message", "message transfere", "forwarded message", "message precedent", "mail original":
		return p != bare
	}
	if len(text) >= 10 && strings.Trim(text, "_") == "" || len(text) >= 20 && strings.Trim(text, "-") == "" {
		return true
	}
	return heads(p) && headFollows(after)
}

// heads: a line of the repeated head. One alone may be somebody's words; two are not.
func heads(p string) bool {
	p = strings.TrimLeft(p, "* ")
	for _, name := range []string{"de :", "de:", "*de :*", "from:", "from :", "envoye :", "envoye:", "sent:", "date :", "date:", "a :", "a:", "to:", "objet :", "objet:", "subject:"} {
		if strings.HasPrefix(p, name) {
			return true
		}
	}
	return false
}

func headFollows(after []string) bool {
	for _, line := range after {
		if p := plain(strings.TrimSpace(line)); p != "" {
			return heads(p)
		}
	}
	return false
}

// introduces: "Le lun. 2 nov. 2026 à 10:00, Mairie a écrit :", on one line or folded.
func introduces(text string, after []string) bool {
	whole := text
	for n, line := range after {
		if n == 3 || strings.HasSuffix(strings.TrimSpace(whole), ":") {
			break
		}
		whole += " " + strings.TrimSpace(line)
	}
	p := plain(whole)
	if !strings.HasPrefix(p, "le ") && !strings.HasPrefix(p, "on ") && !strings.HasPrefix(p, "en date du ") && !strings.Contains(text, "@") {
		return false
	}
	for _, verb := range []string{"a ecrit :", "a ecrit:", "wrote:", "wrote :"} {
		if i := strings.Index(p, verb); i >= 0 && i < 400 {
			return true
		}
	}
	return false
}

// plain is text in small letters, without accents, its blanks and apostrophes of one kind.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '’':
			return '\''
		case unicode.Is(unicode.Mn, r):
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFD.String(s))
	return strings.Join(strings.Fields(s), " ")
}
