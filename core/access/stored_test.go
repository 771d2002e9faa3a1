package access_test

import (
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"vaguemestre/core"
	"vaguemestre/core/store/blob"
	"vaguemestre/core/store/keyfile"
	"vaguemestre/core/store/postgres"
	"vaguemestre/core/store/postgres/pgtest"
	"vaguemestre/core/store/postgres/towntest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func newTown(t *testing.T) *towntest.Town {
	t.Helper()
	service, err := keyfile.Open(filepath.Join(t.TempDir(), "kek"))
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blob.OpenFolder(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	return towntest.New(t, service, blobs)
}

// written is a town whose first citizen's journal has eight entries more than the
// enrolment, made by several at once.
func written(t *testing.T) (*towntest.Town, towntest.Citizen) {
	t.Helper()
	w := newTown(t)
	c := w.Enrol("Zoé")
	s := w.Store(postgres.RoleKeeper)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			err := s.Record(t.Context(), core.Access{Tenant: w.ID, Vault: c.ID, Actor: "citizen", Act: "read", Purpose: "test"})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	return w, c
}

// SEC-31 on the real journal: whatever a superuser does to it, verification names the
// chain and its first bad entry.
func TestSEC31_JournalInTheDatabase(t *testing.T) {
	w, c := written(t)
	verify := func() (string, int) {
		t.Helper()
		broken, entries, err := w.HTTP.VerifyJournal(t.Context(), w.ID)
		if err != nil {
			t.Fatal(err)
		}
		var says []string
		for _, b := range broken {
			says = append(says, b.Error())
		}
		return strings.Join(says, "; "), entries
	}
	if says, entries := verify(); says != "" || entries != 9 {
		t.Fatalf("untouched: %d entries, %q", entries, says)
	}
	chain := "vault:" + string(c.ID)
	where := " WHERE chain = '" + chain + "' AND seq "
	for _, tamper := range []struct{ name, do, says string }{
		{"edited", "UPDATE journal SET actor = 'nobody'" + where + "= 5", "entry 5 was changed"},
		{"restamped", "UPDATE journal SET at = at + interval '1 hour'" + where + "= 3", "entry 3 was changed"},
		{"deleted", "DELETE FROM journal" + where + "= 4", "entry 5 follows 3"},
		{"inserted", `INSERT INTO journal SELECT tenant_id, chain, 10, at, actor, act, purpose, object, sealed, prev, hash FROM journal` + where + "= 9", "entry 10 does not name the entry before it"},
		{"exchanged", "UPDATE journal SET seq = -5" + where + "= 5; UPDATE journal SET seq = 5" + where + "= 6; UPDATE journal SET seq = 6" + where + "= -5", "entry 5 does not name the entry before it"},
		{"tail cut", "DELETE FROM journal" + where + "> 7", "ends at entry 7, its head says 9"},
		{"cut and its head too", "DELETE FROM journal" + where + "> 7; DELETE FROM journal_head WHERE chain = '" + chain + "'", "has no head"},
		{"emptied", "DELETE FROM journal WHERE chain = '" + chain + "'", "ends at entry 0, its head says 9"},
		{"moved to another chain", "UPDATE journal SET chain = 'intake:2026-01-01'" + where + "= 9", "chain " + chain + ": ends at entry 8, its head says 9"},
	} {
		w.Exec("CREATE TABLE kept AS TABLE journal; CREATE TABLE kept_head AS TABLE journal_head; ALTER TABLE journal DROP CONSTRAINT IF EXISTS journal_seq_check")
		w.Exec(tamper.do)
		if says, _ := verify(); !strings.Contains(says, chain) || !strings.Contains(says, tamper.says) {
			t.Errorf("%s: %q, want … %s", tamper.name, says, tamper.says)
		}
		w.Exec("DELETE FROM journal; INSERT INTO journal TABLE kept; DELETE FROM journal_head; INSERT INTO journal_head TABLE kept_head; DROP TABLE kept, kept_head")
		if says, entries := verify(); says != "" || entries != 9 {
			t.Fatalf("put back after %s: %d entries, %q", tamper.name, entries, says)
		}
	}
}

// SEC-31: no process role may change or remove an entry, the owner of the tables not
// counted.
func TestSEC31_JournalIsInsertOnly(t *testing.T) {
	w, _ := written(t)
	for _, role := range []string{"smtp", "imap", "upload", "post", "http", "worker", "scheduler", "mailer", "keeper"} {
		for _, do := range []string{"UPDATE journal SET actor = 'nobody'", "DELETE FROM journal", "TRUNCATE journal", "DELETE FROM journal_head"} {
			w.Exec(`SET ROLE vaguemestre_` + role + `; SET vaguemestre.tenant = '` + string(w.ID) + `';
				DO $$ BEGIN ` + do + `; RAISE EXCEPTION '` + role + ` may do it'; EXCEPTION WHEN insufficient_privilege THEN NULL; END $$`)
		}
	}
}
