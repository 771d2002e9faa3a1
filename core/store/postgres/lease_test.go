package postgres_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/opening"
	"vaguemestre/core/store/postgres/pgtest"
)

// A worker that slept past its lease commits nothing any more, whatever it tries,
// whether or not another has taken the row since.
func TestREL07_StaleLeaseCommitsNothing(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	w := newTown(t, d, "a")
	for _, taken := range []bool{false, true} {
		for _, noun := range []core.Noun{core.NounDeposit, core.NounPiece} {
			step := w.deposit(string(noun))
			if noun == core.NounPiece {
				step = w.open(step)
			}
			stale := w.claim(step, 50*time.Millisecond)
			time.Sleep(60 * time.Millisecond)
			fresh := stale
			if taken {
				fresh = w.claim(step, time.Minute)
			}
			before := w.row(step)
			for what, err := range w.everyWrite(stale) {
				if !errors.Is(err, core.ErrStale) {
					t.Errorf("%s of a %s, taken %v: %v", what, noun, taken, err)
				}
			}
			if after := w.row(step); after != before {
				t.Errorf("%s, taken %v: was %s, is %s", noun, taken, before, after)
			}
			if taken && fresh.Token <= stale.Token {
				t.Errorf("token %d after %d", fresh.Token, stale.Token)
			}
			w.d.Exec("UPDATE deposit SET state = 'destroyed'; UPDATE piece SET state = 'failed'; UPDATE deposit SET fingerprint = id::text::bytea")
		}
	}
}

// everyWrite tries all that a lease allows.
func (w *town) everyWrite(lease core.Lease) map[string]error {
	ctx := w.t.Context()
	tried := map[string]error{
		"renew":  w.worker.Renew(ctx, lease, time.Minute),
		"settle": w.worker.Settle(ctx, lease, core.Outcome{Failed: true, Code: "test"}),
	}
	if lease.Noun == core.NounDeposit {
		tried["opened"] = w.worker.Opened(ctx, lease, opening.Opened{Attribution: core.Attribution{Vault: w.address.Vault}, Rewrapped: [][]byte{[]byte("late")}})
		return tried
	}
	tried["amend"] = w.worker.Amend(ctx, lease, examined)
	_, tried["file"] = w.worker.File(ctx, lease, w.filed(lease))
	return tried
}

// row is all there is to a row and what hangs on it.
func (w *town) row(step core.Step) string {
	w.t.Helper()
	c := connect(w.t, w.d.SuperURL)
	return strings.Join(query(w.t, c, `SELECT to_jsonb(r)::text || (SELECT count(*) FROM artifact) || (SELECT count(*) FROM document) || (SELECT count(*) FROM journal)
		FROM `+string(step.Noun)+` r WHERE id = $1`, step.ID), "\n")
}

// The attempt stands in the row before any work is done, and one holder at a time.
func TestREL08_ClaimCountsFirstAndLetsOneIn(t *testing.T) {
	t.Parallel()
	w := newTown(t, pgtest.New(t), "a")
	step := w.deposit("1")
	var mu sync.Mutex
	var held []core.Lease
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			lease, err := w.worker.Claim(t.Context(), step, time.Minute)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				held = append(held, lease)
			case !errors.Is(err, core.ErrNotDue):
				t.Errorf("claim: %v", err)
			}
		})
	}
	all.Wait()
	if len(held) != 1 || held[0].Attempt != 1 {
		t.Fatalf("held %+v", held)
	}
	if got := query(t, connect(t, w.d.SuperURL), "SELECT attempts FROM deposit")[0]; got != "1" {
		t.Errorf("%s attempts counted while the first is under way", got)
	}
	w.must(w.worker.Renew(t.Context(), held[0], 50*time.Millisecond))
	time.Sleep(60 * time.Millisecond) // killed: it never tells
	if again := w.claim(step, time.Minute); again.Attempt != 2 || again.Token != held[0].Token+1 {
		t.Errorf("after a crash: %+v", again)
	}
}

// What an attempt leaves behind decides whether, and when, the row is work again.
func TestDueListsWhatIsToDo(t *testing.T) {
	t.Parallel()
	w := newTown(t, pgtest.New(t), "a")
	due := func() (ids []string) {
		t.Helper()
		steps, err := w.worker.Due(t.Context(), w.tenant, 100)
		w.must(err)
		for _, s := range steps {
			ids = append(ids, s.ID)
		}
		return ids
	}
	for _, c := range []struct {
		name    string
		outcome core.Outcome
		state   string
		due     bool
	}{
		{"refused", core.Outcome{Refused: true, Code: "too_large", Sentence: "Trop grand."}, "refused", false},
		{"failed", core.Outcome{Failed: true, Code: "gave_up"}, "failed", false},
		{"later", core.Outcome{Code: "accident", RetryIn: time.Minute}, "received", false},
		{"at once", core.Outcome{Code: "accident"}, "received", true},
		{"stopped", core.Outcome{Code: "stopped", Uncounted: true}, "received", true},
	} {
		step := w.deposit(c.name)
		if !slices.Contains(due(), step.ID) {
			t.Errorf("%s: not due when it arrives", c.name)
		}
		lease := w.claim(step, time.Minute)
		if slices.Contains(due(), step.ID) {
			t.Errorf("%s: due although leased", c.name)
		}
		w.must(w.worker.Settle(t.Context(), lease, c.outcome))
		if got := slices.Contains(due(), step.ID); got != c.due {
			t.Errorf("%s: due %v", c.name, got)
		}
		if _, err := w.worker.Claim(t.Context(), step, time.Minute); errors.Is(err, core.ErrNotDue) == c.due {
			t.Errorf("%s: claim says %v", c.name, err)
		}
		want := c.state + " " + c.outcome.Code
		if got := query(t, connect(t, w.d.SuperURL), "SELECT state, reason FROM deposit WHERE id = $1", step.ID)[0]; got != want {
			t.Errorf("%s: stands as %q, want %q", c.name, got, want)
		}
	}
	opened := w.open(w.deposit("opened"))
	filed := w.open(w.deposit("filed"))
	lease := w.claim(filed, time.Minute)
	_, err := w.worker.File(t.Context(), lease, w.filed(lease))
	w.must(err)
	if ids := due(); !slices.Contains(ids, opened.ID) || slices.Contains(ids, filed.ID) {
		t.Errorf("a waiting piece is due and a filed one is not: %v", ids)
	}
	if _, err := w.worker.Due(t.Context(), "", 100); err == nil {
		if steps, _ := w.worker.Due(context.Background(), core.NewID[core.TenantID](), 100); len(steps) > 0 {
			t.Errorf("another tenant's work: %v", steps)
		}
	}
}

// The same arrival again writes nothing and brings the first receipt back (REL-04).
func TestREL04_SameFingerprintSameDeposit(t *testing.T) {
	t.Parallel()
	w := newTown(t, pgtest.New(t), "a")
	first := w.deposit("1")
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if again := w.deposit("1"); again.ID != first.ID {
				t.Errorf("a repeat is deposit %s, the first was %s", again.ID, first.ID)
			}
		})
	}
	all.Wait()
	if n := query(t, connect(t, w.d.SuperURL), "SELECT (SELECT count(*) FROM deposit), (SELECT count(*) FROM deposit_body)")[0]; n != "1 1" {
		t.Errorf("%s deposits and bodies", n)
	}
}

// Filing is one transaction (REL-09), and the same content is one document: two
// workers filing it at once leave one document with two pieces.
func TestREL09_OneContentOneDocument(t *testing.T) {
	t.Parallel()
	w := newTown(t, pgtest.New(t), "a")
	fingerprint := sum("the same file")
	var leases []core.Lease
	for _, key := range []string{"1", "2", "3", "4"} {
		leases = append(leases, w.claim(w.open(w.deposit(key)), time.Minute))
	}
	ids := make([]core.DocumentID, len(leases))
	var all sync.WaitGroup
	for i, lease := range leases {
		all.Go(func() {
			f := w.filed(lease)
			f.Fingerprint = fingerprint
			id, err := w.worker.File(t.Context(), lease, f)
			if err != nil {
				t.Errorf("file: %v", err)
			}
			ids[i] = id
		})
	}
	all.Wait()
	if distinct := slices.Compact(slices.Sorted(slices.Values(ids))); len(distinct) != 1 || distinct[0] == "" {
		t.Errorf("documents %v", ids)
	}
	c := connect(t, w.d.SuperURL)
	if got := query(t, c, "SELECT (SELECT count(*) FROM document), (SELECT count(*) FROM document_version), (SELECT count(*) FROM piece WHERE state = 'filed')")[0]; got != "1 1 4" {
		t.Errorf("documents, versions, filed pieces: %s", got)
	}
	broken := w.claim(w.open(w.deposit("5")), time.Minute)
	f := w.filed(broken)
	f.Document.Journey, f.Document.State = "", "no such state" // refused by the last statements
	before := w.row(broken.Step)
	if _, err := w.worker.File(t.Context(), broken, f); !violates(err, "23514") {
		t.Errorf("a document in no state: %v", err)
	}
	if after := w.row(broken.Step); after != before {
		t.Errorf("half a filing: was %s, is %s", before, after)
	}
}
