package mailauth

import (
	"bytes"
	"io"
	"mime"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-message/charset"
	"golang.org/x/text/unicode/norm"
)

const (
	maxFrom  = 8 << 10 // bytes of a From field
	maxLocal = 64      // bytes of a local part (RFC 5321 §4.5.3.1.1)
	maxName  = 200     // bytes kept of a display name
)

// mailbox is the one address of a From field. Local parts compare as they are, in NFC;
// domains as A-labels.
type mailbox struct {
	local, domain string
	name          string // display name, decoded
}

func (m mailbox) String() string { return m.local + "@" + m.domain }

// from finds the one address of the one From field, or says why there is none. Every
// field that some program may take for From counts as one.
func (h header) from() (mailbox, string) {
	var found []field
	for _, f := range h.fields {
		if strings.EqualFold(strings.Map(visible, f.name), "from") {
			found = append(found, f)
		}
	}
	switch {
	case h.reason != "":
		return mailbox{}, h.reason
	case len(found) == 0:
		return mailbox{}, ReasonNoFrom
	case len(found) > 1:
		return mailbox{}, ReasonTwoFrom
	case !strings.EqualFold(found[0].name, "from"), len(found[0].value) > maxFrom:
		return mailbox{}, ReasonMalformedFrom
	}
	return parseFrom(found[0].unfolded())
}

// visible drops everything but printable ASCII.
func visible(r rune) rune {
	if r <= ' ' || r > '~' {
		return -1
	}
	return r
}

// parseFrom reads a value that holds one mailbox in a form that programs read alike:
// "phrase <address>", "address" or "address (name)". What RFC 5322 allows besides is
// refused: groups, routes, quoted local parts, comments and blanks inside an address.
func parseFrom(v string) (mailbox, string) {
	s := scanner{rest: v}
	if reason := s.scan(); reason != "" {
		return mailbox{}, reason
	}
	spec, name := s.angle, s.phrase.String()
	if !s.angled {
		if spec, name = strings.TrimSpace(s.plain.String()), s.comment; strings.ContainsAny(name, "@<") {
			return mailbox{}, ReasonMalformedFrom
		}
	}
	m, ok := parseAddress(spec)
	if !ok {
		return mailbox{}, ReasonMalformedFrom
	}
	if before := strings.TrimSpace(s.plain.String()); s.angled && strings.Contains(before, "@") {
		// An address where a name should be: some programs take it for the sender.
		if other, ok := parseAddress(before); !ok || other != m {
			return mailbox{}, ReasonSeveralAddresses
		}
	}
	m.name = displayName(name)
	return m, ""
}

// scanner walks over a From value once.
type scanner struct {
	rest    string
	phrase  strings.Builder // what stands before the address, quotes undone
	plain   strings.Builder // the same, without what was quoted or a comment
	comment string          // the last one
	angle   string          // the address between < and >
	angled  bool
}

func (s *scanner) scan() string {
	for s.rest != "" {
		switch c := s.rest[0]; {
		case c == ',':
			return ReasonSeveralAddresses
		case c == ':', c == ';':
			return ReasonGroup
		case c == '<' && s.angled:
			return ReasonSeveralAddresses
		case c == '<':
			end := strings.IndexByte(s.rest, '>')
			if end < 0 {
				return ReasonMalformedFrom
			}
			s.angle, s.rest, s.angled = s.rest[1:end], s.rest[end+1:], true
		case c == '>', c < ' ' && c != '\t', c == 0x7f:
			return ReasonMalformedFrom
		case c == '(':
			if !s.skipComment() {
				return ReasonMalformedFrom
			}
		case c == '"':
			if s.angled || !s.quoted() {
				return ReasonMalformedFrom
			}
		default:
			if s.rest = s.rest[1:]; s.angled && c != ' ' && c != '\t' {
				return ReasonMalformedFrom
			}
			s.phrase.WriteByte(c)
			s.plain.WriteByte(c)
		}
	}
	return ""
}

// quoted takes a quoted string into the phrase; a mark stays where it was.
func (s *scanner) quoted() bool {
	s.plain.WriteByte('"')
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '"':
			s.rest = s.rest[i+1:]
			return true
		case c == '\\' && i+1 < len(s.rest):
			i++
			s.phrase.WriteByte(s.rest[i])
		default:
			s.phrase.WriteByte(c)
		}
	}
	return false
}

// skipComment passes a comment, and those in it. A blank is left where it was, so that
// it never joins two halves, or a mark before an address: that is no form we take.
func (s *scanner) skipComment() bool {
	depth := 0
	for i := 0; i < len(s.rest); i++ {
		switch s.rest[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				s.comment, s.rest = s.rest[1:i], s.rest[i+1:]
				if strings.TrimSpace(s.plain.String()) == "" {
					s.plain.WriteByte('(')
				} else {
					s.plain.WriteByte(' ')
				}
				s.phrase.WriteByte(' ')
				return true
			}
		}
	}
	return false
}

// parseAddress reads local@domain.
func parseAddress(spec string) (mailbox, bool) {
	at := strings.LastIndexByte(spec, '@')
	if at < 0 {
		return mailbox{}, false
	}
	local, domain := spec[:at], spec[at+1:]
	if !isLocal(local) {
		return mailbox{}, false
	}
	name := aLabels(domain)
	if last := name[strings.LastIndexByte(name, '.')+1:]; strings.Trim(last, "0123456789") == "" { // no name, or numbers
		return mailbox{}, false
	}
	return mailbox{local: norm.NFC.String(local), domain: name}, true
}

// isLocal takes atoms and dots between them, in ASCII (RFC 5322 §3.2.3) or in visible
// characters beyond it (RFC 6532), but nothing that passes for an encoded word.
func isLocal(s string) bool {
	if len(s) > maxLocal || !utf8.ValidString(s) || strings.Contains(s, "=?") {
		return false
	}
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || strings.ContainsFunc(atom, notAtom) {
			return false
		}
	}
	return true
}

func notAtom(r rune) bool {
	if r < utf8.RuneSelf {
		return r <= ' ' || r > '~' || strings.ContainsRune(`()<>[]:;@\,."`, r)
	}
	return !unicode.IsGraphic(r) || unicode.IsSpace(r)
}

// words decodes the encoded words of RFC 2047.
var words = mime.WordDecoder{CharsetReader: charset.Reader}

// displayName makes a name fit to be shown: decoded, one line, without what turns the
// direction of writing.
func displayName(raw string) string {
	if !utf8.ValidString(raw) {
		raw = fromWindows(raw)
	}
	name, err := words.DecodeHeader(raw)
	if err != nil {
		name = raw
	}
	name = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, "\uFFFD"))
	name = strings.Join(strings.Fields(name), " ")
	if len(name) > maxName {
		name = strings.ToValidUTF8(name[:maxName], "")
	}
	return name
}

// fromWindows reads bytes without a charset as French programs send them.
func fromWindows(s string) string {
	r, err := charset.Reader("windows-1252", bytes.NewReader([]byte(s)))
	if err != nil {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	out, _ := io.ReadAll(r) // the decoder replaces what it cannot read
	return string(out)
}
