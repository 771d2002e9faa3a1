package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
)

// rowRef names the sealed bytes of a body that lie in its own row.
func rowRef(tenant core.TenantID, deposit core.DepositID, n int) core.Ref {
	return core.Ref(fmt.Sprintf("%s%s/%s/%d", core.InRow, tenant, deposit, n))
}

// RowBytes returns the sealed bytes that lie in the row a ref names; core.ErrNotFound
// when there are none.
func (s *Store) RowBytes(ctx context.Context, ref core.Ref) (sealed []byte, err error) {
	name, _ := strings.CutPrefix(string(ref), core.InRow)
	f := strings.Split(name, "/")
	if len(f) != 3 {
		return nil, core.ErrNotFound
	}
	n, err := strconv.Atoi(f[2])
	if err != nil {
		return nil, core.ErrNotFound
	}
	err = s.once(ctx, core.TenantID(f[0]), func(b *pgx.Batch) {
		b.Queue(`SELECT sealed FROM deposit_body WHERE tenant_id = $1 AND deposit_id = $2 AND n = $3 AND sealed IS NOT NULL`, f[0], f[1], n).
			QueryRow(func(r pgx.Row) error { return r.Scan(&sealed) })
	})
	if err != nil {
		return nil, fmt.Errorf("read bytes of a row: %w", one(err))
	}
	return sealed, nil
}
