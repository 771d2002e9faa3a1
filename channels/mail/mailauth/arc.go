package mailauth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"vaguemestre/core"
)

// maxHops is how many sets of an ARC chain are verified. RFC 8617 §4.2.1 allows 50; each
// costs us a key lookup, and mail that people forward has seldom three.
const maxHops = 10

// arcSet is what one handler of a message added to it (RFC 8617 §4.1).
type arcSet struct {
	results, message, seal field
	messageTags, sealTags  tags
}

// chain is the ARC chain of a message.
type chain struct {
	header header
	sets   []arcSet // in order of their instances
	sealer string   // domain of the newest seal, if that is believed and the chain whole; else ""
	body   *bodyHash
}

// chain puts the ARC sets of the message together, and looks at all of the chain that
// needs no key (RFC 8617 §5.2, steps 1 to 3).
func (h header) chain(sealers map[string]bool, now time.Time) chain {
	results, messages, seals := h.all("ARC-Authentication-Results"), h.all("ARC-Message-Signature"), h.all("ARC-Seal")
	n := len(seals)
	if len(sealers) == 0 || n == 0 || n > maxHops || len(results) != n || len(messages) != n {
		return chain{}
	}
	sets := make([]arcSet, n)
	for _, f := range results {
		first, _, _ := strings.Cut(f.value, ";")
		if i := instance(parseTags(first), n); i >= 0 {
			sets[i].results = f
		}
	}
	for _, f := range messages {
		if t := parseTags(f.value); instance(t, n) >= 0 {
			sets[instance(t, n)].message, sets[instance(t, n)].messageTags = f, t
		}
	}
	for _, f := range seals {
		if t := parseTags(f.value); instance(t, n) >= 0 {
			sets[instance(t, n)].seal, sets[instance(t, n)].sealTags = f, t
		}
	}
	c := chain{header: h, sets: sets}
	last := sets[n-1]
	sealer := aLabels(last.sealTags.word("d"))
	if !sealers[sealer] || aLabels(last.messageTags.word("d")) != sealer || !c.whole() {
		return chain{}
	}
	if _, against := last.messageTags.judge(now); against != "" || slices.Contains(last.messageTags.list("h"), arcAlso) {
		return chain{}
	}
	c.sealer, c.body = sealer, newBodyHash(last.messageTags.canon(1) == "relaxed")
	return c
}

// instance is the place in a chain of n sets of a field with these tags; -1 for none.
func instance(t tags, n int) int {
	i, err := strconv.Atoi(t.word("i"))
	if err != nil || i < 1 || i > n {
		return -1
	}
	return i - 1
}

// whole reports whether every set is complete and says of the chain before it what has
// to be said: nothing for the first, that it held for the others.
func (c chain) whole() bool {
	for i, s := range c.sets {
		held := "pass"
		if i == 0 {
			held = "none"
		}
		_, signsFields := s.sealTags["h"]
		if s.results.name == "" || s.messageTags == nil || s.sealTags == nil || s.sealTags.word("cv") != held || signsFields {
			return false
		}
	}
	return true
}

// hash is where the body is to be written.
func (c chain) hash() io.Writer {
	if c.body == nil {
		return io.Discard
	}
	return c.body
}

// verify reports whether the newest ARC-Message-Signature and every seal hold, the
// newest first: a stranger who forges a chain makes us look up no key of his own.
// cut says that not all of the body was hashed.
func (c chain) verify(ctx context.Context, dns *questions, cut bool) core.Result {
	last := c.sets[len(c.sets)-1].messageTags
	if cut || !bytes.Equal(c.body.digest(), last.bytes("bh")) {
		return core.ResultFail
	}
	if r := c.holds(ctx, dns, last, c.signedHeader()); r != core.ResultPass {
		return r
	}
	for n := len(c.sets); n > 0; n-- {
		if r := c.holds(ctx, dns, c.sets[n-1].sealTags, c.sealed(n)); r != core.ResultPass {
			return r
		}
	}
	return core.ResultPass
}

// holds reports whether t signs text.
func (c chain) holds(ctx context.Context, dns *questions, t tags, text string) core.Result {
	k := fetchKey(ctx, dns, t)
	switch {
	case k.result != core.ResultPass:
		return k.result
	case !k.signed(t.word("a"), sha256.Sum256([]byte(text)), t.bytes("b")):
		return core.ResultFail
	}
	return core.ResultPass
}

// signedHeader is what the newest ARC-Message-Signature signs of the header: for each
// name in h= the lowest field not taken yet, then itself (RFC 6376 §5.4.2, §3.7).
func (c chain) signedHeader() string {
	last := c.sets[len(c.sets)-1]
	canonical := relaxed
	if last.messageTags.canon(0) != "relaxed" {
		canonical = field.raw
	}
	fields := map[string][]field{}
	for _, f := range c.header.fields {
		name := strings.ToLower(strings.TrimSpace(f.name))
		fields[name] = append(fields[name], f)
	}
	var text strings.Builder
	for _, name := range last.messageTags.list("h") {
		if left := fields[name]; len(left) > 0 {
			text.WriteString(canonical(left[len(left)-1]))
			fields[name] = left[:len(left)-1]
		}
	}
	text.WriteString(strings.TrimRight(canonical(unsigned(last.message)), "\r\n"))
	return text.String()
}

// sealed is what the n-th seal signs: all sets up to its own, in order (RFC 8617 §5.1.1).
func (c chain) sealed(n int) string {
	var text strings.Builder
	for _, s := range c.sets[:n-1] {
		text.WriteString(relaxed(s.results) + relaxed(s.message) + relaxed(s.seal))
	}
	last := c.sets[n-1]
	text.WriteString(relaxed(last.results) + relaxed(last.message) + strings.TrimRight(relaxed(unsigned(last.seal)), "\r\n"))
	return text.String()
}

// canon is the canonicalisation of the header (0) or of the body (1).
func (t tags) canon(part int) string {
	forms := strings.Split(strings.ToLower(t.word("c")), "/")
	if part >= len(forms) || forms[part] == "" {
		return "simple"
	}
	return forms[part]
}

// relaxed is a field in the form of RFC 6376 §3.4.2.
func relaxed(f field) string {
	value := strings.Join(strings.FieldsFunc(f.value, func(r rune) bool { return strings.ContainsRune(" \t\r\n", r) }), " ")
	return strings.ToLower(strings.TrimSpace(f.name)) + ":" + value + "\r\n"
}

// unsigned is a field of tags with the value of b= taken out.
func unsigned(f field) field {
	pairs := strings.Split(f.value, ";")
	for i, pair := range pairs {
		if key, _, ok := strings.Cut(pair, "="); ok && strings.TrimSpace(key) == "b" {
			pairs[i] = key + "="
		}
	}
	f.value = strings.Join(pairs, ";")
	return f
}
