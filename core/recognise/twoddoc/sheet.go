package twoddoc

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// sheet is a print taken apart into words.
type sheet struct {
	exact    bool
	work     int  // comparisons that may still be made: a print costs no more, however it is made
	legible  bool // enough of it can be read for what is not found not to be there
	words    []word
	names    []word // without what stands around names: titles, labels
	maiden   []word // as names, also without "née X"
	streets  []word // written out, without articles
	dates    []dated
	amounts  map[int64]bool // hundredths, signs apart
	doubtful map[int64]bool // amounts that would be there if columns were parted otherwise
	blurred  []word         // names as a bad camera sees them; made when asked for
}

// maxWork is some tenths of a second; a page needs a hundredth of it.
const maxWork = 30_000_000

// word is a word or number of the print.
type word struct {
	text  []rune // without accents, case kept
	upper string
	line  int
	glued bool // hyphenated to the one before
}

func newSheet(p Print) *sheet {
	cut := len(p.Text) > maxPrint
	if cut {
		p.Text = strings.ToValidUTF8(p.Text[:maxPrint], "")
	}
	s := &sheet{exact: p.Exact, work: maxWork, words: splitWords(p.Text)}
	s.names = withoutLabels(s.words)
	s.maiden = withoutMaiden(s.names)
	s.streets = streetWords(p.Text)
	s.dates = findDates(p.Text)
	s.amounts, s.doubtful = findAmounts(p.Text)
	s.legible = !cut && s.isLegible()
	return s
}

// isLegible asks for a few words that look like words.
func (s *sheet) isLegible() bool {
	long, plausible := 0, 0
	for _, w := range s.words {
		if len(w.text) < 3 || !unicode.IsLetter(w.text[0]) {
			continue
		}
		long++
		if strings.ContainsAny(w.upper, "AEIOUY") {
			plausible++
		}
	}
	if s.exact {
		return plausible >= 4
	}
	return plausible >= 12 && 10*plausible >= 7*long
}

// missing is the outcome for what was looked for in vain.
func (s *sheet) missing() Outcome {
	if s.legible && s.work > 0 {
		return Differs
	}
	return Unclear
}

// plain is s without accents and ligatures.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFKD.String(unligate.Replace(s)))
}

var unligate = strings.NewReplacer("œ", "oe", "Œ", "OE", "æ", "ae", "Æ", "AE", "ß", "ss")

// splitWords parts a text at all that is neither letter nor digit; apostrophes vanish, as
// the postal norm writes names without.
func splitWords(text string) []word {
	var out []word
	var at []rune
	line, hyphen := 0, false
	flush := func() {
		if len(at) > 0 {
			out = append(out, word{text: at, upper: strings.ToUpper(string(at)), line: line, glued: hyphen})
			at, hyphen = nil, false
		}
	}
	for _, r := range plain(text) {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '|' && len(at) > 0:
			at = append(at, r)
		case r == '\'' || r == '’' || r == '‘' || r == '`' || r == '´' || r == '\u00AD':
		case r == '-' || r == '‐' || r == '‑' || r == '–':
			glue := len(at) > 0
			flush()
			hyphen = glue
		default:
			flush()
			hyphen = false
			if r == '\n' || r == '\f' {
				line++
			}
		}
	}
	flush()
	return out
}

// same reports whether the print's letter at i stands for the code's. Digits and letters
// that look alike are one, and so are l and I where the case of the word around says which
// of them it cannot be; two letters that are both possible never are.
func same(code rune, print []rune, i int) bool {
	r := print[i]
	if unicode.ToUpper(r) == code {
		return true
	}
	switch r {
	case '0':
		return code == 'O'
	case '1', '|':
		return code == 'I' || code == 'L' || r == '|' && code == '1'
	case '5':
		return code == 'S'
	case '8':
		return code == 'B'
	case '6':
		return code == 'G'
	case '2':
		return code == 'Z'
	case 'l':
		return code == 'I' && capitalHere(print, i)
	case 'I':
		return code == 'L' && smallHere(print, i)
	}
	return false
}

// capitalHere: a small letter at i would be odd, at the head of a word or among capitals.
func capitalHere(print []rune, i int) bool {
	if i == 0 {
		return len(print) > 1
	}
	for j, r := range print {
		if j != i && r != 'l' && unicode.IsLower(r) {
			return false
		}
	}
	return true
}

// smallHere: a capital at i would be odd, behind a small letter.
func smallHere(print []rune, i int) bool {
	for i > 0 && print[i] == 'I' {
		i--
	}
	return unicode.IsLower(print[i])
}

// sameNumber is same for numbers and references: letters stand for the digits they look
// like, and the reverse.
func sameNumber(code rune, print []rune, i int) bool {
	r := unicode.ToUpper(print[i])
	if r == code {
		return true
	}
	switch code {
	case '0':
		return r == 'O' || r == 'Q'
	case '1':
		return r == 'I' || r == 'L' || r == '|'
	case '5':
		return r == 'S'
	case '8':
		return r == 'B'
	case '2':
		return r == 'Z'
	case 'O':
		return r == '0'
	case 'I':
		return r == '1'
	case 'S':
		return r == '5'
	case 'B':
		return r == '8'
	case 'Z':
		return r == '2'
	}
	return false
}

// run is a stretch of words whose letters together are as many as what is looked for.
type run struct{ from, to int }

// runs calls take with every stretch of whole words that has n letters, or with cut, at
// least n of which the last word holds the n-th.
func (s *sheet) runs(words []word, n int, cut bool, take func(run) bool) bool {
	const most = 12
	for from := range words {
		sum := 0
		for to := from; to < len(words) && to < from+most; to++ {
			if s.work--; s.work < 0 {
				return false
			}
			sum += len(words[to].text)
			if sum >= n {
				if (sum == n || cut) && take(run{from, to + 1}) {
					return true
				}
				break
			}
		}
	}
	return false
}

// reads reports whether the words of a run, begun at its k-th and gone round, spell code.
func (s *sheet) reads(words []word, r run, k int, code []rune, eq func(rune, []rune, int) bool) bool {
	n := r.to - r.from
	at := 0
	for j := range n {
		w := words[r.from+(k+j)%n].text
		for i := range w {
			if at == len(code) {
				return true // cut short
			}
			if s.work--; s.work < 0 || !eq(code[at], w, i) {
				return false
			}
			at++
		}
	}
	return at == len(code)
}

// unglued: no part of the run is hyphenated to something outside it.
func unglued(words []word, r run) bool {
	return !words[r.from].glued && (r.to == len(words) || !words[r.to].glued)
}

// letters is a value as one run of capitals and digits.
func letters(s string) []rune {
	var out []rune
	for _, w := range splitWords(s) {
		out = append(out, []rune(w.upper)...)
	}
	return out
}
