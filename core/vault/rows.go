package vault

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"

	"vaguemestre/core"
)

// Rows reads sealed bytes that lie in a row of the database.
type Rows interface {
	// RowBytes returns the bytes of the row that ref names; core.ErrNotFound when there are none.
	RowBytes(ctx context.Context, ref core.Ref) ([]byte, error)
}

// WithRows is a placement together with the rows that hold short bodies: whoever reads
// need not know where bytes lie.
type WithRows struct {
	Blobs
	Rows Rows
}

// Open streams what lies in a row or in the placement; core.ErrNotFound when it is not there.
func (w WithRows) Open(ctx context.Context, ref core.Ref) (io.ReadCloser, error) {
	if !strings.HasPrefix(string(ref), core.InRow) {
		return w.Blobs.Open(ctx, ref)
	}
	b, err := w.Rows.RowBytes(ctx, ref)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// Delete forgets bytes that no row names. Those in a row are named by it, and go with it.
func (w WithRows) Delete(ctx context.Context, ref core.Ref) error {
	if strings.HasPrefix(string(ref), core.InRow) {
		return errors.New("bytes in a row go with their row")
	}
	return w.Blobs.Delete(ctx, ref)
}
