package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
	"vaguemestre/core/mailbox"
)

// RecallMessages hands each message remembered of a folder to each, by UID, and forgets
// those of every other UIDVALIDITY the folder had: their UIDs mean nothing any more.
// core.ErrStale when the lease has passed on.
func (s *Store) RecallMessages(ctx context.Context, lease mailbox.Lease, folder string, validity uint32, each func(mailbox.Remembered)) error {
	err := s.tx(ctx, lease.Tenant, func(tx pgx.Tx) error {
		if err := holdsMailbox(ctx, tx, lease); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM mailbox_message WHERE tenant_id = $1 AND mailbox_id = $2 AND (folder <> $3 OR validity <> $4)`, lease.Tenant, lease.ID, folder, validity); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `
			SELECT uid, handling, moved, code, attempts, next_at FROM mailbox_message
			WHERE tenant_id = $1 AND mailbox_id = $2 AND folder = $3 AND validity = $4 ORDER BY uid`, lease.Tenant, lease.ID, folder, validity)
		if err != nil {
			return err
		}
		var m mailbox.Remembered
		_, err = pgx.ForEachRow(rows, []any{&m.UID, &m.Handling, &m.Moved, &m.Code, &m.Attempts, &m.Next}, func() error {
			each(m)
			return nil
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("recall messages of mailbox %s: %w", lease.ID, err)
	}
	return nil
}

// RememberMessages notes what became of messages, in the place of what was noted of them
// before; core.ErrStale when the lease has passed on.
func (s *Store) RememberMessages(ctx context.Context, lease mailbox.Lease, folder string, validity uint32, messages []mailbox.Remembered) error {
	var uids, attempts []int64
	var handling, code []string
	var moved []bool
	var next []time.Time
	for _, m := range messages {
		uids, attempts = append(uids, int64(m.UID)), append(attempts, int64(m.Attempts))
		handling, code = append(handling, string(m.Handling)), append(code, m.Code)
		moved, next = append(moved, m.Moved), append(next, m.Next)
	}
	err := s.tx(ctx, lease.Tenant, func(tx pgx.Tx) error {
		if err := holdsMailbox(ctx, tx, lease); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO mailbox_message (tenant_id, mailbox_id, folder, validity, uid, handling, moved, code, attempts, next_at)
			SELECT $1, $2, $3, $4, u.* FROM unnest($5::bigint[], $6::text[], $7::boolean[], $8::text[], $9::bigint[], $10::timestamptz[]) AS u
			ON CONFLICT (tenant_id, mailbox_id, folder, validity, uid) DO UPDATE
			SET handling = excluded.handling, moved = excluded.moved, code = excluded.code, attempts = excluded.attempts, next_at = excluded.next_at`,
			lease.Tenant, lease.ID, folder, validity, uids, handling, moved, code, attempts, next)
		return err
	})
	if err != nil {
		return fmt.Errorf("remember messages of mailbox %s: %w", lease.ID, err)
	}
	return nil
}

// ForgetMessages forgets messages that are in their folder no more; core.ErrStale when
// the lease has passed on.
func (s *Store) ForgetMessages(ctx context.Context, lease mailbox.Lease, folder string, validity uint32, uids []uint32) error {
	numbers := make([]int64, len(uids))
	for i, u := range uids {
		numbers[i] = int64(u)
	}
	err := s.tx(ctx, lease.Tenant, func(tx pgx.Tx) error {
		if err := holdsMailbox(ctx, tx, lease); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM mailbox_message WHERE tenant_id = $1 AND mailbox_id = $2 AND folder = $3 AND validity = $4 AND uid = ANY($5)`, lease.Tenant, lease.ID, folder, validity, numbers)
		return err
	})
	if err != nil {
		return fmt.Errorf("forget messages of mailbox %s: %w", lease.ID, err)
	}
	return nil
}

// holdsMailbox returns core.ErrStale unless the lease still holds; it locks the row.
func holdsMailbox(ctx context.Context, tx pgx.Tx, lease mailbox.Lease) error {
	var n int
	err := tx.QueryRow(ctx, `SELECT 1 FROM mailbox WHERE tenant_id = $1 AND id = $2 AND lease_token = $3 AND lease_until > clock_timestamp() FOR UPDATE`,
		lease.Tenant, lease.ID, lease.Token).Scan(&n)
	if errors.Is(err, pgx.ErrNoRows) {
		return core.ErrStale
	}
	return err
}
