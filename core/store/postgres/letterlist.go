package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"vaguemestre/core"
)

// LetterRow is a letter as lists show it.
type LetterRow struct {
	ID       core.LetterID    `json:"id"`
	Kind     core.LetterKind  `json:"kind"`
	State    core.LetterState `json:"state"`
	Code     string           `json:"code,omitempty"`
	Status   string           `json:"status,omitempty"`
	Citizen  core.CitizenID   `json:"citizen,omitempty"`
	Object   string           `json:"object"`
	Once     string           `json:"once"`
	Attempts int              `json:"attempts"`
	Created  time.Time        `json:"created"`
	Next     *time.Time       `json:"next_try,omitempty"` // while it waits
	Settled  *time.Time       `json:"settled,omitempty"`
}

// Letters lists the tenant's letters, oldest first; those of one vault when it is named.
// Only plain columns: nothing is opened.
func (s *Store) Letters(ctx context.Context, tenant core.TenantID, vault core.CitizenID) (out []LetterRow, err error) {
	err = s.tx(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT id, kind, state, coalesce(code,''), coalesce(status,''), coalesce(citizen_id::text,''), object_id, once, attempts, created_at,
			       CASE WHEN state = 'waiting' THEN next_at END, settled_at
			FROM letter WHERE tenant_id = $1 AND ($2 = '' OR citizen_id::text = $2) ORDER BY created_at, id`, tenant, string(vault))
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (l LetterRow, err error) {
			return l, r.Scan(&l.ID, &l.Kind, &l.State, &l.Code, &l.Status, &l.Citizen, &l.Object, &l.Once, &l.Attempts, &l.Created, &l.Next, &l.Settled)
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list letters: %w", err)
	}
	return out, nil
}

// WaitingLetters counts the letters of all towns that wait, and says since when the oldest
// does; the zero time when none waits.
func (s *Store) WaitingLetters(ctx context.Context) (n int, since time.Time, err error) {
	err = s.eachTenant(ctx, func(tenant core.TenantID, tx pgx.Tx) (bool, error) {
		var here int
		var oldest *time.Time
		err := tx.QueryRow(ctx, `SELECT count(*), min(created_at) FROM letter WHERE tenant_id = $1 AND state = 'waiting'`, tenant).Scan(&here, &oldest)
		if n += here; oldest != nil && (since.IsZero() || oldest.Before(since)) {
			since = *oldest
		}
		return false, err
	})
	if err != nil && !errors.Is(err, core.ErrNotFound) {
		return 0, time.Time{}, fmt.Errorf("count waiting letters: %w", err)
	}
	return n, since, nil
}

// RetryLetter makes a letter that waits, or was given up, due now; core.ErrNotFound for
// any other.
func (s *Store) RetryLetter(ctx context.Context, tenant core.TenantID, id core.LetterID) error {
	return s.moveLetter(ctx, tenant, id, `state = 'waiting', next_at = $3, settled_at = NULL`, `state IN ('waiting','refused','failed','bounced')`)
}

// CancelLetter ends a letter that waits and that nobody is sending just now;
// core.ErrNotFound for any other.
func (s *Store) CancelLetter(ctx context.Context, tenant core.TenantID, id core.LetterID) error {
	return s.moveLetter(ctx, tenant, id, `state = 'cancelled', code = 'by_hand', settled_at = $3`,
		`state = 'waiting' AND (lease_until IS NULL OR lease_until <= clock_timestamp())`)
}

func (s *Store) moveLetter(ctx context.Context, tenant core.TenantID, id core.LetterID, set, where string) error {
	err := s.tx(ctx, tenant, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE letter SET `+set+` WHERE tenant_id = $1 AND id::text = $2 AND `+where, tenant, string(id), s.now())
		if err == nil && tag.RowsAffected() == 0 {
			err = core.ErrNotFound
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("letter %s: %w", id, err)
	}
	return nil
}

// WatchLetters calls due whenever letters were ordered or brought forward, until ctx
// ends. It is a bell: what commits while nobody listens is found by asking.
func (s *Store) WatchLetters(ctx context.Context, due func()) error {
	c, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig.Copy())
	if err != nil {
		return fmt.Errorf("watch letters: %w", err)
	}
	defer c.Close(context.WithoutCancel(ctx))
	if _, err := c.Exec(ctx, `LISTEN vaguemestre_letter`); err != nil {
		return fmt.Errorf("watch letters: %w", err)
	}
	due()
	for {
		if _, err := c.WaitForNotification(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("watch letters: %w", err)
		}
		due()
	}
}
