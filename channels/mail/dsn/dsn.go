// Package dsn reads what mail systems send to a letter's return path: delivery status
// notifications (RFC 3461, 3464, 6522, 6533), the reports of systems that keep to no
// standard, and automatic replies, which are none. It knows no network and keeps nothing.
//
// It is careful in one direction: what it does not know for certain is unclear, so that
// nobody is told that a letter came back, or arrived, when it may not have.
package dsn

import (
	"strings"

	"vaguemestre/core"
)

// Parse says what the message tells of the one letter on whose return path it came. Only
// the first part of a long message is needed: reports stand before what they return.
func Parse(message []byte) core.DeliveryReport {
	m := split(message)
	if r, ok := standard(m); ok {
		return r
	}
	if m.head.automaticReply() {
		return core.DeliveryReport{Delivery: core.DeliveryNoReport}
	}
	if !m.head.fromMailSystem() {
		return core.DeliveryReport{Delivery: core.DeliveryNoReport}
	}
	if r, ok := recipients(blocks(m.fields()), ""); ok {
		return r
	}
	return plain(m)
}

// standard reads the machine-readable part of a report, if there is one.
func standard(m entity) (core.DeliveryReport, bool) {
	status, ok := m.find("message/delivery-status", "message/global-delivery-status")
	if !ok {
		return core.DeliveryReport{}, false
	}
	r, ok := recipients(blocks(status.body), m.text())
	if !ok {
		r.Delivery = core.DeliveryUnclear
	}
	return r, true
}

// recipients is the verdict of the blocks that speak of a recipient; ok is false when
// none does.
func recipients(all []header, text string) (r core.DeliveryReport, ok bool) {
	var found verdicts
	for _, block := range all {
		if action := strings.ToLower(firstWord(block.get("Action"))); action != "" {
			found = append(found, verdict(action, block, text))
		}
	}
	if len(found) == 0 {
		return core.DeliveryReport{}, false
	}
	return found.one(), true
}

// verdict is what one recipient's block says.
func verdict(action string, block header, text string) core.DeliveryReport {
	code := statusIn(block.get("Status"))
	diagnostic := block.get("Diagnostic-Code")
	switch action {
	case "failed":
		if code != "" && code[0] == '2' { // contradicts itself
			return core.DeliveryReport{Delivery: core.DeliveryUnclear}
		}
		return core.DeliveryReport{Delivery: core.DeliveryBounced, Status: refine(code, diagnostic, text)}
	case "delayed":
		return core.DeliveryReport{Delivery: core.DeliveryDelayed, Status: refine(code, diagnostic, "")}
	case "delivered", "relayed", "expanded":
		if code != "" && code[0] != '2' {
			return core.DeliveryReport{Delivery: core.DeliveryUnclear}
		}
		return core.DeliveryReport{Delivery: core.DeliveryDelivered, Status: code}
	}
	return core.DeliveryReport{Delivery: core.DeliveryUnclear}
}

type verdicts []core.DeliveryReport

// one is the verdict for the letter. It had one recipient; where that one's server made
// several of it and they fared differently, nothing is certain.
func (v verdicts) one() core.DeliveryReport {
	for _, other := range v[1:] {
		if other.Delivery != v[0].Delivery {
			return core.DeliveryReport{Delivery: core.DeliveryUnclear}
		}
	}
	return v[0]
}

// automaticReply reports whether a program answered for a person: out of office, on
// holiday, received with thanks.
func (h header) automaticReply() bool {
	for _, name := range []string{"X-Autoreply", "X-Autorespond", "X-Auto-Response-Suppress", "X-Vacation"} {
		if h.get(name) != "" && !h.fromDaemon() {
			return true
		}
	}
	subject := fold(h.get("Subject"))
	for _, mark := range autoReplySubjects {
		if strings.HasPrefix(subject, mark) || strings.Contains(subject, ": "+mark) {
			return true
		}
	}
	return strings.EqualFold(firstWord(h.get("Auto-Submitted")), "auto-replied") && h.get("X-Failed-Recipients") == "" && !h.fromDaemon()
}

var autoReplySubjects = []string{
	"absence du bureau", "absent du bureau", "en conges", "message d'absence", "reponse automatique", "reponse d'absence", "auto:", "autoreply",
	"auto reply", "auto-reply", "automatic reply", "out of office", "out of the office", "on vacation", "vacation reply",
	"abwesenheit", "automatische antwort", "fuera de la oficina", "respuesta automatica", "accuse de reception",
}

// fromMailSystem reports whether the message says that a mail system wrote it.
func (h header) fromMailSystem() bool {
	if h.get("X-Failed-Recipients") != "" || h.fromDaemon() {
		return true
	}
	return strings.TrimSpace(h.get("Return-Path")) == "<>" || strings.HasPrefix(strings.ToLower(h.get("Content-Type")), "multipart/report")
}

func (h header) fromDaemon() bool {
	from := fold(h.get("From"))
	for _, who := range []string{"mailer-daemon", "mailerdaemon", "mail delivery sub", "mail delivery system", "postmaster", "mail administrator", "maildeliverysubsystem", "microsoftexchange329e71ec88ae4615bbc36ab6ce41109e"} {
		if strings.Contains(from, who) {
			return true
		}
	}
	return false
}
