package dispatch_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vaguemestre/channels/mailout/typeset"
	"vaguemestre/core"
	"vaguemestre/core/catalogue"
	"vaguemestre/core/dispatch"
	"vaguemestre/core/filing"
	"vaguemestre/core/link"
	"vaguemestre/core/store/blob"
	"vaguemestre/core/store/keyfile"
	"vaguemestre/core/store/postgres"
	"vaguemestre/core/store/postgres/pgtest"
	"vaguemestre/core/store/postgres/towntest"
	"vaguemestre/core/tenant"
	"vaguemestre/core/vault"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const types = `types:
  - {code: avis, label: Avis d’imposition, family: F, validity: [{until: never}]}
  - {code: sante, label: Certificat médical, family: F, sensitive: true, validity: [{until: never}]}
  - {code: locked, label: Relevé, family: F, dispatch: link, validity: [{until: never}]}
  - {code: secret, label: Casier, family: F, dispatch: none, validity: [{until: never}]}
`

// house is a town that sends, with a service, its agent, and a citizen.
type house struct {
	*towntest.Town
	t       *testing.T
	now     time.Time
	zoe     towntest.Citizen
	agent   core.AgentID
	dir     *dispatch.Directory
	desk    *dispatch.Desk
	compose *dispatch.Composer
	files   map[core.DocumentID][]byte
}

func newHouse(t *testing.T) *house {
	t.Helper()
	service, err := keyfile.Open(filepath.Join(t.TempDir(), "kek"))
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blob.OpenFolder(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	h := &house{Town: towntest.New(t, service, blobs), t: t, now: time.Now(), files: map[core.DocumentID][]byte{}}
	h.zoe = h.Enrol("Zoé")
	h.types(types)
	h.settings(map[string]string{"relay": "relay.ville.test:587", "mail_from": "nepasrepondre@ville.test", "portal": "https://demarches.ville.test", "generic_address": "depot@ville.test"})
	h.agent, err = tenant.New(h.HTTP, h.Keeper, h.Index, time.Now).AddAgent(t.Context(), h.Founding, []byte(`{"name":"Odile Martin"}`))
	h.must(err)
	clock := func() time.Time { return h.now }
	h.dir = dispatch.NewDirectory(h.HTTP, clock)
	h.desk = dispatch.NewDesk(h.HTTP, h.Keeper, vault.NewReader(h.HTTP, h.Keeper, h.Blobs), link.New(h.HTTP, h.Index, clock), clock)
	mailer := h.Store(postgres.RoleMailer)
	h.compose = dispatch.NewComposer(mailer, h.Keeper, vault.NewReader(mailer, h.Keeper, vault.WithRows{Blobs: blobs, Rows: mailer}), link.New(mailer, h.Index, clock), clock)
	return h
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) types(yaml string) {
	h.Exec("INSERT INTO catalogue SELECT tenant_id, max(version) + 1, $$" + yaml + "$$, now() FROM catalogue GROUP BY tenant_id")
}

func (h *house) settings(values map[string]string) {
	h.t.Helper()
	_, _, err := tenant.New(h.HTTP, h.Keeper, h.Index, time.Now).Change(h.t.Context(), h.ID, func(s *tenant.Settings) error { return s.Set(values) })
	h.must(err)
}

// service declares one; change sets what is not the default.
func (h *house) service(code string, change func(*dispatch.Service)) dispatch.Service {
	h.t.Helper()
	s := dispatch.Service{Tenant: h.ID, Code: code, Name: "Service " + code, Mailbox: code + "@mairie.test"}
	if change != nil {
		change(&s)
	}
	s, err := h.dir.Add(h.t.Context(), s)
	h.must(err)
	return s
}

// add files a document of so many random bytes that nobody has to confirm.
func (h *house) add(typ, holder string, size int) core.DocumentID {
	h.t.Helper()
	file := make([]byte, size)
	_, _ = mrand.NewChaCha8([32]byte{byte(len(h.files)), 9}).Read(file)
	sum := sha256.Sum256(file)
	h.Origin = core.Origin{From: "zoe@ville.test"}
	lease, p := h.Piece(h.zoe, fmt.Sprint("k", len(h.files)), file, core.PieceRecognised)
	p.Trust = core.T3
	v := core.Verdict{Type: typ, Confidence: 0.9, Holder: holder, Issued: core.Date{Year: 2026, Month: 7, Day: 31}}
	id, err := filing.New(h.Worker, h.Keeper, func() time.Time { return h.now }).File(h.t.Context(), lease, p, core.PieceMeta{FileName: "x.exe", SHA256: hex.EncodeToString(sum[:])}, v, catalogue.Type{Code: typ})
	h.must(err)
	h.files[id] = file
	return id
}

func (h *house) selection(service string, ids ...core.DocumentID) dispatch.Selection {
	return dispatch.Selection{Tenant: h.ID, Agent: h.agent, Vault: h.zoe.ID, Service: service, Documents: ids, Purpose: "Inscription scolaire"}
}

func (h *house) send(service string, ids ...core.DocumentID) dispatch.Dispatch {
	h.t.Helper()
	d, err := h.desk.Send(h.t.Context(), h.selection(service, ids...))
	h.must(err)
	return d
}

// letter composes a part as the mailer does.
func (h *house) letter(d dispatch.Dispatch, part int) (core.Letter, error) {
	p := d.Latest()[part]
	return h.compose.Compose(h.t.Context(), core.LetterLease{LetterOrder: core.LetterOrder{ID: p.Letter, Tenant: h.ID, Kind: core.LetterDispatch, Vault: h.zoe.ID, Object: string(p.ID)}})
}

func (h *house) mustLetter(d dispatch.Dispatch, part int) core.Letter {
	h.t.Helper()
	l, err := h.letter(d, part)
	h.must(err)
	return l
}

// names are the names of a letter's files, whose bytes must be the documents'.
func (h *house) names(l core.Letter, ids ...core.DocumentID) []string {
	h.t.Helper()
	var out []string
	for i, f := range l.Files {
		r, err := f.Open(h.t.Context())
		h.must(err)
		b, err := io.ReadAll(r)
		r.Close()
		h.must(err)
		if !bytes.Equal(b, h.files[ids[i]]) || f.Size != int64(len(b)) || f.Type != "application/pdf" {
			h.t.Errorf("file %d: %d bytes of type %s, said to be %d; want those of document %s", i+1, len(b), f.Type, f.Size, ids[i])
		}
		out = append(out, f.Name)
	}
	return out
}

// journal is the vault's journal since its beginning: actor, act, object's beginning.
func (h *house) journal(acts ...string) []string {
	h.t.Helper()
	all := h.Text(`SELECT string_agg(split_part(actor, ':', 1) || ' ' || act || ' ' || left(object, 8), '|' ORDER BY seq) FROM journal
		WHERE chain LIKE 'vault:%' AND act = ANY('{` + strings.Join(acts, ",") + `}')`)
	return strings.Split(all, "|")
}

// GW-3: what an agent selects is laid out over mails, each with its summary, its files
// under names that sort, and the bytes of the vault; the journal knew before any was opened.
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
		if m.Size() > 1_000_000 {
			t.Errorf("part %d is sent as %d bytes", i+1, m.Size())
		}
	}
	got := h.journal("disclose", "compose_dispatch", "read")
	short := func(id string) string { return id[:8] }
	expected := []string{}
	for _, id := range []core.DocumentID{one, two, three} {
		expected = append(expected, "agent disclose "+short(string(id)))
	}
	expected = append(expected, "mailer compose_dispatch "+short(string(d.Parts[0].ID)), "mailer read "+short(string(one)), "mailer read "+short(string(two)),
		"mailer compose_dispatch "+short(string(d.Parts[1].ID)), "mailer read "+short(string(three)))
	if !slices.Equal(got, expected) {
		t.Errorf("journal\n%q, want\n%q", got, expected)
	}
	if again := h.mustLetter(d, 0); again.Text != h.mustLetter(d, 0).Text || again.HTML != h.mustLetter(d, 0).HTML {
		t.Error("composed again, a part says something else")
	}
}

// The room that planning leaves for the summary suffices for the longest there can be.
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

// What stands in the way is told by a stable code, and the attempt is in the journal.
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
		{"unknown_document", "etat-civil", state("standing = 'deleted'")},
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
	if n := h.Text(`SELECT count(*) FROM letter WHERE kind = 'dispatch'`) + h.Text(`SELECT count(*) FROM dispatch`); n != "00" {
		t.Errorf("%s letters and dispatches", n)
	}
}

func (h *house) refused(code string, err error) {
	h.t.Helper()
	var r *core.Refusal
	if !errors.As(err, &r) || r.Code != code {
		h.t.Errorf("want %s, got %v", code, err)
	} else if !strings.HasSuffix(r.Reason, ".") || strings.ContainsAny(r.Reason, "'\"") {
		h.t.Errorf("%s: %q", code, r.Reason)
	}
}

// certificate makes one for e-mail, self-signed, PEM.
func certificate(t *testing.T, from, until time.Time, change func(*x509.Certificate)) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Service"}, NotBefore: from.Add(-time.Hour), NotAfter: until,
		KeyUsage: x509.KeyUsageKeyAgreement, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}}
	if change != nil {
		change(c)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
