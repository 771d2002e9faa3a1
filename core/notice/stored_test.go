package notice_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vaguemestre/channels/mail"
	"vaguemestre/core"
	"vaguemestre/core/attribution"
	"vaguemestre/core/catalogue"
	"vaguemestre/core/citizen"
	"vaguemestre/core/filing"
	"vaguemestre/core/link"
	"vaguemestre/core/notice"
	"vaguemestre/core/store/blob"
	"vaguemestre/core/store/keyfile"
	"vaguemestre/core/store/postgres"
	"vaguemestre/core/store/postgres/pgtest"
	"vaguemestre/core/store/postgres/towntest"
	"vaguemestre/core/tenant"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// town is a town that writes, with a citizen whose address is verified.
type town struct {
	*towntest.Town
	t        *testing.T
	mailer   *postgres.Store
	composer *notice.Composer
	links    *link.Links
	senders  *citizen.Senders
	zoe      towntest.Citizen
	n        int
}

const zoesAddress = "zoe@example.test"

func newTown(t *testing.T) *town {
	t.Helper()
	service, err := keyfile.Open(filepath.Join(t.TempDir(), "kek"))
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blob.OpenFolder(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	w := &town{Town: towntest.New(t, service, blobs), t: t}
	w.mailer = w.Store(postgres.RoleMailer)
	w.links = link.New(w.HTTP, w.Index, time.Now)
	w.composer = notice.NewComposer(w.mailer, w.Keeper, link.New(w.mailer, w.Index, time.Now), time.Now)
	w.senders = citizen.NewSenders(w.HTTP, w.Keeper, w.Notices(), w.links, w.Index, time.Now)
	w.zoe = w.Enrol("Zoé")
	_, token, err := w.senders.Add(t.Context(), w.as(w.zoe.ID), zoesAddress) // before the town writes: the token is handed out
	w.must(err)
	w.must(w.senders.Verify(t.Context(), w.as(w.zoe.ID), token))
	content, err := catalogue.Default().Marshal()
	w.must(err)
	w.Exec("UPDATE catalogue SET content = $q$" + string(content) + "$q$")
	w.set(func(s *tenant.Settings) { s.Mail = settings("fr").Mail })
	return w
}

func (w *town) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *town) as(c core.CitizenID) core.Access {
	return core.Access{Tenant: w.ID, Vault: c, Actor: "citizen", Purpose: "test"}
}

func (w *town) set(change func(*tenant.Settings)) {
	w.t.Helper()
	_, _, err := tenant.New(w.HTTP, w.Keeper, w.Index, time.Now).Change(w.t.Context(), w.ID, func(s *tenant.Settings) error { change(s); return nil })
	w.must(err)
}

// proven is an origin for which DMARC passed.
func proven(from string) core.Origin {
	return core.Origin{From: from, Proven: true, DKIM: core.ResultPass, DMARC: core.ResultPass}
}

// withFiles is an e-mail with so many files.
func withFiles(n int) []byte {
	var b bytes.Buffer
	b.WriteString("From: x@example.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=cut\r\n\r\n--cut\r\nContent-Type: text/plain\r\n\r\nVoici.\r\n")
	for i := range n {
		fmt.Fprintf(&b, "--cut\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=a%d.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n%s\r\n",
			i, base64.StdEncoding.EncodeToString([]byte("%PDF-1.4")))
	}
	b.WriteString("--cut--\r\n")
	return b.Bytes()
}

// arrives takes in a message to Zoé's secret address from the origin.
func (w *town) arrives(from core.Origin, message []byte) core.DepositID {
	w.t.Helper()
	w.n++
	w.Origin = from
	return w.Accept(w.zoe, fmt.Sprint(w.n), "message/rfc822", message)
}

// opens takes a message in and opens it; the pieces that wait are returned.
func (w *town) opens(from core.Origin, message []byte) (core.DepositID, []core.Step) {
	w.t.Helper()
	id := w.arrives(from, message)
	next, err := w.Opener(mail.Splitter{}).Open(w.t.Context(), w.Lease(core.NounDeposit, string(id)))
	w.must(err)
	return id, next
}

// ends leaves a piece to its owner.
func (w *town) ends(step core.Step) {
	w.t.Helper()
	w.must(w.Worker.Amend(w.t.Context(), w.Lease(core.NounPiece, step.ID), func(p *core.Piece) error {
		p.State, p.Desk, p.Reason = core.PieceAtDesk, core.DeskCitizen, "not_recognised"
		return nil
	}))
}

// letters lists kind, state and code of the letters on an object; "" for all.
func (w *town) letters(object string) (out []string) {
	w.t.Helper()
	rows, err := w.HTTP.Letters(w.t.Context(), w.ID, "")
	w.must(err)
	for _, r := range rows {
		if object == "" || r.Object == object {
			once := strings.NewReplacer(string(w.zoe.ID), "zoe").Replace(r.Once)
			out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", r.Kind, once, r.State, r.Code)))
		}
	}
	slices.Sort(out)
	return out
}

func (w *town) expect(what string, object core.DepositID, want ...string) {
	w.t.Helper()
	if got := w.letters(string(object)); !slices.Equal(got, want) {
		w.t.Errorf("%s: letters %q, want %q", what, got, want)
	}
}

// mails composes and sends all that is due now.
func (w *town) mails() (out []core.Letter) {
	w.t.Helper()
	for {
		leases, err := w.mailer.ClaimLetters(w.t.Context(), 100, time.Minute)
		w.must(err)
		if len(leases) == 0 {
			return out
		}
		for _, l := range leases {
			letter, err := w.composer.Compose(w.t.Context(), l)
			var refusal *core.Refusal
			switch {
			case errors.As(err, &refusal):
				w.must(w.mailer.SettleLetter(w.t.Context(), l, core.LetterOutcome{State: core.LetterCancelled, Code: refusal.Code}))
				continue
			case err != nil:
				w.t.Fatal(err)
			}
			out = append(out, letter)
			w.must(w.mailer.SettleLetter(w.t.Context(), l, core.LetterOutcome{State: core.LetterSent}))
		}
	}
}

func recipients(letters []core.Letter) (out []string) {
	for _, l := range letters {
		out = append(out, string(l.Kind)+" "+l.To)
	}
	slices.Sort(out)
	return out
}

// Who is told what, by what is proven of whom.
func TestSEC48_WhoIsTold(t *testing.T) {
	t.Parallel()
	automatic := proven(zoesAddress)
	automatic.Automatic = true
	noDMARC := core.Origin{From: "victim@example.test", Proven: true, DKIM: core.ResultPass, DMARC: core.ResultFail}
	for name, c := range map[string]struct {
		from    core.Origin
		message []byte
		change  func(*town)
		want    []string
	}{
		"herself, with a file":          {proven(zoesAddress), withFiles(1), nil, []string{"receipt zoe@example.test"}},
		"somebody whom DMARC vouches":   {proven("neighbour@example.test"), withFiles(1), nil, []string{"receipt neighbour@example.test", "receipt zoe@example.test"}},
		"somebody, without a file":      {proven("neighbour@example.test"), withFiles(0), nil, []string{"result zoe@example.test"}},
		"somebody whom nothing vouches": {core.Origin{From: "victim@example.test", DMARC: core.ResultFail}, withFiles(1), nil, []string{"receipt zoe@example.test"}},
		"an aligned key, DMARC failed":  {noDMARC, withFiles(1), nil, []string{"receipt zoe@example.test"}},
		"a program":                     {automatic, withFiles(1), nil, nil},
		"without a relay":               {proven(zoesAddress), withFiles(1), func(w *town) { w.set(func(s *tenant.Settings) { s.Mail = tenant.Defaults().Mail }) }, nil},
		"without a mention":             {proven(zoesAddress), withFiles(1), func(w *town) { w.set(func(s *tenant.Settings) { s.ServicePhone = "" }) }, nil},
		"no address of hers verified":   {proven("neighbour@example.test"), withFiles(1), func(w *town) { w.Exec("UPDATE sender SET verified_at = NULL") }, []string{"receipt neighbour@example.test"}},
		"her address at enrolment": {proven(zoesAddress), withFiles(1), func(w *town) {
			w.Exec("UPDATE sender SET verified_at = now() WHERE contact")
		}, []string{"receipt durand@ville.test"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTown(t)
			if c.change != nil {
				c.change(w)
			}
			w.opens(c.from, c.message)
			if got := recipients(w.mails()); !slices.Equal(got, c.want) {
				t.Errorf("told %q, want %q", got, c.want)
			}
		})
	}
}

// Ten thousand messages to a secret address, each under another forged sender: no sender
// is written to, and the owner of the address five times that day.
func TestSEC48_ForgedSendersAreVictimsOfNobody(t *testing.T) {
	t.Parallel()
	const messages, posted = 10_000, 1_000
	w := newTown(t)
	notices := w.Notices()
	kinds := []core.Result{core.ResultFail, core.ResultNone, core.ResultSoftFail, core.ResultTempError, core.ResultPermError, core.ResultNeutral, core.ResultPolicy}
	var orders []core.LetterOrder
	for i := range messages {
		o := core.Origin{From: fmt.Sprintf("victim%d@example.test", i), DMARC: kinds[i%len(kinds)], Proven: i%3 == 0, SPF: core.ResultPass}
		got, err := notices.Arrived(t.Context(), core.Arrival{Tenant: w.ID, Deposit: core.NewID[core.DepositID](), Origin: o, Files: 1, Waiting: 1,
			Attribution: core.Attribution{Vault: w.zoe.ID, Trust: core.T2}})
		w.must(err)
		for _, l := range got {
			if l.Once != string(w.zoe.ID) || l.Limit == 0 || l.Address == nil {
				t.Fatalf("message %d: ordered %+v", i, l)
			}
		}
		if i < posted {
			orders = append(orders, got...)
		}
	}
	w.must(w.HTTP.PostLetters(t.Context(), w.ID, orders...))
	if n := w.Text("SELECT count(*) FROM letter WHERE once NOT LIKE 'digest/%'"); n != fmt.Sprint(2*posted) {
		t.Errorf("%s letters were ordered, want a receipt and a result for each of %d", n, posted)
	}
	if n := w.Text("SELECT count(*) FROM letter WHERE state = 'waiting' AND once NOT LIKE 'digest/%'"); n != "5" {
		t.Errorf("%s letters go to the owner on one day, want 5", n)
	}
	if n := w.Text("SELECT count(*) FROM letter WHERE code = 'daily_cap'"); n != fmt.Sprint(2*posted-5) {
		t.Errorf("%s letters were one too many", n)
	}
}

// The sixth letter of a day waits for nobody; the next day begins anew. Results come
// before receipts when few are left.
func TestSEC48_FiveADay(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	count := func(now time.Time) map[string]int {
		out := map[string]int{}
		notices := notice.New(w.Worker, w.Index, func() time.Time { return now })
		for range 10 {
			orders, err := notices.Arrived(t.Context(), core.Arrival{Tenant: w.ID, Deposit: core.NewID[core.DepositID](), Origin: proven(zoesAddress), Files: 1, Waiting: 1,
				Attribution: core.Attribution{Vault: w.zoe.ID, Trust: core.T3}})
			w.must(err)
			w.must(w.Worker.PostLetters(t.Context(), w.ID, orders...))
			for _, o := range orders {
				out[string(o.Kind)+" "+w.Text("SELECT state FROM letter WHERE id = '"+string(o.ID)+"'")]++
			}
		}
		return out
	}
	today := time.Now()
	for i, receipts := range []int{2, 1} { // the letter on the rest of the first day is one of the second's
		now := today.AddDate(0, 0, i)
		if got := count(now); got["receipt waiting"] != receipts || got["result waiting"] != 3 || got["receipt cancelled"] != 10-receipts || got["result cancelled"] != 7 {
			t.Errorf("on %v: %v", now, got)
		}
	}
	if n := w.Text("SELECT count(*) FROM letter_count"); n != "3" {
		t.Errorf("%s counts, want one a day and one for the day after", n)
	}
	if got := w.Text("SELECT string_agg(once || ' ' || state, ', ' ORDER BY once) FROM letter WHERE once LIKE 'digest/%'"); got !=
		"digest/"+day(today)+" waiting, digest/"+day(today.AddDate(0, 0, 1))+" waiting" {
		t.Errorf("letters on the rest of each day: %s", got)
	}
}

func day(t time.Time) string {
	return t.In(settings("fr").Location()).Format(time.DateOnly)
}

// What came after a day's last letter is told together the next morning, with the links
// that confirm, and what was taken out of the vault since is not.
func TestSEC49_TheRestOfADayIsToldTheNextMorning(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	var rest []core.DepositID
	for i := range 6 {
		id, next := w.opens(proven(zoesAddress), withFiles(1))
		w.ends(next[0])
		if i >= 3 {
			rest = append(rest, id)
		}
	}
	if got := len(w.mails()); got != 5 {
		t.Errorf("%d letters that day", got)
	}
	due := w.Text("SELECT to_char(next_at AT TIME ZONE 'Europe/Paris', 'YYYY-MM-DD HH24:MI') FROM letter WHERE once LIKE 'digest/%'")
	if want := day(time.Now().AddDate(0, 0, 1)) + " 07:00"; due != want {
		t.Errorf("the rest is told at %s, want %s", due, want)
	}
	desk := attribution.NewDesk(w.HTTP, w.Keeper, w.Blobs, w.Notices(), w.Index, w.Rung, time.Now, slog.New(slog.DiscardHandler))
	w.must(desk.Detach(t.Context(), core.Access{Tenant: w.ID, Vault: w.zoe.ID, Actor: "agent", Purpose: "wrong vault"}, rest[0]))
	w.Exec("UPDATE letter SET next_at = now() WHERE once LIKE 'digest/%'")
	var told string
	for _, l := range w.mails() {
		if l.Kind == core.LetterResult {
			told += l.Text
		}
	}
	if strings.Contains(told, string(rest[0])) || !strings.Contains(told, string(rest[1])) || !strings.Contains(told, string(rest[2])) || strings.Count(told, "Document 1") != 2 {
		t.Errorf("told of the rest:\n%s", told)
	}
}

// A responder that answers every letter, and does not say it is one, is written to once.
func TestSEC48_ALoopStopsAfterOne(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]int{"that began with a file": 1, "that began with nothing": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTown(t)
			_, next := w.opens(proven(zoesAddress), withFiles(files))
			for _, step := range next {
				w.ends(step)
			}
			sent := len(w.mails())
			answers := 0
			for letters := sent; letters > 0; letters = len(w.mails()) {
				if answers++; answers > 5 {
					t.Fatal("the loop goes on")
				}
				for range letters {
					w.opens(proven(zoesAddress), withFiles(0))
				}
			}
			if want := 1 + files; sent != want || answers != 1 {
				t.Errorf("%d letters, then %d rounds of answers, want %d and 1", sent, answers, want)
			}
		})
	}
}

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
