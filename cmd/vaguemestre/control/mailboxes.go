package control

import (
	"context"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/mailbox"
	"vaguemestre/core/tenant"
)

// Box is a mailbox as `mailbox list` shows it.
type Box struct {
	ID       core.MailboxID   `json:"id"`
	State    string           `json:"state"` // off, new, well, failing
	Server   string           `json:"server"`
	User     string           `json:"user"`
	Folder   string           `json:"folder"`
	Polled   bool             `json:"polled"` // a poller holds it now
	Success  *time.Time       `json:"last_success"`
	Tried    *time.Time       `json:"last_try"`
	Next     *time.Time       `json:"next_try,omitempty"` // after an error
	Waiting  int              `json:"waiting"`            // messages nothing became of yet
	Failed   int              `json:"failed"`             // of which these went wrong before
	Refused  int              `json:"refused"`            // in the folder still
	Messages []Fault          `json:"messages"`           // why messages were refused or failed
	Error    *Fault           `json:"error"`              // of the latest try
	Secret   tenant.Secret    `json:"secret"`             // name under which what one signs in with is set
	Settings mailbox.Settings `json:"settings"`
}

func box(m mailbox.State) Box {
	b := Box{ID: m.ID, State: m.Word(), Server: m.Settings.Server, User: m.Settings.User, Folder: m.Settings.Folder, Polled: m.Polled, Success: m.Succeeded, Tried: m.Tried,
		Waiting: m.Waiting, Failed: m.Failed, Refused: m.Refused, Messages: []Fault{}, Secret: tenant.SecretMailbox(m.ID), Settings: m.Settings}
	for _, code := range m.Codes {
		b.Messages = append(b.Messages, Fault{code, mailbox.MessageSentence(code)})
	}
	if m.Fault != "" {
		b.Error, b.Next = &Fault{m.Fault, mailbox.Sentence(m.Fault)}, m.Next
	}
	return b
}

func (s *Server) mailboxAdd(ctx context.Context, a Args) ([]any, error) {
	t, err := s.tenant(ctx, a)
	if err != nil {
		return nil, err
	}
	m, err := s.jobs.Mailboxes.Add(ctx, t, a.Settings, a.Enabled == nil || *a.Enabled)
	if err != nil {
		return nil, err
	}
	if len(a.Secret) > 0 {
		if err := s.jobs.Secrets.Set(ctx, t, tenant.SecretMailbox(m.ID), a.Secret); err != nil {
			return nil, err
		}
	}
	return []any{box(mailbox.State{Mailbox: m})}, nil
}

func (s *Server) mailboxList(ctx context.Context, a Args) ([]any, error) {
	t, err := s.tenant(ctx, a)
	if err != nil {
		return nil, err
	}
	all, err := s.jobs.Mailboxes.List(ctx, t)
	if err != nil {
		return nil, err
	}
	boxes := make([]Box, len(all))
	for i, m := range all {
		boxes[i] = box(m)
	}
	return lines(boxes), nil
}

// named finds the town of a mailbox that the arguments name.
func (s *Server) named(ctx context.Context, a Args) (core.TenantID, core.MailboxID, error) {
	if a.Mailbox == "" {
		return "", "", usage("--mailbox is missing")
	}
	t, err := s.tenant(ctx, a)
	return t, core.MailboxID(a.Mailbox), err
}

func (s *Server) mailboxSet(ctx context.Context, a Args) ([]any, error) {
	t, id, err := s.named(ctx, a)
	if err != nil {
		return nil, err
	}
	m, err := s.jobs.Mailboxes.Change(ctx, t, id, a.Settings, a.Enabled)
	if err != nil {
		return nil, err
	}
	if len(a.Secret) > 0 {
		if err := s.jobs.Secrets.Set(ctx, t, tenant.SecretMailbox(id), a.Secret); err != nil {
			return nil, err
		}
	}
	return []any{map[string]any{"id": m.ID, "enabled": m.Enabled, "settings": m.Settings}}, nil
}

// testFor is how long a test waits for a poller.
const testFor = 90 * time.Second

func (s *Server) mailboxTest(ctx context.Context, a Args) ([]any, error) {
	t, id, err := s.named(ctx, a)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, testFor)
	defer cancel()
	m, err := s.jobs.Mailboxes.Test(ctx, t, id)
	if err != nil {
		return nil, err
	}
	return []any{box(m)}, nil
}

func (s *Server) mailboxRemove(ctx context.Context, a Args) ([]any, error) {
	t, id, err := s.named(ctx, a)
	if err != nil {
		return nil, err
	}
	return nil, s.jobs.Mailboxes.Remove(ctx, t, id)
}
