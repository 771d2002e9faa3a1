package dispatch

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/catalogue"
	"vaguemestre/core/citizen"
	"vaguemestre/core/tenant"
)

var update = flag.Bool("update", false, "rewrite testdata")

// specimen is a part of two mails with a file, a link, and what is sensitive.
func specimen(language string) *page {
	at := time.Date(2026, 11, 1, 13, 5, 0, 0, time.UTC)
	date := func(y int, m time.Month, d int) core.Date { return core.Date{Year: y, Month: m, Day: d} }
	s := Service{Code: "scolaire", Name: "Affaires scolaires", Language: language, MaxBytes: DefaultMaxBytes}
	p := &page{Sending: Sending{Dispatch: Dispatch{ID: "3f2a91c4-6b7d-4e1f-9a55-0c2d8e4f7b61", Service: s, Agent: "a", Sending: 1}}, total: 4,
		settings: tenant.Settings{Mail: tenant.Mail{ServiceName: "La Ville de Bourg-lès-Essai", Portal: "https://demarches.ville.test", TimeZone: "Europe/Paris"}},
		citizen:  citizen.Identity{Given: "Zoé", Family: "Le Goff"}, agent: "Odile Martin", purpose: "Inscription à la cantine, rentrée 2026"}
	p.Part = Part{ID: "1", N: 1, Sending: 1, Created: at}
	p.Parts = []Part{p.Part, {ID: "2", N: 2, Sending: 1}}
	doc := func(state core.DocumentState, channel string, size int64) core.Document {
		return core.Document{State: state, Channel: channel, Created: at.AddDate(0, -1, 0), ValidUntil: date(2027, 12, 31), Parts: []core.PiecePages{{Sealed: core.Sealed{Size: size}}}}
	}
	p.sheets = []*sheet{
		{Item: Item{N: 1}, doc: doc(core.DocumentValidated, core.ChannelSMTP, 1_234_567), typ: catalogue.Type{Label: "Avis d’imposition"},
			meta:  core.DocumentMeta{Holder: "Zoé & Yann <LE GOFF>", Issued: date(2026, 8, 1), Period: core.Period{From: date(2025, 1, 1), To: date(2025, 12, 31)}},
			files: []string{"3f2a91c4_01_Avis d’imposition_Zoé & Yann -LE GOFF_2026-08-01.pdf"}},
		{Item: Item{N: 2, Link: true}, doc: doc(core.DocumentToValidate, core.ChannelPost, 999), typ: catalogue.Type{Label: "Certificat médical", Sensitive: true},
			meta: core.DocumentMeta{Holder: "Zoé LE GOFF", Issued: date(2026, 9, 1)}, token: "Jb1_token-of-a-link", expires: at.AddDate(0, 0, 30)},
		{Item: Item{N: 3}, doc: core.Document{State: core.DocumentValidated, Channel: core.ChannelMobile, Created: at, Parts: []core.PiecePages{{Sealed: core.Sealed{Size: 512}}, {Sealed: core.Sealed{Size: 45_600}}}},
			typ: catalogue.Type{Label: "Livret de famille"}, files: []string{"3f2a91c4_03_Livret de famille p1.jpg", "3f2a91c4_03_Livret de famille p2.jpg"}},
	}
	p.others = []other{{4, 2, "Justificatif de domicile"}}
	return p
}

// The mails read as they were reviewed, in both languages.
func TestSheetsAreAsReviewed(t *testing.T) {
	for _, language := range []string{"fr", "en"} {
		p := specimen(language)
		text, html, err := p.render((&Composer{}).label)
		if err != nil {
			t.Fatal(err)
		}
		for name, got := range map[string]string{language + ".txt": p.subject() + "\n\n" + text, language + ".html": html} {
			file := filepath.Join("testdata", "sheet-"+name)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s is\n%s\nreviewed was\n%s", file, got, want)
			}
		}
		for _, hidden := range []string{"médical", "1er septembre", "<LE GOFF"} {
			if strings.Contains(html, hidden) || hidden != "<LE GOFF" && strings.Contains(text, hidden) {
				t.Errorf("%s says %q", language, hidden)
			}
		}
	}
}

// Without a portal a link is a code; by a rule nobody selected; one part is not numbered.
func TestSheetOfARule(t *testing.T) {
	p := specimen("fr")
	p.Agent, p.agent, p.settings.Portal, p.others, p.Parts, p.total = "", "", "", nil, p.Parts[:1], 3
	text, html, err := p.render((&Composer{}).label)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Envoi automatique", "avec le code Jb1_token-of-a-link"} {
		if !strings.Contains(text, want) || !strings.Contains(html, want) {
			t.Errorf("does not say %q:\n%s", want, text)
		}
	}
	if strings.Contains(html, "href") || strings.Contains(text, "Partie") || p.subject() != "[Porte-documents] Envoi 3f2a91c4 – 3 documents" {
		t.Errorf("%s:\n%s", p.subject(), text)
	}
}

// Everything a person reads in French is typeset as French is.
func TestFrenchTypography(t *testing.T) {
	text, _, err := specimen("fr").render((&Composer{}).label)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{text}
	for _, state := range []core.LetterState{core.LetterWaiting, core.LetterSent, core.LetterDelivered, core.LetterDelayed, core.LetterBounced, core.LetterRefused, core.LetterFailed, core.LetterCancelled} {
		for _, status := range []string{"", "5.1.1", "5.2.2", "5.3.4", "5.7.1"} {
			for _, code := range []string{"", "552", "by_hand", "withdrawn_late", "sent_anew", "relay_without_tls", "relay_certificate", "421"} {
				texts = append(texts, Dispatch{}.Sentence(Part{State: state, Status: status, Code: code}, time.Now()))
			}
		}
	}
	for _, s := range texts {
		if strings.Contains(s, "'") || s == "" {
			t.Errorf("straight quote, or nothing, in %q", s)
		}
		for _, mark := range []string{":", ";", "?", "!", "»"} {
			for i := range len(s) {
				if strings.HasPrefix(s[i:], mark) && !strings.HasPrefix(s[i:], "://") && !strings.HasSuffix(s[:i], "\u00a0") && !strings.HasSuffix(s[:i], "\u202f") {
					t.Errorf("%q wants a no-break space before %q", s, mark)
				}
			}
		}
	}
}
