// Package address owns the form of deposit addresses: how a secret one is made, and the
// keyed hash under which one is found again, however it was written or rewritten on its
// way.
package address

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"

	"vaguemestre/core"
	"vaguemestre/core/vault"
)

// A secret address is 80 random bits and a 20-bit keyed check (SEC-45), 20 characters
// of base32. The check lets a wrong guess be refused without asking the database.
const (
	randomChars = 16
	checkChars  = 4
	tokenChars  = randomChars + checkChars
)

var base = base32.NewEncoding(alphabet).WithPadding(base32.NoPadding) // no l, o, 0, 1: read aloud and typed by people

// Mint makes a fresh secret address. Under a domain of its own it is token@domain. In a
// mailbox that the town has already, "depot@ville.fr", it is a plus-tag of that:
// depot+token@ville.fr (RFC 5233).
func Mint(index vault.Index, under string) string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	return secret(index, b[:], under)
}

// Reply is the secret address for answers about a deposit: of the form of those that Mint
// makes, and for the same deposit of the same citizen the same. Nobody without the index
// can tell it.
func Reply(index vault.Index, tenant core.TenantID, owner core.CitizenID, deposit core.DepositID, under string) string {
	return secret(index, index.Sum("reply address", []byte(tenant), []byte(owner), []byte(deposit))[:10], under)
}

func secret(index vault.Index, b []byte, under string) string {
	token := base.EncodeToString(b)
	token += check(index, token)
	mailbox, domain, tagged := strings.Cut(strings.ToLower(under), "@")
	if !tagged {
		return token + "@" + mailbox
	}
	return mailbox + "+" + token + "@" + domain
}

// Hash is the keyed hash under which a secret address is looked up; ok is false when no
// address of ours can look like this. What mail systems and people change on the way
// does not count: case, quotes, dashes added when copying by hand, another separator
// than the plus, the final dot of the domain, the domain in letters or as A-labels.
func Hash(index vault.Index, address string) (hash []byte, ok bool) {
	local, domain, ok := parse(address)
	if !ok {
		return nil, false
	}
	token, ok := tag(strings.ToLower(local))
	if !ok || check(index, token[:randomChars]) != token[randomChars:] {
		return nil, false
	}
	return index.Sum("deposit address", []byte(token), []byte(domain)), true
}

// HashGeneric is the keyed hash under which a town's generic address is looked up. Its
// local part is compared without regard to case, as mail systems do. What has the form of
// a secret address, or carries a plus-tag, is none: a mistyped secret is refused, so that
// its citizen learns of it.
func HashGeneric(index vault.Index, address string) (hash []byte, ok bool) {
	local, domain, ok := parse(address)
	local = norm.NFC.String(strings.ToLower(local))
	if _, secret := tag(local); !ok || secret || local == "" || strings.Contains(local, "+") {
		return nil, false
	}
	return index.Sum("generic deposit address", []byte(local), []byte(domain)), true
}

// HashSender is the keyed hash under which the address somebody writes from is looked up.
func HashSender(index vault.Index, from string) (hash []byte, ok bool) {
	canonical, ok := Canonical(from)
	if !ok {
		return nil, false
	}
	return index.Sum("sender address", []byte(canonical)), true
}

// Canonical writes an e-mail address in the one form in which addresses are compared:
// the domain in lower-case A-labels, so that no look-alike letter passes for another,
// the local part exactly as it is, in NFC (SEC-51). ok is false for what is no address.
func Canonical(address string) (canonical string, ok bool) {
	local, domain, ok := parse(address)
	if !ok || local == "" {
		return "", false
	}
	return norm.NFC.String(local) + "@" + domain, true
}

// parse splits an address at its last @ and puts the domain into A-labels.
func parse(address string) (local, domain string, ok bool) {
	address = strings.TrimSpace(address)
	i := strings.LastIndexByte(address, '@')
	if i < 0 || len(address) > maxAddress || !utf8.ValidString(address) || strings.ContainsRune(address, utf8.RuneError) {
		return "", "", false
	}
	local = address[:i]
	if len(local) > 1 && local[0] == '"' && local[len(local)-1] == '"' {
		local = local[1 : len(local)-1]
	}
	if strings.ContainsAny(local, "@\"\\ \t\r\n\x00<>") {
		return "", "", false
	}
	domain, err := domains.ToASCII(strings.TrimSuffix(address[i+1:], "."))
	if err != nil || domain == "" {
		return "", "", false
	}
	return local, strings.ToLower(domain), true
}

// domains is how domains of addresses are read: as for a lookup (UTS 46), and none with
// an empty label or too long to exist.
var domains = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false), idna.StrictDomainName(true), idna.VerifyDNSLength(true))

// maxAddress is the longest address looked at, in bytes (RFC 5321 §4.5.3.1.3 allows 254).
const maxAddress = 320

// tag finds the token at the end of a local part: alone, or behind a mailbox name and a
// separator. The plus is ours; others are what gateways and list software make of it.
func tag(local string) (token string, ok bool) {
	n := 0
	for i := len(local) - 1; i >= 0; i-- {
		c := local[i]
		if c == '-' {
			continue
		}
		if !strings.ContainsRune(alphabet, rune(c)) {
			return "", false
		}
		if n++; n < tokenChars {
			continue
		}
		before := local[:i]
		if strings.Trim(before, "-") != "" && !strings.ContainsRune("+=_#.-", rune(before[len(before)-1])) {
			return "", false
		}
		return strings.ReplaceAll(local[i:], "-", ""), true
	}
	return "", false
}

const alphabet = "abcdefghijkmnpqrstuvwxyz23456789"

func check(index vault.Index, token string) string {
	return base.EncodeToString(index.Sum("deposit address check", []byte(token)))[:checkChars]
}
