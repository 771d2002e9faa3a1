package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
	"vaguemestre/core/intake"
	"vaguemestre/core/store/postgres"
	"vaguemestre/core/store/postgres/pgtest"
)

// record is an arrival of one short body.
func (w *town) record(key string) intake.Record {
	body := sealed()
	body.Ref = ""
	return intake.Record{
		Deposit: core.Deposit{Tenant: w.tenant, Channel: core.ChannelSMTP, Key: key, Address: w.address, Journey: core.JourneyHome, Received: time.Now()},
		ID:      core.NewID[core.DepositID](), Trust: core.T2, TrustReason: "secret_address", Fingerprint: sum(string(w.tenant) + key), Envelope: []byte("sealed"),
		Bodies: []core.SealedBody{{Type: "message/rfc822", Sealed: body, Bytes: []byte("sealed " + key), Digest: sum(key), Meta: []byte("sealed")}},
	}
}

// gate keeps the deposits of a database from being committed until it is opened.
type gate struct {
	t     *testing.T
	s     *postgres.Store // the only one that records
	conn  *pgx.Conn
	other *pgx.Conn // sees who waits at the gate
	sent  sync.WaitGroup
}

// shut shuts the gate and lets one deposit come up to it.
func shut(t *testing.T, d *pgtest.Database, s *postgres.Store, first intake.Record) (*gate, func() error) {
	t.Helper()
	g := &gate{t: t, s: s, conn: connect(t, d.SuperURL), other: connect(t, d.SuperURL)}
	if _, err := g.conn.Exec(t.Context(), "BEGIN; LOCK TABLE deposit IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	result := g.send(t.Context(), first)
	g.atGate()
	return g, func() error { _, err := result(); return err }
}

// send records beside the test; the function it returns waits for the outcome.
func (g *gate) send(ctx context.Context, r intake.Record) func() (core.Receipt, error) {
	var receipt core.Receipt
	var err error
	done := make(chan struct{})
	g.sent.Go(func() {
		receipt, err = g.s.RecordDeposit(ctx, r)
		close(done)
	})
	return func() (core.Receipt, error) { <-done; return receipt, err }
}

// until polls.
func (g *gate) until(what string, ok func() bool) {
	g.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			g.t.Fatalf("no %s", what)
		}
	}
}

// atGate waits until a commit stands at the gate.
func (g *gate) atGate() {
	g.t.Helper()
	g.until("commit at the gate", func() bool {
		return query(g.t, g.other, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")[0] == "1"
	})
}

func (g *gate) waiting(n int) {
	g.t.Helper()
	g.until(fmt.Sprintf("%d deposits waiting", n), func() bool { return g.s.Waiting() == n })
}

func (g *gate) open() {
	g.t.Helper()
	if _, err := g.conn.Exec(g.t.Context(), "ROLLBACK"); err != nil {
		g.t.Fatal(err)
	}
	g.sent.Wait()
}

// What is ready while a commit is under way shares the next one: of a town each, the
// same arrival twice among them.
func TestDepositsShareACommit(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	w, neighbour := newTown(t, d, "a"), newTown(t, d, "b")
	g, first := shut(t, d, w.smtp, w.record("first"))
	var receipts []func() (core.Receipt, error)
	for n := range 8 {
		receipts = append(receipts, g.send(t.Context(), w.record(fmt.Sprint(n))))
		receipts = append(receipts, g.send(t.Context(), neighbour.record(fmt.Sprint(n))))
	}
	again := g.send(t.Context(), w.record("3"))
	g.waiting(17)
	g.open()
	if err := first(); err != nil {
		t.Errorf("the first: %v", err)
	}
	ids := map[core.DepositID]int{}
	for _, result := range append(receipts, again) {
		r, err := result()
		if err != nil {
			t.Errorf("of those who waited: %v", err)
		}
		ids[r.Deposit]++
	}
	twice, _ := again()
	if len(ids) != 16 || ids[twice.Deposit] != 2 {
		t.Errorf("%d deposits, that of the repeat named %d times", len(ids), ids[twice.Deposit])
	}
	for tenant, want := range map[core.TenantID]string{w.tenant: "9 deposits in 2 commits", neighbour.tenant: "8 deposits in 1 commits"} {
		got := query(t, g.other, "SELECT count(*) || ' deposits in ' || count(DISTINCT xmin::text) || ' commits' FROM deposit WHERE tenant_id = $1", tenant)[0]
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := query(t, g.other, "SELECT count(*) FROM deposit_body WHERE sealed IS NOT NULL AND ref LIKE 'row:%'")[0]; got != "17" {
		t.Errorf("%s bodies in their rows", got)
	}
}

// One that cannot be recorded, and one whose sender is gone, take nobody with them.
func TestREL03_FaultyDepositFailsAlone(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	w := newTown(t, d, "a")
	g, first := shut(t, d, w.smtp, w.record("first"))
	good, other := g.send(t.Context(), w.record("good")), g.send(t.Context(), w.record("other"))
	bad := w.record("bad")
	bad.Address.Vault = core.NewID[core.CitizenID]() // nobody's
	faulty := g.send(t.Context(), bad)
	torn := w.record("torn")
	torn.Bodies[0].Sealed.Object = "no uuid"
	malformed := g.send(t.Context(), torn)
	ctx, cancel := context.WithCancel(t.Context())
	gone := g.send(ctx, w.record("gone"))
	g.waiting(5)
	cancel()
	if _, err := gone(); !errors.Is(err, context.Canceled) {
		t.Errorf("the sender is gone: %v", err)
	}
	g.waiting(4)
	g.open()
	if err := first(); err != nil {
		t.Errorf("the first: %v", err)
	}
	for name, result := range map[string]func() (core.Receipt, error){"good": good, "other": other} {
		if r, err := result(); err != nil || r.Repeat {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if _, err := faulty(); !violates(err, "23503") {
		t.Errorf("for nobody: %v", err)
	}
	if _, err := malformed(); err == nil {
		t.Error("a malformed one was recorded")
	}
	if got := query(t, g.other, "SELECT count(*) FROM deposit")[0]; got != "3" {
		t.Errorf("%s deposits, want 3", got)
	}
	if r, err := w.smtp.RecordDeposit(t.Context(), w.record("gone")); err != nil || r.Repeat {
		t.Errorf("sent again: %+v, %v", r, err)
	}
}

// REL-03: a commit whose answer does not come is "later" for all that share it, and
// nothing is tried again on its behalf.
func TestREL03_LostCommitIsLaterForAll(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	w := newTown(t, d, "a")
	g, first := shut(t, d, w.smtp, w.record("first"))
	var results []func() (core.Receipt, error)
	for n := range 5 {
		results = append(results, g.send(t.Context(), w.record(fmt.Sprint(n))))
	}
	g.waiting(5)
	cut := func() {
		t.Helper()
		query(t, g.other, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
	}
	cut()
	if err := first(); err == nil {
		t.Error("the first was recorded without a commit")
	}
	g.waiting(0)
	g.atGate() // those that waited, together
	cut()
	for n, result := range results {
		if r, err := result(); err == nil {
			t.Errorf("%d was recorded without a commit: %+v", n, r)
		}
	}
	g.open()
	if got := query(t, g.other, "SELECT count(*) FROM deposit")[0]; got != "0" {
		t.Errorf("%s deposits", got)
	}
	if r, err := w.smtp.RecordDeposit(t.Context(), w.record("1")); err != nil || r.Repeat {
		t.Errorf("sent again: %+v, %v", r, err)
	}
}

// SEC-23: what lies in a row is read by who may open it, in its own tenant; never by
// the role that wrote it.
func TestSEC23_BytesInARow(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	w, neighbour := newTown(t, d, "a"), newTown(t, d, "b")
	r := w.record("k")
	receipt, err := w.smtp.RecordDeposit(t.Context(), r)
	w.must(err)
	ref := core.Ref(fmt.Sprintf("row:%s/%s/1", w.tenant, receipt.Deposit))
	if got := query(t, connect(t, d.SuperURL), "SELECT ref FROM deposit_body"); !slices.Equal(got, []string{string(ref)}) {
		t.Errorf("ref %v, want %s", got, ref)
	}
	for name, s := range map[string]*postgres.Store{"worker": w.worker, "http": w.http} {
		if b, err := s.RowBytes(t.Context(), ref); err != nil || !bytes.Equal(b, r.Bodies[0].Bytes) {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if b, err := w.smtp.RowBytes(t.Context(), ref); !violates(err, "42501") || b != nil {
		t.Errorf("the accepting role reads %q, %v", b, err)
	}
	for _, none := range []core.Ref{
		core.Ref(fmt.Sprintf("row:%s/%s/1", neighbour.tenant, receipt.Deposit)), ref[:len(ref)-1] + "2", ref + "/1", "row:", "row:a/b/c", "",
		core.Ref("row:" + string(w.tenant) + "/../1"),
	} {
		if b, err := w.worker.RowBytes(t.Context(), none); err == nil || b != nil {
			t.Errorf("%q gives %q", none, b)
		}
	}
	if _, err := w.worker.RowBytes(t.Context(), ref[:len(ref)-1]+"2"); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("not there: %v", err)
	}
}

// inOneTrip runs 600 transactions of two tenants and of none in one round trip each,
// one in four of them failing, from four goroutines: none sees another's rows.
func inOneTrip(t *testing.T, s *postgres.Store, a, b core.TenantID) {
	t.Helper()
	const transactions, callers = 600, 4
	var wait sync.WaitGroup
	for caller := range callers {
		wait.Go(func() {
			for i := range transactions / callers {
				tenant, fails := []core.TenantID{a, b, ""}[(i+caller)%3], i%4 == 1
				var seen []string
				err := s.Once(t.Context(), tenant, func(q *pgx.Batch) {
					q.Queue("SELECT coalesce(array_agg(tenant_id::text), '{}') FROM deposit").QueryRow(func(r pgx.Row) error { return r.Scan(&seen) })
					if fails {
						q.Queue("SELECT 1/0")
					}
				})
				if fails != violates(err, "22012") || !fails && err != nil {
					t.Errorf("transaction: %v", err)
				}
				if tenant == "" && len(seen) != 0 || tenant != "" && !slices.Equal(seen, []string{string(tenant)}) {
					t.Errorf("tenant %q sees %v", tenant, seen)
				}
			}
		})
	}
	wait.Wait()
}

// All statements of one round trip are one transaction: none stays when one fails.
func TestOneTripIsOneTransaction(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	w := newTown(t, d, "a")
	insert := func(q *pgx.Batch) {
		q.Queue("INSERT INTO journal_head VALUES ($1, 'test', 1, '')", w.tenant)
	}
	err := w.http.Once(t.Context(), w.tenant, func(q *pgx.Batch) { insert(q); q.Queue("SELECT 1/0") })
	c := connect(t, d.SuperURL)
	if there := query(t, c, "SELECT count(*) FROM journal_head WHERE chain = 'test'")[0]; !violates(err, "22012") || there != "0" {
		t.Errorf("%v, and %s rows stay", err, there)
	}
	if err := w.http.Once(t.Context(), w.tenant, insert); err != nil {
		t.Error(err)
	}
	if there := query(t, c, "SELECT count(*) FROM journal_head WHERE chain = 'test'")[0]; there != "1" {
		t.Errorf("%s rows", there)
	}
}
