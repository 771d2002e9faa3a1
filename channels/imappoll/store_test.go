package imappoll_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"vaguemestre/channels/channeltest"
	"vaguemestre/core"
	"vaguemestre/core/mailbox"
)

// boxes is a store of one mailbox, fenced like the real one.
type boxes struct {
	mu       sync.Mutex
	box      mailbox.Mailbox
	token    int64
	until    time.Time
	next     time.Time
	attempts int
	asked    bool
	progress []mailbox.Progress
	messages map[uint32]mailbox.Remembered
	validity uint32
	recalled int // how often everything was forgotten for another UIDVALIDITY
	away     bool
	generic  *core.Address
}

var errAway = errors.New("the database is away")

func (b *boxes) Mailboxes(context.Context) ([]mailbox.Mailbox, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	box := b.box
	box.Due, box.Asked = !time.Now().Before(b.next), b.asked
	if !box.Enabled && !box.Asked {
		return nil, nil
	}
	return []mailbox.Mailbox{box}, nil
}

func (b *boxes) LeaseMailbox(_ context.Context, tenant core.TenantID, id core.MailboxID, ttl time.Duration) (mailbox.Lease, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); now.Before(b.until) || now.Before(b.next) {
		return mailbox.Lease{}, core.ErrNotDue
	}
	b.token++
	b.until = time.Now().Add(ttl)
	return mailbox.Lease{Tenant: tenant, ID: id, Token: b.token, Attempts: b.attempts}, nil
}

// held runs f if the lease holds.
func (b *boxes) held(l mailbox.Lease, f func()) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return errAway
	}
	if l.Token != b.token || time.Now().After(b.until) {
		return core.ErrStale
	}
	f()
	return nil
}

func (b *boxes) RenewMailbox(_ context.Context, l mailbox.Lease, ttl time.Duration) error {
	return b.held(l, func() { b.until = time.Now().Add(ttl) })
}

func (b *boxes) ReleaseMailbox(_ context.Context, l mailbox.Lease) error {
	return b.held(l, func() { b.until = time.Time{} })
}

func (b *boxes) SettleMailbox(_ context.Context, l mailbox.Lease, p mailbox.Progress) error {
	return b.held(l, func() {
		b.progress, b.asked = append(b.progress, p), false
		b.attempts, b.next = p.Attempts, time.Time{}
		if p.Fault != "" {
			b.next = time.Now().Add(p.RetryIn)
		}
	})
}

func (b *boxes) RecallMessages(_ context.Context, l mailbox.Lease, _ string, validity uint32, each func(mailbox.Remembered)) error {
	return b.held(l, func() {
		if validity != b.validity {
			b.messages, b.validity = map[uint32]mailbox.Remembered{}, validity
			b.recalled++
		}
		for _, uid := range slices.Sorted(maps.Keys(b.messages)) {
			each(b.messages[uid])
		}
	})
}

func (b *boxes) RememberMessages(_ context.Context, l mailbox.Lease, _ string, _ uint32, messages []mailbox.Remembered) error {
	return b.held(l, func() {
		for _, m := range messages {
			b.messages[m.UID] = m
		}
	})
}

func (b *boxes) ForgetMessages(_ context.Context, l mailbox.Lease, _ string, _ uint32, uids []uint32) error {
	return b.held(l, func() {
		for _, uid := range uids {
			delete(b.messages, uid)
		}
	})
}

func (b *boxes) GenericAddress(context.Context, core.TenantID) (core.Address, error) {
	if b.generic == nil {
		return core.Address{}, core.ErrNotFound
	}
	return *b.generic, nil
}

// remembered is what is remembered now, by handling.
func (b *boxes) remembered(h mailbox.Handling) (out []mailbox.Remembered) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, uid := range slices.Sorted(maps.Keys(b.messages)) {
		if m := b.messages[uid]; m.Handling == h {
			out = append(out, m)
		}
	}
	return out
}

// faults are those that were settled.
func (b *boxes) faults() (out []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.progress {
		if p.Fault != "" {
			out = append(out, p.Fault)
		}
	}
	return out
}

// polls counts those that went well.
func (b *boxes) polls() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.progress {
		if p.Fault == "" && p.Waiting == 0 {
			n++
		}
	}
	return n
}

// secret is that of the mailbox.
type secret struct {
	mu    sync.Mutex
	value []byte
}

func (s *secret) Secret(context.Context, core.TenantID, core.MailboxID) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.value == nil {
		return nil, core.ErrNotFound
	}
	return s.value, nil
}

func (s *secret) Replace(_ context.Context, _ core.TenantID, _ core.MailboxID, change func([]byte) ([]byte, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, err := change(s.value)
	if err == nil {
		s.value = value
	}
	return err
}

// filed is an intake that knows repeats, as the real one does: by address, key and bytes.
type filed struct {
	channeltest.Intake
	mu       sync.Mutex
	once     map[string]int // arrivals by what makes them the same
	accepts  int
	deposits []core.Deposit
	locate   map[string]core.Address
	fail     func(n int, raw []byte) error
	pause    time.Duration
}

func (f *filed) Locate(ctx context.Context, address string) (core.Address, error) {
	if a, ok := f.locate[address]; ok {
		return a, nil
	}
	return f.Intake.Locate(ctx, address)
}

func (f *filed) Accept(ctx context.Context, d core.Deposit, bodies ...core.Body) (core.Receipt, error) {
	raw, err := io.ReadAll(bodies[0].R)
	if err != nil {
		return core.Receipt{}, err
	}
	time.Sleep(f.pause)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.accepts++
	if f.fail != nil {
		if err := f.fail(f.accepts, raw); err != nil {
			return core.Receipt{}, err
		}
	}
	if f.once == nil {
		f.once = map[string]int{}
	}
	sum := sha256.Sum256(raw)
	same := string(d.Address.ID) + "\x00" + d.Key + "\x00" + string(sum[:])
	f.once[same]++
	if f.once[same] == 1 {
		f.deposits = append(f.deposits, d)
	}
	return core.Receipt{Deposit: "d", Repeat: f.once[same] > 1}, ctx.Err()
}

func (f *filed) count() (different, accepts int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.once), f.accepts
}
