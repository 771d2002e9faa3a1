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
	"strings"
	"testing"
	"time"

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
// The room that planning leaves for the summary suffices for the longest there can be.
// What stands in the way is told by a stable code, and the attempt is in the journal.
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
// A version that takes the place of another between the summary and the file is not sent
// under that summary.
// What stands in another document's row is not believed: nothing goes.
// A link opens its document to an agent of the service, for as long as the dispatch
// stands; to nobody else, and everybody's attempt is in the journal (SEC-10, SEC-47).
// Sent anew, a dispatch is laid out for the service as it is now, without what may not go
// any more, and disclosed again.
