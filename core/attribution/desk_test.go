package attribution_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vaguemestre/channels/mail"
	"vaguemestre/channels/mail/mailauth"
	"vaguemestre/core"
	"vaguemestre/core/attribution"
	"vaguemestre/core/catalogue"
	"vaguemestre/core/citizen"
	"vaguemestre/core/filing"
	"vaguemestre/core/ledger"
	"vaguemestre/core/link"
	"vaguemestre/core/opening"
	"vaguemestre/core/store/blob"
	"vaguemestre/core/store/keyfile"
	"vaguemestre/core/store/postgres"
	"vaguemestre/core/store/postgres/pgtest"
	"vaguemestre/core/store/postgres/towntest"
	"vaguemestre/core/tenant"
	"vaguemestre/core/vault"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const generic = "depot@ville.test"

// town is a town with a generic address, and all who work on whose a deposit is.
type town struct {
	*towntest.Town
	t         *testing.T
	folder    *blob.Folder
	desk      *attribution.Desk
	links     *link.Links
	senders   *citizen.Senders
	confirmer *attribution.Confirmer
	filer     *filing.Filer
	clock     time.Time
}

func newTown(t *testing.T) *town {
	t.Helper()
	keys, err := keyfile.Open(filepath.Join(t.TempDir(), "kek"))
	if err != nil {
		t.Fatal(err)
	}
	folder, err := blob.OpenFolder(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	w := &town{Town: towntest.New(t, keys, folder), t: t, folder: folder, clock: time.Now()}
	now := func() time.Time { return w.clock }
	_, _, err = tenant.New(w.HTTP, w.Keeper, w.Index, now).Change(t.Context(), w.ID, func(s *tenant.Settings) error {
		s.Generic = generic
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.desk = attribution.NewDesk(w.HTTP, w.Keeper, w.Blobs, w.Notices(), w.Index, w.Rung, now, slog.New(slog.DiscardHandler))
	w.links = link.New(w.HTTP, w.Index, now)
	w.senders = citizen.NewSenders(w.HTTP, w.Keeper, w.Notices(), w.links, w.Index, now)
	w.filer = filing.New(w.Worker, w.Keeper, now)
	w.confirmer = attribution.NewConfirmer(w.links, filing.New(w.HTTP, w.Keeper, now), w.senders)
	return w
}

func (w *town) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func as(w *town, c core.CitizenID) core.Access {
	return core.Access{Tenant: w.ID, Vault: c, Actor: "citizen", Purpose: "test"}
}

// message is an e-mail with one file.
func message(file string) []byte {
	return []byte("From: x@example.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=cut\r\n\r\n--cut\r\nContent-Type: application/pdf\r\n" +
		"Content-Disposition: attachment; filename=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte(file)) + "\r\n--cut--\r\n")
}

// arrives takes in a message to an address, opens it and files its pieces.
func (w *town) arrives(to, key string, body []byte) core.DepositID {
	w.t.Helper()
	address, err := w.Intake.Locate(w.t.Context(), to)
	w.must(err)
	d := core.Deposit{Tenant: w.ID, Channel: core.ChannelSMTP, Key: key, Address: address, Journey: core.JourneyHome, Received: time.Now(),
		Sender: core.Sender{MailFrom: "x@example.test", Remote: "192.0.2.1"}}
	r, err := w.Intake.Accept(w.t.Context(), d, core.Body{Type: "message/rfc822", R: bytes.NewReader(body)})
	w.must(err)
	w.lead(r.Deposit)
	return r.Deposit
}

// lead opens a received deposit and files its pieces.
func (w *town) lead(id core.DepositID) {
	w.t.Helper()
	next, err := w.Opener(mail.Splitter{}).Open(w.t.Context(), w.Lease(core.NounDeposit, string(id)))
	w.must(err)
	for _, step := range next {
		lease := w.Lease(core.NounPiece, step.ID)
		var p core.Piece
		w.must(w.Worker.Amend(w.t.Context(), lease, func(q *core.Piece) error {
			q.State, q.Kind, q.Pages = core.PieceRecognised, core.KindPDF, 1
			p = *q
			return nil
		}))
		_, err := w.filer.File(w.t.Context(), lease, p, core.PieceMeta{FileName: "a.pdf", SHA256: w.content(p)}, core.Verdict{Type: "avis"}, catalogue.Type{Code: "avis"})
		w.must(err)
	}
}

// content stands for a piece's SHA-256: the same content has the same size here.
func (w *town) content(p core.Piece) string { return fmt.Sprint(p.Sealed.Size) }

func (w *town) row(id core.DepositID) postgres.DepositRow {
	w.t.Helper()
	rows, err := w.HTTP.Deposits(w.t.Context(), w.ID)
	w.must(err)
	i := slices.IndexFunc(rows, func(r postgres.DepositRow) bool { return r.ID == id })
	if i < 0 {
		w.t.Fatalf("no deposit %s", id)
	}
	return rows[i]
}

func (w *town) stands(id core.DepositID, want string) {
	w.t.Helper()
	r := w.row(id)
	if got := fmt.Sprintf("%s T%d %s", r.State, r.Trust, r.TrustWhy); got != want {
		w.t.Errorf("deposit stands %q, want %q", got, want)
	}
}

func (w *town) documents(c core.CitizenID) []core.Document {
	w.t.Helper()
	docs, err := w.HTTP.Documents(w.t.Context(), w.ID, c)
	w.must(err)
	return docs
}

func (w *town) closes() {
	w.t.Helper()
	r, err := ledger.Check(w.t.Context(), w.HTTP, w.Blobs)
	w.must(err)
	if !r.Closed() {
		w.t.Errorf("ledger: %v", r.Faults)
	}
	broken, _, err := w.HTTP.VerifyJournal(w.t.Context(), w.ID)
	w.must(err)
	if len(broken) > 0 {
		w.t.Errorf("journal: %v", broken)
	}
}

func proven(from string) core.Origin {
	return core.Origin{From: from, Proven: true, Reason: "dkim_aligned", DKIM: core.ResultPass}
}

func types(string) (catalogue.Type, bool) { return catalogue.Type{Code: "avis"}, true }

// The levels from end to end: whose a message is, and in which state its document stands.
func TestSEC44_LevelsDecideTheState(t *testing.T) {
	w := newTown(t)
	zoe, ana := w.Enrol("Zoé"), w.Enrol("Ana")
	_, token, err := w.senders.Add(t.Context(), as(w, zoe.ID), "zoe@example.test")
	w.must(err)

	w.Origin = proven("zoe@example.test")
	held := w.arrives(generic, "before", message("1"))
	w.stands(held, "held T0 unknown_sender") // the address is said, not verified
	if err := w.senders.Verify(t.Context(), as(w, ana.ID), token); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("another citizen verifies: %v", err)
	}
	w.must(w.senders.Verify(t.Context(), as(w, zoe.ID), token))
	w.must(w.senders.Verify(t.Context(), as(w, zoe.ID), token)) // people click twice

	w.stands(w.arrives(generic, "t1", message("22")), "opened T1 verified_sender")
	w.stands(w.arrives(zoe.Shown, "t3", message("333")), "opened T3 secret_address_and_verified_sender")
	w.stands(w.arrives(ana.Shown, "t2", message("4444")), "opened T2 secret_address")
	w.Origin = core.Origin{From: "zoe@example.test", Reason: "unaligned", SPF: core.ResultPass}
	w.stands(w.arrives(generic, "t0", message("55555")), "held T0 unaligned")
	w.stands(w.arrives(zoe.Shown, "unproven", message("666666")), "opened T2 secret_address")

	var states []string
	for _, d := range w.documents(zoe.ID) {
		states = append(states, string(d.State))
	}
	slices.Sort(states)
	if want := []string{"to_confirm", "to_confirm", "to_validate"}; !slices.Equal(states, want) {
		t.Errorf("Zoé's documents stand %v, want %v", states, want)
	}
	if docs := w.documents(ana.ID); len(docs) != 1 || docs[0].State != core.DocumentToConfirm {
		t.Errorf("Ana's vault holds %+v", docs)
	}

	// SEC-46: verified in a second vault, the sender is nobody's.
	w.Origin = proven("zoe@example.test")
	_, token, err = w.senders.Add(t.Context(), as(w, ana.ID), "zoe@example.test")
	w.must(err)
	w.must(w.senders.Verify(t.Context(), as(w, ana.ID), token))
	w.stands(w.arrives(generic, "two", message("7777777")), "held T0 ambiguous_sender")

	// Forgotten by one, it is the other's.
	list, err := w.senders.List(t.Context(), as(w, ana.ID))
	w.must(err)
	if len(list) != 2 || list[0].Address != "zoe@example.test" || !list[0].Verified || list[1].Verified { // the other is the contact, never proven
		t.Fatalf("Ana's senders: %+v", list)
	}
	if err := w.senders.Forget(t.Context(), as(w, zoe.ID), list[0].ID); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("Zoé forgets Ana's sender: %v", err)
	}
	w.must(w.senders.Forget(t.Context(), as(w, ana.ID), list[0].ID))
	w.stands(w.arrives(generic, "one", message("88888888")), "opened T1 verified_sender")
	w.closes()
}

// SEC-46: whatever a stranger writes into a message to make it look like part of a
// citizen's correspondence has no effect on whose it is.
func TestSEC46_ThreadHeadersAttachNothing(t *testing.T) {
	w := newTown(t)
	zoe := w.Enrol("Zoé")
	_, token, err := w.senders.Add(t.Context(), as(w, zoe.ID), "zoe@example.test")
	w.must(err)
	w.must(w.senders.Verify(t.Context(), as(w, zoe.ID), token))
	w.Origin = proven("zoe@example.test")
	known := w.arrives(generic, "known@example.test", message("1"))
	w.stands(known, "opened T1 verified_sender")

	real := mailauth.New(mailauth.Config{Resolver: silence{}})
	opener := opening.New(w.Worker, w.Keeper, w.Blobs, mail.Splitter{}, real, attribution.New(w.Worker, w.Index), w.Notices(), slog.New(slog.DiscardHandler), func(core.Attribution) {})
	for i, forged := range []string{
		"From: x@evil.test\r\nIn-Reply-To: <known@example.test>\r\nReferences: <known@example.test>\r\n",
		"From: x@evil.test\r\nCc: " + zoe.Shown + "\r\nDelivered-To: " + zoe.Shown + "\r\n",
		"From: x@evil.test\r\nSubject: Re: [dossier " + string(known) + "] " + zoe.Shown + "\r\nReply-To: zoe@example.test\r\nSender: zoe@example.test\r\n",
		"From: \"zoe@example.test\" <x@evil.test>\r\nX-Original-From: zoe@example.test\r\nAuthentication-Results: ville.test; dkim=pass header.d=example.test\r\n",
		"From: zoe@example.test\r\nIn-Reply-To: <known@example.test>\r\n",
	} {
		address, err := w.Intake.Locate(t.Context(), generic)
		w.must(err)
		d := core.Deposit{Tenant: w.ID, Channel: core.ChannelSMTP, Key: fmt.Sprint("forged", i), Address: address, Journey: core.JourneyHome, Received: time.Now(), Sender: core.Sender{MailFrom: "zoe@example.test"}}
		r, err := w.Intake.Accept(t.Context(), d, core.Body{Type: "message/rfc822", R: strings.NewReader(forged + "\r\nx")})
		w.must(err)
		if next, err := opener.Open(t.Context(), w.Lease(core.NounDeposit, string(r.Deposit))); err != nil || len(next) != 0 {
			t.Fatalf("%q: %d steps, %v", forged, len(next), err)
		}
		if row := w.row(r.Deposit); row.State != core.DepositHeld || row.Citizen != "" || row.Trust != 0 {
			t.Errorf("%q: %+v", forged, row)
		}
	}
	if docs := w.documents(zoe.ID); len(docs) != 1 {
		t.Errorf("the vault holds %d documents", len(docs))
	}
}

// silence is a DNS without any name.
type silence struct{}

func (silence) none(name string) error {
	return &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (s silence) LookupTXT(_ context.Context, name string) ([]string, error) {
	return nil, s.none(name)
}
func (s silence) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	return nil, s.none(name)
}
func (s silence) LookupIPAddr(_ context.Context, host string) ([]net.IPAddr, error) {
	return nil, s.none(host)
}
func (s silence) LookupAddr(_ context.Context, addr string) ([]string, error) {
	return nil, s.none(addr)
}

// A link confirms for its citizen alone, looking at it changes nothing, and it ends.
func TestSEC47_ConfirmationLink(t *testing.T) {
	w := newTown(t)
	zoe, ana := w.Enrol("Zoé"), w.Enrol("Ana")
	w.Origin = core.Origin{From: "zoe@example.test", Reason: "no_signature"}
	id := w.arrives(zoe.Shown, "k", message("one"))
	token, err := w.confirmer.Offer(t.Context(), as(w, zoe.ID), id)
	w.must(err)
	if len(token) < 40 || strings.Contains(token, string(id)[:8]) {
		t.Errorf("token %q", token)
	}
	for range 10 { // a mail program that opens every link
		if got, err := w.confirmer.Look(t.Context(), as(w, zoe.ID), token); err != nil || got != id {
			t.Fatalf("looked: %s, %v", got, err)
		}
	}
	for name, who := range map[string]core.Access{"another citizen": as(w, ana.ID), "nobody": as(w, "")} {
		if got, err := w.confirmer.Look(t.Context(), who, token); !errors.Is(err, core.ErrNotFound) || got != "" {
			t.Errorf("%s looks: %s, %v", name, got, err)
		}
		if _, err := w.confirmer.Confirm(t.Context(), who, token, false, types); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("%s confirms: %v", name, err)
		}
	}
	for name, forged := range map[string]string{"no token": "", "a character more": token + "A", "another": token[1:] + "A"} {
		if _, err := w.confirmer.Confirm(t.Context(), as(w, zoe.ID), forged, false, types); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("%s confirms: %v", name, err)
		}
	}
	if err := w.senders.Verify(t.Context(), as(w, zoe.ID), token); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("a link to confirm verifies a sender: %v", err)
	}
	if d := w.documents(zoe.ID)[0]; d.State != core.DocumentToConfirm {
		t.Fatalf("after all that the document stands %s", d.State)
	}
	// What nothing proves cannot be remembered, and then nothing is confirmed.
	if _, err := w.confirmer.Confirm(t.Context(), as(w, zoe.ID), token, true, types); !errors.Is(err, core.ErrInvalid) {
		t.Errorf("an unproven sender is remembered: %v", err)
	}
	now := w.clock
	w.clock = now.Add(30*24*time.Hour + time.Second)
	if _, err := w.confirmer.Confirm(t.Context(), as(w, zoe.ID), token, false, types); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("a month later: %v", err)
	}
	w.clock = now
	freed, err := w.confirmer.Confirm(t.Context(), as(w, zoe.ID), token, false, types)
	if err != nil || len(freed) != 1 || w.documents(zoe.ID)[0].State != core.DocumentToValidate {
		t.Errorf("confirmed %v, %v", freed, err)
	}
	if freed, err := w.confirmer.Confirm(t.Context(), as(w, zoe.ID), token, false, types); err != nil || len(freed) != 0 {
		t.Errorf("clicked again: %v, %v", freed, err)
	}
}

// A remembered sender needs no yes any more, if it is proven.
func TestRememberedSender(t *testing.T) {
	w := newTown(t)
	zoe := w.Enrol("Zoé")
	w.Origin = proven("zoe@example.test")
	id := w.arrives(zoe.Shown, "k", message("one"))
	w.stands(id, "opened T2 secret_address")
	if _, err := w.confirmer.ConfirmDeposit(t.Context(), as(w, zoe.ID), id, true, types); err != nil {
		t.Fatal(err)
	}
	w.stands(w.arrives(zoe.Shown, "k2", message("two.")), "opened T3 secret_address_and_verified_sender")
	w.Origin.Proven = false
	w.stands(w.arrives(zoe.Shown, "k3", message("three..")), "opened T2 secret_address")
	if other := w.Enrol("Ana"); true {
		if _, err := w.confirmer.ConfirmDeposit(t.Context(), as(w, other.ID), id, true, types); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("another citizen remembers its sender: %v", err)
		}
	}
}

// The desk: nobody's deposit is shown with who might be meant, attached on two matches,
// and waits for its citizen's yes.
func TestDeskAttaches(t *testing.T) {
	w := newTown(t)
	zoe := w.Enrol("Zoé") // durand@ville.test
	w.Origin = core.Origin{From: "durant@ville.test", Name: "DURAND Zoe", Reason: "no_signature"}
	id := w.arrives(generic, "k", message("one"))
	who := core.Access{Tenant: w.ID, Actor: "agent", Purpose: "desk"}
	shown, err := w.desk.Show(t.Context(), who, id)
	w.must(err)
	if len(shown.Candidates) != 1 || shown.Candidates[0].Citizen != zoe.ID ||
		!slices.Equal(shown.Candidates[0].Like, []citizen.LikenessKind{citizen.LikeEmail, citizen.LikeName}) {
		t.Errorf("candidates %+v", shown.Candidates)
	}
	if shown.From.From != "durant@ville.test" || shown.Sender.Remote != "192.0.2.1" || shown.Until.Before(time.Now().Add(29*24*time.Hour)) {
		t.Errorf("shown %+v", shown)
	}
	who.Vault = zoe.ID
	for name, matched := range map[string][]string{"none": nil, "one": {"name"}, "one, twice": {"name", "name"}, "a foreign one": {"name", "hunch"}} {
		if err := w.desk.Attach(t.Context(), who, id, matched); !errors.Is(err, core.ErrInvalid) {
			t.Errorf("matches %s: %v", name, err)
		}
	}
	stranger := who
	stranger.Vault = core.NewID[core.CitizenID]()
	if err := w.desk.Attach(t.Context(), stranger, id, []string{"name", "email"}); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("attached to nobody: %v", err)
	}
	w.stands(id, "held T0 no_signature")
	w.must(w.desk.Attach(t.Context(), who, id, []string{"name", "email"}))
	if err := w.desk.Attach(t.Context(), who, id, []string{"name", "email"}); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("attached twice: %v", err)
	}
	w.Origin = proven("durand@ville.test") // what is proven since changes nothing: a person has said it
	w.lead(id)
	w.stands(id, "opened T0 attached")
	if docs := w.documents(zoe.ID); len(docs) != 1 || docs[0].State != core.DocumentToConfirm {
		t.Errorf("vault holds %+v", docs)
	}
	w.closes()
	if n := w.Text("SELECT count(*) FROM journal WHERE act = 'attach_deposit' AND purpose = 'desk: email+name'"); n != "1" {
		t.Errorf("%s entries", n)
	}
}

// A message with two readings is held whatever its sender proves; the owner of its
// address gets it when a person has said so.
func TestSEC50_DoubtfulMessageIsHeld(t *testing.T) {
	w := newTown(t)
	zoe := w.Enrol("Zoé")
	for _, c := range []struct {
		name string
		s    opening.Splitter
		why  string
	}{
		{"doubt", doubtful{cover: core.Cover{Doubts: []string{"boundary_twice"}}}, "boundary_twice"},
		{"limit", doubtful{err: fmt.Errorf("left out: %w", &core.Refusal{Code: "too_deep", Reason: "…"})}, "too_deep"},
	} {
		address, err := w.Intake.Locate(t.Context(), zoe.Shown)
		w.must(err)
		d := core.Deposit{Tenant: w.ID, Channel: core.ChannelSMTP, Key: c.name, Address: address, Journey: core.JourneyHome, Received: time.Now()}
		r, err := w.Intake.Accept(t.Context(), d, core.Body{Type: "message/rfc822", R: strings.NewReader("\r\n" + c.name)})
		w.must(err)
		next, err := w.Opener(c.s).Open(t.Context(), w.Lease(core.NounDeposit, string(r.Deposit)))
		if err != nil || len(next) != 0 {
			t.Fatalf("%s: %d steps, %v", c.name, len(next), err)
		}
		row := w.row(r.Deposit)
		if row.State != core.DepositHeld || row.Reason != c.why || row.Citizen != zoe.ID || len(row.Pieces) != 0 {
			t.Errorf("%s: %+v", c.name, row)
		}
		who := core.Access{Tenant: w.ID, Vault: zoe.ID, Actor: "agent", Purpose: "desk"}
		w.must(w.desk.Attach(t.Context(), who, r.Deposit, nil))
		if next, err = w.Opener(c.s).Open(t.Context(), w.Lease(core.NounDeposit, string(r.Deposit))); err != nil || len(next) != 1 {
			t.Errorf("%s, attached: %d steps, %v", c.name, len(next), err)
		}
		w.stands(r.Deposit, "opened T2 attached")
	}
	w.closes()
}

// doubtful gives one part and says what it says.
type doubtful struct {
	cover core.Cover
	err   error
}

func (d doubtful) Split(_ context.Context, _ io.Reader, each func(core.Part) error) (core.Cover, error) {
	if err := each(core.Part{Name: "a.pdf", Type: "application/pdf", Body: strings.NewReader("x")}); err != nil {
		return core.Cover{}, err
	}
	return d.cover, d.err
}

// SEC-17: the wrong vault loses at once what was filed there by mistake, its keys open
// nothing of it any more, both journals say so, and it can be given to whom it belongs.
func TestSEC17_Undo(t *testing.T) {
	w := newTown(t)
	zoe, ana := w.Enrol("Zoé"), w.Enrol("Ana")
	w.Origin = core.Origin{Reason: "no_signature"}
	own := w.arrives(zoe.Shown, "own", message("shared"))
	wrong := w.arrives(zoe.Shown, "wrong", message("shared"))                 // the same content again: one document
	alone := w.arrives(zoe.Shown, "alone", message("somebody else’s notice")) // this one is Ana's
	if docs := w.documents(zoe.ID); len(docs) != 2 {
		t.Fatalf("%d documents", len(docs))
	}
	piece := w.row(alone).Pieces[0]
	docs := w.documents(zoe.ID)
	doc := docs[slices.IndexFunc(docs, func(d core.Document) bool { return d.Parts[0].Piece == piece.ID })]
	sealed := doc.Parts[0].Sealed
	download, closeIt := w.download(zoe.ID, doc.ID)
	defer closeIt()

	who := core.Access{Tenant: w.ID, Vault: ana.ID, Actor: "agent", Purpose: "desk"}
	if err := w.desk.Detach(t.Context(), who, alone); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("detached from a vault it is not in: %v", err)
	}
	who.Vault = zoe.ID
	w.must(w.desk.Detach(t.Context(), who, alone))
	if _, err := download.Read(make([]byte, 1)); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("an open download goes on: %v", err)
	}
	w.stands(alone, "held T0 detached")
	if docs := w.documents(zoe.ID); len(docs) != 1 {
		t.Errorf("Zoé's vault holds %d documents", len(docs))
	}
	if _, err := w.Blobs.Open(t.Context(), sealed.Ref); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("the piece's bytes are there: %v", err)
	}
	if n := w.Text("SELECT count(*) FROM piece WHERE id = '" + string(piece.ID) + "'"); n != "0" {
		t.Error("the piece's row is there")
	}
	if err := w.desk.Detach(t.Context(), who, alone); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("detached twice: %v", err)
	}

	// Content that came by a deposit of her own stays hers.
	w.must(w.desk.Detach(t.Context(), who, own))
	docs = w.documents(zoe.ID)
	if len(docs) != 1 || docs[0].Parts[0].Piece != w.row(wrong).Pieces[0].ID {
		t.Fatalf("Zoé's vault holds %+v", docs)
	}
	if _, err := w.Blobs.Open(t.Context(), docs[0].Parts[0].Sealed.Ref); err != nil {
		t.Errorf("its bytes: %v", err)
	}

	who.Vault = ana.ID
	w.must(w.desk.Attach(t.Context(), who, alone, []string{"name", "postal_address"}))
	w.lead(alone)
	if docs := w.documents(ana.ID); len(docs) != 1 || docs[0].State != core.DocumentToConfirm {
		t.Errorf("Ana's vault holds %+v", docs)
	}
	for vaultOf, want := range map[string]string{"vault:" + string(zoe.ID): "2", "vault:" + string(ana.ID): "0", "intake:%": "2"} {
		if n := w.Text("SELECT count(*) FROM journal WHERE act = 'detach_deposit' AND chain LIKE '" + vaultOf + "'"); n != want {
			t.Errorf("%s: %s entries, want %s", vaultOf, n, want)
		}
	}
	w.closes()
}

// download begins to read a document's original.
func (w *town) download(c core.CitizenID, id core.DocumentID) (read io.Reader, done func()) {
	w.t.Helper()
	_, body, err := vault.NewReader(w.HTTP, w.Keeper, w.Blobs).Read(w.t.Context(), as(w, c), id, 0)
	w.must(err)
	return body, func() { body.Close() }
}

// A worker that is at a deposit while it is taken away commits nothing; the bytes that its
// piece shared with its body stay, in a segment here.
func TestSEC17_UndoFencesWorkers(t *testing.T) {
	w := newTown(t)
	zoe := w.Enrol("Zoé")
	lease, piece := w.Piece(zoe, "k", bytes.Repeat([]byte("one"), 40_000), core.PieceRecognised)
	who := core.Access{Tenant: w.ID, Vault: zoe.ID, Actor: "agent", Purpose: "desk"}
	w.must(w.desk.Detach(t.Context(), who, piece.Deposit))
	if f, err := w.folder.Open(t.Context(), piece.Sealed.Ref); err != nil || !strings.HasPrefix(string(piece.Sealed.Ref), core.InSegment) {
		t.Errorf("the body's bytes, at %s: %v", piece.Sealed.Ref, err)
	} else {
		f.Close()
	}
	if _, err := w.filer.File(t.Context(), lease, piece, core.PieceMeta{SHA256: "x"}, core.Verdict{Type: "avis"}, catalogue.Type{}); !errors.Is(err, core.ErrStale) {
		t.Errorf("filed after all: %v", err)
	}
	if docs := w.documents(zoe.ID); len(docs) != 0 {
		t.Errorf("vault holds %+v", docs)
	}
	w.closes()
}

// What nobody claims is destroyed after thirty days: keys, bytes, what was known of its
// sender; the account of it stays.
func TestHeldDepositsExpire(t *testing.T) {
	w := newTown(t)
	w.Enrol("Zoé")
	w.Origin = core.Origin{From: "x@example.test", Reason: "no_signature"}
	young, old := w.arrives(generic, "young", message(strings.Repeat("one", 100_000))), w.arrives(generic, "old", message(strings.Repeat("two", 100_000)))
	small := w.arrives(generic, "small", message("two")) // lies in its row
	laid, beside := w.arrives(generic, "laid", message(strings.Repeat("six", 40_000))), w.arrives(generic, "beside", message(strings.Repeat("ten", 40_000)))
	place := func(id core.DepositID) core.Ref {
		return core.Ref(w.Text("SELECT ref FROM deposit_body WHERE deposit_id = '" + string(id) + "'"))
	}
	gone, kept := place(laid), place(beside) // in one segment
	w.Exec("UPDATE deposit SET held_until = now() - interval '1 second' WHERE id IN ('" + string(old) + "', '" + string(small) + "', '" + string(laid) + "')")
	w.Exec("UPDATE deposit SET held_until = now() + interval '1 minute' WHERE id IN ('" + string(young) + "', '" + string(beside) + "')")
	scheduler := w.Store(postgres.RoleScheduler)
	if n, err := attribution.Expire(t.Context(), scheduler, w.folder, time.Now().Add(6*time.Minute)); err == nil || n != 0 {
		t.Errorf("by a clock six minutes ahead: %d, %v", n, err) // REL-14
	}
	if n, err := attribution.Expire(t.Context(), scheduler, w.folder, time.Now()); err != nil || n != 3 {
		t.Errorf("expired %d, %v", n, err)
	}
	w.stands(old, "destroyed T0 no_signature")
	w.stands(small, "destroyed T0 no_signature")
	w.stands(young, "held T0 no_signature")
	if n := w.Text("SELECT count(*) FROM deposit_body WHERE deposit_id = '" + string(old) + "'"); n != "0" {
		t.Errorf("%s bodies are left", n)
	}
	who := core.Access{Tenant: w.ID, Actor: "agent", Purpose: "desk"}
	if shown, err := w.desk.Show(t.Context(), who, old); err != nil || shown.Sender.MailFrom != "" {
		t.Errorf("shown %+v, %v", shown, err)
	}
	files := 0
	w.must(w.folder.Old(t.Context(), w.ID, time.Now().Add(time.Hour), func(core.Ref) error { files++; return nil }))
	if files != 2 {
		t.Errorf("%d blobs are left, want the young one's and the segment", files)
	}
	if _, err := w.folder.Open(t.Context(), gone); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("what lay in the segment: %v", err)
	}
	if f, err := w.folder.Open(t.Context(), kept); err != nil {
		t.Errorf("its neighbour in the segment: %v", err)
	} else {
		f.Close()
	}
	w.closes()
}
