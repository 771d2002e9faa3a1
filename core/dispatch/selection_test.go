package dispatch_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"time"

	"vaguemestre/channels/mailout/typeset"
	"vaguemestre/core"
	"vaguemestre/core/dispatch"
	"vaguemestre/core/tenant"
)

func TestGW3_ASelectionIsLaidOutAndComposed(t *testing.T) {
	h := newHouse(t)
	h.service("etat-civil", func(s *dispatch.Service) { s.MaxBytes = 1_000_000 })
	one, two, three := h.add("avis", "Zoé LE GOFF", 300_000), h.add("avis", "../..\u202ecod\r\nBcc: x@y.test", 300_000), h.add("avis", "", 310_000)
	d := h.send("etat-civil", one, two, three)
	if len(d.Parts) != 2 || d.State() != dispatch.Waiting {
		t.Fatalf("%d parts, %s", len(d.Parts), d.State())
	}
	want := [][]string{{"_01_Avis d’imposition_Zoé LE GOFF_2026-07-31.pdf", "_02_Avis d’imposition_cod Bcc- x@y.test_2026-07-31.pdf"}, {"_03_Avis d’imposition_2026-07-31.pdf"}}
	for i, ids := range [][]core.DocumentID{{one, two}, {three}} {
		l := h.mustLetter(d, i)
		names := h.names(l, ids...)
		for j, n := range names {
			if n != d.ID.Short()+want[i][j] {
				t.Errorf("part %d: file %q, want …%q", i+1, n, want[i][j])
			}
		}
		if subject := fmt.Sprintf("[Porte-documents] Envoi %s – 3 documents (%d/2)", d.ID.Short(), i+1); l.Subject != subject {
			t.Errorf("subject %q, want %q", l.Subject, subject)
		}
		if l.To != "etat-civil@mairie.test" || l.Automatic || l.Certificate != nil || l.Kind != core.LetterDispatch || l.Language != "fr" {
			t.Errorf("letter %+v", l.Kind)
		}
		for _, said := range []string{"Zoé DURAND", "Odile Martin", "Inscription scolaire", string(d.ID), fmt.Sprintf("%d sur 2", i+1), "31 juillet 2026", names[0]} {
			if !strings.Contains(l.Text, said) || !strings.Contains(l.HTML, said) {
				t.Errorf("part %d does not say %q:\n%s", i+1, said, l.Text)
			}
		}
		if strings.ContainsAny(l.Text+l.HTML+l.Subject, "\r\u202e") {
			t.Error("a stranger's line ends or turns the text")
		}
		m, err := typeset.New(l, typeset.Sender{Name: "Ville", Address: "nepasrepondre@ville.test"}, h.now)
		h.must(err)
		var sent bytes.Buffer
		h.must(m.Write(t.Context(), &sent))
		read, err := mail.ReadMessage(bytes.NewReader(sent.Bytes()))
		h.must(err)
		if read.Header.Get("Bcc") != "" || bytes.Contains(sent.Bytes(), []byte("\nBcc:")) {
			t.Errorf("part %d: a line of a name's own", i+1)
		}
		if sent.Len() > 1_000_000 || int64(sent.Len()) != m.Size() {
			t.Errorf("part %d is sent as %d bytes", i+1, sent.Len())
		}
	}
	got := h.journal("disclose", "compose_dispatch", "read")
	short := func(id string) string { return id[:8] }
	expected := []string{}
	for _, id := range []core.DocumentID{one, two, three} {
		expected = append(expected, "agent disclose "+short(string(id)))
	}
	read := func(ids ...core.DocumentID) { // by this test, and again by the message
		for range 2 {
			for _, id := range ids {
				expected = append(expected, "mailer read "+short(string(id)))
			}
		}
	}
	expected = append(expected, "mailer compose_dispatch "+short(string(d.Parts[0].ID)))
	read(one, two)
	expected = append(expected, "mailer compose_dispatch "+short(string(d.Parts[1].ID)))
	read(three)
	if !slices.Equal(got, expected) {
		t.Errorf("journal\n%q, want\n%q", got, expected)
	}
	if again := h.mustLetter(d, 0); again.Text != h.mustLetter(d, 0).Text || again.HTML != h.mustLetter(d, 0).HTML {
		t.Error("composed again, a part says something else")
	}
}

func TestThePlanLeavesRoomForTheSummary(t *testing.T) {
	h := newHouse(t)
	h.types("types: [{code: avis, label: " + strings.Repeat("é", 100) + ", family: F, validity: [{until: never}]}]")
	h.service("etat-civil", func(s *dispatch.Service) { s.Name, s.Template = strings.Repeat("œ", 100), "{type} {holder} {service}" })
	var ids []core.DocumentID
	total := 0
	for range dispatch.MostDocuments {
		ids = append(ids, h.add("avis", strings.Repeat("ŵ", 300), 16))
		total++
	}
	sel := h.selection("etat-civil", ids...)
	sel.Purpose = strings.Repeat("ÿ", 200)
	d, err := h.desk.Send(t.Context(), sel)
	h.must(err)
	l := h.mustLetter(d, 0)
	m, err := typeset.New(l, typeset.Sender{Name: strings.Repeat("é", 100), Address: "nepasrepondre@ville.test"}, h.now)
	h.must(err)
	room := dispatch.Room(total)
	t.Logf("%d documents: %d bytes besides the files, room for %d", total, m.Size(), room)
	if m.Size() > room {
		t.Errorf("the summary of %d documents takes %d bytes, planned were %d", total, m.Size(), room)
	}
}

func TestSEC53_Refusals(t *testing.T) {
	h := newHouse(t)
	h.service("etat-civil", nil)
	h.service("chiffre", func(s *dispatch.Service) { s.Certificate = certificate(t, h.now, h.now.AddDate(0, 1, 0), nil) })
	good := h.add("avis", "Zoé", 10)
	state := func(set string) core.DocumentID {
		id := h.add("avis", set, 10)
		h.Exec("UPDATE document SET " + set + " WHERE id = '" + string(id) + "'")
		return id
	}
	ana := h.Enrol("Ana")
	hers := *h
	hers.zoe = ana
	foreign := hers.add("avis", "Ana", 10)
	for _, c := range []struct {
		code, service string
		id            core.DocumentID
	}{
		{"unknown_service", "voirie", good},
		{"unknown_document", "etat-civil", foreign},
		{"unknown_document", "etat-civil", core.NewID[core.DocumentID]()},
		{"unknown_document", "etat-civil", state("standing = 'deleted', deleted_at = now()")},
		{"to_confirm", "etat-civil", state("state = 'to_confirm'")},
		{"rejected", "etat-civil", state("state = 'rejected'")},
		{"expired", "etat-civil", state("standing = 'expired'")},
		{"expired", "etat-civil", state("valid_until = '2020-01-01'")},
		{"not_current", "etat-civil", state("standing = 'replaced'")},
		{"not_current", "etat-civil", state("standing = 'seen_not_kept'")},
		{"type_forbidden", "etat-civil", h.add("secret", "Zoé", 10)},
	} {
		_, err := h.desk.Send(t.Context(), h.selection(c.service, good, c.id))
		if c.id == good {
			_, err = h.desk.Send(t.Context(), h.selection(c.service, good))
		}
		h.refused(c.code, err)
	}
	h.settings(map[string]string{"relay": ""})
	_, err := h.desk.Send(t.Context(), h.selection("etat-civil", good))
	h.refused("no_relay", err)
	h.settings(map[string]string{"relay": "relay.ville.test:587"})
	h.now = h.now.AddDate(0, 2, 0)
	_, err = h.desk.Send(t.Context(), h.selection("chiffre", good))
	h.refused("certificate_expired", err)

	// 10 selections of two documents, three of one.
	if n := h.Text(`SELECT count(*) FROM journal WHERE act = 'refuse_disclosure' AND actor = 'agent:` + string(h.agent) + `'`); n != "23" {
		t.Errorf("%s refusals in the journal", n)
	}
	for what, change := range map[string]func(*dispatch.Selection){
		"no purpose": func(s *dispatch.Selection) { s.Purpose = " " }, "a purpose of two lines": func(s *dispatch.Selection) { s.Purpose = "a\r\nBcc: x" },
		"no document": func(s *dispatch.Selection) { s.Documents = nil }, "one twice": func(s *dispatch.Selection) { s.Documents = []core.DocumentID{good, good} },
		"too many":          func(s *dispatch.Selection) { s.Documents = make([]core.DocumentID, 51) },
		"no id":             func(s *dispatch.Selection) { s.Documents = []core.DocumentID{"nom de Zoé"} },
		"no agent":          func(s *dispatch.Selection) { s.Agent = core.NewID[core.AgentID]() },
		"no citizen":        func(s *dispatch.Selection) { s.Vault = core.NewID[core.CitizenID]() },
		"a stranger's town": func(s *dispatch.Selection) { s.Tenant = core.NewID[core.TenantID]() },
	} {
		s := h.selection("etat-civil", good)
		change(&s)
		if _, err := h.desk.Send(t.Context(), s); !errors.Is(err, core.ErrInvalid) && !errors.Is(err, core.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// An agent of another town, for a citizen of this one: not there, and no entry anywhere.
	elsewhere := h.Found("autre")
	stranger, err := tenant.New(h.HTTP, h.Keeper, h.Index, time.Now).AddAgent(t.Context(), elsewhere, []byte(`{"name":"Autre"}`))
	h.must(err)
	foreigner := h.selection("etat-civil", good)
	foreigner.Tenant, foreigner.Agent = elsewhere.ID, stranger
	if _, err := h.desk.Send(t.Context(), foreigner); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("a citizen of another town: %v", err)
	}
	if n := h.Text(`SELECT count(*) FROM journal WHERE tenant_id = '` + string(elsewhere.ID) + `'`); n != "0" {
		t.Errorf("%s entries in the other town", n)
	}
	if n := h.Text(`SELECT count(*) FROM letter WHERE kind = 'dispatch'`) + h.Text(`SELECT count(*) FROM dispatch`); n != "00" {
		t.Errorf("%s letters and dispatches", n)
	}
}
