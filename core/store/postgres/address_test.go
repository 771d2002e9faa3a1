package postgres_test

import (
	"errors"
	"testing"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/store/postgres/pgtest"
)

// An address leads to its vault while it is in force; revoked, expired and unknown ones
// are the same to whoever asks (SEC-45).
func TestSEC45_OnlyAnAddressInForceIsFound(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	today := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	now := today
	d.Clock(func() time.Time { return now })
	w := newTown(t, d, "a")
	find := func(hash []byte) error {
		got, err := w.smtp.AddressByHash(t.Context(), hash)
		if err == nil && got != w.address {
			t.Errorf("leads to %+v, want %+v", got, w.address)
		}
		return err
	}
	hash := sum(string(w.address.ID))
	w.must(find(hash))
	unknown := find(sum("unknown"))
	d.Exec("UPDATE deposit_address SET expires_at = '2026-05-02T00:00:00Z'")
	w.must(find(hash))
	now = today.AddDate(0, 0, 1)
	expired := find(hash)
	now = today
	w.must(find(hash))
	who := core.Access{Tenant: w.tenant, Vault: w.address.Vault, Actor: "citizen", Act: "revoke_address", Purpose: "test"}
	w.must(w.http.ReplaceAddresses(t.Context(), who, nil))
	revoked := find(hash)
	for name, err := range map[string]error{"unknown": unknown, "expired": expired, "revoked": revoked} {
		if !errors.Is(err, core.ErrNotFound) || err.Error() != unknown.Error() {
			t.Errorf("%s: %v", name, err)
		}
	}
}
