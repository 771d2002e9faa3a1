// Package keyfile is the file backend of the key service: the tenants' keys in one
// file that only its owner reads.
package keyfile

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"vaguemestre/core"
)

// Service keeps one keyset (KEK) per tenant. Losing the file loses every vault. Any
// number of processes may share it: each finds what the others have added.
type Service struct {
	path string
	mu   sync.Mutex
	keks map[core.TenantID]tink.AEAD
	raw  map[core.TenantID]json.RawMessage // keysets as stored
}

// Open reads the key file, or makes an empty one with mode 0600. A file that others
// can read is refused (SEC-108).
func Open(path string) (*Service, error) {
	s := &Service{path: path}
	err := s.load()
	if errors.Is(err, fs.ErrNotExist) {
		err = locked(path, func() error {
			if err := s.load(); !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return s.save(map[core.TenantID]json.RawMessage{})
		})
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// load takes the file as it stands in place of what we know.
func (s *Service) load() error {
	b, err := readSecret(s.path)
	if err != nil {
		return err
	}
	raw, keks := map[core.TenantID]json.RawMessage{}, map[core.TenantID]tink.AEAD{}
	if err := json.Unmarshal(b, &raw); err != nil {
		return fmt.Errorf("key file %s: not JSON", s.path)
	}
	for tenant, keyset := range raw {
		if keks[tenant], err = parse(keyset); err != nil {
			return fmt.Errorf("key file %s: keyset of tenant %s is damaged", s.path, tenant)
		}
	}
	s.raw, s.keks = raw, keks
	return nil
}

func parse(raw []byte) (tink.AEAD, error) {
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(raw)))
	if err != nil {
		return nil, err
	}
	return aead.New(h)
}

// Create makes the tenant's KEK and saves it durably; a repeat changes nothing.
func (s *Service) Create(_ context.Context, tenant core.TenantID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.keks[tenant]; ok {
		return nil
	}
	return locked(s.path, func() error {
		if err := s.load(); err != nil { // another process may have added tenants, this one included
			return err
		}
		if _, ok := s.keks[tenant]; ok {
			return nil
		}
		return s.add(tenant)
	})
}

func (s *Service) add(tenant core.TenantID) error {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return fmt.Errorf("new KEK: %w", err)
	}
	var buf bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&buf)); err != nil {
		return fmt.Errorf("new KEK: %w", err)
	}
	kek, err := aead.New(h)
	if err != nil {
		return fmt.Errorf("new KEK: %w", err)
	}
	next := maps.Clone(s.raw)
	next[tenant] = buf.Bytes()
	if err := s.save(next); err != nil {
		return err
	}
	s.raw, s.keks[tenant] = next, kek
	return nil
}

// Wrap encrypts under the tenant's KEK, bound to what the keyset is for.
func (s *Service) Wrap(_ context.Context, tenant core.TenantID, plain, bound []byte) ([]byte, error) {
	kek, err := s.kek(tenant)
	if err != nil {
		return nil, err
	}
	return kek.Encrypt(plain, bound)
}

// Unwrap is the inverse of Wrap; any other tenant, binding or byte fails.
func (s *Service) Unwrap(_ context.Context, tenant core.TenantID, wrapped, bound []byte) ([]byte, error) {
	kek, err := s.kek(tenant)
	if err != nil {
		return nil, err
	}
	return kek.Decrypt(wrapped, bound)
}

func (s *Service) kek(tenant core.TenantID) (tink.AEAD, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if kek, ok := s.keks[tenant]; ok {
		return kek, nil
	}
	if err := s.load(); err != nil { // a town that another process founded
		return nil, err
	}
	kek, ok := s.keks[tenant]
	if !ok {
		return nil, fmt.Errorf("no KEK for tenant %s", tenant)
	}
	return kek, nil
}

func (s *Service) save(keys map[core.TenantID]json.RawMessage) error {
	b, err := json.MarshalIndent(keys, "", "  ")
	if err != nil {
		return err
	}
	return writeSecret(s.path, b)
}

// Secret reads a random secret of size bytes from path, or makes one with mode 0600.
// Processes that start at once on one path hold one secret.
func Secret(path string, size int) ([]byte, error) {
	b, err := readSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = locked(path, func() (err error) {
			if b, err = readSecret(path); !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			b = make([]byte, size)
			_, _ = rand.Read(b) // documented never to fail
			return writeSecret(path, b)
		})
	}
	if err == nil && len(b) < size {
		err = fmt.Errorf("secret %s: shorter than %d bytes", path, size)
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

// locked runs f while no other process reads to write in the folder of path. The lock
// is on the folder: the file itself is replaced at each writing.
func locked(path string, f func() error) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("secret: %w", err)
	}
	defer dir.Close()
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock folder of %s: %w", path, err)
	}
	return f()
}

func readSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("secret: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("secret %s: others may read it (mode %04o): chmod 600 it, and replace it if it was exposed", path, info.Mode().Perm())
	}
	return os.ReadFile(path)
}

// writeSecret replaces the file atomically and durably.
func writeSecret(path string, b []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".secret-*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("secret: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("secret %s: %w", path, err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
