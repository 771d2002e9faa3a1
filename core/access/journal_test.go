package access

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"vaguemestre/core"
)

var (
	testAccess = core.Access{
		Tenant: "11111111-1111-4111-8111-111111111111", Vault: "22222222-2222-4222-8222-222222222222",
		Actor: "citizen", Act: "read", Purpose: "consultation", Object: "33333333-3333-4333-8333-333333333333",
	}
	testTime = time.Date(2026, 11, 23, 23, 30, 0, 123456789, time.FixedZone("CET", 3600))
)

// chain is n entries, each a second after the one before.
func chain(n int) (entries []Entry) {
	var prev []byte
	for i := range n {
		e := Link(testAccess, testTime.Add(time.Duration(i)*time.Second), int64(i), prev)
		entries, prev = append(entries, e), e.Hash
	}
	return entries
}

// verify walks entries against a head and returns the first complaint, and how many
// entries were good before it.
func verify(entries []Entry, head Entry) (good int, err error) {
	var v Verifier
	for i, e := range entries {
		if err := v.Next(e); err != nil {
			return i, err
		}
	}
	return len(entries), v.End(head.Chain, head.Seq, head.Hash)
}

// SEC-31: whatever is done to a chain, the first bad entry is named.
func TestSEC31_ChainNamesTheFirstBadEntry(t *testing.T) {
	const n = 9
	edit := func(i int, f func(*Entry)) func([]Entry) []Entry {
		return func(c []Entry) []Entry { f(&c[i]); return c }
	}
	for _, c := range []struct {
		name string
		do   func([]Entry) []Entry
		good int // entries before the first bad one
		says string
	}{
		{"untouched", func(c []Entry) []Entry { return c }, n, ""},
		{"actor edited", edit(4, func(e *Entry) { e.Actor = "maintenance" }), 4, "entry 5 was changed"},
		{"act edited", edit(0, func(e *Entry) { e.Act = "list" }), 0, "entry 1 was changed"},
		{"purpose edited", edit(8, func(e *Entry) { e.Purpose = "" }), 8, "entry 9 was changed"},
		{"object edited", edit(4, func(e *Entry) { e.Object = "other" }), 4, "entry 5 was changed"},
		{"time edited", edit(4, func(e *Entry) { e.At = e.At.Add(time.Microsecond) }), 4, "entry 5 was changed"},
		{"tenant edited", edit(4, func(e *Entry) { e.Tenant = "other" }), 4, "entry 5 was changed"},
		{"sealed part added", edit(4, func(e *Entry) { e.Sealed = []byte("x") }), 4, "entry 5 was changed"},
		{"text moved between fields", edit(4, func(e *Entry) { e.Actor, e.Act = e.Actor+e.Act[:1], e.Act[1:] }), 4, "entry 5 was changed"},
		{"edited and hashed again", edit(4, func(e *Entry) { e.Act = "list"; e.Hash = e.sum() }), 5, "entry 6 does not name the entry before it"},
		{"last edited and hashed again", edit(8, func(e *Entry) { e.Act = "list"; e.Hash = e.sum() }), n, "its head says 9"},
		{"moved to another chain", edit(4, func(e *Entry) { e.Chain = "vault:other" }), 4, "entry 5 was changed"},
		{"deleted", func(c []Entry) []Entry { return slices.Delete(c, 4, 5) }, 4, "entry 6 follows 4"},
		{"first deleted", func(c []Entry) []Entry { return c[1:] }, 0, "entry 2 follows 0"},
		{"deleted and renumbered", func(c []Entry) []Entry {
			c = slices.Delete(c, 4, 5)
			for i := range c {
				c[i].Seq = int64(i + 1)
			}
			return c
		}, 4, "entry 5 does not name the entry before it"},
		{"inserted", func(c []Entry) []Entry {
			forged := Link(testAccess, testTime, 4, c[3].Hash)
			forged.Act = "list"
			forged.Hash = forged.sum()
			return slices.Insert(c, 4, forged)
		}, 5, "entry 5 follows 5"},
		{"one twice", func(c []Entry) []Entry { return slices.Insert(c, 4, c[3]) }, 4, "entry 4 follows 4"},
		{"exchanged", func(c []Entry) []Entry { c[3], c[4] = c[4], c[3]; return c }, 3, "entry 5 follows 3"},
		{"exchanged and renumbered", func(c []Entry) []Entry {
			c[3], c[4] = c[4], c[3]
			c[3].Seq, c[4].Seq = 4, 5
			return c
		}, 3, "entry 4 does not name the entry before it"},
		{"tail cut", func(c []Entry) []Entry { return c[:6] }, 6, "ends at entry 6, its head says 9"},
		{"all cut", func(c []Entry) []Entry { return nil }, 0, "ends at entry 0, its head says 9"},
		{"one more", func(c []Entry) []Entry { return append(c, Link(testAccess, testTime, n, c[n-1].Hash)) }, n + 1, "ends at entry 10, its head says 9"},
		{"stamped again from the middle", func(c []Entry) []Entry {
			for i := 4; i < n; i++ {
				a := testAccess
				a.Act = "list"
				c[i] = Link(a, c[i].At, int64(i), c[i-1].Hash)
			}
			return c
		}, n, "its head says 9"},
	} {
		whole := chain(n)
		head := whole[n-1]
		good, err := verify(c.do(slices.Clone(whole)), head)
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v, want … %s", c.name, err, c.says)
		case good != c.good:
			t.Errorf("%s: %d entries were good, want %d", c.name, good, c.good)
		}
	}
}

// What a verifier has refused it does not build upon.
func TestSEC31_NothingStandsOnABadEntry(t *testing.T) {
	entries := chain(4)
	var v Verifier
	bad := entries[1]
	bad.Act = "list"
	for _, c := range []struct {
		e  Entry
		ok bool
	}{{entries[0], true}, {bad, false}, {entries[2], false}, {entries[1], true}, {entries[2], true}} {
		if err := v.Next(c.e); (err == nil) != c.ok {
			t.Errorf("entry %d (%s): %v", c.e.Seq, c.e.Act, err)
		}
	}
}

// A chain written today verifies for as long as it is kept.
func TestSEC31_FixedVector(t *testing.T) {
	entries := chain(2)
	for i, want := range []string{"2234e187d6b021675d71efb87888689bb9a8cdb87496d1759eefc04020047d94", "aa4d5b31d208a79dd65b804be8e70132dc6b7b32d1d3a8d33613dc765de50161"} {
		if got := hex.EncodeToString(entries[i].Hash); got != want {
			t.Errorf("entry %d hashes to %s, want %s", i+1, got, want)
		}
	}
	if first := entries[0]; !bytes.Equal(first.Prev, make([]byte, 32)) || !first.At.Equal(time.Date(2026, 11, 23, 22, 30, 0, 123456000, time.UTC)) || first.At.Location() != time.UTC {
		t.Errorf("first entry %+v", first)
	}
}

// A vault has one chain; what belongs to nobody yet is chained by the day, UTC.
func TestChainNames(t *testing.T) {
	if got := Chain(testAccess, testTime); got != "vault:22222222-2222-4222-8222-222222222222" {
		t.Errorf("of a vault: %s", got)
	}
	nobody := testAccess
	nobody.Vault = ""
	midnight := time.Date(2026, 11, 24, 0, 30, 0, 0, time.FixedZone("CET", 3600))
	if got := Chain(nobody, midnight); got != "intake:2026-11-23" {
		t.Errorf("of nobody: %s", got)
	}
}
