package mailauth

import (
	"mime"
	"strings"

	"vaguemestre/core"
)

// automatic reports whether a program wrote the message, or may have (RFC 3834 §2, §4;
// RFC 5230 §4.6): it is never answered. The envelope counts where there is one.
func (h header) automatic(s core.Sender) bool {
	if s.Remote != "" && s.MailFrom == "" {
		return true
	}
	if !s.Delivered.IsZero() && h.first("Return-Path") == "<>" { // of a message from a mailbox, what is left of one
		return true
	}
	for _, name := range []string{"List-Id", "List-Unsubscribe", "List-Post", "List-Help", "X-Autoreply", "X-Autorespond"} {
		if len(h.all(name)) > 0 {
			return true
		}
	}
	for _, f := range h.all("Auto-Submitted") {
		if word, _, _ := strings.Cut(f.unfolded(), ";"); !strings.EqualFold(strings.TrimSpace(word), "no") {
			return true
		}
	}
	for _, f := range h.all("Precedence") {
		switch strings.ToLower(f.unfolded()) {
		case "bulk", "junk", "list", "auto_reply":
			return true
		}
	}
	if v := h.first("X-Auto-Response-Suppress"); v != "" && !strings.EqualFold(v, "none") {
		return true
	}
	kind, _, _ := mime.ParseMediaType(h.first("Content-Type"))
	return kind == "multipart/report"
}

// automatic reports whether the address is that of a program, by its name.
func (m mailbox) automatic() bool {
	local, _, _ := strings.Cut(strings.ToLower(m.local), "+")
	if strings.HasPrefix(local, "owner-") || strings.HasSuffix(local, "-owner") || strings.HasSuffix(local, "-request") {
		return true
	}
	name := strings.NewReplacer("-", "", "_", "", ".", "").Replace(local)
	switch name {
	case "mailerdaemon", "postmaster", "bounce", "bounces", "root", "daemon":
		return true
	}
	for _, mark := range []string{"noreply", "donotreply", "nepasrepondre", "mailerdaemon"} {
		if strings.Contains(name, mark) {
			return true
		}
	}
	return strings.HasSuffix(local, "-bounces")
}
