// Package mailauth finds out what is proven about who wrote a message (SEC-44): by DKIM
// (RFC 6376) aligned with From as in DMARC (RFC 7489), or by a sealer of ARC (RFC 8617)
// that is believed. It looks at the raw bytes, and asks DNS through a resolver it is
// given. Nothing that a message says of itself is believed: not the display name, not
// Sender or Reply-To, and no Authentication-Results, whoever is said to have written it,
// but the topmost of a message from a mailbox whose town named its server.
package mailauth

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"vaguemestre/core"
)

// Reasons, in core.Origin.Reason. They are stable.
const (
	// Proven.
	ReasonDKIM = "dkim_aligned"   // a signature of From's domain, or of its organisation, holds
	ReasonARC  = "arc_sealer"     // a listed sealer saw one that held
	ReasonMTA  = "trusted_server" // the server that put the message into the mailbox saw one that held

	// There is no From to prove; Origin.From is "".
	ReasonNoFrom           = "no_from"
	ReasonTwoFrom          = "two_from"
	ReasonSeveralAddresses = "several_addresses"
	ReasonGroup            = "group_address"
	ReasonMalformedFrom    = "malformed_from"   // programs might read it in different ways
	ReasonMalformedHeader  = "malformed_header" // NUL, or CR alone
	ReasonHeaderTooLarge   = "header_too_large" // past 256 KiB, 1000 fields, or 1000 lines in one

	// No signature that could count.
	ReasonNoSignature = "no_signature"
	ReasonUnaligned   = "unaligned"        // none of From's organisation
	ReasonStrict      = "strict_alignment" // of the organisation, but From's domain wants its own

	// Of the signatures that could, the best is none.
	ReasonMalformedSignature = "malformed_signature"
	ReasonWeakAlgorithm      = "weak_algorithm" // SHA-1, or one that we do not know
	ReasonFromUnsigned       = "from_unsigned"
	ReasonBodyLength         = "body_length" // l=: anybody may have added to the body
	ReasonFuture             = "signed_in_future"
	ReasonExpired            = "expired"
	ReasonNoKey              = "no_key"
	ReasonKeyRevoked         = "key_revoked"
	ReasonKeyTesting         = "key_testing" // t=y: to be treated as unsigned
	ReasonWeakKey            = "weak_key"    // RSA below 1024 bits, or beyond 8192
	ReasonBadSignature       = "bad_signature"
	ReasonTrouble            = "dns_trouble"
)

// Config is how senders are authenticated. Its zero value is good.
type Config struct {
	Resolver      Resolver         // net.DefaultResolver when nil
	Now           func() time.Time // time.Now when nil
	Sealers       []string         // domains whose ARC seals are believed; none by default
	MaxSignatures int              // looked at, from the top; 8 when zero
	MaxQuestions  int              // to DNS for one message: so many for SPF, so many besides; 40 when zero
	Timeout       time.Duration    // of all questions to DNS together; 10 s when zero
}

// Authenticator finds out what is proven about senders.
type Authenticator struct {
	cfg     Config
	sealers map[string]bool
}

// New builds an authenticator. Sealers that are no domain names are left out.
func New(cfg Config) *Authenticator {
	if cfg.Resolver == nil {
		cfg.Resolver = net.DefaultResolver
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MaxSignatures == 0 {
		cfg.MaxSignatures = 8
	}
	if cfg.MaxQuestions == 0 {
		cfg.MaxQuestions = 40
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	a := &Authenticator{cfg: cfg, sealers: map[string]bool{}}
	for _, domain := range cfg.Sealers {
		if name := aLabels(domain); name != "" {
			a.sealers[name] = true
		}
	}
	return a
}

// Authenticate says what is proven about who wrote the message, which s handed over.
// It reads the message once and no further than it has to, in memory that does not grow
// with it: no part of the body is read when no signature could count.
//
// Proven means that From's domain vouches for the message as it is, not for whom it was
// sent to: a message sent on by somebody who received it is as proven as it was. SPF is
// noted, counts for DMARC, and proves nothing. DMARC is pass when DKIM or SPF passes for
// a domain aligned with From, whether or not a policy is published; else none, or fail
// where there is a policy. What DNS cannot answer now is never taken for the better
// answer: nothing is Proven that would not be with DNS in order.
//
// The error is one of message, wrapped, or of ctx. Anything a sender does is a result.
func (a *Authenticator) Authenticate(ctx context.Context, message io.Reader, s core.Sender) (core.Origin, error) {
	br := bufio.NewReaderSize(message, 32<<10)
	h, err := readHeader(br)
	if err != nil {
		return core.Origin{}, fmt.Errorf("read header: %w", err)
	}
	o := core.Origin{DKIM: core.ResultNone, SPF: core.ResultNone, DMARC: core.ResultNone, Automatic: h.automatic(s)}
	from, reason := h.from()
	if reason != "" {
		o.Reason = reason
		return o, nil
	}
	o.From, o.Name, o.Automatic = from.String(), from.name, o.Automatic || from.automatic()

	asking, stop := context.WithTimeout(ctx, a.cfg.Timeout)
	defer stop()
	dns := &questions{resolver: a.cfg.Resolver, left: a.cfg.MaxQuestions}
	spfDNS := &questions{resolver: a.cfg.Resolver, left: a.cfg.MaxQuestions} // may use up its own, not those for keys
	var (
		wg       sync.WaitGroup
		envelope core.Result
		policy   policy
	)
	wg.Go(func() { envelope = checkSPF(asking, spfDNS, s) })
	wg.Go(func() { policy = fetchPolicy(asking, dns, from.domain) })
	sigs := h.signatures(from.domain, a.cfg.MaxSignatures, a.cfg.Now())
	records := keys(asking, dns, sigs)
	chain := h.chain(a.sealers, a.cfg.Now())
	b := &body{ctx: ctx, r: br}
	if len(records) > 0 {
		verify(h, b, chain.hash(), sigs, records)
	}
	if chain.sealer != "" {
		io.Copy(chain.hash(), b) // what the library left; body never fails
	}
	if b.failed() != nil {
		stop()
	}
	wg.Wait()
	o.SPF = envelope
	verdict := verdict{Origin: o, from: from.domain, policy: policy}
	verdict.dkim(sigs)
	if !verdict.Proven && chain.sealer != "" {
		verdict.arc(chain, chain.verify(asking, dns, b.cut))
	}
	verdict.dmarc(envelopeDomain(s))
	verdict.trust(h, s.Trusted)
	switch {
	case ctx.Err() != nil:
		return core.Origin{}, ctx.Err()
	case b.failed() != nil:
		return core.Origin{}, fmt.Errorf("read message: %w", b.failed())
	}
	return verdict.Origin, nil
}

// verdict is an origin being decided.
type verdict struct {
	core.Origin
	from   string // the domain of From
	policy policy
}

// dkim takes the best of the signatures: one that holds, and is aligned as the policy of
// From's domain wants it.
func (v *verdict) dkim(sigs []signature) {
	v.Reason = ReasonNoSignature
	for _, s := range sigs {
		if s.result == core.ResultPass && !aligned(s.domain, v.from, v.policy.strictDKIM) {
			s.result, s.reason = core.ResultPolicy, ReasonStrict
			if v.policy.result == core.ResultTempError {
				s.result, s.reason = core.ResultTempError, ReasonTrouble
			}
		}
		if better(s.result, v.DKIM) || v.Reason == ReasonNoSignature {
			v.DKIM, v.Reason = s.result, s.reason
			if s.result == core.ResultPass {
				v.Proven, v.Domain = true, s.domain
			}
		}
		v.Trouble = v.Trouble || s.result == core.ResultTempError
	}
}

// arc takes what the sealer saw, when its chain holds.
func (v *verdict) arc(c chain, result core.Result) {
	v.Trouble = v.Trouble || result == core.ResultTempError
	if result != core.ResultPass {
		return
	}
	for _, domain := range c.passed() {
		if aligned(domain, v.from, v.policy.strictDKIM) {
			v.Proven, v.Domain, v.Sealer, v.Reason = true, domain, c.sealer, ReasonARC
			return
		}
		v.Trouble = v.Trouble || v.policy.result == core.ResultTempError && aligned(domain, v.from, false)
	}
}

// dmarc sums up (RFC 7489 §6.6.2).
func (v *verdict) dmarc(envelope string) {
	near := envelope != "" && aligned(envelope, v.from, false)
	passed := near && v.SPF == core.ResultPass && aligned(envelope, v.from, v.policy.strictSPF)
	unsure := near && (v.SPF == core.ResultTempError || v.SPF == core.ResultPass && v.policy.result == core.ResultTempError)
	switch {
	case v.DKIM == core.ResultPass, passed:
		v.DMARC = core.ResultPass
	case v.DKIM == core.ResultTempError, unsure, v.policy.result == core.ResultTempError:
		v.DMARC = core.ResultTempError
	case v.policy.result == core.ResultPass:
		v.DMARC = core.ResultFail
	default:
		v.DMARC = v.policy.result
	}
	v.Trouble = v.Trouble && !v.Proven
}
