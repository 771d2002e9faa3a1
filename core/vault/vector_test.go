package vault

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"vaguemestre/core"
)

// vectors were sealed once and are never made again: what is stored today must open
// for as long as it is kept, whatever becomes of the code.
type vectors struct {
	Tenant  core.TenantID  `json:"tenant"`
	Vault   core.CitizenID `json:"vault"`
	Object  core.ObjectID  `json:"object"`
	Key     Key            `json:"key"`
	Streams []stream       `json:"streams"`

	VaultSecrets     []byte `json:"vault_secrets"`
	IntakeSecrets    []byte `json:"intake_secrets"`
	IntakePublic     []byte `json:"intake_public"`
	WrappedForVault  []byte `json:"wrapped_for_vault"` // Key
	IntakeKey        Key    `json:"intake_key"`
	WrappedForIntake []byte `json:"wrapped_for_intake"` // IntakeKey
	Box              []byte `json:"box"`                // of "Zoé LE GOFF"
	Fingerprint      []byte `json:"fingerprint"`        // of "a", "b"
	Index            []byte `json:"index"`              // of use "deposit address", "a", "b", under 32 bytes of 7
}

// stream is the sealing of plainText(Size).
type stream struct {
	Label  string `json:"label"`
	Size   int    `json:"size"`
	Sealed []byte `json:"sealed"`
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	var v vectors
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	long, err := os.ReadFile("testdata/two-chunks.sealed")
	if err != nil {
		t.Fatal(err)
	}
	v.Streams = append(v.Streams, stream{LabelBody, firstPlain + 100, long})
	return v
}

// lend puts the vectors' keys where a keeper finds them.
func (v vectors) lend(t testing.TB, h *household) {
	t.Helper()
	wrapped, err := h.Wrap(t.Context(), v.Tenant, v.VaultSecrets, vaultBinding(v.Tenant, v.Vault))
	if err != nil {
		t.Fatal(err)
	}
	h.vaults = map[core.CitizenID][]byte{v.Vault: wrapped}
	if h.intake, err = h.Wrap(t.Context(), v.Tenant, v.IntakeSecrets, intakeBinding(v.Tenant)); err != nil {
		t.Fatal(err)
	}
}

func TestSEC21_FixedVectors(t *testing.T) {
	v := readVectors(t)
	for _, s := range v.Streams {
		name := fmt.Sprintf("%s of %d bytes", s.Label, s.Size)
		got, err := v.Key.Open(v.Tenant, v.Object, s.Label, s.Sealed)
		if err != nil || !bytes.Equal(got, plainText(s.Size)) {
			t.Errorf("%s: %d came out, %v", name, len(got), err)
		}
		// Another reading, from the specification alone, must find the same.
		if got, err := openByHand(v.Key, v.Tenant, v.Object, s.Label, s.Sealed); err != nil || !bytes.Equal(got, plainText(s.Size)) {
			t.Errorf("%s, by hand: %d came out, %v", name, len(got), err)
		}
	}
	h := &household{now: time.Unix(1_800_000_000, 0)}
	v.lend(t, h)
	who := core.Access{Tenant: v.Tenant, Vault: v.Vault, Actor: "citizen", Act: "read", Purpose: "test"}
	keys, err := h.keeper().Open(t.Context(), who, Wrapped{v.Object, v.WrappedForVault}, Wrapped{v.Object, v.WrappedForIntake})
	if err != nil || !bytes.Equal(keys[0], v.Key) || !bytes.Equal(keys[1], v.IntakeKey) {
		t.Errorf("wrapped keys: %v", err)
	}
	if got, err := h.keeper().Unbox(t.Context(), who, v.Box); err != nil || string(got[0]) != "Zoé LE GOFF" {
		t.Errorf("box: %q, %v", got, err)
	}
	if got, err := h.keeper().Fingerprint(t.Context(), v.Tenant, v.Vault, []byte("a"), []byte("b")); err != nil || !bytes.Equal(got, v.Fingerprint) {
		t.Errorf("fingerprint %x, %v; want %x", got, err, v.Fingerprint)
	}
	if got := NewIndex(bytes.Repeat([]byte{7}, 32)).Sum("deposit address", []byte("a"), []byte("b")); !bytes.Equal(got, v.Index) {
		t.Errorf("index %x, want %x", got, v.Index)
	}
	if sealer, err := NewIntakeSealer(v.Tenant, v.IntakePublic); err != nil {
		t.Errorf("public keyset: %v", err)
	} else if fresh, wrapped, err := sealer.NewKey(v.Object); err != nil {
		t.Error(err)
	} else if keys, err := h.keeper().Open(t.Context(), who, Wrapped{v.Object, wrapped}); err != nil || !bytes.Equal(keys[0], fresh) {
		t.Errorf("sealed to the public keyset: %v", err)
	}
}

// openByHand reads the format with the standard library: format, algorithm, then
// Tink's header (its length, salt, nonce prefix) and chunks of AES-256-GCM, whose
// nonce counts them and marks the last.
func openByHand(key Key, tenant core.TenantID, object core.ObjectID, label string, sealed []byte) (plain []byte, err error) {
	if sealed[0] != 1 || sealed[1] != 1 || int(sealed[2]) != tinkHeader {
		return nil, fmt.Errorf("header % x", sealed[:3])
	}
	salt, prefix := sealed[3:3+keySize], sealed[3+keySize:prefixSize]
	bound := "vaguemestre\x001\x001\x00" + string(tenant) + "\x00" + string(object) + "\x00" + label
	derived, err := hkdf.Key(sha256.New, key, salt, bound, keySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	for n := 0; ; n++ {
		end, last := min(border(n+1), len(sealed)), byte(0)
		if end == len(sealed) {
			last = 1
		}
		nonce := append(binary.BigEndian.AppendUint32(bytes.Clone(prefix), uint32(n)), last)
		if plain, err = gcm.Open(plain, nonce, sealed[border(n):end], nil); err != nil || last == 1 {
			return plain, err
		}
	}
}
