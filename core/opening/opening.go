// Package opening turns a deposit into its pieces: one file each, sealed for the
// vault the deposit belongs to.
package opening

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/vault"
)

// Splitter walks a message.
type Splitter interface {
	// Split hands each part that a person may have meant to send to each, in order, as a
	// stream, and returns what the message says besides. An error of each stops the walk
	// and comes back as it is.
	Split(ctx context.Context, message io.Reader, each func(core.Part) error) (core.Cover, error)
}

// Deposit is a deposit as it is read for opening.
type Deposit struct {
	ID       core.DepositID
	Tenant   core.TenantID
	Vault    core.CitizenID
	Channel  string
	Journey  core.Journey
	Trust    core.Trust
	Received time.Time
	Envelope []byte
	Bodies   []core.SealedBody
}

// Piece is a new piece of a deposit.
type Piece struct {
	core.Piece
	Digest []byte // of the sealed bytes
}

// Opened is what opening a deposit yields.
type Opened struct {
	Pieces    []Piece
	Rewrapped [][]byte // the bodies' keys, now wrapped for the vault
	Note      []byte   // the covering note, sealed under the first body's key; nil when there is none
}

// Deposits is what opening needs of the database.
type Deposits interface {
	Deposit(ctx context.Context, lease core.Lease) (Deposit, error)
	// Opened commits everything at once; core.ErrStale when the lease has passed on.
	Opened(ctx context.Context, lease core.Lease, o Opened) error
}

// Keys opens and makes object keys.
type Keys interface {
	Open(ctx context.Context, who core.Access, wrapped ...vault.Wrapped) ([]vault.Key, error)
	NewKey(ctx context.Context, tenant core.TenantID, vault core.CitizenID, object core.ObjectID) (vault.Key, []byte, error)
	Wrap(ctx context.Context, tenant core.TenantID, vault core.CitizenID, object core.ObjectID, key vault.Key) ([]byte, error)
}

// Opener opens deposits.
type Opener struct {
	deposits Deposits
	keys     Keys
	blobs    vault.Blobs
	splitter Splitter
	log      *slog.Logger
}

// New builds the opener.
func New(deposits Deposits, keys Keys, blobs vault.Blobs, splitter Splitter, log *slog.Logger) *Opener {
	return &Opener{deposits, keys, blobs, splitter, log}
}

// Open opens a leased deposit and returns the next steps: one per piece. Killed half
// way, it is simply run again: until the last line nothing is visible. A
// *core.Refusal is final.
func (o *Opener) Open(ctx context.Context, lease core.Lease) (next []core.Step, err error) {
	d, err := o.deposits.Deposit(ctx, lease)
	if err != nil {
		return nil, err
	}
	keys, err := o.keys.Open(ctx, d.access(lease), wrapped(d.Bodies)...)
	if err != nil {
		return nil, fmt.Errorf("open keys: %w", err)
	}
	run := &run{Opener: o, deposit: d}
	for i, body := range d.Bodies {
		if err := run.body(ctx, body, keys[i]); err != nil {
			run.forget()
			return nil, err
		}
	}
	// An error from here on may be the lost answer of a commit that happened: the blobs
	// may be named by rows, and only the collector may judge them.
	if err := o.deposits.Opened(ctx, lease, run.out); err != nil {
		return nil, err
	}
	for _, p := range run.out.Pieces {
		next = append(next, core.Step{Tenant: p.Tenant, Noun: core.NounPiece, ID: string(p.ID)})
	}
	return next, nil
}

func (d Deposit) access(lease core.Lease) core.Access {
	return core.Access{Tenant: d.Tenant, Vault: d.Vault, Actor: "pipeline", Act: "open", Purpose: "open_deposit", Object: string(d.ID), Lease: &lease}
}

func wrapped(bodies []core.SealedBody) []vault.Wrapped {
	out := make([]vault.Wrapped, len(bodies))
	for i, b := range bodies {
		out[i] = vault.Wrapped{Object: b.Sealed.Object, Bytes: b.Sealed.Wrapped}
	}
	return out
}

// run is the opening of one deposit.
type run struct {
	*Opener
	deposit Deposit
	out     Opened
}

func (r *run) body(ctx context.Context, body core.SealedBody, key vault.Key) error {
	d := r.deposit
	rewrapped, err := r.keys.Wrap(ctx, d.Tenant, d.Vault, body.Sealed.Object, key)
	if err != nil {
		return err
	}
	r.out.Rewrapped = append(r.out.Rewrapped, rewrapped)
	if body.Type != "message/rfc822" {
		return r.whole(body, rewrapped)
	}
	message, err := vault.OpenFrom(ctx, r.blobs, key, d.Tenant, body.Sealed.Object, body.Sealed.Ref)
	if err != nil {
		return err
	}
	defer message.Close()
	cover, err := r.splitter.Split(ctx, message, func(p core.Part) error { return r.part(ctx, p) })
	if err != nil {
		return fmt.Errorf("split message: %w", err)
	}
	if cover.Note == "" || r.out.Note != nil {
		return nil
	}
	r.out.Note, err = key.Seal(d.Tenant, body.Sealed.Object, vault.LabelNote, []byte(cover.Note))
	return err
}

// whole: a body that is a file itself becomes a piece over the same bytes.
func (r *run) whole(body core.SealedBody, wrapped []byte) error {
	sealed := body.Sealed
	sealed.Wrapped = wrapped
	r.add(sealed, body.Digest, body.Meta)
	return nil
}

func (r *run) part(ctx context.Context, p core.Part) error {
	d := r.deposit
	object := core.NewID[core.ObjectID]()
	key, wrapped, err := r.keys.NewKey(ctx, d.Tenant, d.Vault, object)
	if err != nil {
		return err
	}
	s, err := vault.SealTo(ctx, r.blobs, key, d.Tenant, object, p.Body)
	if err != nil {
		return err
	}
	plain, err := json.Marshal(core.PieceMeta{FileName: p.Name, DeclaredType: p.Type, SHA256: hex.EncodeToString(s.SHA256)})
	if err != nil {
		return err
	}
	meta, err := key.Seal(d.Tenant, object, vault.LabelMeta, plain)
	if err != nil {
		return err
	}
	r.add(core.Sealed{Object: object, Ref: s.Ref, Size: s.Size, Wrapped: wrapped}, s.Digest, meta)
	return nil
}

func (r *run) add(sealed core.Sealed, digest, meta []byte) {
	d := r.deposit
	r.out.Pieces = append(r.out.Pieces, Piece{Digest: digest, Piece: core.Piece{
		Tenant: d.Tenant, ID: core.NewID[core.PieceID](), Deposit: d.ID, Vault: d.Vault, Channel: d.Channel,
		Journey: d.Journey, Trust: d.Trust, N: len(r.out.Pieces) + 1, Sealed: sealed, Meta: meta, State: core.PieceWaiting,
	}})
}

// forget deletes the blobs of pieces that were not recorded. What it misses is
// collected as an orphan.
func (r *run) forget() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, p := range r.out.Pieces {
		if r.shared(p.Sealed.Ref) {
			continue
		}
		if err := r.blobs.Delete(ctx, p.Sealed.Ref); err != nil {
			r.log.Warn("orphan blob left to the collector", "object", p.Sealed.Object)
		}
	}
}

// shared: the piece lies in the bytes of a body.
func (r *run) shared(ref core.Ref) bool {
	for _, b := range r.deposit.Bodies {
		if b.Sealed.Ref == ref {
			return true
		}
	}
	return false
}
