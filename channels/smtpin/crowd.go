package smtpin

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"vaguemestre/core"
)

// crowd counts what comes from each network, so that none takes the place of all (SEC-43,
// SEC-67). It works in memory and needs nobody; each process counts for itself.
type crowd struct {
	cfg Config

	mu         sync.Mutex
	neighbours memory[netip.Prefix, *neighbour]
	addresses  memory[core.AddressID, *rate.Limiter]
	sessions   map[netip.Prefix]int // that are open, of all networks that have some
}

// neighbour is what a network may still do.
type neighbour struct{ connections, messages, unknown *rate.Limiter }

const (
	// refill is how long an empty bucket takes to be full.
	refill = time.Minute
	// around is how much more the surroundings of a network may do.
	around = 4
)

func newCrowd(cfg Config) *crowd {
	return &crowd{cfg: cfg, sessions: map[netip.Prefix]int{}}
}

// networks are the address's network and its surroundings.
func networks(a netip.Addr) [2]netip.Prefix {
	near, far := 32, 24
	if a.Is6() {
		near, far = 64, 48
	}
	var out [2]netip.Prefix
	for i, bits := range []int{near, far} {
		out[i], _ = a.WithZone("").Prefix(bits) // fails for an invalid address alone: all of these are one network
	}
	return out
}

// enter counts a connection. It says why there is no room, or "" and leave is due.
func (c *crowd) enter(a netip.Addr) (lack string) {
	if covers(c.cfg.Exempt, a) {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, n := range networks(a) {
		if c.sessions[n] >= c.cfg.NetworkSessions*share(i) {
			return "network_sessions"
		}
	}
	if !c.spend(a, func(n *neighbour) *rate.Limiter { return n.connections }) {
		return "network_connections"
	}
	for _, n := range networks(a) {
		c.sessions[n]++
	}
	return ""
}

// leave ends the count of a connection that entered.
func (c *crowd) leave(a netip.Addr) {
	if covers(c.cfg.Exempt, a) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range networks(a) {
		if c.sessions[n]--; c.sessions[n] <= 0 {
			delete(c.sessions, n)
		}
	}
}

// message counts a message, if there may be one more.
func (c *crowd) message(a netip.Addr) bool {
	return c.count(a, func(n *neighbour) *rate.Limiter { return n.messages })
}

// unknown counts an unknown recipient.
func (c *crowd) unknown(a netip.Addr) {
	c.count(a, func(n *neighbour) *rate.Limiter { return n.unknown })
}

// guessing reports whether too many unknown recipients came from there lately.
func (c *crowd) guessing(a netip.Addr) bool {
	if covers(c.cfg.Exempt, a) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	for i, n := range networks(a) {
		if c.neighbour(n, i, now).unknown.TokensAt(now) < 1 {
			return true
		}
	}
	return false
}

func (c *crowd) count(a netip.Addr, of func(*neighbour) *rate.Limiter) bool {
	if covers(c.cfg.Exempt, a) {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spend(a, of)
}

// spend takes from the buckets of the network and of its surroundings, or from neither.
func (c *crowd) spend(a netip.Addr, of func(*neighbour) *rate.Limiter) bool {
	now := c.cfg.Now()
	var buckets [2]*rate.Limiter
	for i, n := range networks(a) {
		if buckets[i] = of(c.neighbour(n, i, now)); buckets[i].TokensAt(now) < 1 {
			return false
		}
	}
	for _, b := range buckets {
		b.AllowN(now, 1)
	}
	return true
}

// neighbour remembers a network; i tells it from its surroundings.
func (c *crowd) neighbour(n netip.Prefix, i int, now time.Time) *neighbour {
	return c.neighbours.get(n, now, func() *neighbour {
		return &neighbour{
			connections: bucket(c.cfg.NetworkConnections * share(i)),
			messages:    bucket(c.cfg.NetworkMessages * share(i)),
			unknown:     bucket(c.cfg.NetworkUnknown * share(i)),
		}
	})
}

// address counts a message to one of ours that comes from a, if there may be one more. A
// town's generic address has no owner and is everybody's: a stranger could shut it for all.
func (c *crowd) address(to core.Address, a netip.Addr) bool {
	if to.Vault == "" && to.Letter == "" || covers(c.cfg.Exempt, a) {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	return c.addresses.get(to.ID, now, func() *rate.Limiter { return bucket(c.cfg.AddressMessages) }).AllowN(now, 1)
}

func share(i int) int { return 1 + i*(around-1) }

// bucket holds what is allowed in a minute, and fills within one.
func bucket(n int) *rate.Limiter { return rate.NewLimiter(rate.Limit(float64(n)/refill.Seconds()), n) }
