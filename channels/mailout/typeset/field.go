package typeset

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Lines of a header stay below softLine where they can be broken; RFC 5322 allows 998.
const softLine = 76

// field writes one field. Its value is in lines of its own already, or short.
func field(b *strings.Builder, name, value string) {
	b.WriteString(name)
	b.WriteString(": ")
	b.WriteString(value)
	b.WriteString("\r\n")
}

// plain is text without what could end a line, hide, or turn around what is read:
// control characters become blanks, formatting and broken characters go, blanks are one.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError:
			return -1
		case unicode.IsControl(r), unicode.IsSpace(r) && r != '\u00a0' && r != '\u202f':
			return ' '
		case unicode.In(r, unicode.Cf, unicode.Co, unicode.Cs):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' }), " ")
}

// shorten keeps at most n characters.
func shorten(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return strings.TrimSpace(string([]rune(s)[:n-1])) + "…"
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// unstructured is text as the value of a field whose name takes up used characters of
// the first line: as it is when it is plain ASCII that nobody could take for encoded
// words, else in encoded words (RFC 2047).
func unstructured(s string, used int) string {
	if !ascii(s) || strings.Contains(s, "=?") {
		return words(s, used)
	}
	var b strings.Builder
	for i, word := range strings.Split(s, " ") {
		switch {
		case i == 0:
		case used+1+len(word) > softLine:
			b.WriteString("\r\n ")
			used = 1
		default:
			b.WriteByte(' ')
			used++
		}
		if len(word) > 900 { // nothing to break it at
			return words(s, used)
		}
		b.WriteString(word)
		used += len(word)
	}
	return b.String()
}

const (
	wordBegin = "=?utf-8?q?"
	wordEnd   = "?="
)

// words writes text as encoded words, none of them, and no line, longer than it may be,
// with characters whole (RFC 2047 §5). What it leaves as it is may stand in a phrase too.
func words(s string, used int) string {
	var b strings.Builder
	b.WriteString(wordBegin)
	used += len(wordBegin)
	for _, r := range s {
		encoded := encodeRune(r)
		if used+len(encoded)+len(wordEnd) > softLine {
			b.WriteString(wordEnd + "\r\n " + wordBegin)
			used = 1 + len(wordBegin)
		}
		b.WriteString(encoded)
		used += len(encoded)
	}
	b.WriteString(wordEnd)
	return b.String()
}

func encodeRune(r rune) string {
	switch {
	case r == ' ':
		return "_"
	case r < utf8.RuneSelf && strings.ContainsRune("!*+-/", r), r >= '0' && r <= '9', r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z':
		return string(r)
	}
	return hexed(string(r), '=')
}

func hexed(s string, mark byte) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		b.Write([]byte{mark, digits[s[i]>>4], digits[s[i]&15]})
	}
	return b.String()
}

// mailbox is an address with a name before it, if there is one.
func mailbox(name string, a Address, used int) string {
	name = shorten(plain(name), 100)
	if name == "" {
		return a.String()
	}
	if ascii(name) && !strings.Contains(name, "=?") {
		name = quoted(name)
	} else {
		name = words(name, used)
	}
	last := used + len(name)
	if i := strings.LastIndexByte(name, '\n'); i >= 0 {
		last = len(name) - i
	}
	space := " "
	if last+3+len(a.String()) > softLine {
		space = "\r\n "
	}
	return name + space + "<" + a.String() + ">"
}

func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// Address is a mailbox in a form that can neither end a line nor be read as two. Its
// domain is in A-labels.
type Address struct{ Local, Domain string }

// ParseAddress takes local@domain: a local part of atoms, in UTF-8 too, and the name of a
// domain. Quoted local parts and addresses of machines by number are none.
func ParseAddress(s string) (Address, bool) {
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at > 64 || len(s) > 254 || !utf8.ValidString(s) {
		return Address{}, false
	}
	local := s[:at]
	for atom := range strings.SplitSeq(local, ".") {
		if atom == "" || strings.ContainsFunc(atom, func(r rune) bool { return !atext(r) }) {
			return Address{}, false
		}
	}
	domain, err := idna.Lookup.ToASCII(s[at+1:])
	if err != nil || len(domain) > 253 {
		return Address{}, false
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 {
			return Address{}, false
		}
	}
	return Address{local, strings.ToLower(domain)}, true
}

func atext(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
	}
	return unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsNumber(r)
}

// UTF8 reports whether servers must know SMTPUTF8 to carry it.
func (a Address) UTF8() bool { return !ascii(a.Local) }

func (a Address) String() string { return a.Local + "@" + a.Domain }

// messageID gives a Message-ID that may stand in a header; "" for what is none.
func messageID(s string) string {
	s = strings.TrimSpace(s)
	inner := strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">")
	if len(inner) == len(s)-2 && len(s) <= 900 && ascii(inner) && !strings.ContainsAny(inner, " <>(),;\"\\") && strings.Contains(inner, "@") {
		return s
	}
	return ""
}
