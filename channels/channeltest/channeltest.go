// Package channeltest owns the promises of a channel, as a test suite: whoever writes a
// channel plays its sender, and Run holds the channel to what every other part of the
// house relies on.
package channeltest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vaguemestre/channels"
	"vaguemestre/core"
)

// Address is the secret address that the suite sends to; its owner is Owner.
const Address = "depot-suite@pieces.ville.test"

// Owner is what Locate answers for Address.
var Owner = core.Address{ID: "address-1", Tenant: "tenant-1", Vault: "vault-1"}

// Answer is what a channel tells a sender, whatever its protocol.
type Answer string

// The answers.
const (
	Taken   Answer = "taken"   // it is ours now, forget it
	Refused Answer = "refused" // never send this again
	Later   Answer = "later"   // keep it, send it again
)

// Sender plays the other side of the channel under test.
type Sender interface {
	// Make composes an arrival of about size bytes under the sender's own name for it:
	// exactly the bytes that intake is to be given.
	Make(name string, size int) []byte
	// Send hands the arrival over to Address and waits for the answer.
	Send(ctx context.Context, arrival []byte) (Answer, error)
}

// Start makes a channel that hands what it receives to intake, not running yet, and a
// sender that reaches it once it runs.
type Start func(t *testing.T, intake channels.Intake) (channels.Channel, Sender)

// Intake is an intake that remembers. Its zero value takes everything in.
type Intake struct {
	// Answer, if set, decides once the bodies of a deposit were read; a nil error takes
	// the deposit in.
	Answer func(context.Context, core.Deposit) error

	mu    sync.Mutex
	taken []Deposit
}

// Deposit is what an Intake was given.
type Deposit struct {
	core.Deposit
	Bodies [][]byte
}

// Taken is what was taken in so far.
func (i *Intake) Taken() []Deposit {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.taken)
}

// Locate knows Address only.
func (i *Intake) Locate(_ context.Context, address string) (core.Address, error) {
	if address != Address {
		return core.Address{}, core.ErrNotFound
	}
	return Owner, nil
}

// Accept reads the bodies and remembers the deposit if Answer has nothing against it.
func (i *Intake) Accept(ctx context.Context, d core.Deposit, bodies ...core.Body) (core.Receipt, error) {
	got := Deposit{Deposit: d}
	for _, b := range bodies {
		raw, err := io.ReadAll(b.R)
		if err != nil {
			return core.Receipt{}, err
		}
		got.Bodies = append(got.Bodies, raw)
	}
	if i.Answer != nil {
		if err := i.Answer(ctx, d); err != nil {
			return core.Receipt{}, err
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.taken = append(i.taken, got)
	return core.Receipt{Deposit: core.NewID[core.DepositID](), Received: d.Received}, nil
}

// Run holds a channel to its promises.
func Run(t *testing.T, start Start) {
	t.Run("bytes arrive intact", func(t *testing.T) { intact(t, start) })
	t.Run("the same arrival keeps its key", func(t *testing.T) { sameKey(t, start) })
	t.Run("nothing is acknowledged before it is accepted", func(t *testing.T) { ackLast(t, start) })
	t.Run("a refusal is final", func(t *testing.T) {
		answers(t, start, &core.Refusal{Code: "unsupported_kind", Reason: "Ce document n’est pas accepté."}, Refused)
	})
	t.Run("an accident means later", func(t *testing.T) { answers(t, start, errors.New("disk full"), Later) })
	t.Run("Run ends with its context", func(t *testing.T) { ends(t, start) })
}

// running starts a channel and stops it when the test ends.
func running(t *testing.T, start Start, intake channels.Intake) (channels.Channel, Sender) {
	t.Helper()
	channel, sender := start(t, intake)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- channel.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return channel, sender
}

func send(t *testing.T, s Sender, arrival []byte, want Answer) {
	t.Helper()
	got, err := s.Send(t.Context(), arrival)
	if err != nil || got != want {
		t.Fatalf("the sender was told %q, error %v; want %q", got, err, want)
	}
}

func intact(t *testing.T, start Start) {
	intake := &Intake{}
	channel, sender := running(t, start, intake)
	for n, size := range []int{200, 100_000, 3 << 20} {
		arrival := sender.Make("intact", size)
		before := time.Now()
		send(t, sender, arrival, Taken)
		taken := intake.Taken()
		if len(taken) != n+1 {
			t.Fatalf("%d deposits after %d arrivals", len(taken), n+1)
		}
		got := taken[n]
		if len(got.Bodies) != 1 || !bytes.Equal(got.Bodies[0], arrival) {
			t.Errorf("an arrival of %d bytes came in changed", len(arrival))
		}
		if got.Channel != channel.Name() || got.Address != Owner || got.Tenant != Owner.Tenant || got.Journey == "" {
			t.Errorf("deposit %+v does not say whence it came and whose it is", got.Deposit)
		}
		if got.Received.Before(before.Add(-time.Minute)) || got.Received.After(time.Now().Add(time.Minute)) {
			t.Errorf("received at %v, sent at %v", got.Received, before)
		}
	}
}

func sameKey(t *testing.T, start Start) {
	intake := &Intake{}
	_, sender := running(t, start, intake)
	first, other := sender.Make("first", 500), sender.Make("other", 500)
	for _, arrival := range [][]byte{first, other, first} {
		send(t, sender, arrival, Taken)
	}
	got := intake.Taken()
	if got[0].Key == "" || got[0].Key != got[2].Key || got[0].Key == got[1].Key {
		t.Errorf("keys %q, %q and again %q", got[0].Key, got[1].Key, got[2].Key)
	}
}

func ackLast(t *testing.T, start Start) {
	reached, release := make(chan struct{}), make(chan struct{})
	intake := &Intake{Answer: func(context.Context, core.Deposit) error {
		close(reached)
		<-release
		return nil
	}}
	_, sender := running(t, start, intake)
	told := make(chan Answer, 1)
	go func() {
		answer, err := sender.Send(t.Context(), sender.Make("slow", 500))
		if err != nil {
			answer = Answer(err.Error())
		}
		told <- answer
	}()
	<-reached
	select {
	case answer := <-told:
		t.Errorf("told %q before the deposit was durable", answer)
		close(release)
		return
	case <-time.After(100 * time.Millisecond):
	}
	close(release)
	if answer := <-told; answer != Taken {
		t.Errorf("told %q once it was", answer)
	}
}

func answers(t *testing.T, start Start, err error, want Answer) {
	var lucky atomic.Bool
	intake := &Intake{Answer: func(context.Context, core.Deposit) error {
		if lucky.Load() {
			return nil
		}
		return err
	}}
	_, sender := running(t, start, intake)
	send(t, sender, sender.Make("unlucky", 500), want)
	lucky.Store(true)
	send(t, sender, sender.Make("lucky", 500), Taken)
}

func ends(t *testing.T, start Start) {
	intake := &Intake{}
	channel, sender := start(t, intake)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- channel.Run(ctx) }()
	send(t, sender, sender.Make("before", 500), Taken)
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Run: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("still running 10 s after its context ended, with nothing to finish")
	}
}
