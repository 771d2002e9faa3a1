package mailbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/tenant"
)

// Store keeps mailboxes.
type Store interface {
	AddMailbox(ctx context.Context, m Mailbox) error
	// ChangeMailbox lets change edit one in a transaction and makes it due; core.ErrNotFound.
	ChangeMailbox(ctx context.Context, tenant core.TenantID, id core.MailboxID, change func(*Mailbox) error) error
	// RemoveMailbox forgets one with all that was remembered of it, and its secret; core.ErrNotFound.
	RemoveMailbox(ctx context.Context, tenant core.TenantID, id core.MailboxID, secret tenant.Secret) error
	// MailboxStates shows those of a town, oldest first.
	MailboxStates(ctx context.Context, tenant core.TenantID) ([]State, error)
	// AskMailbox asks that one be tried now, and tells when it was asked by the database's
	// clock; core.ErrNotFound.
	AskMailbox(ctx context.Context, tenant core.TenantID, id core.MailboxID) (time.Time, error)
}

// Registrar sets a town's mailboxes up.
type Registrar struct {
	store     Store
	plaintext bool
	now       func() time.Time
}

// New builds the registrar. plaintext admits servers on this machine without TLS, as in
// development.
func New(store Store, plaintext bool, now func() time.Time) *Registrar {
	return &Registrar{store, plaintext, now}
}

// Add sets up a mailbox; core.ErrInvalid names every fault. Without its secret it cannot
// be emptied: that is set under tenant.SecretMailbox of the id.
func (r *Registrar) Add(ctx context.Context, t core.TenantID, values map[string]string, enabled bool) (Mailbox, error) {
	m := Mailbox{ID: core.NewID[core.MailboxID](), Tenant: t, Settings: Defaults(), Enabled: enabled, Created: r.now()}
	if err := r.set(&m, values); err != nil {
		return Mailbox{}, err
	}
	if err := r.store.AddMailbox(ctx, m); err != nil {
		return Mailbox{}, fmt.Errorf("add mailbox: %w", err)
	}
	return m, nil
}

// Change edits a mailbox; enabled nil leaves it on or off as it is.
func (r *Registrar) Change(ctx context.Context, t core.TenantID, id core.MailboxID, values map[string]string, enabled *bool) (m Mailbox, err error) {
	err = r.store.ChangeMailbox(ctx, t, id, func(in *Mailbox) error {
		if err := r.set(in, values); err != nil {
			return err
		}
		if enabled != nil {
			in.Enabled = *enabled
		}
		m = *in
		return nil
	})
	return m, err
}

func (r *Registrar) set(m *Mailbox, values map[string]string) error {
	if err := m.Settings.Set(values); err != nil {
		return fmt.Errorf("%w mailbox: %w", core.ErrInvalid, err)
	}
	if err := m.Settings.Validate(r.plaintext); err != nil {
		return fmt.Errorf("%w mailbox: %w", core.ErrInvalid, err)
	}
	return nil
}

// Remove forgets a mailbox and its secret. What was taken in stays, and so do the
// messages in the mailbox.
func (r *Registrar) Remove(ctx context.Context, t core.TenantID, id core.MailboxID) error {
	return r.store.RemoveMailbox(ctx, t, id, tenant.SecretMailbox(id))
}

// List shows the mailboxes of a town.
func (r *Registrar) List(ctx context.Context, t core.TenantID) ([]State, error) {
	return r.store.MailboxStates(ctx, t)
}

// ErrNobody: no process polls mailboxes, or it is very busy.
var ErrNobody = errors.New("nobody tried the mailbox: is a process with the role imap running?")

// Test has the poller try a mailbox, one that is switched off too, and waits for what
// became of it, as long as ctx lasts: then ErrNobody.
func (r *Registrar) Test(ctx context.Context, t core.TenantID, id core.MailboxID) (State, error) {
	asked, err := r.store.AskMailbox(ctx, t, id)
	if err != nil {
		return State{}, err
	}
	for {
		states, err := r.store.MailboxStates(ctx, t)
		if err != nil && ctx.Err() == nil {
			return State{}, err
		}
		for _, s := range states {
			if s.ID == id && s.Tried != nil && !s.Tried.Before(asked) {
				return s, nil
			}
		}
		select {
		case <-ctx.Done():
			return State{}, ErrNobody
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Secrets are the credentials of mailboxes.
type Secrets struct{ towns *tenant.Secrets }

// NewSecrets reads them among the towns' secrets.
func NewSecrets(towns *tenant.Secrets) Secrets { return Secrets{towns} }

// Secret is what one signs in to a mailbox with; core.ErrNotFound.
func (s Secrets) Secret(ctx context.Context, t core.TenantID, id core.MailboxID) ([]byte, error) {
	return s.towns.Open(ctx, t, tenant.SecretMailbox(id))
}

// Replace keeps what change makes of it; core.ErrStale when somebody set another.
func (s Secrets) Replace(ctx context.Context, t core.TenantID, id core.MailboxID, change func([]byte) ([]byte, error)) error {
	return s.towns.Change(ctx, t, tenant.SecretMailbox(id), change)
}
