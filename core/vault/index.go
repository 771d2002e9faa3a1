package vault

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// Index makes keyed hashes for exact lookups ("blind index"): without its key a copy
// of the database cannot be probed with guessed values. It decrypts nothing, so
// accepting roles may hold it.
type Index struct{ key []byte }

// NewIndex takes a secret of at least 32 random bytes.
func NewIndex(key []byte) Index { return Index{key} }

// Sum is the keyed hash of the fields for one use; uses never share a hash.
func (x Index) Sum(use string, fields ...[]byte) []byte {
	h := hmac.New(sha256.New, x.key)
	var n [8]byte
	for _, f := range append([][]byte{[]byte(use)}, fields...) {
		binary.BigEndian.PutUint64(n[:], uint64(len(f)))
		h.Write(n[:])
		h.Write(f)
	}
	return h.Sum(nil)
}
