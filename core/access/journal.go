// Package access owns the journal: what an entry says, and the hash chain that makes
// a changed, missing or moved entry visible (SEC-30, SEC-31).
package access

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"vaguemestre/core"
)

// Entry is one act, or attempt, on a vault or on deposits that belong to nobody yet.
type Entry struct {
	Tenant  core.TenantID `json:"tenant"`
	Chain   string        `json:"chain"`
	Seq     int64         `json:"seq"` // from 1, without gaps
	At      time.Time     `json:"at"`  // UTC, microseconds
	Actor   string        `json:"actor"`
	Act     string        `json:"act"`
	Purpose string        `json:"purpose"`
	Object  string        `json:"object,omitempty"`
	Sealed  []byte        `json:"-"` // personal attributes under the vault key; hashed as they are
	Prev    []byte        `json:"-"` // hash of the entry before; zero bytes for the first
	Hash    []byte        `json:"-"`
}

// Chain names the chain an access belongs to: its vault's, or the day's for what
// belongs to nobody yet.
func Chain(a core.Access, at time.Time) string {
	if a.Vault != "" {
		return "vault:" + string(a.Vault)
	}
	return "intake:" + at.UTC().Format(time.DateOnly)
}

// Link puts a into its chain behind the entry whose sequence number and hash are
// given (0 and nil for a new chain).
func Link(a core.Access, at time.Time, seq int64, prev []byte) Entry {
	return LinkSealed(a, nil, at, seq, prev)
}

// LinkSealed is Link for an entry that says more of persons, in a box of the vault (SEC-33).
func LinkSealed(a core.Access, sealed []byte, at time.Time, seq int64, prev []byte) Entry {
	at = at.UTC().Truncate(time.Microsecond)
	if prev == nil {
		prev = make([]byte, sha256.Size)
	}
	e := Entry{
		Tenant: a.Tenant, Chain: Chain(a, at), Seq: seq + 1, At: at,
		Actor: a.Actor, Act: a.Act, Purpose: a.Purpose, Object: a.Object, Sealed: sealed, Prev: prev,
	}
	e.Hash = e.sum()
	return e
}

// sum hashes every field, each preceded by its length so that no two entries share
// an encoding.
func (e Entry) sum() []byte {
	h := sha256.New()
	var n [8]byte
	put := func(b []byte) {
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	put([]byte("vaguemestre journal 1"))
	put(e.Prev)
	put([]byte(e.Tenant))
	put([]byte(e.Chain))
	put(binary.BigEndian.AppendUint64(nil, uint64(e.Seq)))
	put(binary.BigEndian.AppendUint64(nil, uint64(e.At.UnixMicro())))
	for _, s := range []string{e.Actor, e.Act, e.Purpose, e.Object} {
		put([]byte(s))
	}
	put(e.Sealed)
	return h.Sum(nil)
}

// Verifier checks one chain, entry after entry.
type Verifier struct {
	seq  int64
	hash []byte
}

// Next returns an error when e does not follow the entry before it, or was changed.
func (v *Verifier) Next(e Entry) error {
	prev := v.hash
	if prev == nil {
		prev = make([]byte, sha256.Size)
	}
	switch {
	case e.Seq != v.seq+1:
		return fmt.Errorf("chain %s: entry %d follows %d", e.Chain, e.Seq, v.seq)
	case !bytes.Equal(e.Prev, prev):
		return fmt.Errorf("chain %s: entry %d does not name the entry before it", e.Chain, e.Seq)
	case !bytes.Equal(e.Hash, e.sum()):
		return fmt.Errorf("chain %s: entry %d was changed", e.Chain, e.Seq)
	}
	v.seq, v.hash = e.Seq, e.Hash
	return nil
}

// End returns an error when the chain does not end at the given head: its tail was cut.
func (v *Verifier) End(chain string, seq int64, hash []byte) error {
	if v.seq != seq || !bytes.Equal(v.hash, hash) {
		return fmt.Errorf("chain %s: ends at entry %d, its head says %d", chain, v.seq, seq)
	}
	return nil
}
