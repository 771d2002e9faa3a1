package tenant_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/store/postgres"
	"vaguemestre/core/tenant"
)

// A secret is read back by those who use it alone, and only as the town and name it was
// set for; the database holds nothing of it.
func TestSEC108_SecretsOfATown(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	f, err := w.Add(ctx, "blois", "Blois", settings(func(*tenant.Settings) {}), "types: []\n")
	if err != nil {
		t.Fatal(err)
	}
	other, err := w.Add(ctx, "niort", "Niort", settings(func(*tenant.Settings) {}), "types: []\n")
	if err != nil {
		t.Fatal(err)
	}
	clock := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	secrets := func(role postgres.Role, key byte) *tenant.Secrets {
		s, err := tenant.NewSecrets(w.Store(role), bytes.Repeat([]byte{key}, 32), func() time.Time { return clock })
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	setting, using, mailing := secrets(postgres.RoleHTTP, 1), secrets(postgres.RoleIMAP, 1), secrets(postgres.RoleMailer, 1)
	value := []byte("correct horse battery staple")
	if err := setting.Set(ctx, f.ID, tenant.SecretRelay, value); err != nil {
		t.Fatal(err)
	}
	if _, err := setting.Open(ctx, f.ID, tenant.SecretRelay); err == nil {
		t.Error("who sets secrets may read them")
	}
	for name, s := range map[string]*tenant.Secrets{"imap": using, "mailer": mailing} {
		if got, err := s.Open(ctx, f.ID, tenant.SecretRelay); err != nil || !bytes.Equal(got, value) {
			t.Errorf("%s reads %q, %v", name, got, err)
		}
	}
	if _, err := secrets(postgres.RoleIMAP, 2).Open(ctx, f.ID, tenant.SecretRelay); !errors.Is(err, tenant.ErrSecretBroken) {
		t.Errorf("under another key: %v", err)
	}
	if _, err := using.Open(ctx, other.ID, tenant.SecretRelay); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("of another town: %v", err)
	}
	sealed, err := w.Store(postgres.RoleIMAP).Secret(ctx, f.ID, tenant.SecretRelay)
	if err != nil || bytes.Contains(sealed, value[:7]) {
		t.Errorf("sealed: %q, %v", sealed, err)
	}
	for _, to := range []struct {
		tenant core.TenantID
		name   tenant.Secret
	}{{other.ID, tenant.SecretRelay}, {f.ID, tenant.SecretDKIM("vm2026")}} {
		if err := w.store.PutSecret(ctx, to.tenant, to.name, sealed, clock); err != nil {
			t.Fatal(err)
		}
		if _, err := using.Open(ctx, to.tenant, to.name); !errors.Is(err, tenant.ErrSecretBroken) {
			t.Errorf("moved to another town or name it opens: %v", err)
		}
	}
	if err := using.Set(ctx, f.ID, "imap-adds", value); err == nil {
		t.Error("imap adds a secret")
	}
	clock = clock.Add(time.Hour)
	rotated := func([]byte) ([]byte, error) { return []byte("rotated"), nil }
	if err := using.Change(ctx, f.ID, tenant.SecretRelay, rotated); err != nil {
		t.Errorf("change: %v", err)
	}
	if got, err := mailing.Open(ctx, f.ID, tenant.SecretRelay); err != nil || string(got) != "rotated" {
		t.Errorf("after a change: %q, %v", got, err)
	}
	err = using.Change(ctx, f.ID, tenant.SecretRelay, func([]byte) ([]byte, error) {
		return []byte("late"), setting.Set(ctx, f.ID, tenant.SecretRelay, []byte("the town's"))
	})
	if got, openErr := using.Open(ctx, f.ID, tenant.SecretRelay); !errors.Is(err, core.ErrStale) || openErr != nil || string(got) != "the town's" {
		t.Errorf("a secret set during a change: %v, then %q, %v", err, got, openErr)
	}
	list, err := setting.List(ctx, f.ID)
	if err != nil || len(list) != 2 || list[0].Name != tenant.SecretDKIM("vm2026") || list[1].Name != tenant.SecretRelay || !list[1].Set.Equal(clock) {
		t.Errorf("list: %v, %v", list, err)
	}
	if err := setting.Forget(ctx, f.ID, tenant.SecretRelay); err != nil {
		t.Error(err)
	}
	if err := setting.Forget(ctx, f.ID, tenant.SecretRelay); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("forgotten twice: %v", err)
	}
	for _, name := range []tenant.Secret{"", "Relay", "a/b/c", "../x", "a b", "a\n", "/a", "a/"} {
		if err := setting.Set(ctx, f.ID, name, value); !errors.Is(err, core.ErrInvalid) {
			t.Errorf("name %q: %v", name, err)
		}
	}
	for _, size := range []int{0, tenant.MaxSecret + 1} {
		if err := setting.Set(ctx, f.ID, "size", make([]byte, size)); !errors.Is(err, core.ErrInvalid) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}
