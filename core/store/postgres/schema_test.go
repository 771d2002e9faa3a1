package postgres_test

import (
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vaguemestre/core/store/postgres"
	"vaguemestre/core/store/postgres/pgtest"
)

// Who may do what is reviewed as a text: any change of a privilege changes
// testdata/grants.txt, or fails here.
func TestSEC108_GrantsAreAsReviewed(t *testing.T) {
	t.Parallel()
	c := connect(t, pgtest.New(t).SuperURL)
	lines := query(t, c, `
		WITH granted AS (
			SELECT a.grantee, c.relname, a.privilege_type, NULL AS attname FROM pg_class c, aclexplode(c.relacl) a
			WHERE c.relnamespace = 'public'::regnamespace AND a.grantee <> c.relowner
			UNION ALL
			SELECT a.grantee, c.relname, a.privilege_type, t.attname FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a
			WHERE c.relnamespace = 'public'::regnamespace AND NOT t.attisdropped
			UNION ALL
			SELECT a.grantee, 'schema public', a.privilege_type, NULL FROM pg_namespace n, aclexplode(n.nspacl) a
			WHERE n.nspname = 'public' AND a.grantee <> n.nspowner)
		SELECT rpad(coalesce(substr(r.rolname, 13), 'everyone'), 10) || rpad(g.relname, 18) || g.privilege_type
		       || CASE WHEN bool_and(attname IS NOT NULL) THEN ' (' || string_agg(attname, ', ' ORDER BY attname) || ')' ELSE '' END
		FROM granted g LEFT JOIN pg_roles r ON r.oid = g.grantee
		GROUP BY r.rolname, g.relname, g.privilege_type, attname IS NULL ORDER BY 1`)
	got := strings.Join(lines, "\n") + "\n"
	const file = "testdata/grants.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("grants are\n%s\nreviewed were\n%s\nreview the difference, then run the test with -update", got, want)
	}
	// What may vanish: what the desk unmakes (SEC-17), the keys of what nobody claimed,
	// how many letters went to whom on days gone by, and who and what a service has to do with.
	may := []string{"http artifact", "http document", "http document_version", "http piece", "http version_part", "http service_agent", "http service_rule", "scheduler deposit_body", "scheduler letter_count", "http tenant_secret", "scheduler report",
		"http mailbox", "imap mailbox_message"}
	for line := range strings.Lines(got) {
		f := strings.Fields(line)
		if f[2] == "TRUNCATE" || f[2] == "DELETE" && !slices.Contains(may, f[0]+" "+f[1]) {
			t.Errorf("may delete rows: %s", line)
		}
	}
}

// Processes of one release start together: one migrates, the others find it done, and
// all may act under every role.
func TestREL15_ProcessesMigrateTogether(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	name := databaseOf(t, d) + "_fresh"
	db, err := postgres.Found(t.Context(), d.Server.URL, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Exec("DROP DATABASE " + name + " WITH (FORCE)") })
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := postgres.Migrate(t.Context(), db.OwnerURL, db.Login); err != nil {
				t.Errorf("migrate: %v", err)
			}
		})
	}
	all.Wait()
	c := connect(t, db.OwnerURL)
	const applied = "SELECT version_id, is_applied, tstamp FROM goose_db_version ORDER BY id"
	before := query(t, c, applied)
	if err := postgres.Migrate(t.Context(), db.OwnerURL, db.Login); err != nil {
		t.Errorf("migrate again: %v", err)
	}
	if after := query(t, c, applied); !slices.Equal(before, after) || len(before) < 2 {
		t.Errorf("applied %v, after a repeat %v", before, after)
	}
	for _, role := range everyRole {
		s, err := postgres.Open(t.Context(), db.URL, postgres.Role(role), 1, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
}

func databaseOf(t *testing.T, d *pgtest.Database) string {
	t.Helper()
	return query(t, connect(t, d.SuperURL), "SELECT current_database()::text")[0]
}

// A login that could pass row-level security, or take it away, is not worked with; nor
// is a server that acknowledges what it may lose.
func TestSEC04_OpenRefusesALoginThatCouldPass(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	for _, sql := range []string{
		"DROP ROLE IF EXISTS too_strong", "CREATE ROLE too_strong LOGIN SUPERUSER",
		"DROP ROLE IF EXISTS passing", "CREATE ROLE passing LOGIN BYPASSRLS",
		"DROP ROLE IF EXISTS borrowing", "CREATE ROLE borrowing LOGIN NOINHERIT IN ROLE passing, vaguemestre_worker",
		"DROP ROLE IF EXISTS owning", "CREATE ROLE owning LOGIN IN ROLE vaguemestre_owner, vaguemestre_worker",
		"GRANT vaguemestre_worker TO passing",
	} {
		d.Exec(sql)
	}
	database := databaseOf(t, d)
	for _, login := range []string{postgres.Superuser, "too_strong", "passing", "borrowing", "owning"} {
		s, err := postgres.Open(t.Context(), d.Server.URL(login, database), postgres.RoleWorker, 1, time.Now)
		if err == nil {
			s.Close()
			t.Errorf("%s is let in", login)
		} else if !strings.Contains(err.Error(), "row-level security") {
			t.Errorf("%s: %v", login, err)
		}
	}
	d.Exec("ALTER DATABASE " + database + " SET synchronous_commit = off")
	if s, err := postgres.Open(t.Context(), d.URL, postgres.RoleWorker, 1, time.Now); err == nil || !strings.Contains(err.Error(), "synchronous_commit") {
		t.Errorf("a server that may lose commits: %v", err)
		if err == nil {
			s.Close()
		}
	}
}
