package mailauth_test

import (
	"testing"
	"time"

	"vaguemestre/channels/mail/mailauth"
	"vaguemestre/core"
)

// SEC-44, SEC-52: of Authentication-Results the topmost are believed, if the mailbox's
// town named the server that wrote them; a signature that holds needs none.
func TestSEC52_TrustedServer(t *testing.T) {
	const (
		me   = "mx.mairie.test"
		pass = "dkim=pass header.d=courriel.test"
	)
	results := func(who, said string) string { return "Authentication-Results: " + who + "; " + said + "\r\n" }
	for name, tc := range map[string]struct {
		message string
		trusted string
		reason  string
		proven  bool
		dmarc   core.Result
		zone    func(*zone)
	}{
		"nobody named":                 {message: results(me, pass) + honest, reason: mailauth.ReasonNoSignature, dmarc: core.ResultFail},
		"named":                        {message: results(me, pass) + honest, trusted: me, reason: mailauth.ReasonMTA, proven: true, dmarc: core.ResultFail},
		"in capitals, with a version":  {message: "authentication-RESULTS: MX.mairie.TEST 1;\r\n\t dkim=pass (2048-bit key) header.i=@courriel.test header.s=s1\r\n" + honest, trusted: me, reason: mailauth.ReasonMTA, proven: true, dmarc: core.ResultFail},
		"of the organisation":          {message: results(me, "dkim=pass header.d=sub.courriel.test") + honest, trusted: me, reason: mailauth.ReasonMTA, proven: true, dmarc: core.ResultFail},
		"dmarc, and dkim":              {message: results(me, "dmarc=pass header.from=courriel.test; "+pass) + honest, trusted: me, reason: mailauth.ReasonMTA, proven: true, dmarc: core.ResultPass},
		"dmarc alone":                  {message: results(me, "dmarc=pass header.from=courriel.test") + honest, trusted: me, reason: mailauth.ReasonNoSignature, dmarc: core.ResultPass},
		"dmarc of another":             {message: results(me, "dmarc=pass header.from=evil.test") + honest, trusted: me, reason: mailauth.ReasonNoSignature, dmarc: core.ResultFail},
		"spf":                          {message: results(me, "spf=pass smtp.mailfrom=courriel.test") + honest, trusted: me, reason: mailauth.ReasonNoSignature, dmarc: core.ResultFail},
		"failed":                       {message: results(me, "dkim=fail header.d=courriel.test") + honest, trusted: me, reason: mailauth.ReasonNoSignature, dmarc: core.ResultFail},
		"unaligned":                    {message: results(me, "dkim=pass header.d=evil.test") + honest, trusted: me, reason: mailauth.ReasonNoSignature, dmarc: core.ResultFail},
		"another server":               {message: results("mx.evil.test", pass) + honest, trusted: me, reason: mailauth.ReasonNoSignature, dmarc: core.ResultFail},
		"a name that begins alike":     {message: results(me+".evil.test", pass) + honest, trusted: me, reason: mailauth.ReasonNoSignature, dmarc: core.ResultFail},
		"below another's":              {message: results("mx.evil.test", "dkim=none") + results(me, pass) + honest, trusted: me, reason: mailauth.ReasonNoSignature, dmarc: core.ResultFail},
		"below its own":                {message: results(me, "dkim=none") + results(me, pass) + honest, trusted: me, reason: mailauth.ReasonNoSignature, dmarc: core.ResultFail},
		"in a comment":                 {message: results(me, "dkim=none (said: ; "+pass+")") + honest, trusted: me, reason: mailauth.ReasonNoSignature, dmarc: core.ResultFail},
		"in quotes":                    {message: results(me, `auth=pass smtp.auth="x; `+pass+`"`) + honest, trusted: me, reason: mailauth.ReasonNoSignature, dmarc: core.ResultFail},
		"two From":                     {message: results(me, pass) + "From: x@evil.test\r\n" + honest, trusted: me, reason: mailauth.ReasonTwoFrom, dmarc: core.ResultNone},
		"strict policy, a subdomain":   {message: results(me, "dkim=pass header.d=sub.strict.test") + replace(honest, "courriel.test", "strict.test"), trusted: me, reason: mailauth.ReasonNoSignature, dmarc: core.ResultFail},
		"strict, DNS does not answer":  {message: results(me, "dkim=pass header.d=sub.strict.test") + replace(honest, "courriel.test", "strict.test"), trusted: me, reason: mailauth.ReasonNoSignature, dmarc: core.ResultTempError, zone: func(z *zone) { z.failing["_dmarc.strict.test"] = true }},
		"a signature that holds":       {message: results(me, "dkim=fail header.d=courriel.test") + gmail(honest), trusted: me, reason: mailauth.ReasonDKIM, proven: true, dmarc: core.ResultPass},
		"one that held and is broken":  {message: results(me, pass) + replace(gmail(honest), "document", "Document"), trusted: me, reason: mailauth.ReasonMTA, proven: true, dmarc: core.ResultFail},
		"one that is broken, unheeded": {message: replace(gmail(honest), "document", "Document"), trusted: me, reason: mailauth.ReasonBadSignature, dmarc: core.ResultFail},
	} {
		t.Run(name, func(t *testing.T) {
			s := spoof{message: tc.message, envelope: core.Sender{Delivered: time.Now(), Trusted: tc.trusted}, zone: tc.zone}
			o := s.authenticate(t, s.zoned())
			if o.Proven != tc.proven || o.Reason != tc.reason || o.DMARC != tc.dmarc || o.Automatic {
				t.Errorf("proven %v by %s, dmarc %s, automatic %v; want %v %s %s", o.Proven, o.Reason, o.DMARC, o.Automatic, tc.proven, tc.reason, tc.dmarc)
			}
		})
	}
	null := spoof{message: "Return-Path: <>\r\n" + honest, envelope: core.Sender{Delivered: time.Now()}}
	if o := null.authenticate(t, null.zoned()); !o.Automatic {
		t.Error("a message from a mailbox, without a return path, counts as a person's")
	}
}
