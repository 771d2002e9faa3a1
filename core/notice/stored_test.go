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
	"testing"
	"time"

	"vaguemestre/channels/mail"
	"vaguemestre/core"
	"vaguemestre/core/attribution"
	"vaguemestre/core/catalogue"
	"vaguemestre/core/citizen"
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
