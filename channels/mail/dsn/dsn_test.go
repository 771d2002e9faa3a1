package dsn

import (
	"strings"
	"testing"

	"vaguemestre/core"
)

// report is a message by a mail system with this text.
func report(subject, text string) string {
	return "From: MAILER-DAEMON@mx.example.net\r\nTo: x@ville.example\r\nSubject: " + subject + "\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + text
}

// notification is a standard one, with these lines about its recipient, and the letter.
func notification(recipient ...string) string {
	return "From: Mail Delivery System <mailer-daemon@mx.example.net>\nSubject: Undelivered\nAuto-Submitted: auto-replied\n" +
		"Content-Type: multipart/report; report-type=delivery-status;\n boundary=\"b1\"\n\n--b1\nContent-Type: text/plain\n\nThis is the mail system.\n" +
		"--b1\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.net\nArrival-Date: Mon, 2 Nov 2026 10:00:00 +0100\n\n" +
		strings.Join(recipient, "\n") + "\n--b1\nContent-Type: message/rfc822\n\nFrom: a@ville.example\nSubject: user unknown, mailbox full\n\nAction: delivered\n--b1--\n"
}

func TestREL12_ReportsOnDelivery(t *testing.T) {
	for _, c := range []struct {
		name, message string
		want          core.Delivery
		status        string
	}{
		{"Postfix, unknown", notification("Final-Recipient: rfc822; c@x.test", "Action: failed", "Status: 5.1.1", "Diagnostic-Code: smtp; 550 5.1.1 <c@x.test>: Recipient address rejected"), core.DeliveryBounced, "5.1.1"},
		{"a code that says little, a diagnostic that says more", notification("Final-Recipient: rfc822; c@x.test", "Action: failed", "Status: 5.0.0", "Diagnostic-Code: smtp; 552 Boîte pleine"), core.DeliveryBounced, "5.2.2"},
		{"Postfix of Orange", notification("Final-Recipient: rfc822; c@orange.test", "Action: failed", "Status: 5.1.1", "Diagnostic-Code: smtp; 550 5.1.1 Adresse d au moins un destinataire invalide. Invalid recipient. OFR_416 [416]"), core.DeliveryBounced, "5.1.1"},
		{"Exchange, full", notification("Final-Recipient: rfc822;c@x.test", "Action: failed", "Status: 5.2.2", "Diagnostic-Code: smtp;554 5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException"), core.DeliveryBounced, "5.2.2"},
		{"put off", notification("Final-Recipient: rfc822; c@x.test", "Action: delayed", "Status: 4.4.1"), core.DeliveryDelayed, "4.4.1"},
		{"arrived", notification("Final-Recipient: rfc822; c@x.test", "Action: delivered", "Status: 2.0.0"), core.DeliveryDelivered, "2.0.0"},
		{"handed on", notification("Final-Recipient: rfc822; c@x.test", "Action: relayed (to a server without DSN)", "Status: 2.0.0"), core.DeliveryDelivered, "2.0.0"},
		{"in letters of any script", strings.Replace(notification("Final-Recipient: utf-8; é@x.test", "Action: failed", "Status: 5.1.1"), "message/delivery-status", "message/global-delivery-status", 1), core.DeliveryBounced, "5.1.1"},
		{"failed, and yet a good code", notification("Final-Recipient: rfc822; c@x.test", "Action: failed", "Status: 2.0.0"), core.DeliveryUnclear, ""},
		{"an alias of two that fared differently", notification("Final-Recipient: rfc822; c@x.test", "Action: failed", "Status: 5.1.1", "", "Final-Recipient: rfc822; d@x.test", "Action: delivered", "Status: 2.0.0"), core.DeliveryUnclear, ""},
		{"an action nobody knows", notification("Final-Recipient: rfc822; c@x.test", "Action: pondered", "Status: 5.1.1"), core.DeliveryUnclear, ""},
		{"no recipient at all", notification(""), core.DeliveryUnclear, ""},
		{"a report on a report is none on the letter", "From: mailer-daemon@x.test\nContent-Type: message/rfc822\n\n" + notification("Action: failed", "Status: 5.1.1"), core.DeliveryUnclear, ""},
		{"cut short", notification("Final-Recipient: rfc822; c@x.test", "Action: failed", "Status: 5.1.1")[:480], core.DeliveryBounced, "5.1.1"},

		{"qmail", report("failure notice", "Hi. This is the qmail-send program at mx.example.net.\nI'm afraid I wasn't able to deliver your message to the following addresses.\nThis is a permanent error; I've given up. Sorry it didn't work out.\n\n<c@x.test>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n--- Below this line is a copy of the message.\n\nMailbox full\n"), core.DeliveryBounced, "5.1.1"},
		{"Exim", "X-Failed-Recipients: c@x.test\n" + report("Mail delivery failed: returning message to sender", "This message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered to one or more of its\nrecipients. This is a permanent error. The following address(es) failed:\n\n  c@x.test\n    host mx.x.test: 550 User unknown\n"), core.DeliveryBounced, "5.1.1"},
		{"Exim, put off", report("Warning: message 1abc delayed 24 hours", "A message that you sent has not yet been delivered to one or more of its recipients after more than 24 hours.\nNo action is required on your part.\n"), core.DeliveryDelayed, ""},
		{"Exchange, in French", report("Non remis : Votre document", "Échec de la remise pour ces destinataires ou groupes :\n\nc@x.test\nL’adresse de messagerie que vous avez entrée est introuvable : destinataire inconnu.\n"), core.DeliveryBounced, "5.1.1"},
		{"a French provider, full", report("Message non distribué", "Votre message n’a pas pu être distribué : la boîte aux lettres est pleine.\n"), core.DeliveryBounced, "5.2.2"},
		{"a French provider, put off", report("Remise retardée", "Votre message n’a pas encore été remis. De nouvelles tentatives seront faites, aucune action n’est requise.\n"), core.DeliveryDelayed, ""},
		{"both said: not known", report("Undelivered", "Your message could not be delivered yet. We will retry for 47 more hours.\n"), core.DeliveryUnclear, ""},
		{"words nobody knows", report("Notice", "Something about your message.\n"), core.DeliveryUnclear, ""},
		{"the words stand in the letter alone", report("Notice", "See below.\n----- Original message -----\nuser unknown, permanent error\n"), core.DeliveryUnclear, ""},

		{"out of office", "From: Camille <c@x.test>\nAuto-Submitted: auto-replied\nSubject: Absence du bureau : Votre document\n\nJe suis absente. Un message urgent n’a pas pu être remis ? Appelez.\n", core.DeliveryNoReport, ""},
		{"Gmail's vacation", "From: Camille <c@x.test>\nPrecedence: bulk\nX-Autoreply: yes\nSubject: Re: Votre document\n\nEn congés.\n", core.DeliveryNoReport, ""},
		{"Outlook's", "From: Camille <c@x.test>\nX-Auto-Response-Suppress: All\nSubject: Réponse automatique : Votre document\n\nAbsente.\n", core.DeliveryNoReport, ""},
		{"a person", "From: Camille <c@x.test>\nSubject: Re: Votre document\n\nuser unknown? permanent error?\n", core.DeliveryNoReport, ""},
		{"nothing", "", core.DeliveryNoReport, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Parse([]byte(c.message))
			if got.Delivery != c.want || got.Status != c.status {
				t.Errorf("%s %q, want %s %q", got.Delivery, got.Status, c.want, c.status)
			}
			crlf := strings.ReplaceAll(strings.ReplaceAll(c.message, "\r\n", "\n"), "\n", "\r\n")
			if again := Parse([]byte(crlf)); again != got {
				t.Errorf("with CRLF: %v", again)
			}
		})
	}
}

// A small message is read in little time, however it is nested or repeated.
func TestREL12_ReportsAreReadInBoundedWork(t *testing.T) {
	nested := strings.Repeat("Content-Type: multipart/report; boundary=b\n\n--b\n", 1300)
	fences := "From: mailer-daemon@x\nContent-Type: multipart/report; boundary=b\n\n" + strings.Repeat("--b\n\n", 12000)
	folds := "From: mailer-daemon@x\nSubject: a\n" + strings.Repeat(" b\n", 20000)
	for _, message := range []string{nested, fences, folds, strings.Repeat("<", 60000), strings.Repeat("Action: failed\n\n", 4000)} {
		if r := Parse([]byte(message)); r.Delivery == core.DeliveryDelivered {
			t.Errorf("delivered: %.40q", message)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(notification("Final-Recipient: rfc822; c@x.test", "Action: failed", "Status: 5.1.1")))
	f.Add([]byte(report("failure notice", "This is a permanent error; I've given up.\n<c@x.test>: (#5.1.1)\n")))
	f.Add([]byte("Content-Type: multipart/report; boundary=\n\n--\n"))
	f.Fuzz(func(t *testing.T, message []byte) {
		r := Parse(message)
		switch r.Delivery {
		case core.DeliveryBounced, core.DeliveryDelayed, core.DeliveryDelivered:
		case core.DeliveryUnclear, core.DeliveryNoReport:
			if r.Status != "" {
				t.Errorf("%s with a status %q", r.Delivery, r.Status)
			}
		default:
			t.Errorf("no verdict: %q", r.Delivery)
		}
		if r.Status != "" && statusIn(r.Status) != r.Status {
			t.Errorf("no status: %q", r.Status)
		}
	})
}
