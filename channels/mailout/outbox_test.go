package mailout_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"vaguemestre/channels/mailout"
	"vaguemestre/channels/mailout/relaytest"
	"vaguemestre/channels/mailout/submission"
	"vaguemestre/channels/mailout/typeset"
	"vaguemestre/core"
)

// outbox keeps letters in memory as the real one keeps them in rows.
type outbox struct {
	mu       sync.Mutex
	rows     []*row
	bell     func()
	claims   int
	failures int // of SettleLetter, still to come
}

type row struct {
	lease   core.LetterLease
	outcome core.LetterOutcome // the last
	due     time.Time
	settled int
}

func (o *outbox) post(tenant core.TenantID, n int, kinds ...core.LetterKind) (ids []core.LetterID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	kind := core.LetterReceipt
	if len(kinds) > 0 {
		kind = kinds[0]
	}
	for range n {
		id := core.NewID[core.LetterID]()
		ids = append(ids, id)
		o.rows = append(o.rows, &row{
			lease:   core.LetterLease{LetterOrder: core.LetterOrder{ID: id, Tenant: tenant, Kind: kind}},
			outcome: core.LetterOutcome{State: core.LetterWaiting},
		})
	}
	if o.bell != nil {
		o.bell()
	}
	return ids
}

func (o *outbox) ClaimLetters(_ context.Context, n int, ttl time.Duration, except ...core.TenantID) (out []core.LetterLease, _ error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.claims++
	now := time.Now()
	for _, r := range o.rows {
		if len(out) == n {
			break
		}
		if r.outcome.State != core.LetterWaiting || now.Before(r.due) || now.Before(r.lease.Until) || slices.Contains(except, r.lease.Tenant) {
			continue
		}
		r.lease.Attempt++
		r.lease.Token++
		r.lease.Until = now.Add(ttl)
		if r.lease.First.IsZero() {
			r.lease.First = now
		}
		out = append(out, r.lease)
	}
	return out, nil
}

func (o *outbox) of(l core.LetterLease) (*row, error) {
	for _, r := range o.rows {
		if r.lease.ID == l.ID && r.lease.Token == l.Token && r.outcome.State == core.LetterWaiting && time.Now().Before(r.lease.Until) {
			return r, nil
		}
	}
	return nil, core.ErrStale
}

func (o *outbox) RenewLetter(_ context.Context, l core.LetterLease, ttl time.Duration) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	r, err := o.of(l)
	if err == nil {
		r.lease.Until = time.Now().Add(ttl)
	}
	return err
}

func (o *outbox) SettleLetter(_ context.Context, l core.LetterLease, to core.LetterOutcome) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failures > 0 {
		o.failures--
		return errors.New("database is away")
	}
	r, err := o.of(l)
	if err != nil {
		return err
	}
	r.outcome, r.lease.Until, r.due = to, time.Time{}, time.Now().Add(to.RetryIn)
	r.settled++
	return nil
}

func (o *outbox) WatchLetters(ctx context.Context, due func()) error {
	o.mu.Lock()
	o.bell = due
	o.mu.Unlock()
	<-ctx.Done()
	return nil
}

// row is how a letter stands.
func (o *outbox) row(id core.LetterID) row {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range o.rows {
		if r.lease.ID == id {
			return *r
		}
	}
	return row{}
}

// count counts letters by state and code.
func (o *outbox) count() map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := map[string]int{}
	for _, r := range o.rows {
		name := string(r.outcome.State)
		if r.outcome.Code != "" {
			name += " " + r.outcome.Code
		}
		out[name]++
	}
	return out
}

// office composes, and knows how towns send.
type office struct {
	mu      sync.Mutex
	senders map[core.TenantID]mailout.Sender
	write   func(core.LetterLease) (core.Letter, error)
}

func (o *office) Sender(_ context.Context, tenant core.TenantID) (mailout.Sender, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	sender, known := o.senders[tenant]
	if !known && tenant == "locked" {
		return mailout.Sender{}, errors.New("the secret does not open")
	}
	return sender, nil
}

func (o *office) set(tenant core.TenantID, change func(*mailout.Sender)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.senders[tenant]
	change(&s)
	o.senders[tenant] = s
}

func (o *office) Compose(_ context.Context, l core.LetterLease) (core.Letter, error) {
	if o.write != nil {
		return o.write(l)
	}
	return letter(l), nil
}

func letter(l core.LetterLease) core.Letter {
	return core.Letter{ID: l.ID, Tenant: l.Tenant, Kind: l.Kind, To: "camille@exemple.test", Subject: "Accusé de réception", Text: "Bien reçu.\n", Language: "fr", Automatic: true, Date: l.First}
}

// sending is a mailer that runs, with all it stands on.
type sending struct {
	*outbox
	*office
	stop func() // ends Run, and waits
	took time.Duration
	seen sync.Map // outcome states → true
}

func at(r *relaytest.Relay) mailout.Sender {
	host, port, _ := net.SplitHostPort(r.Addr)
	return mailout.Sender{Sender: typeset.Sender{Name: "Ville", Address: "demarches@ville.test"}, Relay: submission.Relay{Host: host, Port: port, User: r.User, Password: r.Password}}
}

// start runs a mailer for towns with one relay each.
func start(t *testing.T, cfg mailout.Config, relays map[core.TenantID]*relaytest.Relay) *sending {
	t.Helper()
	s := &sending{outbox: &outbox{}, office: &office{senders: map[core.TenantID]mailout.Sender{}}}
	for tenant, r := range relays {
		s.senders[tenant] = at(r)
	}
	cfg.Poll, cfg.Settings = 20*time.Millisecond, time.Nanosecond
	cfg.Seen = func(_ core.LetterKind, o core.LetterOutcome) { s.seen.Store(o.State, true) }
	m := mailout.New(cfg, s.outbox, s.office, s.office, slog.New(slog.NewTextHandler(io.Discard, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		began := time.Now()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		s.took = time.Since(began)
	})
	t.Cleanup(s.stop)
	return s
}

// until waits for something to be so.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in 15 s: %s", what)
		}
	}
}

func (s *sending) all(want string, n int) func() bool {
	return func() bool { return s.count()[want] == n }
}

// received are the Message-IDs that a relay took, and how often each.
func received(r *relaytest.Relay) map[string]int {
	out := map[string]int{}
	for _, m := range r.Messages() {
		var id string
		if _, err := fmt.Sscanf(string(m.Data[indexOf(m.Data, "Message-ID:"):]), "Message-ID: <%36s", &id); err != nil {
			id = "none"
		}
		out[id]++
	}
	return out
}

func indexOf(b []byte, s string) int {
	for i := range b {
		if len(b)-i >= len(s) && string(b[i:i+len(s)]) == s {
			return i
		}
	}
	return 0
}
