package postgres_test

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
	"vaguemestre/core/citizen"
	"vaguemestre/core/dispatch"
	"vaguemestre/core/filing"
	"vaguemestre/core/intake"
	"vaguemestre/core/link"
	"vaguemestre/core/mailbox"
	"vaguemestre/core/opening"
	"vaguemestre/core/store/postgres"
	"vaguemestre/core/store/postgres/pgtest"
	"vaguemestre/core/tenant"
)

var update = flag.Bool("update", false, "rewrite testdata")

func TestMain(m *testing.M) { pgtest.Main(m) }

// town is one tenant with one citizen. What would be sealed is any bytes here: the
// database never looks into them.
type town struct {
	t       testing.TB
	d       *pgtest.Database
	tenant  core.TenantID
	agent   core.AgentID
	address core.Address

	http, smtp, worker, imap *postgres.Store
}

func newTown(t testing.TB, d *pgtest.Database, code string) *town {
	t.Helper()
	ctx := t.Context()
	w := &town{t: t, d: d, tenant: core.NewID[core.TenantID](), agent: core.NewID[core.AgentID](),
		http: d.Store(postgres.RoleHTTP), smtp: d.Store(postgres.RoleSMTP), worker: d.Store(postgres.RoleWorker), imap: d.Store(postgres.RoleIMAP)}
	settings := tenant.Defaults()
	settings.DepositDomain = code + ".test"
	w.must(w.http.AddTenant(ctx, tenant.Founding{
		Tenant: tenant.Tenant{ID: w.tenant, Code: code, Name: "Ville " + code}, Settings: settings, Catalogue: "types: []",
		IntakePublic: []byte("public"), IntakeWrapped: []byte("wrapped"), Created: time.Now(),
		Generic: &tenant.Generic{ID: core.NewID[core.AddressID](), Hash: sum("depot@" + code)},
	}))
	w.must(w.http.AddAgent(ctx, w.tenant, w.agent, []byte("sealed"), time.Now()))
	w.address = w.enrol()
	return w
}

// know adds a sender of the citizen's, a link to verify it, a secret of the town's, and a mailbox.
func (w *town) know() {
	w.t.Helper()
	ctx := w.t.Context()
	who := core.Access{Tenant: w.tenant, Vault: w.address.Vault, Actor: "test", Act: "add_sender"}
	sender, err := w.http.AddSender(ctx, who, citizen.Sender{ID: core.NewID[core.SenderID](), Hash: sum("zoe@ville.test"), Sealed: []byte("sealed"), How: citizen.ByLink, Created: time.Now()})
	w.must(err)
	w.must(w.http.AddLink(ctx, link.Link{Tenant: w.tenant, Vault: w.address.Vault, Hash: sum("token"), Purpose: link.VerifySender, Object: string(sender),
		Created: time.Now(), Expires: time.Now().Add(time.Hour)}))
	w.must(w.http.PutSecret(ctx, w.tenant, tenant.SecretRelay, []byte("sealed"), time.Now()))
	box := mailbox.Mailbox{ID: core.NewID[core.MailboxID](), Tenant: w.tenant, Settings: mailbox.Defaults(), Enabled: true, Created: time.Now()}
	w.must(w.http.AddMailbox(ctx, box))
	lease, err := w.imap.LeaseMailbox(ctx, w.tenant, box.ID, time.Minute)
	w.must(err)
	w.must(w.imap.RememberMessages(ctx, lease, "INBOX", 1, []mailbox.Remembered{{UID: 1, Handling: mailbox.Taken, Next: time.Now()}}))
	w.must(w.http.PostLetters(ctx, w.tenant, w.letter("1")))
	_, err = w.smtp.RecordReport(ctx, intake.Report{Tenant: w.tenant, ID: core.NewID[core.ReportID](), Letter: "00112233445566778899", Channel: core.ChannelSMTP,
		Fingerprint: []byte("report"), Received: time.Now(), Sealed: []byte("sealed")})
	w.must(err)
}

// send has a rule send a document that waited to be confirmed to a service with an agent.
func (w *town) send(id core.DocumentID) {
	w.t.Helper()
	ctx := w.t.Context()
	service := w.service("etat-civil")
	w.must(w.http.SetRule(ctx, w.tenant, dispatch.Rule{Service: service.ID, Type: "rib", Moment: dispatch.WhenFiled, Purpose: "Prélèvement", Created: time.Now()}))
	w.must(w.http.AddServiceAgent(ctx, w.tenant, service.ID, w.agent, time.Now()))
	w.must(w.http.MoveDocument(ctx, w.who("confirm"), id, core.DocumentToConfirm, core.DocumentToValidate))
}

// who is somebody at work in the vault.
func (w *town) who(act string) core.Access {
	return core.Access{Tenant: w.tenant, Vault: w.address.Vault, Actor: "test", Act: act}
}

// service adds a service with its mailbox.
func (w *town) service(code string) dispatch.Service {
	w.t.Helper()
	v := dispatch.Service{Tenant: w.tenant, ID: core.NewID[dispatch.ServiceID](), Code: code, Name: "Service " + code, Mailbox: code + "@ville.test", Language: "fr",
		MaxBytes: dispatch.DefaultMaxBytes, Template: dispatch.DefaultTemplate, Created: time.Now().UTC().Truncate(time.Microsecond)}
	w.must(w.http.AddService(w.t.Context(), v))
	return v
}

// letter orders a receipt, due now and counted once a day at most five times.
func (w *town) letter(object string) core.LetterOrder {
	return core.LetterOrder{ID: core.NewID[core.LetterID](), Tenant: w.tenant, Kind: core.LetterReceipt, Vault: w.address.Vault, Object: object,
		Due: time.Now(), Sealed: []byte("sealed"), Address: sum("zoe today"), Limit: 5}
}

// enrol adds a citizen and returns their address.
func (w *town) enrol() core.Address {
	w.t.Helper()
	a := core.Address{ID: core.NewID[core.AddressID](), Tenant: w.tenant, Vault: core.NewID[core.CitizenID]()}
	w.must(w.http.AddCitizen(w.t.Context(), citizen.Enrolment{
		Tenant: w.tenant, ID: a.Vault, Identity: []byte("sealed"), VaultKey: []byte("wrapped"), Consent: citizen.ConsentVersion, Created: time.Now(),
		Address: citizen.Address{ID: a.ID, Hash: sum(string(a.ID)), Sealed: []byte("sealed"), Created: time.Now()},
		Contact: citizen.Sender{ID: core.NewID[core.SenderID](), Hash: sum(string(a.Vault)), Sealed: []byte("sealed"), How: citizen.ByLink, Created: time.Now()},
		Alike:   []citizen.Likeness{{Kind: citizen.LikeName, Hash: sum("zoe durand")}},
	}))
	return a
}

// deposit records an arrival of one body, named key.
func (w *town) deposit(key string) core.Step {
	w.t.Helper()
	r := intake.Record{
		Deposit: core.Deposit{Tenant: w.tenant, Channel: core.ChannelSMTP, Key: key, Address: w.address, Journey: core.JourneyHome, Received: time.Now()},
		ID:      core.NewID[core.DepositID](), Trust: core.T2, TrustReason: "secret_address", Fingerprint: sum(string(w.tenant) + key), Envelope: []byte("sealed"),
		Bodies: []core.SealedBody{{Type: "message/rfc822", Sealed: sealed(), Digest: sum(key), Meta: []byte("sealed")}},
	}
	receipt, err := w.smtp.RecordDeposit(w.t.Context(), r)
	w.must(err)
	return core.Step{Tenant: w.tenant, Noun: core.NounDeposit, ID: string(receipt.Deposit)}
}

// open leads a deposit to its one piece.
func (w *town) open(step core.Step) core.Step {
	w.t.Helper()
	lease := w.claim(step, time.Minute)
	id := core.NewID[core.PieceID]()
	w.must(w.worker.Opened(w.t.Context(), lease, opening.Opened{
		Attribution: core.Attribution{Vault: w.address.Vault, Trust: core.T2, Reason: "secret_address"}, Rewrapped: [][]byte{[]byte("rewrapped")}, Note: []byte("sealed"),
		Pieces: []opening.Piece{{Digest: sum(string(id)), Piece: core.Piece{Tenant: w.tenant, ID: id, Deposit: core.DepositID(step.ID), Vault: w.address.Vault,
			N: 1, Sealed: sealed(), Meta: []byte("sealed"), State: core.PieceWaiting}}},
	}))
	return core.Step{Tenant: w.tenant, Noun: core.NounPiece, ID: string(id)}
}

func (w *town) claim(step core.Step, ttl time.Duration) core.Lease {
	w.t.Helper()
	lease, err := w.worker.Claim(w.t.Context(), step, ttl)
	w.must(err)
	return lease
}

// examined moves a leased piece on by one state, with an artifact.
func examined(p *core.Piece) error {
	p.Kind, p.Pages, p.State = core.KindPDF, 1, core.PieceExamined
	p.Artifacts = []core.Artifact{{Kind: core.ArtifactEvidence, Producer: "test/1", Sealed: []byte("sealed")}}
	return nil
}

// filed is a document made of the leased piece.
func (w *town) filed(lease core.Lease) filing.Filed {
	who := core.Access{Tenant: w.tenant, Vault: w.address.Vault, Actor: "pipeline", Act: "file", Purpose: "file_deposit", Object: lease.ID}
	return filing.Filed{Fingerprint: sum(lease.ID), Access: who, Document: core.Document{
		Tenant: w.tenant, Vault: w.address.Vault, ID: core.NewID[core.DocumentID](), Type: "rib", Catalogue: 1,
		State: core.DocumentToConfirm, Standing: core.StandingCurrent, Channel: core.ChannelSMTP, Journey: core.JourneyHome,
		Created: time.Now(), Meta: []byte("sealed"), Parts: []core.PiecePages{{Piece: core.PieceID(lease.ID)}},
	}}
}

// file leads a deposit all the way, so that every table has a row of this town.
func (w *town) file(key string) core.DocumentID {
	w.t.Helper()
	lease := w.claim(w.open(w.deposit(key)), time.Minute)
	w.must(w.worker.Amend(w.t.Context(), lease, examined))
	id, err := w.worker.File(w.t.Context(), lease, w.filed(lease))
	w.must(err)
	return id
}

func (w *town) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func sealed() core.Sealed {
	object := core.NewID[core.ObjectID]()
	return core.Sealed{Object: object, Ref: core.Ref("ref/" + object), Size: 10, Wrapped: []byte("wrapped")}
}

func sum(s string) []byte {
	h := sha256.Sum256([]byte(s))
	return h[:]
}

// connect opens one connection of its own, for SQL past the store.
func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// query returns all rows, each value as text, columns separated by spaces.
func query(t testing.TB, c *pgx.Conn, sql string, args ...any) []string {
	t.Helper()
	rows, err := c.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatalf("%v in %s", err, sql)
	}
	out, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (string, error) {
		values, err := r.Values()
		line := fmt.Sprintln(values...)
		return line[:len(line)-1], err
	})
	if err != nil {
		t.Fatalf("%v in %s", err, sql)
	}
	return out
}
