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
	"net/mail"
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

// Between the selection and its sending things change: what may not go any more does not,
// and what may not go as a file goes as a link.
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

// A version that takes the place of another between the summary and the file is not sent
// under that summary.
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

// What stands in another document's row is not believed: nothing goes.
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

// A link opens its document to an agent of the service, for as long as the dispatch
// stands; to nobody else, and everybody's attempt is in the journal (SEC-10, SEC-47).
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

// Sent anew, a dispatch is laid out for the service as it is now, without what may not go
// any more, and disclosed again.
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

func TestServiceFaults(t *testing.T) {
	h := newHouse(t)
	h.service("etat-civil", nil)
	day := h.now.AddDate(0, 0, 1)
	for what, change := range map[string]func(*dispatch.Service){
		"no mailbox":                   func(s *dispatch.Service) { s.Mailbox = "" },
		"two mailboxes":                func(s *dispatch.Service) { s.Mailbox = "a@mairie.test,b@mairie.test" },
		"a mailbox with a line's end":  func(s *dispatch.Service) { s.Mailbox = "a@mairie.test\r\nBcc: x@y.test" },
		"a mailbox with a name":        func(s *dispatch.Service) { s.Mailbox = "A <a@mairie.test>" },
		"a mailbox with a route":       func(s *dispatch.Service) { s.Mailbox = "a%b@c@mairie.test" },
		"an address literal":           func(s *dispatch.Service) { s.Mailbox = "a@[127.0.0.1]" },
		"a deposit address":            func(s *dispatch.Service) { s.Mailbox = "a@" + towntest.Domain },
		"the generic address":          func(s *dispatch.Service) { s.Mailbox = "depot@ville.test" },
		"a tag of the generic address": func(s *dispatch.Service) { s.Mailbox = "Depot+x@ville.test" },
		"no name":                      func(s *dispatch.Service) { s.Name = "  " },
		"a name of two lines":          func(s *dispatch.Service) { s.Name = "a\nb" },
		"a name that turns":            func(s *dispatch.Service) { s.Name = "a\u202eb" },
		"a code with capitals":         func(s *dispatch.Service) { s.Code = "État" },
		"another language":             func(s *dispatch.Service) { s.Language = "de" },
		"too small a size":             func(s *dispatch.Service) { s.MaxBytes = 10 },
		"too large a size":             func(s *dispatch.Service) { s.MaxBytes = 1 << 40 },
		"a template of a path":         func(s *dispatch.Service) { s.Template = "../{n}" },
		"no certificate": func(s *dispatch.Service) {
			s.Certificate = []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
		},
		"a key in its place":       func(s *dispatch.Service) { s.Certificate = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY"}) },
		"a certificate that ended": func(s *dispatch.Service) { s.Certificate = certificate(t, h.now, h.now.Add(-time.Minute), nil) },
		"a certificate of tomorrow": func(s *dispatch.Service) {
			s.Certificate = certificate(t, day.Add(2*time.Hour), day.AddDate(1, 0, 0), nil)
		},
		"a certificate for signing": func(s *dispatch.Service) {
			s.Certificate = certificate(t, h.now, day, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })
		},
		"a certificate for web servers": func(s *dispatch.Service) {
			s.Certificate = certificate(t, h.now, day, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
		},
		"an authority's certificate": func(s *dispatch.Service) {
			s.Certificate = certificate(t, h.now, day, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true })
		},
		"another mailbox's certificate": func(s *dispatch.Service) {
			s.Certificate = certificate(t, h.now, day, func(c *x509.Certificate) { c.EmailAddresses = []string{"maire@mairie.test"} })
		},
	} {
		s := dispatch.Service{Tenant: h.ID, Code: "x", Name: "X", Mailbox: "x@mairie.test"}
		change(&s)
		if _, err := h.dir.Add(t.Context(), s); !errors.Is(err, core.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := h.dir.Add(t.Context(), dispatch.Service{Tenant: h.ID, Code: "etat-civil", Name: "X", Mailbox: "x@mairie.test"}); !errors.Is(err, dispatch.ErrCodeTaken) {
		t.Errorf("a code twice: %v", err)
	}
	own := func(c *x509.Certificate) { c.EmailAddresses = []string{"X@mairie.test"} }
	h.service("x", func(s *dispatch.Service) { s.Certificate = certificate(t, h.now, day, own) })
	for what, rule := range map[string]dispatch.Rule{
		"no such type": {Type: "cni", Moment: dispatch.WhenFiled, Purpose: "p"}, "no moment": {Type: "avis", Moment: "later", Purpose: "p"}, "no purpose": {Type: "avis", Moment: dispatch.WhenFiled},
	} {
		if _, err := h.dir.SetRule(t.Context(), h.ID, "x", rule); !errors.Is(err, core.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := h.dir.SetRule(t.Context(), h.ID, "x", dispatch.Rule{Type: "secret", Moment: dispatch.WhenFiled, Purpose: "p"})
	h.refused("type_forbidden", err)
	if all, err := h.dir.List(t.Context(), h.ID); err != nil || len(all) != 2 {
		t.Errorf("%d services, %v", len(all), err)
	}
}
