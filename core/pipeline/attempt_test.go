package pipeline_test

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
	"vaguemestre/core/ledger"
	"vaguemestre/core/pipeline"
)

var errAccident = errors.New("accident with Camille's file")

// An accident is tried again, later and later, five times in all; then the piece stands
// as failed, its original whole and readable.
func TestREL08_FiveAttemptsThenFailed(t *testing.T) {
	t.Parallel()
	w := newDesk(t)
	step := w.pieces("one")[0]
	w.read.examine = func(context.Context, []byte, bool) (core.Evidence, error) { return core.Evidence{}, errAccident }
	r := w.runner(time.Minute)
	for attempt, wait := range []float64{2, 10, 50, 250} {
		w.run(r, step)
		w.wantStanding("an accident", step, fmt.Sprintf("waiting accident_examine attempts %d", attempt+1))
		var left float64
		if _, err := fmt.Sscan(w.Text("SELECT extract(epoch FROM next_at - clock_timestamp()) FROM piece"), &left); err != nil {
			t.Fatal(err)
		}
		if left > wait || left < wait-1.5 {
			t.Errorf("after attempt %d the next is in %.1f s, want %v", attempt+1, left, wait)
		}
		w.run(r, step) // rung too early
		w.wantAsked("before it is due", attempt+1, 0)
		w.due()
	}
	w.run(r, step)
	w.wantStanding("the fifth accident", step, "failed accident_examine attempts 5")
	w.due()
	w.run(r, step)
	w.wantAsked("once failed", pipeline.MaxAttempts, 0)
	report, err := ledger.Check(t.Context(), w.http, w.Blobs)
	if err != nil || !report.Closed() || report.Blobs != 2 {
		t.Errorf("ledger: %+v (%v)", report, err)
	}
	if file := w.read.examined[4]; file != "one" {
		t.Errorf("the fifth attempt read %q", file)
	}
}

// A file that kills its worker never lets it tell how an attempt ended; the attempts
// were counted before, and the sixth worker does not touch it.
func TestREL08_AFileThatKillsWorkersIsGivenUp(t *testing.T) {
	t.Parallel()
	w := newDesk(t)
	step := w.pieces("one")[0]
	for range pipeline.MaxAttempts {
		if _, err := w.Worker.Claim(t.Context(), step, time.Millisecond); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	w.run(w.runner(time.Minute), step)
	w.wantStanding("after five deaths", step, "failed gave_up attempts 6")
	w.wantAsked("after five deaths", 0, 0)
}

// One piece in ten is poison: it panics or fails at every attempt. The others are filed
// at 80 % of the pace they would have alone, and the poison ends up failed.
func TestREL08_PoisonLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	w := newDesk(t)
	w.read.examine = func(_ context.Context, file []byte, _ bool) (core.Evidence, error) {
		switch string(file[:4]) {
		case "pani":
			panic("poison")
		case "fail":
			return core.Evidence{}, errAccident
		}
		return seenText, nil
	}
	const all, poison = 60, 6
	files := make([]string, all)
	for i := range files {
		files[i] = fmt.Sprintf("good %d", i)
		if i%10 == 0 { // first in the queue, where it hinders most
			files[i] = fmt.Sprintf([]string{"panic %d", "fails %d"}[i/10%2], i)
		}
	}
	w.pieces(files...)
	began := time.Now()
	good := func() string { return w.Text("SELECT count(*) FROM piece WHERE state = 'filed'") }
	for good() != fmt.Sprint(all-poison) {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("%s filed", good())
		}
		w.workOnce(2)
	}
	examined, _ := w.read.asked()
	share := float64(all-poison) / float64(examined)
	t.Logf("%d good pieces in %v, %d attempts in all: %.0f %% of the pace without poison", all-poison, time.Since(began).Round(time.Millisecond), examined, 100*share)
	if share < 0.8 {
		t.Errorf("the others kept %.0f %% of their pace", 100*share)
	}
	for range pipeline.MaxAttempts {
		w.due()
		w.workOnce(2)
	}
	if got := w.Text(`SELECT string_agg(r, ', ' ORDER BY r) FROM (SELECT concat_ws(' ', count(*), state, reason, attempts) AS r FROM piece WHERE state <> 'filed' GROUP BY state, reason, attempts) p`); got != "3 failed accident_examine 5, 3 failed panic 5" {
		t.Errorf("the poison stands as %q", got)
	}
	if w.documents() != all-poison {
		t.Errorf("%d documents", w.documents())
	}
}

// workOnce runs all that is due with so many workers.
func (w *desk) workOnce(workers int) {
	w.t.Helper()
	due, err := w.Worker.Due(w.t.Context(), w.ID, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	steps := make(chan core.Step)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			r := w.runner(time.Minute)
			for step := range steps {
				w.run(r, step)
			}
		})
	}
	for _, s := range due {
		steps <- s
	}
	close(steps)
	all.Wait()
}

// Stopping in the middle of a piece is nobody's fault: the attempt does not count, and
// the next worker may begin at once.
func TestStoppingIsNotHeldAgainstThePiece(t *testing.T) {
	t.Parallel()
	w := newDesk(t)
	step := w.pieces("one")[0]
	for range 2 * pipeline.MaxAttempts { // more restarts than accidents are borne
		ctx, stop := context.WithCancel(t.Context())
		w.read.examine = func(ctx context.Context, _ []byte, _ bool) (core.Evidence, error) {
			stop()
			<-ctx.Done()
			return core.Evidence{}, ctx.Err()
		}
		if err := w.runner(time.Minute).Run(ctx, step); err != nil {
			t.Errorf("stopped: %v", err)
		}
		w.wantStanding("stopped", step, "waiting stopped attempts 0")
	}
	w.read.examine = nil
	w.run(w.runner(time.Minute), step)
	w.wantStanding("started again", step, "filed attempts 1")
}

// A refusal is final, and its sentence is there for whoever lists the deposit.
func TestARefusalIsFinalAndSaysWhy(t *testing.T) {
	t.Parallel()
	w := newDesk(t)
	refusal := &core.Refusal{Code: "encrypted_pdf", Reason: "Ce PDF demande un mot de passe."}
	w.read.examine = func(context.Context, []byte, bool) (core.Evidence, error) {
		return core.Evidence{}, fmt.Errorf("page 1: %w", refusal)
	}
	step := w.pieces("one", "two")[0]
	w.run(w.runner(time.Minute), step)
	w.due()
	w.run(w.runner(time.Minute), step)
	w.wantStanding("refused", step, "refused encrypted_pdf attempts 1")
	w.wantAsked("refused", 1, 0)
	deposits, err := w.http.Deposits(t.Context(), w.ID)
	if err != nil {
		t.Fatal(err)
	}
	if p := deposits[0].Pieces[0]; p.Sentence != refusal.Reason || p.Reason != refusal.Code {
		t.Errorf("listed as %+v", p)
	}
	if p := deposits[0].Pieces[1]; p.State != core.PieceWaiting || p.Sentence != "" {
		t.Errorf("the other piece is listed as %+v", p)
	}
}

// A file over the town's limit is refused before a byte of it is opened.
func TestAFileOverTheLimitIsNotOpened(t *testing.T) {
	t.Parallel()
	w := newDesk(t)
	step := w.pieces("four")[0]
	w.Exec(`INSERT INTO tenant_settings SELECT tenant_id, 2, settings || '{"max_file_bytes": 3}', now() FROM tenant_settings`)
	opened := w.Text("SELECT count(*) FROM journal WHERE act = 'open'")
	w.run(w.runner(time.Minute), step)
	w.wantStanding("too large", step, "refused too_large attempts 1")
	w.wantAsked("too large", 0, 0)
	if sentence := w.Text("SELECT sentence FROM piece"); !strings.Contains(sentence, "\u00a0Mo") {
		t.Errorf("it says %q", sentence)
	}
	if now := w.Text("SELECT count(*) FROM journal WHERE act = 'open'"); now <= opened {
		t.Errorf("%s keys opened before, %s after: the journal does not show the attempt", opened, now)
	}
}

// SEC-49: the owner of a deposit that cannot be opened, or that is held, is told; of the
// accidents on the way there nobody is, and a file that ends as it may is told in the result.
func TestSEC49_TheOwnerIsToldOfWhatFailed(t *testing.T) {
	t.Parallel()
	w := newDesk(t)
	w.Writes()
	broken, over, whole := w.arrive("broken"), w.arrive("refused"), w.arrive("one")
	letters := func(step core.Step) string {
		t.Helper()
		return strings.ReplaceAll(w.Text("SELECT string_agg(kind || ' ' || once || CASE WHEN next_at > now() THEN ' later' ELSE '' END, ', ' ORDER BY kind) FROM letter WHERE object_id = '"+step.ID+"'"),
			string(w.citizen.ID), "owner")
	}
	r := w.runner(time.Minute)
	for range pipeline.MaxAttempts {
		if got := letters(broken); got != "" {
			t.Errorf("told before it failed: %s", got)
		}
		w.run(r, broken)
		w.due()
	}
	w.run(r, over)
	w.run(r, whole)
	for step, want := range map[core.Step]string{broken: "result owner/failed", over: "result owner/held", whole: "receipt owner, result owner later"} {
		if got := letters(step); got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	piece := <-w.rung
	w.read.examine = func(context.Context, []byte, bool) (core.Evidence, error) {
		return core.Evidence{}, &core.Refusal{Code: "encrypted_pdf", Reason: "Ce PDF demande un mot de passe."}
	}
	w.run(r, piece)
	if got := letters(whole); got != "receipt owner, result owner" {
		t.Errorf("after the last file: %q", got)
	}
}

// What befalls a deposit befalls it alone, as it does a piece; what was opened half
// leaves no piece. One past a limit is held for a person.
func TestADepositFailsAndIsHeldAlone(t *testing.T) {
	t.Parallel()
	w := newDesk(t)
	broken, over, whole := w.arrive("broken"), w.arrive("refused"), w.arrive("one")
	r := w.runner(time.Minute)
	for range pipeline.MaxAttempts {
		w.run(r, broken)
		w.due()
	}
	w.run(r, over)
	w.run(r, whole)
	w.wantStanding("broken", broken, "failed accident attempts 5")
	w.wantStanding("over a limit", over, "held too_many_parts attempts 1")
	w.wantStanding("whole", whole, "opened attempts 1")
	if n := w.Text("SELECT count(*) FROM piece"); n != "1" {
		t.Errorf("%s pieces", n)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	want := []string{"deposit later", "deposit later", "deposit later", "deposit later", "deposit failed", "deposit done", "deposit done"}
	if !slices.Equal(w.outcomes, want) {
		t.Errorf("counted %q", w.outcomes)
	}
}
