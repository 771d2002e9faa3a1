package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/store/postgres"
	"vaguemestre/core/store/postgres/pgtest"
)

// order is a letter due now, of an object of its own.
func (w *town) order(object string) core.LetterOrder {
	o := w.letter(object)
	o.Address = nil
	return o
}

// A repeat of an order writes nothing, and counts nothing.
func TestREL12_AnOrderIsOneLetter(t *testing.T) {
	t.Parallel()
	w := newTown(t, pgtest.New(t), "a")
	first := w.letter("1")
	for range 3 {
		again := first
		again.ID = core.NewID[core.LetterID]()
		w.must(w.worker.PostLetters(t.Context(), w.tenant, first, again))
	}
	if got := w.d.Text("SELECT string_agg(id || state, ',') FROM letter") + " " + w.d.Text("SELECT sum(n) FROM letter_count"); got != string(first.ID)+"waiting 1" {
		t.Errorf("letters %s", got)
	}
	// One of another town's is not written, whatever it says.
	foreign := w.order("2")
	foreign.Tenant = core.NewID[core.TenantID]()
	if err := w.worker.PostLetters(t.Context(), w.tenant, foreign); err == nil {
		t.Error("a letter of another town was ordered")
	}
}

// Orders for one recipient that come at once from everywhere are counted one after
// another: never more than the limit.
func TestSEC48_CountingStandsTheCrowd(t *testing.T) {
	t.Parallel()
	w := newTown(t, pgtest.New(t), "a")
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			if err := w.worker.PostLetters(t.Context(), w.tenant, w.letter(fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := w.d.Text("SELECT count(*) FILTER (WHERE state = 'waiting') || ' ' || count(*) FILTER (WHERE code = 'daily_cap') FROM letter"); got != "5 35" {
		t.Errorf("waiting and cancelled: %s", got)
	}
}

// The mailers of many hosts claim each letter once, and attempts are counted before the
// work; a mailer that slept past its lease writes nothing.
func TestREL12_LeasesAreFenced(t *testing.T) {
	t.Parallel()
	w := newTown(t, pgtest.New(t), "a")
	mailer := w.d.Store(postgres.RoleMailer)
	for i := range 60 {
		w.must(w.worker.PostLetters(t.Context(), w.tenant, w.order(fmt.Sprint(i))))
	}
	var mu sync.Mutex
	claimed := map[core.LetterID]int{}
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			for {
				got, err := mailer.ClaimLetters(t.Context(), 7, time.Minute)
				if err != nil || len(got) == 0 {
					return
				}
				mu.Lock()
				for _, l := range got {
					claimed[l.ID]++
					if l.Attempt != 1 || l.First.IsZero() || l.Tenant != w.tenant || l.Vault != w.address.Vault || string(l.Sealed) != "sealed" {
						t.Errorf("claimed %+v", l)
					}
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(claimed) != 60 || slices.Max(slices.Collect(values(claimed))) != 1 {
		t.Errorf("%d letters claimed", len(claimed))
	}

	w.d.Exec("UPDATE letter SET lease_until = now() - interval '1 s'") // the mailers died
	first, err := mailer.ClaimLetters(t.Context(), 1, 30*time.Millisecond)
	w.must(err)
	time.Sleep(40 * time.Millisecond)
	stale := first[0]
	for _, taken := range []bool{false, true} {
		if taken {
			w.d.Exec("UPDATE letter SET lease_until = now() - interval '1 s', next_at = now() - interval '1 day' WHERE id = '" + string(stale.ID) + "'")
			again, err := mailer.ClaimLetters(t.Context(), 1, time.Minute)
			w.must(err)
			if again[0].ID != stale.ID || again[0].Attempt != stale.Attempt+1 || again[0].Token <= stale.Token || !again[0].First.Equal(stale.First) {
				t.Fatalf("claimed %+v after %+v", again[0], stale)
			}
		}
		for what, err := range map[string]error{
			"settle": mailer.SettleLetter(t.Context(), stale, core.LetterOutcome{State: core.LetterSent}),
			"renew":  mailer.RenewLetter(t.Context(), stale, time.Minute),
		} {
			if !errors.Is(err, core.ErrStale) {
				t.Errorf("%s under a stale lease, taken %v: %v", what, taken, err)
			}
		}
	}
}

func values(m map[core.LetterID]int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for _, v := range m {
			if !yield(v) {
				return
			}
		}
	}
}

// REL-10: a town with many letters due leaves the others their share; what they do not
// use, it has.
func TestREL10_TownsTakeTurns(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	many, few, none := newTown(t, d, "many"), newTown(t, d, "few"), newTown(t, d, "none")
	mailer := d.Store(postgres.RoleMailer)
	for i := range 200 {
		many.must(many.worker.PostLetters(t.Context(), many.tenant, many.order(fmt.Sprint(i))))
	}
	for i := range 5 {
		few.must(few.worker.PostLetters(t.Context(), few.tenant, few.order(fmt.Sprint(i))))
	}
	for range 5 { // whoever's turn comes first
		got, err := mailer.ClaimLetters(t.Context(), 30, time.Minute)
		many.must(err)
		count := map[core.TenantID]int{}
		for _, l := range got {
			count[l.Tenant]++
		}
		if len(got) != 30 || count[few.tenant] != 5 || count[many.tenant] != 25 || count[none.tenant] != 0 {
			t.Errorf("claimed %d: %v", len(got), count)
		}
		d.Exec("UPDATE letter SET lease_until = NULL")
	}
	got, err := mailer.ClaimLetters(t.Context(), 30, time.Minute, many.tenant)
	if err != nil || len(got) != 5 {
		t.Errorf("without the busy town: %d letters, %v", len(got), err)
	}
}

// What becomes of a letter, from its order to what the recipient's server says.
func TestREL12_StatesOfALetter(t *testing.T) {
	t.Parallel()
	w := newTown(t, pgtest.New(t), "a")
	mailer := w.d.Store(postgres.RoleMailer)
	ctx := t.Context()
	later := w.order("later")
	later.Due = time.Now().Add(time.Hour)
	w.must(w.http.PostLetters(ctx, w.tenant, later, w.order("now")))
	claim := func() core.LetterLease {
		t.Helper()
		got, err := mailer.ClaimLetters(ctx, 5, time.Minute)
		w.must(err)
		if len(got) != 1 {
			t.Fatalf("%d letters due, want 1", len(got))
		}
		return got[0]
	}
	state := func(id core.LetterID) string {
		t.Helper()
		rows, err := w.http.Letters(ctx, w.tenant, w.address.Vault)
		w.must(err)
		for _, r := range rows {
			if r.ID == id {
				return strings.TrimSpace(fmt.Sprint(r.State, " ", r.Code, " ", r.Status))
			}
		}
		return "not there"
	}
	if n, since, err := mailer.WaitingLetters(ctx); n != 2 || err != nil || time.Since(since) > time.Minute {
		t.Errorf("%d letters wait since %v, %v", n, since, err)
	}
	l := claim()
	w.must(mailer.SettleLetter(ctx, l, core.LetterOutcome{State: core.LetterWaiting, Code: "451", Status: "4.7.1", RetryIn: time.Hour}))
	if got := state(l.ID); got != "waiting 451 4.7.1" {
		t.Errorf("after a temporary failure: %s", got)
	}
	if got, err := mailer.ClaimLetters(ctx, 5, time.Minute); err != nil || len(got) != 0 {
		t.Errorf("due before its time: %v, %v", got, err)
	}
	w.must(w.http.RetryLetter(ctx, w.tenant, l.ID))
	if l = claim(); l.Attempt != 2 {
		t.Errorf("attempt %d", l.Attempt)
	}
	if err := w.http.CancelLetter(ctx, w.tenant, l.ID); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("cancelled while it is being sent: %v", err)
	}
	if err := w.worker.LetterStatus(ctx, w.tenant, l.ID, core.LetterOutcome{State: core.LetterBounced}); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("bounced before it was sent: %v", err)
	}
	w.must(mailer.SettleLetter(ctx, l, core.LetterOutcome{State: core.LetterSent}))
	for _, step := range []struct {
		say  core.LetterState
		want string
	}{
		{core.LetterDelayed, "delayed 450 4.4.1"}, {core.LetterDelivered, "delivered 450 4.4.1"}, {core.LetterDelayed, "delivered 450 4.4.1"},
		{core.LetterBounced, "bounced 450 4.4.1"}, {core.LetterDelivered, "bounced 450 4.4.1"},
	} {
		w.must(w.worker.LetterStatus(ctx, w.tenant, l.ID, core.LetterOutcome{State: step.say, Code: "450", Status: "4.4.1"}))
		if got := state(l.ID); got != step.want {
			t.Errorf("told %s: %s, want %s", step.say, got, step.want)
		}
	}
	if err := w.worker.LetterStatus(ctx, w.tenant, l.ID, core.LetterOutcome{State: core.LetterSent}); !errors.Is(err, core.ErrInvalid) {
		t.Errorf("a report that it was sent: %v", err)
	}
	w.must(w.http.CancelLetter(ctx, w.tenant, later.ID))
	if got := state(later.ID); got != "cancelled by_hand" {
		t.Errorf("cancelled: %s", got)
	}
	if err := w.http.RetryLetter(ctx, w.tenant, later.ID); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("a cancelled letter is tried again: %v", err)
	}
}

// A mailer that waits is woken by an order, wherever it was committed, and by one that is
// brought forward; not by one that was taken back.
func TestTheMailerIsWoken(t *testing.T) {
	t.Parallel()
	w := newTown(t, pgtest.New(t), "a")
	mailer := w.d.Store(postgres.RoleMailer)
	ctx, cancel := context.WithCancel(t.Context())
	rung, ended := make(chan struct{}, 16), make(chan error, 1)
	go func() { ended <- mailer.WatchLetters(ctx, func() { rung <- struct{}{} }) }()
	woken := func(what string) {
		t.Helper()
		select {
		case <-rung:
		case <-time.After(10 * time.Second):
			t.Fatalf("not woken: %s", what)
		}
	}
	woken("when it begins to listen")
	later := w.order("later")
	later.Due = time.Now().Add(time.Hour)
	w.must(w.worker.PostLetters(t.Context(), w.tenant, later))
	woken("an order")
	w.must(w.http.RetryLetter(t.Context(), w.tenant, later.ID))
	woken("brought forward")
	bad := w.order("bad")
	bad.Kind = "none"
	if err := w.worker.PostLetters(t.Context(), w.tenant, w.order("good"), bad); err == nil {
		t.Error("an unknown kind was ordered")
	}
	select {
	case <-rung:
		t.Error("woken by what was rolled back")
	case <-time.After(50 * time.Millisecond):
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

// Counts of days gone by go, of every town; today's stay.
func TestLetterCountsAreForgotten(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	scheduler := d.Store(postgres.RoleScheduler)
	for _, code := range []string{"a", "b"} {
		w := newTown(t, d, code)
		w.must(w.worker.PostLetters(t.Context(), w.tenant, w.letter("1")))
		old := w.letter("2")
		old.Address = sum("zoe last week")
		w.must(w.worker.PostLetters(t.Context(), w.tenant, old))
	}
	d.Exec("UPDATE letter_count SET day = day - 7 WHERE keyed_hash = '\\x" + fmt.Sprintf("%x", sum("zoe last week")) + "'")
	if err := scheduler.ForgetLetterCounts(t.Context(), time.Now().AddDate(0, 0, -3)); err != nil {
		t.Fatal(err)
	}
	if n := d.Text("SELECT count(*) FROM letter_count"); n != "2" {
		t.Errorf("%s counts are left, want one a town", n)
	}
}
