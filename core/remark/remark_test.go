package remark

import (
	"strings"
	"testing"
	"time"
)

// ours is what our mail says about the word, as it is quoted in replies.
const ours = "Pour supprimer ce document, répondez SUPPRIMER.\nSUPPRIMER\nCordialement,\nLa mairie"

func quoted() string { return "> " + strings.ReplaceAll(ours, "\n", "\n> ") }

func TestNIM2_AReplysOwnWords(t *testing.T) {
	const intro = "Le lun. 2 nov. 2026 à 10:00, Mairie de Ville <depot@ville.fr> a écrit :"
	for _, c := range []struct {
		name, note string
		own        string
		deletes    bool
	}{
		{"Gmail", "SUPPRIMER\n\n" + intro + "\n\n" + quoted(), "SUPPRIMER", true},
		{"Gmail, folded", "supprimer svp\n\nLe lun. 2 nov. 2026 à 10:00, Mairie de Ville\n<depot@ville.fr> a écrit :\n\n" + quoted(), "supprimer svp", true},
		{"Gmail, English", "DELETE\n\nOn Mon, Nov 2, 2026 at 10:00 AM Ville <depot@ville.fr> wrote:\n\n" + quoted(), "DELETE", true},
		{"Apple Mail", "Supprimer.\n\n> Le 2 nov. 2026 à 10:00, Mairie de Ville <depot@ville.fr> a écrit :\n> \n" + quoted(), "Supprimer.", true},
		{"iPhone", "Supprimer\n\nEnvoyé de mon iPhone\n\n> Le 2 nov. 2026 à 10:00, Mairie <depot@ville.fr> a écrit :\n" + quoted(), "Supprimer", true},
		{"Thunderbird, on top", "SUPPRIMER\n\nLe 02/11/2026 à 10:00, Mairie de Ville a écrit :\n" + quoted(), "SUPPRIMER", true},
		{"Thunderbird, below", "Le 02/11/2026 à 10:00, Mairie de Ville a écrit :\n" + quoted() + "\n\nSUPPRIMER\n\n-- \nCamille", "SUPPRIMER", true},
		{"Outlook, plain", "Bonjour,\n\nSUPPRIMER\n\nCordialement\n\n-----Message d'origine-----\nDe : Mairie\nEnvoyé : lundi 2 novembre 2026\nÀ : Camille\nObjet : Votre dépôt\n\n" + ours, "Bonjour,\n\nSUPPRIMER\n\nCordialement", true},
		{"Outlook, its head alone", "SUPPRIMER\n\nDe : Mairie de Ville <depot@ville.fr>\nEnvoyé : lundi 2 novembre 2026 10:00\nÀ : Camille\nObjet : Votre dépôt\n\n" + ours, "SUPPRIMER", true},
		{"Outlook mobile", "Supprimer\n\nObtenir Outlook pour iOS\n________________________________\nFrom: Mairie\nSent: Monday\n\n" + ours, "Supprimer\n\nObtenir Outlook pour iOS", true},
		{"Orange webmail", "supprimer\n\n\n\n> Message du 02/11/26 10:00\n> De : \"Mairie\" <depot@ville.fr>\n> A : camille@orange.fr\n> Objet : Votre dépôt\n>\n" + quoted(), "supprimer", true},
		{"Free, Zimbra", "SUPPRIMER\n\n----- Mail original -----\nDe: \"Mairie\" <depot@ville.fr>\nÀ: \"Camille\" <c@free.fr>\n\n" + ours, "SUPPRIMER", true},
		{"with no-break spaces and accents", "\u00a0Supprimer s’il vous plaît\n\n" + intro + "\n" + quoted(), "Supprimer s’il vous plaît", true},
		{"courtesy first", "Merci de supprimer ce document", "Merci de supprimer ce document", true},
		{"please", "Please delete this document, thank you", "Please delete this document, thank you", true},

		{"nothing of one's own", intro + "\n\n" + quoted(), "", false},
		{"a quote that is not marked", intro + "\n\n" + ours, "", false},
		{"the same below an underscore", "________________________________\n" + ours, "", false},
		{"the same, head alone", "De : Mairie\nEnvoyé : lundi\n\n" + ours, "", false},
		{"a signature says it", "Merci\n-- \nSUPPRIMER", "Merci", false},
		{"other words first", "Voici la nouvelle version.\nSUPPRIMER l’ancienne\n" + quoted(), "Voici la nouvelle version.\nSUPPRIMER l’ancienne", false},
		{"a denial", "Ne pas supprimer", "Ne pas supprimer", false},
		{"another denial", "Supprimer ? Non, surtout pas", "Supprimer ? Non, surtout pas", false},
		{"a question", "supprimer ?", "supprimer ?", false},
		{"a delay", "supprimer demain", "supprimer demain", false},
		{"thanks", "Merci", "Merci", false},
		{"only in the middle", "Je voudrais supprimer", "Je voudrais supprimer", false},
		{"nothing", "", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Own(c.note); got != c.own {
				t.Errorf("own words %q, want %q", got, c.own)
			}
			if got := AsksDeletion(c.note); got != c.deletes {
				t.Errorf("asks for deletion: %v", got)
			}
			if crlf := strings.ReplaceAll(c.note, "\n", "\r\n"); AsksDeletion(crlf) != c.deletes {
				t.Error("differs with CRLF")
			}
		})
	}
}

// A long note is read in little time, whatever its lines are.
func TestNIM2_LongNotesAreReadQuickly(t *testing.T) {
	for _, line := range []string{"a\n", ">\n", "de :\n", "de :\n\n\n\n", "le a\n", "On x wrote:\n", "@\n", "\n", "é", "> a\nb\n", "________________________________ x\n"} {
		note := strings.Repeat(line, 256<<10/len(line))
		began := time.Now()
		AsksDeletion(note)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%q took %v", line, took)
		}
	}
}

// Nothing that stands only in quoted lines is ever a command.
func FuzzOwn(f *testing.F) {
	f.Add("SUPPRIMER\n> x")
	f.Add("Le 2 nov. a écrit :\n> x\nSUPPRIMER")
	f.Fuzz(func(t *testing.T, note string) {
		own := Own(note)
		if len(own) > 2*len(note) {
			t.Errorf("%d bytes of own words in %d", len(own), len(note))
		}
		all := "> " + strings.NewReplacer("\r", " ", "\n", "\n> ").Replace(note)
		if AsksDeletion(all) {
			t.Errorf("a quote commands: %q", all)
		}
	})
}
