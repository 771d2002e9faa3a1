package mailauth_test

import (
	"crypto"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"vaguemestre/channels/mail/mailauth"
	"vaguemestre/core"
)

const (
	honestFrom = "From: Camille Martin <camille@courriel.test>\r\n"
	rest       = "To: depot@mairie.test\r\nSubject: Mon justificatif\r\nDate: Tue, 24 Nov 2026 10:00:00 +0100\r\nMessage-ID: <1@courriel.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nBonjour,\r\n\r\nvoici  le document. \r\n"
	honest     = honestFrom + rest
)

var (
	courriel = core.Sender{MailFrom: "camille@courriel.test", Helo: "mx.courriel.test", Remote: "192.0.2.1", TLS: true}
	evil     = core.Sender{MailFrom: "x@evil.test", Helo: "mx.evil.test", Remote: "198.51.100.9"}
)

// newZone knows the honest domains, their forwarders, and one that is not.
func newZone() *zone {
	k := rsaKey().record()
	return &zone{
		failing: map[string]bool{}, hanging: map[string]bool{}, ip: map[string]string{},
		txt: map[string][]string{
			"courriel.test":                          {"v=spf1 ip4:192.0.2.1 -all", "some-verification=1"},
			"evil.test":                              {"v=spf1 +all"},
			"_dmarc.courriel.test":                   {"v=DMARC1; p=reject"},
			"_dmarc.strict.test":                     {"v=DMARC1; p=reject; adkim=s; aspf=s"},
			"s1._domainkey.courriel.test":            {k},
			"two._domainkey.courriel.test":           {otherKey().record()},
			"ed._domainkey.courriel.test":            {edKey().record()},
			"split._domainkey.courriel.test":         {"some other text", strings.Replace(k, "p=", "p= ", 1)},
			"short._domainkey.courriel.test":         {shortKey().record()},
			"almost._domainkey.courriel.test":        {almostKey().record()},
			"revoked._domainkey.courriel.test":       {"v=DKIM1; k=rsa; p="},
			"testing._domainkey.courriel.test":       {"t=y; " + k[len("v=DKIM1; "):]},
			"strictly._domainkey.courriel.test":      {k + "; t=s"},
			"sms._domainkey.courriel.test":           {k + "; s=sms"},
			"sha1._domainkey.courriel.test":          {k + "; h=sha1"},
			"several._domainkey.courriel.test":       {k, otherKey().record()},
			"huge._domainkey.courriel.test":          {k + "; n=" + strings.Repeat("x", 5000)},
			"junk._domainkey.courriel.test":          {"v=DKIM1; p=!!!"},
			"s1._domainkey.sub.courriel.test":        {k},
			"s1._domainkey.strict.test":              {k},
			"s1._domainkey.sub.strict.test":          {k},
			"s1._domainkey.evil.test":                {k},
			"s1._domainkey.liste.test":               {k},
			"s1._domainkey.a.gouv.fr":                {k},
			"s1._domainkey.b.gouv.fr":                {k},
			"s1._domainkey.gouv.fr":                  {k},
			"s1._domainkey.test":                     {k},
			"s1._domainkey.xn--mairie-nmes-7cb.test": {k},
			"arc._domainkey.sealer.test":             {k},
			"arc._domainkey.stranger.test":           {k},
			"arc._domainkey.hop.test":                {k},
		},
	}
}

// spoof is a message, and what is proven of its sender.
type spoof struct {
	name     string
	message  string
	envelope core.Sender
	zone     func(*zone)
	sealers  []string
	from     string
	proven   bool
	reason   string
	dkim     core.Result
}

const sixHours = 6 * time.Hour

func stamp(d time.Duration) string { return fmt.Sprint(time.Now().Add(d).Unix()) }

// tagged is a forged signature of courriel.test by the selector s, with more tags.
func tagged(s, more string) forged {
	return forged{tags: "v=1; a=rsa-sha256; c=relaxed/relaxed; d=courriel.test; s=" + s + more, h: "from:to:subject:date"}
}

func (f forged) with(change func(*forged)) forged { change(&f); return f }

func replace(s, old, new string) string {
	if !strings.Contains(s, old) {
		panic("nothing to replace: " + old)
	}
	return strings.Replace(s, old, new, 1)
}

func spoofs(t testing.TB) []spoof {
	f := func(from string) string { return gmail("From: " + from + "\r\n" + rest) }
	evilSigned := func(m string) string {
		return signed(m, dkim.SignOptions{Domain: "evil.test", HeaderCanonicalization: "relaxed", BodyCanonicalization: "relaxed"})
	}
	forward := func(m string) string { return replace(m, "Bonjour,", "[Liste] Bonjour,") }
	results := "dkim=pass header.d=courriel.test header.s=s1; spf=pass smtp.mailfrom=courriel.test"
	arc := func(results string) string {
		return sealed(t, forward(gmail(honest)), 1, "sealer.test", "none", results)
	}
	const me = "camille@courriel.test"
	none, fail, perm, policy, pass, temp := core.ResultNone, core.ResultFail, core.ResultPermError, core.ResultPolicy, core.ResultPass, core.ResultTempError
	listed := []string{"sealer.test"}
	return []spoof{
		// From: one field, one address, one reading.
		{name: "no From", message: rest, reason: "no_from"},
		{name: "two From, the signed one below", message: "From: maire@nimes.test\r\n" + gmail(honest), reason: "two_from"},
		{name: "two From, the signed one above", message: replace(gmail(honest), "To: ", "From: maire@nimes.test\r\nTo: "), reason: "two_from"},
		{name: "second From without over-signing", message: "From: maire@nimes.test\r\n" + tagged("s1", "").sign(honest), reason: "two_from"},
		{name: "second From, a blank before its colon", message: "From : maire@nimes.test\r\n" + gmail(honest), reason: "two_from"},
		{name: "second From after a BOM", message: "\uFEFFFrom: maire@nimes.test\r\n" + gmail(honest), reason: "two_from"},
		{name: "second From, indented on the first line", message: " From: maire@nimes.test\r\n" + gmail(honest), reason: "two_from"},
		{name: "second From after a header line that is none", message: replace(gmail(honest), "To: ", "garbage\r\nfRoM: maire@nimes.test\r\nTo: "), reason: "two_from"},
		{name: "From with a blank before its colon", message: gmail(replace(honest, "From:", "From :")), reason: "malformed_from"},
		{name: "From with NUL in its name", message: gmail(replace(honest, "From:", "Fr\x00om:")), reason: "malformed_header"},
		{name: "From with a no-break space in its name", message: gmail(replace(honest, "From:", "From\u00a0:")), reason: "malformed_from"},
		{name: "second From behind a lone CR", message: gmail(replace(honest, "To: ", "X-Y: z\rFrom: maire@nimes.test\r\nTo: ")), reason: "malformed_header"},
		{name: "two addresses", message: f("camille@courriel.test, maire@nimes.test"), reason: "several_addresses"},
		{name: "two addresses without a comma", message: f("<camille@courriel.test> <maire@nimes.test>"), reason: "several_addresses"},
		{name: "address for a name, unquoted", message: f("maire@nimes.test <camille@courriel.test>"), reason: "several_addresses"},
		{name: "address for a name in a comment before", message: f("(maire@nimes.test) camille@courriel.test"), reason: "malformed_from"},
		{name: "address for a name in a comment after", message: f("camille@courriel.test (maire@nimes.test)"), reason: "malformed_from"},
		{name: "group", message: f("Mairie: camille@courriel.test;"), reason: "group_address"},
		{name: "empty group", message: f("Mairie:;"), reason: "group_address"},
		{name: "empty From", message: f(""), reason: "malformed_from"},
		{name: "null address", message: f("Camille <>"), reason: "malformed_from"},
		{name: "no domain", message: f("camille"), reason: "malformed_from"},
		{name: "comment in the address", message: f("camille(@nimes.test)@courriel.test"), reason: "malformed_from"},
		{name: "comment within < >", message: f("<camille@courriel.test(x)>"), reason: "malformed_from"},
		{name: "source route", message: f("<@nimes.test:camille@courriel.test>"), reason: "malformed_from"},
		{name: "two at signs", message: f("<maire@nimes.test@courriel.test>"), reason: "malformed_from"},
		{name: "quoted local part", message: f(`"maire@nimes.test"@courriel.test`), reason: "malformed_from"},
		{name: "never closed", message: f("Camille <camille@courriel.test"), reason: "malformed_from"},
		{name: "text after the address", message: f("<camille@courriel.test>.nimes.test"), reason: "malformed_from"},
		{name: "encoded word for an address", message: f("=?utf-8?q?camille=40courriel=2Etest?="), reason: "malformed_from"},
		{name: "encoded word in the local part", message: f("<=?utf-8?q?maire?=@courriel.test>"), reason: "malformed_from"},
		{name: "address folded in two", message: f("camille@courriel.test\r\n .nimes.test"), reason: "malformed_from"},
		{name: "control in the address", message: f("camille\x01@courriel.test"), reason: "malformed_from"},
		{name: "zero-width character in the local part", message: f("cam\u200bille@courriel.test"), reason: "malformed_from"},
		{name: "no UTF-8 in the local part", message: f("h\xe9lene@courriel.test"), reason: "malformed_from"},
		{name: "IP address for a domain", message: f("camille@192.0.2.1"), reason: "malformed_from"},
		{name: "address literal", message: f("camille@[192.0.2.1]"), reason: "malformed_from"},
		{name: "Sender and Reply-To instead of From", message: "Sender: camille@courriel.test\r\nReply-To: camille@courriel.test\r\n" + rest, reason: "no_from"},

		// Somebody else's signature.
		{name: "display name of another", message: evilSigned("From: \"maire@nimes.test\" <x@evil.test>\r\n" + rest), from: "x@evil.test", proven: true, reason: "dkim_aligned", dkim: pass},
		{name: "encoded display name of another", message: evilSigned("From: =?utf-8?q?maire=40nimes=2Etest=3E?= <x@evil.test>\r\n" + rest), from: "x@evil.test", proven: true, reason: "dkim_aligned", dkim: pass},
		{name: "unsigned", message: honest, from: me, reason: "no_signature", dkim: none},
		{name: "unsigned, SPF passes", message: honest, envelope: courriel, from: me, reason: "no_signature", dkim: none},
		{name: "unsigned, null envelope", message: honest, envelope: core.Sender{Helo: "courriel.test", Remote: "192.0.2.1"}, from: me, reason: "no_signature", dkim: none},
		{name: "d= of another", message: evilSigned(honest), envelope: evil, from: me, reason: "unaligned", dkim: none},
		{name: "d= of a mailing list", message: signed(honest, dkim.SignOptions{Domain: "liste.test"}), from: me, reason: "unaligned", dkim: none},
		{name: "d= that ends like From's domain", message: signed(replace(honest, "courriel.test", "moncourriel.test"), relaxedOptions), from: "camille@moncourriel.test", reason: "unaligned", dkim: none},
		{name: "d= a public suffix", message: signed(replace(honest, "courriel.test", "a.gouv.fr"), dkim.SignOptions{Domain: "gouv.fr"}), from: "camille@a.gouv.fr", reason: "unaligned", dkim: none},
		{name: "d= a public suffix, From too", message: signed(replace(honest, "courriel.test", "gouv.fr"), dkim.SignOptions{Domain: "gouv.fr"}), from: "camille@gouv.fr", reason: "unaligned", dkim: none},
		{name: "d= a top-level domain", message: signed(honest, dkim.SignOptions{Domain: "test"}), from: me, reason: "unaligned", dkim: none},
		{name: "neighbour under a public suffix", message: signed(replace(honest, "courriel.test", "a.gouv.fr"), dkim.SignOptions{Domain: "b.gouv.fr"}), from: "camille@a.gouv.fr", reason: "unaligned", dkim: none},
		{name: "homoglyph domain", message: signed(replace(honest, "camille@courriel", "camille@c\u043eurriel"), relaxedOptions), from: "camille@xn--curriel-9ig.test", reason: "unaligned", dkim: none},
		{name: "punycode of a look-alike", message: gmail(replace(honest, "camille@courriel", "camille@xn--curriel-9ig")), from: "camille@xn--curriel-9ig.test", reason: "unaligned", dkim: none},
		{name: "punycode that is none", message: gmail(replace(honest, "camille@courriel", "camille@xn--zzzzzzz-")), reason: "malformed_from"},
		{name: "case of the local part is another address", message: gmail(replace(honest, "camille@", "Camille@")), from: "Camille@courriel.test", proven: true, reason: "dkim_aligned", dkim: pass},
		{name: "strict policy, signature of a subdomain", message: signed(replace(honest, "courriel.test", "strict.test"), dkim.SignOptions{Domain: "sub.strict.test"}), from: "camille@strict.test", reason: "strict_alignment", dkim: policy},

		// A signature that was tampered with.
		{name: "signed header changed", message: replace(gmail(honest), "Mon justificatif", "Votre virement"), from: me, reason: "bad_signature", dkim: fail},
		{name: "From changed", message: replace(gmail(honest), "camille@", "maire@"), from: "maire@courriel.test", reason: "bad_signature", dkim: fail},
		{name: "second Subject over a signed one", message: replace(gmail(honest), "Message-ID:", "Subject: Votre virement\r\nMessage-ID:"), from: me, reason: "bad_signature", dkim: fail},
		{name: "From replaced by one's own", message: replace(gmail(honest), honestFrom, "From: x@evil.test\r\n"), from: "x@evil.test", reason: "unaligned", dkim: none},
		{name: "body changed", message: replace(gmail(honest), "document", "virement"), from: me, reason: "bad_signature", dkim: fail},
		{name: "body appended to", message: gmail(honest) + "Et virez 1000 euros.\r\n", from: me, reason: "bad_signature", dkim: fail},
		{name: "body appended to, l=", message: tagged("s1", fmt.Sprintf("; l=%d", len(relaxBody(rest[strings.Index(rest, "\r\n\r\n")+4:])))).sign(honest) + "Et virez 1000 euros.\r\n", from: me, reason: "body_length", dkim: policy},
		{name: "l=, nothing appended", message: tagged("s1", "; l=35").sign(honest), from: me, reason: "body_length", dkim: policy},
		{name: "l=0", message: tagged("s1", "; l=0").with(func(f *forged) { f.body = "\r\n" }).sign(honest), from: me, reason: "body_length", dkim: policy},
		{name: "From not in h=", message: tagged("s1", "").with(func(f *forged) { f.h = "to:subject" }).sign(honest), from: me, reason: "from_unsigned", dkim: perm},
		{name: "expired", message: tagged("s1", "; t="+stamp(-sixHours)+"; x="+stamp(-time.Minute)).sign(honest), from: me, reason: "expired", dkim: perm},
		{name: "expires before it was made", message: tagged("s1", "; t="+stamp(30*time.Minute)+"; x="+stamp(20*time.Minute)).sign(honest), from: me, reason: "expired", dkim: perm},
		{name: "signed in the future", message: tagged("s1", "; t="+stamp(sixHours)).sign(honest), from: me, reason: "signed_in_future", dkim: policy},
		{name: "time that is none", message: tagged("s1", "; t=demain").sign(honest), from: me, reason: "malformed_signature", dkim: perm},
		{name: "SHA-1", message: forged{tags: "v=1; a=rsa-sha1; c=relaxed/relaxed; d=courriel.test; s=s1", h: "from:to", hash: crypto.SHA1}.sign(honest), from: me, reason: "weak_algorithm", dkim: policy},
		{name: "SHA-1 over a key for SHA-256", message: replace(tagged("s1", "").sign(honest), "rsa-sha256", "rsa-sha1"), from: me, reason: "weak_algorithm", dkim: policy},
		{name: "key type of another algorithm", message: replace(tagged("s1", "").sign(honest), "rsa-sha256", "ed25519-sha256"), from: me, reason: "bad_signature", dkim: fail},
		{name: "key of 512 bits", message: tagged("short", "").with(func(f *forged) { f.key = shortKey() }).sign(honest), from: me, reason: "weak_key", dkim: policy},
		{name: "key of 1020 bits", message: tagged("almost", "").with(func(f *forged) { f.key = almostKey() }).sign(honest), from: me, reason: "weak_key", dkim: policy},
		{name: "revoked key", message: tagged("revoked", "").sign(honest), from: me, reason: "key_revoked", dkim: perm},
		{name: "testing key", message: tagged("testing", "").sign(honest), from: me, reason: "key_testing", dkim: policy},
		{name: "key for other services", message: tagged("sms", "").sign(honest), from: me, reason: "no_key", dkim: perm},
		{name: "key for another hash", message: tagged("sha1", "").sign(honest), from: me, reason: "no_key", dkim: perm},
		{name: "several keys", message: tagged("several", "").sign(honest), from: me, reason: "no_key", dkim: perm},
		{name: "huge key record", message: tagged("huge", "").sign(honest), from: me, reason: "no_key", dkim: perm},
		{name: "key that is none", message: tagged("junk", "").sign(honest), from: me, reason: "no_key", dkim: perm},
		{name: "key of another selector", message: replace(gmail(honest), "s=s1", "s=two"), from: me, reason: "bad_signature", dkim: fail},
		{name: "no such selector", message: replace(gmail(honest), "s=s1", "s=nowhere"), from: me, reason: "no_key", dkim: perm},
		{name: "selector that is no name", message: tagged("*", "").sign(honest), from: me, reason: "malformed_signature", dkim: perm},
		{name: "i= of another domain", message: tagged("s1", "; i=@evil.test").sign(honest), from: me, reason: "bad_signature", dkim: fail},
		{name: "i= of a subdomain, against the key", message: tagged("strictly", "; i=@sub.courriel.test").sign(honest), from: me, reason: "malformed_signature", dkim: perm},
		{name: "tag named twice", message: tagged("s1", "; d=courriel.test").sign(honest), from: me, reason: "unaligned", dkim: none},
		{name: "no signature in the signature", message: "DKIM-Signature: v=1; a=rsa-sha256; d=courriel.test; s=s1; h=from; bh=; b=\r\n" + honest, from: me, reason: "malformed_signature", dkim: perm},
		{name: "another version", message: replace(tagged("s1", "").sign(honest), "v=1", "v=2"), from: me, reason: "bad_signature", dkim: fail},
		{name: "simple form, a blank added", message: replace(signed(honest, dkim.SignOptions{}), "voici  le", "voici   le"), from: me, reason: "bad_signature", dkim: fail},
		{name: "blank lines without number within", message: tagged("s1", "").sign(replace(honest, "Bonjour,", "Bonjour,"+strings.Repeat("\r\n", 5000))), from: me, reason: "bad_signature", dkim: fail},
		{name: "blank lines added where too many stand to be hashed", message: replace(gmail(replace(honest, "Bonjour,\r\n\r\n", "Bonjour,"+strings.Repeat("\r\n", 2048))), "Bonjour,", "Bonjour,\r\n\r\n"), from: me, reason: "bad_signature", dkim: fail},
		{name: "too many names in h=", message: tagged("s1", "").with(func(f *forged) { f.h = "from" + strings.Repeat(":x", 300) }).sign(honest), from: me, reason: "malformed_signature", dkim: perm},
		{name: "header without end", message: gmail(replace(honest, "To:", "X-Long: "+strings.Repeat("y", 300<<10)+"\r\nTo:")), reason: "header_too_large"},
		{name: "header of too many fields", message: gmail(replace(honest, "To:", strings.Repeat("X-Y: z\r\n", 1100)+"To:")), reason: "header_too_large"},
		{name: "header field of too many lines", message: gmail(replace(honest, "To:", "X-Y: z\r\n"+strings.Repeat(" z\r\n", 1100)+"To:")), reason: "header_too_large"},
		{name: "signature hidden behind nine others", message: strings.Repeat("DKIM-Signature: v=1; a=rsa-sha256; d=courriel.test; s=s1; h=from; bh=eA==; b=eA==\r\n", 9) + gmail(honest), from: me, reason: "bad_signature", dkim: fail},

		// Words about the message that anybody can write.
		{name: "forged Authentication-Results", message: "Authentication-Results: mairie.test; dkim=pass header.d=courriel.test\r\nReceived-SPF: pass\r\n" + honest, from: me, reason: "no_signature", dkim: none},
		{name: "ARC of a sealer not listed", message: sealed(t, forward(gmail(honest)), 1, "stranger.test", "none", results), sealers: listed, from: me, reason: "bad_signature", dkim: fail},
		{name: "ARC, no sealer listed", message: arc(results), from: me, reason: "bad_signature", dkim: fail},
		{name: "ARC in the name of a listed sealer", message: replace(arc(results), "ARC-Seal: i=1; a=rsa-sha256", "ARC-Seal: i=1; a=rsa-sha256; n=1"), sealers: listed, from: me, reason: "bad_signature", dkim: fail},
		{name: "ARC, seal of another message", message: replace(arc(results), "[Liste] Bonjour", "[Liste] Bonsoir"), sealers: listed, from: me, reason: "bad_signature", dkim: fail},
		{name: "ARC, results changed", message: replace(arc(strings.Replace(results, "dkim=pass", "dkim=fail", 1)), "dkim=fail", "dkim=pass"), sealers: listed, from: me, reason: "bad_signature", dkim: fail},
		{name: "ARC, cv=fail", message: sealed(t, arc(results), 2, "sealer.test", "fail", results), sealers: listed, from: me, reason: "bad_signature", dkim: fail},
		{name: "ARC, cv=pass out of nothing", message: sealed(t, forward(gmail(honest)), 1, "sealer.test", "pass", results), sealers: listed, from: me, reason: "bad_signature", dkim: fail},
		{name: "ARC, a set missing", message: replace(sealed(t, arc(results), 2, "sealer.test", "pass", results), "ARC-Message-Signature: i=1", "X-Message-Signature: i=1"), sealers: listed, from: me, reason: "bad_signature", dkim: fail},
		{name: "ARC, one instance twice", message: replace(sealed(t, arc(results), 2, "sealer.test", "pass", results), "ARC-Seal: i=1", "ARC-Seal: i=2"), sealers: listed, from: me, reason: "bad_signature", dkim: fail},
		{name: "ARC, an older seal broken", message: replace(sealed(t, sealed(t, forward(gmail(honest)), 1, "hop.test", "none", "dkim=none"), 2, "sealer.test", "pass", results), "dkim=none", "dkim=pass"), sealers: listed, from: me, reason: "bad_signature", dkim: fail},
		{name: "ARC, an older seal forged, and sealed over", message: sealed(t, replace(sealed(t, forward(gmail(honest)), 1, "hop.test", "none", "dkim=none"), "dkim=none", "dkim=pass"), 2, "sealer.test", "pass", results), sealers: listed, from: me, reason: "bad_signature", dkim: fail},
		{name: "ARC, message signed by another than sealed it", message: sealed(t, forward(gmail(honest)), 1, "sealer.test stranger.test", "none", results), sealers: listed, from: me, reason: "bad_signature", dkim: fail},
		{name: "ARC, results with a comment never closed", message: arc(results + "; spf=pass (x"), sealers: listed, from: me, reason: "bad_signature", dkim: fail},
		{name: "ARC, a stranger sealed after the listed one", message: sealed(t, arc(results), 2, "stranger.test", "pass", results), sealers: listed, from: me, reason: "bad_signature", dkim: fail},
		{name: "ARC, the sealer saw nothing pass", message: arc("dkim=fail header.d=courriel.test; spf=pass smtp.mailfrom=courriel.test; dmarc=pass header.from=courriel.test"), sealers: listed, from: me, reason: "bad_signature", dkim: fail},
		{name: "ARC, the sealer saw another domain", message: arc("dkim=pass header.d=evil.test header.i=@courriel.test"), sealers: listed, from: me, reason: "bad_signature", dkim: fail},
		{name: "ARC, results in a comment", message: arc("dkim=fail (x; dkim=pass header.d=courriel.test) header.d=evil.test"), sealers: listed, from: me, reason: "bad_signature", dkim: fail},
		{name: "ARC, results in a quoted string", message: arc(`dkim=fail header.d=evil.test; spf=pass smtp.mailfrom="; dkim=pass header.d=courriel.test ;"@evil.test`), sealers: listed, from: me, reason: "bad_signature", dkim: fail},
		{name: "ARC, results out of a comment that a sender closed", message: arc(`spf=pass (domain of "x) ; dkim=pass header.d=courriel.test ("@evil.test) smtp.mailfrom=x`), sealers: listed, from: me, reason: "bad_signature", dkim: fail},
		{name: "ARC, From changed after the seal", message: replace(arc(results), "camille@", "maire@"), sealers: listed, from: "maire@courriel.test", reason: "bad_signature", dkim: fail},

		// DNS.
		{name: "key not answered", message: gmail(honest), zone: func(z *zone) { z.failing["s1._domainkey.courriel.test"] = true }, from: me, reason: "dns_trouble", dkim: temp},
		{name: "key never answered", message: gmail(honest), zone: func(z *zone) { z.hanging["s1._domainkey.courriel.test"] = true }, from: me, reason: "dns_trouble", dkim: temp},
		{name: "nothing answered", message: gmail(honest), envelope: courriel, zone: func(z *zone) { z.failing["*"] = true }, from: me, reason: "dns_trouble", dkim: temp},
		{name: "policy not answered, relaxed alignment", message: signed(honest, dkim.SignOptions{Domain: "sub.courriel.test"}), zone: func(z *zone) { z.failing["_dmarc.courriel.test"] = true }, from: me, reason: "dns_trouble", dkim: temp},
	}
}

func honests(t testing.TB) []spoof {
	const me = "camille@courriel.test"
	with := func(change func(*dkim.SignOptions)) string {
		o := relaxedOptions
		change(&o)
		return signed(honest, o)
	}
	list := func(m string) string {
		return replace(replace(m, "Mon justificatif", "[Liste] Mon justificatif"), "Bonjour,", "Bonjour à tous,")
	}
	results := "dkim=pass (signature was verified) header.d=courriel.test; spf=fail smtp.mailfrom=liste.test"
	listed := []string{"Sealer.test"}
	cases := []spoof{
		{name: "relaxed/relaxed, RSA 2048, over-signed", message: gmail(honest)},
		{name: "all fields signed, by a professional service", message: with(func(o *dkim.SignOptions) { o.HeaderKeys = nil })},
		{name: "Ed25519", message: with(func(o *dkim.SignOptions) { o.Selector, o.Signer = "ed", edKey() })},
		{name: "RSA 1024", message: with(func(o *dkim.SignOptions) { o.Selector, o.Signer = "two", otherKey() })},
		{name: "simple/simple", message: signed(honest, dkim.SignOptions{})},
		{name: "relaxed/simple", message: with(func(o *dkim.SignOptions) { o.BodyCanonicalization = "simple" })},
		{name: "header folded anew and in other case on the way", message: replace(gmail(honest), "Subject: Mon justificatif", "SUBJECT:  Mon\r\n\tjustificatif")},
		{name: "Received added on the way", message: "Received: from a by b; Tue, 24 Nov 2026 10:00:00 +0100\r\nX-Virus: no\r\n" + gmail(honest)},
		{name: "blank lines added at the end", message: gmail(honest) + strings.Repeat("\r\n", 6000)},
		{name: "sent on to another envelope", message: gmail(honest), envelope: evil},
		{name: "signature of a subdomain", message: signed(honest, dkim.SignOptions{Domain: "sub.courriel.test"})},
		{name: "address of a subdomain", message: gmail(replace(honest, "@courriel", "@agence.courriel")), from: "camille@agence.courriel.test"},
		{name: "strict policy, domain itself", message: signed(replace(honest, "courriel.test", "strict.test"), dkim.SignOptions{Domain: "strict.test"}), from: "camille@strict.test"},
		{name: "ministry under a public suffix", message: signed(replace(honest, "courriel.test", "a.gouv.fr"), dkim.SignOptions{Domain: "a.gouv.fr"}), from: "camille@a.gouv.fr"},
		{name: "two signatures, of the provider and of the list", message: signed(gmail(honest), dkim.SignOptions{Domain: "liste.test"})},
		{name: "two signatures, the upper one broken", message: replace(tagged("s1", "").sign(gmail(honest)), "bh=", "bh=AAAA")},
		{name: "RSA and Ed25519", message: signed(gmail(honest), dkim.SignOptions{Selector: "ed", Signer: edKey()})},
		{name: "key with blanks, beside another text", message: with(func(o *dkim.SignOptions) { o.Selector = "split" })},
		{name: "expires tomorrow", message: with(func(o *dkim.SignOptions) { o.Expiration = time.Now().Add(24 * time.Hour) })},
		{name: "clock of the signer a little ahead", message: tagged("s1", "; t="+stamp(10*time.Minute)).sign(honest)},
		{name: "domain in other case", message: with(func(o *dkim.SignOptions) { o.Domain = "Courriel.TEST" })},
		{name: "From in other case", message: gmail(replace(honest, "@courriel.test", "@COURRIEL.Test"))},
		{name: "From folded", message: gmail(replace(honest, "Martin <", "Martin\r\n\t<"))},
		{name: "From alone, with its name behind", message: gmail(replace(honest, "Camille Martin <camille@courriel.test>", "camille@courriel.test (Camille Martin)"))},
		{name: "From twice itself", message: gmail(replace(honest, "Camille Martin <", "camille@courriel.test <"))},
		{name: "raw bytes in the name", message: gmail(replace(honest, "Camille", "L\xe9a"))},
		{name: "IDN domain", message: signed(replace(honest, "camille@courriel", "camille@Mairie-Nîmes"), dkim.SignOptions{Domain: "xn--mairie-nmes-7cb.test"}), from: "camille@xn--mairie-nmes-7cb.test"},
		{name: "IDN domain, U-labels in the signature", message: signed(replace(honest, "camille@courriel", "camille@mairie-nîmes"), dkim.SignOptions{Domain: "mairie-nîmes.test"}), from: "camille@xn--mairie-nmes-7cb.test"},
		{name: "UTF-8 local part, decomposed", message: gmail(replace(honest, "camille@", "he\u0301le\u0300ne@")), from: "hélène@courriel.test"},
		{name: "bare LF", message: strings.ReplaceAll(gmail(honest), "\r\n", "\n")},
		{name: "mixed line ends", message: strings.Replace(gmail(honest), "Bonjour,\r\n", "Bonjour,\n", 1)},
		{name: "policy not answered, own domain", message: gmail(honest), zone: func(z *zone) { z.failing["_dmarc.courriel.test"] = true }},
		{name: "policy malformed", message: signed(honest, dkim.SignOptions{Domain: "sub.courriel.test"}), zone: func(z *zone) { z.txt["_dmarc.courriel.test"] = []string{"v=DMARC1; p=None"} }},
		{name: "list with a listed ARC sealer", message: sealed(t, list(gmail(honest)), 1, "sealer.test", "none", results), sealers: listed, dkim: core.ResultFail},
		{name: "list with a listed ARC sealer, header.i", message: sealed(t, list(gmail(honest)), 1, "sealer.test", "none", "dkim=pass header.i=@courriel.test header.s=s1 header.b=abc"), sealers: listed, dkim: core.ResultFail},
		{name: "second hop with a listed ARC sealer", message: sealed(t, list(sealed(t, gmail(honest), 1, "hop.test", "none", "dkim=pass header.d=courriel.test")), 2, "sealer.test", "pass", results), sealers: listed, dkim: core.ResultFail},
		{name: "listed ARC sealer, signature gone", message: sealed(t, list(honest), 1, "sealer.test", "none", results), sealers: listed, dkim: core.ResultNone},
	}
	for i := range cases {
		c := &cases[i]
		c.proven, c.reason = true, mailauth.ReasonDKIM
		if c.sealers != nil {
			c.reason = mailauth.ReasonARC
		}
		if c.from == "" {
			c.from = me
		}
		if c.dkim == "" {
			c.dkim = core.ResultPass
		}
	}
	return cases
}

func (s spoof) authenticate(t testing.TB, z *zone) core.Origin {
	t.Helper()
	a := mailauth.New(mailauth.Config{Resolver: z, Sealers: s.sealers, Timeout: 100 * time.Millisecond})
	o, err := a.Authenticate(t.Context(), strings.NewReader(s.message), s.envelope)
	if err != nil {
		t.Fatalf("error %v", err)
	}
	return o
}

func (s spoof) zoned() *zone {
	z := newZone()
	if s.zone != nil {
		s.zone(z)
	}
	return z
}

func TestSEC44_Spoofs(t *testing.T) {
	for _, s := range spoofs(t) {
		t.Run(s.name, func(t *testing.T) { s.check(t) })
	}
}

func TestSEC44_HonestMail(t *testing.T) {
	for _, s := range honests(t) {
		t.Run(s.name, func(t *testing.T) { s.check(t) })
	}
}

func (s spoof) check(t *testing.T) {
	if s.dkim == "" {
		s.dkim = core.ResultNone
	}
	o := s.authenticate(t, s.zoned())
	if o.From != s.from || o.Proven != s.proven || o.Reason != s.reason || o.DKIM != s.dkim {
		t.Errorf("from %q proven %v reason %s dkim %s, want from %q proven %v reason %s dkim %s",
			o.From, o.Proven, o.Reason, o.DKIM, s.from, s.proven, s.reason, s.dkim)
	}
	if o.Proven != (o.Domain != "") || (o.Sealer != "") != (o.Reason == mailauth.ReasonARC) {
		t.Errorf("proven %v by domain %q, sealer %q", o.Proven, o.Domain, o.Sealer)
	}
	if wantTrouble := s.dkim == core.ResultTempError; o.Trouble != wantTrouble {
		t.Errorf("trouble %v, want %v", o.Trouble, wantTrouble)
	}
}

// DNS in trouble: whichever questions are not answered, nothing becomes more proven.
func TestSEC44_TroubleNeverRaises(t *testing.T) {
	for _, s := range append(spoofs(t), honests(t)...) {
		if s.zone != nil {
			continue
		}
		if s.envelope == (core.Sender{}) {
			s.envelope = courriel
		}
		z := newZone()
		before := s.authenticate(t, z)
		for _, name := range append(z.names(), "*") {
			z := newZone()
			z.failing[name] = true
			after := s.authenticate(t, z)
			if after.Proven && !before.Proven || after.DMARC == core.ResultPass && before.DMARC != core.ResultPass || after.From != before.From {
				t.Errorf("%s: without %s %v %s, with it %v %s", s.name, name, after.Proven, after.DMARC, before.Proven, before.DMARC)
			}
			if before.Proven && !after.Proven && !after.Trouble {
				t.Errorf("%s: without %s no longer proven, and no trouble", s.name, name)
			}
		}
	}
}
