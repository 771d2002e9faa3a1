// Package attribution owns the question whose a message is (SECURITY.md §3): the trust
// levels, and the desk where a person says it of what proves nothing.
package attribution

import (
	"context"
	"fmt"
	"slices"

	"vaguemestre/core"
	"vaguemestre/core/address"
	"vaguemestre/core/vault"
)

// Senders finds who writes from an address.
type Senders interface {
	// VaultsOf names the vaults of the tenant for which the address with this keyed hash
	// was verified and not revoked.
	VaultsOf(ctx context.Context, tenant core.TenantID, keyedHash []byte) ([]core.CitizenID, error)
}

// Attributor decides.
type Attributor struct {
	senders Senders
	index   vault.Index
}

// New builds the attributor.
func New(senders Senders, index vault.Index) *Attributor { return &Attributor{senders, index} }

// Attribute says whose a message is. owner is whose secret address it came to, "" for a
// generic one. Subjects, thread headers, other recipients and display names play no
// part (SEC-46), nor does anything but DKIM-aligned proof of the sender.
func (a *Attributor) Attribute(ctx context.Context, tenant core.TenantID, owner core.CitizenID, o core.Origin) (core.Attribution, error) {
	var known []core.CitizenID
	if hash, ok := address.HashSender(a.index, o.From); ok && o.Proven {
		var err error
		if known, err = a.senders.VaultsOf(ctx, tenant, hash); err != nil {
			return core.Attribution{}, fmt.Errorf("look for sender: %w", err)
		}
	}
	return decide(owner, o, known), nil
}

// Reasons of a trust level, beside those of core.Origin for a sender that is not proven.
const (
	reasonOwnSender  = "secret_address_and_verified_sender"
	reasonSecret     = "secret_address"
	reasonVerified   = "verified_sender"
	reasonUnknown    = "unknown_sender"
	reasonAmbiguous  = "ambiguous_sender"
	reasonUnverified = "unproven_sender"
)

// decide is the table of SECURITY.md §3. known are the vaults in which the proven
// sender is verified; none for one that is not proven.
func decide(owner core.CitizenID, o core.Origin, known []core.CitizenID) core.Attribution {
	switch {
	case owner != "" && o.Proven && slices.Contains(known, owner):
		return core.Attribution{Vault: owner, Trust: core.T3, Reason: reasonOwnSender}
	case owner != "":
		return core.Attribution{Vault: owner, Trust: core.T2, Reason: reasonSecret}
	case !o.Proven && o.Reason != "":
		return core.Attribution{Trust: core.T0, Reason: o.Reason}
	case !o.Proven:
		return core.Attribution{Trust: core.T0, Reason: reasonUnverified}
	case len(known) == 0:
		return core.Attribution{Trust: core.T0, Reason: reasonUnknown}
	case len(known) > 1:
		return core.Attribution{Trust: core.T0, Reason: reasonAmbiguous}
	}
	return core.Attribution{Vault: known[0], Trust: core.T1, Reason: reasonVerified}
}
