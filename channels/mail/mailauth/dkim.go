package mailauth

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"

	"github.com/emersion/go-msgauth/dkim"

	"vaguemestre/core"
)

// keys looks up the keys that the signatures not yet judged name, each once, and judges
// those signatures that have none to be used. It gives the records of the others.
func keys(ctx context.Context, dns *questions, sigs []signature) map[string]string {
	var (
		wg    sync.WaitGroup
		found = map[string]*key{}
	)
	for _, s := range sigs {
		if s.reason != "" || found[s.keyName()] != nil {
			continue
		}
		k := new(key)
		found[s.keyName()] = k
		wg.Go(func() { *k = fetchKey(ctx, dns, s.tags) })
	}
	wg.Wait()
	records := map[string]string{}
	for i, s := range sigs {
		k := found[s.keyName()]
		switch {
		case s.reason != "":
		case k.result != core.ResultPass:
			sigs[i].result, sigs[i].reason = k.result, k.reason
		case k.strict && !strings.EqualFold(s.identity(), "@"+s.word("d")):
			sigs[i].result, sigs[i].reason = core.ResultPermError, ReasonMalformedSignature
		default:
			records[s.keyName()] = k.record
		}
	}
	return records
}

// identity is the domain that a signature names in i=, after an @; d= when it names none.
func (t tags) identity() string {
	i := t.word("i")
	if at := strings.LastIndexByte(i, '@'); at >= 0 {
		return i[at:]
	}
	return "@" + t.word("d")
}

// verify lets the DKIM library verify the signatures whose keys are known, over the raw
// fields and all of the body; it judges them, and no other.
func verify(h header, b *body, tee io.Writer, sigs []signature, records map[string]string) {
	verified, err := dkim.VerifyWithOptions(io.MultiReader(strings.NewReader(h.text()), io.TeeReader(b, tee)), &dkim.VerifyOptions{
		MaxVerifications: len(sigs),
		LookupTXT: func(name string) ([]string, error) {
			if record, ok := records[name]; ok {
				return []string{record}, nil
			}
			return nil, &net.DNSError{Err: "not asked for", IsNotFound: true}
		},
	})
	if err != nil && err != dkim.ErrTooManySignatures || len(verified) != len(sigs) {
		verified = nil
	}
	for i, s := range sigs {
		if s.reason != "" {
			continue
		}
		sigs[i].result, sigs[i].reason = core.ResultFail, ReasonBadSignature
		if verified != nil && verified[i].Err == nil && aLabels(verified[i].Domain) == s.domain && !b.cut {
			sigs[i].result, sigs[i].reason = core.ResultPass, ReasonDKIM
		}
	}
}
