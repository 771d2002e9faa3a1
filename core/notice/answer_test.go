package notice_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"vaguemestre/core"
	"vaguemestre/core/notice"
	"vaguemestre/core/tenant"
	"vaguemestre/core/vault"
)

// replies make a deposit answerable, or not.
type replies struct {
	address   string
	documents []notice.Answerable
}

func (r replies) Address(context.Context, core.TenantID, core.CitizenID, core.DepositID, string) (string, error) {
	return r.address, nil
}

func (r replies) Answerable(context.Context, core.TenantID, core.CitizenID, core.DepositID) ([]notice.Answerable, error) {
	return r.documents, nil
}

const secret = "abcdefghijkmnpqrstuv@depot.ville.test"

// replied is a file that came as an answer.
func replied(reason string, state core.DocumentState) notice.ToldPiece {
	p := filed("facture_electricite", state, "", core.StandingCurrent)
	p.Reason = reason
	return p
}

func answered() notice.Told {
	return told(core.DepositOpened, replied("replaced", core.DocumentToValidate), replied("replaces_on_yes", core.DocumentToConfirm), replied("reply_other_type", core.DocumentValidated),
		replied("reply_ambiguous", core.DocumentToConfirm), replied("reply_nothing_now", core.DocumentToValidate))
}

var answerable = []struct {
	name      string
	kind      core.LetterKind
	once      string
	told      notice.Told
	documents []notice.Answerable
	set       func(*tenant.Settings)
}{
	{"result_answered", core.LetterResult, string(owner), answered(), nil, nil},
	{"receipt_answerable", core.LetterReceipt, string(owner), told(core.DepositOpened, notice.ToldPiece{State: core.PieceWaiting}), nil, nil},
	{"delete", core.LetterLink, "delete_document/2026-11-25", told(core.DepositOpened), []notice.Answerable{{ID: "one", Type: "facture_electricite"}}, nil},
	{"delete_several", core.LetterLink, "delete_document/2026-11-25", told(core.DepositOpened), []notice.Answerable{{ID: "one", Type: "facture_electricite"}, {ID: "two", Type: "jugement_divorce"}}, nil},
	{"delete_code", core.LetterLink, "delete_document/2026-11-25", told(core.DepositOpened), []notice.Answerable{{ID: "one", Type: "rib"}}, func(s *tenant.Settings) { s.Portal = "" }},
}

// What letters say of answers, and the letter that asks before deleting, are reviewed as
// files.
func TestNIM2_LettersAboutAnswersAreAsReviewed(t *testing.T) {
	at := received.Add(time.Hour)
	for _, c := range answerable {
		for _, language := range []string{"fr", "en"} {
			a := archive{told: c.told, settings: settings(language), contact: "zoe@example.test"}
			if c.set != nil {
				c.set(&a.settings)
			}
			l := core.LetterLease{First: at, LetterOrder: core.LetterOrder{ID: "letter", Tenant: "town", Vault: owner, Kind: c.kind, Object: number, Once: c.once, Due: at}}
			letter, err := notice.NewComposer(a, &keys{}, linker{}, func() time.Time { return at }).Answered(replies{secret, c.documents}).Compose(t.Context(), l)
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			if asks := c.kind == core.LetterLink; letter.Automatic == asks || (letter.ReplyTo == secret) == asks || letter.To != "zoe@example.test" {
				t.Errorf("%s: automatic %v, to %s, answered at %q", c.name, letter.Automatic, letter.To, letter.ReplyTo)
			}
			if strings.Contains(letter.Text+letter.HTML, secret) {
				t.Errorf("%s shows the address of answers", c.name)
			}
			for line := range strings.Lines(letter.Text) {
				if n := utf8.RuneCountInString(line); n > 77 && !strings.HasPrefix(line, "https://") {
					t.Errorf("%s in %s: a line of %d letters", c.name, language, n)
				}
			}
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

// Only the citizen is told the address of answers; without one, nothing is said of it;
// and what is gone is not asked about.
func TestSEC54_WhoIsToldTheAddressOfAnswers(t *testing.T) {
	compose := func(kind core.LetterKind, once string, state core.DepositState, r replies) (core.Letter, error) {
		a := archive{told: told(state, notice.ToldPiece{State: core.PieceWaiting}), settings: settings("fr"), contact: "zoe@example.test"}
		k := &keys{key: make([]byte, 32)}
		origin, err := json.Marshal(core.Origin{From: "voisine@example.test", Proven: true, DMARC: core.ResultPass})
		if err != nil {
			t.Fatal(err)
		}
		a.told.Body.Object = "object"
		if a.told.Origin, err = k.key.Seal("town", "object", vault.LabelOrigin, origin); err != nil {
			t.Fatal(err)
		}
		l := core.LetterLease{First: received, LetterOrder: core.LetterOrder{ID: "letter", Tenant: "town", Vault: owner, Kind: kind, Object: number, Once: once}}
		return notice.NewComposer(a, k, linker{}, time.Now).Answered(r).Compose(t.Context(), l)
	}
	for name, c := range map[string]struct {
		kind  core.LetterKind
		once  string
		state core.DepositState
		r     replies
	}{
		"a stranger":           {core.LetterReceipt, "sender", core.DepositOpened, replies{address: secret}},
		"revoked":              {core.LetterReceipt, string(owner), core.DepositOpened, replies{}},
		"held":                 {core.LetterResult, string(owner) + "/held", core.DepositHeld, replies{address: secret}},
		"an address to verify": {core.LetterLink, "verify_sender/1", core.DepositOpened, replies{address: secret}},
	} {
		letter, err := compose(c.kind, c.once, c.state, c.r)
		if err != nil || letter.ReplyTo != "" || strings.Contains(letter.Text, "SUPPRIMER") {
			t.Errorf("%s: answered at %q, %v:\n%s", name, letter.ReplyTo, err, letter.Text)
		}
	}
	var refusal *core.Refusal
	if _, err := compose(core.LetterLink, "delete_document/1", core.DepositOpened, replies{}); !errors.As(err, &refusal) || refusal.Code != "moved" {
		t.Errorf("nothing left to delete: %v", err)
	}
}
