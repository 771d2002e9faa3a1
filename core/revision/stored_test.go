package revision_test

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/attribution"
	"vaguemestre/core/catalogue"
	"vaguemestre/core/citizen"
	"vaguemestre/core/filing"
	"vaguemestre/core/link"
	"vaguemestre/core/reply"
	"vaguemestre/core/revision"
	"vaguemestre/core/store/blob"
	"vaguemestre/core/store/keyfile"
	"vaguemestre/core/store/postgres"
	"vaguemestre/core/store/postgres/pgtest"
	"vaguemestre/core/store/postgres/towntest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// vault is a citizen's vault on a real database, filled by letters and answers.
type vault struct {
	*towntest.Town
	t       *testing.T
	zoe     towntest.Citizen
	filer   *filing.Filer // as the worker
	yes     *filing.Filer // as the citizen
	replies *reply.Addresses
	reviser *revision.Reviser
	now     time.Time
	n       int
}

var types = []catalogue.Type{{Code: "avis", Validity: catalogue.Rules{{Until: catalogue.FromIssue, Months: 12}}}, {Code: "facture"}}

func typeOf(code string) (catalogue.Type, bool) {
	for _, t := range types {
		if t.Code == code {
			return t, true
		}
	}
	return catalogue.Type{}, false
}

func newVault(t *testing.T) *vault {
	t.Helper()
	service, err := keyfile.Open(filepath.Join(t.TempDir(), "kek"))
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blob.OpenFolder(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	v := &vault{Town: towntest.New(t, service, blobs), t: t, now: time.Now()}
	clock := func() time.Time { return v.now }
	v.zoe = v.Enrol("Zoé")
	v.filer, v.yes = filing.New(v.Worker, v.Keeper, clock), filing.New(v.HTTP, v.Keeper, clock)
	v.replies = reply.New(v.Store(postgres.RoleMailer), v.Keeper, v.Index, clock)
	v.reviser = revision.New(v.HTTP, v.Keeper, link.New(v.HTTP, v.Index, clock), clock)
	return v
}

func (v *vault) who() core.Access {
	return core.Access{Tenant: v.ID, Vault: v.zoe.ID, Actor: "citizen", Purpose: "own_vault"}
}

// send files a file that came to an address, and says what became of it.
func (v *vault) send(to core.Address, trust core.Trust, kind, content string) (core.DepositID, core.DocumentID, string) {
	v.t.Helper()
	v.n++
	v.now = v.now.Add(time.Millisecond)
	return v.lead(to, fmt.Sprintf("mail %d", v.n), trust, kind, content)
}

func (v *vault) lead(to core.Address, key string, trust core.Trust, kind, content string) (core.DepositID, core.DocumentID, string) {
	v.t.Helper()
	owner := v.zoe
	owner.Owning = to
	lease, p := v.Piece(owner, key, []byte(content), core.PieceRecognised)
	p.Trust = trust
	typ, _ := typeOf(kind)
	id, err := v.filer.File(v.t.Context(), lease, p, core.PieceMeta{FileName: content + ".pdf", SHA256: content}, core.Verdict{Type: kind, Confidence: 0.9, Issued: core.Date{Year: v.now.Year(), Month: 1, Day: 1 + v.n}}, typ)
	if err != nil {
		v.t.Fatalf("file %s: %v", content, err)
	}
	return p.Deposit, id, v.Text(`SELECT coalesce(reason,'') FROM piece WHERE id = '` + string(p.ID) + `'`)
}

// answers is the address at which a deposit is answered.
func (v *vault) answers(d core.DepositID) core.Address {
	v.t.Helper()
	shown, err := v.replies.Address(v.t.Context(), v.ID, v.zoe.ID, d, towntest.Domain)
	if err != nil || shown == "" {
		v.t.Fatalf("reply address: %q, %v", shown, err)
	}
	a, err := v.Intake.Locate(v.t.Context(), shown)
	if err != nil || a.Vault != v.zoe.ID {
		v.t.Fatalf("locate reply address: %v, %v", a, err)
	}
	return a
}

// shows is the vault as its owner sees it: type, state, version, file.
func (v *vault) shows() string {
	v.t.Helper()
	docs, err := v.HTTP.Documents(v.t.Context(), v.ID, v.zoe.ID)
	if err != nil {
		v.t.Fatal(err)
	}
	var out []string
	for _, d := range docs {
		versions, err := v.reviser.Versions(v.t.Context(), v.who(), d.ID)
		if err != nil {
			v.t.Fatal(err)
		}
		file := ""
		for _, n := range versions {
			if n.InForce {
				file = n.FileName
			}
		}
		out = append(out, fmt.Sprintf("%s %s v%d %s", d.Type, d.State, d.Version, file))
	}
	return strings.Join(out, ", ")
}

func (v *vault) want(what string) {
	v.t.Helper()
	if got := v.shows(); got != what {
		v.t.Errorf("the vault shows\n\t%s\nwant\n\t%s", got, what)
	}
	if broken, _, err := v.HTTP.VerifyJournal(v.t.Context(), v.ID); err != nil || len(broken) > 0 {
		v.t.Errorf("journal: %v %v", broken, err)
	}
}

// At T3 a reply's file is the new version of the document; the former comes back, and so
// does the new one; the same content again is no version.
func TestNIM2_AReplyReplacesAndIsTakenBack(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	first, id, reason := v.send(v.zoe.Owning, core.T3, "avis", "a")
	if reason != "" {
		t.Errorf("no reply came to %q", reason)
	}
	was, err := v.HTTP.Document(t.Context(), v.ID, v.zoe.ID, id)
	if err != nil {
		t.Fatal(err)
	}
	_, replaced, reason := v.send(v.answers(first), core.T3, "avis", "b")
	if replaced != id || reason != filing.ReasonReplaced {
		t.Errorf("replaced %s by %s: %s", id, replaced, reason)
	}
	v.want("avis to_validate v2 b.pdf")
	if _, again, reason := v.send(v.answers(first), core.T3, "avis", "b"); again != id || reason != "" {
		t.Errorf("the same content again: %s %q", again, reason)
	}
	v.want("avis to_validate v2 b.pdf")
	if err := v.reviser.Restore(t.Context(), v.who(), id, 1); err != nil {
		t.Fatal(err)
	}
	v.want("avis to_validate v1 a.pdf")
	is, err := v.HTTP.Document(t.Context(), v.ID, v.zoe.ID, id)
	if err != nil || is.ValidUntil != was.ValidUntil || is.State != was.State || is.Channel != was.Channel {
		t.Errorf("restored as %+v, was %+v, %v", is, was, err)
	}
	if err := v.reviser.Restore(t.Context(), v.who(), id, 2); err != nil {
		t.Fatal(err)
	}
	v.want("avis to_validate v2 b.pdf")
	if err := v.reviser.Restore(t.Context(), v.who(), id, 2); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("restoring what is in force: %v", err)
	}
	// The content that left comes in anew, for itself; then it cannot stand twice.
	_, anew, _ := v.send(v.zoe.Owning, core.T3, "avis", "a")
	if anew == id {
		t.Error("content that left was lost in the document it left")
	}
	v.want("avis to_validate v2 b.pdf, avis to_validate v1 a.pdf")
	if err := v.reviser.Restore(t.Context(), v.who(), id, 1); !errors.Is(err, core.ErrInvalid) {
		t.Errorf("one content in two documents: %v", err)
	}
	if err := v.reviser.Delete(t.Context(), v.who(), anew); err != nil {
		t.Fatal(err)
	}
	v.now = v.now.Add(revision.UndoFor + time.Minute)
	if err := v.reviser.Restore(t.Context(), v.who(), id, 1); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("restoring after thirty days: %v", err)
	}
	v.want("avis to_validate v2 b.pdf")
}

// Below T3 nothing is replaced before the citizen says yes.
func TestSEC54_AReplacementBelowT3WaitsForTheYes(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	first, id, _ := v.send(v.zoe.Owning, core.T3, "avis", "a")
	forged, proposal, reason := v.send(v.answers(first), core.T2, "avis", "forged")
	if proposal == id || reason != filing.ReasonProposed {
		t.Errorf("proposed as %s of %s: %s", proposal, id, reason)
	}
	v.want("avis to_validate v1 a.pdf, avis to_confirm v1 forged.pdf")
	// The citizen replies to that again, proven: it is the document that is replaced.
	if _, replaced, reason := v.send(v.answers(forged), core.T3, "avis", "c"); replaced != id || reason != filing.ReasonReplaced {
		t.Errorf("answer to the proposal: %s %s", replaced, reason)
	}
	v.want("avis to_validate v2 c.pdf, avis to_confirm v1 forged.pdf")
	now, state, err := v.yes.Confirm(t.Context(), v.who(), proposal, typeOf)
	if err != nil || now != id || state != core.DocumentToValidate {
		t.Fatalf("yes: %s %s %v", now, state, err)
	}
	v.want("avis to_validate v3 forged.pdf")
	if _, _, err := v.yes.Confirm(t.Context(), v.who(), proposal, typeOf); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("yes again: %v", err)
	}
	if err := v.reviser.Restore(t.Context(), v.who(), id, 1); err != nil {
		t.Fatal(err)
	}
	v.want("avis to_validate v1 a.pdf")

	// What it was to replace is gone by the time of the yes: it stands for itself.
	_, late, _ := v.send(v.answers(first), core.T2, "avis", "late")
	if err := v.reviser.Delete(t.Context(), v.who(), id); err != nil {
		t.Fatal(err)
	}
	if now, _, err := v.yes.Confirm(t.Context(), v.who(), late, typeOf); err != nil || now != late {
		t.Errorf("yes to an orphan: %s %v", now, err)
	}
	v.want("avis to_validate v1 late.pdf")
}

// The type decides what is replaced; where it does not, nothing is.
func TestNIM2_AReplyReplacesOnlyItsOwnKind(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	first, id, _ := v.send(v.zoe.Owning, core.T3, "avis", "a")
	if _, other, reason := v.send(v.answers(first), core.T3, "facture", "f"); other == id || reason != filing.ReasonOtherType {
		t.Errorf("another type: %s %s", other, reason)
	}
	v.want("avis to_validate v1 a.pdf, facture to_validate v1 f.pdf")
	v.send(v.answers(first), core.T3, "avis", "b")
	v.want("avis to_validate v2 b.pdf, facture to_validate v1 f.pdf")
	if err := v.reviser.Delete(t.Context(), v.who(), id); err != nil {
		t.Fatal(err)
	}
	if _, alone, reason := v.send(v.answers(first), core.T3, "avis", "c"); alone == id || reason != filing.ReasonNothing {
		t.Errorf("answer about what is gone: %s %s", alone, reason)
	}
	v.want("facture to_validate v1 f.pdf, avis to_validate v1 c.pdf")
}

// Deleting is undone for thirty days, and a link deletes for its citizen alone.
func TestSEC54_DeletingByLinkAndBack(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	ana := v.Enrol("Ana")
	first, id, _ := v.send(v.zoe.Owning, core.T3, "avis", "a")
	token, err := v.reviser.Offer(t.Context(), v.who(), id)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 { // programs open links
		if got, err := v.reviser.Look(t.Context(), v.who(), token); err != nil || got != id {
			t.Fatalf("look: %s %v", got, err)
		}
	}
	other := v.who()
	other.Vault = ana.ID
	for _, who := range []core.Access{other, {Tenant: v.ID}} {
		if _, err := v.reviser.DeleteByLink(t.Context(), who, token); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("somebody else's link: %v", err)
		}
	}
	if _, err := v.reviser.Offer(t.Context(), other, id); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("a link to somebody else's document: %v", err)
	}
	v.want("avis to_validate v1 a.pdf")
	for range 2 { // people click twice
		if got, err := v.reviser.DeleteByLink(t.Context(), v.who(), token); err != nil || got != id {
			t.Fatalf("delete: %s %v", got, err)
		}
	}
	v.want("")
	if docs, err := v.replies.Answerable(t.Context(), v.ID, v.zoe.ID, first); err != nil || len(docs) != 0 {
		t.Errorf("a deleted document is answered about: %v %v", docs, err)
	}
	if err := v.reviser.Undelete(t.Context(), v.who(), id); err != nil {
		t.Fatal(err)
	}
	v.want("avis to_validate v1 a.pdf")
	if err := v.reviser.Undelete(t.Context(), v.who(), id); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("undo of nothing: %v", err)
	}
	// Deleted again and sent again: it stands anew, and the old one stays away.
	if err := v.reviser.Delete(t.Context(), v.who(), id); err != nil {
		t.Fatal(err)
	}
	_, anew, _ := v.send(v.zoe.Owning, core.T3, "avis", "a")
	if anew == id {
		t.Error("what was deleted and is sent again stays deleted")
	}
	if err := v.reviser.Undelete(t.Context(), v.who(), id); !errors.Is(err, core.ErrInvalid) {
		t.Errorf("the same content twice: %v", err)
	}
	token, err = v.reviser.Offer(t.Context(), v.who(), anew)
	if err != nil {
		t.Fatal(err)
	}
	v.now = v.now.Add(7*24*time.Hour + time.Minute)
	if _, err := v.reviser.DeleteByLink(t.Context(), v.who(), token); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("a link after its time: %v", err)
	}
	v.now = v.now.Add(revision.UndoFor)
	if err := v.reviser.Undelete(t.Context(), v.who(), id); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("undo after thirty days: %v", err)
	}
}

// A reply address is secret, one deposit's, the same in every letter, and ends: by itself,
// and with all others when the citizen rotates.
func TestSEC45_ReplyAddresses(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	one, _, _ := v.send(v.zoe.Owning, core.T3, "avis", "a")
	two, _, _ := v.send(v.zoe.Owning, core.T3, "avis", "b")
	address := func(d core.DepositID, under string) string {
		t.Helper()
		a, err := v.replies.Address(t.Context(), v.ID, v.zoe.ID, d, under)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a, again, b, tagged := address(one, towntest.Domain), address(one, towntest.Domain), address(two, towntest.Domain), address(one, "depot@ville.test")
	if a == "" || a != again || a == b || !strings.HasPrefix(tagged, "depot+") {
		t.Errorf("addresses %s, %s, %s, %s", a, again, b, tagged)
	}
	if a, err := v.replies.Address(t.Context(), v.ID, v.Enrol("Ana").ID, one, towntest.Domain); err != nil || a != "" {
		t.Errorf("an address for somebody else's deposit: %q %v", a, err)
	}
	registrar := citizen.New(v.HTTP, v.Keeper, v.Notices(), v.Index, func() time.Time { return v.now })
	shown, err := registrar.Addresses(t.Context(), v.who())
	if err != nil || len(shown) != 1 {
		t.Errorf("the citizen's own addresses: %v %v", shown, err)
	}
	v.Exec(`UPDATE deposit_address SET expires_at = now() - interval '1 minute' WHERE purpose = 'reply'`)
	if _, err := v.Intake.Locate(t.Context(), a); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("an address after its time: %v", err)
	}
	if address(one, towntest.Domain) != a {
		t.Error("a later letter has no address")
	}
	if _, err := v.Intake.Locate(t.Context(), a); err != nil {
		t.Errorf("put off: %v", err)
	}
	if _, err := registrar.Rotate(t.Context(), v.who(), towntest.Domain, time.Time{}); err != nil {
		t.Fatal(err)
	}
	located := func() error {
		_, err := v.Intake.Locate(t.Context(), a)
		return err
	}
	for end := time.Now().Add(3 * time.Second); located() == nil && time.Now().Before(end); { // what was located lately is looked up again in the commit
		time.Sleep(50 * time.Millisecond)
	}
	if err := located(); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("after rotating: %v", err)
	}
	if got := address(one, towntest.Domain); got != "" {
		t.Errorf("a revoked address is given again: %s", got)
	}
}

// A filing in the wrong vault is undone version by version: what another deposit brought
// stays, and the former version is in force again (SEC-17).
func TestSEC17_UndoingAReplyBringsTheFormerBack(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	desk := attribution.NewDesk(v.HTTP, v.Keeper, v.Blobs, v.Notices(), v.Index, v.Rung, func() time.Time { return v.now }, slog.New(slog.DiscardHandler))
	first, id, _ := v.send(v.zoe.Owning, core.T3, "avis", "a")
	second, _, _ := v.send(v.answers(first), core.T3, "avis", "b")
	third, _, _ := v.send(v.answers(second), core.T3, "avis", "c")
	v.want("avis to_validate v3 c.pdf")
	detach := func(d core.DepositID) {
		t.Helper()
		if err := desk.Detach(t.Context(), v.who(), d); err != nil {
			t.Fatal(err)
		}
	}
	detach(second) // a former version goes, the one in force stays
	v.want("avis to_validate v3 c.pdf")
	if a, err := v.replies.Address(t.Context(), v.ID, v.zoe.ID, second, towntest.Domain); err != nil || a != "" {
		t.Errorf("a deposit that was taken away is answered at %q, %v", a, err)
	}
	detach(third)
	v.want("avis to_validate v1 a.pdf")
	// What came again by another deposit stays with that.
	again, same, _ := v.send(v.zoe.Owning, core.T3, "avis", "a")
	if same != id {
		t.Errorf("the same content is %s, not %s", same, id)
	}
	detach(first)
	v.want("avis to_validate v1 a.pdf")
	detach(again)
	v.want("")
	for _, table := range []string{"document", "document_version", "version_part", "piece"} {
		if n := v.Text("SELECT count(*) FROM " + table); n != "0" {
			t.Errorf("%s rows of %s are left", n, table)
		}
	}
	// A deleted document does not come back because a deposit goes.
	base, gone, _ := v.send(v.zoe.Owning, core.T3, "avis", "d")
	newer, _, _ := v.send(v.answers(base), core.T3, "avis", "e")
	if err := v.reviser.Delete(t.Context(), v.who(), gone); err != nil {
		t.Fatal(err)
	}
	detach(newer)
	v.want("")
	if err := v.reviser.Undelete(t.Context(), v.who(), gone); err != nil {
		t.Fatal(err)
	}
	v.want("avis to_validate v1 d.pdf")
}
