// Package intake accepts: it says whose an address is, seals what a channel hands
// over, records it, and only then answers. It holds no key that opens anything.
package intake

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/address"
	"vaguemestre/core/vault"
)

// Record is a deposit as it is stored: everything personal in it is sealed.
type Record struct {
	core.Deposit
	ID          core.DepositID
	Trust       core.Trust
	TrustReason string
	Fingerprint []byte // the same one is the same deposit
	Envelope    []byte // core.Envelope as JSON, sealed under the first body's key
	Bodies      []core.SealedBody
}

// Store is what intake needs of the database.
type Store interface {
	// AddressByHash finds an address in force; core.ErrNotFound for unknown, revoked and expired ones alike.
	AddressByHash(ctx context.Context, keyedHash []byte) (core.Address, error)
	// IntakeKey is the tenant's public intake keyset.
	IntakePublic(ctx context.Context, tenant core.TenantID) ([]byte, error)
	// RecordDeposit commits r, durably, with the bodies that have no Ref. When the fingerprint is there already, nothing is
	// written and the receipt of the first arrival is returned, marked as a repeat. core.ErrNotFound: the address is no longer
	// in force, and nothing is written.
	RecordDeposit(ctx context.Context, r Record) (core.Receipt, error)
	Tenants(ctx context.Context) ([]core.TenantID, error)
	// RecordReport commits r, durably, and returns its id: the first one's, when the
	// fingerprint is there already, and then nothing is written. core.ErrNotFound when the
	// letter has ReportsAtMost already.
	RecordReport(ctx context.Context, r Report) (core.ReportID, error)
}

// Bell wakes a worker. It never blocks or fails: the sweeper rings again.
type Bell interface{ Ring(core.Step) }

// Intake is the one way in, behind every channel.
type Intake struct {
	store Store
	blobs vault.Blobs
	seals *vault.Sealer
	index vault.Index
	bell  Bell
	log   *slog.Logger

	mu      sync.Mutex
	sealers map[core.TenantID]sealer
	lately  map[string]located // by keyed hash
	towns   []core.TenantID    // of which a return path may be
	townsAt time.Time          // as of
}

// located is an address that was found, and until when that is taken for granted.
type located struct {
	core.Address
	until time.Time
}

type sealer struct {
	*vault.IntakeSealer
	until time.Time
}

// shortBody is how many bytes a body may have that is stored in its row, and so needs no
// sync but that of the commit; one of up to appendedBody is laid behind others, with
// which it shares a sync. Measured: docs/decisions/0018.
const (
	shortBody    = 64 << 10
	appendedBody = 256 << 10
)

// New builds the intake.
func New(store Store, blobs vault.Blobs, index vault.Index, bell Bell, log *slog.Logger) *Intake {
	return &Intake{store: store, blobs: blobs, seals: vault.NewSealer(blobs, shortBody, appendedBody), index: index, bell: bell, log: log, sealers: map[core.TenantID]sealer{}, lately: map[string]located{}}
}

// patience is how long the database may take over one question. Senders wait minutes,
// but each holds a session meanwhile: a silent database shall not use them all up.
const patience = 20 * time.Second

// Locate says whose address this is: a citizen's secret one, a town's generic one, or the
// return path of a letter; core.ErrNotFound when it is unknown, revoked or expired: they
// cannot be told apart. What was found is taken for granted for a tenth of a
// second: Accept looks again, in the commit.
func (i *Intake) Locate(ctx context.Context, to string) (core.Address, error) {
	if address.LikeBounce(to) {
		return i.bounce(ctx, to)
	}
	hash, ok := address.Hash(i.index, to)
	if !ok {
		hash, ok = address.HashGeneric(i.index, to)
	}
	if !ok {
		return core.Address{}, core.ErrNotFound
	}
	if a, ok := i.recall(hash); ok {
		return a, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	a, err := i.store.AddressByHash(ctx, hash)
	if err == nil {
		i.remember(hash, a)
	}
	return a, err
}

const (
	locatedFor  = 100 * time.Millisecond
	locatedMost = 1000
)

func (i *Intake) recall(hash []byte) (core.Address, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	l, ok := i.lately[string(hash)]
	return l.Address, ok && time.Now().Before(l.until)
}

func (i *Intake) remember(hash []byte, a core.Address) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.lately) >= locatedMost {
		clear(i.lately)
	}
	i.lately[string(hash)] = located{a, time.Now().Add(locatedFor)}
}

// Accept seals the bodies as they stream in, records the deposit, and rings the bell.
// Nil means durable: bytes first, row second, answer last. The same channel, address,
// key and bytes is the same deposit: its first receipt comes back. An address that was
// revoked or expired since it was located is a refusal, UnknownAddress. Any error but a
// *core.Refusal means "later": nothing of the deposit is visible then. What comes to a
// letter's return path is taken in as a report: the receipt names that.
func (i *Intake) Accept(ctx context.Context, d core.Deposit, bodies ...core.Body) (core.Receipt, error) {
	if d.Address.Letter != "" && len(bodies) > 0 {
		return i.acceptReport(ctx, d, bodies[0])
	}
	seal, err := i.sealer(ctx, d.Tenant)
	if err != nil {
		return core.Receipt{}, err
	}
	r := Record{Deposit: d, ID: core.NewID[core.DepositID]()}
	r.Trust, r.TrustReason = trust(d)
	var hashes [][]byte
	var first vault.Key
	for _, b := range bodies {
		key, body, hash, err := i.body(ctx, seal, d.Tenant, b)
		if err != nil {
			i.forget(r)
			return core.Receipt{}, err
		}
		if first == nil {
			first = key
		}
		r.Bodies, hashes = append(r.Bodies, body), append(hashes, hash)
	}
	if r.Envelope, err = envelope(first, r); err != nil {
		i.forget(r)
		return core.Receipt{}, err
	}
	r.Fingerprint = i.fingerprint(d, hashes)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	receipt, err := i.store.RecordDeposit(ctx, r)
	if errors.Is(err, core.ErrNotFound) {
		i.forget(r)
		return core.Receipt{}, &core.Refusal{Code: core.UnknownAddress, Reason: "L’adresse de dépôt est inconnue."}
	}
	if err != nil {
		// The commit may have happened although its answer was lost: the blobs stay, and
		// the sender's retry finds either the row or nothing.
		return core.Receipt{}, fmt.Errorf("record deposit: %w", err)
	}
	if receipt.Repeat {
		i.forget(r)
	}
	i.bell.Ring(core.Step{Tenant: d.Tenant, Noun: core.NounDeposit, ID: string(receipt.Deposit)})
	return receipt, nil
}

// trust is the level of SECURITY.md §3 as far as it can be told without looking at
// the bytes: a secret address alone is T2. Opening looks at the bytes, and decides.
func trust(d core.Deposit) (core.Trust, string) {
	if d.Address.Vault != "" {
		return core.T2, "secret_address"
	}
	return core.T0, "nothing_proven"
}

func (i *Intake) body(ctx context.Context, seal *vault.IntakeSealer, tenant core.TenantID, b core.Body) (vault.Key, core.SealedBody, []byte, error) {
	object := core.NewID[core.ObjectID]()
	key, wrapped, err := seal.NewKey(object)
	if err != nil {
		return nil, core.SealedBody{}, nil, err
	}
	s, err := i.seals.Seal(ctx, key, tenant, object, b.R)
	if err != nil {
		return nil, core.SealedBody{}, nil, err
	}
	out := core.SealedBody{Type: b.Type, Bytes: s.Bytes, Digest: s.Digest, Sealed: core.Sealed{Object: object, Ref: s.Ref, Size: s.Size, Wrapped: wrapped}}
	meta, err := json.Marshal(core.PieceMeta{FileName: b.Name, DeclaredType: b.Type, SHA256: hex.EncodeToString(s.SHA256)})
	if err == nil {
		out.Meta, err = key.Seal(tenant, object, vault.LabelMeta, meta)
	}
	if err != nil {
		i.forget(Record{Bodies: []core.SealedBody{out}})
		return nil, core.SealedBody{}, nil, fmt.Errorf("seal metadata: %w", err)
	}
	return key, out, s.SHA256, nil
}

func envelope(key vault.Key, r Record) ([]byte, error) {
	if key == nil {
		return nil, &core.Refusal{Code: "empty", Reason: "Le dépôt ne contient aucun fichier."}
	}
	plain, err := json.Marshal(core.Envelope{Key: r.Key, Sender: r.Sender, Hints: r.Hints})
	if err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	return key.Seal(r.Tenant, r.Bodies[0].Sealed.Object, vault.LabelEnvelope, plain)
}

// fingerprint names an arrival (REL-04). The address is in it, so that the same bytes
// in two vaults never share one (SEC-06).
func (i *Intake) fingerprint(d core.Deposit, hashes [][]byte) []byte {
	fields := [][]byte{[]byte(d.Tenant), []byte(d.Channel), []byte(d.Address.ID), []byte(d.Key)}
	return i.index.Sum("deposit", append(fields, hashes...)...)
}

// forget deletes blobs that no row names. What it misses is collected as an orphan.
func (i *Intake) forget(r Record) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, b := range r.Bodies {
		if b.Bytes != nil {
			continue // it was to lie in the row
		}
		if err := i.blobs.Delete(ctx, b.Sealed.Ref); err != nil {
			i.log.Warn("orphan blob left to the collector", "object", b.Sealed.Object)
		}
	}
}

// sealerFor bounds how long a rotated intake key may still be used.
const sealerFor = time.Minute

func (i *Intake) sealer(ctx context.Context, tenant core.TenantID) (*vault.IntakeSealer, error) {
	i.mu.Lock()
	s, ok := i.sealers[tenant]
	i.mu.Unlock()
	if ok && time.Now().Before(s.until) {
		return s.IntakeSealer, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	public, err := i.store.IntakePublic(ctx, tenant)
	if err != nil {
		return nil, fmt.Errorf("intake key: %w", err)
	}
	fresh, err := vault.NewIntakeSealer(tenant, public)
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	i.sealers[tenant] = sealer{fresh, time.Now().Add(sealerFor)}
	i.mu.Unlock()
	return fresh, nil
}
