package recognise

import (
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"vaguemestre/core"
)

// maxText bounds what is read of one document, in bytes: some thirty dense pages.
const maxText = 120_000

// text is what was read, twice: cells keep what the paper prints, stream keeps only its
// folded letters and digits, end to end, so that spaces, line breaks and punctuation
// that OCR adds or loses cannot break a phrase.
type text struct {
	cells  []cell
	words  []word
	stream []byte
	rows   int // on the first page
}

// cell is a run of text on one row, up to a wide gap or a tab.
type cell struct {
	raw         string
	page, row   int // row counts the rows with text, over all pages
	pageRow     int // the same, from the top of its page
	first, last int // its words: words[first:last]
}

// word is a run of letters and digits; its folded form is stream[at:end].
type word struct {
	cell     int
	from, to int // in the raw text of its cell
	at, end  int // in the stream
}

func read(ev core.Evidence) *text {
	t := &text{}
	left, row := maxText, 0
	for i, p := range ev.Text {
		s := p.Text
		if len(s) > left {
			s = s[:left]
		}
		left -= len(s)
		row = t.addPage(strings.ToValidUTF8(s, " "), i, row)
		if i == 0 {
			t.rows = row
		}
	}
	return t
}

// plain leaves one kind of line end, of space and of apostrophe.
var plain = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\f", "\n", "\v", "\n", "\u2028", "\n",
	"\u00a0", " ", "\u202f", " ", "\u2009", " ", "\u00ad", "", "’", "'", "‘", "'", "`", "'", "´", "'")

// addPage adds the cells of one page, whose first row is numbered row, and returns the next number.
func (t *text) addPage(s string, page, row int) int {
	top := row
	for line := range strings.Lines(plain.Replace(s)) {
		found := false
		for _, part := range splitWide(line) {
			if t.addCell(part, page, row, row-top) {
				found = true
			}
		}
		if found {
			row++
		}
	}
	return row
}

// addCell adds one cell unless it has no letter and no digit.
func (t *text) addCell(raw string, page, row, pageRow int) bool {
	raw = strings.TrimSpace(raw)
	c := cell{raw: raw, page: page, row: row, pageRow: pageRow, first: len(t.words)}
	n := len(t.cells)
	start, at := -1, len(t.stream)
	flush := func(to int) {
		if start >= 0 && len(t.stream) > at {
			t.words = append(t.words, word{n, start, to, at, len(t.stream)})
		}
		start, at = -1, len(t.stream)
	}
	for i, r := range raw {
		if !wordRune(r) {
			flush(i)
			continue
		}
		if start < 0 {
			start = i
		}
		t.stream = appendFolded(t.stream, r)
	}
	flush(len(raw))
	c.last = len(t.words)
	if c.last == c.first {
		return false
	}
	t.cells = append(t.cells, c)
	return true
}

// splitWide cuts a line where columns part: at tabs, bars, and runs of three spaces or more.
func splitWide(line string) []string {
	var out []string
	start, spaces := 0, 0
	for i, r := range line {
		switch {
		case r == '\t' || r == '|' || r == '¦':
			out = append(out, line[start:i])
			start, spaces = i+utf8.RuneLen(r), 0
		case r == ' ':
			spaces++
		default:
			if spaces >= 3 && strings.TrimSpace(line[start:i]) != "" {
				out = append(out, line[start:i])
				start = i
			}
			spaces = 0
		}
	}
	return append(out, line[start:])
}

func wordRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.Is(unicode.Mn, r) || r == '³' || r == '²'
}

// appendFolded appends r as the stream knows it: lower case, without accent, ligatures
// opened. Letters of other scripts vanish.
func appendFolded(b []byte, r rune) []byte {
	r = unicode.ToLower(r)
	switch {
	case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
		return append(b, byte(r))
	case r < 0x80:
		return b
	}
	switch r {
	case 'à', 'â', 'ä', 'á', 'ã', 'å', 'ā', 'ă', 'ą':
		return append(b, 'a')
	case 'ç', 'ć', 'č':
		return append(b, 'c')
	case 'é', 'è', 'ê', 'ë', 'ē', 'ė', 'ę', 'ě':
		return append(b, 'e')
	case 'î', 'ï', 'í', 'ì', 'ī', 'ı', 'į':
		return append(b, 'i')
	case 'ñ', 'ń', 'ň':
		return append(b, 'n')
	case 'ô', 'ö', 'ó', 'ò', 'õ', 'ø', 'ō', 'ő':
		return append(b, 'o')
	case 'ù', 'û', 'ü', 'ú', 'ū', 'ű', 'ů':
		return append(b, 'u')
	case 'ÿ', 'ý':
		return append(b, 'y')
	case 'š', 'ś', 'ş', 'ș':
		return append(b, 's')
	case 'ž', 'ź', 'ż':
		return append(b, 'z')
	case 'ł':
		return append(b, 'l')
	case 'ř':
		return append(b, 'r')
	case 'ğ':
		return append(b, 'g')
	case 'ď', 'đ':
		return append(b, 'd')
	case 'ť', 'ţ', 'ț':
		return append(b, 't')
	case 'œ':
		return append(b, "oe"...)
	case 'æ':
		return append(b, "ae"...)
	case 'ß':
		return append(b, "ss"...)
	case 'ﬁ':
		return append(b, "fi"...)
	case 'ﬂ':
		return append(b, "fl"...)
	case 'ﬀ':
		return append(b, "ff"...)
	case '³':
		return append(b, '3')
	case '²':
		return append(b, '2')
	}
	return b
}

// fold gives a phrase the form of the stream.
func fold(s string) string {
	var b []byte
	for _, r := range s {
		b = appendFolded(b, r)
	}
	return string(b)
}

// wordAt is the index of the word that holds stream position at.
func (t *text) wordAt(at int) int {
	return sort.Search(len(t.words), func(i int) bool { return t.words[i].end > at })
}

// starts and ends report whether a word begins or ends at a stream position.
func (t *text) starts(at int) bool {
	i := t.wordAt(at)
	return i < len(t.words) && t.words[i].at == at
}

func (t *text) ends(at int) bool {
	i := t.wordAt(at - 1)
	return at > 0 && i < len(t.words) && t.words[i].end == at
}

// folded is the folded form of a word.
func (t *text) folded(i int) string { return string(t.stream[t.words[i].at:t.words[i].end]) }

// raw is what the paper prints from word i to word j, both included, on one line.
func (t *text) raw(i, j int) string {
	var parts []string
	for i <= j {
		c := t.cells[t.words[i].cell]
		k := min(j, c.last-1)
		parts = append(parts, c.raw[t.words[i].from:t.words[k].to])
		i = k + 1
	}
	return strings.Join(strings.Fields(strings.Join(parts, " ")), " ")
}

// row gives the cells of the row n, and false beyond the last.
func (t *text) row(n int) ([]cell, bool) {
	i := sort.Search(len(t.cells), func(i int) bool { return t.cells[i].row >= n })
	j := i
	for j < len(t.cells) && t.cells[j].row == n {
		j++
	}
	return t.cells[i:j], j > i
}
