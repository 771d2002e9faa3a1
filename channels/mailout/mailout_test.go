package mailout_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vaguemestre/channels/mailout"
	"vaguemestre/channels/mailout/dkim"
	"vaguemestre/channels/mailout/relaytest"
	"vaguemestre/channels/mailout/submission"
	"vaguemestre/core"
)

// TestREL12_EachLetterArrivesOnce: three towns' letters, over few sessions, each once, to
// its own town's relay.
func TestREL12_EachLetterArrivesOnce(t *testing.T) {
	t.Parallel()
	relays := map[core.TenantID]*relaytest.Relay{}
	for _, town := range []core.TenantID{"a", "b", "c"} {
		relays[town] = (&relaytest.Relay{Offers: []string{"PIPELINING"}, User: string(town), Password: "p"}).Start(t)
	}
	s := start(t, mailout.Config{Concurrency: 8, PerTown: 4, PerSession: 10}, relays)
	want := map[core.TenantID]map[string]int{}
	for town := range relays {
		want[town] = map[string]int{}
		for _, id := range s.post(town, 60) {
			want[town][string(id)] = 1
		}
	}
	until(t, "180 letters sent", s.all("sent", 180))
	s.stop()
	for town, r := range relays {
		if got := received(r); !maps.Equal(got, want[town]) {
			t.Errorf("%s received %d letters of %d", town, len(got), len(want[town]))
		}
		begun, together, auths := r.Sessions()
		if begun > 12 || together > 2*3 || begun != auths { // what is closed counts until the relay has noticed
			t.Errorf("%s: %d sessions, %d at a time, %d authenticated", town, begun, together, auths)
		}
	}
}

// TestREL12_OneBadLetter: whatever is wrong with a letter is its own affair.
func TestREL12_OneBadLetter(t *testing.T) {
	t.Parallel()
	relay := (&relaytest.Relay{Answer: func(_ int, command string) string {
		switch {
		case strings.Contains(command, "<refused@"):
			return "550 5.1.1 unknown"
		case strings.Contains(command, "<later@"):
			return "451 4.7.1 greylisted"
		}
		return ""
	}}).Start(t)
	s := start(t, mailout.Config{Largest: 1 << 20}, map[core.TenantID]*relaytest.Relay{"a": relay})
	faults := []func(core.Letter) (core.Letter, error){
		func(l core.Letter) (core.Letter, error) { l.To = "refused@exemple.test"; return l, nil },
		func(l core.Letter) (core.Letter, error) { l.To = "later@exemple.test"; return l, nil },
		func(l core.Letter) (core.Letter, error) { l.To = "nobody"; return l, nil },
		func(l core.Letter) (core.Letter, error) { l.To = "é@exemple.test"; return l, nil },
		func(l core.Letter) (core.Letter, error) { l.Certificate = []byte("x"); return l, nil },
		func(l core.Letter) (core.Letter, error) { return l, &core.Refusal{Code: "no_address"} },
		func(l core.Letter) (core.Letter, error) { return l, errors.New("database is away") },
		func(core.Letter) (core.Letter, error) { panic("bug") },
		func(l core.Letter) (core.Letter, error) { l.Files = []core.LetterFile{{Size: 2 << 20}}; return l, nil },
		func(l core.Letter) (core.Letter, error) {
			l.Files = []core.LetterFile{{Size: 2, Open: func(context.Context) (io.ReadCloser, error) { return nil, errors.New("blob is away") }}}
			return l, nil
		},
	}
	var mu sync.Mutex
	fault := map[core.LetterID]func(core.Letter) (core.Letter, error){}
	s.write = func(l core.LetterLease) (core.Letter, error) {
		mu.Lock()
		change := fault[l.ID]
		mu.Unlock()
		if change != nil {
			return change(letter(l))
		}
		return letter(l), nil
	}
	mu.Lock()
	for i, id := range s.post("a", 3*len(faults)) {
		if i%3 == 0 {
			fault[id] = faults[i/3]
		}
	}
	mu.Unlock()
	want := map[string]int{
		"sent": 20, "refused 550": 1, "waiting 451": 1, "cancelled bad_recipient": 1, "refused no_smtputf8": 1, "cancelled bad_certificate": 1,
		"cancelled no_address": 1, "waiting compose": 2, "waiting panic": 1, "refused too_large": 1,
	}
	until(t, "every letter settled", func() bool { return maps.Equal(s.count(), want) || s.settled(30) })
	if got := s.count(); !maps.Equal(got, want) {
		t.Errorf("%v\nwant\n%v", got, want)
	}
}

func (s *sending) settled(n int) bool {
	s.outbox.mu.Lock()
	defer s.outbox.mu.Unlock()
	for _, r := range s.rows {
		if r.settled == 0 {
			return false
		}
	}
	return len(s.rows) == n
}

// TestREL12_TroubledRelayRests: when it is the relay that is in trouble, a few letters find
// out, the others are not even tried, another town's go on, and all go once it is mended.
func TestREL12_TroubledRelayRests(t *testing.T) {
	t.Parallel()
	var mended atomic.Bool
	relay := (&relaytest.Relay{User: "u", Password: "p", Answer: func(_ int, command string) string {
		if command == "AUTH" && !mended.Load() {
			return "535 5.7.8 no"
		}
		return ""
	}}).Start(t)
	other := (&relaytest.Relay{}).Start(t)
	s := start(t, mailout.Config{Concurrency: 8, PerTown: 4}, map[core.TenantID]*relaytest.Relay{"a": relay, "b": other})
	ids := s.post("a", 100)
	until(t, "the relay rests", func() bool { return s.count()["waiting relay_auth"] > 0 })
	s.post("b", 100)
	until(t, "the other town's letters", s.all("sent", 100))
	tried := 0
	for _, id := range ids {
		if r := s.row(id); r.lease.Attempt > 0 {
			if tried++; r.lease.Attempt > 1 || r.outcome.RetryIn > 6*time.Second {
				t.Errorf("attempt %d, again in %v", r.lease.Attempt, r.outcome.RetryIn)
			}
		}
	}
	if begun, _, _ := relay.Sessions(); tried > 8 || begun > 3 {
		t.Errorf("%d letters tried in %d sessions", tried, begun)
	}
	mended.Store(true)
	until(t, "all letters", s.all("sent", 200))
}

// TestREL12_PoisonLetter: a letter that brings a relay to close its session each time does
// not keep it resting: the others go once it has rested, and that letter waits its own time.
func TestREL12_PoisonLetter(t *testing.T) {
	t.Parallel()
	relay := (&relaytest.Relay{Answer: func(_ int, command string) string {
		if strings.Contains(command, "<poison@") {
			return "421 4.3.2 closing"
		}
		return ""
	}}).Start(t)
	s := start(t, mailout.Config{}, map[core.TenantID]*relaytest.Relay{"a": relay})
	s.write = func(l core.LetterLease) (core.Letter, error) {
		letter := letter(l)
		if l.Kind == core.LetterNotice {
			letter.To = "poison@exemple.test"
		}
		return letter, nil
	}
	poison := s.post("a", 1, core.LetterNotice)[0]
	s.post("a", 100)
	until(t, "the others", s.all("sent", 100))
	until(t, "the poison put off", func() bool { return s.row(poison).settled > 0 })
	if r := s.row(poison); r.lease.Attempt != 1 || r.outcome.Code != submission.CodeBusy || r.outcome.RetryIn < 50*time.Second {
		t.Errorf("the poison: attempt %d, %+v", r.lease.Attempt, r.outcome)
	}
}

// TestFLT15_StormRests: a relay that puts off one letter after another is left alone too;
// one in twenty is no storm.
func TestFLT15_StormRests(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	storm := (&relaytest.Relay{Answer: func(_ int, command string) string {
		if strings.HasPrefix(command, "RCPT") {
			return "450 4.2.0 not now"
		}
		return ""
	}}).Start(t)
	weather := (&relaytest.Relay{Answer: func(_ int, command string) string {
		if command == "." && n.Add(1)%20 == 0 {
			return "451 4.2.0 not now"
		}
		return ""
	}}).Start(t)
	var rests sync.Map
	s := start(t, mailout.Config{Rests: func(code string) { rests.Store(code, true) }}, map[core.TenantID]*relaytest.Relay{"storm": storm, "weather": weather})
	s.post("storm", 200)
	s.post("weather", 200)
	until(t, "19 of 20 sent", s.all("sent", 190))
	until(t, "the stormy relay rests", func() bool { _, ok := rests.Load(mailout.CodeStorm); return ok })
	if waits := s.count()["waiting 450"]; waits < 10 || waits > 40 {
		t.Errorf("%d letters were put off", waits)
	}
}

// TestFLT15_TarpitHoldsItsOwn: a relay that never answers holds no other town's letters.
func TestFLT15_TarpitHoldsItsOwn(t *testing.T) {
	t.Parallel()
	tarpit := (&relaytest.Relay{Answer: func(_ int, command string) string {
		if strings.HasPrefix(command, "MAIL") {
			return relaytest.Silent
		}
		return ""
	}}).Start(t)
	relay := (&relaytest.Relay{}).Start(t)
	s := start(t, mailout.Config{Stop: 300 * time.Millisecond}, map[core.TenantID]*relaytest.Relay{"a": tarpit, "b": relay})
	s.post("a", 500)
	until(t, "the tarpit holds some", func() bool { begun, _, _ := tarpit.Sessions(); return begun == 3 })
	began := time.Now()
	s.post("b", 500)
	until(t, "the other town's letters", s.all("sent", 500))
	t.Logf("500 letters beside a tarpit: %v", time.Since(began))
	s.stop()
	if s.took > 5*time.Second {
		t.Errorf("stopped after %v", s.took)
	}
	if got := s.count()["waiting stopped"]; got == 0 || s.count()["waiting"]+got != 500 {
		t.Errorf("left: %v", s.count())
	}
}

// TestREL12_NotNoted: a letter that was sent, and not noted as sent, is sent again as the
// same letter.
func TestREL12_NotNoted(t *testing.T) {
	t.Parallel()
	relay := (&relaytest.Relay{}).Start(t)
	s := start(t, mailout.Config{Lease: 200 * time.Millisecond}, map[core.TenantID]*relaytest.Relay{"a": relay})
	s.outbox.mu.Lock()
	s.failures = 1000 // nobody notes that it was sent
	s.outbox.mu.Unlock()
	id := s.post("a", 1)[0]
	until(t, "sent twice", func() bool { return len(relay.Messages()) >= 2 })
	s.outbox.mu.Lock()
	s.failures = 0
	s.outbox.mu.Unlock()
	until(t, "noted", s.all("sent", 1))
	got := relay.Messages()
	if ids := received(relay); len(ids) != 1 || ids[string(id)] != len(got) || !bytes.Equal(got[0].Data, got[1].Data) {
		t.Errorf("sent as %v; the same bytes: %v", ids, bytes.Equal(got[0].Data, got[1].Data))
	}
}

// TestREL12_DatabaseAway for a moment: the letter that was sent is noted, not sent again.
func TestREL12_DatabaseAway(t *testing.T) {
	t.Parallel()
	relay := (&relaytest.Relay{}).Start(t)
	s := start(t, mailout.Config{Lease: 2 * time.Second}, map[core.TenantID]*relaytest.Relay{"a": relay})
	s.outbox.mu.Lock()
	s.failures = 5
	s.outbox.mu.Unlock()
	s.post("a", 1)
	until(t, "noted", s.all("sent", 1))
	if n := len(relay.Messages()); n != 1 {
		t.Errorf("sent %d times", n)
	}
}

// TestREL07_LongLetters keep their lease while they are composed, and one that lost it
// is not settled by who lost it.
func TestREL07_LongLetters(t *testing.T) {
	t.Parallel()
	relay := (&relaytest.Relay{}).Start(t)
	s := start(t, mailout.Config{Lease: time.Second}, map[core.TenantID]*relaytest.Relay{"a": relay})
	s.write = func(l core.LetterLease) (core.Letter, error) {
		time.Sleep(2500 * time.Millisecond)
		return letter(l), nil
	}
	id := s.post("a", 1)[0]
	until(t, "sent", s.all("sent", 1))
	if r := s.row(id); r.lease.Attempt != 1 || len(relay.Messages()) != 1 {
		t.Errorf("attempt %d, %d messages", r.lease.Attempt, len(relay.Messages()))
	}
	gone := make(chan struct{})
	s.write = func(l core.LetterLease) (core.Letter, error) {
		s.outbox.mu.Lock()
		for _, r := range s.rows {
			if r.lease.ID == l.ID {
				r.lease.Token += 100 // another has it
				r.lease.Until = time.Now().Add(time.Hour)
			}
		}
		s.outbox.mu.Unlock()
		<-gone
		return letter(l), errors.New("late")
	}
	id = s.post("a", 1)[0]
	until(t, "it is taken away", func() bool { return s.row(id).lease.Token > 100 })
	time.Sleep(500 * time.Millisecond) // past the next renewal
	close(gone)
	s.stop()
	if r := s.row(id); r.settled > 0 {
		t.Error("settled by who lost it")
	}
}

// TestSEC48_ReturnPaths: nobody can answer an automatic letter; other letters have a return
// path of their own.
func TestSEC48_ReturnPaths(t *testing.T) {
	t.Parallel()
	relay := (&relaytest.Relay{Offers: []string{"DSN"}}).Start(t)
	s := start(t, mailout.Config{}, map[core.TenantID]*relaytest.Relay{"a": relay})
	s.set("a", func(sender *mailout.Sender) {
		sender.ReturnPath = func(id core.LetterID) string { return "bounce+" + string(id) + "@ville.test" }
	})
	for _, c := range []struct {
		kind      core.LetterKind
		automatic bool
		mail      string
		notify    string
	}{
		{core.LetterReceipt, true, "<>", ""}, {core.LetterNotice, false, "<bounce+%s@ville.test>", "FAILURE,DELAY"},
		{core.LetterDispatch, false, "<bounce+%s@ville.test>", "SUCCESS,FAILURE,DELAY"},
	} {
		s.write = func(l core.LetterLease) (core.Letter, error) {
			letter := letter(l)
			letter.Kind, letter.Automatic = c.kind, c.automatic
			return letter, nil
		}
		before := len(relay.Messages())
		id := s.post("a", 1)[0]
		until(t, "sent", func() bool { return s.row(id).outcome.State == core.LetterSent })
		m := relay.Messages()[before]
		want := c.mail
		if strings.Contains(want, "%s") {
			want = fmt.Sprintf(want, id)
		}
		rcpt := "RCPT TO:<camille@exemple.test>"
		if c.notify != "" {
			rcpt += " NOTIFY=" + c.notify + " ORCPT=rfc822;camille@exemple.test"
		}
		if m.Mail != "MAIL FROM:"+want+" RET=HDRS ENVID="+string(id) || m.Rcpt != rcpt {
			t.Errorf("%s: %q, %q", c.kind, m.Mail, m.Rcpt)
		}
	}
}

// TestSEC53_LettersAreSigned with the town's keys, in front of all else.
func TestSEC53_LettersAreSigned(t *testing.T) {
	t.Parallel()
	relay := (&relaytest.Relay{}).Start(t)
	s := start(t, mailout.Config{}, map[core.TenantID]*relaytest.Relay{"a": relay})
	secret, err := dkim.New()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := dkim.Parse(secret, "s")
	if err != nil {
		t.Fatal(err)
	}
	s.set("a", func(sender *mailout.Sender) { sender.Sign = dkim.Signer{Domain: "ville.test", Keys: keys} })
	s.post("a", 1)
	until(t, "sent", s.all("sent", 1))
	data := relay.Messages()[0].Data
	if bytes.Count(data, []byte("DKIM-Signature: ")) != 2 || !bytes.HasPrefix(data, []byte("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=ville.test;")) {
		t.Errorf("%s", data)
	}
}

// TestNoRelay: a town that has none yet sends once it has, and other settings are taken up.
func TestNoRelay(t *testing.T) {
	t.Parallel()
	relay, other := (&relaytest.Relay{}).Start(t), (&relaytest.Relay{}).Start(t)
	s := start(t, mailout.Config{}, nil)
	s.post("a", 3)
	until(t, "noticed", func() bool { return s.count()["waiting no_relay"] > 0 })
	s.post("locked", 1)
	until(t, "noticed", func() bool { return s.count()["waiting settings"] > 0 })
	s.set("a", func(sender *mailout.Sender) { *sender = at(relay) })
	until(t, "sent", s.all("sent", 3))
	s.set("a", func(sender *mailout.Sender) { *sender = at(other) })
	s.post("a", 3)
	until(t, "sent", s.all("sent", 6))
	if a, b := len(relay.Messages()), len(other.Messages()); a != 3 || b != 3 {
		t.Errorf("%d and %d messages", a, b)
	}
}

// TestStaleSessions: a kept session that the relay has closed, or that has had as many
// messages as it allows, costs no letter an attempt, and the relay no rest.
func TestStaleSessions(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{relaytest.HangUp, "421 4.7.0 too many messages in this session"} {
		var served atomic.Int64
		relay := (&relaytest.Relay{Answer: func(session int, command string) string {
			if strings.HasPrefix(command, "MAIL") && session == 1 && served.Add(1) > 1 {
				return reply
			}
			return ""
		}}).Start(t)
		rests := func(code string) { t.Errorf("%q: rests for %s", reply, code) }
		s := start(t, mailout.Config{Sessions: 1, Rests: rests}, map[core.TenantID]*relaytest.Relay{"a": relay})
		first := s.post("a", 1)[0]
		until(t, "sent", s.all("sent", 1))
		second := s.post("a", 1)[0]
		until(t, "sent", s.all("sent", 2))
		for _, id := range []core.LetterID{first, second} {
			if r := s.row(id); r.lease.Attempt != 1 {
				t.Errorf("%q: attempt %d", reply, r.lease.Attempt)
			}
		}
		if begun, _, _ := relay.Sessions(); begun != 2 {
			t.Errorf("%q: %d sessions", reply, begun)
		}
		s.stop()
	}
}

// TestMemoryIsBounded: large letters wait for one another, and none is forgotten.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	relay := (&relaytest.Relay{}).Start(t)
	s := start(t, mailout.Config{Memory: 3 << 20, Sessions: 8}, map[core.TenantID]*relaytest.Relay{"a": relay})
	var held, most atomic.Int64
	s.write = func(l core.LetterLease) (core.Letter, error) {
		letter := letter(l)
		letter.Files = []core.LetterFile{{Name: "x.pdf", Type: "application/pdf", Size: 1 << 20, Open: func(context.Context) (io.ReadCloser, error) {
			most.Store(max(most.Load(), held.Add(1)))
			return struct {
				io.Reader
				io.Closer
			}{bytes.NewReader(make([]byte, 1<<20)), closing(func() { time.Sleep(20 * time.Millisecond); held.Add(-1) })}, nil
		}}}
		return letter, nil
	}
	s.post("a", 12)
	until(t, "sent", s.all("sent", 12))
	if most.Load() > 2 { // each is 1.4 MB in base64
		t.Errorf("%d letters at a time", most.Load())
	}
}

type closing func()

func (c closing) Close() error { c(); return nil }

// TestREL12_FiveDays: how long a letter waits, and when it is given up.
func TestREL12_FiveDays(t *testing.T) {
	t.Parallel()
	later := &submission.Fault{Code: "451", Status: "4.7.1"}
	down := &submission.Fault{Relay: true, Code: submission.CodeUnreachable}
	start := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	l := core.LetterLease{First: start}
	tries, now := 0, start
	for {
		o := mailout.Outcome(later, l, now, 0)
		tries++
		if o.State == core.LetterFailed {
			if o.Code != "451" || o.Status != "4.7.1" || o.RetryIn != 0 {
				t.Errorf("given up with %+v", o)
			}
			break
		}
		if o.State != core.LetterWaiting || o.RetryIn < 50*time.Second || o.RetryIn > 5*time.Hour {
			t.Fatalf("after %v: %+v", now.Sub(start), o)
		}
		if now.Sub(start) < 5*time.Minute && o.RetryIn > 3*time.Minute {
			t.Errorf("after %v it waits %v", now.Sub(start), o.RetryIn)
		}
		now = now.Add(o.RetryIn)
	}
	if tried := now.Sub(start); tried < mailout.GiveUp-5*time.Hour || tried > mailout.GiveUp || tries < 30 || tries > 80 {
		t.Errorf("%d tries in %v", tries, tried)
	}
	for name, c := range map[string]struct {
		err  error
		want core.LetterOutcome
	}{
		"sent":              {nil, core.LetterOutcome{State: core.LetterSent}},
		"nobody to send to": {fmt.Errorf("x: %w", &core.Refusal{Code: "no_address"}), core.LetterOutcome{State: core.LetterCancelled, Code: "no_address"}},
		"refused":           {&submission.Fault{Final: true, Code: "550", Status: "5.1.1"}, core.LetterOutcome{State: core.LetterRefused, Code: "550", Status: "5.1.1"}},
		"relay down":        {down, core.LetterOutcome{State: core.LetterWaiting, Code: "relay_unreachable", RetryIn: 7 * time.Second}},
	} {
		if got := mailout.Outcome(c.err, l, start, 7*time.Second); got != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := mailout.Outcome(down, l, start.Add(mailout.GiveUp), 7*time.Second); got != (core.LetterOutcome{State: core.LetterFailed, Code: "relay_unreachable"}) {
		t.Errorf("down for five days: %+v", got)
	}
}
