package attribution

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/citizen"
	"vaguemestre/core/vault"
)

// HeldFor is how long a deposit that nobody claimed is kept before it is destroyed.
const HeldFor = 30 * 24 * time.Hour

// Arrival is a deposit as the desk reads it.
type Arrival struct {
	Tenant   core.TenantID
	ID       core.DepositID
	Vault    core.CitizenID // "": nobody's yet
	Channel  string
	State    core.DepositState
	Reason   string // stable code of why it is held
	Trust    core.Trust
	TrustWhy string
	Received time.Time
	Until    time.Time // held until; zero when it is not held
	Envelope []byte    // core.Envelope, sealed under the first body's key
	Origin   []byte    // core.Origin, likewise; nil when nobody looked yet
	Bodies   []core.Sealed
}

// Candidate is a citizen who resembles a sender, and in what.
type Candidate struct {
	Citizen core.CitizenID         `json:"citizen"`
	Like    []citizen.LikenessKind `json:"like"`
}

// DeskStore is what the desk needs of the database.
type DeskStore interface {
	// Arrival reads a deposit of the tenant; core.ErrNotFound.
	Arrival(ctx context.Context, tenant core.TenantID, id core.DepositID) (Arrival, error)
	// Alike finds who shares a likeness, those who share most kinds first.
	Alike(ctx context.Context, tenant core.TenantID, all []citizen.Likeness) ([]Candidate, error)
	// Attach gives a held deposit to who.Vault, to be opened, and journals it;
	// core.ErrNotFound when it is not held or there is no such citizen.
	Attach(ctx context.Context, who core.Access, id core.DepositID) error
	// Detach takes from who.Vault a deposit and all that was made of it, wraps its bodies'
	// keys as given, holds it until then, and journals it for both the vault and the
	// tenant; core.ErrNotFound when it is not in that vault. It returns the blobs that no
	// row names any more. Letters are ordered along; those that wait to speak of the deposit
	// to that vault are not sent any more.
	Detach(ctx context.Context, who core.Access, id core.DepositID, wrapped [][]byte, until time.Time, letters []core.LetterOrder) ([]core.Ref, error)
	// IntakePublic is the tenant's public intake keyset.
	IntakePublic(ctx context.Context, tenant core.TenantID) ([]byte, error)
}

// DeskKeys opens keys, journaling first.
type DeskKeys interface {
	Open(ctx context.Context, who core.Access, wrapped ...vault.Wrapped) ([]vault.Key, error)
}

// Notices names the letter that tells the town of a filing that was undone.
type Notices interface {
	Detached(ctx context.Context, tenant core.TenantID, deposit core.DepositID) ([]core.LetterOrder, error)
}

// Bell wakes a worker for a step.
type Bell interface{ Ring(core.Step) }

// Desk is where a person says whose a deposit is of which nothing proves it, and where
// that is undone.
type Desk struct {
	store   DeskStore
	keys    DeskKeys
	blobs   vault.Blobs
	notices Notices
	index   vault.Index
	bell    Bell
	now     func() time.Time
	log     *slog.Logger
}

// NewDesk builds the desk.
func NewDesk(store DeskStore, keys DeskKeys, blobs vault.Blobs, notices Notices, index vault.Index, bell Bell, now func() time.Time, log *slog.Logger) *Desk {
	return &Desk{store, keys, blobs, notices, index, bell, now, log}
}

// Shown is a deposit as a person at the desk sees it: who says to have sent it, what is
// proven of that, who might be meant. Its content stays closed.
type Shown struct {
	Arrival
	Sender     core.Sender
	From       core.Origin
	Candidates []Candidate // for one that is held and nobody's
}

// Show opens what is known of a deposit's sender, which is journaled.
func (d *Desk) Show(ctx context.Context, who core.Access, id core.DepositID) (Shown, error) {
	a, err := d.store.Arrival(ctx, who.Tenant, id)
	if err != nil {
		return Shown{}, err
	}
	shown := Shown{Arrival: a}
	if len(a.Bodies) == 0 { // destroyed
		return shown, nil
	}
	who.Vault, who.Act, who.Object = a.Vault, "show_deposit", string(id)
	keys, err := d.keys.Open(ctx, who, vault.Wrapped{Object: a.Bodies[0].Object, Bytes: a.Bodies[0].Wrapped})
	if err != nil {
		return Shown{}, fmt.Errorf("open key: %w", err)
	}
	var envelope core.Envelope
	if err := unseal(keys[0], a, vault.LabelEnvelope, a.Envelope, &envelope); err != nil {
		return Shown{}, err
	}
	shown.Sender = envelope.Sender
	if a.Origin != nil {
		if err := unseal(keys[0], a, vault.LabelOrigin, a.Origin, &shown.From); err != nil {
			return Shown{}, err
		}
	}
	if a.State == core.DepositHeld && a.Vault == "" {
		shown.Candidates, err = d.candidates(ctx, shown)
	}
	return shown, err
}

func unseal(key vault.Key, a Arrival, label string, sealed []byte, value any) error {
	plain, err := key.Open(a.Tenant, a.Bodies[0].Object, label, sealed)
	if err == nil {
		err = json.Unmarshal(plain, value)
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", label, err)
	}
	return nil
}

// candidates are citizens who nearly are the sender. What says so is not proven, so it
// suggests and decides nothing.
func (d *Desk) candidates(ctx context.Context, s Shown) ([]Candidate, error) {
	from := s.From.From
	if from == "" {
		from = s.Sender.MailFrom
	}
	alike := citizen.Likenesses(d.index, s.From.Name, from)
	if len(alike) == 0 {
		return nil, nil
	}
	return d.store.Alike(ctx, s.Tenant, alike)
}

// Matches are the data of a citizen that a person may have found again in a deposit.
var Matches = []string{"name", "email", "birth_date", "birth_place", "postal_address", "phone", "file_number"}

// matchesNeeded is how many must agree before a deposit of unproven origin is put into
// somebody's vault, where it waits for that citizen's yes (SECURITY.md §3, T0).
const matchesNeeded = 2

// Attach gives a held deposit to the citizen who.Vault names, and has it opened. A
// deposit to nobody's secret address needs two data of the citizen that were found again
// in it; one that is held for its form alone needs none to go to the owner of its
// address. What becomes of it is to be confirmed by the citizen. core.ErrInvalid says
// what is missing; core.ErrNotFound: not held, or no such citizen.
func (d *Desk) Attach(ctx context.Context, who core.Access, id core.DepositID, matched []string) error {
	a, err := d.store.Arrival(ctx, who.Tenant, id)
	if err != nil {
		return err
	}
	matched = slices.Compact(slices.Sorted(slices.Values(matched)))
	for _, m := range matched {
		if !slices.Contains(Matches, m) {
			return fmt.Errorf("%w match %q: want some of %s", core.ErrInvalid, m, strings.Join(Matches, ", "))
		}
	}
	if a.Vault != who.Vault && len(matched) < matchesNeeded {
		return fmt.Errorf("%w matches: name %d data of the citizen that you found again in the deposit, of %s", core.ErrInvalid, matchesNeeded, strings.Join(Matches, ", "))
	}
	who.Act, who.Object = "attach_deposit", string(id)
	if len(matched) > 0 {
		who.Purpose += ": " + strings.Join(matched, "+")
	}
	if err := d.store.Attach(ctx, who, id); err != nil {
		return fmt.Errorf("attach deposit: %w", err)
	}
	d.bell.Ring(core.Step{Tenant: who.Tenant, Noun: core.NounDeposit, ID: string(id)})
	return nil
}

// Detach undoes a filing in the wrong vault (SEC-17): who.Vault loses the deposit and
// all that was made of it at once, and its keys with it; the original is held again, for
// nobody, and can be attached to whom it belongs. The town's security contact is told. A document that the same content had
// from another deposit stays. core.ErrNotFound when the deposit is not in that vault.
func (d *Desk) Detach(ctx context.Context, who core.Access, id core.DepositID) error {
	a, err := d.store.Arrival(ctx, who.Tenant, id)
	if err != nil {
		return err
	}
	if a.Vault == "" || a.Vault != who.Vault || a.State == core.DepositDestroyed {
		return core.ErrNotFound
	}
	who.Act, who.Object = "detach_deposit", string(id)
	wrapped, err := d.unowned(ctx, who, a)
	if err != nil {
		return err
	}
	letters, err := d.notices.Detached(ctx, who.Tenant, id)
	if err != nil {
		return err
	}
	orphans, err := d.store.Detach(ctx, who, id, wrapped, d.now().Add(HeldFor), letters)
	if err != nil {
		return fmt.Errorf("detach deposit: %w", err)
	}
	for _, ref := range orphans {
		if err := d.blobs.Delete(ctx, ref); err != nil {
			d.log.Warn("orphan blob left to the collector", "cause", core.Cause(err))
		}
	}
	return nil
}

// unowned wraps the keys of a deposit's bodies so that no vault's key opens them.
func (d *Desk) unowned(ctx context.Context, who core.Access, a Arrival) ([][]byte, error) {
	public, err := d.store.IntakePublic(ctx, who.Tenant)
	if err != nil {
		return nil, err
	}
	sealer, err := vault.NewIntakeSealer(who.Tenant, public)
	if err != nil {
		return nil, err
	}
	in := make([]vault.Wrapped, len(a.Bodies))
	for i, b := range a.Bodies {
		in[i] = vault.Wrapped{Object: b.Object, Bytes: b.Wrapped}
	}
	who.Act = "rewrap_keys"
	keys, err := d.keys.Open(ctx, who, in...)
	if err != nil {
		return nil, fmt.Errorf("open keys: %w", err)
	}
	out := make([][]byte, len(keys))
	for i, key := range keys {
		if out[i], err = sealer.Wrap(a.Bodies[i].Object, key); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Unclaimed is what Expire needs of the database.
type Unclaimed interface {
	Tenants(ctx context.Context) ([]core.TenantID, error)
	// ExpireHeld erases the keys of the tenant's deposits that are held beyond now, at most
	// limit of them, journals it, and returns their blobs. An error, and nothing erased,
	// when the database's clock is not within five minutes of now (REL-14).
	ExpireHeld(ctx context.Context, tenant core.TenantID, now time.Time, limit int) (deposits int, blobs []core.Ref, err error)
}

// Deleter forgets blobs.
type Deleter interface {
	Delete(ctx context.Context, ref core.Ref) error
}

// expireAtOnce bounds one transaction.
const expireAtOnce = 100

// Expire destroys what was held for thirty days and claimed by nobody, keys first, then
// bytes; a blob that could not be deleted is an orphan, which the collector finds. It
// returns how many deposits went.
func Expire(ctx context.Context, store Unclaimed, blobs Deleter, now time.Time) (int, error) {
	tenants, err := store.Tenants(ctx)
	if err != nil {
		return 0, err
	}
	total := 0
	var faults []error
	for _, t := range tenants {
		for {
			n, refs, err := store.ExpireHeld(ctx, t, now, expireAtOnce)
			if err != nil {
				return total, fmt.Errorf("expire held deposits of tenant %s: %w", t, err)
			}
			total += n
			for _, ref := range refs {
				faults = append(faults, blobs.Delete(ctx, ref))
			}
			if n < expireAtOnce {
				break
			}
		}
	}
	return total, errors.Join(faults...)
}
