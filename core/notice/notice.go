// Package notice owns what the town says by mail of its own accord: which letters a
// deposit causes and to whom they may go (SEC-48, SEC-49), and their words.
package notice

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/address"
	"vaguemestre/core/tenant"
	"vaguemestre/core/vault"
)

// Automatic letters to one address on one day (SEC-48). A receipt is left out once only
// two are left, so that the results of that day's deposits, which say more, still go; to
// a message without a file nothing is said once anything was.
const (
	PerDay         = 5
	perDayReceipts = 3
	perDayEmpty    = 1

	perDayDeletions = 3
)

// Recipients is how a town writes, and to whom it may about one vault.
type Recipients struct {
	Settings  tenant.Settings
	Contact   []byte   // keyed hash of the citizen's address that letters go to; nil: none is verified
	Addresses [][]byte // keyed hashes of all the citizen's addresses in force, verified or not
}

// Store is what ordering needs of the database.
type Store interface {
	// Recipients reads the town's settings and, unless vault is "", the citizen's addresses.
	Recipients(ctx context.Context, tenant core.TenantID, vault core.CitizenID) (Recipients, error)
	// Owner says whose a deposit is; "" for nobody's.
	Owner(ctx context.Context, tenant core.TenantID, deposit core.DepositID) (core.CitizenID, error)
}

// Notices orders letters. It writes nothing itself: an order stands in the transaction
// of what causes it.
type Notices struct {
	store Store
	index vault.Index
	now   func() time.Time
}

// New builds it.
func New(store Store, index vault.Index, now func() time.Time) *Notices {
	return &Notices{store, index, now}
}

// Arrived names the letters that a deposit causes once it is known whose it is: none for
// nobody's (nothing proves who would be answered), none to what a program sent, and none
// where the town has no relay or lacks a mention the law wants. Otherwise:
//
//   - the citizen gets a receipt at once and the result when every file is read, or after
//     the town's wait; one letter where both would go at once; and one the next morning on
//     all the deposits of a day that came after the day's last letter;
//   - a message that asks for deletion is answered by links to the citizen alone, once a
//     day for what it names;
//   - the sender gets a receipt if DMARC passed for the address, it is none of the
//     citizen's, and the message came to a secret address with a file in it.
func (n *Notices) Arrived(ctx context.Context, a core.Arrival) ([]core.LetterOrder, error) {
	if a.Vault == "" || a.Origin.Automatic && !a.ByHand {
		return nil, nil
	}
	to, err := n.store.Recipients(ctx, a.Tenant, a.Vault)
	if err != nil {
		return nil, fmt.Errorf("recipients: %w", err)
	}
	if a.Deletes != "" {
		return n.deletion(a, to), nil
	}
	if !to.Settings.Acknowledges() {
		return nil, nil
	}
	var orders []core.LetterOrder
	if to.Contact != nil {
		orders = n.toCitizen(a, to)
	}
	if hash, ok := n.stranger(a, to); ok {
		o := n.order(a.Tenant, core.LetterReceipt, a.Vault, string(a.Deposit), onceSender)
		o.Address, o.Limit = n.count(answers, hash, to.Settings), PerDay
		orders = append(orders, o)
	}
	return orders, nil
}

// Once of letters on a deposit. What is said to a citizen is said again when the deposit
// moves to another vault.
const onceSender = "sender"

// Last ends the Once of a result that follows one told while files were still being read.
const Last = "/last"

func onceCitizen(v core.CitizenID) string { return string(v) }
func onceHeld(v core.CitizenID) string    { return string(v) + "/held" }
func onceFailed(v core.CitizenID) string  { return string(v) + "/failed" }

func (n *Notices) toCitizen(a core.Arrival, to Recipients) []core.LetterOrder {
	count := n.count(answers, to.Contact, to.Settings)
	result := n.order(a.Tenant, core.LetterResult, a.Vault, string(a.Deposit), onceCitizen(a.Vault))
	result.Address, result.Limit, result.Instead = count, PerDay, n.digest(a, to)
	if a.Held {
		result.Once = onceHeld(a.Vault)
		return []core.LetterOrder{result}
	}
	if a.Files == 0 {
		result.Limit, result.Instead = perDayEmpty, nil
	}
	if a.Waiting == 0 {
		return []core.LetterOrder{result}
	}
	receipt := n.order(a.Tenant, core.LetterReceipt, a.Vault, string(a.Deposit), onceCitizen(a.Vault))
	receipt.Address, receipt.Limit = count, perDayReceipts
	result.Due = result.Due.Add(time.Duration(to.Settings.ResultWait))
	return []core.LetterOrder{receipt, result}
}

// deletion is the letter with the links that delete what a reply names. It goes to the
// citizen, whoever wrote the reply, and is counted apart: a day of many deposits does not
// keep a citizen from deleting one, and who found out a reply address sends few letters.
func (n *Notices) deletion(a core.Arrival, to Recipients) []core.LetterOrder {
	if to.Contact == nil || !to.Settings.Sends() {
		return nil
	}
	day := n.now().In(to.Settings.Location()).Format(time.DateOnly)
	o := n.order(a.Tenant, core.LetterLink, a.Vault, string(a.Deletes), onceDelete+"/"+day)
	o.Address, o.Limit = n.count(deletions, to.Contact, to.Settings), perDayDeletions
	return []core.LetterOrder{o}
}

const onceDelete = "delete_document"

// stranger is the keyed hash of a sender who is told of the registration besides the
// citizen.
func (n *Notices) stranger(a core.Arrival, to Recipients) ([]byte, bool) {
	o := a.Origin
	if a.Held || a.ByHand || a.Files == 0 || a.Trust < core.T2 || !o.Proven || o.DMARC != core.ResultPass {
		return nil, false
	}
	hash, ok := address.HashSender(n.index, o.From)
	own := slices.ContainsFunc(to.Addresses, func(h []byte) bool { return bytes.Equal(h, hash) })
	return hash, ok && !own
}

// Failed names the letter about a deposit of somebody's that could not be opened, which
// now waits for a person.
func (n *Notices) Failed(ctx context.Context, t core.TenantID, deposit core.DepositID) ([]core.LetterOrder, error) {
	owner, err := n.store.Owner(ctx, t, deposit)
	if err != nil || owner == "" {
		return nil, err
	}
	to, err := n.store.Recipients(ctx, t, owner)
	if err != nil || to.Contact == nil || !to.Settings.Acknowledges() {
		return nil, err
	}
	o := n.order(t, core.LetterResult, owner, string(deposit), onceFailed(owner))
	o.Address, o.Limit = n.count(answers, to.Contact, to.Settings), PerDay
	return []core.LetterOrder{o}, nil
}

// Detached names the letter that tells the town's security contact of a filing in the
// wrong vault that was undone (SEC-17); none where the town has none.
func (n *Notices) Detached(ctx context.Context, t core.TenantID, deposit core.DepositID) ([]core.LetterOrder, error) {
	to, err := n.store.Recipients(ctx, t, "")
	if err != nil || !to.Settings.Sends() || to.Settings.SecurityContact == "" {
		return nil, err
	}
	o := n.order(t, core.LetterNotice, "", string(deposit), onceDetached+"/"+string(core.NewID[core.LetterID]()))
	return []core.LetterOrder{o}, nil
}

const onceDetached = "detached"

// Prove names the letter with the link that proves an address of a citizen's; none where
// the town sends nothing. Each call is another letter, of which an address gets five a day.
func (n *Notices) Prove(ctx context.Context, t core.TenantID, owner core.CitizenID, sender core.SenderID, hash []byte) ([]core.LetterOrder, error) {
	to, err := n.store.Recipients(ctx, t, "")
	if err != nil || !to.Settings.Sends() {
		return nil, err
	}
	o := n.order(t, core.LetterLink, owner, string(sender), onceVerify+"/"+string(core.NewID[core.LetterID]()))
	o.Address, o.Limit = n.count(links, hash, to.Settings), PerDay
	return []core.LetterOrder{o}, nil
}

const onceVerify = "verify_sender"

func (n *Notices) order(t core.TenantID, kind core.LetterKind, owner core.CitizenID, object, once string) core.LetterOrder {
	return core.LetterOrder{ID: core.NewID[core.LetterID](), Tenant: t, Kind: kind, Vault: owner, Object: object, Once: once, Due: n.now()}
}

// What is counted a day and recipient: what a person asked for does not take the place
// of an answer.
const (
	answers   = "letters of a day"
	links     = "links of a day"
	deletions = "deletions of a day"
)

// count is the hash under which a recipient's letters of today are counted.
func (n *Notices) count(what string, sender []byte, s tenant.Settings) []byte {
	return n.countOn(n.now().In(s.Location()), what, sender)
}

func (n *Notices) countOn(day time.Time, what string, sender []byte) []byte {
	return n.index.Sum(what, sender, []byte(day.Format(time.DateOnly)))
}
