package mailauth

import "strings"

// passed gives the domains whose DKIM signatures the sealer saw hold, in A-labels: what
// its own ARC-Authentication-Results say, in the words of RFC 8601 §2.2.
func (c chain) passed() []string {
	var out []string
	statements := statements(c.sets[len(c.sets)-1].results.unfolded())
	for _, s := range statements[min(2, len(statements)):] { // after i= and who says it
		if domain := dkimPass(s); domain != "" {
			out = append(out, domain)
		}
	}
	return out
}

// dkimPass is the domain of a statement "dkim=pass header.d=domain", or "header.i=@domain"
// where nothing else names it; "" for every other statement.
func dkimPass(words []string) string {
	if len(words) == 0 || !strings.EqualFold(words[0], "dkim=pass") {
		return ""
	}
	var d, i string
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch strings.ToLower(key) {
		case "header.d":
			d = value
		case "header.i":
			i = value[strings.LastIndexByte(value, '@')+1:]
		}
	}
	if d == "" {
		d = i
	}
	return aLabels(d)
}

// statements cuts results into statements and those into words, at semicolons and blanks
// outside of comments and quoted strings: what stands in those came from a sender, and
// may look like anything. Comments are dropped; quoted strings stay within their word.
// What is never closed makes all of it worthless.
func statements(v string) [][]string {
	var (
		out   [][]string
		words []string
		word  strings.Builder
	)
	flush := func() {
		if word.Len() > 0 {
			words = append(words, word.String())
		}
		word.Reset()
	}
	for i := 0; i < len(v); i++ {
		switch c := v[i]; c {
		case ';':
			flush()
			out, words = append(out, words), nil
		case ' ', '\t':
			flush()
		case '(', '"':
			end := closing(v, i)
			if end < 0 {
				return nil
			}
			if c == '"' {
				word.WriteString(v[i : end+1])
			} else {
				flush()
			}
			i = end
		default:
			word.WriteByte(c)
		}
	}
	flush()
	return append(out, words)
}

// closing finds the end of the quoted string or comment that begins at i; -1 for none.
func closing(v string, i int) int {
	quoted, depth := v[i] == '"', 0
	for ; i < len(v); i++ {
		switch c := v[i]; {
		case c == '\\':
			i++
		case quoted && c == '"':
			if depth++; depth == 2 {
				return i
			}
		case quoted:
		case c == '"': // a name given in a comment as it came: it may have closed the comment itself
			return -1
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}
