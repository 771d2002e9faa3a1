package attribution

import (
	"context"
	"testing"

	"vaguemestre/core"
	"vaguemestre/core/address"
	"vaguemestre/core/vault"
)

// book is who writes from where, by canonical address.
type book map[string][]core.CitizenID

func (b book) VaultsOf(_ context.Context, _ core.TenantID, hash []byte) ([]core.CitizenID, error) {
	for from, vaults := range b {
		if h, _ := address.HashSender(index, from); string(h) == string(hash) {
			return vaults, nil
		}
	}
	return nil, nil
}

var index = vault.NewIndex(make([]byte, 32))

func proven(from string) core.Origin {
	return core.Origin{From: from, Proven: true, Reason: "dkim_aligned"}
}

// The table of SECURITY.md §3, and what tries to climb it.
func TestSEC44_TrustLevels(t *testing.T) {
	known := book{
		"zoe@ville.test":       {"zoe"},
		"ana@ville.test":       {"ana"},
		"famille@ville.test":   {"ana", "zoe"},
		"Zoé@xn--dpt-bma0d.fr": {"zoe"},
	}
	for name, c := range map[string]struct {
		owner  core.CitizenID
		origin core.Origin
		want   core.Attribution
	}{
		"secret address, own verified sender":            {"zoe", proven("zoe@ville.test"), core.Attribution{Vault: "zoe", Trust: core.T3, Reason: reasonOwnSender}},
		"secret address, domain in capitals":             {"zoe", proven("zoe@VILLE.test"), core.Attribution{Vault: "zoe", Trust: core.T3, Reason: reasonOwnSender}},
		"secret address, sender in letters":              {"zoe", proven("Zoé@dépôt.fr"), core.Attribution{Vault: "zoe", Trust: core.T3, Reason: reasonOwnSender}},
		"secret address, shared mailbox of its owner":    {"zoe", proven("famille@ville.test"), core.Attribution{Vault: "zoe", Trust: core.T3, Reason: reasonOwnSender}},
		"secret address, another citizen's sender":       {"zoe", proven("ana@ville.test"), core.Attribution{Vault: "zoe", Trust: core.T2, Reason: reasonSecret}},
		"secret address, unknown sender":                 {"zoe", proven("x@autre.test"), core.Attribution{Vault: "zoe", Trust: core.T2, Reason: reasonSecret}},
		"secret address, own sender unproven":            {"zoe", core.Origin{From: "zoe@ville.test", Reason: "no_signature"}, core.Attribution{Vault: "zoe", Trust: core.T2, Reason: reasonSecret}},
		"secret address, SPF and DMARC alone":            {"zoe", core.Origin{From: "zoe@ville.test", SPF: core.ResultPass, DMARC: core.ResultPass}, core.Attribution{Vault: "zoe", Trust: core.T2, Reason: reasonSecret}},
		"secret address, DNS in trouble":                 {"zoe", core.Origin{From: "zoe@ville.test", Trouble: true, DKIM: core.ResultTempError}, core.Attribution{Vault: "zoe", Trust: core.T2, Reason: reasonSecret}},
		"secret address, no sender":                      {"zoe", core.Origin{Proven: true}, core.Attribution{Vault: "zoe", Trust: core.T2, Reason: reasonSecret}},
		"generic address, verified sender":               {"", proven("zoe@ville.test"), core.Attribution{Vault: "zoe", Trust: core.T1, Reason: reasonVerified}},
		"generic address, local part in capitals":        {"", proven("ZOE@ville.test"), core.Attribution{Reason: reasonUnknown}},
		"generic address, look-alike domain":             {"", proven("zoe@vіlle.test"), core.Attribution{Reason: reasonUnknown}}, // Cyrillic і
		"generic address, look-alike local part":         {"", proven("zоe@ville.test"), core.Attribution{Reason: reasonUnknown}}, // Cyrillic о
		"generic address, sender verified in two":        {"", proven("famille@ville.test"), core.Attribution{Reason: reasonAmbiguous}},
		"generic address, unknown sender":                {"", proven("x@autre.test"), core.Attribution{Reason: reasonUnknown}},
		"generic address, unproven sender":               {"", core.Origin{From: "zoe@ville.test", Reason: "unaligned"}, core.Attribution{Reason: "unaligned"}},
		"generic address, nothing said":                  {"", core.Origin{}, core.Attribution{Reason: reasonUnverified}},
		"generic address, display name of a citizen":     {"", core.Origin{From: "x@autre.test", Name: "zoe@ville.test", Proven: true}, core.Attribution{Reason: reasonUnknown}},
		"generic address, DNS in trouble":                {"", core.Origin{From: "zoe@ville.test", Trouble: true, Reason: "dns_trouble"}, core.Attribution{Reason: "dns_trouble"}},
		"generic address, proven but without an address": {"", core.Origin{Proven: true, From: "nobody"}, core.Attribution{Reason: reasonUnknown}},
	} {
		got, err := New(known, index).Attribute(t.Context(), "town", c.owner, c.origin)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
	}
}
