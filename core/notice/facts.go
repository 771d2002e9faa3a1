package notice

import (
	"fmt"
	"strings"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/catalogue"
	"vaguemestre/core/tenant"
)

// facts is what the words are filled with. Nothing in it is of the message: neither its
// subject, its text nor its file names (SEC-48).
type facts struct {
	Day     string // of reception
	When    string // with the time
	Number  string // of the deposit
	Channel string
	Files   int
	Waiting bool // a file is still being read
	Held    bool
	Failed  bool
	Again   bool // it follows a result told before
	Items   []item

	Deposits []facts // in a letter on several
	More     int     // of them, left out

	Confirm bool // the citizen has to say yes
	Choose  bool // or has to say what a file is
	URL     string
	Code    string // in the place of the URL where the town has no pages
	Until   string // the link works

	Reply  bool      // an answer to the letter replaces, or deletes
	Erases []erasure // links that delete

	Service, Address, Phone, Email, Hours string
}

// erasure is a document that a link deletes.
type erasure struct {
	What      string // as in item
	URL, Code string
}

// item is a file in a result.
type item struct {
	N                  int
	What               string // label of its type, or "un document"
	State              string // filed, checked, confirm, choose, reading, refused, rejected, failed
	Until              string // its validity ends
	Expired            bool
	Why                string // it is refused, and what to do
	Unread, NotForType bool   // why a type has to be chosen
	Answer             string // what it came to as an answer: replaces, proposes, other_type, several, nothing; "" for none
}

func (w *writing) head() facts {
	s := w.settings
	return facts{Service: clean(s.ServiceName), Address: clean(s.ServiceAddress), Phone: clean(s.ServicePhone), Email: clean(s.ServiceEmail), Hours: clean(s.ServiceHours)}
}

func (w *writing) facts(t Told) facts {
	f, at := w.head(), t.Received.In(w.settings.Location())
	f.Day, f.When, f.Number = dayOf(at, w.letter.Language), clock(at, w.letter.Language), string(t.Deposit)
	f.Channel, f.Files = t.Channel, len(t.Pieces)
	f.Held, f.Failed = t.State == core.DepositHeld, t.State == core.DepositFailed
	return f
}

// tell says of every file what became of it.
func (f *facts) tell(t Told, types *catalogue.Catalogue, language string) {
	for i, p := range t.Pieces {
		it := item{N: i + 1, What: what(p.Type, types, language)}
		it.judge(p, language)
		f.Waiting = f.Waiting || it.State == "reading"
		f.Confirm = f.Confirm || it.State == "confirm"
		f.Choose = f.Choose || it.State == "choose"
		f.Items = append(f.Items, it)
	}
}

// what names a type without giving away one that is marked sensitive.
func what(code string, types *catalogue.Catalogue, language string) string {
	t, ok := types.Type(code)
	if !ok || t.Sensitive {
		return words[language].document
	}
	return clean(t.Label)
}

func (it *item) judge(p ToldPiece, language string) {
	it.State = "reading"
	switch p.State {
	case core.PieceRefused:
		it.State, it.Why = "refused", reason(p.Reason, p.Sentence, language)
	case core.PieceFailed:
		it.State = "failed"
	case core.PieceAtDesk:
		if p.Desk == core.DeskCitizen {
			it.State = "choose"
			it.Unread, it.NotForType = p.Reason == "no_reading_consent", p.Reason == "kind_not_accepted"
		}
	case core.PieceFiled:
		it.State = map[core.DocumentState]string{core.DocumentToConfirm: "confirm", core.DocumentToValidate: "checked",
			core.DocumentValidated: "filed", core.DocumentRejected: "rejected"}[p.Document]
		it.Answer = cameTo[p.Reason]
		it.Expired = p.Standing == core.StandingExpired
		if !p.ValidUntil.IsZero() {
			it.Until = day(p.ValidUntil, language)
		}
	}
	if it.State == "reading" && p.State == core.PieceAtDesk { // an agent looks
		it.State = "agent"
	}
}

// cameTo is what a file sent as an answer can come to, by the reason kept with it.
var cameTo = map[string]string{"replaced": "replaces", "replaces_on_yes": "proposes", "reply_other_type": "other_type", "reply_ambiguous": "several", "reply_nothing_now": "nothing"}

// put adds a link, or the code that stands for it.
func (f *facts) put(token, path string, s tenant.Settings, until time.Time, language string) {
	f.Until = clock(until.In(s.Location()), language)
	if s.Portal == "" {
		f.Code = token
		return
	}
	f.URL = s.Portal + path + token
}

// clean keeps a setting on one line.
func clean(s string) string { return strings.Join(strings.Fields(s), " ") }

// day is a date in words.
func day(d core.Date, language string) string {
	if language == "en" {
		return fmt.Sprintf("%d\u00a0%s\u00a0%d", d.Day, d.Month, d.Year)
	}
	n := fmt.Sprint(d.Day)
	if d.Day == 1 {
		n = "1er"
	}
	return n + "\u00a0" + months[d.Month-1] + "\u00a0" + fmt.Sprint(d.Year)
}

var months = [...]string{"janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre"}

func dayOf(t time.Time, language string) string { return day(core.DateOf(t), language) }

// clock is a date with its time, in words.
func clock(t time.Time, language string) string {
	if language == "en" {
		return day(core.DateOf(t), language) + " at " + t.Format("15:04")
	}
	return fmt.Sprintf("%s à %d\u00a0h\u00a0%02d", day(core.DateOf(t), language), t.Hour(), t.Minute())
}
