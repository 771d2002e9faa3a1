package postgres_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/store/postgres/pgtest"
)

// Every committed change of state is told, ids only; the arrival of a deposit is not,
// and neither is what was rolled back or changed no state.
func TestEveryStateChangeIsTold(t *testing.T) {
	t.Parallel()
	w := newTown(t, pgtest.New(t), "a")
	c := connect(t, w.d.SuperURL)
	query(t, c, "LISTEN vaguemestre")
	told := func() (all []string) {
		t.Helper()
		w.d.Exec("NOTIFY vaguemestre, 'end'") // queued behind all that was committed before
		for {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			n, err := c.WaitForNotification(ctx)
			cancel()
			if err != nil {
				t.Fatal(err)
			}
			if n.Payload == "end" {
				return all
			}
			var got map[string]string
			if err := json.Unmarshal([]byte(n.Payload), &got); err != nil {
				t.Fatalf("%v in %s", err, n.Payload)
			}
			if got["tenant"] != string(w.tenant) || len(got) != 4 {
				t.Errorf("told %s", n.Payload)
			}
			all = append(all, fmt.Sprint(got["noun"], " ", got["id"], " ", got["state"]))
		}
	}
	expect := func(when string, want ...string) {
		t.Helper()
		got := told()
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: told %q, want %q", when, got, want)
		}
	}

	deposit := w.deposit("1")
	expect("arrival")
	piece := w.open(deposit)
	expect("opening", "deposit "+deposit.ID+" opened", "piece "+piece.ID+" waiting")
	lease := w.claim(piece, time.Minute)
	w.must(w.worker.Renew(t.Context(), lease, time.Minute))
	expect("lease")
	w.must(w.worker.Amend(t.Context(), lease, examined))
	expect("examining", "piece "+piece.ID+" examined")
	id, err := w.worker.File(t.Context(), lease, w.filed(lease))
	w.must(err)
	expect("filing", "piece "+piece.ID+" filed", "document "+string(id)+" to_confirm")
	who := core.Access{Tenant: w.tenant, Vault: w.address.Vault, Actor: "citizen", Act: "confirm", Purpose: "test"}
	w.must(w.http.MoveDocument(t.Context(), who, id, core.DocumentToConfirm, core.DocumentToValidate))
	expect("confirmation", "document "+string(id)+" to_validate")
	if err := w.http.MoveDocument(t.Context(), who, id, core.DocumentToConfirm, core.DocumentToValidate); err == nil {
		t.Error("moved twice")
	}
	expect("nothing")

	refused := w.claim(w.deposit("2"), time.Minute)
	w.must(w.worker.Settle(t.Context(), refused, core.Outcome{Refused: true, Code: "empty", Sentence: "Vide."}))
	expect("refusal", "deposit "+refused.ID+" refused")
	failed := w.claim(w.open(w.deposit("3")), time.Minute)
	told()
	w.must(w.worker.Settle(t.Context(), failed, core.Outcome{Code: "accident"}))
	expect("another try later")
	failed = w.claim(failed.Step, time.Minute)
	w.must(w.worker.Settle(t.Context(), failed, core.Outcome{Failed: true, Code: "gave_up"}))
	expect("failure", "piece "+failed.ID+" failed")
}
