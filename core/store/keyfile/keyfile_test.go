package keyfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"vaguemestre/core"
	"vaguemestre/core/vault"
)

// keyService is what every backend must keep to (SEC-20). open gives the service as a
// process sees it that starts now; out makes it fail until the function it returns is called.
func keyService(t *testing.T, open func() (vault.KeyService, error), out func(*testing.T) (back func())) {
	service := func(t *testing.T) vault.KeyService {
		t.Helper()
		s, err := open()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	tenant, other := core.NewID[core.TenantID](), core.NewID[core.TenantID]()
	plain, bound := []byte("a keyset, thirty-two bytes of it."), []byte("vault key of Zoé")
	s := service(t)
	for _, id := range []core.TenantID{tenant, other} {
		if err := s.Create(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	wrapped := wrap(t, s, tenant, plain, bound)

	t.Run("wrap and unwrap", func(t *testing.T) {
		if got, err := s.Unwrap(t.Context(), tenant, wrapped, bound); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("unwrapped %q, %v", got, err)
		}
		if bytes.Contains(wrapped, plain[:8]) {
			t.Error("the wrapping shows what is wrapped")
		}
		if again := wrap(t, s, tenant, plain, bound); bytes.Equal(again, wrapped) {
			t.Error("wrapped twice, the same bytes")
		}
	})
	t.Run("anything else fails", func(t *testing.T) {
		try := func(name string, tenant core.TenantID, wrapped, bound []byte) {
			if got, err := s.Unwrap(t.Context(), tenant, wrapped, bound); err == nil || got != nil {
				t.Errorf("%s: unwrapped %q, %v", name, got, err)
			}
		}
		try("other tenant", other, wrapped, bound)
		try("unknown tenant", core.NewID[core.TenantID](), wrapped, bound)
		try("other binding", tenant, wrapped, []byte("vault key of Ana"))
		try("no binding", tenant, wrapped, nil)
		try("nothing", tenant, nil, bound)
		try("cut", tenant, wrapped[:len(wrapped)-1], bound)
		try("longer", tenant, append(bytes.Clone(wrapped), 0), bound)
		for n := range wrapped {
			flipped := bytes.Clone(wrapped)
			flipped[n] ^= 1
			try(fmt.Sprintf("bit of byte %d", n), tenant, flipped, bound)
		}
		if got, err := s.Wrap(t.Context(), core.NewID[core.TenantID](), plain, bound); err == nil || got != nil {
			t.Error("wrapped for a tenant that has no KEK")
		}
	})
	t.Run("creating again changes nothing", func(t *testing.T) {
		for range 2 {
			if err := s.Create(t.Context(), tenant); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.Unwrap(t.Context(), tenant, wrapped, bound); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("unwrapped %q, %v", got, err)
		}
	})
	t.Run("restart", func(t *testing.T) {
		if got, err := service(t).Unwrap(t.Context(), tenant, wrapped, bound); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("unwrapped %q, %v", got, err)
		}
	})
	t.Run("several processes", func(t *testing.T) { together(t, service, plain, bound) })
	t.Run("outage", func(t *testing.T) {
		fresh := core.NewID[core.TenantID]()
		back := out(t)
		err := s.Create(t.Context(), fresh)
		if err == nil {
			t.Error("a KEK was made that could not be kept")
		}
		if w, err := s.Wrap(t.Context(), fresh, plain, bound); err == nil {
			t.Errorf("%d bytes were wrapped under a KEK that was not kept", len(w))
		}
		back()
		if err := s.Create(t.Context(), fresh); err != nil {
			t.Fatalf("back again: %v", err)
		}
		w := wrap(t, s, fresh, plain, bound)
		if got, err := service(t).Unwrap(t.Context(), fresh, w, bound); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("back again: unwrapped %q, %v", got, err)
		}
	})
}

func wrap(t *testing.T, s vault.KeyService, tenant core.TenantID, plain, bound []byte) []byte {
	t.Helper()
	w, err := s.Wrap(t.Context(), tenant, plain, bound)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// together: processes that started before a town was founded know its KEK, and no
// founding takes away the KEK of another.
func together(t *testing.T, service func(*testing.T) vault.KeyService, plain, bound []byte) {
	const processes, towns = 4, 5
	var all []vault.KeyService
	for range processes {
		all = append(all, service(t))
	}
	type founded struct {
		tenant  core.TenantID
		wrapped []byte
	}
	var mu sync.Mutex
	var got []founded
	var wait sync.WaitGroup
	shared := core.NewID[core.TenantID]()
	for _, s := range all {
		wait.Go(func() {
			for n := range towns {
				tenant := shared // which all found at once
				if n > 0 {
					tenant = core.NewID[core.TenantID]()
				}
				err := s.Create(context.Background(), tenant)
				w, wrapErr := s.Wrap(context.Background(), tenant, plain, bound)
				if err = errors.Join(err, wrapErr); err != nil {
					t.Error(err)
				}
				mu.Lock()
				got = append(got, founded{tenant, w})
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	for _, s := range append(all, service(t)) {
		for _, f := range got {
			if back, err := s.Unwrap(t.Context(), f.tenant, f.wrapped, bound); err != nil || !bytes.Equal(back, plain) {
				t.Fatalf("a process unwraps %q, %v, for a town that another founded", back, err)
			}
		}
	}
}

func TestSEC20_KeyServiceOfAFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "kek.json")
	out := func(t *testing.T) func() { // the folder is gone: an unmounted disk
		t.Helper()
		away := dir + ".away"
		if err := os.Rename(dir, away); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := os.Rename(away, dir); err != nil {
				t.Fatal(err)
			}
		}
	}
	keyService(t, func() (vault.KeyService, error) { return Open(path) }, out)
	if info, err := os.Stat(path); err != nil {
		t.Error(err)
	} else if info.Mode().Perm() != 0o600 {
		t.Errorf("key file has mode %04o, want 0600", info.Mode().Perm())
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v, %v; want the key file alone", entries, err)
	}
}

// SEC-108: secrets that others can read are refused, key file and index key alike.
func TestSEC108_ReadableSecretsAreRefused(t *testing.T) {
	for name, open := range map[string]func(path string) error{
		"key file": func(path string) error { _, err := Open(path); return err },
		"secret":   func(path string) error { _, err := Secret(path, 32); return err },
	} {
		path := filepath.Join(t.TempDir(), "secret")
		if err := open(path); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s made with mode %04o, %v", name, info.Mode().Perm(), err)
		}
		for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o666, 0o777, 0o660} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			err := open(path)
			if err == nil {
				t.Errorf("%s of mode %04o was taken", name, mode)
			} else if strings.Contains(err.Error(), string(before)) || !strings.Contains(err.Error(), "chmod 600") {
				t.Errorf("%s of mode %04o: %v", name, mode, err)
			}
		}
		for _, mode := range []os.FileMode{0o600, 0o400} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			if err := open(path); err != nil {
				t.Errorf("%s of mode %04o: %v", name, mode, err)
			}
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s changed by being opened (%v)", name, err)
		}
	}
}

// A damaged key file is not taken for an empty one, and its error quotes nothing of it.
func TestDamagedKeyFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "kek.json")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Create(t.Context(), core.NewID[core.TenantID]()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"empty": {}, "cut": whole[:len(whole)/2], "no keyset": []byte(`{"a":{}}`), "a list": []byte(`[]`),
		"key cut": bytes.Replace(whole, []byte(`"value": "`), []byte(`"value": "AA`), 1),
	} {
		damaged := filepath.Join(dir, name)
		if err := os.WriteFile(damaged, content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(damaged)
		if err == nil {
			t.Errorf("%s: was taken", name)
			continue
		}
		if !strings.Contains(err.Error(), damaged) || strings.Contains(err.Error(), "value") {
			t.Errorf("%s: the error says %q", name, err)
		}
		if after, readErr := os.ReadFile(damaged); readErr != nil || !bytes.Equal(after, content) {
			t.Errorf("%s: the file was changed (%v)", name, readErr)
		}
	}
}

func TestSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.key")
	var mu sync.Mutex
	got := map[string]int{}
	var wait sync.WaitGroup
	for range 8 { // processes that start at once on one file hold one secret
		wait.Go(func() {
			b, err := Secret(path, 32)
			if err != nil || len(b) != 32 {
				t.Errorf("%d bytes, %v", len(b), err)
			}
			mu.Lock()
			got[string(b)]++
			mu.Unlock()
		})
	}
	wait.Wait()
	if len(got) != 1 {
		t.Errorf("%d different secrets", len(got))
	}
	if b, err := Secret(path, 32); err != nil || got[string(b)] != 8 {
		t.Errorf("later another secret is read (%v)", err)
	}
	if _, err := Secret(path, 33); err == nil {
		t.Error("a secret too short was taken")
	}
	if _, err := Secret(filepath.Join(path, "below"), 32); err == nil {
		t.Error("a secret was kept where it cannot be")
	}
}
