package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/address"
)

// Report is what came to a letter's return path, as it is stored.
type Report struct {
	Tenant      core.TenantID
	ID          core.ReportID
	Letter      string // first digits of the letter's id
	Channel     string
	Fingerprint []byte // the same one is the same report
	Received    time.Time
	Sealed      []byte // core.ReportBody as JSON, in a box that only the keeper opens
}

// reportBytes is how much of a report is kept. What it says of the letter stands at its
// beginning; after that it returns the letter, which we have.
const reportBytes = 64 << 10

// ReportsAtMost is how many reports on one letter are taken in: one or two are usual, and
// whoever has the letter could send more.
const ReportsAtMost = 50

// bounce says of which letter an address is the return path; core.ErrNotFound otherwise.
func (i *Intake) bounce(ctx context.Context, to string) (core.Address, error) {
	for again := false; ; again = true {
		tenants, err := i.tenants(ctx, again)
		if err != nil {
			return core.Address{}, err
		}
		tenant, letter, ok := address.ParseBounce(i.index, to, tenants)
		if ok {
			low, _ := address.LetterRange(letter)
			return core.Address{ID: core.AddressID(low), Tenant: tenant, Letter: letter}, nil
		}
		if again {
			return core.Address{}, core.ErrNotFound
		}
	}
}

// How long the list of towns is believed: of one that is not on it, for less.
const (
	townsFor  = time.Minute
	townsAnew = time.Second
)

// tenants lists the towns; anew asks again what was not asked just now.
func (i *Intake) tenants(ctx context.Context, anew bool) ([]core.TenantID, error) {
	i.mu.Lock()
	towns, age := i.towns, time.Since(i.townsAt)
	i.mu.Unlock()
	if age < townsAnew || age < townsFor && !anew {
		return towns, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	towns, err := i.store.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	i.towns, i.townsAt = towns, time.Now()
	i.mu.Unlock()
	return towns, nil
}

// acceptReport takes in what came to a letter's return path, as durably as a deposit: it
// is read later, by a worker. Only its beginning is kept.
func (i *Intake) acceptReport(ctx context.Context, d core.Deposit, body core.Body) (core.Receipt, error) {
	seal, err := i.sealer(ctx, d.Tenant)
	if err != nil {
		return core.Receipt{}, err
	}
	message, err := io.ReadAll(io.LimitReader(body.R, reportBytes))
	if err == nil {
		_, err = io.Copy(io.Discard, body.R)
	}
	if err != nil {
		return core.Receipt{}, fmt.Errorf("read report: %w", err)
	}
	plain, err := json.Marshal(core.ReportBody{Sender: d.Sender, Message: message})
	if err != nil {
		return core.Receipt{}, err
	}
	r := Report{Tenant: d.Tenant, ID: core.NewID[core.ReportID](), Letter: d.Address.Letter, Channel: d.Channel, Received: d.Received,
		Fingerprint: i.index.Sum("report", []byte(d.Tenant), []byte(d.Address.Letter), []byte(d.Key), message)}
	if r.Sealed, err = seal.Box(plain); err != nil {
		return core.Receipt{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	id, err := i.store.RecordReport(ctx, r)
	if errors.Is(err, core.ErrNotFound) {
		return core.Receipt{}, &core.Refusal{Code: "too_many_reports", Reason: "Cette lettre a déjà fait l’objet de trop de rapports."}
	}
	if err != nil {
		return core.Receipt{}, fmt.Errorf("record report: %w", err)
	}
	i.bell.Ring(core.Step{Tenant: d.Tenant, Noun: core.NounReport, ID: string(id)})
	return core.Receipt{Deposit: core.DepositID(id), Received: d.Received, Repeat: id != r.ID}, nil
}
