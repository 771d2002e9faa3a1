package bounce_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/address"
	"vaguemestre/core/bounce"
	"vaguemestre/core/citizen"
	"vaguemestre/core/intake"
	"vaguemestre/core/store/blob"
	"vaguemestre/core/store/keyfile"
	"vaguemestre/core/store/postgres"
	"vaguemestre/core/store/postgres/pgtest"
	"vaguemestre/core/store/postgres/towntest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// office is a town that has sent letters.
type office struct {
	*towntest.Town
	t      *testing.T
	zoe    towntest.Citizen
	sender core.SenderID // her verified contact
	mailer *postgres.Store
	said   core.DeliveryReport // what the parser finds in every report
	seen   []string            // what it was given
}

func newOffice(t *testing.T) *office {
	t.Helper()
	service, err := keyfile.Open(filepath.Join(t.TempDir(), "kek"))
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blob.OpenFolder(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	o := &office{Town: towntest.New(t, service, blobs), t: t}
	o.zoe, o.mailer = o.Enrol("Zoé"), o.Store(postgres.RoleMailer)
	box, err := o.Keeper.Box(t.Context(), o.ID, o.zoe.ID, []byte("zoe@ville.test"))
	if err != nil {
		t.Fatal(err)
	}
	hash, _ := address.HashSender(o.Index, "zoe@ville.test")
	o.sender, err = o.HTTP.AddSender(t.Context(), o.who(), citizen.Sender{ID: core.NewID[core.SenderID](), Hash: hash, Sealed: box, How: citizen.ByLink, Created: time.Now(), VerifiedAt: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *office) who() core.Access {
	return core.Access{Tenant: o.ID, Vault: o.zoe.ID, Actor: "citizen", Act: "verify_sender", Purpose: "own_vault"}
}

// letter is one that is ordered, and sent when asked; with its return path.
func (o *office) letter(kind core.LetterKind, once string, sent bool) (core.LetterID, string) {
	o.t.Helper()
	id := core.NewID[core.LetterID]()
	order := core.LetterOrder{ID: id, Tenant: o.ID, Kind: kind, Vault: o.zoe.ID, Object: string(core.NewID[core.DocumentID]()), Once: once, Due: time.Now()}
	if err := o.HTTP.PostLetters(o.t.Context(), o.ID, order); err != nil {
		o.t.Fatal(err)
	}
	if sent {
		o.send(id)
	}
	path, ok := address.Bounce(o.Index, o.ID, string(id), towntest.Domain)
	if !ok {
		o.t.Fatal("no return path")
	}
	return id, path
}

func (o *office) send(id core.LetterID) {
	o.t.Helper()
	leases, err := o.mailer.ClaimLetters(o.t.Context(), 10, time.Minute)
	if err != nil {
		o.t.Fatal(err)
	}
	for _, l := range leases {
		if l.ID == id {
			err = o.mailer.SettleLetter(o.t.Context(), l, core.LetterOutcome{State: core.LetterSent, Code: "250"})
		}
	}
	if err != nil {
		o.t.Fatal(err)
	}
}

// arrive takes a message in at a return path, as a channel does.
func (o *office) arrive(path, message string) core.Step {
	o.t.Helper()
	to, err := o.Intake.Locate(o.t.Context(), path)
	if err != nil {
		o.t.Fatalf("locate %s: %v", path, err)
	}
	r, err := o.Intake.Accept(o.t.Context(), core.Deposit{Tenant: to.Tenant, Channel: core.ChannelSMTP, Address: to, Journey: core.JourneyHome, Received: time.Now()},
		core.Body{Type: "message/rfc822", R: strings.NewReader(message)})
	if err != nil {
		o.t.Fatal(err)
	}
	return core.Step{Tenant: o.ID, Noun: core.NounReport, ID: string(r.Deposit)}
}

// read reads a report that has arrived.
func (o *office) read(step core.Step) error {
	o.t.Helper()
	reader := bounce.New(o.Worker, o.Keeper, func(message []byte) core.DeliveryReport {
		o.seen = append(o.seen, string(message))
		return o.said
	})
	return reader.Read(o.t.Context(), o.Lease(step.Noun, step.ID))
}

// says takes in and reads one report.
func (o *office) says(path string, said core.DeliveryReport) {
	o.t.Helper()
	o.said = said
	if err := o.read(o.arrive(path, "From: mailer-daemon@x.test\n\n"+string(core.NewID[core.ObjectID]()))); err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) stands(id core.LetterID, want string) {
	o.t.Helper()
	if got := o.Text(`SELECT concat_ws(' ', state, status) FROM letter WHERE id = '` + string(id) + `'`); got != want {
		o.t.Errorf("letter stands %q, want %q", got, want)
	}
}

// reachable reports whether letters still go to the citizen's contact.
func (o *office) reachable() bool {
	o.t.Helper()
	to, err := o.Worker.Recipients(o.t.Context(), o.ID, o.zoe.ID)
	if err != nil {
		o.t.Fatal(err)
	}
	return to.Contact != nil
}

// What a server says of a letter is noted on that letter, and no deposit comes of it.
func TestREL12_ReportsAreNotedOnTheirLetters(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	id, path := o.letter(core.LetterNotice, "1", true)
	other, _ := o.letter(core.LetterNotice, "2", true)
	for _, c := range []struct {
		said core.DeliveryReport
		want string
	}{
		{core.DeliveryReport{Delivery: core.DeliveryNoReport}, "sent"},
		{core.DeliveryReport{Delivery: core.DeliveryUnclear}, "sent"},
		{core.DeliveryReport{Delivery: core.DeliveryDelayed, Status: "4.4.1"}, "delayed 4.4.1"},
		{core.DeliveryReport{Delivery: core.DeliveryDelivered, Status: "2.0.0"}, "delivered 2.0.0"},
		{core.DeliveryReport{Delivery: core.DeliveryDelayed, Status: "4.4.2"}, "delivered 2.0.0"},
		{core.DeliveryReport{Delivery: core.DeliveryBounced, Status: "5.2.2"}, "bounced 5.2.2"},
		{core.DeliveryReport{Delivery: core.DeliveryDelivered, Status: "2.0.0"}, "bounced 5.2.2"},
	} {
		o.says(path, c.said)
		o.stands(id, c.want)
	}
	o.stands(other, "sent")
	if got := o.Text(`SELECT count(*) FROM deposit`); got != "0" {
		t.Errorf("%s deposits came of reports", got)
	}
	if got := o.Text(`SELECT string_agg(kind, ',') FROM letter WHERE state = 'waiting'`); got != "" {
		t.Errorf("reports were answered: %s", got)
	}
	if got := o.Text(`SELECT string_agg(DISTINCT state, ',') FROM report`); got != "read" {
		t.Errorf("reports stand %s", got)
	}
	if s := bounce.Sentence("5.2.2"); s != "boîte pleine" {
		t.Errorf("said as %q", s)
	}
}

// A citizen's contact from which a letter came back gets no other until it is verified
// again; what goes to others says nothing of it.
func TestREL12_AContactThatBouncedIsLeftAlone(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	gone := core.DeliveryReport{Delivery: core.DeliveryBounced, Status: "5.1.1"}
	for _, l := range []struct {
		kind core.LetterKind
		once string
	}{{core.LetterLink, "verify_sender/1"}, {core.LetterReceipt, "sender"}, {core.LetterDispatch, "1"}} {
		_, path := o.letter(l.kind, l.once, true)
		o.says(path, gone)
		if !o.reachable() {
			t.Fatalf("%s %s: the contact is given up", l.kind, l.once)
		}
	}
	_, path := o.letter(core.LetterLink, "delete_document/2026-11-25", true)
	o.says(path, gone)
	if o.reachable() {
		t.Error("letters still go to a contact that bounced")
	}
	if senders, err := o.HTTP.Senders(t.Context(), o.ID, o.zoe.ID); err != nil || !slices.ContainsFunc(senders, func(n citizen.Sender) bool { return n.ID == o.sender && n.Bounced }) {
		t.Errorf("shown as %+v, %v", senders, err)
	}
	if err := o.HTTP.VerifySender(t.Context(), o.who(), o.sender, time.Now()); err != nil {
		t.Fatal(err)
	}
	if !o.reachable() {
		t.Error("verified again, and still given up")
	}
	if broken, _, err := o.HTTP.VerifyJournal(t.Context(), o.ID); err != nil || len(broken) > 0 {
		t.Errorf("journal: %v %v", broken, err)
	}
}

// A report that overtakes its own letter waits; one on no letter of ours ends quietly.
func TestREL12_ReportsThatComeEarlyOrForNothing(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.said = core.DeliveryReport{Delivery: core.DeliveryBounced, Status: "5.1.1"}
	id, path := o.letter(core.LetterNotice, "1", false)
	step := o.arrive(path, "early")
	if err := o.read(step); !errors.Is(err, bounce.ErrEarly) {
		t.Fatalf("early: %v", err)
	}
	o.Exec(`UPDATE report SET lease_until = NULL`)
	o.send(id)
	if err := o.read(step); err != nil {
		t.Fatal(err)
	}
	o.stands(id, "bounced 5.1.1")

	nobody, _ := address.Bounce(o.Index, o.ID, string(core.NewID[core.LetterID]()), towntest.Domain)
	if err := o.read(o.arrive(nobody, "for nothing")); err != nil {
		t.Fatal(err)
	}
	if got := o.Text(`SELECT reason FROM report ORDER BY received_at DESC LIMIT 1`); got != "unknown_letter" {
		t.Errorf("a report on nothing: %s", got)
	}
	if _, err := o.Intake.Locate(t.Context(), strings.Replace(path, path[:2], "zz", 1)); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("a return path that is none: %v", err)
	}
}

// A letter has so many reports and no more; that is a final answer.
func TestREL12_ALetterHasSoManyReports(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	_, path := o.letter(core.LetterNotice, "1", true)
	for n := range intake.ReportsAtMost {
		o.arrive(path, fmt.Sprint("report ", n))
	}
	to, err := o.Intake.Locate(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	accept := func(message string) error {
		_, err := o.Intake.Accept(t.Context(), core.Deposit{Tenant: to.Tenant, Channel: core.ChannelSMTP, Address: to, Received: time.Now()}, core.Body{Type: "message/rfc822", R: strings.NewReader(message)})
		return err
	}
	var refusal *core.Refusal
	if err := accept("one more"); !errors.As(err, &refusal) || refusal.Code != "too_many_reports" {
		t.Errorf("one more: %v", err)
	}
	if err := accept("report 0"); err != nil {
		t.Errorf("one that is there: %v", err)
	}
}

// Of a report its beginning is kept, sealed, once however often it comes, and not for
// ever.
func TestREL12_ReportsAreKeptSealedAndShortly(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.said = core.DeliveryReport{Delivery: core.DeliveryUnclear}
	_, path := o.letter(core.LetterNotice, "1", true)
	long := "CANARY-" + strings.Repeat("x", 200<<10)
	first := o.arrive(path, long)
	if again := o.arrive(path, long); again.ID != first.ID {
		t.Error("the same report twice")
	}
	if got := o.Text(`SELECT count(*) || ' ' || max(length(sealed)) FROM report WHERE encode(sealed, 'escape') LIKE '%CANARY%' OR length(sealed) > 100000`); got != "" && !strings.HasPrefix(got, "0") {
		t.Errorf("kept in the clear, or whole: %s", got)
	}
	if err := o.read(first); err != nil {
		t.Fatal(err)
	}
	if len(o.seen) != 1 || o.seen[0] != long[:64<<10] {
		t.Errorf("read %d times", len(o.seen))
	}
	scheduler := o.Store(postgres.RoleScheduler)
	if n, err := bounce.Expire(t.Context(), scheduler, time.Now()); n != 0 || err != nil {
		t.Errorf("deleted at once: %d %v", n, err)
	}
	o.Exec(`UPDATE report SET received_at = received_at - interval '31 days'`)
	if n, err := bounce.Expire(t.Context(), scheduler, time.Now().Add(time.Hour)); n != 0 || err == nil {
		t.Errorf("deleted by a wrong clock: %d %v", n, err)
	}
	if n, err := bounce.Expire(t.Context(), scheduler, time.Now()); n != 1 || err != nil {
		t.Errorf("deleted after its time: %d %v", n, err)
	}
}
