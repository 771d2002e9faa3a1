// Package ledger owns the accounts: that all that was accepted is somewhere, that every
// blob a row names is there and whole, and that blobs no row names go away.
package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"vaguemestre/core"
)

// Day is one channel's account of one day (REL-17).
type Day struct {
	Tenant   core.TenantID  `json:"tenant"`
	Channel  string         `json:"channel"`
	Day      string         `json:"day"`
	Received int            `json:"received"` // deposits
	Deposits map[string]int `json:"deposits"` // by state
	Seen     int            `json:"seen"`     // pieces counted when the deposits were opened
	Pieces   map[string]int `json:"pieces"`   // by state
	Gap      int            `json:"gap"`      // what is missing or too many, in all
}

// close computes the gap.
func (d *Day) close() {
	d.Gap = abs(d.Received-sum(d.Deposits)) + abs(d.Seen-sum(d.Pieces))
}

func sum(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

func abs(n int) int { return max(n, -n) }

// Blob is sealed bytes that a row names.
type Blob struct {
	Ref    core.Ref
	Digest []byte // SHA-256 of the sealed bytes
	Owner  string // "body of deposit …", "piece …"
}

// Books is what the ledger reads.
type Books interface {
	Tenants(ctx context.Context) ([]core.TenantID, error)
	Days(ctx context.Context, tenant core.TenantID) ([]Day, error)
	// Empty names documents without a filed piece: content nobody deposited.
	Empty(ctx context.Context, tenant core.TenantID) ([]core.DocumentID, error)
	Blobs(ctx context.Context, tenant core.TenantID) ([]Blob, error)
}

// Shelves is where blobs lie.
type Shelves interface {
	Open(ctx context.Context, ref core.Ref) (io.ReadCloser, error)
}

// Report is what a check found.
type Report struct {
	Days   []Day
	Blobs  int
	Faults []string // one sentence each, ids only
}

// Closed reports whether the accounts close.
func (r Report) Closed() bool { return len(r.Faults) == 0 }

// Check closes the ledger of every tenant and reads every blob that a row names. It
// needs no key: wholeness is that of the sealed bytes.
func Check(ctx context.Context, books Books, shelves Shelves) (Report, error) {
	var r Report
	tenants, err := books.Tenants(ctx)
	if err != nil {
		return r, err
	}
	for _, t := range tenants {
		if err := r.tenant(ctx, books, shelves, t); err != nil {
			return r, err
		}
	}
	return r, nil
}

func (r *Report) tenant(ctx context.Context, books Books, shelves Shelves, t core.TenantID) error {
	days, err := books.Days(ctx, t)
	if err != nil {
		return err
	}
	for _, d := range days {
		d.close()
		if d.Gap != 0 {
			r.fault("tenant %s, channel %s, %s: the ledger does not close, gap %d", t, d.Channel, d.Day, d.Gap)
		}
		r.Days = append(r.Days, d)
	}
	empty, err := books.Empty(ctx, t)
	if err != nil {
		return err
	}
	for _, id := range empty {
		r.fault("document %s: no piece was filed in it", id)
	}
	blobs, err := books.Blobs(ctx, t)
	if err != nil {
		return err
	}
	for _, b := range blobs {
		r.Blobs++
		if fault := whole(ctx, shelves, b); fault != "" {
			r.fault("%s: %s", b.Owner, fault)
		}
	}
	return ctx.Err()
}

func (r *Report) fault(format string, args ...any) {
	r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
}

func whole(ctx context.Context, shelves Shelves, b Blob) string {
	f, err := shelves.Open(ctx, b.Ref)
	if errors.Is(err, core.ErrNotFound) {
		return "its blob is missing"
	}
	if err != nil {
		return "its blob cannot be opened"
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "its blob cannot be read to the end"
	}
	if !bytes.Equal(h.Sum(nil), b.Digest) {
		return "its blob is not what was stored"
	}
	return ""
}

// orphanAge is how long a blob without a row is left alone: far longer than any
// acceptance or opening may take between its bytes and its row.
const orphanAge = 24 * time.Hour

// Rows says which blobs rows name.
type Rows interface {
	Tenants(ctx context.Context) ([]core.TenantID, error)
	// Unnamed returns those of refs that no row names.
	Unnamed(ctx context.Context, tenant core.TenantID, refs []core.Ref) ([]core.Ref, error)
}

// Store is a blob store that can be swept.
type Store interface {
	Old(ctx context.Context, tenant core.TenantID, before time.Time, each func(core.Ref) error) error
	Delete(ctx context.Context, ref core.Ref) error
}

// Collect deletes blobs older than a day that no row names (REL-02), and returns how
// many. A blob that a row names is never touched.
func Collect(ctx context.Context, rows Rows, store Store, now time.Time) (deleted int, err error) {
	tenants, err := rows.Tenants(ctx)
	if err != nil {
		return 0, err
	}
	for _, t := range tenants {
		var batch []core.Ref
		flush := func() error {
			orphans, err := rows.Unnamed(ctx, t, batch)
			batch = batch[:0]
			if err != nil {
				return err
			}
			for _, ref := range orphans {
				if err := store.Delete(ctx, ref); err != nil {
					return err
				}
				deleted++
			}
			return nil
		}
		err := store.Old(ctx, t, now.Add(-orphanAge), func(ref core.Ref) error {
			if batch = append(batch, ref); len(batch) < 1000 {
				return nil
			}
			return flush()
		})
		if err == nil {
			err = flush()
		}
		if err != nil {
			return deleted, fmt.Errorf("collect orphans of tenant %s: %w", t, err)
		}
	}
	return deleted, nil
}
