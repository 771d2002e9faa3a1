// Package opening decides whose a deposit is and turns it into its pieces: one file
// each, sealed for the vault it belongs to.
package opening

import (
	"context"
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

// Authenticator says what is proven about who wrote a message.
type Authenticator interface {
	// Authenticate reads the raw message once; sender is what its envelope said. Trouble
	// with DNS is said in the origin, never as an error.
	Authenticate(ctx context.Context, message io.Reader, sender core.Sender) (core.Origin, error)
}

// Attributor says whose a message is.
type Attributor interface {
	// Attribute decides by the secret address's owner ("" for a generic address) and by
	// what is proven of the sender.
	Attribute(ctx context.Context, tenant core.TenantID, owner core.CitizenID, o core.Origin) (core.Attribution, error)
}

// Deposit is a deposit as it is read for opening.
type Deposit struct {
	ID       core.DepositID
	Tenant   core.TenantID
	Vault    core.CitizenID // "" when it came to a generic address
	Channel  string
	Journey  core.Journey
	Trust    core.Trust
	TrustWhy string
	Received time.Time
	Envelope []byte         // core.Envelope, sealed
	Answers  core.DepositID // the deposit whose reply address it came to; "" for what is no reply
	Bodies   []core.SealedBody
}

// attached reports whether a person said whose the deposit is and that it be opened.
func (d Deposit) attached() bool { return d.TrustWhy == core.TrustAttached }

// Notices names the letters that a deposit causes.
type Notices interface {
	Arrived(ctx context.Context, a core.Arrival) ([]core.LetterOrder, error)
}

// Piece is a new piece of a deposit.
type Piece struct {
	core.Piece
	Digest []byte // of the sealed bytes
}

// Opened is what opening a deposit yields.
type Opened struct {
	core.Attribution
	Pieces    []Piece
	Rewrapped [][]byte // the bodies' keys, now wrapped for the vault
	Note      []byte   // the covering note, sealed under the first body's key; nil when there is none
	Origin    []byte   // core.Origin, sealed likewise; nil for what is no message
	Reason    string   // stable code of what a reply without a file came to; "" mostly
	Signed    string   // kind of signature the message carries, as core.Cover has it
	Letters   []core.LetterOrder
}

// Held is a deposit that nobody may be given without a person's word.
type Held struct {
	core.Attribution        // whose it seems to be, if anybody's
	Reason           string // stable code
	Origin           []byte // as in Opened
	Letters          []core.LetterOrder
}

// Deposits is what opening needs of the database.
type Deposits interface {
	Deposit(ctx context.Context, lease core.Lease) (Deposit, error)
	// Opened commits everything at once; core.ErrStale when the lease has passed on.
	Opened(ctx context.Context, lease core.Lease, o Opened) error
	// Hold puts the deposit on the desk, unopened; core.ErrStale likewise.
	Hold(ctx context.Context, lease core.Lease, h Held) error
}

// Keys opens and makes object keys.
type Keys interface {
	Open(ctx context.Context, who core.Access, wrapped ...vault.Wrapped) ([]vault.Key, error)
	NewKey(ctx context.Context, tenant core.TenantID, vault core.CitizenID, object core.ObjectID) (vault.Key, []byte, error)
	Wrap(ctx context.Context, tenant core.TenantID, vault core.CitizenID, object core.ObjectID, key vault.Key) ([]byte, error)
}

// Opener opens deposits.
type Opener struct {
	deposits   Deposits
	keys       Keys
	blobs      vault.Blobs
	splitter   Splitter
	senders    Authenticator
	attributor Attributor
	notices    Notices
	log        *slog.Logger
	seen       func(core.Attribution)
}

// New builds the opener. seen is told of every verdict on whose a message is, for the
// metrics.
func New(deposits Deposits, keys Keys, blobs vault.Blobs, splitter Splitter, senders Authenticator, attributor Attributor, notices Notices, log *slog.Logger, seen func(core.Attribution)) *Opener {
	return &Opener{deposits: deposits, keys: keys, blobs: blobs, splitter: splitter, senders: senders, attributor: attributor, notices: notices, log: log, seen: seen}
}

// Open opens a leased deposit and returns the next steps: one per piece. What belongs
// to nobody yet, or can be read in two ways, is held instead, and there are no steps.
// Killed half way, it is simply run again: until the last line nothing is visible. A
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
	run := &run{Opener: o, deposit: d, keys: keys}
	if err := run.attribute(ctx, lease.Attempt); err != nil {
		return nil, err
	}
	if run.out.Vault == "" {
		return nil, run.hold(ctx, lease, run.out.Attribution.Reason)
	}
	if d.Answers != "" && run.proven.Automatic && !d.attached() {
		return nil, errAutomatic
	}
	for i := range d.Bodies {
		if err := run.body(ctx, i); err != nil {
			run.forget()
			return nil, err
		}
	}
	if run.doubt != "" {
		run.forget()
		return nil, run.hold(ctx, lease, run.doubt)
	}
	run.readReply()
	if run.out.Letters, err = o.notices.Arrived(ctx, run.arrival()); err != nil {
		run.forget()
		return nil, err
	}
	// An error from here on may be the lost answer of a commit that happened: the blobs
	// may be named by rows, and only the collector may judge them.
	if err := o.deposits.Opened(ctx, lease, run.out); err != nil {
		return nil, err
	}
	o.seen(run.out.Attribution)
	for _, p := range run.out.Pieces {
		if p.State == core.PieceWaiting {
			next = append(next, core.Step{Tenant: p.Tenant, Noun: core.NounPiece, ID: string(p.ID)})
		}
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
	keys    []vault.Key // of the bodies
	proven  core.Origin // of the message's sender; zero for what is no message
	out     Opened
	note    string // what the message says
	deletes bool   // it is a reply that asks for deletion
	doubt   string // why the message cannot be opened without a person's word
}
