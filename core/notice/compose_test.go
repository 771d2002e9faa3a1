package notice_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"vaguemestre/core"
	"vaguemestre/core/catalogue"
	"vaguemestre/core/link"
	"vaguemestre/core/notice"
	"vaguemestre/core/tenant"
	"vaguemestre/core/vault"
)

var update = flag.Bool("update", false, "rewrite testdata")

// archive is a town with one deposit.
type archive struct {
	told     notice.Told
	settings tenant.Settings
	contact  string // "" none
	untold   int    // how often the deposit is among those of a day of which nothing was told
	verified bool
}

func (a archive) Told(_ context.Context, _ core.TenantID, d core.DepositID) (notice.Told, error) {
	if d != a.told.Deposit {
		return notice.Told{}, core.ErrNotFound
	}
	return a.told, nil
}

func (a archive) Untold(context.Context, core.TenantID, core.CitizenID, time.Time, time.Time) ([]core.DepositID, error) {
	return slices.Repeat([]core.DepositID{a.told.Deposit}, a.untold), nil
}

func (a archive) Contact(context.Context, core.TenantID, core.CitizenID) (notice.Contact, error) {
	if a.contact == "" {
		return notice.Contact{}, core.ErrNotFound
	}
	return notice.Contact{Box: []byte(a.contact), Verified: true}, nil
}

func (a archive) SenderContact(context.Context, core.TenantID, core.CitizenID, core.SenderID) (notice.Contact, error) {
	return notice.Contact{Box: []byte(a.contact), Verified: a.verified}, nil
}

func (a archive) Settings(context.Context, core.TenantID) (tenant.Settings, int, error) {
	return a.settings, 1, nil
}

func (a archive) Catalogue(context.Context, core.TenantID, int) (string, int, error) {
	content, err := catalogue.Default().Marshal()
	return string(content), 1, err
}

// keys open boxes that were never closed, and remember who asked.
type keys struct {
	key   vault.Key
	asked []core.Access
}

func (k *keys) Unbox(_ context.Context, who core.Access, boxes ...[]byte) ([][]byte, error) {
	k.asked = append(k.asked, who)
	return boxes, nil
}

func (k *keys) Open(_ context.Context, who core.Access, _ ...vault.Wrapped) ([]vault.Key, error) {
	k.asked = append(k.asked, who)
	return []vault.Key{k.key}, nil
}

type linker struct{}

func (linker) Issue(_ context.Context, _ core.TenantID, _ core.CitizenID, p link.Purpose, _ string) (string, error) {
	return "TOKENof" + string(p), nil
}

const (
	number = "2f6a1c9e-5b0d-4e37-9a44-0c5d8e7b1f20"
	owner  = core.CitizenID("owner")
)

// received is just after midnight in Paris, and the day before in UTC.
var received = time.Date(2026, 11, 24, 23, 5, 0, 0, time.UTC)

func settings(language string) tenant.Settings {
	s := tenant.Defaults()
	s.DepositDomain, s.Language = "depot.ville.test", language
	s.Relay, s.From, s.FromName, s.Portal = "smtp.ville.test:587", "depot@ville.test", "Mairie de Ville", "https://demarches.ville.test"
	s.ServiceName, s.ServiceAddress, s.ServicePhone = "Service des démarches en ligne", "1 place de la République, 94140 Ville", "01\u00a002\u00a003\u00a004\u00a005"
	s.ServiceEmail, s.ServiceHours, s.SecurityContact = "demarches@ville.test", "du lundi au vendredi, de 8 h 30 à 17 h", "securite@ville.test"
	return s
}

func told(state core.DepositState, pieces ...notice.ToldPiece) notice.Told {
	return notice.Told{Deposit: number, Vault: owner, Channel: core.ChannelSMTP, State: state, Received: received, Pieces: pieces}
}

func filed(code string, state core.DocumentState, until string, standing core.Standing) notice.ToldPiece {
	p := notice.ToldPiece{State: core.PieceFiled, Type: code, Document: state, Standing: standing}
	if err := p.ValidUntil.UnmarshalText([]byte(until)); err != nil {
		panic(err)
	}
	return p
}

// everything has a file in every state there is.
func everything() notice.Told {
	return told(core.DepositOpened,
		filed("facture_electricite", core.DocumentToValidate, "2027-02-28", core.StandingCurrent),
		filed("rib", core.DocumentValidated, "", core.StandingCurrent),
		filed("facture_eau", core.DocumentValidated, "2026-07-01", core.StandingExpired),
		filed("jugement_divorce", core.DocumentToValidate, "", core.StandingCurrent),
		filed("gone_from_the_catalogue", core.DocumentValidated, "", core.StandingCurrent),
		filed("cni", core.DocumentToConfirm, "2031-05-03", core.StandingCurrent),
		filed("cni", core.DocumentRejected, "", core.StandingCurrent),
		notice.ToldPiece{State: core.PieceAtDesk, Desk: core.DeskCitizen, Reason: "not_recognised"},
		notice.ToldPiece{State: core.PieceAtDesk, Desk: core.DeskCitizen, Reason: "no_reading_consent"},
		notice.ToldPiece{State: core.PieceAtDesk, Desk: core.DeskCitizen, Reason: "kind_not_accepted"},
		notice.ToldPiece{State: core.PieceAtDesk, Desk: core.DeskAgent},
		notice.ToldPiece{State: core.PieceRefused, Reason: "encrypted_pdf",
			Sentence: "Ce PDF demande un mot de passe\u00a0: ouvrez-le, imprimez-le au format PDF sans mot de passe, puis envoyez cette copie."},
		notice.ToldPiece{State: core.PieceFailed, Reason: "gave_up"},
		notice.ToldPiece{State: core.PieceExamined})
}

var cases = []struct {
	name string
	told notice.Told
	kind core.LetterKind
	once string
	set  func(*tenant.Settings)
}{
	{"receipt", told(core.DepositOpened, notice.ToldPiece{State: core.PieceWaiting}), core.LetterReceipt, string(owner), nil},
	{"receipt_many", everything(), core.LetterReceipt, string(owner), nil},
	{"sender", told(core.DepositOpened, notice.ToldPiece{State: core.PieceWaiting}), core.LetterReceipt, "sender", nil},
	{"result", told(core.DepositOpened, filed("facture_electricite", core.DocumentToValidate, "2027-02-28", core.StandingCurrent)), core.LetterResult, string(owner), nil},
	{"result_confirm", told(core.DepositOpened, filed("cni", core.DocumentToConfirm, "2031-05-01", core.StandingCurrent)), core.LetterResult, string(owner), nil},
	{"result_code", told(core.DepositOpened, filed("cni", core.DocumentToConfirm, "", core.StandingCurrent)), core.LetterResult, string(owner), func(s *tenant.Settings) { s.Portal = "" }},
	{"result_everything", everything(), core.LetterResult, string(owner), nil},
	{"result_last", told(core.DepositOpened, filed("rib", core.DocumentValidated, "", core.StandingCurrent)), core.LetterResult, string(owner) + notice.Last, nil},
	{"result_held", told(core.DepositHeld), core.LetterResult, string(owner) + "/held", nil},
	{"result_failed", told(core.DepositFailed), core.LetterResult, string(owner) + "/failed", nil},
	{"result_empty", told(core.DepositOpened), core.LetterResult, string(owner), func(s *tenant.Settings) { s.ServiceEmail, s.ServiceHours = "", "" }},
	{"digest", told(core.DepositOpened, filed("rib", core.DocumentValidated, "", core.StandingCurrent), filed("cni", core.DocumentToConfirm, "2031-05-03", core.StandingCurrent)), core.LetterResult, "digest/2026-11-24", nil},
	{"verify", told(core.DepositOpened), core.LetterLink, "verify_sender/1", nil},
	{"verify_code", told(core.DepositOpened), core.LetterLink, "verify_sender/1", func(s *tenant.Settings) { s.Portal = "" }},
	{"detached", told(core.DepositHeld), core.LetterNotice, "detached/1", nil},
}

// compose writes the case in a language.
func compose(t *testing.T, i int, language string) (core.Letter, *keys) {
	t.Helper()
	c := cases[i]
	a := archive{told: c.told, settings: settings(language), contact: "zoe@example.test", untold: 22}
	if c.set != nil {
		c.set(&a.settings)
	}
	k := &keys{key: make(vault.Key, 32)}
	origin, err := json.Marshal(core.Origin{From: "voisine@example.test", Proven: true, DMARC: core.ResultPass})
	if err != nil {
		t.Fatal(err)
	}
	a.told.Body.Object = "object"
	if a.told.Envelope, err = k.key.Seal("town", "object", vault.LabelEnvelope, []byte(`{"key":"42@example.test"}`)); err != nil {
		t.Fatal(err)
	}
	if a.told.Origin, err = k.key.Seal("town", "object", vault.LabelOrigin, origin); err != nil {
		t.Fatal(err)
	}
	at := received.Add(10 * time.Hour) // a late worker
	l := core.LetterLease{First: at, LetterOrder: core.LetterOrder{ID: "letter", Tenant: "town", Kind: c.kind, Object: number, Once: c.once, Due: at}}
	if c.kind != core.LetterNotice {
		l.Vault = owner
	}
	letter, err := notice.NewComposer(a, k, linker{}, func() time.Time { return at }).Compose(t.Context(), l)
	if err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	return letter, k
}

// The words of every letter, in both languages and both forms, are reviewed as files.
func TestSEC100_LettersAreAsReviewed(t *testing.T) {
	for i, c := range cases {
		for _, language := range []string{"fr", "en"} {
			letter, _ := compose(t, i, language)
			for ext, got := range map[string]string{"txt": "To: " + letter.To + "\nSubject: " + letter.Subject + "\n\n" + letter.Text, "html": letter.HTML} {
				file := filepath.Join("testdata", c.name+"."+language+"."+ext)
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
					t.Errorf("%s is\n%s\nreview it, then run the test with -update", file, got)
				}
			}
		}
	}
}

// An acknowledgement holds every mention of CRPA R. 112-11-1, and the date is that of
// reception where the town is, however late it is written.
func TestSEC100_EveryAcknowledgementHasEveryMention(t *testing.T) {
	flat := func(s string) string {
		return strings.Join(strings.Fields(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(strings.ReplaceAll(s, "&nbsp;", " "), " ")), " ")
	}
	for i, c := range cases {
		if c.kind != core.LetterReceipt && c.kind != core.LetterResult {
			continue
		}
		for language, date := range map[string]string{"fr": "25 novembre 2026 à 0 h 05", "en": "25 November 2026 at 00:05"} {
			letter, _ := compose(t, i, language)
			for form, body := range map[string]string{"text": flat(letter.Text), "HTML": flat(letter.HTML)} {
				for _, mention := range []string{date, number, "Service des démarches en ligne", "1 place de la République, 94140 Ville", "01 02 03 04 05", "L. 112-11"} {
					if !strings.Contains(body, mention) {
						t.Errorf("%s in %s, as %s, lacks %q", c.name, language, form, mention)
					}
				}
			}
			if !letter.Automatic || !letter.Date.Equal(received.Add(10*time.Hour)) {
				t.Errorf("%s: automatic %v, of %v", c.name, letter.Automatic, letter.Date)
			}
		}
	}
}

// Lines are short, HTML needs nothing from elsewhere, and both say the same.
func TestLettersReadAnywhere(t *testing.T) {
	for i, c := range cases {
		for _, language := range []string{"fr", "en"} {
			letter, _ := compose(t, i, language)
			for l := range strings.Lines(letter.Text) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(l, "\n")); n > 76 && !strings.HasPrefix(l, "https://") {
					t.Errorf("%s in %s: a line of %d letters: %s", c.name, language, n, l)
				}
			}
			for _, bad := range []string{"~", "<no value>", "{{", "{", "ZgotmplZ"} {
				if strings.Contains(letter.Text+letter.Subject+letter.HTML, bad) {
					t.Errorf("%s in %s holds %q", c.name, language, bad)
				}
			}
			for _, bad := range []string{"<img", "<script", "url(", "src=", "<style", "<link", "onclick"} {
				if strings.Contains(letter.HTML, bad) {
					t.Errorf("%s in %s: HTML holds %q", c.name, language, bad)
				}
			}
			if strings.Count(letter.HTML, "<h1") != 1 || !strings.Contains(letter.HTML, `<html lang="`+language+`">`) {
				t.Errorf("%s in %s: headings or language are missing", c.name, language)
			}
			if utf8.RuneCountInString(letter.Subject) > 76 || strings.ContainsAny(letter.Subject, "\r\n") {
				t.Errorf("%s in %s: subject %q", c.name, language, letter.Subject)
			}
		}
	}
}

// A type that is marked sensitive is « un document », and a result names no file.
func TestSEC48_ResultsGiveNothingAway(t *testing.T) {
	types := catalogue.Default()
	for i, c := range cases {
		letter, k := compose(t, i, "fr")
		for _, typ := range types.Types() {
			if typ.Sensitive && strings.Contains(letter.Text+letter.HTML, typ.Label) {
				t.Errorf("%s names %s", c.name, typ.Code)
			}
		}
		for _, who := range k.asked {
			if who.Actor != "mailer" || who.Object != "letter" || who.Purpose == "" {
				t.Errorf("%s: opened as %+v", c.name, who)
			}
		}
	}
}

// The sender's receipt answers the message it is about; letters to the citizen answer
// nothing, for the message may be another's.
func TestReceiptsAnswerWhatWasSent(t *testing.T) {
	for i, c := range cases {
		want := map[bool]string{true: "<42@example.test>"}[c.name == "sender"]
		if letter, _ := compose(t, i, "fr"); letter.InReplyTo != want {
			t.Errorf("%s answers %q, want %q", c.name, letter.InReplyTo, want)
		}
	}
}

// A preview shows every letter in both languages, on what is there or made up, opens
// nothing and shows what is not set.
func TestPreview(t *testing.T) {
	for _, kind := range []core.LetterKind{core.LetterReceipt, core.LetterResult, core.LetterLink, core.LetterNotice} {
		for _, language := range []string{"fr", "en"} {
			bare := tenant.Defaults()
			bare.Language = language
			for name, deposit := range map[string]core.DepositID{"made up": "", "there": number} {
				l, err := notice.Preview(t.Context(), archive{told: everything(), settings: bare}, "town", kind, deposit, received)
				if err != nil || l.Subject == "" || l.HTML == "" || l.Language != language {
					t.Errorf("%s in %s, %s: %q, %v", kind, language, name, l.Subject, err)
				}
				if kind == core.LetterReceipt && !strings.Contains(l.Text, "[service_phone]") {
					t.Errorf("%s does not show what is missing:\n%s", kind, l.Text)
				}
			}
		}
	}
	if _, err := notice.Preview(t.Context(), archive{}, "town", core.LetterDispatch, "", received); !errors.Is(err, core.ErrInvalid) {
		t.Errorf("a dispatch: %v", err)
	}
	if _, err := notice.Preview(t.Context(), archive{told: everything()}, "town", core.LetterResult, "other", received); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("a deposit that is not there: %v", err)
	}
}

// What is not to be sent any more is cancelled, with the reason; the rest is tried again.
func TestSEC48_ComposeLooksOnceMore(t *testing.T) {
	base := archive{told: told(core.DepositOpened, notice.ToldPiece{State: core.PieceWaiting}), settings: settings("fr"), contact: "zoe@example.test"}
	for name, c := range map[string]struct {
		change func(*archive, *core.LetterLease)
		code   string
	}{
		"attached to another":  {func(a *archive, _ *core.LetterLease) { a.told.Vault = "other" }, "moved"},
		"nobody's any more":    {func(a *archive, _ *core.LetterLease) { a.told.Vault = "" }, "moved"},
		"gone":                 {func(_ *archive, l *core.LetterLease) { l.Object = "x" }, "moved"},
		"address forgotten":    {func(a *archive, _ *core.LetterLease) { a.contact = "" }, "no_recipient"},
		"a mention taken away": {func(a *archive, _ *core.LetterLease) { a.settings.ServicePhone = "" }, "no_mentions"},
		"no relay any more":    {func(a *archive, _ *core.LetterLease) { a.settings.Relay = "" }, "no_relay"},
		"a kind of others":     {func(_ *archive, l *core.LetterLease) { l.Kind = core.LetterDispatch }, "unknown_letter"},
		"a link of others":     {func(_ *archive, l *core.LetterLease) { l.Kind, l.Once = core.LetterLink, "x/1" }, "unknown_letter"},
		"a notice of others":   {func(_ *archive, l *core.LetterLease) { l.Kind, l.Once = core.LetterNotice, "x" }, "unknown_letter"},
		"no security contact": {func(a *archive, l *core.LetterLease) {
			l.Kind, l.Once, a.settings.SecurityContact = core.LetterNotice, "detached/1", ""
		}, "no_recipient"},
		"verified in between": {func(a *archive, l *core.LetterLease) {
			l.Kind, l.Once, a.verified = core.LetterLink, "verify_sender/1", true
		}, "done"},
		"still as it was":       {func(*archive, *core.LetterLease) {}, ""},
		"another town’s detail": {func(a *archive, _ *core.LetterLease) { a.settings.ServiceHours = "" }, ""},
	} {
		a := base
		l := core.LetterLease{First: received, LetterOrder: core.LetterOrder{ID: "letter", Tenant: "town", Vault: owner, Kind: core.LetterReceipt, Object: number, Once: string(owner)}}
		c.change(&a, &l)
		_, err := notice.NewComposer(a, &keys{}, linker{}, time.Now).Compose(t.Context(), l)
		var refusal *core.Refusal
		if code := ""; errors.As(err, &refusal) != (c.code != "") || refusal != nil && refusal.Code != c.code || err != nil && refusal == nil {
			t.Errorf("%s: %v, want %q%s", name, err, c.code, code)
		}
	}
}
