package opening

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"vaguemestre/core"
	"vaguemestre/core/vault"
)

// isMessage reports whether the deposit came as a message, whose sender is asked about.
func (d Deposit) isMessage() bool { return len(d.Bodies) == 1 && d.Bodies[0].Type == messageType }

const messageType = "message/rfc822"

// dnsTries is how many attempts DNS trouble may put an attribution off.
const dnsTries = 3

// reasonNoEnvelope: of a message from a mailbox nobody can say to whom it was sent but
// its header, which its sender wrote (SEC-52).
const reasonNoEnvelope = "no_envelope"

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
	r.proven = origin
	if r.out.Origin, err = r.seal(vault.LabelOrigin, origin); err != nil {
		return err
	}
	if d.attached() {
		return nil
	}
	if r.out.Attribution, err = r.attributor.Attribute(ctx, d.Tenant, d.Vault, origin); err != nil {
		return err
	}
	if d.Channel == core.ChannelIMAP && r.out.Trust > core.T2 {
		r.out.Attribution.Trust, r.out.Attribution.Reason = core.T2, reasonNoEnvelope
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
	a := r.arrival()
	a.Attribution, a.Held = h.Attribution, true
	letters, err := r.notices.Arrived(ctx, a)
	if err != nil {
		return err
	}
	h.Letters = letters
	if err := r.deposits.Hold(ctx, lease, h); err != nil {
		return err
	}
	r.seen(core.Attribution{Trust: h.Trust, Reason: reason})
	return nil
}

// arrival is what the deposit turned out to be.
func (r *run) arrival() core.Arrival {
	a := core.Arrival{Tenant: r.deposit.Tenant, Deposit: r.deposit.ID, Attribution: r.out.Attribution, Origin: r.proven, ByHand: r.deposit.attached()}
	for _, p := range r.out.Pieces {
		if p.State != core.PieceSetAside {
			a.Files++
		}
		if p.State == core.PieceWaiting {
			a.Waiting++
		}
	}
	if r.deletes {
		a.Deletes = r.deposit.Answers
	}
	return a
}
