package control

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A home may lie deeper than the 107 bytes a socket's path may have.
func TestLongHome(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "control.sock")
	s, err := Listen(path, Jobs{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	if info, err := os.Stat(path); err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("socket: %v, %v", info.Mode(), err)
	}
	none := func(json.RawMessage) error { return nil }
	var fault *Fault
	if err := Dial(path).Call(t.Context(), "vault/list", Args{}, none); !errors.As(err, &fault) || fault.Code != "grant_needed" {
		t.Errorf("outside a development home, vault list answered %v", err)
	}
	if err := Dial(path).Call(t.Context(), "deposits/list", Args{}, none); !errors.As(err, &fault) || fault.Code != "usage" {
		t.Errorf("deposits list without a tenant answered %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := Dial(path).Call(t.Context(), "tenant/list", Args{}, none); !errors.As(err, &fault) || fault.Code != "not_running" {
		t.Errorf("after the end: %v", err)
	}
}
