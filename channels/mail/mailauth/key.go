package mailauth

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"slices"
	"strings"

	"vaguemestre/core"
)

const (
	minKeyBits = 1024    // RFC 8301 §3.2
	maxKeyBits = 8192    // larger ones cost us more than their owner
	maxRecord  = 4 << 10 // bytes of a key record
)

// key is what DNS says of the key that a signature names.
type key struct {
	record string // as published
	public crypto.PublicKey
	strict bool // signs for its domain alone, not for those below

	result core.Result // ResultPass when there is a key to be used
	reason string      // why not, otherwise
}

// keyName is where the key of a signature is published (RFC 6376 §3.6.2.1).
func (t tags) keyName() string { return t.word("s") + "._domainkey." + t.word("d") }

// fetchKey looks up the key that a signature names, and judges it.
func fetchKey(ctx context.Context, dns *questions, t tags) key {
	selector, domain := t.word("s"), aLabels(t.word("d"))
	if !isSelector(selector) || domain == "" {
		return key{result: core.ResultPermError, reason: ReasonMalformedSignature}
	}
	txts, err := dns.LookupTXT(ctx, selector+"._domainkey."+domain)
	if passing(err) {
		return key{result: core.ResultTempError, reason: ReasonTrouble}
	}
	var records []string
	for _, txt := range txts {
		if _, ok := parseTags(txt)["p"]; ok {
			records = append(records, txt)
		}
	}
	if len(records) != 1 { // of several, none can be told to be the right one
		return key{result: core.ResultPermError, reason: ReasonNoKey}
	}
	return parseKey(records[0])
}

// parseKey reads a key record (RFC 6376 §3.6.1, RFC 8463).
func parseKey(record string) key {
	t := parseTags(record)
	no := key{result: core.ResultPermError, reason: ReasonNoKey}
	version, versioned := t["v"]
	switch {
	case versioned && version != "DKIM1", len(record) > maxRecord:
		return no
	case t.word("p") == "":
		return key{result: core.ResultPermError, reason: ReasonKeyRevoked}
	case slices.Contains(t.list("t"), "y"): // RFC 6376 §3.6.1: as if unsigned
		return key{result: core.ResultPolicy, reason: ReasonKeyTesting}
	case t.word("h") != "" && !slices.Contains(t.list("h"), "sha256"):
		return no
	case t.word("s") != "" && !slices.Contains(t.list("s"), "*") && !slices.Contains(t.list("s"), "email"):
		return no
	}
	k := key{record: record, strict: slices.Contains(t.list("t"), "s"), result: core.ResultPass}
	switch bytes := t.bytes("p"); t.word("k") {
	case "", "rsa":
		public := parseRSA(bytes)
		if public == nil {
			return no
		}
		if bits := public.N.BitLen(); bits < minKeyBits || bits > maxKeyBits {
			return key{result: core.ResultPolicy, reason: ReasonWeakKey}
		}
		k.public = public
	case "ed25519":
		if len(bytes) != ed25519.PublicKeySize {
			return no
		}
		k.public = ed25519.PublicKey(bytes)
	default:
		return no
	}
	return k
}

// parseRSA takes both forms that keys are published in (RFC 6376, erratum 3017).
func parseRSA(bytes []byte) *rsa.PublicKey {
	if public, err := x509.ParsePKCS1PublicKey(bytes); err == nil {
		return public
	}
	public, err := x509.ParsePKIXPublicKey(bytes)
	if err != nil {
		return nil
	}
	out, _ := public.(*rsa.PublicKey)
	return out
}

// signed reports whether sig is the key's signature, by that algorithm, over what has
// this SHA-256.
func (k key) signed(algorithm string, digest [sha256.Size]byte, sig []byte) bool {
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		return algorithm == "rsa-sha256" && rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], sig) == nil
	case ed25519.PublicKey:
		return algorithm == "ed25519-sha256" && ed25519.Verify(public, digest[:], sig)
	}
	return false
}

// isSelector takes names of DNS labels; they are a stranger's.
func isSelector(s string) bool {
	return s != "" && len(s) <= 253 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	})
}
