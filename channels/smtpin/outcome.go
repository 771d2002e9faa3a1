package smtpin

import (
	"errors"
	"fmt"
	"os"
	"strings"

	smtp "github.com/emersion/go-smtp"

	"vaguemestre/core"
)

// What a sender is told that may try again.
var (
	errLater    = reply(451, smtp.EnhancedCode{4, 3, 0}, "Not taken in, please try again later")
	errCutShort = reply(451, smtp.EnhancedCode{4, 4, 2}, "Message did not come in whole, please send it again")
	tooSlow     = reply(421, smtp.EnhancedCode{4, 4, 2}, "Message came in too slowly, closing; please send it again")
)

// What a person may find in a non-delivery notice, as ASCII has it, save noSuchAddress.
// tooLarge has the limit in it.
const (
	tooLarge      = "Message too large, %d bytes at most. Message trop volumineux : envoyez vos documents en plusieurs messages."
	noSuchAddress = "No such address. Adresse inconnue : comparez-la à celle qu’indique votre compte ou votre courrier."

	malformed = "Message mal forme : renvoyez-le avec un autre logiciel de courriel."
)

func reply(code int, status smtp.EnhancedCode, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: status, Message: text}
}

// outcome translates what became of a message into a reply, once for all of the
// channel: a fault of the sender's bytes, a refusal, an accident, or success.
func (r *reception) outcome(receipt core.Receipt, err, fault error, utf8 bool) *smtp.SMTPError {
	var refusal *core.Refusal
	switch {
	case errors.Is(fault, errBareLine):
		return reply(550, smtp.EnhancedCode{5, 5, 2}, "Bare CR or LF, closing. "+malformed)
	case errors.Is(fault, errLongLine):
		return reply(554, smtp.EnhancedCode{5, 6, 0}, fmt.Sprintf("Line too long, %d bytes at most; closing. ", r.cfg.MaxLine)+malformed)
	case errors.Is(fault, errTooLarge):
		return reply(552, smtp.EnhancedCode{5, 3, 4}, fmt.Sprintf(tooLarge, r.cfg.MaxBytes))
	case errors.Is(fault, errSlow), errors.Is(fault, tooSlow), errors.Is(fault, os.ErrDeadlineExceeded):
		return tooSlow
	case fault != nil:
		return errCutShort
	case errors.As(err, &refusal):
		return refused(refusal, utf8)
	case err != nil:
		return errLater
	}
	return reply(250, smtp.EnhancedCode{2, 0, 0}, "Taken in: "+string(receipt.Deposit))
}

// refused puts a refusal into a reply: its code for machines, its sentence for the
// person who may find it in a non-delivery notice.
func refused(r *core.Refusal, utf8 bool) *smtp.SMTPError {
	sentence := r.Reason
	if !utf8 {
		sentence = inASCII(sentence)
	}
	const room = 400 // a reply line has 512 bytes (RFC 5321 §4.5.3.1.5)
	if len(sentence) > room {
		sentence = strings.ToValidUTF8(sentence[:room], "")
	}
	text := strings.Join(strings.Fields("Refused ("+r.Code+"): "+sentence), " ")
	switch r.Code {
	case core.UnknownAddress: // revoked since RCPT: told in the words of that reply
		text = noSuchAddress
		if !utf8 {
			text = inASCII(text)
		}
		return reply(550, smtp.EnhancedCode{5, 1, 1}, text)
	case "too_large":
		return reply(552, smtp.EnhancedCode{5, 3, 4}, text)
	case "header_too_large", "too_many_parts", "too_deep", "unsupported_kind":
		return reply(554, smtp.EnhancedCode{5, 6, 0}, text)
	}
	return reply(550, smtp.EnhancedCode{5, 7, 1}, text)
}

// inASCII writes a French sentence as a reply without SMTPUTF8 may have it.
func inASCII(s string) string {
	s = plainLetters.Replace(s)
	return strings.Map(func(r rune) rune {
		if r > '~' {
			return '?'
		}
		return r
	}, s)
}

var plainLetters = strings.NewReplacer(
	"à", "a", "â", "a", "ä", "a", "ç", "c", "é", "e", "è", "e", "ê", "e", "ë", "e", "î", "i", "ï", "i",
	"ô", "o", "ö", "o", "ù", "u", "û", "u", "ü", "u", "œ", "oe", "æ", "ae",
	"À", "A", "Â", "A", "Ç", "C", "É", "E", "È", "E", "Ê", "E", "Î", "I", "Ô", "O", "Ù", "U", "Œ", "OE",
	"’", "'", "«", `"`, "»", `"`, "…", "...", "–", "-", "—", "-", "\u00a0", " ", "\u202f", " ",
)
