package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
	"vaguemestre/core/access"
	"vaguemestre/core/store/postgres"
	"vaguemestre/core/store/postgres/pgtest"
)

const entries = 6

// Whoever holds the database as superuser changes the journal in vain: verification
// names the first entry that is not as it was written.
func TestSEC31_EveryTamperingIsNamed(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	w := newTown(t, d, "a")
	keeper := d.Store(postgres.RoleKeeper)
	who := core.Access{Tenant: w.tenant, Vault: w.address.Vault, Actor: "citizen", Act: "read", Purpose: "consult", Object: "1"}
	for range entries - 1 { // after the entry of enrolment
		w.must(keeper.Record(t.Context(), who))
	}
	chain := access.Chain(who, time.Now())
	super := connect(t, d.SuperURL)
	for _, tampering := range []struct{ name, sql, want string }{
		{"edit an actor", `UPDATE journal SET actor = 'agent' WHERE seq = 3`, "entry 3 was changed"},
		{"edit a time", `UPDATE journal SET at = at - interval '1 hour' WHERE seq = 1`, "entry 1 was changed"},
		{"seal something in", `UPDATE journal SET sealed = 'x' WHERE seq = 6`, "entry 6 was changed"},
		{"edit and restamp one entry", forge(3, 3), "entry 4 does not name the entry before it"},
		{"delete the first", `DELETE FROM journal WHERE seq = 1`, "entry 2 follows 0"},
		{"delete one", `DELETE FROM journal WHERE seq = 4`, "entry 5 follows 3"},
		{"delete one and close the gap", `DELETE FROM journal WHERE seq = 3; UPDATE journal SET seq = seq - 1 WHERE seq = 4; UPDATE journal SET seq = seq - 1 WHERE seq = 5;
			UPDATE journal SET seq = seq - 1 WHERE seq = 6; UPDATE journal_head SET seq = 5`, "entry 3 does not name the entry before it"},
		{"insert one", `UPDATE journal SET seq = seq + 100 WHERE seq > 3; UPDATE journal SET seq = seq - 99 WHERE seq > 100; UPDATE journal_head SET seq = 7;` + forge(3, 4),
			"entry 5 does not name the entry before it"},
		{"append one", forge(6, 7), "ends at entry 7, its head says 6"},
		{"reorder", `UPDATE journal SET seq = 100 WHERE seq = 2; UPDATE journal SET seq = 2 WHERE seq = 3; UPDATE journal SET seq = 3 WHERE seq = 100`,
			"entry 2 does not name the entry before it"},
		{"cut the tail", `DELETE FROM journal WHERE seq > 4`, "ends at entry 4, its head says 6"},
		{"cut the tail and bend the head", `DELETE FROM journal WHERE seq > 4; UPDATE journal_head SET seq = 4`, "ends at entry 4, its head says 4"},
		{"cut a whole chain", `DELETE FROM journal`, "ends at entry 0, its head says 6"},
		{"cut a whole chain and its head", `DELETE FROM journal; DELETE FROM journal_head`, "is missing"},
		{"cut the head", `DELETE FROM journal_head`, "has no head"},
		{"move an entry to another chain", `UPDATE journal SET chain = 'intake:2026-01-01' WHERE seq = 1`, "entry 1 was changed"},
	} {
		t.Run(tampering.name, func(t *testing.T) {
			forging(t, super, tampering.sql, func(undo func()) {
				broken, n, err := w.http.VerifyJournal(t.Context(), w.tenant)
				undo()
				if err != nil {
					t.Fatal(err)
				}
				var said []string
				for _, b := range broken {
					said = append(said, b.Error())
				}
				if !strings.Contains(strings.Join(said, "\n"), tampering.want) {
					t.Errorf("%d entries, named %q, want %q", n, said, tampering.want)
				}
				if len(said) > 2 { // a moved entry leaves two broken chains
					t.Errorf("named more than the first bad entry: %q", said)
				}
			})
			whole(t, w, entries)
		})
	}
	if chain != "vault:"+string(w.address.Vault) {
		t.Errorf("chain %s", chain)
	}
}

// forge stands for inserting, as entry to, one that follows entry from and is linked
// and hashed as it should be; an entry in its place is replaced.
func forge(from, to int) string { return fmt.Sprintf("forge %d %d", from, to) }

// forging commits the tampering, runs f, and lets it take the tampering back.
func forging(t *testing.T, c *pgx.Conn, sql string, f func(undo func())) {
	t.Helper()
	ctx := t.Context()
	exec := func(sql string) {
		t.Helper()
		if _, err := c.Exec(ctx, sql); err != nil {
			t.Fatalf("%v in %s", err, sql)
		}
	}
	exec(`CREATE TEMP TABLE j AS TABLE journal; CREATE TEMP TABLE h AS TABLE journal_head`)
	undone := false
	undo := func() {
		if !undone {
			undone = true
			exec(`TRUNCATE journal, journal_head; INSERT INTO journal TABLE j; INSERT INTO journal_head TABLE h; DROP TABLE j, h`)
		}
	}
	defer undo()
	plain, forged, found := strings.Cut(sql, "forge ")
	if plain != "" {
		exec(plain)
	}
	if found {
		var from, to int64
		if _, err := fmt.Sscan(forged, &from, &to); err != nil {
			t.Fatal(err)
		}
		insertForged(t, c, from, to)
	}
	f(undo)
}

func insertForged(t *testing.T, c *pgx.Conn, from, to int64) {
	t.Helper()
	var a core.Access
	var at time.Time
	var before []byte
	err := c.QueryRow(t.Context(), `SELECT tenant_id, substr(chain, 7), actor, act, purpose, at, hash FROM journal WHERE seq = $1`, min(from, to-1)).
		Scan(&a.Tenant, &a.Vault, &a.Actor, &a.Act, &a.Purpose, &at, &before)
	if err != nil {
		t.Fatal(err)
	}
	a.Object = "forged"
	e := access.Link(a, at, to-1, before)
	_, err = c.Exec(t.Context(), `INSERT INTO journal (tenant_id, chain, seq, at, actor, act, purpose, object, prev, hash)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (tenant_id, chain, seq) DO UPDATE SET object = excluded.object, prev = excluded.prev, hash = excluded.hash, at = excluded.at`,
		e.Tenant, e.Chain, e.Seq, e.At, e.Actor, e.Act, e.Purpose, e.Object, e.Prev, e.Hash)
	if err != nil {
		t.Fatal(err)
	}
}

func whole(t *testing.T, w *town, want int) {
	t.Helper()
	broken, n, err := w.http.VerifyJournal(t.Context(), w.tenant)
	if err != nil || len(broken) > 0 || n != want {
		t.Errorf("untouched: %d entries, broken %v, %v; want %d whole ones", n, broken, err, want)
	}
}

// Entries written at the same time, to one vault and to the day's chain, stand one
// behind the other.
func TestSEC31_ConcurrentEntriesMakeOneChain(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	w := newTown(t, d, "a")
	keeper := d.Store(postgres.RoleKeeper)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 10 {
				who := core.Access{Tenant: w.tenant, Vault: w.address.Vault, Actor: "pipeline", Act: "open", Purpose: "test"}
				if i%2 == 0 {
					who.Vault = ""
				}
				if err := keeper.Record(t.Context(), who); err != nil {
					t.Errorf("record: %v", err)
				}
			}
		})
	}
	all.Wait()
	whole(t, w, 81)
}

// A worker whose lease has passed on opens nothing and leaves no entry (SEC-11).
func TestSEC11_StaleLeaseLeavesNoEntry(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	w := newTown(t, d, "a")
	lease := w.claim(w.deposit("1"), time.Minute)
	stale := lease
	stale.Token--
	keeper := d.Store(postgres.RoleKeeper)
	who := core.Access{Tenant: w.tenant, Vault: w.address.Vault, Actor: "pipeline", Act: "open", Purpose: "test", Lease: &stale}
	if err := keeper.Record(t.Context(), who); !errors.Is(err, core.ErrStale) {
		t.Errorf("stale lease: %v", err)
	}
	whole(t, w, 1)
	who.Lease = &lease
	w.must(keeper.Record(t.Context(), who))
	whole(t, w, 2)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := keeper.Record(cancelled, who); err == nil {
		t.Error("an entry under a context that is over")
	}
	whole(t, w, 2)
}
