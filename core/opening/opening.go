// Package opening decides whose a deposit is and turns it into its pieces: one file
// each, sealed for the vault it belongs to.
package opening

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
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
	Envelope []byte // core.Envelope, sealed
	Bodies   []core.SealedBody
}

// attached reports whether a person said whose the deposit is and that it be opened.
func (d Deposit) attached() bool { return d.TrustWhy == core.TrustAttached }

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
}

// Held is a deposit that nobody may be given without a person's word.
type Held struct {
	core.Attribution        // whose it seems to be, if anybody's
	Reason           string // stable code
	Origin           []byte // as in Opened
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
	log        *slog.Logger
	seen       func(core.Attribution)
}

// New builds the opener. seen is told of every verdict on whose a message is, for the
// metrics.
func New(deposits Deposits, keys Keys, blobs vault.Blobs, splitter Splitter, senders Authenticator, attributor Attributor, log *slog.Logger, seen func(core.Attribution)) *Opener {
	return &Opener{deposits: deposits, keys: keys, blobs: blobs, splitter: splitter, senders: senders, attributor: attributor, log: log, seen: seen}
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
		return nil, run.hold(ctx, lease, run.out.Reason)
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
	out     Opened
	doubt   string // why the message cannot be opened without a person's word
}

// isMessage reports whether the deposit came as a message, whose sender is asked about.
func (d Deposit) isMessage() bool { return len(d.Bodies) == 1 && d.Bodies[0].Type == messageType }

const messageType = "message/rfc822"

// dnsTries is how many attempts DNS trouble may put an attribution off.
const dnsTries = 3

// errResolver: DNS did not answer, and its answer could prove more.
var errResolver = errors.New("sender cannot be authenticated now: DNS trouble")

// attribute decides whose the deposit is. What a channel or a person said already
// stands. Trouble with DNS is waited for a little; then the level stays the lower one.
func (r *run) attribute(ctx context.Context, attempt int) error {
	d := r.deposit
	r.out.Attribution = core.Attribution{Vault: d.Vault, Trust: d.Trust, Reason: d.TrustWhy}
	if !d.isMessage() {
		return nil
	}
	origin, err := r.origin(ctx)
	if err != nil {
		return err
	}
	if r.out.Origin, err = r.seal(vault.LabelOrigin, origin); err != nil {
		return err
	}
	if d.attached() {
		return nil
	}
	if r.out.Attribution, err = r.attributor.Attribute(ctx, d.Tenant, d.Vault, origin); err != nil {
		return err
	}
	if origin.Trouble && attempt < dnsTries {
		return errResolver
	}
	return nil
}

// origin asks what is proven of the sender, of the message as it came.
func (r *run) origin(ctx context.Context) (core.Origin, error) {
	d, body := r.deposit, r.deposit.Bodies[0]
	plain, err := r.keys[0].Open(d.Tenant, body.Sealed.Object, vault.LabelEnvelope, d.Envelope)
	if err != nil {
		return core.Origin{}, fmt.Errorf("open envelope: %w", err)
	}
	var envelope core.Envelope
	if err := json.Unmarshal(plain, &envelope); err != nil {
		return core.Origin{}, fmt.Errorf("read envelope: %w", err)
	}
	message, err := vault.OpenFrom(ctx, r.blobs, r.keys[0], d.Tenant, body.Sealed.Object, body.Sealed.Ref)
	if err != nil {
		return core.Origin{}, err
	}
	defer message.Close()
	return r.senders.Authenticate(ctx, message, envelope.Sender)
}

// seal seals a value under the first body's key.
func (r *run) seal(label string, value any) ([]byte, error) {
	plain, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return r.keys[0].Seal(r.deposit.Tenant, r.deposit.Bodies[0].Sealed.Object, label, plain)
}

// hold leaves the deposit to a person, unopened. An owner that a secret address names
// stays its owner; one that only seemed to be, because of who wrote, does not.
func (r *run) hold(ctx context.Context, lease core.Lease, reason string) error {
	h := Held{Attribution: r.out.Attribution, Reason: reason, Origin: r.out.Origin}
	h.Vault = r.deposit.Vault
	if err := r.deposits.Hold(ctx, lease, h); err != nil {
		return err
	}
	r.seen(core.Attribution{Trust: h.Trust, Reason: reason})
	return nil
}

func (r *run) body(ctx context.Context, i int) error {
	d, body, key := r.deposit, r.deposit.Bodies[i], r.keys[i]
	rewrapped, err := r.Opener.keys.Wrap(ctx, d.Tenant, r.out.Vault, body.Sealed.Object, key)
	if err != nil {
		return err
	}
	r.out.Rewrapped = append(r.out.Rewrapped, rewrapped)
	if body.Type != messageType {
		return r.whole(body, rewrapped)
	}
	message, err := vault.OpenFrom(ctx, r.blobs, key, d.Tenant, body.Sealed.Object, body.Sealed.Ref)
	if err != nil {
		return err
	}
	defer message.Close()
	cover, err := r.splitter.Split(ctx, message, func(p core.Part) error { return r.part(ctx, p) })
	var limit *core.Refusal
	switch {
	case errors.As(err, &limit):
		r.doubts(limit.Code) // the parts within the limit were given
	case err != nil:
		return fmt.Errorf("split message: %w", err)
	case len(cover.Doubts) > 0:
		r.doubts(cover.Doubts[0])
	}
	if cover.Note == "" || r.out.Note != nil {
		return nil
	}
	r.out.Note, err = key.Seal(d.Tenant, body.Sealed.Object, vault.LabelNote, []byte(cover.Note))
	return err
}

// doubts notes why the message is held, unless a person has seen it and said to go on.
func (r *run) doubts(code string) {
	if !r.deposit.attached() {
		r.doubt = code
	}
}

// whole: a body that is a file itself becomes a piece over the same bytes.
func (r *run) whole(body core.SealedBody, wrapped []byte) error {
	sealed := body.Sealed
	sealed.Wrapped = wrapped
	r.add(Piece{Digest: body.Digest, Piece: core.Piece{Sealed: sealed, Meta: body.Meta, State: core.PieceWaiting}})
	return nil
}

// part makes a part a piece; an archive is followed by what it holds.
func (r *run) part(ctx context.Context, p core.Part) error {
	body := bufio.NewReader(p.Body)
	p.Body = body
	head, _ := body.Peek(4) // an error shows again when it is read
	if p.Refusal != nil || p.Aside != "" || !isZip(head) {
		return r.piece(ctx, p)
	}
	return r.archive(ctx, p)
}

// maxArchive is the largest archive that is unpacked: it is held in memory meanwhile.
const maxArchive = 64 << 20

// archive makes an archive a piece, and each file in it. What it held stands beside it;
// one that cannot be unpacked is refused as a whole.
func (r *run) archive(ctx context.Context, p core.Part) error {
	whole, err := io.ReadAll(io.LimitReader(p.Body, maxArchive+1))
	if err != nil {
		return err
	}
	p.Body = io.MultiReader(bytes.NewReader(whole), p.Body)
	if err := r.piece(ctx, p); err != nil || len(whole) > maxArchive {
		return err
	}
	n := len(r.out.Pieces) - 1
	err = unpack(ctx, bytes.NewReader(whole), int64(len(whole)), defaultArchive, func(p core.Part) error { return r.piece(ctx, p) })
	var refusal *core.Refusal
	switch piece := &r.out.Pieces[n]; {
	case errors.As(err, &refusal):
		piece.State, piece.Reason, piece.Sentence = core.PieceRefused, refusal.Code, refusal.Reason
	case errors.Is(err, errNoArchive):
	case err != nil:
		return err
	default:
		piece.State, piece.Reason = core.PieceSetAside, core.AsideContainer
	}
	return nil
}

// piece seals a part and makes it a piece.
func (r *run) piece(ctx context.Context, p core.Part) error {
	d := r.deposit
	object := core.NewID[core.ObjectID]()
	key, wrapped, err := r.Opener.keys.NewKey(ctx, d.Tenant, r.out.Vault, object)
	if err != nil {
		return err
	}
	s, err := vault.SealTo(ctx, r.blobs, key, d.Tenant, object, p.Body)
	if err != nil {
		return err
	}
	piece := Piece{Digest: s.Digest, Piece: core.Piece{State: core.PieceWaiting,
		Sealed: core.Sealed{Object: object, Ref: s.Ref, Size: s.Size, Wrapped: wrapped}}}
	switch {
	case p.Refusal != nil:
		piece.State, piece.Reason, piece.Sentence = core.PieceRefused, p.Refusal.Code, p.Refusal.Reason
	case p.Aside != "":
		piece.State, piece.Reason = core.PieceSetAside, p.Aside
	}
	plain, err := json.Marshal(core.PieceMeta{FileName: p.Name, DeclaredType: p.Type, SHA256: hex.EncodeToString(s.SHA256)})
	if err == nil {
		piece.Meta, err = key.Seal(d.Tenant, object, vault.LabelMeta, plain)
	}
	r.add(piece) // named from here on, so that forget finds it
	return err
}

// add numbers a piece and gives it what it has from its deposit.
func (r *run) add(p Piece) {
	d := r.deposit
	p.Tenant, p.ID, p.Deposit, p.Vault = d.Tenant, core.NewID[core.PieceID](), d.ID, r.out.Vault
	p.Channel, p.Journey, p.Trust, p.N = d.Channel, d.Journey, r.out.Trust, len(r.out.Pieces)+1
	r.out.Pieces = append(r.out.Pieces, p)
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
