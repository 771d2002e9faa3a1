package postgres_test

import (
	"errors"
	"testing"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/mailbox"
	"vaguemestre/core/store/postgres/pgtest"
	"vaguemestre/core/tenant"
)

// Two pollers never hold one mailbox, and one whose lease has passed writes nothing.
func TestREL07_LeaseOfAMailbox(t *testing.T) {
	t.Parallel()
	w := newTown(t, pgtest.New(t), "a")
	ctx := t.Context()
	box := mailbox.Mailbox{ID: core.NewID[core.MailboxID](), Tenant: w.tenant, Settings: mailbox.Defaults(), Enabled: true, Created: time.Now()}
	w.must(w.http.AddMailbox(ctx, box))
	first, err := w.imap.LeaseMailbox(ctx, w.tenant, box.ID, time.Minute)
	w.must(err)
	if _, err := w.imap.LeaseMailbox(ctx, w.tenant, box.ID, time.Minute); !errors.Is(err, core.ErrNotDue) {
		t.Errorf("held by another: %v", err)
	}
	w.must(w.imap.RenewMailbox(ctx, first, time.Millisecond))
	time.Sleep(5 * time.Millisecond)
	second, err := w.imap.LeaseMailbox(ctx, w.tenant, box.ID, time.Minute)
	w.must(err)
	note := []mailbox.Remembered{{UID: 4_000_000_000, Handling: mailbox.Failed, Code: mailbox.CodeLater, Attempts: 2, Next: time.Now().Add(time.Hour).Truncate(time.Microsecond)}}
	none := func(mailbox.Remembered) {}
	for what, err := range map[string]error{
		"renews": w.imap.RenewMailbox(ctx, first, time.Minute), "settles": w.imap.SettleMailbox(ctx, first, mailbox.Progress{}),
		"remembers": w.imap.RememberMessages(ctx, first, "INBOX", 7, note), "forgets": w.imap.ForgetMessages(ctx, first, "INBOX", 7, []uint32{1}),
		"recalls": w.imap.RecallMessages(ctx, first, "INBOX", 7, none), "releases": w.imap.ReleaseMailbox(ctx, first),
	} {
		if !errors.Is(err, core.ErrStale) {
			t.Errorf("a stale poller %s: %v", what, err)
		}
	}

	w.must(w.imap.RememberMessages(ctx, second, "INBOX", 7, note))
	recall := func(validity uint32) (out []mailbox.Remembered) {
		t.Helper()
		w.must(w.imap.RecallMessages(ctx, second, "INBOX", validity, func(m mailbox.Remembered) { out = append(out, m) }))
		return out
	}
	if got := recall(7); len(got) != 1 || got[0].UID != note[0].UID || got[0].Attempts != 2 || !got[0].Next.Equal(note[0].Next) {
		t.Errorf("recalled %+v", got)
	}
	if got := recall(8); len(got) != 0 {
		t.Errorf("under another UIDVALIDITY: %+v", got)
	}
	if got := recall(7); len(got) != 0 {
		t.Errorf("an earlier UIDVALIDITY is remembered: %+v", got)
	}
	w.must(w.imap.RememberMessages(ctx, second, "INBOX", 8, note))
	w.must(w.imap.SettleMailbox(ctx, second, mailbox.Progress{Waiting: 3, Fault: mailbox.FaultCut, Attempts: 1, RetryIn: time.Hour}))
	w.must(w.imap.ReleaseMailbox(ctx, second))
	states, err := w.http.MailboxStates(ctx, w.tenant)
	w.must(err)
	if s := states[0]; len(states) != 1 || s.Word() != "failing" || s.Waiting != 3 || s.Failed != 1 || s.Refused != 0 || s.Polled || s.Succeeded != nil || len(s.Codes) != 1 {
		t.Errorf("states %+v", states)
	}
	if _, err := w.imap.LeaseMailbox(ctx, w.tenant, box.ID, time.Minute); !errors.Is(err, core.ErrNotDue) {
		t.Errorf("it does not rest after a fault: %v", err)
	}
	if _, err := w.http.AskMailbox(ctx, w.tenant, box.ID); err != nil {
		t.Fatal(err)
	}
	third, err := w.imap.LeaseMailbox(ctx, w.tenant, box.ID, time.Minute)
	if err != nil || third.Attempts != 1 {
		t.Errorf("asked for: %+v, %v", third, err)
	}
	boxes, err := w.imap.Mailboxes(ctx)
	if err != nil || len(boxes) != 1 || !boxes[0].Asked || !boxes[0].Due {
		t.Errorf("mailboxes %+v, %v", boxes, err)
	}
	w.must(w.imap.SettleMailbox(ctx, third, mailbox.Progress{}))
	if states, err = w.http.MailboxStates(ctx, w.tenant); err != nil || states[0].Word() != "well" || states[0].Fault != "" {
		t.Errorf("after a good poll %+v, %v", states, err)
	}
	w.must(w.http.PutSecret(ctx, w.tenant, tenant.SecretMailbox(box.ID), []byte("sealed"), time.Now()))
	w.must(w.http.RemoveMailbox(ctx, w.tenant, box.ID, tenant.SecretMailbox(box.ID)))
	if _, err := w.imap.Secret(ctx, w.tenant, tenant.SecretMailbox(box.ID)); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("the secret of a mailbox outlives it: %v", err)
	}
	if err := w.imap.RenewMailbox(ctx, third, time.Minute); !errors.Is(err, core.ErrStale) {
		t.Errorf("a mailbox that was removed is held: %v", err)
	}
}
