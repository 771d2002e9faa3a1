package vault

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"vaguemestre/core"
)

// household is the keeper's surroundings in memory: a key service that can be out, a
// key ring, and a journal that can be full. It remembers the order of what was asked.
type household struct {
	mu      sync.Mutex
	out     bool // the key service does not answer
	full    bool // nothing can be written to the journal
	done    []string
	entries []core.Access
	vaults  map[core.CitizenID][]byte
	intake  []byte
	now     time.Time
}

var errOut, errNoRoom = errors.New("connection refused"), errors.New("disk full")

func (h *household) Create(context.Context, core.TenantID) error { return nil }

// Wrap is no cipher: what is wrapped says for whom, and Unwrap believes nothing else.
func (h *household) Wrap(_ context.Context, tenant core.TenantID, plain, bound []byte) ([]byte, error) {
	if h.out {
		return nil, errOut
	}
	return slices.Concat(lock(tenant, bound), plain), nil
}

func (h *household) Unwrap(_ context.Context, tenant core.TenantID, wrapped, bound []byte) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.done = append(h.done, "unwrap")
	if h.out {
		return nil, errOut
	}
	plain, ok := bytes.CutPrefix(wrapped, lock(tenant, bound))
	if !ok {
		return nil, errors.New("not wrapped for this")
	}
	return plain, nil
}

func lock(tenant core.TenantID, bound []byte) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %q", tenant, bound))
	return sum[:]
}

func (h *household) VaultKey(_ context.Context, _ core.TenantID, vault core.CitizenID) ([]byte, error) {
	if k, ok := h.vaults[vault]; ok {
		return k, nil
	}
	return nil, core.ErrNotFound
}

func (h *household) IntakeKey(context.Context, core.TenantID) ([]byte, error) { return h.intake, nil }

func (h *household) Record(_ context.Context, a core.Access) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.done = append(h.done, "record")
	if h.full {
		return errNoRoom
	}
	h.entries = append(h.entries, a)
	return nil
}

// keeper is a keeper of its own process: what another has cached it has not.
func (h *household) keeper() *Keeper {
	return NewKeeper(h, h, h, func() time.Time { return h.now })
}

const otherVault = core.CitizenID("44444444-4444-4444-8444-444444444444")

// newHousehold has two vaults and an intake key.
func newHousehold(t testing.TB) (h *household, sealer *IntakeSealer) {
	t.Helper()
	h = &household{vaults: map[core.CitizenID][]byte{}, now: time.Unix(1_800_000_000, 0)}
	k := h.keeper()
	public, wrapped, err := k.TenantKeys(t.Context(), testTenant)
	if err != nil {
		t.Fatal(err)
	}
	h.intake = wrapped
	for _, v := range []core.CitizenID{testVault, otherVault} {
		if h.vaults[v], err = k.VaultKey(t.Context(), testTenant, v); err != nil {
			t.Fatal(err)
		}
	}
	if sealer, err = NewIntakeSealer(testTenant, public); err != nil {
		t.Fatal(err)
	}
	return h, sealer
}

func access(vault core.CitizenID) core.Access {
	return core.Access{Tenant: testTenant, Vault: vault, Actor: "citizen", Act: "read", Purpose: "test", Object: "one"}
}

func TestWrappedKeysComeBack(t *testing.T) {
	h, sealer := newHousehold(t)
	sealedIn, byIntake, err := sealer.NewKey(testObject)
	if err != nil {
		t.Fatal(err)
	}
	other := core.NewID[core.ObjectID]()
	made, byVault, err := h.keeper().NewKey(t.Context(), testTenant, testVault, other)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := h.keeper().Open(t.Context(), access(testVault), Wrapped{testObject, byIntake}, Wrapped{other, byVault})
	if err != nil || len(keys) != 2 || !bytes.Equal(keys[0], sealedIn) || !bytes.Equal(keys[1], made) {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	if len(h.entries) != 1 || h.entries[0] != access(testVault) {
		t.Errorf("journal: %+v, want the one access", h.entries)
	}
	// Attribution re-wraps the key; the object itself stays as it is.
	rewrapped, err := h.keeper().Wrap(t.Context(), testTenant, testVault, testObject, sealedIn)
	if err != nil {
		t.Fatal(err)
	}
	if keys, err = h.keeper().Open(t.Context(), access(testVault), Wrapped{testObject, rewrapped}); err != nil || !bytes.Equal(keys[0], sealedIn) {
		t.Errorf("re-wrapped: %v", err)
	}
}

// The vault is bound in the wrapped key: moved to another vault, object or tenant, or
// changed by one bit, it opens nothing, and takes its neighbours with it.
func TestSEC21_WrappedKeysMovedOrChanged(t *testing.T) {
	h, sealer := newHousehold(t)
	_, byIntake, err := sealer.NewKey(testObject)
	if err != nil {
		t.Fatal(err)
	}
	_, byVault, err := h.keeper().NewKey(t.Context(), testTenant, testVault, testObject)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := access(testVault)
	elsewhere.Tenant = core.NewID[core.TenantID]()
	type attempt struct {
		name string
		who  core.Access
		w    Wrapped
	}
	cases := []attempt{
		{"vault key for another vault", access(otherVault), Wrapped{testObject, byVault}},
		{"vault key for no vault", access(""), Wrapped{testObject, byVault}},
		{"vault key for a vault unknown", access(core.NewID[core.CitizenID]()), Wrapped{testObject, byVault}},
		{"vault key for another object", access(testVault), Wrapped{core.NewID[core.ObjectID](), byVault}},
		{"vault key for another tenant", elsewhere, Wrapped{testObject, byVault}},
		{"intake key for another object", access(testVault), Wrapped{core.NewID[core.ObjectID](), byIntake}},
		{"intake key for another tenant", elsewhere, Wrapped{testObject, byIntake}},
		{"nothing", access(testVault), Wrapped{testObject, nil}},
		{"a scope nobody knows", access(testVault), Wrapped{testObject, append([]byte{'x'}, byVault[1:]...)}},
		{"a vault key said to be an intake key", access(testVault), Wrapped{testObject, append([]byte{scopeIntake}, byVault[1:]...)}},
	}
	for _, whole := range [][]byte{byVault, byIntake} {
		for n := range whole {
			flipped := bytes.Clone(whole)
			flipped[n] ^= 4
			cases = append(cases, attempt{fmt.Sprintf("bit of byte %d of %c", n, whole[0]), access(testVault), Wrapped{testObject, flipped}})
		}
		cases = append(cases, attempt{fmt.Sprintf("%c cut", whole[0]), access(testVault), Wrapped{testObject, whole[:len(whole)-1]}})
	}
	k := h.keeper()
	for _, c := range cases {
		if keys, err := k.Open(t.Context(), c.who, c.w); err == nil || keys != nil {
			t.Errorf("%s: %d keys, %v", c.name, len(keys), err)
		}
		if keys, err := k.Open(t.Context(), c.who, Wrapped{testObject, byVault}, c.w); err == nil || keys != nil {
			t.Errorf("%s beside a good key: %d keys, %v", c.name, len(keys), err)
		}
	}
	if _, err := k.Open(t.Context(), access(testVault), Wrapped{testObject, byVault}, Wrapped{testObject, byIntake}); err != nil {
		t.Errorf("the two good keys: %v", err)
	}
}

// SEC-11: the entry comes first; without it no key leaves, and none is even asked of
// the key service.
func TestSEC11_JournalBeforeKeys(t *testing.T) {
	h, _ := newHousehold(t)
	_, wrapped, err := h.keeper().NewKey(t.Context(), testTenant, testVault, testObject)
	if err != nil {
		t.Fatal(err)
	}
	box, err := h.keeper().Box(t.Context(), testTenant, testVault, []byte("Zoé"))
	if err != nil {
		t.Fatal(err)
	}
	for _, warm := range []bool{false, true} { // a key in the cache is no way around
		h.full, h.done, h.entries = false, nil, nil
		k := h.keeper()
		if warm {
			if _, err := k.Open(t.Context(), access(testVault), Wrapped{testObject, wrapped}); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(h.done, []string{"record", "unwrap"}) {
				t.Errorf("order %v", h.done)
			}
		}
		h.full, h.done = true, nil
		if keys, err := k.Open(t.Context(), access(testVault), Wrapped{testObject, wrapped}); !errors.Is(err, errNoRoom) || keys != nil {
			t.Errorf("warm %v, journal full: %d keys, %v", warm, len(keys), err)
		}
		if plain, err := k.Unbox(t.Context(), access(testVault), box); !errors.Is(err, errNoRoom) || plain != nil {
			t.Errorf("warm %v, journal full: unboxed %q, %v", warm, plain, err)
		}
		if !slices.Equal(h.done, []string{"record", "record"}) {
			t.Errorf("warm %v, journal full: %v", warm, h.done)
		}
	}
}

// An attempt that opens nothing is an entry all the same (SEC-30).
func TestSEC30_AttemptsAreJournaled(t *testing.T) {
	h, _ := newHousehold(t)
	if _, err := h.keeper().Open(t.Context(), access(otherVault), Wrapped{testObject, []byte("vnonsense")}); err == nil {
		t.Error("nonsense was opened")
	}
	if len(h.entries) != 1 || h.entries[0].Vault != otherVault {
		t.Errorf("journal: %+v", h.entries)
	}
}

// SEC-28: with the key service out, keys that are cached go on for a bounded time,
// others at once give an error that is none of the seal; sealing what comes in needs
// no key service at all.
func TestSEC28_KeyServiceOut(t *testing.T) {
	h, sealer := newHousehold(t)
	k := h.keeper()
	_, wrapped, err := k.NewKey(t.Context(), testTenant, testVault, testObject)
	if err != nil {
		t.Fatal(err)
	}
	start := h.now
	h.out = true
	if _, err := k.Open(t.Context(), access(testVault), Wrapped{testObject, wrapped}); err != nil {
		t.Errorf("cached: %v", err)
	}
	if _, err := h.keeper().Open(t.Context(), access(testVault), Wrapped{testObject, wrapped}); !errors.Is(err, errOut) || errors.Is(err, ErrSealBroken) {
		t.Errorf("not cached: %v", err)
	}
	if _, _, err := sealer.NewKey(core.NewID[core.ObjectID]()); err != nil {
		t.Errorf("intake: %v", err)
	}
	var lapsed time.Duration
	for h.now = start; lapsed == 0 && h.now.Before(start.Add(10*time.Minute)); h.now = h.now.Add(time.Second) {
		if _, err := k.Open(t.Context(), access(testVault), Wrapped{testObject, wrapped}); errors.Is(err, errOut) {
			lapsed = h.now.Sub(start)
		}
	}
	if lapsed == 0 || lapsed > 5*time.Minute {
		t.Errorf("the cached key lapsed after %v, want 5 min at most", lapsed)
	}
	h.out = false
	if _, err := k.Open(t.Context(), access(testVault), Wrapped{testObject, wrapped}); err != nil {
		t.Errorf("back again: %v", err)
	}
}

// A key that has lapsed leaves memory when another is used.
func TestLapsedKeysLeaveMemory(t *testing.T) {
	h, _ := newHousehold(t)
	k := h.keeper()
	if _, err := k.Fingerprint(t.Context(), testTenant, testVault); err != nil {
		t.Fatal(err)
	}
	h.now = h.now.Add(6 * time.Minute)
	if _, err := k.Fingerprint(t.Context(), testTenant, otherVault); err != nil {
		t.Fatal(err)
	}
	if len(k.cache) != 1 {
		t.Errorf("%d keys in memory, want the one in use", len(k.cache))
	}
}

// SEC-06: equal content has one fingerprint in a vault, and another in any other.
func TestSEC06_FingerprintsDifferBetweenVaults(t *testing.T) {
	h, _ := newHousehold(t)
	sum := func(vault core.CitizenID, parts ...string) string {
		t.Helper()
		var fields [][]byte
		for _, p := range parts {
			fields = append(fields, []byte(p))
		}
		s, err := h.keeper().Fingerprint(t.Context(), testTenant, vault, fields...)
		if err != nil {
			t.Fatal(err)
		}
		return string(s)
	}
	if first, again := sum(testVault, "a"), sum(testVault, "a"); first != again {
		t.Error("one content, one vault, two fingerprints")
	}
	for _, pair := range [][2]string{
		{sum(testVault, "a"), sum(otherVault, "a")},
		{sum(testVault, "a"), sum(testVault, "b")},
		{sum(testVault, "a", "b"), sum(testVault, "b", "a")},
		{sum(testVault, "ab"), sum(testVault, "a", "b")},
		{sum(testVault, "a", ""), sum(testVault, "a")},
	} {
		if pair[0] == pair[1] {
			t.Errorf("equal fingerprints %x", pair[0])
		}
	}
}

// SEC-22: after a rotation both the old and the new key of a vault open what they
// wrapped, and fingerprints stay what they were.
func TestSEC22_TwoVaultKeysAtOnce(t *testing.T) {
	h, _ := newHousehold(t)
	_, old, err := h.keeper().NewKey(t.Context(), testTenant, testVault, testObject)
	if err != nil {
		t.Fatal(err)
	}
	before, err := h.keeper().Fingerprint(t.Context(), testTenant, testVault, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	h.rotate(t, testVault)
	_, fresh, err := h.keeper().NewKey(t.Context(), testTenant, testVault, testObject)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(old[:6], fresh[:6]) {
		t.Error("the new wrapping names the old key")
	}
	if _, err := h.keeper().Open(t.Context(), access(testVault), Wrapped{testObject, old}, Wrapped{testObject, fresh}); err != nil {
		t.Errorf("old and new: %v", err)
	}
	after, err := h.keeper().Fingerprint(t.Context(), testTenant, testVault, []byte("x"))
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the fingerprint changed with the key (%v)", err)
	}
}

// rotate gives the vault a second key and makes it the one in use.
func (h *household) rotate(t *testing.T, vault core.CitizenID) {
	t.Helper()
	plain, err := h.Unwrap(t.Context(), testTenant, h.vaults[vault], vaultBinding(testTenant, vault))
	if err != nil {
		t.Fatal(err)
	}
	s, err := parseSecrets(plain)
	if err != nil {
		t.Fatal(err)
	}
	m := keyset.NewManagerFromHandle(s.handle)
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	if err == nil {
		err = m.SetPrimary(id)
	}
	if err != nil {
		t.Fatal(err)
	}
	both, err := m.Handle()
	if err != nil {
		t.Fatal(err)
	}
	buf := bytes.NewBuffer(bytes.Clone(s.fingerprint))
	if err := insecurecleartextkeyset.Write(both, keyset.NewBinaryWriter(buf)); err != nil {
		t.Fatal(err)
	}
	if h.vaults[vault], err = h.Wrap(t.Context(), testTenant, buf.Bytes(), vaultBinding(testTenant, vault)); err != nil {
		t.Fatal(err)
	}
}

func TestBoxesComeBack(t *testing.T) {
	h, sealer := newHousehold(t)
	mine, err := h.keeper().Box(t.Context(), testTenant, testVault, []byte("Zoé LE GOFF"))
	if err != nil {
		t.Fatal(err)
	}
	empty, err := h.keeper().Box(t.Context(), testTenant, testVault, nil)
	if err != nil {
		t.Fatal(err)
	}
	agent, err := sealer.Box([]byte("Agent Martin"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := h.keeper().Unbox(t.Context(), access(testVault), mine, empty, agent)
	if err != nil || len(got) != 3 || string(got[0]) != "Zoé LE GOFF" || len(got[1]) != 0 || string(got[2]) != "Agent Martin" {
		t.Errorf("unboxed %q, %v", got, err)
	}
	if len(h.entries) != 1 {
		t.Errorf("%d entries, want one for all boxes", len(h.entries))
	}
	for _, b := range [][]byte{mine, agent} {
		if strings.Contains(string(b), "LE GOFF") || strings.Contains(string(b), "Martin") {
			t.Error("a box shows what it holds")
		}
	}
	if _, err := h.keeper().Unbox(t.Context(), access(otherVault), mine); !errors.Is(err, ErrSealBroken) {
		t.Errorf("in another vault: %v", err)
	}
	other, err := h.keeper().Box(t.Context(), testTenant, testVault, []byte("other"))
	if err != nil {
		t.Fatal(err)
	}
	spliced := slices.Concat(mine[:len(mine)-60], other[len(other)-60:])
	if got, err := h.keeper().Unbox(t.Context(), access(testVault), spliced); !errors.Is(err, ErrSealBroken) || got != nil {
		t.Errorf("the value of another box: %q, %v", got, err)
	}
}

// A box from a damaged row opens whole or not at all.
func FuzzUnbox(f *testing.F) {
	v := readVectors(f)
	h := &household{now: time.Unix(1_800_000_000, 0)}
	v.lend(f, h)
	box := v.Box
	f.Add(box)
	f.Add(box[:idSize+2])
	f.Add(box[:idSize])
	f.Add([]byte{})
	huge := bytes.Clone(box)
	huge[idSize], huge[idSize+1] = 0xff, 0xff
	f.Add(huge)
	k := h.keeper()
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := k.Unbox(t.Context(), access(v.Vault), b)
		if bytes.Equal(b, box) {
			if err != nil || string(got[0]) != "Zoé LE GOFF" {
				t.Errorf("the box itself: %q, %v", got, err)
			}
		} else if !errors.Is(err, ErrSealBroken) || got != nil {
			t.Errorf("%x gave %q, %v", b, got, err)
		}
	})
}

// SEC-23: who holds the public keyset can seal, and open nothing, what it sealed
// itself included.
func TestSEC23_PublicKeysetOpensNothing(t *testing.T) {
	h, sealer := newHousehold(t)
	public, _, err := newIntakePair()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keyset.ReadWithNoSecrets(keyset.NewBinaryReader(bytes.NewReader(public)))
	if err != nil || keys.Len() != 1 {
		t.Fatalf("public keys %v, %v", keys, err)
	}
	for _, info := range keys.KeysetInfo().GetKeyInfo() {
		if !strings.Contains(info.GetTypeUrl(), "HpkePublicKey") {
			t.Errorf("the public keyset holds a %s", info.GetTypeUrl())
		}
	}
	private, err := h.Unwrap(t.Context(), testTenant, h.intake, intakeBinding(testTenant))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewIntakeSealer(testTenant, private[fingerprintSize:]); err == nil {
		t.Error("a private keyset was taken for a public one")
	}
	a, wa, err := sealer.NewKey(testObject)
	if err != nil {
		t.Fatal(err)
	}
	b, wb, err := sealer.NewKey(testObject)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(a, b) || bytes.Equal(wa, wb) || bytes.Contains(wa, a) {
		t.Error("two objects share a key, or a wrapping shows its key")
	}
}

func TestIndexUsesAndFieldsNeverCollide(t *testing.T) {
	x, y := NewIndex(bytes.Repeat([]byte{1}, 32)), NewIndex(bytes.Repeat([]byte{2}, 32))
	f := func(s ...string) (out [][]byte) {
		for _, v := range s {
			out = append(out, []byte(v))
		}
		return out
	}
	seen := map[string]string{}
	for name, sum := range map[string][]byte{
		"one field": x.Sum("u", f("ab")...), "two fields": x.Sum("u", f("a", "b")...), "other order": x.Sum("u", f("b", "a")...),
		"an empty field more": x.Sum("u", f("ab", "")...), "no field": x.Sum("u"), "use joined": x.Sum("uab"), "other use": x.Sum("v", f("ab")...),
		"other key": y.Sum("u", f("ab")...),
	} {
		if other, ok := seen[string(sum)]; ok || len(sum) != 32 {
			t.Errorf("%q hashes as %q, to %d bytes", name, other, len(sum))
		}
		seen[string(sum)] = name
	}
}
