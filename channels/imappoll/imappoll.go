// Package imappoll empties mailboxes: it takes each message in and moves it once that is
// durable. It expunges nothing but what it has copied elsewhere. Any number of processes
// may run it: one at a time holds a mailbox.
package imappoll

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"vaguemestre/channels"
	"vaguemestre/core"
	"vaguemestre/core/mailbox"
)

// Config is how mailboxes are emptied. Its zero value is good but for what it names as
// needed.
type Config struct {
	MaxBytes  int64         // largest message taken in; 50 MiB when zero
	MaxHeader int           // largest header; 256 KiB when zero
	Poll      time.Duration // how often is looked where the server tells nothing by itself; a minute when zero
	Idle      time.Duration // how long the server may be listened to without a word of ours, below 29 minutes; 9 minutes when zero
	Refresh   time.Duration // how often the list of mailboxes is read; 2 s when zero
	Lease     time.Duration // how long a mailbox is held before another poller may take it; 30 s when zero
	Patience  time.Duration // a server's time to answer; a minute when zero
	Rest      time.Duration // before the first try after a fault; it doubles; 2 s when zero
	InFlight  int           // messages of a mailbox being recorded at once; 32 when zero
	Plaintext bool          // servers on this machine may be spoken to without TLS
	Roots     *x509.CertPool
	Now       func() time.Time
	Seen      func(what, detail string) // told what happens, for the metrics
}

// What Config.Seen is told of.
const (
	SeenSession = "session" // ended; detail: the fault, or "ok"
	SeenMessage = "message" // detail: taken, refused, failed
	SeenMoved   = "moved"   // detail: done, refused, failed
)

func (c *Config) defaults() {
	or(&c.MaxBytes, 50<<20)
	or(&c.MaxHeader, 256<<10)
	or(&c.Poll, time.Minute)
	or(&c.Idle, 9*time.Minute)
	or(&c.Refresh, 2*time.Second)
	or(&c.Lease, 30*time.Second)
	or(&c.Patience, time.Minute)
	or(&c.Rest, 2*time.Second)
	or(&c.InFlight, 32)
	c.Idle = min(c.Idle, 28*time.Minute) // RFC 2177 has servers hang up after 30
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Seen == nil {
		c.Seen = func(string, string) {}
	}
}

func or[T comparable](v *T, def T) {
	var none T
	if *v == none {
		*v = def
	}
}

// Store keeps mailboxes, and what became of messages that stay in them. All that takes a
// lease answers core.ErrStale, and writes nothing, once it has passed to another.
type Store interface {
	// Mailboxes lists those of all towns that are to be emptied or tried.
	Mailboxes(ctx context.Context) ([]mailbox.Mailbox, error)
	// LeaseMailbox takes one; core.ErrNotDue when another holds it, or it has to rest.
	LeaseMailbox(ctx context.Context, tenant core.TenantID, id core.MailboxID, ttl time.Duration) (mailbox.Lease, error)
	RenewMailbox(ctx context.Context, lease mailbox.Lease, ttl time.Duration) error
	SettleMailbox(ctx context.Context, lease mailbox.Lease, p mailbox.Progress) error
	ReleaseMailbox(ctx context.Context, lease mailbox.Lease) error
	// RecallMessages hands over what is remembered of a folder under its UIDVALIDITY, and
	// forgets all else of the mailbox.
	RecallMessages(ctx context.Context, lease mailbox.Lease, folder string, validity uint32, each func(mailbox.Remembered)) error
	RememberMessages(ctx context.Context, lease mailbox.Lease, folder string, validity uint32, messages []mailbox.Remembered) error
	ForgetMessages(ctx context.Context, lease mailbox.Lease, folder string, validity uint32, uids []uint32) error
	// GenericAddress is a town's generic address; core.ErrNotFound when it has none.
	GenericAddress(ctx context.Context, tenant core.TenantID) (core.Address, error)
}

// Secrets are what one signs in to mailboxes with.
type Secrets interface {
	Secret(ctx context.Context, tenant core.TenantID, id core.MailboxID) ([]byte, error)
	// Replace keeps what change makes of a secret; core.ErrStale when somebody set another.
	Replace(ctx context.Context, tenant core.TenantID, id core.MailboxID, change func([]byte) ([]byte, error)) error
}

// Channel empties mailboxes.
type Channel struct {
	cfg     Config
	intake  channels.Intake
	store   Store
	secrets Secrets
	tokens  *tokens
	log     *slog.Logger
}

// New builds the channel.
func New(cfg Config, intake channels.Intake, store Store, secrets Secrets, log *slog.Logger) *Channel {
	cfg.defaults()
	return &Channel{cfg: cfg, intake: intake, store: store, secrets: secrets, tokens: newTokens(cfg, secrets), log: log}
}

// Name is stored with every deposit.
func (c *Channel) Name() string { return core.ChannelIMAP }

// poller is the goroutine of one mailbox.
type poller struct {
	box   mailbox.Mailbox
	stop  context.CancelFunc
	asked chan struct{} // somebody wants it looked at now
	ended chan struct{}
}

// Run empties mailboxes until ctx ends, and then lets the messages under way be recorded
// and moved within reason.
func (c *Channel) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	running := map[core.MailboxID]*poller{}
	tick := time.NewTicker(c.cfg.Refresh)
	defer tick.Stop()
	for {
		boxes, err := c.store.Mailboxes(ctx)
		if err != nil && ctx.Err() == nil {
			c.log.Error("mailboxes cannot be listed", "cause", core.Cause(err))
		}
		if err == nil {
			c.arrange(ctx, &all, running, boxes)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// arrange has one poller run for each mailbox that is due, as it is set up now.
func (c *Channel) arrange(ctx context.Context, all *sync.WaitGroup, running map[core.MailboxID]*poller, boxes []mailbox.Mailbox) {
	wanted := map[core.MailboxID]mailbox.Mailbox{}
	for _, b := range boxes {
		wanted[b.ID] = b
	}
	for id, p := range running {
		select {
		case <-p.ended:
			delete(running, id)
			continue
		default:
		}
		b, there := wanted[id]
		if !there || b.Settings != p.box.Settings || b.Enabled != p.box.Enabled {
			p.stop()
		} else if b.Asked {
			select {
			case p.asked <- struct{}{}:
			default:
			}
		}
	}
	for _, b := range boxes {
		if running[b.ID] != nil || !b.Due {
			continue
		}
		p := &poller{box: b, asked: make(chan struct{}, 1), ended: make(chan struct{})}
		var own context.Context
		own, p.stop = context.WithCancel(ctx)
		running[b.ID] = p
		all.Go(func() {
			defer close(p.ended)
			defer p.stop()
			c.tend(own, p)
		})
	}
}

// tend holds the mailbox, empties it for as long as nothing goes wrong, and notes what
// did.
func (c *Channel) tend(ctx context.Context, p *poller) {
	log := c.log.With("mailbox", p.box.ID)
	lease, err := c.store.LeaseMailbox(ctx, p.box.Tenant, p.box.ID, c.cfg.Lease)
	if err != nil {
		if !errors.Is(err, core.ErrNotDue) && ctx.Err() == nil {
			log.Error("mailbox cannot be held", "cause", core.Cause(err))
		}
		return
	}
	work, lost := c.hold(ctx, lease)
	s := &session{Channel: c, box: p.box, lease: lease, asked: p.asked, work: work, log: log, woken: make(chan struct{}, 1)}
	err = s.run(ctx)
	stale := work.Err() != nil && ctx.Err() == nil
	lost()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	switch code := faultCode(err); {
	case stale:
		log.Warn("mailbox passed to another poller")
	case err != nil && ctx.Err() == nil:
		c.cfg.Seen(SeenSession, code)
		attempts := lease.Attempts
		if s.took.Load() {
			attempts = 0 // it goes on, if in pieces
		}
		rest := c.rest(code, attempts)
		log.Warn("mailbox is left for a while", "fault", code, "rest", rest.Round(time.Second))
		if err := c.store.SettleMailbox(end, lease, mailbox.Progress{Waiting: s.waiting, Fault: code, Attempts: attempts + 1, RetryIn: rest}); err != nil {
			log.Error("fault of mailbox not noted", "cause", core.Cause(err))
		}
	default:
		c.cfg.Seen(SeenSession, "ok")
	}
	if err := c.store.ReleaseMailbox(end, lease); err != nil && !stale && !errors.Is(err, core.ErrStale) {
		log.Error("mailbox not released", "cause", core.Cause(err))
	}
}

// faultCode is what a mailbox shows of an error.
func faultCode(err error) string {
	var f *fault
	switch {
	case errors.As(err, &f):
		return f.code
	case errors.Is(err, core.ErrStale):
		return mailbox.FaultCut
	}
	return mailbox.FaultOurs
}

// Longest rests after faults, and the shortest after those that a server may count as
// attacks.
const (
	lastRest  = 10 * time.Minute
	loginRest = time.Minute
)

// rest doubles with the tries that failed, and differs from mailbox to mailbox, so that
// a server that comes back is not stormed.
func (c *Channel) rest(code string, attempts int) time.Duration {
	d := c.cfg.Rest
	if code == mailbox.FaultLogin || code == mailbox.FaultToken {
		d = max(d, min(loginRest, 30*c.cfg.Rest))
	}
	d = min(d<<min(attempts, 20), lastRest)
	return d/2 + rand.N(d)
}

// hold renews the lease until done is called. The context it gives is that of work under
// way: it ends a little after ctx does, and at once when the lease is lost.
func (c *Channel) hold(ctx context.Context, lease mailbox.Lease) (work context.Context, done func()) {
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(grace, func() { cancel(context.Canceled) })
	})
	var renewing sync.WaitGroup
	renewing.Go(func() {
		tick := time.NewTicker(c.cfg.Lease / 3)
		defer tick.Stop()
		for last := time.Now(); ; {
			select {
			case <-work.Done():
				return
			case <-tick.C:
			}
			asking, enough := context.WithTimeout(work, c.cfg.Lease/3)
			began := time.Now()
			err := c.store.RenewMailbox(asking, lease, c.cfg.Lease)
			enough()
			switch {
			case err == nil:
				last = began
			case errors.Is(err, core.ErrStale), time.Since(last) > c.cfg.Lease*2/3:
				cancel(core.ErrStale)
			}
		}
	})
	return work, func() {
		stop()
		cancel(context.Canceled)
		renewing.Wait()
	}
}

// grace is for the messages under way when the channel stops.
const grace = 10 * time.Second
