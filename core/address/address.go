// Package address owns the form of secret deposit addresses: how one is made, and the
// keyed hash under which it is found again.
package address

import (
	"crypto/rand"
	"encoding/base32"
	"strings"

	"vaguemestre/core/vault"
)

// A deposit address is 80 random bits and a 20-bit keyed check (SEC-45), 20
// characters of base32, before the @ of the town's deposit domain. The check lets a
// wrong guess be refused without asking the database.
const (
	randomChars = 16
	checkChars  = 4
)

var base = base32.NewEncoding("abcdefghijkmnpqrstuvwxyz23456789").WithPadding(base32.NoPadding) // no l, o, 0, 1: read aloud and typed by people

// Mint makes a fresh deposit address under the domain.
func Mint(index vault.Index, domain string) string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	token := base.EncodeToString(b[:])
	return token + check(index, token) + "@" + strings.ToLower(domain)
}

// Hash is the keyed hash under which an address is looked up; ok is false when no
// address of ours can look like this. Case, and the dashes people add when they copy
// by hand, do not count.
func Hash(index vault.Index, address string) (hash []byte, ok bool) {
	local, domain, found := strings.Cut(strings.ToLower(strings.TrimSpace(address)), "@")
	if !found || domain == "" || strings.Contains(domain, "@") {
		return nil, false
	}
	token := strings.ReplaceAll(local, "-", "")
	if len(token) != randomChars+checkChars || check(index, token[:randomChars]) != token[randomChars:] {
		return nil, false
	}
	return index.Sum("deposit address", []byte(token), []byte(domain)), true
}

func check(index vault.Index, token string) string {
	return base.EncodeToString(index.Sum("deposit address check", []byte(token)))[:checkChars]
}
