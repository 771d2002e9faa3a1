package mail

import (
	"encoding/base64"
	"strings"
)

// decodeWords decodes the encoded words of RFC 2047 in s, and raw bytes around them.
// Words that follow one another in the same charset are joined before they are read:
// programs cut in the middle of a character.
func decodeWords(s string) string {
	var (
		out     strings.Builder
		charset string
		run     []byte // decoded bytes of adjacent words in charset
	)
	flush := func() {
		if run != nil {
			out.WriteString(toUTF8(charset, run))
		}
		run = nil
	}
	for s != "" {
		before, w, after, ok := nextWord(s)
		if !ok {
			break
		}
		if strings.Trim(before, " \t") != "" || run == nil || !strings.EqualFold(charset, w.charset) {
			flush()
			if strings.Trim(before, " \t") != "" || out.Len() == 0 {
				out.WriteString(guessed([]byte(before)))
			}
			charset = w.charset
		}
		run = append(run, w.bytes()...)
		s = after
	}
	flush()
	out.WriteString(guessed([]byte(s)))
	return out.String()
}

// word is one encoded word, =?charset?encoding?text?=.
type word struct {
	charset  string
	encoding byte
	text     string
}

// maxWord is the longest text of one encoded word; RFC 2047 §2 allows 75 bytes in all.
const maxWord = 1 << 10

// nextWord finds the first encoded word in s. The text of the Q encoding may hold
// blanks, although it should not.
func nextWord(s string) (before string, w word, after string, ok bool) {
	for from := 0; ; {
		i := strings.Index(s[from:], "=?")
		if i < 0 {
			return "", word{}, "", false
		}
		start := from + i
		parts := strings.SplitN(s[start+2:], "?", 3) // charset, encoding, text and all the rest
		if len(parts) == 3 && len(parts[1]) == 1 && strings.Contains("BbQq", parts[1]) && !strings.ContainsAny(parts[0], " \t\"") {
			if end := strings.Index(parts[2][:min(len(parts[2]), maxWord)], "?="); end >= 0 {
				name, _, _ := strings.Cut(parts[0], "*") // RFC 2231 §5: a language may follow
				return s[:start], word{name, parts[1][0] | 0x20, parts[2][:end]}, parts[2][end+2:], true
			}
		}
		from = start + 2
	}
}

// bytes undoes the encoding of the word, leniently.
func (w word) bytes() []byte {
	if w.encoding == 'b' {
		text := strings.NewReplacer(" ", "", "\t", "", "=", "").Replace(w.text)
		out, _ := base64.RawStdEncoding.DecodeString(text) // up to the first bad character
		return out
	}
	out := make([]byte, 0, len(w.text))
	for i := 0; i < len(w.text); i++ {
		c := w.text[i]
		if c == '=' && i+2 < len(w.text) {
			if hi, lo := hexDigit(w.text[i+1]), hexDigit(w.text[i+2]); hi >= 0 && lo >= 0 {
				out = append(out, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		if c == '_' {
			c = ' '
		}
		out = append(out, c)
	}
	return out
}
