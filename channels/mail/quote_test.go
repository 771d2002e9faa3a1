package mail_test

import (
	"strings"
	"testing"

	"vaguemestre/channels/mail"
	"vaguemestre/core"
	"vaguemestre/core/remark"
)

// What a reply quotes is told from its own words in HTML alone too, as each program
// writes it; whatever is quoted, our mail's own words are never a command.
func TestNIM2_OwnWordsOfRepliesInHTML(t *testing.T) {
	const ours = `<h2>Remplacer ou supprimer</h2><p>SUPPRIMER</p><p>Répondez SUPPRIMER, sans pièce jointe.</p>`
	for _, c := range []struct {
		name, body string
		own        string
	}{
		{"Gmail", `<div dir="ltr">SUPPRIMER</div><br><div class="gmail_quote"><div dir="ltr" class="gmail_attr">Le mer. 25 nov. 2026 à 10:00, Mairie &lt;<a href="mailto:m@ville.fr">m@ville.fr</a>&gt; a écrit :<br></div><blockquote class="gmail_quote">` + ours + `</blockquote></div>`, "SUPPRIMER"},
		{"Apple Mail", `<html><body>Supprimer<br><div><br><blockquote type="cite"><div>Le 25 nov. 2026 à 10:00, Mairie a écrit :</div><br><div>` + ours + `</div></blockquote></div></body></html>`, "Supprimer"},
		{"iPhone", `<html><body dir="auto">Supprimer<br><br><div dir="ltr">Envoyé de mon iPhone</div><div dir="ltr"><br><blockquote type="cite">Le 25 nov. 2026 à 10:00, Mairie a écrit :<br><br></blockquote></div><blockquote type="cite">` + ours + `</blockquote></body></html>`, "Supprimer"},
		{"Thunderbird, below", `<html><body><div class="moz-cite-prefix">Le 25/11/2026 à 10:00, Mairie a écrit :<br></div><blockquote type="cite" cite="mid:x">` + ours + `</blockquote><p>SUPPRIMER</p></body></html>`, "SUPPRIMER"},
		{"Outlook", `<html><head><style>p{}</style></head><body><div class="WordSection1"><p class="MsoNormal">SUPPRIMER</p><div style="border-top:solid"><p class="MsoNormal"><b>De :</b> Mairie<br><b>Envoyé :</b> mercredi 25 novembre 2026<br><b>À :</b> Camille<br><b>Objet :</b> Votre dépôt</p></div>` + ours + `</div></body></html>`, "SUPPRIMER"},
		{"Outlook on the web", `<div>Bonjour, merci.</div><div id="appendonsend"></div><hr><div id="divRplyFwdMsg"><b>De :</b> Mairie<br><b>Envoyé :</b> mercredi<br></div><div>` + ours + `</div>`, "Bonjour, merci."},
		{"Orange", `<p>supprimer</p><blockquote>&gt; Message du 25/11/26 10:00<br>&gt; De : "Mairie"<br>&gt; A : camille@orange.fr<br>` + ours + `</blockquote>`, "supprimer"},
		{"nothing but the quotation", `<blockquote type="cite">` + ours + `</blockquote>`, ""},
		{"one that is never closed", `<div>Merci</div><blockquote>` + ours, "Merci"},
		{"one that closes too often", `</blockquote></blockquote><blockquote>` + ours + `</blockquote>`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			message := "From: c@x.fr\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + c.body + "\r\n"
			cover, err := mail.Splitter{}.Split(t.Context(), strings.NewReader(message), func(core.Part) error { return nil })
			if err != nil {
				t.Fatal(err)
			}
			if got := remark.Own(cover.Note); got != c.own {
				t.Errorf("own words %q, want %q, of\n%s", got, c.own, cover.Note)
			}
			if got := remark.AsksDeletion(cover.Note); got != strings.EqualFold(c.own, "supprimer") {
				t.Errorf("asks for deletion: %v", got)
			}
		})
	}
}
