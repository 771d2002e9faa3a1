package smtpin

import (
	"net/netip"
	"testing"
	"time"

	"vaguemestre/core"
)

// clock is a time that stands still until it is moved.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

func newTestCrowd(c Config) (*crowd, *clock) {
	at := &clock{time.Date(2026, 11, 3, 9, 0, 0, 0, time.UTC)}
	c.Now = at.now
	return newCrowd(c.withDefaults()), at
}

// TestSEC43_RatesOfANetwork: each rate at its limit and one past it, full again after a
// minute, for the network alone and for its surroundings together.
func TestSEC43_RatesOfANetwork(t *testing.T) {
	const limit = 5
	for name, try := range map[string]func(*crowd, netip.Addr) bool{
		"connections": func(c *crowd, a netip.Addr) bool {
			lack := c.enter(a)
			if lack == "" {
				c.leave(a)
			}
			return lack == ""
		},
		"messages": (*crowd).message,
		"unknown recipients": func(c *crowd, a netip.Addr) bool {
			if c.guessing(a) {
				return false
			}
			c.unknown(a)
			return true
		},
	} {
		for family, tc := range map[string]struct{ one, same, beside, far string }{
			"IPv4": {"192.0.2.1", "192.0.2.1", "192.0.2.9", "198.51.100.1"},
			"IPv6": {"2001:db8:1:1::1", "2001:db8:1:1:ffff::2", "2001:db8:1:2::1", "2001:db8:2:1::1"},
		} {
			t.Run(name+" "+family, func(t *testing.T) {
				c, at := newTestCrowd(Config{NetworkConnections: limit, NetworkMessages: limit, NetworkUnknown: limit})
				spend := func(who string, want int) {
					t.Helper()
					a := netip.MustParseAddr(who)
					for i := range want + 1 {
						if ok := try(c, a); ok != (i < want) {
							t.Fatalf("%s: number %d of %d: %t", who, i+1, want, ok)
						}
					}
				}
				spend(tc.one, limit)
				spend(tc.same, 0)
				spend(tc.beside, limit)
				spend(tc.far, limit)
				at.Time = at.Add(time.Minute / limit)
				spend(tc.one, 1)
				at.Time = at.Add(time.Minute)
				spend(tc.one, limit)
			})
		}
	}
}

// Many neighbours in one place are held to what their surroundings may do together.
func TestSEC43_SurroundingsOfANetwork(t *testing.T) {
	const limit = 5
	for name, of := range map[string]func(i int) netip.Addr{
		"IPv4": func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}) },
		"IPv6": func(i int) netip.Addr { return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 1, 0, byte(i)}) },
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newTestCrowd(Config{NetworkMessages: limit, NetworkSessions: limit, NetworkConnections: 100})
			for i := range around*limit + 1 {
				if ok := c.message(of(i)); ok != (i < around*limit) {
					t.Fatalf("message %d: %t", i+1, ok)
				}
				if lack := c.enter(of(i)); (lack == "") != (i < around*limit) {
					t.Fatalf("session %d: %q", i+1, lack)
				}
			}
			c.leave(of(0))
			if lack := c.enter(of(1)); lack != "" {
				t.Errorf("after one left: %q", lack)
			}
		})
	}
}

func TestSEC43_SessionsOfANetwork(t *testing.T) {
	c, _ := newTestCrowd(Config{NetworkSessions: 2})
	a := netip.MustParseAddr("192.0.2.1")
	for i, want := range []string{"", "", "network_sessions"} {
		if got := c.enter(a); got != want {
			t.Errorf("session %d: %q, want %q", i+1, got, want)
		}
	}
	c.leave(a)
	if got := c.enter(a); got != "" {
		t.Errorf("after one left: %q", got)
	}
	c.leave(a)
	c.leave(a)
	if len(c.sessions) != 0 {
		t.Errorf("%d networks remembered of nobody", len(c.sessions))
	}
}

// What is remembered is bounded, and who was counted lately is not forgotten for it.
func TestSEC43_MemoryOfNetworksIsBounded(t *testing.T) {
	c, at := newTestCrowd(Config{NetworkMessages: 1})
	guilty := netip.MustParseAddr("198.51.100.1")
	c.message(guilty)
	other := func(i int) netip.Addr {
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, byte(i >> 16), byte(i >> 8), byte(i)})
	}
	for i := range maxKnown {
		c.message(other(i))
		if i == maxKnown/3 && c.message(guilty) {
			t.Error("forgotten in the crowd")
		}
		if n := len(c.neighbours.present) + len(c.neighbours.former); n > 2*maxKnown+2 {
			t.Fatalf("%d networks remembered", n)
		}
	}
	at.Time = at.Add(2 * time.Minute)
	c.message(other(0))
	at.Time = at.Add(2 * time.Minute)
	c.message(other(1))
	if n := len(c.neighbours.present) + len(c.neighbours.former); n > 8 {
		t.Errorf("%d networks remembered of a quiet time", n)
	}
}

func TestExemptNetworksAreNotCounted(t *testing.T) {
	c, _ := newTestCrowd(Config{NetworkMessages: 1, NetworkSessions: 1, NetworkConnections: 1, NetworkUnknown: 1, AddressMessages: 1})
	for _, who := range []string{"127.0.0.1", "127.9.9.9", "::1"} {
		a := netip.MustParseAddr(who)
		for range 10 {
			c.unknown(a)
			if lack := c.enter(a); lack != "" || !c.message(a) || c.guessing(a) {
				t.Fatalf("%s is counted (%q)", who, lack)
			}
		}
	}
	if len(c.neighbours.present) != 0 || len(c.sessions) != 0 {
		t.Error("exempt networks are remembered")
	}
	for range 2 {
		if !c.address(core.Address{ID: "x", Vault: "v"}, netip.MustParseAddr("::1")) {
			t.Error("messages of an exempt network to an address are counted")
		}
	}
	everybody, _ := newTestCrowd(Config{NetworkMessages: 1, Exempt: []netip.Prefix{}})
	a := netip.MustParseAddr("127.0.0.1")
	if !everybody.message(a) || everybody.message(a) {
		t.Error("with no exempt network, loopback is not counted")
	}
}

// An address has its own limit, whoever writes to it.
func TestSEC67_MessagesOfAnAddress(t *testing.T) {
	c, at := newTestCrowd(Config{AddressMessages: 3})
	one, two, generic := core.Address{ID: "one", Vault: "zoe"}, core.Address{ID: "two", Vault: "ana"}, core.Address{ID: "generic"}
	for i := range 10 {
		if a := netip.AddrFrom4([4]byte{192, 0, byte(i), 1}); !c.address(generic, a) {
			t.Errorf("message %d to the generic address is turned away", i+1)
		}
	}
	for i := range 4 {
		a := netip.AddrFrom4([4]byte{192, 0, byte(i), 1})
		if ok := c.address(one, a); ok != (i < 3) {
			t.Errorf("message %d: %t", i+1, ok)
		}
	}
	elsewhere := netip.MustParseAddr("192.0.2.1")
	if !c.address(two, elsewhere) {
		t.Error("another address is counted with it")
	}
	at.Time = at.Add(20 * time.Second)
	if !c.address(one, elsewhere) || c.address(one, elsewhere) {
		t.Error("a third of a minute is not a third of the limit")
	}
}
