package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"vaguemestre/core"
	"vaguemestre/core/intake"
)

// arrivals gathers the deposits that are ready while a commit is under way: they share
// the next one. Where nothing is under way a deposit is committed at once, and where the
// disk is slow a second commit is prepared while the first one waits for it.
type arrivals struct {
	mu      sync.Mutex
	waiting []*arrival
	commits int           // under way
	took    time.Duration // the latest commit
}

// arrival is one deposit to be recorded, and what became of it.
type arrival struct {
	intake.Record
	receipt core.Receipt
	err     error
	done    chan struct{} // closed when receipt and err are there
}

const (
	slowCommit     = 3 * time.Millisecond // that long is the disk's doing
	arrivalsAtOnce = 64                   // that share a commit,
	bytesAtOnce    = 4 << 20              // and the bytes of their bodies
	commitPatience = 20 * time.Second     // whoever waits may be gone by then; the others are not
)

// RecordDeposit commits a deposit, or returns the receipt of the one that was there;
// core.ErrNotFound when its address is no longer in force, and then nothing was written.
// Deposits of a tenant that are ready together share a transaction: one that cannot be
// recorded takes none of the others with it, one whose context ends leaves the others
// to their commit, and when the commit fails none is recorded (REL-03).
func (s *Store) RecordDeposit(ctx context.Context, r intake.Record) (core.Receipt, error) {
	a := &arrival{Record: r, done: make(chan struct{})}
	if s.deposits.join(a) {
		go s.commitArrivals()
	}
	select {
	case <-a.done:
		return a.receipt, a.err
	case <-ctx.Done():
		s.deposits.leave(a)
		return core.Receipt{}, ctx.Err()
	}
}

// join adds to those that wait, and reports whether a commit is to be begun for them.
func (all *arrivals) join(a *arrival) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.waiting = append(all.waiting, a)
	if all.commits == 2 || all.commits == 1 && all.took < slowCommit {
		return false
	}
	all.commits++
	return true
}

// leave gives up one that still waits.
func (all *arrivals) leave(a *arrival) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.waiting = slices.DeleteFunc(all.waiting, func(w *arrival) bool { return w == a })
}

// take takes those that share the next commit, of the tenant that waits longest; nil
// when none waits, and then the commit is no more under way.
func (all *arrivals) take() (batch []*arrival) {
	all.mu.Lock()
	defer all.mu.Unlock()
	size := 0
	rest := all.waiting[:0]
	for _, a := range all.waiting {
		size += a.size()
		if len(batch) > 0 && (a.Tenant != batch[0].Tenant || len(batch) == arrivalsAtOnce || size > bytesAtOnce) {
			rest = append(rest, a)
			continue
		}
		batch = append(batch, a)
	}
	clear(all.waiting[len(rest):])
	all.waiting = rest
	if len(batch) == 0 {
		all.commits--
	}
	return batch
}

// learn notes how long a commit took.
func (all *arrivals) learn(took time.Duration) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.took = took
}

// size is the bytes of the bodies that are to lie in their rows.
func (a *arrival) size() (n int) {
	for _, b := range a.Bodies {
		n += len(b.Bytes)
	}
	return n
}

// commitArrivals commits until none waits.
func (s *Store) commitArrivals() {
	for batch := s.deposits.take(); len(batch) > 0; batch = s.deposits.take() {
		began := time.Now()
		s.commit(batch)
		s.deposits.learn(time.Since(began))
		for _, a := range batch {
			close(a.done)
		}
	}
}

// commit records arrivals of one tenant. What the database finds fault with may be the
// fault of one of them: then each is tried alone.
func (s *Store) commit(batch []*arrival) {
	ctx, cancel := context.WithTimeout(context.Background(), commitPatience)
	defer cancel()
	err := s.record(ctx, batch)
	if faulty(err) && len(batch) > 1 {
		for _, a := range batch {
			fail([]*arrival{a}, s.record(ctx, []*arrival{a}))
		}
		return
	}
	fail(batch, err)
}

// fail tells all of a batch that it was not committed, if so.
func fail(batch []*arrival, err error) {
	if err == nil {
		return
	}
	for _, a := range batch {
		a.err = err
	}
}

// faulty reports an error that says something of the data: nothing was committed, and
// without the row at fault it would have been.
func faulty(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	switch pg.Code[:2] {
	case "22", "23", "40": // data, constraint, rolled back for another's sake
		return true
	}
	return false
}

// record commits arrivals and fills in their receipts; in those whose address ended in
// the meantime, the error.
func (s *Store) record(ctx context.Context, batch []*arrival) error {
	// Who inserts the same fingerprints elsewhere waits for us, or we for them: in one
	// order never both.
	slices.SortFunc(batch, func(a, b *arrival) int { return bytes.Compare(a.Fingerprint, b.Fingerprint) })
	tenant := batch[0].Tenant
	fresh := map[core.DepositID]bool{}
	err := s.once(ctx, tenant, func(b *pgx.Batch) {
		b.Queue(insertArrivals, append(columns(batch), s.now())...).Query(func(rows pgx.Rows) error {
			var id core.DepositID
			_, err := pgx.ForEachRow(rows, []any{&id}, func() error { fresh[id] = true; return nil })
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("commit %d deposits: %w", len(batch), err)
	}
	var repeats []*arrival
	for _, a := range batch {
		a.receipt = core.Receipt{Deposit: a.ID, Received: a.Received}
		if !fresh[a.ID] {
			repeats = append(repeats, a)
		}
	}
	if len(repeats) == 0 {
		return nil
	}
	return s.firstArrivals(ctx, tenant, repeats)
}

// insertArrivals inserts all deposits that are new, and whose address, if they have one, is
// in force at that moment, with their bodies, and returns their ids. The accepting roles may read no body back, not even in RETURNING.
const insertArrivals = `
	WITH live AS (
	  SELECT id FROM deposit_address
	  WHERE tenant_id = $1 AND id = ANY (ARRAY(SELECT DISTINCT nullif(a, '')::uuid FROM unnest($4::text[]) a)) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $22)
	  UNION ALL
	  SELECT id FROM generic_address WHERE tenant_id = $1 AND revoked_at IS NULL
	), fresh AS (
	  INSERT INTO deposit (tenant_id, id, citizen_id, address_id, channel, journey, trust, trust_reason,
	                       fingerprint, received_at, envelope, state)
	  SELECT $1, id, nullif(vault, '')::uuid, CASE WHEN vault <> '' THEN nullif(address, '')::uuid END, channel, journey, trust, reason,
	         fingerprint, received, envelope, 'received'
	  FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[], $8::text[], $9::bytea[], $10::timestamptz[], $11::bytea[])
	       AS d(id, vault, address, channel, journey, trust, reason, fingerprint, received, envelope)
	  WHERE address = '' OR address::uuid IN (SELECT id FROM live)
	  ON CONFLICT (tenant_id, fingerprint) DO NOTHING
	  RETURNING id
	), bodies AS (
	  INSERT INTO deposit_body (tenant_id, deposit_id, n, type, object_id, ref, size, digest, wrapped, meta, sealed)
	  SELECT $1, b.deposit, n, type, object, ref, size, digest, wrapped, meta, sealed
	  FROM unnest($12::uuid[], $13::int[], $14::text[], $15::uuid[], $16::text[], $17::bigint[], $18::bytea[], $19::bytea[], $20::bytea[], $21::bytea[])
	       AS b(deposit, n, type, object, ref, size, digest, wrapped, meta, sealed)
	  WHERE b.deposit IN (SELECT id FROM fresh)
	)
	SELECT id FROM fresh`

// columns turns arrivals into the parameters of insertArrivals.
func columns(batch []*arrival) []any {
	var (
		id, vault, address, channel, journey, reason []string
		trust                                        []int32
		fingerprint, envelope                        [][]byte
		received                                     []time.Time

		of, kind, object, ref          []string
		n                              []int32
		size                           []int64
		digest, wrapped, meta, present [][]byte
	)
	for _, a := range batch {
		id, vault, address = append(id, string(a.ID)), append(vault, string(a.Address.Vault)), append(address, string(a.Address.ID))
		channel, journey = append(channel, a.Channel), append(journey, string(a.Journey))
		trust, reason = append(trust, int32(a.Trust)), append(reason, a.TrustReason)
		fingerprint, received, envelope = append(fingerprint, a.Fingerprint), append(received, a.Received), append(envelope, a.Envelope)
		for i, b := range a.Bodies {
			where := b.Sealed.Ref
			if b.Bytes != nil {
				where = rowRef(a.Tenant, a.ID, i+1)
			}
			of, n, kind = append(of, string(a.ID)), append(n, int32(i+1)), append(kind, b.Type)
			object, ref, size = append(object, string(b.Sealed.Object)), append(ref, string(where)), append(size, b.Sealed.Size)
			digest, wrapped, meta, present = append(digest, b.Digest), append(wrapped, b.Sealed.Wrapped), append(meta, b.Meta), append(present, b.Bytes)
		}
	}
	return []any{batch[0].Tenant, id, vault, address, channel, journey, trust, reason, fingerprint, received, envelope,
		of, n, kind, object, ref, size, digest, wrapped, meta, present}
}

// firstArrivals gives repeats the receipts of the deposits that were there. What is
// neither new nor there came to an address that is no longer in force.
func (s *Store) firstArrivals(ctx context.Context, tenant core.TenantID, repeats []*arrival) error {
	var fingerprints [][]byte
	for _, a := range repeats {
		fingerprints = append(fingerprints, a.Fingerprint)
	}
	first := map[string]core.Receipt{}
	err := s.once(ctx, tenant, func(b *pgx.Batch) {
		b.Queue(`SELECT fingerprint, id, received_at FROM deposit WHERE tenant_id = $1 AND fingerprint = ANY($2)`, tenant, fingerprints).
			Query(func(rows pgx.Rows) error {
				var fingerprint []byte
				r := core.Receipt{Repeat: true}
				_, err := pgx.ForEachRow(rows, []any{&fingerprint, &r.Deposit, &r.Received}, func() error { first[string(fingerprint)] = r; return nil })
				return err
			})
	})
	if err != nil {
		return fmt.Errorf("look for first arrivals: %w", err)
	}
	for _, a := range repeats {
		r, ok := first[string(a.Fingerprint)]
		if !ok {
			a.err = fmt.Errorf("record deposit: its address: %w", core.ErrNotFound)
		}
		a.receipt = r
	}
	return nil
}
