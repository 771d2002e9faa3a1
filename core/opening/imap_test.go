package opening_test

import (
	"bytes"
	"testing"
	"time"

	"vaguemestre/channels/mail"
	"vaguemestre/core"
	"vaguemestre/core/citizen"
	"vaguemestre/core/link"
)

// SEC-52: a message out of a mailbox has no envelope: T2 at most, whoever wrote it; the
// same by SMTP is T3.
func TestSEC52_OutOfAMailboxT2AtMost(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Zoé")
	senders := citizen.NewSenders(w.HTTP, w.Keeper, w.Notices(), link.New(w.HTTP, w.Index, time.Now), w.Index, time.Now)
	who := core.Access{Tenant: w.ID, Vault: c.ID, Actor: "test", Act: "verify_sender"}
	_, token, err := senders.Add(t.Context(), who, "zoe@example.test")
	if err == nil {
		err = senders.Verify(t.Context(), who, token)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.Origin = core.Origin{From: "zoe@example.test", Proven: true, Domain: "example.test", DKIM: core.ResultPass, Reason: "dkim_aligned"}
	for channel, want := range map[string]core.Trust{core.ChannelSMTP: core.T3, core.ChannelIMAP: core.T2} {
		d := w.Deposit(c, channel, "k-"+channel)
		r, err := w.Intake.Accept(t.Context(), d, core.Body{Type: "message/rfc822", R: bytes.NewReader(message([]byte(channel)))})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Opener(mail.Splitter{}).Open(t.Context(), w.Lease(core.NounDeposit, string(r.Deposit))); err != nil {
			t.Fatal(err)
		}
		row := w.deposit(t, r.Deposit)
		if row.Trust != int(want) || (channel == core.ChannelIMAP) != (row.TrustWhy == "no_envelope") {
			t.Errorf("by %s: T%d, %s; want T%d", channel, row.Trust, row.TrustWhy, want)
		}
	}
}
