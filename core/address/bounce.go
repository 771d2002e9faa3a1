package address

import (
	"encoding/hex"
	"strings"

	"vaguemestre/core"
	"vaguemestre/core/vault"
)

// A return path of ours names the letter it was written on: 80 bits of the letter's id,
// then a 35-bit check keyed over town and letter. Nothing is stored for it, and nobody
// who has not seen the letter's envelope can make one.
const (
	letterChars = 16
	sealChars   = 7 // a mailbox of 40, a plus and the token fit into the 64 of RFC 5321
	bounceChars = letterChars + sealChars
	letterHex   = 20 // digits of a letter's id that the 80 bits are
)

// Bounce is the return path of a letter: where reports on its delivery go. under is what
// secret addresses of the town are made under: a domain, or a mailbox that is tagged. ok
// is false when no address can be made of that.
func Bounce(index vault.Index, tenant core.TenantID, letter string, under string) (address string, ok bool) {
	b, err := hex.DecodeString(letterPrefix(letter))
	if err != nil || len(b) != letterHex/2 {
		return "", false
	}
	id := base.EncodeToString(b)
	token := id + bounceCheck(index, tenant, id)
	mailbox, domain, tagged := strings.Cut(strings.ToLower(under), "@")
	if !tagged {
		return token + "@" + mailbox, mailbox != ""
	}
	return mailbox + "+" + token + "@" + domain, mailbox != "" && domain != ""
}

// ParseBounce says of which of these towns' letters an address is the return path, and
// the first digits of that letter's id; ok is false when it is none's.
func ParseBounce(index vault.Index, address string, tenants []core.TenantID) (tenant core.TenantID, prefix string, ok bool) {
	id, check, ok := bounceToken(address)
	if !ok {
		return "", "", false
	}
	for _, t := range tenants {
		if bounceCheck(index, t, id) != check {
			continue
		}
		b, err := base.DecodeString(id)
		return t, hex.EncodeToString(b), err == nil
	}
	return "", "", false
}

// LikeBounce reports whether an address has the form of a return path of ours. Only
// ParseBounce says whether it is one.
func LikeBounce(address string) bool {
	_, _, ok := bounceToken(address)
	return ok
}

// LetterRange is the lowest and the highest id of a letter that begins with the digits
// ParseBounce gave. At most one letter of a town lies in it: 76 of the bits are random.
func LetterRange(prefix string) (low, high string) {
	return letterOf(prefix, "0"), letterOf(prefix, "f")
}

func letterOf(prefix, fill string) string {
	digits := prefix + strings.Repeat(fill, 32-len(prefix))
	return digits[:8] + "-" + digits[8:12] + "-" + digits[12:16] + "-" + digits[16:20] + "-" + digits[20:]
}

// letterPrefix is the first digits of an id; "" for what is none.
func letterPrefix(letter string) string {
	digits := strings.ReplaceAll(string(letter), "-", "")
	if len(digits) != 32 {
		return ""
	}
	return digits[:letterHex]
}

// bounceToken finds the token at the end of a local part: alone, or behind a mailbox
// name and a separator. Machines alone write this address, so case is all that may differ.
func bounceToken(address string) (id, check string, ok bool) {
	local, _, ok := parse(address)
	local = strings.ToLower(local)
	n := len(local) - bounceChars
	if !ok || n < 0 || n > 0 && !strings.ContainsRune("+=_#.-", rune(local[n-1])) {
		return "", "", false
	}
	token := local[n:]
	if strings.Trim(token, alphabet) != "" {
		return "", "", false
	}
	return token[:letterChars], token[letterChars:], true
}

func bounceCheck(index vault.Index, tenant core.TenantID, id string) string {
	return base.EncodeToString(index.Sum("bounce address check", []byte(tenant), []byte(id)))[:sealChars]
}
