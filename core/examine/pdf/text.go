package pdf

import (
	"bytes"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// brokenWord is what PDFium writes for the hyphen of a word broken at a line's end;
// it has already joined the two lines there.
const brokenWord = '\uFFFE'

var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\x02", string(brokenWord))

// tidy gives every line the same end and drops what nobody sees: controls, zero
// widths, trailing blanks, empty lines.
func tidy(s string) string {
	s = mend(lineEnds.Replace(s))
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return r
		case unicode.Is(unicode.Cf, r): // soft hyphens, zero widths, directions
			return -1
		case unicode.IsControl(r):
			return ' '
		}
		return r
	}, s)
	var kept []string
	for line := range strings.SplitSeq(s, "\n") {
		if line = strings.TrimRightFunc(line, unicode.IsSpace); line != "" {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// mend closes words broken between two small letters and gives the hyphen back to
// the others: "docu-ment" is one word, "Saint-Maur" is not.
func mend(s string) string {
	before, after, broken := strings.Cut(s, string(brokenWord))
	if !broken {
		return s
	}
	var b strings.Builder
	for broken {
		b.WriteString(before)
		last, _ := utf8.DecodeLastRuneInString(before)
		next, _ := utf8.DecodeRuneInString(after)
		if !unicode.IsLower(last) || !unicode.IsLower(next) {
			b.WriteByte('-')
		}
		before, after, broken = strings.Cut(after, string(brokenWord))
	}
	b.WriteString(before)
	return b.String()
}

// legible tells words from what a font without a character map yields: private
// characters, replacement characters, or letters shifted along the alphabet, which
// have next to no vowels (in French four letters in ten are vowels).
func legible(s string) bool {
	var shown, strange, latin, vowels int
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			continue
		case r == unicode.ReplacementChar, unicode.Is(unicode.Co, r), !unicode.IsGraphic(r):
			strange++
		case unicode.Is(unicode.Latin, r):
			latin++
			if strings.ContainsRune("aeiouyàâäéèêëîïôöùûüÿæœ", unicode.ToLower(r)) {
				vowels++
			}
		}
		shown++
	}
	if shown == 0 || strange*4 > shown {
		return false
	}
	return latin < 80 || vowels*100 >= latin*15
}

// namesIn finds the names that matter wherever the file shows them uncompressed,
// written plainly or with #xx escapes (ISO 32000-1, 7.3.5).
func namesIn(file []byte) map[string]bool {
	seen := map[string]bool{"JavaScript": false, "Launch": false, "EmbeddedFile": false}
	for {
		i := bytes.IndexByte(file, '/')
		if i < 0 {
			return seen
		}
		file = file[i+1:]
		if name := nameAt(file); name != "" {
			if _, matters := seen[name]; matters {
				seen[name] = true
			}
		}
	}
}

// nameAt reads one name, decoded; "" for one too long to matter.
func nameAt(b []byte) string {
	var name [len("EmbeddedFile")]byte
	n := 0
	for i := 0; i < len(b); i++ {
		c := b[i]
		if c <= ' ' || strings.IndexByte("()<>[]{}/%", c) >= 0 {
			break
		}
		if n == len(name) {
			return ""
		}
		if c == '#' && i+2 < len(b) {
			code, err := strconv.ParseUint(string(b[i+1:i+3]), 16, 8)
			if err != nil {
				return ""
			}
			c = byte(code)
			i += 2
		}
		name[n] = c
		n++
	}
	return string(name[:n])
}
