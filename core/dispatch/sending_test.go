package dispatch_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/dispatch"
	"vaguemestre/core/link"
	"vaguemestre/core/tenant"
	"vaguemestre/core/vault"
)

func TestSEC53_ComposedAsThingsStandThen(t *testing.T) {
	h := newHouse(t)
	s := h.service("etat-civil", nil)
	h.service("chiffre", func(s *dispatch.Service) { s.Certificate = certificate(t, h.now, h.now.AddDate(0, 1, 0), nil) })
	paper, health := h.add("avis", "Zoé", 10), h.add("sante", "Zoé LE GOFF", 20)

	// A sensitive type: a link and no word of what it is in the clear, a file when encrypted.
	clear := h.send("etat-civil", health)
	l := h.mustLetter(clear, 0)
	if len(l.Files) != 0 || !clear.Parts[0].Items[0].Link {
		t.Errorf("a sensitive document goes as a file")
	}
	for _, hidden := range []string{"médical", "sante", "LE GOFF", "31 juillet"} {
		if strings.Contains(l.Text+l.HTML+l.Subject, hidden) {
			t.Errorf("in the clear: %q", hidden)
		}
	}
	closed := h.send("chiffre", health)
	l = h.mustLetter(closed, 0)
	if names := h.names(l, health); len(names) != 1 || !strings.Contains(names[0], "Certificat médical") || l.Certificate == nil {
		t.Errorf("encrypted: files %q", names)
	}
	if strings.Contains(l.Subject, "Zoé") || strings.Contains(l.Subject, "médical") {
		t.Errorf("subject %q", l.Subject)
	}

	// The certificate ends: nothing goes, in the clear least of all, until there is another.
	at := h.now
	h.now = h.now.AddDate(0, 2, 0)
	var r *core.Refusal
	if _, err := h.letter(closed, 0); err == nil || errors.As(err, &r) {
		t.Errorf("with an expired certificate: %v", err)
	}
	if got := closed.Sentence(closed.Parts[0], h.now); !strings.Contains(got, "a expiré le") {
		t.Errorf("said is %q", got)
	}
	_, err := h.dir.Change(t.Context(), h.ID, "chiffre", func(s *dispatch.Service) { s.Certificate = certificate(t, h.now, h.now.AddDate(0, 1, 0), nil) })
	h.must(err)
	h.mustLetter(closed, 0)
	h.now = at

	// The mailbox is the one the service has when it is sent.
	d := h.send("etat-civil", paper)
	_, err = h.dir.Change(t.Context(), h.ID, "etat-civil", func(s *dispatch.Service) { s.Mailbox = "nouvelle@mairie.test" })
	h.must(err)
	if l := h.mustLetter(d, 0); l.To != "nouvelle@mairie.test" || len(l.Files) != 1 {
		t.Errorf("to %s with %d files", l.To, len(l.Files))
	}
	// The catalogue, and the service, become stricter.
	h.types(strings.Replace(types, "{code: avis,", "{code: avis, dispatch: link,", 1))
	if l := h.mustLetter(d, 0); len(l.Files) != 0 || !strings.Contains(l.Text, "https://demarches.ville.test/liens/") {
		t.Errorf("a link by now: %d files\n%s", len(l.Files), l.Text)
	}
	h.types(strings.Replace(types, "{code: avis,", "{code: avis, dispatch: none,", 1))
	_, err = h.letter(d, 0)
	h.refused("type_forbidden", err)
	h.types(types)
	_, err = h.dir.Change(t.Context(), h.ID, "etat-civil", func(s *dispatch.Service) { s.LinksOnly = true })
	h.must(err)
	if l := h.mustLetter(d, 0); len(l.Files) != 0 {
		t.Error("files to a service that takes links alone")
	}
	// The document is replaced by a larger version, and fits in no mail any more.
	_, err = h.dir.Change(t.Context(), h.ID, "etat-civil", func(s *dispatch.Service) { s.LinksOnly = false })
	h.must(err)
	h.Exec("UPDATE piece SET size = 20000000 WHERE document_id = '" + string(paper) + "'")
	if l := h.mustLetter(d, 0); len(l.Files) != 0 || !strings.Contains(l.Text, "/liens/") {
		t.Errorf("%d files that fit in no mail", len(l.Files))
	}
	h.Exec("UPDATE piece SET size = 10 WHERE document_id = '" + string(paper) + "'")
	h.names(h.mustLetter(d, 0), paper)
	// The document changes.
	for code, set := range map[string]string{"rejected": "state = 'rejected'", "to_confirm": "state = 'to_confirm'", "expired": "standing = 'expired'", "unknown_document": "standing = 'deleted', deleted_at = now()"} {
		h.Exec("UPDATE document SET " + set + " WHERE id = '" + string(paper) + "'")
		_, err = h.letter(d, 0)
		h.refused(code, err)
		h.Exec("UPDATE document SET state = 'validated', standing = 'current', deleted_at = NULL WHERE id = '" + string(paper) + "'")
	}
	// The dispatch, or the service, ends.
	who := core.Access{Tenant: h.ID, Actor: "maintenance", Purpose: "test"}
	_, err = h.desk.Cancel(t.Context(), who, clear.ID)
	h.must(err)
	_, err = h.letter(clear, 0)
	h.refused("cancelled", err)
	_, err = h.desk.Resend(t.Context(), who, clear.ID)
	h.refused("cancelled", err)
	h.must(h.dir.Remove(t.Context(), h.ID, s.Code))
	_, err = h.letter(d, 0)
	h.refused("service_removed", err)
	_, err = h.desk.Resend(t.Context(), who, d.ID)
	h.refused("service_removed", err)
	_, err = h.compose.Compose(t.Context(), core.LetterLease{LetterOrder: core.LetterOrder{Tenant: h.ID, Vault: h.zoe.ID, Object: string(core.NewID[dispatch.PartID]())}})
	h.refused("no_dispatch", err)
}

func TestAFileIsOfTheVersionThatIsSummedUp(t *testing.T) {
	h := newHouse(t)
	h.service("etat-civil", nil)
	one, two := h.add("avis", "Zoé", 10), h.add("avis", "Zoé", 10)
	l := h.mustLetter(h.send("etat-civil", one), 0)
	h.Exec("UPDATE document SET replaces = '" + string(one) + "', state = 'to_confirm' WHERE id = '" + string(two) + "'")
	var meta []byte
	docs, err := h.HTTP.Documents(t.Context(), h.ID, h.zoe.ID)
	h.must(err)
	who := core.Access{Tenant: h.ID, Vault: h.zoe.ID, Actor: "test", Act: "confirm", Purpose: "test"}
	for _, d := range docs {
		if d.ID == two {
			opened, err := h.Keeper.Unbox(t.Context(), who, d.Meta)
			h.must(err)
			meta, err = h.Keeper.Box(t.Context(), h.ID, h.zoe.ID, bytes.Replace(opened[0], []byte(two), []byte(one), 1))
			h.must(err)
		}
	}
	h.must(h.HTTP.Replace(t.Context(), who, two, core.DocumentValidated, meta))
	if body, err := l.Files[0].Open(t.Context()); err == nil {
		b, _ := io.ReadAll(body)
		t.Errorf("another version's bytes: %v", bytes.Equal(b, h.files[two]))
	}
}

func TestSEC21_ExchangedRowsAreNotSent(t *testing.T) {
	h := newHouse(t)
	h.service("etat-civil", nil)
	one, two := h.add("avis", "Zoé", 10), h.add("avis", "Yann", 10)
	d := h.send("etat-civil", one)
	h.mustLetter(d, 0)
	h.Exec("UPDATE document_version v SET meta = o.meta FROM document_version o WHERE v.document_id = '" + string(one) + "' AND o.document_id = '" + string(two) + "'")
	var r *core.Refusal
	if _, err := h.letter(d, 0); !errors.Is(err, vault.ErrSealBroken) || errors.As(err, &r) {
		t.Errorf("another document's metadata: %v", err)
	}
}

func TestSEC10_ALinkIsForTheServicesAgents(t *testing.T) {
	h := newHouse(t)
	h.service("etat-civil", nil)
	h.service("voirie", nil)
	ctx := t.Context()
	h.must(h.dir.AddAgent(ctx, h.ID, "etat-civil", h.agent))
	other, err := tenant.New(h.HTTP, h.Keeper, h.Index, time.Now).AddAgent(ctx, h.Founding, []byte(`{"name":"Autre"}`))
	h.must(err)
	h.must(h.dir.AddAgent(ctx, h.ID, "voirie", other))
	id := h.add("locked", "Zoé", 5000)
	d := h.send("etat-civil", id)
	l := h.mustLetter(d, 0)
	_, after, found := strings.Cut(l.Text, "https://demarches.ville.test/liens/")
	if !found || len(l.Files) != 0 {
		t.Fatalf("no link in\n%s", l.Text)
	}
	token := strings.Fields(after)[0]
	if again := h.mustLetter(d, 0); !strings.Contains(again.Text, token) {
		t.Error("composed again, another link")
	}
	open := func(agent core.AgentID, token string) error {
		_, body, err := h.desk.Open(ctx, h.ID, agent, token, 0)
		if err != nil {
			return err
		}
		defer body.Close()
		b, err := io.ReadAll(body)
		if err == nil && !bytes.Equal(b, h.files[id]) {
			t.Error("other bytes")
		}
		return err
	}
	h.must(open(h.agent, token))
	h.must(open(h.agent, token)) // people click twice
	none := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, core.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	none("an agent of another service", open(other, token))
	none("nobody's agent", open(core.NewID[core.AgentID](), token))
	none("no token", open(h.agent, "x"))
	_, _, err = h.desk.Open(ctx, h.Found("autre").ID, h.agent, token, 0)
	none("another town", err)
	if _, err := link.New(h.HTTP, h.Index, time.Now).Look(ctx, core.Access{Tenant: h.ID, Vault: h.zoe.ID}, link.ConfirmDeposit, token); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("the token for another act: %v", err)
	}
	h.Exec("UPDATE document SET state = 'rejected' WHERE id = '" + string(id) + "'")
	none("a rejected document", open(h.agent, token))
	h.Exec("UPDATE document SET state = 'validated' WHERE id = '" + string(id) + "'")
	h.must(open(h.agent, token))
	h.must(h.dir.RemoveAgent(ctx, h.ID, "etat-civil", h.agent))
	none("an agent who left", open(h.agent, token))
	h.must(h.dir.AddAgent(ctx, h.ID, "etat-civil", h.agent))
	at := h.now
	h.now = h.now.Add(link.OpenDocument.Lasts())
	none("an expired link", open(h.agent, token))
	h.now = at
	_, err = h.desk.Cancel(ctx, core.Access{Tenant: h.ID, Actor: "maintenance"}, d.ID)
	h.must(err)
	none("a cancelled dispatch", open(h.agent, token))
	short := string(id)[:8]
	want := []string{"agent disclose " + short, "agent read " + short, "agent read " + short, "agent refuse_disclosure " + short, "agent refuse_disclosure " + short,
		"agent read " + short, "agent refuse_disclosure " + short, "agent refuse_disclosure " + short}
	if got := h.journal("disclose", "read", "refuse_disclosure"); !slices.Equal(got, want) {
		t.Errorf("journal\n%q, want\n%q", got, want)
	}
}

func TestResendIsLaidOutAnew(t *testing.T) {
	h := newHouse(t)
	h.service("etat-civil", nil)
	one, two, three := h.add("avis", "Zoé", 200_000), h.add("avis", "Zoé", 200_000), h.add("avis", "Zoé", 200_000)
	d := h.send("etat-civil", one, two, three)
	_, err := h.dir.Change(t.Context(), h.ID, "etat-civil", func(s *dispatch.Service) { s.MaxBytes = 400_000 })
	h.must(err)
	h.Exec("UPDATE document SET state = 'rejected' WHERE id = '" + string(two) + "'")
	who := core.Access{Tenant: h.ID, Actor: "maintenance", Purpose: "test"}
	d, err = h.desk.Resend(t.Context(), who, d.ID)
	h.must(err)
	if d.Sending != 2 || len(d.Latest()) != 2 || len(d.Parts) != 3 || d.Parts[0].State != core.LetterCancelled || d.State() != dispatch.Waiting {
		t.Errorf("sent anew: sending %d, %d parts of %d, the first %s", d.Sending, len(d.Latest()), len(d.Parts), d.Parts[0].State)
	}
	h.names(h.mustLetter(d, 0), one)
	h.names(h.mustLetter(d, 1), three)
	if acts := h.journal("disclose", "resend_dispatch"); len(acts) != 3+1+2 {
		t.Errorf("journal %q", acts)
	}
	h.Exec("UPDATE document SET state = 'rejected'")
	_, err = h.desk.Resend(t.Context(), who, d.ID)
	h.refused("rejected", err)
}
