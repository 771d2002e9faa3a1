// Package bounce reads what comes back to the return paths of letters, and notes on each
// letter what it says. Nothing of it becomes a deposit, and nothing is answered.
package bounce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"vaguemestre/core"
)

// KeptFor is how long reports are kept, for a look at what was not understood.
const KeptFor = 30 * 24 * time.Hour

// Report is a report as it is read.
type Report struct {
	Letter string // first digits of the letter's id
	Sealed []byte // core.ReportBody as JSON, in a box of nobody's vault
}

// ErrEarly: the letter is still being handed over, so its report has come too soon.
var ErrEarly = errors.New("the letter is not known to be sent yet")

// Store is what reading needs of the database.
type Store interface {
	Report(ctx context.Context, lease core.Lease) (Report, error)
	// ReadReport notes on its letter what a leased report says, flags a citizen who cannot
	// be reached, and ends the report, in one transaction. A letter that is not there, or
	// has come to its end, is left as it is. ErrEarly for one that waits; core.ErrStale when
	// the lease has passed on.
	ReadReport(ctx context.Context, lease core.Lease, said core.DeliveryReport) error
}

// Keys opens what nobody's vault holds.
type Keys interface {
	Unbox(ctx context.Context, who core.Access, boxes ...[]byte) ([][]byte, error)
}

// Parser says what a message tells of the letter on whose return path it came.
type Parser func(message []byte) core.DeliveryReport

// Reader reads reports.
type Reader struct {
	store Store
	keys  Keys
	parse Parser
}

// New builds the reader.
func New(store Store, keys Keys, parse Parser) *Reader { return &Reader{store, keys, parse} }

// Read reads a leased report. Run again, it changes nothing more.
func (r *Reader) Read(ctx context.Context, lease core.Lease) error {
	report, err := r.store.Report(ctx, lease)
	if err != nil {
		return err
	}
	who := core.Access{Tenant: lease.Tenant, Actor: "pipeline", Act: "open", Purpose: "read_report", Object: lease.ID, Lease: &lease}
	plain, err := r.keys.Unbox(ctx, who, report.Sealed)
	if err != nil {
		return fmt.Errorf("open report: %w", err)
	}
	var body core.ReportBody
	if err := json.Unmarshal(plain[0], &body); err != nil {
		return fmt.Errorf("read report: %w", err)
	}
	return r.store.ReadReport(ctx, lease, r.parse(body.Message))
}

// Expirer is what Expire needs of the database.
type Expirer interface {
	Tenants(ctx context.Context) ([]core.TenantID, error)
	// ExpireReports deletes the reports that came before a time; an error, and nothing
	// deleted, when the database's clock is not within five minutes of now (REL-14).
	ExpireReports(ctx context.Context, tenant core.TenantID, now, before time.Time) (int, error)
}

// Expire deletes the reports that have been kept long enough, and returns how many.
func Expire(ctx context.Context, store Expirer, now time.Time) (int, error) {
	tenants, err := store.Tenants(ctx)
	if err != nil {
		return 0, err
	}
	total := 0
	for _, t := range tenants {
		n, err := store.ExpireReports(ctx, t, now, now.Add(-KeptFor))
		if err != nil {
			return total, fmt.Errorf("expire reports of tenant %s: %w", t, err)
		}
		total += n
	}
	return total, nil
}
