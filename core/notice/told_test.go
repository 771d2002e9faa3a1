package notice_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vaguemestre/channels/mail"
	"vaguemestre/core"
	"vaguemestre/core/attribution"
	"vaguemestre/core/catalogue"
	"vaguemestre/core/filing"
	"vaguemestre/core/tenant"
)

// What is held of nobody's is answered by nobody; the owner of a secret address is told,
// of what is held, refused or failed, and what to do.
func TestSEC49_SilenceToStrangersNeverToTheOwner(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	// Held for its form, at a secret address.
	doubtful := []byte("From: x@example.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=cut\r\n\r\n--cut\r\nContent-Type: text/plain\r\n\r\nVoici.\r\n")
	held, _ := w.opens(proven("neighbour@example.test"), doubtful)
	w.expect("held", held, "result zoe/held waiting")
	letters := w.mails()
	if len(letters) != 1 || letters[0].To != zoesAddress || !strings.Contains(letters[0].Text, "en pièces jointes") {
		t.Errorf("told of what is held: %+v", letters)
	}

	// Nobody's: every cause is silent.
	for _, o := range []core.Origin{{From: "victim@example.test", Reason: "no_signature"}, proven("unknown@example.test"), {Reason: "two_from"}} {
		w.n++
		w.Origin = o
		w.generic()
		d := core.Deposit{Tenant: w.ID, Channel: core.ChannelSMTP, Key: fmt.Sprint(w.n), Address: w.located(genericAddress), Journey: core.JourneyHome, Received: time.Now()}
		r, err := w.Intake.Accept(t.Context(), d, core.Body{Type: "message/rfc822", R: bytes.NewReader(withFiles(1))})
		w.must(err)
		next, err := w.Opener(mail.Splitter{}).Open(t.Context(), w.Lease(core.NounDeposit, string(r.Deposit)))
		if err != nil || len(next) != 0 {
			t.Fatalf("opened: %v, %v", next, err)
		}
		w.expect("nobody's", r.Deposit)
	}

	// A piece that is refused, and a deposit that cannot be opened.
	refused, next := w.opens(proven(zoesAddress), withFiles(1))
	lease := w.Lease(core.NounPiece, next[0].ID)
	w.must(w.Worker.Settle(t.Context(), lease, core.Outcome{Refused: true, Code: "encrypted_pdf", Sentence: "Ce PDF demande un mot de passe\u00a0: ouvrez-le."}))
	w.expect("refused", refused, "receipt zoe waiting", "result zoe waiting")
	failed := w.arrives(proven(zoesAddress), withFiles(1))
	orders, err := w.Notices().Failed(t.Context(), w.ID, failed)
	w.must(err)
	w.must(w.Worker.Settle(t.Context(), w.Lease(core.NounDeposit, string(failed)), core.Outcome{Failed: true, Code: "gave_up", Letters: orders}))
	w.expect("failed", failed, "result zoe/failed waiting")
	var all string
	for _, l := range w.mails() {
		if l.To != zoesAddress {
			t.Errorf("a letter to %s", l.To)
		}
		all += l.Text
	}
	for _, want := range []string{"refusé. Ce PDF demande un mot de passe", "incident technique"} {
		if !strings.Contains(strings.Join(strings.Fields(all), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("the owner is not told %q", want)
		}
	}
}

const genericAddress = "depot@ville.test"

func (w *town) generic() {
	w.t.Helper()
	w.set(func(s *tenant.Settings) { s.Generic = genericAddress })
}

func (w *town) located(address string) core.Address {
	w.t.Helper()
	a, err := w.Intake.Locate(w.t.Context(), address)
	w.must(err)
	return a
}

// The result is told when the last piece has ended, whichever that is; not before, and
// after the town's wait in any case, then once more at the end.
func TestOneResultADeposit(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	id, next := w.opens(proven(zoesAddress), withFiles(8))
	w.expect("opened", id, "receipt zoe waiting", "result zoe waiting")
	if got := recipients(w.mails()); !slices.Equal(got, []string{"receipt zoe@example.test"}) {
		t.Errorf("told at once: %v", got)
	}
	var all sync.WaitGroup
	for _, step := range next { // all at the same time: the last finds itself the last
		lease := w.Lease(core.NounPiece, step.ID)
		all.Go(func() {
			err := w.Worker.Amend(t.Context(), lease, func(p *core.Piece) error {
				p.State, p.Desk = core.PieceAtDesk, core.DeskAgent
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	letters := w.mails()
	if got := recipients(letters); !slices.Equal(got, []string{"result zoe@example.test"}) {
		t.Fatalf("told at the end: %v", got)
	}
	if n := strings.Count(letters[0].Text, "en cours de vérification"); n != 8 {
		t.Errorf("%d files told, want 8:\n%s", n, letters[0].Text)
	}

	// A file that takes long.
	id, next = w.opens(proven(zoesAddress), withFiles(2))
	w.ends(next[0])
	w.expect("half", id, "receipt zoe waiting", "result zoe waiting")
	if got := recipients(w.mails()); !slices.Equal(got, []string{"receipt zoe@example.test"}) {
		t.Errorf("told before the end: %v", got)
	}
	wait := w.Text("SELECT round(extract(epoch FROM next_at - created_at)) FROM letter WHERE object_id = '" + string(id) + "' AND kind = 'result'")
	if wait != "900" {
		t.Errorf("the result waits %s seconds, want 900", wait)
	}
	w.Exec("UPDATE letter SET next_at = now() WHERE state = 'waiting'") // a quarter of an hour later
	letters = w.mails()
	if len(letters) != 1 || !strings.Contains(letters[0].Text, "Un dernier message") {
		t.Fatalf("after the wait: %+v", letters)
	}
	w.ends(next[1])
	letters = w.mails()
	if len(letters) != 1 || !strings.HasPrefix(letters[0].Subject, "Suite de votre dépôt") {
		t.Fatalf("at the end: %+v", letters)
	}
	w.expect("in the end", id, "receipt zoe sent", "result zoe sent", "result zoe/last sent")
	if got := w.mails(); len(got) != 0 {
		t.Errorf("told again: %v", recipients(got))
	}
}

// REL-09: what causes a letter and the letter are one transaction. Whatever statement the
// end of the process falls on, there are both or neither.
func TestREL09_ADepositAndItsLettersAreOne(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	w.Exec(`CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'cut'; END $$`)
	cuts := []string{"BEFORE INSERT ON letter", "AFTER INSERT ON letter", "BEFORE INSERT ON letter_count", "BEFORE INSERT ON piece", "BEFORE UPDATE OF state ON deposit"}
	for _, cut := range cuts {
		id := w.arrives(proven(zoesAddress), withFiles(1))
		lease := w.Lease(core.NounDeposit, string(id))
		w.Exec("CREATE TRIGGER cut " + cut + " FOR EACH ROW EXECUTE FUNCTION cut()")
		_, err := w.Opener(mail.Splitter{}).Open(t.Context(), lease)
		w.Exec("DROP TRIGGER cut ON " + strings.Fields(cut)[len(strings.Fields(cut))-1])
		if err == nil {
			t.Fatalf("cut %s, and it opened", cut)
		}
		state := w.Text("SELECT state FROM deposit WHERE id = '"+string(id)+"'") + " " + w.Text("SELECT count(*) FROM piece WHERE deposit_id = '"+string(id)+"'")
		if state != "received 0" {
			t.Errorf("cut %s: deposit and pieces stand %s", cut, state)
		}
		w.expect("cut "+cut, id)
		if n := w.Text("SELECT coalesce(sum(n), 0) FROM letter_count"); n != "0" {
			t.Errorf("cut %s: %s letters counted", cut, n)
		}
	}

	// The end of a piece, and the letter it lets out.
	id, next := w.opens(proven(zoesAddress), withFiles(1))
	lease := w.Lease(core.NounPiece, next[0].ID)
	w.Exec("CREATE TRIGGER cut BEFORE UPDATE OF next_at ON letter FOR EACH ROW EXECUTE FUNCTION cut()")
	err := w.Worker.Amend(t.Context(), lease, func(p *core.Piece) error { p.State, p.Desk = core.PieceAtDesk, core.DeskCitizen; return nil })
	w.Exec("DROP TRIGGER cut ON letter")
	if state := w.Text("SELECT state FROM piece WHERE id = '" + next[0].ID + "'"); err == nil || state != "waiting" {
		t.Errorf("piece %s, %v", state, err)
	}
	w.must(w.Worker.Amend(t.Context(), lease, func(p *core.Piece) error { p.State, p.Desk = core.PieceAtDesk, core.DeskCitizen; return nil }))
	if got := recipients(w.mails()); !slices.Equal(got, []string{"receipt zoe@example.test", "result zoe@example.test"}) {
		t.Errorf("letters on %s: %v", id, got)
	}
}

// A filing that is undone silences what waits to be told to the wrong vault, and tells
// the town's security contact.
func TestSEC17_TheTownIsToldOfAnUndoneFiling(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	id, _ := w.opens(proven("neighbour@example.test"), withFiles(1))
	desk := attribution.NewDesk(w.HTTP, w.Keeper, w.Blobs, w.Notices(), w.Index, w.Rung, time.Now, slog.New(slog.DiscardHandler))
	w.must(desk.Detach(t.Context(), core.Access{Tenant: w.ID, Vault: w.zoe.ID, Actor: "agent", Purpose: "wrong vault"}, id))
	letters := w.mails()
	if len(letters) != 1 || letters[0].To != "securite@ville.test" || letters[0].Kind != core.LetterNotice || letters[0].Automatic || !strings.Contains(letters[0].Text, string(id)) {
		t.Fatalf("told %+v", letters)
	}
	for _, private := range []string{"Zoé", "Durand", zoesAddress, "neighbour"} {
		if strings.Contains(letters[0].Text+letters[0].HTML, private) {
			t.Errorf("the notice says %s", private)
		}
	}
	for _, l := range w.letters(string(id)) {
		if !strings.HasPrefix(l, "notice detached") && !strings.HasSuffix(l, "cancelled detached") {
			t.Errorf("letter %s", l)
		}
	}

	// Attached to somebody else, it is told there, and not again to the first.
	ana := w.Enrol("Ana")
	w.must(desk.Attach(t.Context(), core.Access{Tenant: w.ID, Vault: ana.ID, Actor: "agent", Purpose: "attach"}, id, []string{"name", "email"}))
	w.Exec("UPDATE sender SET verified_at = now() WHERE citizen_id = '" + string(ana.ID) + "' AND contact")
	_, err := w.Opener(mail.Splitter{}).Open(t.Context(), w.Lease(core.NounDeposit, string(id)))
	w.must(err)
	if got := recipients(w.mails()); !slices.Equal(got, []string{"receipt durand@ville.test"}) {
		t.Errorf("told %v", got)
	}
}

// The link that proves an address goes there, works once it is used by its citizen, and
// only then does the address receive letters.
func TestSEC47_AnAddressIsProvenByItsLink(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	ana := w.Enrol("Ana") // the town writes: a letter goes to the address given
	letters := w.mails()
	if len(letters) != 1 || letters[0].To != "durand@ville.test" || letters[0].Kind != core.LetterLink || letters[0].Automatic {
		t.Fatalf("sent %+v", letters)
	}
	_, token, found := strings.Cut(letters[0].Text, "https://demarches.ville.test/adresse/")
	token, _, _ = strings.Cut(token, "\n")
	if !found || len(token) < 40 {
		t.Fatalf("no link in\n%s", letters[0].Text)
	}
	if err := w.senders.Verify(t.Context(), w.as(w.zoe.ID), token); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("the link works for another: %v", err)
	}
	w.must(w.senders.Verify(t.Context(), w.as(ana.ID), token))
	contact, err := w.mailer.Contact(t.Context(), w.ID, ana.ID)
	if err != nil || !contact.Verified {
		t.Errorf("contact %+v, %v", contact, err)
	}

	// Asked for again and again, the address is written to five times that day.
	for range 9 {
		id, token, err := w.senders.Add(t.Context(), w.as(w.zoe.ID), "victim@example.test")
		if err != nil || id == "" || token != "" {
			t.Fatalf("added %q, token %q, %v", id, token, err)
		}
	}
	if got := w.mails(); len(got) != 5 {
		t.Errorf("%d letters to one address on one day", len(got))
	}
	// One that was verified in the meantime is not written to.
	w.Exec("UPDATE sender SET verified_at = NULL WHERE citizen_id = '" + string(ana.ID) + "'")
	_, _, err = w.senders.Add(t.Context(), w.as(ana.ID), "ana2@example.test")
	w.must(err)
	w.Exec("UPDATE sender SET verified_at = now() WHERE citizen_id = '" + string(ana.ID) + "'")
	if got := w.mails(); len(got) != 0 {
		t.Errorf("written to %v", recipients(got))
	}
}

// The link in a result confirms the deposit, for its citizen alone, and composing opens
// sealed things under the mailer's name.
func TestSEC47_TheResultsLinkConfirms(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	id, next := w.opens(core.Origin{From: "victim@example.test"}, withFiles(1))
	lease := w.Lease(core.NounPiece, next[0].ID)
	var p core.Piece
	w.must(w.Worker.Amend(t.Context(), lease, func(q *core.Piece) error {
		q.State, q.Kind, q.Pages = core.PieceRecognised, core.KindPDF, 1
		p = *q
		return nil
	}))
	filer := filing.New(w.Worker, w.Keeper, time.Now)
	types := catalogue.Default()
	typ, _ := types.Type("rib")
	_, err := filer.File(t.Context(), lease, p, core.PieceMeta{FileName: "secret.pdf", SHA256: "x"}, core.Verdict{Type: "rib"}, typ)
	w.must(err)
	var result core.Letter
	for _, l := range w.mails() {
		if l.Kind == core.LetterResult {
			result = l
		}
	}
	_, token, found := strings.Cut(result.Text, "https://demarches.ville.test/confirmer/")
	token, _, _ = strings.Cut(token, "\n")
	if !found || strings.Contains(result.Text+result.HTML, "secret.pdf") || !strings.Contains(result.HTML, token) {
		t.Fatalf("result on %s:\n%s", id, result.Text)
	}
	confirmer := attribution.NewConfirmer(w.links, filing.New(w.HTTP, w.Keeper, time.Now), w.senders)
	ana := w.Enrol("Ana")
	if _, err := confirmer.Confirm(t.Context(), w.as(ana.ID), token, false, types.Type); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("another citizen confirms: %v", err)
	}
	freed, err := confirmer.Confirm(t.Context(), w.as(w.zoe.ID), token, false, types.Type)
	if err != nil || len(freed) != 1 {
		t.Errorf("freed %v, %v", freed, err)
	}
	if n := w.Text("SELECT count(*) FROM journal WHERE actor = 'mailer' AND purpose = 'send_letter' AND chain = 'vault:" + string(w.zoe.ID) + "'"); n != "2" {
		t.Errorf("%s openings by the mailer in the journal, want 2", n)
	}
	if got := w.Text("SELECT string_agg(code, ',') FROM letter"); got != "" {
		t.Errorf("codes %s", got)
	}
}
