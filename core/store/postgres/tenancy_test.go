package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"vaguemestre/core"
	"vaguemestre/core/store/postgres"
	"vaguemestre/core/store/postgres/pgtest"
)

// everyRole is every group role of the schema, those of roles still to come included.
var everyRole = []string{"smtp", "imap", "upload", "post", "http", "worker", "scheduler", "mailer", "keeper"}

// outside are the tables that stand outside row-level security: they hold nothing
// personal, and tenants are found there.
var outside = []string{"address", "goose_db_version", "tenant"}

func TestSEC04_EveryTableIsIsolatedAndNobodyMayPass(t *testing.T) {
	t.Parallel()
	c := connect(t, pgtest.New(t).SuperURL)
	without := query(t, c, `
		SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r','p','f','m')
		AND NOT (relrowsecurity AND relforcerowsecurity) ORDER BY 1`)
	if !slices.Equal(without, outside) {
		t.Errorf("outside row-level security: %v, want %v", without, outside)
	}
	for _, fault := range []struct{ what, sql string }{
		{"a policy for some only, or that checks no tenant", `
			SELECT tablename FROM pg_policies WHERE schemaname = 'public' AND NOT (permissive = 'PERMISSIVE' AND cmd = 'ALL' AND roles = '{public}'
			AND qual = '(tenant_id = ( SELECT current_tenant() AS current_tenant))' AND with_check = qual)`},
		{"a table without its policy, or with a second one", `
			SELECT relname FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relrowsecurity
			AND (SELECT count(*) FROM pg_policy WHERE polrelid = c.oid) <> 1`},
		{"a role that passes row-level security, logs in, or makes others", `
			SELECT rolname FROM pg_roles WHERE rolname LIKE 'vaguemestre\_%' AND rolname <> 'vaguemestre_owner'
			AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication OR rolcanlogin)`},
		{"the application's login passes row-level security", `
			SELECT rolname FROM pg_roles WHERE pg_has_role('vaguemestre', oid, 'MEMBER') AND (rolsuper OR rolbypassrls OR rolcreaterole)`},
		{"the application owns something", `
			SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND pg_has_role('vaguemestre', relowner, 'MEMBER')`},
		{"the application may make objects", `SELECT 1 WHERE has_schema_privilege('vaguemestre', 'public', 'CREATE')`},
		{"a function with its owner's rights", `SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef`},
		{"a view with its owner's rights", `
			SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'v'
			AND NOT coalesce('security_invoker=true' = ANY (reloptions), false)`},
	} {
		if found := query(t, c, fault.sql); len(found) > 0 {
			t.Errorf("%s: %v", fault.what, found)
		}
	}
	if roles := query(t, c, `SELECT substr(rolname, 13) FROM pg_roles WHERE rolname LIKE 'vaguemestre\_%' AND rolname <> 'vaguemestre_owner' ORDER BY 1`); !slices.Equal(roles, slices.Sorted(slices.Values(everyRole))) {
		t.Errorf("roles are %v", roles)
	}
}

// Raw SQL under every role, and under the tables' owner: whatever the role may do, it
// does to its own tenant alone.
func TestSEC04_RawSQLReachesNoForeignRow(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	super := connect(t, d.SuperURL)
	a, b := twoTowns(t, d)
	tables := query(t, super, `SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relrowsecurity ORDER BY 1`)
	for _, table := range tables { // or finding no foreign row would prove nothing
		for _, tenant := range []core.TenantID{a, b} {
			if n := query(t, super, "SELECT count(*) FROM "+table+" WHERE tenant_id = $1", tenant); n[0] == "0" {
				t.Fatalf("table %s has no row of tenant %s", table, tenant)
			}
		}
	}
	reads, writes := 0, 0
	for _, role := range append([]string{"owner"}, everyRole...) {
		for _, table := range tables {
			role := "vaguemestre_" + role
			if may(t, super, "has_column_privilege", role, table+"', 'tenant_id", "SELECT") {
				reads++
				readsOwnRowsAlone(t, super, role, table, a)
			}
			writes += writesNoForeignRow(t, super, role, table, a, b)
		}
	}
	if reads < 40 || writes < 40 {
		t.Errorf("only %d readable and %d writable tables were tried", reads, writes)
	}
}

func readsOwnRowsAlone(t *testing.T, c *pgx.Conn, role, table string, own core.TenantID) {
	t.Helper()
	want := query(t, c, "SELECT count(*) FROM "+table+" WHERE tenant_id = $1", own)[0]
	for _, try := range []struct {
		tenant, where, want string
	}{
		{string(own), "true", want},
		{string(own), "tenant_id <> '" + string(own) + "'", "0"},
		{"", "true", "0"},
	} {
		var n string
		err := as(t, c, role, try.tenant, func(tx pgx.Tx) error {
			return tx.QueryRow(t.Context(), "SELECT count(tenant_id)::text FROM "+table+" WHERE "+try.where).Scan(&n)
		})
		if err != nil || n != try.want {
			t.Errorf("%s reads %s rows of %s where %s under tenant %q, want %s (%v)", role, n, table, try.where, try.tenant, try.want, err)
		}
	}
}

func writesNoForeignRow(t *testing.T, c *pgx.Conn, role, table string, own, foreign core.TenantID) (tried int) {
	t.Helper()
	insert := fmt.Sprintf("INSERT INTO %s SELECT * FROM jsonb_populate_record(NULL::%s, $1)", table, table)
	row := query(t, c, "SELECT to_jsonb(t)::text FROM "+table+" t WHERE tenant_id = $1 LIMIT 1", foreign)[0]
	for _, under := range []string{string(own), ""} {
		if may(t, c, "has_table_privilege", role, table, "INSERT") {
			tried++
			err := as(t, c, role, under, func(tx pgx.Tx) error { _, err := tx.Exec(t.Context(), insert, row); return err })
			wantRefused(t, err, role, "insert into", table)
		}
		for _, column := range query(t, c, `SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped`, table) {
			if !may(t, c, "has_column_privilege", role, table+"', '"+column, "UPDATE") {
				continue
			}
			tried++
			changed := func(sql string) (n int64, err error) {
				err = as(t, c, role, under, func(tx pgx.Tx) error {
					tag, err := tx.Exec(t.Context(), sql)
					n = tag.RowsAffected()
					return err
				})
				return n, err
			}
			value := column
			if !may(t, c, "has_column_privilege", role, table+"', '"+column, "SELECT") { // written, never read
				value = "DEFAULT"
			}
			if n, err := changed(fmt.Sprintf("UPDATE %s SET %s = %s WHERE tenant_id = '%s'", table, column, value, foreign)); n != 0 || err != nil {
				t.Errorf("%s updates %d foreign rows of %s (%v)", role, n, table, err)
			}
			if column == "tenant_id" && under != "" { // giving a row away is writing a foreign one
				_, err := changed(fmt.Sprintf("UPDATE %s SET tenant_id = '%s'", table, foreign))
				wantRefused(t, err, role, "give away a row of", table)
			}
		}
		if may(t, c, "has_table_privilege", role, table, "DELETE") { // which roles may, TestSEC108 says
			tried++
			err := as(t, c, role, under, func(tx pgx.Tx) error {
				tag, err := tx.Exec(t.Context(), "DELETE FROM "+table+" WHERE tenant_id = $1", foreign)
				if err == nil && tag.RowsAffected() > 0 {
					err = fmt.Errorf("%d rows", tag.RowsAffected())
				}
				return err
			})
			if err != nil {
				t.Errorf("%s deletes foreign rows of %s: %v", role, table, err)
			}
		}
	}
	return tried
}

// wantRefused: by row-level security, not for want of a privilege.
func wantRefused(t *testing.T, err error, role, what, table string) {
	t.Helper()
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "42501" || !strings.Contains(pg.Message, "row-level security") {
		t.Errorf("%s may %s %s: %v", role, what, table, err)
	}
}

// as runs f under role and tenant and takes everything back.
func as(t *testing.T, c *pgx.Conn, role, tenant string, f func(pgx.Tx) error) error {
	t.Helper()
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), "SELECT set_config('role', $1, true), set_config('vaguemestre.tenant', $2, true)", role, tenant); err != nil {
		t.Fatal(err)
	}
	return f(tx)
}

func may(t *testing.T, c *pgx.Conn, function, role, object, privilege string) bool {
	t.Helper()
	return query(t, c, fmt.Sprintf("SELECT %s('%s', '%s', '%s')", function, role, object, privilege))[0] == "true"
}

// One connection serves two towns in turn, through statements that succeed, fail and
// are cancelled: none ever sees the other's row, or any without a tenant.
func TestSEC05_OneConnectionNeverMixesTenants(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	a, b := twoTowns(t, d)
	one, err := postgres.Open(t.Context(), d.URL, postgres.RoleWorker, 1, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	interleave(t, one, a, b)
	inOneTrip(t, one, a, b)
}

// interleave runs 1 000 transactions of two tenants, one in five of them failing and one in ten
// cancelled under way, from four goroutines.
func interleave(t *testing.T, s *postgres.Store, a, b core.TenantID) {
	t.Helper()
	const transactions, callers = 1000, 4
	type count struct{ read, failed, cancelled, foreign int }
	counts := make(chan count)
	for caller := range callers {
		go func() {
			var c count
			for i := range transactions / callers {
				tenant := []core.TenantID{a, b, ""}[(i+caller)%3]
				ctx, cancel := context.WithCancel(t.Context())
				err := s.Tx(ctx, tenant, func(tx pgx.Tx) error {
					if i%10 == 9 {
						time.AfterFunc(time.Duration(i%5)*300*time.Microsecond, cancel)
						_, _ = tx.Exec(ctx, "SELECT pg_sleep(1)") // cancelled under way
					}
					var seen []string
					err := tx.QueryRow(ctx, "SELECT coalesce(array_agg(tenant_id::text), '{}') FROM deposit").Scan(&seen)
					if err != nil {
						return err
					}
					c.read++
					want := []string{string(tenant)}
					if tenant == "" {
						want = []string{}
					}
					if !slices.Equal(seen, want) {
						c.foreign++
					}
					if i%4 == 1 {
						_, err = tx.Exec(ctx, "SELECT 1/0")
					}
					return err
				})
				var pg *pgconn.PgError
				switch {
				case ctx.Err() != nil:
					c.cancelled++
				case errors.As(err, &pg) && pg.Code == "22012":
					c.failed++
				case err != nil:
					t.Errorf("transaction: %v", err)
				}
				cancel()
			}
			counts <- c
		}()
	}
	var all count
	for range callers {
		c := <-counts
		all.read, all.failed, all.cancelled, all.foreign = all.read+c.read, all.failed+c.failed, all.cancelled+c.cancelled, all.foreign+c.foreign
	}
	t.Logf("%d transactions: %d read, %d failed, %d cancelled, %d with foreign rows", transactions, all.read, all.failed, all.cancelled, all.foreign)
	if all.foreign != 0 || all.read < transactions/2 || all.failed < transactions/8 || all.cancelled < transactions/12 {
		t.Errorf("%+v", all)
	}
}

// Whoever forgets to name a tenant sees an empty database, not another's.
func TestSEC05_NoTenantNoRows(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	w := newTown(t, d, "a")
	step := w.deposit("1")
	if got, err := w.http.Deposits(t.Context(), ""); err == nil && len(got) > 0 {
		t.Errorf("%d deposits without a tenant", len(got))
	}
	step.Tenant = core.NewID[core.TenantID]()
	if _, err := w.worker.Claim(t.Context(), step, time.Minute); !errors.Is(err, core.ErrNotDue) {
		t.Errorf("claim under a foreign tenant: %v", err)
	}
	if _, err := w.worker.Deposit(t.Context(), core.Lease{Step: step}); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("read under a foreign tenant: %v", err)
	}
}

// The same file in two vaults of one town leaves two hashes and no conflict, and
// neither vault can point at the other's things.
func TestSEC06_VaultsShareNothing(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	w := newTown(t, d, "a")
	first := w.file("1")
	other := *w
	other.address = w.enrol()
	step := other.open(other.deposit("2"))
	lease := other.claim(step, time.Minute)
	foreign := other.filed(lease)
	foreign.Document.Parts[0].Piece = core.PieceID(query(t, connect(t, d.SuperURL), "SELECT id::text FROM piece WHERE document_id = $1", first)[0])
	if _, err := w.worker.File(t.Context(), lease, foreign); !violates(err, "23503") {
		t.Errorf("a version over another vault's piece: %v", err)
	}
	c := connect(t, d.SuperURL)
	for _, try := range []struct{ what, sql string }{
		{"a piece filed in another vault's document", `UPDATE piece SET document_id = '` + string(first) + `' WHERE id = '` + step.ID + `'`},
		{"a piece of nobody filed in a document", `UPDATE piece SET citizen_id = NULL, document_id = '` + string(first) + `' WHERE id = '` + step.ID + `'`},
		{"a deposit to another vault's address", `UPDATE deposit SET address_id = '` + string(w.address.ID) + `' WHERE citizen_id = '` + string(other.address.Vault) + `'`},
		{"a deposit of nobody to somebody's address", `UPDATE deposit SET citizen_id = NULL WHERE citizen_id = '` + string(other.address.Vault) + `'`},
	} {
		if _, err := c.Exec(t.Context(), try.sql); !violates(err, "23503", "23514") {
			t.Errorf("%s: %v", try.what, err)
		}
	}
}

func violates(err error, codes ...string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && slices.Contains(codes, pg.Code)
}

// Keys that name objects hold the tenant, and the vault where both sides have one.
func TestSEC06_KeysHoldTenantAndVault(t *testing.T) {
	t.Parallel()
	c := connect(t, pgtest.New(t).SuperURL)
	references := query(t, c, `
		WITH has AS (SELECT attrelid, attname FROM pg_attribute WHERE attname IN ('tenant_id','citizen_id'))
		SELECT k.conrelid::regclass || ' → ' || k.confrelid::regclass || ' without ' || f.attname
		FROM pg_constraint k JOIN has f ON f.attrelid = k.conrelid JOIN has g ON g.attrelid = k.confrelid AND g.attname = f.attname
		WHERE k.contype = 'f' AND NOT EXISTS (
			SELECT 1 FROM unnest(k.conkey, k.confkey) AS pair(mine, theirs)
			JOIN pg_attribute m ON m.attrelid = k.conrelid AND m.attnum = mine AND m.attname = f.attname
			JOIN pg_attribute t ON t.attrelid = k.confrelid AND t.attnum = theirs AND t.attname = f.attname)
		ORDER BY 1`)
	// A batch of scanned paper is one deposit whose pieces may belong to several vaults.
	if want := []string{"piece → deposit without citizen_id"}; !slices.Equal(references, want) {
		t.Errorf("references: %v, want only %v", references, want)
	}
	uniques := query(t, c, `
		SELECT i.indexrelid::regclass || ' without ' || f.attname
		FROM pg_index i JOIN pg_attribute f ON f.attrelid = i.indrelid AND f.attname IN ('tenant_id','citizen_id')
		JOIN pg_class t ON t.oid = i.indrelid AND t.relnamespace = 'public'::regnamespace
		WHERE i.indisunique AND f.attnum <> ALL (i.indkey::smallint[]) ORDER BY 1`)
	want := []string{
		"address_pkey without tenant_id", // RCPT finds the tenant by it
		"deposit_address_pkey without citizen_id",
		"deposit_pkey without citizen_id",
		"deposit_tenant_id_fingerprint_key without citizen_id", // the address, hence the vault, is in the keyed hash
		"letter_once without citizen_id",
		"letter_pkey without citizen_id",
		"piece_pkey without citizen_id",
		"piece_tenant_id_deposit_id_n_key without citizen_id",
	}
	if !slices.Equal(uniques, want) {
		t.Errorf("unique keys:\n%s\nwant\n%s", strings.Join(uniques, "\n"), strings.Join(want, "\n"))
	}
}

// twoTowns fills every table for two tenants.
func twoTowns(t *testing.T, d *pgtest.Database) (a, b core.TenantID) {
	t.Helper()
	one, two := newTown(t, d, "a"), newTown(t, d, "b")
	one.send(one.file("1"))
	two.send(two.file("1"))
	one.know()
	two.know()
	return one.tenant, two.tenant
}

// A database that nobody has migrated for a login says so, and what to do.
func TestOpenNamesAnUnmigratedDatabase(t *testing.T) {
	d := pgtest.New(t)
	d.Exec(`CREATE ROLE unmigrated LOGIN`) // roles are the whole server's: no other test may know this one
	without := func(url string) {
		t.Helper()
		_, err := postgres.Open(t.Context(), url, postgres.RoleWorker, 1, time.Now)
		if err == nil || !strings.Contains(err.Error(), "VAGUEMESTRE_DATABASE_OWNER_URL") {
			t.Errorf("opened with %v", err)
		}
	}
	without(strings.Replace(d.URL, "user=vaguemestre", "user=unmigrated", 1))
	d.Exec(`ALTER TABLE journal RENAME TO journal_elsewhere`)
	without(d.URL)
}
