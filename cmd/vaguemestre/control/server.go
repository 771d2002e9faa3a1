// Package control is how the command line talks to the running process: HTTP over a
// Unix socket that only its owner can open.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/attribution"
	"vaguemestre/core/citizen"
	"vaguemestre/core/dispatch"
	"vaguemestre/core/filing"
	"vaguemestre/core/ledger"
	"vaguemestre/core/mailbox"
	"vaguemestre/core/revision"
	"vaguemestre/core/store/postgres"
	"vaguemestre/core/tenant"
	"vaguemestre/core/vault"
)

// Jobs is what the commands call.
type Jobs struct {
	Store       *postgres.Store
	Tenants     *tenant.Registrar
	Secrets     *tenant.Secrets
	Mailboxes   *mailbox.Registrar
	Citizens    *citizen.Registrar
	Senders     *citizen.Senders
	Desk        *attribution.Desk
	Confirmer   *attribution.Confirmer
	Directory   *dispatch.Directory
	Dispatch    *dispatch.Desk
	Vault       *vault.Reader
	Filer       *filing.Filer
	Reviser     *revision.Reviser
	Blobs       ledger.Shelves
	Development bool // the operator may act as the citizen

	Demonstration func(context.Context) (Demonstration, error)
	// TryRelay says what is wrong with a town's relay, if anything; nil when this process
	// sends no letters.
	TryRelay func(context.Context, core.TenantID) (code, status string, err error)
}

// Demonstration is where a development home's town for demonstration is reached.
type Demonstration struct {
	Town    string         `json:"town"`
	Tenant  string         `json:"tenant"` // its code
	Citizen core.CitizenID `json:"citizen"`
	Address string         `json:"deposit_address"` // "" when all were revoked
	SMTP    string         `json:"smtp"`            // "" when this process receives no mail
	Ready   bool           `json:"ready"`           // the reader of PDF files is compiled
}

// Server answers commands.
type Server struct {
	path     string
	jobs     Jobs
	listener net.Listener
	http     *http.Server
	log      *slog.Logger
}

// Listen binds the socket with mode 0600. One that a killed process left is replaced:
// the caller holds the home's lock, so nobody else can be serving it.
func Listen(path string, jobs Jobs, log *slog.Logger) (*Server, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	l, err := listenOwnerOnly(path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	s := &Server{path: path, jobs: jobs, listener: l, log: log}
	mux := http.NewServeMux()
	for name, command := range s.commands() {
		mux.Handle("POST /"+name, s.handler(name, command))
	}
	mux.HandleFunc("POST /vault/get", s.vaultGet)
	mux.HandleFunc("POST /dispatch/open", s.dispatchOpen)
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	return s, nil
}

// listenOwnerOnly binds in a folder nobody else can enter and moves the socket to its
// place once it is 0600: at no instant could another account connect.
func listenOwnerOnly(path string) (net.Listener, error) {
	closed, err := os.MkdirTemp(filepath.Dir(path), ".control-*") // 0700
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(closed)
	bound := filepath.Join(closed, "s")
	short, done, err := reach(bound)
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(bound, 0o600)
	if err == nil {
		err = os.Rename(bound, path)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Run serves until ctx ends; commands under way may finish.
func (s *Server) Run(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- s.http.Serve(s.listener) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	os.Remove(s.path)
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return s.http.Shutdown(stop)
}

// Fault is an error as the command line shows it: a stable code and a sentence.
type Fault struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (f *Fault) Error() string { return f.Message }

func usage(format string, args ...any) error {
	return &Fault{"usage", fmt.Sprintf(format, args...)}
}

// command answers with lines: each becomes one JSON object on the caller's stdout.
type command func(ctx context.Context, args Args) (lines []any, err error)

func (s *Server) handler(name string, c command) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		args, err := readArgs(r)
		var lines []any
		if err == nil {
			lines, err = c(r.Context(), args)
		}
		if err != nil {
			s.fail(w, name, err)
			return
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		enc := json.NewEncoder(w)
		for _, line := range lines {
			if err := enc.Encode(line); err != nil {
				panic(http.ErrAbortHandler) // never a truncated answer that looks whole
			}
		}
	})
}

func readArgs(r *http.Request) (Args, error) {
	var args Args
	dec := json.NewDecoder(io.LimitReader(r.Body, 1<<20))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&args); err != nil {
		return args, usage("the request is malformed")
	}
	return args, nil
}

// fail translates an error once, for the command line.
func (s *Server) fail(w http.ResponseWriter, name string, err error) {
	fault, status := &Fault{}, http.StatusUnprocessableEntity
	var refusal *core.Refusal
	switch {
	case errors.As(err, &fault):
	case errors.As(err, &refusal):
		fault = &Fault{refusal.Code, refusal.Reason}
	case errors.Is(err, core.ErrNotFound):
		fault, status = &Fault{"not_found", "there is no such tenant, citizen, deposit, document, sender, secret, mailbox or link"}, http.StatusNotFound
	case errors.Is(err, core.ErrInvalid):
		fault = &Fault{"usage", err.Error()}
	case errors.Is(err, tenant.ErrCodeTaken), errors.Is(err, dispatch.ErrCodeTaken):
		fault = &Fault{"code_taken", err.Error()}
	case errors.Is(err, tenant.ErrAddressTaken):
		fault = &Fault{"address_taken", tenant.ErrAddressTaken.Error()}
	case errors.Is(err, mailbox.ErrNobody):
		fault = &Fault{"not_polled", mailbox.ErrNobody.Error()}
	case errors.Is(err, tenant.ErrChanged):
		fault = &Fault{"changed", tenant.ErrChanged.Error() + ": try again"}
	default:
		s.log.Error("command failed", "command", name, "cause", core.Cause(err))
		fault, status = &Fault{"accident", "the command failed; the log of the running process says why"}, http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(fault)
}

// vaultGet streams one original.
func (s *Server) vaultGet(w http.ResponseWriter, r *http.Request) {
	args, err := readArgs(r)
	if err == nil {
		err = s.asCitizen(args)
	}
	if err != nil {
		s.fail(w, "vault/get", err)
		return
	}
	who, err := s.owner(r.Context(), args, "read")
	if err != nil {
		s.fail(w, "vault/get", err)
		return
	}
	item, body, err := s.jobs.Vault.Read(r.Context(), who, core.DocumentID(args.Document), 0)
	if err != nil {
		s.fail(w, "vault/get", err)
		return
	}
	w.Header().Set("X-Filename", safeHeader(item.Opened.FileName))
	s.stream(w, item.ID, body)
}
