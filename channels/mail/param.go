package mail

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// param is the value of one parameter of a header field.
type param struct {
	raw      string // quotes undone, nothing else
	extended string // as UTF-8, when it was given in the form of RFC 2231
	plain    bool   // raw was given as such, not put together from the extended form
	again    bool   // it was given more than once, with different values, or with a piece missing
	loose    bool   // no semicolon stood before it: most programs do not see it
}

// forms reports whether the parameter was given in both forms, which differ.
func (p param) forms() bool { return p.plain && p.extended != "" && p.raw != p.extended }

// segment is one piece of a parameter cut in several (RFC 2231 §3).
type segment struct {
	n       int
	encoded bool // percent-encoded (§4)
	again   bool // it was given more than once, with different values
	value   string
}

// parseParams takes a field such as Content-Type apart: its value in lower case, comments and all, and
// its parameters by lower-case name, the first of a name counting. It accepts what
// programs really send: unquoted values with blanks, quotes inside quotes, a missing
// semicolon, an end quote that never comes.
func parseParams(field []byte) (string, map[string]param) {
	s := string(field)
	end := strings.IndexByte(s, ';')
	if end < 0 {
		end = len(s)
	}
	loose := false
	if i := strings.IndexByte(s[:end], '='); i >= 0 && !strings.Contains(s[:i], "(") { // parameters already: the semicolon, or the value, is missing
		loose = true
		end = 1 + strings.LastIndexAny(strings.TrimRight(s[:i], " \t"), " \t:")
	}
	value, rest := strings.TrimRight(s[:end], " \t:"), s[end:]
	params := map[string]param{}
	segments := map[string][]segment{}
	for {
		rest = strings.TrimLeft(rest, "; \t")
		if rest == "" {
			break
		}
		name, after, found := cutName(rest)
		if !found {
			_, rest, _ = strings.Cut(rest, ";")
			continue
		}
		var v string
		v, rest = cutValue(after)
		keepParam(params, segments, strings.ToLower(name), v)
	}
	for name, list := range segments {
		p := params[name]
		slices.SortStableFunc(list, func(a, b segment) int { return a.n - b.n })
		p.again = p.again || slices.ContainsFunc(list, func(s segment) bool { return s.again }) || list[len(list)-1].n != list[0].n+len(list)-1
		p.raw, p.extended = joinSegments(list, p.raw)
		params[name] = p
	}
	for name, p := range params {
		p.loose = loose
		params[name] = p
	}
	return strings.ToLower(strings.TrimSpace(value)), params
}

// comment is what stands in parentheses; one inside another is not looked for.
var comment = regexp.MustCompile(`\([^()]*\)?`)

// plainValue is the value of a field as it should have been written: without comments,
// quotes, and blanks around a slash or after the first word.
func plainValue(value string) string {
	plain := strings.ReplaceAll(comment.ReplaceAllString(value, " "), `"`, "")
	plain = strings.TrimSpace(slashes.ReplaceAllString(plain, "/"))
	if i := strings.IndexAny(plain, " \t"); i >= 0 && strings.Contains(plain[:i], "/") {
		plain = plain[:i]
	}
	return plain
}

var slashes = regexp.MustCompile(`[ \t]*/[ \t]*`)

// cutName splits `name = value` at the equals sign, if s begins with such a thing.
func cutName(s string) (name, after string, ok bool) {
	i := strings.IndexAny(s, "=;")
	if i < 0 || s[i] == ';' {
		return "", "", false
	}
	return strings.TrimRight(s[:i], " \t"), strings.TrimLeft(s[i+1:], " \t"), true
}

// cutValue takes a quoted or bare value from the beginning of s.
func cutValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexByte(s, ';')
		if end < 0 {
			end = len(s)
		}
		return strings.TrimSpace(s[:end]), s[end:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		case c == '"' && endsValue(s[i+1:]):
			return b.String(), s[i+1:]
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), ""
}

// Bounds on what is looked at, so that reading a hostile field takes time in
// proportion to its length.
const (
	maxParamName = 64  // bytes in the name of a parameter
	maxSegments  = 256 // pieces of one parameter
)

// endsValue reports whether a quote followed by s ends its value: a quote in the
// middle of a badly quoted name does not.
func endsValue(s string) bool {
	s = strings.TrimLeft(s, " \t")
	if s == "" || s[0] == ';' || s[0] == '(' {
		return true
	}
	name, _, ok := cutName(s[:min(len(s), maxParamName)])
	return ok && !strings.ContainsAny(name, " \t\"")
}

// keepParam files a parameter under its plain name, or as a segment of it:
// name, name*, name*0, name*0* (RFC 2231).
func keepParam(params map[string]param, segments map[string][]segment, name, value string) {
	base, mark, cut := strings.Cut(name, "*")
	if !cut {
		p, again := params[name]
		if !again {
			p = param{raw: value, plain: true}
		}
		p.again = p.again || p.raw != value
		params[name] = p
		return
	}
	number, encoded := strings.CutSuffix(mark, "*")
	if mark == "" {
		number, encoded = "0", true
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || n >= maxSegments {
		return
	}
	if i := slices.IndexFunc(segments[base], func(s segment) bool { return s.n == n }); i >= 0 {
		if segments[base][i].value != value {
			segments[base][i].again = true
		}
		return
	}
	segments[base] = append(segments[base], segment{n: n, encoded: encoded, value: value})
}

// joinSegments puts a parameter together again, from its pieces in their order, whose
// numbers some programs begin at 1. Its raw form counts where no charset
// is wanted (a boundary); plain is the raw form found without segments, which wins
// there as it always did before RFC 2231.
func joinSegments(list []segment, plain string) (raw, extended string) {
	var charset string
	var b strings.Builder
	for i, s := range list {
		if s.n != list[0].n+i {
			break // a piece is missing: what follows it would be read wrongly
		}
		v := s.value
		if s.encoded && i == 0 {
			if parts := strings.SplitN(v, "'", 3); len(parts) == 3 {
				charset, v = parts[0], parts[2]
			}
		}
		if s.encoded {
			v = percentDecoded(v)
		}
		b.WriteString(v)
	}
	joined := b.String()
	if plain == "" {
		plain = joined
	}
	if charset == "" {
		return plain, decodeWords(joined)
	}
	return plain, toUTF8(charset, []byte(joined))
}

// percentDecoded undoes %XX and leaves anything else as it is.
func percentDecoded(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if hi, lo := hexDigit(s[i+1]), hexDigit(s[i+2]); hi >= 0 && lo >= 0 {
				b.WriteByte(byte(hi<<4 | lo))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
