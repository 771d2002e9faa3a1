package citizen_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/address"
	"vaguemestre/core/citizen"
	"vaguemestre/core/store/blob"
	"vaguemestre/core/store/keyfile"
	"vaguemestre/core/store/postgres"
	"vaguemestre/core/store/postgres/pgtest"
	"vaguemestre/core/store/postgres/towntest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

type town struct {
	*towntest.Town
	*citizen.Registrar
}

var today = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func newTown(t *testing.T) town {
	t.Helper()
	service, err := keyfile.Open(filepath.Join(t.TempDir(), "kek"))
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blob.OpenFolder(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	w := towntest.New(t, service, blobs)
	now := today
	return town{w, citizen.New(w.HTTP, w.Keeper, w.Notices(), w.Index, func() time.Time { now = now.Add(time.Minute); return now })}
}

var zoe = citizen.Identity{Given: "Zoé-Planted", Family: "Le Goff-Planted", Email: "zoe.planted@example.test"}

func (w town) add(t *testing.T, reading bool) (core.CitizenID, string) {
	t.Helper()
	id, shown, err := w.Add(t.Context(), w.ID, towntest.Domain, zoe, reading)
	if err != nil {
		t.Fatal(err)
	}
	return id, shown
}

func (w town) owner(id core.CitizenID) core.Access {
	return core.Access{Tenant: w.ID, Vault: id, Actor: "citizen", Purpose: "test"}
}

// holds fails the test unless the condition, in SQL, is true.
func (w town) holds(condition string) {
	w.Exec("DO $$ BEGIN IF (" + condition + ") IS NOT TRUE THEN RAISE EXCEPTION 'not so: %', $q$" + condition + "$q$; END IF; END $$")
}

// SEC-102: consent to reading is recorded with its version and time, or not at all.
func TestSEC102_ConsentIsRecorded(t *testing.T) {
	w := newTown(t)
	yes, shown := w.add(t, true)
	no, other := w.add(t, false)
	w.holds(fmt.Sprintf(`SELECT reading_consent_version = '%s' AND reading_consent_at BETWEEN '2026-11-23 10:00Z' AND '2026-11-23 11:00Z' AND reading_consent_revoked IS NULL
		FROM citizen WHERE id = '%s'`, citizen.ConsentVersion, yes))
	w.holds(fmt.Sprintf(`SELECT reading_consent_version IS NULL AND reading_consent_at IS NULL FROM citizen WHERE id = '%s'`, no))
	for _, c := range []struct {
		id      core.CitizenID
		shown   string
		consent bool
	}{{yes, shown, true}, {no, other, false}} {
		if got, err := w.HTTP.CitizenTenant(t.Context(), c.id); err != nil || got != w.ID {
			t.Errorf("citizen of %s, %v", got, err)
		}
		a, err := w.Intake.Locate(t.Context(), c.shown)
		if err != nil || a.Vault != c.id {
			t.Fatalf("%+v, %v", a, err)
		}
		lease, _ := w.Piece(towntest.Citizen{ID: c.id, Owning: a}, string(c.id), []byte("a"), core.PieceWaiting)
		if p, err := w.Worker.Piece(t.Context(), lease); err != nil || p.ReadingConsent != c.consent {
			t.Errorf("the worker may read: %v, %v; want %v", p.ReadingConsent, err, c.consent)
		}
	}
	w.Exec("UPDATE citizen SET reading_consent_revoked = now()")
	a, err := w.Intake.Locate(t.Context(), shown)
	if err != nil {
		t.Fatal(err)
	}
	lease, _ := w.Piece(towntest.Citizen{ID: yes, Owning: a}, "later", []byte("b"), core.PieceWaiting)
	if p, err := w.Worker.Piece(t.Context(), lease); err != nil || p.ReadingConsent {
		t.Errorf("after withdrawal the worker may read: %v, %v", p.ReadingConsent, err)
	}
}

func TestSEC24_IdentityAndAddressAreSealed(t *testing.T) {
	w := newTown(t)
	id, shown := w.add(t, true)
	local, _, _ := strings.Cut(shown, "@")
	for _, table := range []string{"citizen", "deposit_address", "address", "vault_key", "journal", "journal_head"} {
		w.holds(`SELECT bool_and(r::text NOT ILIKE '%planted%' AND r::text NOT ILIKE '%` + local + `%'
			AND r::text NOT ILIKE '%' || encode('Planted', 'hex') || '%' AND r::text NOT ILIKE '%' || encode('` + local + `', 'hex') || '%') FROM ` + table + ` r`)
	}
	w.holds(`SELECT count(*) = 1 FROM journal WHERE chain = 'vault:` + string(id) + `' AND act = 'enrol' AND seq = 1`)
}

func TestAddRefuses(t *testing.T) {
	w := newTown(t)
	for _, who := range []citizen.Identity{
		{}, {Given: "Zoé", Family: "Le Goff"}, {Given: " ", Family: "Le Goff", Email: "z@example.test"}, {Given: "Zoé", Family: "\t", Email: "z@example.test"},
		{Given: "Zoé", Family: "Le Goff", Email: "Zoé <z@example.test>"}, {Given: "Zoé", Family: "Le Goff", Email: "z"},
		{Given: "Zoé", Family: "Le Goff", Email: "z@example.test, y@example.test"}, {Given: "Zoé", Family: "Le Goff", Email: "z@example.test\r\nBcc: y@example.test"},
	} {
		_, _, err := w.Add(t.Context(), w.ID, towntest.Domain, who, true)
		if !errors.Is(err, core.ErrInvalid) {
			t.Errorf("%+v: %v", who, err)
		} else if strings.Contains(err.Error(), "example.test") || strings.Contains(err.Error(), "Goff") {
			t.Errorf("the error quotes the person: %v", err)
		}
	}
	if _, _, err := w.Add(t.Context(), core.NewID[core.TenantID](), towntest.Domain, zoe, true); err == nil {
		t.Error("enrolled in no town")
	}
	if _, _, err := w.Add(t.Context(), w.ID, "", zoe, true); err == nil {
		t.Error("enrolled with an address of no domain")
	}
	w.holds("SELECT count(*) = 0 FROM citizen")
	w.holds("SELECT count(*) = 0 FROM address")
	if _, err := w.HTTP.CitizenTenant(t.Context(), core.NewID[core.CitizenID]()); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("nobody's town: %v", err)
	}
	if _, err := w.HTTP.CitizenTenant(t.Context(), "Robert'); --"); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("no identifier at all: %v", err)
	}
}

// SEC-45: a rotated address gives way to a fresh one at once, a revoked one to none;
// nobody else's changes; its owner sees them all.
func TestSEC45_RotateAndRevoke(t *testing.T) {
	w := newTown(t)
	id, first := w.add(t, true)
	_, others := w.add(t, true)
	who := w.owner(id)
	smtp := w.Store(postgres.RoleSMTP)
	locates := func(shown string, want bool) { // intake itself takes for granted what it found just now
		t.Helper()
		hash, _ := address.Hash(w.Index, shown)
		if a, err := smtp.AddressByHash(t.Context(), hash); (err == nil && a.Vault == id) != want || (err != nil && !errors.Is(err, core.ErrNotFound)) {
			t.Errorf("%s: %+v, %v; want %v", shown, a, err, want)
		}
	}
	second, err := w.Rotate(t.Context(), who, towntest.Domain, time.Time{})
	if err != nil || second == first {
		t.Fatalf("rotated to %s, %v", second, err)
	}
	locates(first, false)
	locates(second, true)
	shown := func(want ...string) {
		t.Helper()
		list, err := w.Addresses(t.Context(), who)
		if err != nil || len(list) != len(want) {
			t.Fatalf("shown %+v, %v", list, err)
		}
		for n, a := range list {
			if got := fmt.Sprint(a.Address, a.Revoked); got != want[n] || !a.Created.After(today) {
				t.Errorf("address %d: %s of %v, want %s", n+1, got, a.Created, want[n])
			}
		}
	}
	shown(first+"true", second+"false")
	for range 2 { // a repeat changes nothing
		if err := w.Revoke(t.Context(), who); err != nil {
			t.Fatal(err)
		}
	}
	locates(second, false)
	shown(first+"true", second+"true")
	third, err := w.Rotate(t.Context(), who, towntest.Domain, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	locates(third, true)
	locates(second, false)
	if _, err := w.Intake.Locate(t.Context(), others); err != nil {
		t.Errorf("another's address: %v", err)
	}
	w.holds(`SELECT array_agg(act ORDER BY seq) = '{enrol,rotate_address,show_addresses,revoke_address,revoke_address,show_addresses,rotate_address}'
		FROM journal WHERE chain = 'vault:` + string(id) + `'`)
	if _, err := w.Rotate(t.Context(), w.owner(core.NewID[core.CitizenID]()), towntest.Domain, time.Time{}); err == nil {
		t.Error("an address was minted for nobody")
	}
}
