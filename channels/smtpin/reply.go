package smtpin

import (
	"fmt"
	"strings"
)

// standing is the reply to a command that is the same at any time.
func standing(verb string) string {
	switch verb {
	case "NOOP":
		return "250 2.0.0 Ok"
	case "HELP":
		return "214 2.0.0 This server takes in documents for a town hall: EHLO, STARTTLS, MAIL, RCPT, DATA, BDAT, RSET, NOOP, QUIT"
	case "VRFY":
		return "252 2.5.0 Addresses are not verified: the reply to RCPT tells"
	case "EXPN":
		return "502 5.5.1 There are no lists here"
	case "AUTH":
		return "502 5.5.1 No login here: messages to the town hall are taken from anyone"
	case "LHLO":
		return "502 5.5.1 This is SMTP, not LMTP: say EHLO"
	case "ETRN", "ATRN", "TURN", "SEND", "SOML", "SAML", "XCLIENT", "XFORWARD":
		return "502 5.5.1 Not offered here"
	case "":
		return "500 5.5.2 A command was expected"
	}
	return "500 5.5.1 Unknown command: EHLO, MAIL, RCPT, DATA and QUIT make a session"
}

// foreign reports whether the client takes us for a web server, as one does that was
// led here by a page.
func foreign(verb string) bool {
	switch verb {
	case "GET", "HEAD", "POST", "PUT", "OPTIONS", "CONNECT", "PATCH", "DELETE":
		return true
	}
	return strings.HasSuffix(verb, ":")
}

// wording is what go-smtp's replies become, by the verb and the beginning of theirs.
// Theirs repeat what the client sent, and have 502 and 500 for what RFC 5321 §4.2.4 and
// §4.3.2 have codes of their own; ours say what to do. What is not here stays.
var wording = map[string][]struct{ theirs, ours string }{
	"EHLO": {
		{"501 5.5.2 Domain/address", "501 5.5.4 Say who you are: EHLO host.example"},
	},
	"MAIL": {
		{"250 2.0.0 Roger", "250 2.1.0 Sender noted"},
		{"502 5.5.1 Please introduce", "503 5.5.1 Say EHLO first"},
		{"502 5.5.1 MAIL not allowed", "503 5.5.1 A message is under way: end it with BDAT 0 LAST, or RSET"},
		{"501 5.5.2 Was expecting", "501 5.1.7 Sender not understood: MAIL FROM:<name@host.example>, or <> for none"},
		{"501 5.5.4 Unable to parse MAIL", "501 5.5.4 Parameters of MAIL not understood: NAME=value, with a space before each"},
		{"501 5.5.4 Unable to parse SIZE", "501 5.5.4 SIZE is a number of bytes"},
		{"504 5.5.4 BINARYMIME", "504 5.5.4 BINARYMIME is not offered: send 8BITMIME"},
		{"501 5.5.4 Unknown BODY", "501 5.5.4 BODY is 7BIT or 8BITMIME"},
		{"500 5.5.4 Malformed AUTH", "501 5.5.4 AUTH is an address, or <>"},
		{"500 5.5.4 Unknown MAIL", "555 5.5.4 Parameter of MAIL not offered: see the reply to EHLO"},
		{"504 5.5.4 ", "555 5.5.4 Parameter of MAIL not offered: see the reply to EHLO"},
	},
	"RCPT": {
		{"250 2.0.0 I'll make sure", "250 2.1.5 Recipient found"},
		{"502 5.5.1 Missing MAIL", "503 5.5.1 Say MAIL first"},
		{"502 5.5.1 RCPT not allowed", "503 5.5.1 A message is under way: end it with BDAT 0 LAST, or RSET"},
		{"501 5.5.2 Was expecting", "501 5.1.3 Recipient not understood: RCPT TO:<name@host.example>"},
		{"501 5.5.4 Unable to parse RCPT", "501 5.5.4 Parameters of RCPT not understood: NAME=value, with a space before each"},
		{"452 4.5.3 Maximum limit", "452 4.5.3 Too many recipients: send the message to the others separately"},
		{"500 5.5.4 Unknown RCPT", "555 5.5.4 Parameter of RCPT not offered: see the reply to EHLO"},
		{"504 5.5.4 ", "555 5.5.4 Parameter of RCPT not offered: see the reply to EHLO"},
	},
	"DATA": {
		{"354 Go ahead", "354 Send the message, and CRLF.CRLF at its end"},
		{"501 5.5.4 DATA command", "501 5.5.4 DATA takes no parameter"},
		{"502 5.5.1 DATA not allowed", "503 5.5.1 A message is under way: end it with BDAT 0 LAST, or RSET"},
	},
	"BDAT": {
		{"250 2.0.0 Continue", "250 2.0.0 Chunk received"},
	},
	"RSET": {
		{"250 2.0.0 Session reset", "250 2.0.0 Ok"},
	},
	"QUIT": {
		{"221 2.0.0 Bye", "221 2.0.0 Goodbye"},
	},
}

// reword turns a line of a reply of go-smtp's into ours.
func (w *wire) reword(line string) string {
	verb := w.verb
	switch {
	case verb == "HELO":
		verb = "EHLO"
	case strings.HasPrefix(line, "421 4.0.0 "):
		return w.counting("421 4.3.0 Something went wrong here, please try again later")
	}
	switch {
	case verb == "EHLO" && (strings.HasPrefix(line, "250-Hello ") || strings.HasPrefix(line, "250 2.0.0 Hello ")):
		return line[:4] + w.r.cfg.Domain // RFC 5321 §4.1.1.1: our name comes first
	case verb == "EHLO" && strings.Contains(line, "LIMITS ") && !w.exempt:
		return line + fmt.Sprintf(" MAILMAX=%d", w.r.cfg.MaxMessages) // RFC 9422
	case strings.HasPrefix(line, "552 5.3.4 Max message size"), verb == "MAIL" && w.vast && strings.HasPrefix(line, "501 5.5.4 Unable to parse SIZE"):
		return w.counting(w.tooLarge())
	case strings.HasPrefix(line, "502 5.5.1 Missing RCPT"):
		if w.busy.Load() {
			return w.counting("554 5.5.1 No valid recipients")
		}
		return w.counting("503 5.5.1 Say MAIL and RCPT first")
	}
	for _, word := range wording[verb] {
		if strings.HasPrefix(line, word.theirs) {
			line = word.ours
			break
		}
	}
	return w.counting(line)
}

func (w *wire) tooLarge() string { return "552 5.3.4 " + fmt.Sprintf(tooLarge, w.r.cfg.MaxBytes) }

// counting counts a reply that accepts nothing, and makes it the last one when the client
// has made too many mistakes.
func (w *wire) counting(reply string) string {
	if reply[0] != '4' && reply[0] != '5' {
		return reply
	}
	switch reply[:3] {
	case "500", "501", "502", "503", "504", "555":
		if w.tally.errors++; w.tally.errors > w.r.cfg.MaxErrors {
			w.dead.Store(true)
			reply = "421 4.7.0 Too many errors, closing"
		}
	}
	code, rest, _ := strings.Cut(reply, " ")
	status, _, _ := strings.Cut(rest, " ")
	w.r.cfg.Seen(SeenRefusal, code+" "+status)
	return reply
}
