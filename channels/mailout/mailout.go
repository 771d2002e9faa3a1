// Package mailout is the way out: it takes letters that are due from the outbox, has them
// composed, and hands them to each town's relay, until the relay has them or five days
// are over. A letter that was sent and could not be noted as sent is sent again, with the
// same Message-ID.
package mailout

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"vaguemestre/channels/mailout/dkim"
	"vaguemestre/channels/mailout/submission"
	"vaguemestre/channels/mailout/typeset"
	"vaguemestre/core"
)

// Outbox is the truth about letters: leases with fencing, attempts counted before the work.
type Outbox interface {
	// ClaimLetters leases up to n letters that are due for ttl, none of the towns except.
	ClaimLetters(ctx context.Context, n int, ttl time.Duration, except ...core.TenantID) ([]core.LetterLease, error)
	// RenewLetter prolongs a lease; core.ErrStale when it has passed on.
	RenewLetter(ctx context.Context, l core.LetterLease, ttl time.Duration) error
	// SettleLetter writes how an attempt ended and gives the lease back; core.ErrStale likewise.
	SettleLetter(ctx context.Context, l core.LetterLease, o core.LetterOutcome) error
	// WatchLetters calls due whenever letters may be due, until ctx ends.
	WatchLetters(ctx context.Context, due func()) error
}

// Composer writes a letter. A *core.Refusal cancels it: there is nobody to send it to, or
// nothing to say. Any other error means later.
type Composer interface {
	Compose(ctx context.Context, l core.LetterLease) (core.Letter, error)
}

// Senders knows how each town sends.
type Senders interface {
	// Sender gives a town's settings in force; Relay.Host is "" when it sends nothing.
	Sender(ctx context.Context, tenant core.TenantID) (Sender, error)
}

// Sender is how a town sends.
type Sender struct {
	typeset.Sender
	Relay submission.Relay
	Sign  dkim.Signer // without keys, letters go unsigned
	// ReturnPath is where reports on a letter's delivery go; nil, or "", for nowhere.
	ReturnPath func(core.LetterID) string
}

// Config is how letters are sent. Its zero value is good.
type Config struct {
	Submission submission.Config
	Now        func() time.Time // time.Now when nil

	Concurrency int           // letters at a time; 24 when zero
	PerTown     int           // of one town before others are preferred, and taken from the outbox at once; 8 when zero
	Memory      int64         // bytes of messages held at a time; 192 MiB when zero
	Largest     int64         // bytes of one message; 96 MiB when zero, never beyond Memory
	Lease       time.Duration // renewed while a letter is worked on; a minute when zero
	Attempt     time.Duration // for all of one attempt; 30 minutes when zero
	Poll        time.Duration // how often is asked for letters that nobody announced; 5 s when zero
	Settings    time.Duration // a town's settings are taken as they were for; 2 s when zero
	Stop        time.Duration // what has begun may take that long once Run's context ended; 12 s when zero

	Sessions   int           // with one relay at a time; 3 when zero, which is what Exchange Online allows
	PerSession int           // messages; 100 when zero
	Idle       time.Duration // a session that nobody uses ends after; 20 s when zero

	// Seen is told of every attempt's outcome, Rests of every relay that is left alone for
	// a while, and why; for the metrics.
	Seen  func(core.LetterKind, core.LetterOutcome)
	Rests func(code string)
}

func (c Config) withDefaults() Config {
	defaultTo(&c.Concurrency, 24)
	defaultTo(&c.PerTown, 8)
	defaultTo(&c.Memory, 192<<20)
	defaultTo(&c.Largest, 96<<20)
	c.Largest = min(c.Largest, c.Memory)
	defaultTo(&c.Lease, time.Minute)
	defaultTo(&c.Attempt, 30*time.Minute)
	defaultTo(&c.Poll, 5*time.Second)
	defaultTo(&c.Settings, 2*time.Second)
	defaultTo(&c.Stop, 12*time.Second)
	defaultTo(&c.Sessions, 3)
	defaultTo(&c.PerSession, 100)
	defaultTo(&c.Idle, 20*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Seen == nil {
		c.Seen = func(core.LetterKind, core.LetterOutcome) {}
	}
	if c.Rests == nil {
		c.Rests = func(string) {}
	}
	return c
}

func defaultTo[T comparable](value *T, or T) {
	var zero T
	if *value == zero {
		*value = or
	}
}

// Mailer sends letters. Any number of them may share an outbox.
type Mailer struct {
	cfg      Config
	outbox   Outbox
	composer Composer
	senders  Senders
	log      *slog.Logger
	memory   *semaphore.Weighted
	wake     chan struct{} // holds one

	mu      sync.Mutex
	relays  map[core.TenantID]*relay
	sending map[core.TenantID]int // letters in hand
	inHand  int
}

// New builds a mailer; Run starts it.
func New(cfg Config, outbox Outbox, composer Composer, senders Senders, log *slog.Logger) *Mailer {
	cfg = cfg.withDefaults()
	return &Mailer{
		cfg: cfg, outbox: outbox, composer: composer, senders: senders, log: log,
		memory: semaphore.NewWeighted(cfg.Memory), wake: make(chan struct{}, 1),
		relays: map[core.TenantID]*relay{}, sending: map[core.TenantID]int{},
	}
}

// Run sends until ctx ends; what has begun then has Config.Stop to finish, and what does
// not is left to be sent again. It returns nil.
func (m *Mailer) Run(ctx context.Context) error {
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var all, letters sync.WaitGroup
	all.Go(func() { m.watch(ctx) })
	all.Go(func() { m.closeIdle(ctx) })
	for ctx.Err() == nil {
		if !m.claim(ctx, working, &letters) {
			m.wait(ctx)
		}
	}
	stop := time.AfterFunc(m.cfg.Stop, cancel)
	letters.Wait()
	stop.Stop()
	all.Wait()
	m.closeAll()
	return nil
}

// claim takes letters in hand, and reports whether there may be more.
func (m *Mailer) claim(ctx, working context.Context, letters *sync.WaitGroup) bool {
	n, except := m.capacity()
	if n == 0 {
		return false
	}
	leases, err := m.outbox.ClaimLetters(ctx, n, m.cfg.Lease, except...)
	if err != nil && ctx.Err() == nil {
		m.log.Error("claim letters", "cause", core.Cause(err))
	}
	for _, l := range leases {
		m.take(l.Tenant, 1)
		letters.Go(func() {
			defer m.ring()
			defer m.take(l.Tenant, -1)
			m.attempt(working, l)
		})
	}
	return err == nil && len(leases) == n
}

// capacity is how many letters may be taken now, and of which towns none: those whose
// relay rests, and those that have their share in hand.
func (m *Mailer) capacity() (n int, except []core.TenantID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for tenant, r := range m.relays {
		if resting, _ := r.rest(m.cfg.Now()); resting > 0 {
			except = append(except, tenant)
		}
	}
	for tenant, in := range m.sending {
		if in >= m.cfg.PerTown {
			except = append(except, tenant)
		}
	}
	return max(0, min(m.cfg.Concurrency-m.inHand, m.cfg.PerTown)), except
}

func (m *Mailer) take(tenant core.TenantID, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inHand += n
	if m.sending[tenant] += n; m.sending[tenant] == 0 {
		delete(m.sending, tenant)
	}
}

// ring makes wait return.
func (m *Mailer) ring() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *Mailer) wait(ctx context.Context) {
	t := time.NewTimer(m.cfg.Poll)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-m.wake:
	case <-t.C:
	}
}

// watch listens for letters that become due; without it they are found by asking.
func (m *Mailer) watch(ctx context.Context) {
	for ctx.Err() == nil {
		if err := m.outbox.WatchLetters(ctx, m.ring); err != nil && ctx.Err() == nil {
			m.log.Warn("watch letters", "cause", core.Cause(err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(m.cfg.Poll):
		}
	}
}
