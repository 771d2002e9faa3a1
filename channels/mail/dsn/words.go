package dsn

import (
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"vaguemestre/core"
)

// plain reads a report that is written for people alone. It is believed only where it
// says in known words that it is final, and in none that it is not.
func plain(m entity) core.DeliveryReport {
	text := fold(own(m.text()))
	delayed := containsAny(text, delays) || containsAny(fold(m.head.get("Subject")), delayedSubjects)
	failed := containsAny(text, failures) || m.head.get("X-Failed-Recipients") != "" && !delayed
	switch {
	case delayed && !failed:
		return core.DeliveryReport{Delivery: core.DeliveryDelayed, Status: temporary(refine("", text, ""))}
	case failed && !delayed:
		code := refine("", text, "")
		if code != "" && code[0] == '2' {
			return core.DeliveryReport{Delivery: core.DeliveryUnclear}
		}
		return core.DeliveryReport{Delivery: core.DeliveryBounced, Status: code}
	}
	return core.DeliveryReport{Delivery: core.DeliveryUnclear}
}

// temporary keeps a code that fits a letter still under way.
func temporary(code string) string {
	if code != "" && code[0] == '4' {
		return code
	}
	return ""
}

// own is a report's own text: it ends where it returns the letter, whose words are ours.
func own(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if returned(fold(line)) {
			break
		}
		b.WriteString(line)
		if b.Len() > 16<<10 {
			break
		}
	}
	return b.String()
}

func returned(line string) bool {
	line = strings.TrimSpace(line)
	for _, mark := range []string{
		"--- below this line is a copy of the message", "------ this is a copy of the message", "----- original message", "-----original message", "----- unsent message",
		"--- message original", "----- message d'origine", "--- header of your message", "original message headers:", "received: from ", "return-path: <", "message header follows", "----- returned message",
		"entetes du message d'origine", "en-tetes du message d'origine",
	} {
		if strings.HasPrefix(line, mark) {
			return true
		}
	}
	return false
}

// failures say that nothing more will be tried.
var failures = []string{
	"this is a permanent error", "permanent fatal error", "permanent failure", "permanent error", "i've given up", "delivery failed permanently", "failed permanently",
	"could not be delivered to", "couldn't be delivered to", "was not delivered to", "wasn't delivered to", "did not reach the following", "did not reach some or all", "delivery to the following recipient failed", "delivery to the following recipients failed",
	"delivery has failed to these recipients", "undeliverable to the following", "message was undeliverable", "could not be delivered", "unable to deliver your message", "unable to deliver message to", "i'm not going to try again", "error delivering your mail", "your message was rejected", "your message wasn't delivered", "sorry, we were unable to deliver",
	"address not found", "address couldn't be found", "user unknown", "unknown user", "no such user", "recipient address rejected", "mailbox not found", "mailbox unavailable",
	"n'a pas pu etre remis", "n'a pas pu etre delivre", "n'a pu etre remis", "n'a pu etre delivre", "pas ete remis", "pas ete distribue", "echec de la remise", "echec de remise", "echec definitif", "erreur permanente", "impossible de remettre", "impossible de delivrer", "destinataire inconnu", "adresse inconnue", "utilisateur inconnu", "non remis", "n'a pas pu etre distribue",
}

// delays say that it goes on being tried.
var delays = []string{
	"will continue to be", "will keep trying", "we'll keep trying", "will be retried", "will retry", "still trying", "still being retried", "not yet been delivered", "has not yet been", "delivery is delayed", "has been delayed", "delivery delayed", "delayed delivery", "message delayed",
	"you do not need to resend", "no action is required", "this is a warning message only", "warning: could not send", "warning message only", "temporary problem delivering",
	"sera retente", "tentatives se poursuivent", "nouvelle tentative", "remise retardee", "retarde", "n'a pas encore ete", "aucune action n'est requise", "vous n'avez pas besoin de renvoyer",
}

var delayedSubjects = []string{"delayed", "delay", "warning: could not send", "warning: message", "retardee", "retarde", "remise differee", "still being retried"}

// fold makes text comparable: small letters, no accents, blanks and apostrophes of one kind.
func fold(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '’':
			return '\''
		case unicode.Is(unicode.Mn, r):
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFD.String(s))
	return strings.Join(strings.Fields(s), " ")
}

func containsAny(text string, words []string) bool {
	for _, w := range words {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

func firstWord(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), ";")
	word, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	return word
}

var (
	enhanced = regexp.MustCompile(`(?:^|[^0-9.])([245])\.([0-7])\.([0-9]{1,3})(?:[^0-9.]|\.?$|\.\s)`)
	basic    = regexp.MustCompile(`(?:^|[^0-9.])([45])([0-9]{2})[ -]`)
)

// statusIn is the first enhanced status code in a text.
func statusIn(s string) string {
	if m := enhanced.FindStringSubmatch(s); m != nil {
		return m[1] + "." + m[2] + "." + m[3]
	}
	return ""
}

// refine makes a code that says little more exact by what the diagnostic says, or else
// the text.
func refine(code, diagnostic, text string) string {
	if said(code) {
		return code
	}
	class := ""
	if code != "" {
		class = code[:1]
	}
	for _, s := range []string{fold(diagnostic), fold(own(text))} {
		found := statusIn(s)
		if found != "" && (class == "" || found[:1] == class) {
			code = found
			if said(found) {
				return found
			}
		}
		if m := basic.FindStringSubmatch(s); class == "" && found == "" && m != nil {
			class = m[1]
		} else if class == "" && found != "" {
			class = found[:1]
		}
		for _, k := range known {
			if containsAny(s, k.words) {
				if class == "4" {
					return "4" + k.code[1:]
				}
				return k.code
			}
		}
	}
	return code
}

// said reports whether a code says more than that it went wrong.
func said(code string) bool {
	switch code {
	case "", "5.0.0", "4.0.0", "5.5.0", "5.3.0", "5.7.0", "5.1.0", "4.3.0", "5.0.1", "5.2.0":
		return false
	}
	return true
}

// known are words in which servers say what code they mean.
var known = []struct {
	code  string
	words []string
}{
	{"5.2.2", []string{"mailbox full", "mailbox is full", "over quota", "quota exceeded", "exceeded storage", "exceeded its quota", "overquota", "boite pleine", "boite aux lettres pleine", "boite de reception est pleine", "quota depasse", "storage allocation", "insufficient storage", "boite aux lettres est pleine"}},
	{"5.2.1", []string{"mailbox disabled", "account disabled", "account is disabled", "account has been disabled", "mailbox is inactive", "inactive user", "compte desactive", "boite desactivee", "compte suspendu", "user is inactive", "account suspended"}},
	{"5.1.2", []string{"host not found", "host unknown", "domain not found", "domain does not exist", "nom de domaine inconnu", "domaine inconnu", "no such domain", "name or service not known", "nxdomain", "dns error"}},
	{"5.1.1", []string{"user unknown", "unknown user", "no such user", "no such recipient", "does not exist", "doesn't exist", "user not found", "unknown recipient", "recipient not found", "recipient unknown", "address not found", "address couldn't be found", "invalid recipient", "unknown or illegal", "adresse inconnue", "adresse d au moins un destinataire invalide", "adresse d'au moins un destinataire invalide", "utilisateur inconnu", "destinataire inconnu", "destinataire invalide", "n'existe pas", "n'existe plus", "mailbox not found", "unrouteable address", "no mailbox here", "unknown address", "not recognized", "user not exist", "no account by that name"}},
	{"5.3.4", []string{"message too large", "message size exceeds", "size limit", "message trop volumineux", "message trop gros", "taille maximale"}},
	{"5.7.1", []string{"spam", "blocked", "blacklist", "blocklist", "not authorized", "relay access denied", "relaying denied", "policy", "dmarc", "access denied", "pourriel", "reputation"}},
	{"4.4.7", []string{"message expired", "delivery time expired", "retry timeout exceeded", "retry time not reached", "delivery expired", "too long in queue", "timed out", "connection refused", "delai depasse", "delai expire"}},
}
