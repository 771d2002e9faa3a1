package postgres_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/dispatch"
	"vaguemestre/core/store/postgres/pgtest"
)

// rule lets documents of type rib go to a service.
func (w *town) rule(s dispatch.Service, m dispatch.Moment) {
	w.t.Helper()
	w.must(w.http.SetRule(w.t.Context(), w.tenant, dispatch.Rule{Service: s.ID, Type: "rib", Moment: m, Purpose: "Prélèvement", Created: time.Now()}))
}

// sent is what was sent of the vault, a line each: service, state, and the parts' letters.
func (w *town) sent() []string {
	w.t.Helper()
	all, err := w.http.Dispatches(w.t.Context(), w.tenant, w.address.Vault)
	w.must(err)
	out := []string{}
	for _, d := range all {
		line := d.Service.Code + " " + string(d.State())
		for _, p := range d.Parts {
			line += fmt.Sprintf(" %d.%d:%s", p.Sending, p.N, strings.TrimSpace(string(p.State)+" "+p.Code))
		}
		out = append(out, line)
	}
	slices.Sort(out)
	return out
}

func (w *town) wants(what string, want ...string) {
	w.t.Helper()
	if got := w.sent(); !slices.Equal(got, want) {
		w.t.Errorf("%s: sent %q, want %q", what, got, want)
	}
}

// GW-3: a rule sends a document at the moment it names, to each service once; what waits
// for its citizen's yes goes nowhere (SEC-10).
func TestGW3_RulesSendAtTheirMoment(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	w := newTown(t, d, "a")
	early, late, gone := w.service("early"), w.service("late"), w.service("gone")
	w.rule(early, dispatch.WhenFiled)
	w.rule(late, dispatch.WhenValidated)
	w.rule(gone, dispatch.WhenFiled)
	w.must(w.http.RemoveService(t.Context(), w.tenant, gone.ID, time.Now()))
	id := w.file("1")
	w.wants("to be confirmed")
	move := func(from, to core.DocumentState) {
		t.Helper()
		w.must(w.http.MoveDocument(t.Context(), w.who("move"), id, from, to))
	}
	move(core.DocumentToConfirm, core.DocumentToValidate)
	w.wants("confirmed", "early waiting 1.1:waiting")
	move(core.DocumentToValidate, core.DocumentValidated)
	w.wants("validated", "early waiting 1.1:waiting", "late waiting 1.1:waiting")
	move(core.DocumentValidated, core.DocumentRejected)
	move(core.DocumentRejected, core.DocumentValidated)
	w.wants("validated again", "early waiting 1.1:waiting", "late waiting 1.1:waiting")

	// One that nobody has to confirm goes in the transaction that files it, by the worker;
	// one that proves nothing any more does not.
	file := func(key string, change func(*core.Document)) {
		t.Helper()
		lease := w.claim(w.open(w.deposit(key)), time.Minute)
		w.must(w.worker.Amend(t.Context(), lease, examined))
		f := w.filed(lease)
		f.Document.State = core.DocumentValidated
		change(&f.Document)
		_, err := w.worker.File(t.Context(), lease, f)
		w.must(err)
	}
	file("2", func(*core.Document) {})
	file("3", func(d *core.Document) { d.ValidUntil = core.DateOf(time.Now().AddDate(0, 0, -2)) })
	file("4", func(d *core.Document) { d.Standing = core.StandingExpired })
	file("5", func(d *core.Document) { d.Type = "cni" })
	w.wants("filed", "early waiting 1.1:waiting", "early waiting 1.1:waiting", "late waiting 1.1:waiting", "late waiting 1.1:waiting")
	said := query(t, connect(t, d.SuperURL), `SELECT actor || ' ' || count(*) FROM journal WHERE act = 'disclose' AND purpose LIKE 'dispatch:%' GROUP BY actor`)
	if !slices.Equal(said, []string{"rule 4"}) {
		t.Errorf("journal %q", said)
	}
	if broken, _, err := w.http.VerifyJournal(t.Context(), w.tenant); err != nil || len(broken) > 0 {
		t.Errorf("journal: %v, %v", broken, err)
	}
}

// REL-09: what a rule sends and what made it so are one transaction: all of it, or nothing.
func TestREL09_ARuleIsObeyedWithItsCauseOrNotAtAll(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	w := newTown(t, d, "a")
	w.rule(w.service("early"), dispatch.WhenFiled)
	id := w.file("1")
	c := connect(t, d.SuperURL)
	const counts = `SELECT (SELECT count(*) FROM journal) || ' ' || (SELECT count(*) FROM letter) || ' ' || (SELECT count(*) FROM dispatch) || ' ' || (SELECT count(*) FROM dispatch_document)
		|| ' ' || (SELECT state FROM document)`
	before := query(t, c, counts)
	for _, table := range []string{"dispatch", "dispatch_part", "dispatch_document", "letter", "journal"} {
		d.Exec(`ALTER TABLE ` + table + ` ADD CONSTRAINT broken CHECK (false) NOT VALID`)
		if err := w.http.MoveDocument(t.Context(), w.who("confirm"), id, core.DocumentToConfirm, core.DocumentToValidate); err == nil {
			t.Errorf("moved, though %s takes nothing", table)
		}
		if after := query(t, c, counts); !slices.Equal(after, before) {
			t.Errorf("with %s broken: %q, before %q", table, after, before)
		}
		d.Exec(`ALTER TABLE ` + table + ` DROP CONSTRAINT broken`)
	}
	w.must(w.http.MoveDocument(t.Context(), w.who("confirm"), id, core.DocumentToConfirm, core.DocumentToValidate))
	w.wants("mended", "early waiting 1.1:waiting")
}

// selected is a dispatch by an agent of two documents over two mails.
func (w *town) selected(s dispatch.Service, ids ...core.DocumentID) dispatch.Dispatch {
	out := dispatch.Dispatch{Tenant: w.tenant, Vault: w.address.Vault, ID: core.NewID[dispatch.ID](), Service: s, Agent: w.agent, Sealed: []byte("sealed"), Sending: 1,
		Created: time.Now().UTC().Truncate(time.Microsecond)}
	in := make([]dispatch.Candidate, len(ids))
	for i, id := range ids {
		in[i] = dispatch.Candidate{Document: id, Files: []int64{7_000_000}}
	}
	out.Lay(in)
	return out
}

// confirmed files a document and says its citizen's yes.
func (w *town) confirmed(key string) core.DocumentID {
	w.t.Helper()
	id := w.file(key)
	w.must(w.http.MoveDocument(w.t.Context(), w.who("confirm"), id, core.DocumentToConfirm, core.DocumentToValidate))
	return id
}

// A dispatch reads back as it was written; sent anew its earlier letters do not go any
// more, cancelled none does, and the journal has it all.
func TestDispatchIsSentAnewAndCancelled(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	w := newTown(t, d, "a")
	ctx := t.Context()
	s := w.service("etat-civil")
	one, two := w.confirmed("1"), w.confirmed("2")
	sel := w.selected(s, one, two)
	w.must(w.http.AddDispatch(ctx, sel))
	got, err := w.http.Dispatch(ctx, w.tenant, sel.ID)
	w.must(err)
	for i := range got.Parts {
		if got.Parts[i].State != core.LetterWaiting || got.Parts[i].Letter == "" {
			t.Errorf("part %d: %+v", i+1, got.Parts[i])
		}
		got.Parts[i].Letter, got.Parts[i].State = "", ""
	}
	if fmt.Sprint(got) != fmt.Sprint(sel) {
		t.Errorf("read back\n%+v, written\n%+v", got, sel)
	}
	w.wants("sent", "etat-civil waiting 1.1:waiting 1.2:waiting")
	next := sel
	next.Sending = 2
	next.Lay([]dispatch.Candidate{{Document: one, Files: []int64{1}}, {Document: two, Files: []int64{1}}})
	w.must(w.http.AddSending(ctx, w.who("resend_dispatch"), next))
	w.wants("anew", "etat-civil waiting 1.1:cancelled sent_anew 1.2:cancelled sent_anew 2.1:waiting")
	var r *core.Refusal
	if err := w.http.AddSending(ctx, w.who("resend_dispatch"), next); !errors.As(err, &r) || r.Code != "changed" {
		t.Errorf("the same sending twice: %v", err)
	}
	d.Exec(`UPDATE letter SET lease_until = clock_timestamp() + interval '1 minute' WHERE state = 'waiting'`)
	w.must(w.http.CancelDispatch(ctx, w.who("cancel_dispatch"), sel.ID, time.Now()))
	w.wants("cancelled", "etat-civil cancelled 1.1:cancelled sent_anew 1.2:cancelled sent_anew 2.1:cancelled by_hand_late")
	if err := w.http.CancelDispatch(ctx, w.who("cancel_dispatch"), sel.ID, time.Now()); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("cancelled twice: %v", err)
	}
	acts := query(t, connect(t, d.SuperURL), `SELECT act || ' ' || (sealed IS NOT NULL) FROM journal WHERE actor LIKE 'agent:%' OR act LIKE '%dispatch' ORDER BY seq`)
	want := []string{"disclose true", "disclose true", "resend_dispatch false", "disclose true", "disclose true", "cancel_dispatch false"}
	if !slices.Equal(acts, want) {
		t.Errorf("journal %q, want %q", acts, want)
	}
}

// A document that leaves its state, or the vault, between the look and the commit.
func TestDispatchOfWhatHasMoved(t *testing.T) {
	t.Parallel()
	w := newTown(t, pgtest.New(t), "a")
	s := w.service("etat-civil")
	id := w.confirmed("1")
	other := *w
	other.address = w.enrol()
	foreign := other.confirmed("3")
	for what, ids := range map[string][]core.DocumentID{"to be confirmed": {id, w.file("2")}, "none": {core.NewID[core.DocumentID]()}, "another citizen's": {foreign}} {
		err := w.http.AddDispatch(t.Context(), w.selected(s, ids...))
		var r *core.Refusal
		if !errors.As(err, &r) || r.Code != "changed" {
			t.Errorf("%s: %v", what, err)
		}
	}
	w.wants("refused")
	if err := w.http.AddDispatch(t.Context(), w.selected(dispatch.Service{ID: core.NewID[dispatch.ServiceID]()}, id)); err == nil {
		t.Error("sent to a service that is not there")
	}
}

// SEC-17: a filing undone calls back what waits to take its document to a service; the
// rest of the dispatch goes.
func TestSEC17_DetachRecallsWhatWaits(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	w := newTown(t, d, "a")
	ctx := t.Context()
	one, two := w.confirmed("1"), w.confirmed("2")
	w.must(w.http.AddDispatch(ctx, w.selected(w.service("etat-civil"), one, two)))
	deposit := core.DepositID(query(t, connect(t, d.SuperURL), `SELECT deposit_id::text FROM piece WHERE document_id = $1`, two)[0])
	_, err := w.http.Detach(ctx, w.who("detach_deposit"), deposit, [][]byte{[]byte("wrapped")}, time.Now().Add(time.Hour), nil)
	w.must(err)
	w.wants("detached", "etat-civil cancelled 1.1:waiting 1.2:cancelled withdrawn")
}

// What a service that ended was to receive does not go, and its code is free again.
func TestRemovedServiceReceivesNothing(t *testing.T) {
	t.Parallel()
	w := newTown(t, pgtest.New(t), "a")
	ctx := t.Context()
	s := w.service("etat-civil")
	w.must(w.http.AddDispatch(ctx, w.selected(s, w.confirmed("1"))))
	if err := w.http.AddService(ctx, s); !errors.Is(err, dispatch.ErrCodeTaken) {
		t.Errorf("a second one: %v", err)
	}
	w.must(w.http.RemoveService(ctx, w.tenant, s.ID, time.Now()))
	w.wants("removed", "etat-civil cancelled 1.1:cancelled service_removed")
	if err := w.http.RemoveService(ctx, w.tenant, s.ID, time.Now()); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if err := w.http.ChangeService(ctx, s); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("changed after that: %v", err)
	}
	w.service("etat-civil")
}

// A version that replaces another is a document anew to the rules: it goes, once.
func TestGW3_RulesSendTheVersionThatReplaces(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	w := newTown(t, d, "a")
	w.rule(w.service("early"), dispatch.WhenFiled)
	id := w.confirmed("1")
	proposal := w.file("2")
	d.Exec(`UPDATE document SET replaces = '` + string(id) + `' WHERE id = '` + string(proposal) + `'`)
	w.wants("proposed", "early waiting 1.1:waiting")
	w.must(w.http.Replace(t.Context(), w.who("confirm"), proposal, core.DocumentToValidate, []byte("sealed")))
	w.wants("replaced", "early waiting 1.1:waiting", "early waiting 1.1:waiting")
	versions := query(t, connect(t, d.SuperURL), `SELECT rule_version || ' ' || (rule_document = '`+string(id)+`') FROM dispatch ORDER BY 1`)
	if !slices.Equal(versions, []string{"1 true", "2 true"}) {
		t.Errorf("versions sent %q", versions)
	}
	w.must(w.http.MoveDocument(t.Context(), w.who("move"), id, core.DocumentToValidate, core.DocumentRejected))
	w.must(w.http.MoveDocument(t.Context(), w.who("move"), id, core.DocumentRejected, core.DocumentToValidate))
	if n := len(w.sent()); n != 2 {
		t.Errorf("%d dispatches after a change of mind", n)
	}
}
