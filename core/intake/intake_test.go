package intake_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/intake"
	"vaguemestre/core/store/blob"
	"vaguemestre/core/store/keyfile"
	"vaguemestre/core/store/postgres"
	"vaguemestre/core/store/postgres/pgtest"
	"vaguemestre/core/store/postgres/towntest"
	"vaguemestre/core/vault"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// town is a town whose blobs a test can look at.
type town struct {
	*towntest.Town
	root  string
	smtp  *postgres.Store
	blobs *blob.Folder
}

func newTown(t *testing.T) town {
	t.Helper()
	service, err := keyfile.Open(filepath.Join(t.TempDir(), "kek"))
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "blobs")
	blobs, err := blob.OpenFolder(root)
	if err != nil {
		t.Fatal(err)
	}
	w := towntest.New(t, service, blobs)
	return town{w, root, w.Store(postgres.RoleSMTP), blobs}
}

// intake is the town's over another store or other blobs.
func (w town) intake(store intake.Store, blobs vault.Blobs) *intake.Intake {
	return intake.New(store, blobs, w.Index, w.Rung, slog.New(slog.DiscardHandler))
}

func body(b string) core.Body { return core.Body{Type: "message/rfc822", R: strings.NewReader(b)} }

// large is a body that does not lie in its row.
func large(b string) core.Body { return body(b + strings.Repeat(" ", 300_000)) }

// lying lists the files that lie in the blob folder.
func (w town) lying(t *testing.T) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(w.root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func (w town) deposits(t *testing.T) []postgres.DepositRow {
	t.Helper()
	rows, err := w.HTTP.Deposits(t.Context(), w.ID)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// nothing fails the test unless no deposit and no blob can be seen.
func (w town) nothing(t *testing.T, after string) {
	t.Helper()
	if rows := w.deposits(t); len(rows) != 0 {
		t.Errorf("%s: deposits %+v", after, rows)
	}
	if left := w.lying(t); len(left) != 0 {
		t.Errorf("%s: blobs %v", after, left)
	}
}

func TestAcceptedDepositIsThere(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Zoé")
	d := w.Deposit(c, core.ChannelWeb, "upload-1")
	plain := []string{"front", strings.Repeat("back", 100_000), strings.Repeat("x", 64<<10), strings.Repeat("x", 64<<10+1), "", strings.Repeat("y", 256<<10), strings.Repeat("z", 256<<10+1)}
	var bodies []core.Body
	for n, b := range plain {
		bodies = append(bodies, core.Body{Type: "image/jpeg", Name: fmt.Sprintf("%d.jpg", n), R: strings.NewReader(b)})
	}
	r, err := w.Intake.Accept(t.Context(), d, bodies...)
	if err != nil || r.Repeat || !r.Received.Equal(d.Received) {
		t.Fatalf("receipt %+v, %v", r, err)
	}
	if step := <-w.Rung; step != (core.Step{Tenant: w.ID, Noun: core.NounDeposit, ID: string(r.Deposit)}) {
		t.Errorf("rang %+v", step)
	}
	rows := w.deposits(t)
	if len(rows) != 1 {
		t.Fatalf("deposits %+v", rows)
	}
	want := postgres.DepositRow{ID: r.Deposit, Channel: core.ChannelWeb, State: core.DepositReceived, Citizen: c.ID, Trust: 2, TrustWhy: "secret_address",
		Received: d.Received.UTC().Truncate(time.Microsecond), Pieces: []postgres.PieceRow{}}
	got := rows[0]
	got.Received = got.Received.UTC().Truncate(time.Microsecond)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("recorded %+v\nwant     %+v", got, want)
	}
	stored, err := w.Worker.Deposit(t.Context(), w.Lease(core.NounDeposit, string(r.Deposit)))
	if err != nil || len(stored.Bodies) != len(plain) {
		t.Fatalf("stored %+v, %v", stored, err)
	}
	if left := w.lying(t); len(left) != 3 {
		t.Errorf("blobs %v, want those of the two bodies over 256 KiB, and the one that the two over 64 KiB lie in", left)
	}
	for n, plain := range plain {
		b := stored.Bodies[n]
		if b.Sealed.Size != int64(len(plain)) {
			t.Errorf("body %d has %d bytes", n+1, b.Sealed.Size)
		}
		keys, err := w.Keeper.Open(t.Context(), core.Access{Tenant: w.ID, Vault: c.ID, Actor: "test"}, vault.Wrapped{Object: b.Sealed.Object, Bytes: b.Sealed.Wrapped})
		if err != nil {
			t.Fatal(err)
		}
		f, err := vault.OpenFrom(t.Context(), w.Blobs, keys[0], w.ID, b.Sealed.Object, b.Sealed.Ref)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(f); err != nil || string(got) != plain {
			t.Errorf("body %d holds %d bytes, %v", n+1, len(got), err)
		}
		f.Close()
	}
}

// What came to no secret address is taken in for nobody: opening says whose it is.
func TestDepositToNobodyIsTakenIn(t *testing.T) {
	w := newTown(t)
	d := core.Deposit{Tenant: w.ID, Channel: core.ChannelSMTP, Key: "k", Journey: core.JourneyHome, Received: time.Now()}
	if _, err := w.Intake.Accept(t.Context(), d, body("x")); err != nil {
		t.Fatal(err)
	}
	if rows := w.deposits(t); len(rows) != 1 || rows[0].State != core.DepositReceived || rows[0].Trust != 0 || rows[0].Citizen != "" {
		t.Errorf("recorded %+v", rows)
	}
}

// SEC-24: nothing a stranger or a citizen would call theirs can be read from a row or
// a blob.
func TestSEC24_NothingReadableAtRest(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Planted-given")
	d := w.Deposit(c, core.ChannelSMTP, "planted-key@example.test")
	d.Sender = core.Sender{MailFrom: "planted-from@example.test", Helo: "planted-helo", Remote: "planted-remote"}
	d.Hints = core.Hints{Type: "planted-type", Slot: "planted-slot", Request: "planted-request"}
	for _, times := range []int{1, 10_000, 20_000} { // in the row, behind another, and in a file
		b := core.Body{Type: "application/pdf", Name: "planted-name.pdf", R: strings.NewReader(strings.Repeat("planted-content ", times))}
		if _, err := w.Intake.Accept(t.Context(), d, b); err != nil {
			t.Fatal(err)
		}
	}
	local, _, _ := strings.Cut(c.Shown, "@")
	for _, table := range []string{"citizen", "vault_key", "address", "deposit_address", "deposit", "deposit_body", "journal"} {
		w.Exec(`DO $$ BEGIN
			IF NOT EXISTS (SELECT FROM ` + table + `) THEN RAISE EXCEPTION '` + table + ` is empty'; END IF;
			IF EXISTS (SELECT FROM ` + table + ` r, unnest(ARRAY['planted', '` + local + `']) m
			           WHERE r::text ILIKE '%' || m || '%' OR r::text ILIKE '%' || encode(m::bytea, 'hex') || '%') THEN RAISE EXCEPTION '` + table + ` shows a marker'; END IF;
		END $$`)
	}
	left := w.lying(t)
	if len(left) != 2 {
		t.Fatalf("blobs %v", left)
	}
	for _, path := range left {
		if b, err := os.ReadFile(path); err != nil || bytes.Contains(b, []byte("planted")) || len(b) < 160_000 {
			t.Errorf("a blob has %d bytes (%v) or shows its content", len(b), err)
		}
	}
}

// REL-04: whatever is sent again, at once or later, its answer lost or not, is one deposit.
func TestREL04_ReplaysAreOneDeposit(t *testing.T) {
	const deposits, replays, tenth = 1000, 3, 10 // each tenth is large
	w := newTown(t)
	c := w.Enrol("Zoé")
	type arrival struct{ n, replay int }
	var work []arrival
	for n := range deposits {
		for r := range replays {
			work = append(work, arrival{n, r})
		}
	}
	seed := rand.Uint64()
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(work), func(i, j int) { work[i], work[j] = work[j], work[i] })
	queue := make(chan arrival)
	var mu sync.Mutex
	ids, first := make(map[int]map[core.DepositID]bool), make(map[int]int)
	var wait sync.WaitGroup
	for range 12 {
		wait.Go(func() {
			for a := range queue {
				d := w.Deposit(c, core.ChannelSMTP, fmt.Sprintf("<%d@sender.test>", a.n))
				sized := body
				if a.n%tenth == 0 {
					sized = large
				}
				r, err := w.Intake.Accept(t.Context(), d, sized(fmt.Sprintf("Message-ID: <%d@sender.test>\r\n\r\nbody", a.n)))
				if err != nil {
					t.Errorf("arrival %d, replay %d: %v", a.n, a.replay, err)
					continue
				}
				mu.Lock()
				if ids[a.n] == nil {
					ids[a.n] = map[core.DepositID]bool{}
				}
				ids[a.n][r.Deposit] = true
				if !r.Repeat {
					first[a.n]++
				}
				mu.Unlock()
			}
		})
	}
	began := time.Now()
	for _, a := range work {
		queue <- a
	}
	close(queue)
	wait.Wait()
	t.Logf("seed %d: %d acceptances in %v", seed, len(work), time.Since(began).Round(time.Millisecond))
	for n := range deposits {
		if len(ids[n]) != 1 || first[n] != 1 {
			t.Errorf("seed %d: arrival %d has %d deposits, %d receipts of a first arrival", seed, n, len(ids[n]), first[n])
		}
	}
	if rows, left := w.deposits(t), w.lying(t); len(rows) != deposits || len(left) != deposits/tenth {
		t.Errorf("seed %d: %d deposits and %d blobs, want %d and %d", seed, len(rows), len(left), deposits, deposits/tenth)
	}
}

// REL-04, SEC-06: another address, key, channel or content is another deposit.
func TestREL04_WhatDiffersIsAnother(t *testing.T) {
	w := newTown(t)
	zoe, ana := w.Enrol("Zoé"), w.Enrol("Ana")
	accept := func(d core.Deposit, bodies ...core.Body) core.Receipt {
		t.Helper()
		r, err := w.Intake.Accept(t.Context(), d, bodies...)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	one := accept(w.Deposit(zoe, core.ChannelSMTP, "k"), body("a"))
	if again := accept(w.Deposit(zoe, core.ChannelSMTP, "k"), body("a")); !again.Repeat || again.Deposit != one.Deposit || again.Received.IsZero() {
		t.Errorf("again: %+v, first %+v", again, one)
	}
	seen := map[core.DepositID]string{one.Deposit: "the first"}
	for name, r := range map[string]core.Receipt{
		"another vault":   accept(w.Deposit(ana, core.ChannelSMTP, "k"), body("a")),
		"another key":     accept(w.Deposit(zoe, core.ChannelSMTP, "l"), body("a")),
		"another channel": accept(w.Deposit(zoe, core.ChannelWeb, "k"), body("a")),
		"another content": accept(w.Deposit(zoe, core.ChannelSMTP, "k"), body("b")),
		"one more body":   accept(w.Deposit(zoe, core.ChannelSMTP, "k"), body("a"), body("a")),
		"cut otherwise":   accept(w.Deposit(zoe, core.ChannelSMTP, "k"), body("aa"), body("")),
	} {
		if other, ok := seen[r.Deposit]; ok || r.Repeat {
			t.Errorf("%s is the same deposit as %s", name, other)
		}
		seen[r.Deposit] = name
	}
	w.Exec(`DO $$ BEGIN IF (SELECT count(DISTINCT fingerprint) FROM deposit) <> 7 THEN RAISE EXCEPTION 'fingerprints are shared'; END IF; END $$`)
}

// lossy is a database whose answer to a commit gets lost.
type lossy struct {
	*postgres.Store
	lose bool
}

var errLost = errors.New("connection reset by peer")

func (l *lossy) RecordDeposit(ctx context.Context, r intake.Record) (core.Receipt, error) {
	receipt, err := l.Store.RecordDeposit(ctx, r)
	if l.lose && err == nil {
		return core.Receipt{}, errLost
	}
	return receipt, err
}

// REL-04: the commit happened, its answer did not come back. The blob stays, and the
// sender's retry finds the deposit.
func TestREL04_AnswerLostAfterCommit(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Zoé")
	store := &lossy{w.smtp, true}
	in := w.intake(store, w.blobs)
	if _, err := in.Accept(t.Context(), w.Deposit(c, core.ChannelSMTP, "k"), large("a")); !errors.Is(err, errLost) {
		t.Fatalf("lost: %v", err)
	}
	store.lose = false
	r, err := in.Accept(t.Context(), w.Deposit(c, core.ChannelSMTP, "k"), large("a"))
	if err != nil || !r.Repeat {
		t.Fatalf("again: %+v, %v", r, err)
	}
	rows := w.deposits(t)
	if left := w.lying(t); len(rows) != 1 || rows[0].ID != r.Deposit || len(left) != 1 {
		t.Fatalf("deposits %+v, blobs %v", rows, left)
	}
	if step := <-w.Rung; step.ID != string(r.Deposit) {
		t.Errorf("rang %+v", step)
	}
	if _, err := w.Opener(nopSplitter{}).Open(t.Context(), w.Lease(core.NounDeposit, string(r.Deposit))); err != nil {
		t.Errorf("its blob does not open: %v", err)
	}
}

type nopSplitter struct{}

func (nopSplitter) Split(_ context.Context, message io.Reader, _ func(core.Part) error) (core.Cover, error) {
	_, err := io.Copy(io.Discard, message)
	return core.Cover{}, err
}

// breaking is a blob store whose n-th Put fails.
type breaking struct {
	vault.Blobs
	n int
}

func (b *breaking) Put(ctx context.Context, tenant core.TenantID, object core.ObjectID, write func(io.Writer) error) (core.Ref, error) {
	if b.n--; b.n == 0 {
		_ = write(io.Discard)
		return "", errors.New("no space left on device")
	}
	return b.Blobs.Put(ctx, tenant, object, write)
}

// REL-02, REL-03: what was not acknowledged is not there, whatever failed.
func TestREL03_FailuresLeaveNothing(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Zoé")
	three := func() []core.Body { return []core.Body{large("a"), large("b"), large("c")} }
	for n := 1; n <= 3; n++ {
		if _, err := w.intake(w.smtp, &breaking{w.blobs, n}).Accept(t.Context(), w.Deposit(c, core.ChannelWeb, "k"), three()...); err == nil {
			t.Errorf("blob %d failed, and the deposit was accepted", n)
		}
		w.nothing(t, fmt.Sprintf("blob %d failed", n))
	}
	for _, after := range []int{0, 1000, 300_000} {
		for _, fault := range []error{errLost, io.ErrUnexpectedEOF} {
			broken := core.Body{Type: "image/png", R: io.MultiReader(strings.NewReader(strings.Repeat("x", after)), iotest.ErrReader(fault))}
			if _, err := w.Intake.Accept(t.Context(), w.Deposit(c, core.ChannelWeb, "k"), large("a"), broken); !errors.Is(err, fault) {
				t.Errorf("the sender broke off after %d bytes: %v", after, err)
			}
			w.nothing(t, "the sender broke off")
		}
	}
	tooLarge := core.Body{Type: "image/png", R: iotest.ErrReader(&core.Refusal{Code: "too_large", Reason: "Le fichier est trop gros."})}
	_, err := w.Intake.Accept(t.Context(), w.Deposit(c, core.ChannelWeb, "k"), large("a"), tooLarge)
	if r := (*core.Refusal)(nil); !errors.As(err, &r) || r.Code != "too_large" {
		t.Errorf("a refusal while reading: %v", err)
	}
	w.nothing(t, "a refusal while reading")
	_, err = w.Intake.Accept(t.Context(), w.Deposit(c, core.ChannelWeb, "k"))
	if r := (*core.Refusal)(nil); !errors.As(err, &r) || r.Code != "empty" || r.Reason == "" {
		t.Errorf("no body at all: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Intake.Accept(ctx, w.Deposit(c, core.ChannelWeb, "k"), body("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("the caller had gone: %v", err)
	}
	w.nothing(t, "all that")
	select {
	case step := <-w.Rung:
		t.Errorf("rang %+v", step)
	default:
	}
	if _, err := w.Intake.Accept(t.Context(), w.Deposit(c, core.ChannelWeb, "k"), three()...); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// REL-03: with the database out nothing is accepted; with it back the retry is.
func TestREL03_DatabaseOut(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Zoé")
	dead := w.Store(postgres.RoleSMTP)
	dead.Close()
	for name, in := range map[string]*intake.Intake{"cold": w.intake(dead, w.blobs), "warm": w.Intake} {
		if name == "warm" { // it knows the town's key already, so only the recording is left to fail
			if _, err := w.Intake.Accept(t.Context(), w.Deposit(c, core.ChannelSMTP, "earlier"), body("a")); err != nil {
				t.Fatal(err)
			}
			w.Exec("REVOKE INSERT ON deposit FROM vaguemestre_smtp")
		}
		_, err := in.Accept(t.Context(), w.Deposit(c, core.ChannelSMTP, name), body("a"))
		var r *core.Refusal
		if err == nil || errors.As(err, &r) {
			t.Errorf("%s: %v, want an error that means later", name, err)
		}
	}
	if _, err := w.intake(dead, w.blobs).Locate(t.Context(), c.Shown); err == nil || errors.Is(err, core.ErrNotFound) {
		t.Errorf("locate: %v; nobody may be told that there is no such address", err)
	}
	w.Exec("GRANT INSERT ON deposit TO vaguemestre_smtp")
	if r, err := w.Intake.Accept(t.Context(), w.Deposit(c, core.ChannelSMTP, "warm"), body("a")); err != nil || r.Repeat {
		t.Errorf("again: %+v, %v", r, err)
	}
}

// SEC-45: an address revoked, expired or unknown gives one and the same answer, and
// what cannot be an address is not even looked up.
func TestSEC45_Locate(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Zoé")
	if got, err := w.Intake.Locate(t.Context(), strings.ToUpper(c.Shown)); err != nil || got.Vault != c.ID || got.Tenant != w.ID || got.ID == "" {
		t.Errorf("in force: %+v, %v", got, err)
	}
	answer := func(shown string) string {
		t.Helper()
		got, err := w.intake(w.smtp, w.blobs).Locate(t.Context(), shown) // one that remembers nothing
		if !errors.Is(err, core.ErrNotFound) || got != (core.Address{}) {
			t.Errorf("%s: %+v, %v", shown, got, err)
		}
		return fmt.Sprint(err)
	}
	other := newTown(t).Enrol("Ana") // the same index key, another database
	unknown := answer(other.Shown)
	w.Exec("UPDATE deposit_address SET expires_at = now() - interval '1 second'")
	expired := answer(c.Shown)
	w.Exec("UPDATE deposit_address SET expires_at = now() + interval '1 hour'")
	if _, err := w.Intake.Locate(t.Context(), c.Shown); err != nil {
		t.Errorf("not expired yet: %v", err)
	}
	w.Exec("UPDATE deposit_address SET revoked_at = now()")
	if revoked := answer(c.Shown); revoked != unknown || expired != unknown {
		t.Errorf("unknown %q, expired %q, revoked %q", unknown, expired, revoked)
	}
	w.smtp.Close()
	slip := []byte(c.Shown)
	if slip[0]++; slip[0] > 'z' || slip[0] == ':' || slip[0] == 'l' || slip[0] == 'o' {
		slip[0] = 'a'
	}
	for _, none := range []string{"", "depot+zoe@" + towntest.Domain, string(slip), "depot+" + string(slip), "postmaster"} {
		if _, err := w.intake(w.smtp, w.blobs).Locate(t.Context(), none); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("%q without a database: %v", none, err)
		}
	}
}

// SEC-45: an address that ends after it was located takes nothing in: that is looked at in
// the commit. Soon it is not located either.
func TestSEC45_EndedUnderWay(t *testing.T) {
	for name, end := range map[string]string{
		"revoked": "UPDATE deposit_address SET revoked_at = now()",
		"expired": "UPDATE deposit_address SET expires_at = now()",
	} {
		w := newTown(t)
		c := w.Enrol("Zoé")
		in := w.intake(w.smtp, w.blobs)
		to, err := in.Locate(t.Context(), c.Shown)
		if err != nil {
			t.Fatal(err)
		}
		d := w.Deposit(c, core.ChannelSMTP, "before")
		d.Address = to
		first, err := in.Accept(t.Context(), d, body("before"))
		if err != nil {
			t.Fatal(err)
		}
		w.Exec(end)
		var refusal *core.Refusal
		after := d
		after.Key = "after"
		for _, b := range []core.Body{body("after"), large("after")} {
			if _, err := in.Accept(t.Context(), after, b); !errors.As(err, &refusal) || refusal.Code != core.UnknownAddress {
				t.Errorf("%s: %v", name, err)
			}
		}
		if rows, left := w.deposits(t), w.lying(t); len(rows) != 1 || len(left) != 0 {
			t.Errorf("%s: deposits %+v, blobs %v", name, rows, left)
		}
		if again, err := in.Accept(t.Context(), d, body("before")); err != nil || !again.Repeat || again.Deposit != first.Deposit {
			t.Errorf("%s: one that was taken in before is sent again: %+v, %v", name, again, err)
		}
		for end := time.Now().Add(3 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if _, err := in.Locate(t.Context(), c.Shown); errors.Is(err, core.ErrNotFound) {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%s: still located", name)
			}
		}
	}
}

// SEC-23: with the database login of an accepting role, its blobs, its index key and
// the public keyset, what was accepted cannot be opened.
func TestSEC23_AcceptingRoleCannotOpen(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Zoé")
	id := w.Accept(c, "k", "application/pdf", []byte("secret"))
	if _, err := w.smtp.IntakeKey(t.Context(), w.ID); err == nil {
		t.Error("the private intake keyset can be read")
	}
	if _, err := w.smtp.VaultKey(t.Context(), w.ID, c.ID); err == nil {
		t.Error("a vault key can be read")
	}
	if d, err := w.smtp.Deposit(t.Context(), w.Lease(core.NounDeposit, string(id))); err == nil {
		t.Errorf("the sealed bodies can be read back: %d", len(d.Bodies))
	}
	for _, relation := range []string{"deposit_body", "piece", "citizen", "journal", "tenant_key", "vault_key", "document", "artifact"} {
		w.Exec(`SET ROLE vaguemestre_smtp; SET vaguemestre.tenant = '` + string(w.ID) + `';
			DO $$ BEGIN PERFORM 1 FROM ` + relation + `; RAISE EXCEPTION '` + relation + ` can be read'; EXCEPTION WHEN insufficient_privilege THEN NULL; END $$`)
	}
	// Even with the rows in hand: the wrapped keys open to a private key alone, and a
	// key service of one's own making has none.
	stored, err := w.Worker.Deposit(t.Context(), core.Lease{Step: core.Step{Tenant: w.ID, Noun: core.NounDeposit, ID: string(id)}})
	if err != nil {
		t.Fatal(err)
	}
	own, err := keyfile.Open(filepath.Join(t.TempDir(), "kek"))
	if err != nil {
		t.Fatal(err)
	}
	if err := own.Create(t.Context(), w.ID); err != nil {
		t.Fatal(err)
	}
	keeping := w.Store(postgres.RoleKeeper)
	b := stored.Bodies[0].Sealed
	keys, err := vault.NewKeeper(own, keeping, keeping, time.Now).Open(t.Context(), core.Access{Tenant: w.ID, Vault: c.ID, Actor: "test"}, vault.Wrapped{Object: b.Object, Bytes: b.Wrapped})
	if err == nil || keys != nil {
		t.Errorf("%d keys, %v", len(keys), err)
	}
	if _, err := w.Keeper.Open(t.Context(), core.Access{Tenant: w.ID, Vault: c.ID, Actor: "test"}, vault.Wrapped{Object: b.Object, Bytes: b.Wrapped}); err != nil {
		t.Errorf("the keeper itself: %v", err)
	}
}
