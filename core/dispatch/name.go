package dispatch

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// DefaultTemplate names files so that they stand together in a folder, in their order.
const DefaultTemplate = "{dispatch}_{n}_{type}_{holder}_{issued}"

// Bounds of names, in bytes of UTF-8. No file system in use takes less than 143.
const (
	maxName     = 120 // extension included
	maxField    = 48
	maxTemplate = 120
)

// Fields are what a template may name, each with its meaning for who writes one.
var Fields = []string{"dispatch", "n", "type", "code", "holder", "issued", "valid_until", "service"}

// Naming is what the name of one file is made from. All of it but N may be a stranger's
// words: it is cleaned.
type Naming struct {
	Dispatch   string // short number of the dispatch
	N, Of      int    // its place among the documents of the dispatch, from 1
	Type, Code string // label and code of the document's type
	Holder     string
	Issued     string // YYYY-MM-DD
	ValidUntil string // likewise
	Service    string
	File, Sum  int    // its place among the files of its document, from 1
	Ext        string // ours, by what the file truly is
}

// Template says how files are named. The zero Template is the default one.
type Template struct{ pieces []piece }

// piece is a text and the field behind it; the last may have none.
type piece struct{ text, field string }

// ParseTemplate reads a template: text, and fields in braces. It refuses what cannot stand
// in a name, and a template under which all files had one name.
func ParseTemplate(s string) (Template, error) {
	if len(s) > maxTemplate {
		return Template{}, fmt.Errorf("template of %d bytes: at most %d", len(s), maxTemplate)
	}
	var t Template
	for rest := s; rest != ""; {
		text, after, found := strings.Cut(rest, "{")
		if strings.Contains(text, "}") || clean(text) != norm.NFC.String(text) {
			return Template{}, fmt.Errorf("template: %q cannot stand in a file name", text)
		}
		p := piece{text: text}
		if rest = after; found {
			name, after, closed := strings.Cut(after, "}")
			if !closed || !slices.Contains(Fields, name) {
				return Template{}, fmt.Errorf("template: there is no field {%s}, but {%s}", brief(name), strings.Join(Fields, "}, {"))
			}
			p.field, rest = name, after
		}
		t.pieces = append(t.pieces, p)
	}
	if !slices.ContainsFunc(t.pieces, func(p piece) bool { return p.field != "" }) {
		return Template{}, fmt.Errorf("template: name at least one of {%s}", strings.Join(Fields, "}, {"))
	}
	return t, nil
}

// brief keeps an error readable.
func brief(s string) string {
	if r := []rune(s); len(r) > 20 {
		return string(r[:20]) + "…"
	}
	return s
}

// Name makes a file's name: one path element, without control, format or bidirectional
// characters, at most 120 bytes, never empty, its extension ours. ascii folds it to ASCII.
func (t Template) Name(n Naming, ascii bool) string {
	if len(t.pieces) == 0 {
		t, _ = ParseTemplate(DefaultTemplate) // reads
	}
	var b strings.Builder
	for _, p := range t.pieces {
		value := cut(inName(n.field(p.field)), maxField)
		if p.field != "" && value == "" { // nothing known: what joined it goes too
			continue
		}
		if b.Len() > 0 || !isJoint(p.text) {
			b.WriteString(p.text)
		}
		b.WriteString(value)
	}
	if n.Sum > 1 {
		fmt.Fprintf(&b, " p%d", n.File)
	}
	return finish(b.String(), n.Ext, "", ascii)
}

// isJoint reports a text that only joins two fields.
func isJoint(s string) bool { return strings.Trim(s, " _-–,.") == "" }

func (n Naming) field(name string) string {
	switch name {
	case "dispatch":
		return n.Dispatch
	case "n":
		return fmt.Sprintf("%0*d", max(2, len(fmt.Sprint(n.Of))), n.N)
	case "type":
		return n.Type
	case "code":
		return n.Code
	case "holder":
		return n.Holder
	case "issued":
		return n.Issued
	case "valid_until":
		return n.ValidUntil
	case "service":
		return n.Service
	}
	return ""
}

// inName cleans a value so that it can stand in a name.
func inName(s string) string { return strings.Trim(clean(s), " ._-") }

// clean makes s one line of a path element: NFC, no character that is not seen or that
// turns the order of reading, none that a system gives a meaning to.
func clean(s string) string {
	return seen(strings.Map(func(r rune) rune {
		if r == utf8.RuneError || strings.ContainsRune(`/\:*?"<>|`, r) || unicode.Is(lookalikes, r) {
			return '-'
		}
		return r
	}, norm.NFC.String(s)))
}

// seen makes s one line of characters that are seen, spaces between them: none turns the
// order of reading or ends the line.
func seen(s string) string {
	var b strings.Builder
	space := false
	for _, r := range norm.NFC.String(s) {
		switch {
		case unicode.IsSpace(r):
			r = ' '
		case !unicode.IsGraphic(r), unicode.Is(unseen, r):
			continue
		}
		if r == ' ' && space {
			continue
		}
		space = r == ' '
		b.WriteRune(r)
	}
	return norm.NFC.String(b.String())
}

// lookalikes of the characters that part a path or begin an extension.
var lookalikes = &unicode.RangeTable{R16: []unicode.Range16{
	{0x2024, 0x2024, 1}, {0x2044, 0x2044, 1}, {0x2215, 0x2216, 1}, {0x29f8, 0x29f9, 1}, {0xfe52, 0xfe52, 1}, {0xfe68, 0xfe68, 1},
	{0xff0e, 0xff0f, 1}, {0xff1a, 0xff1a, 1}, {0xff3c, 0xff3c, 1},
}, LatinOffset: 0}

// unseen are graphic by the letter of Unicode and seen by nobody.
var unseen = &unicode.RangeTable{R16: []unicode.Range16{
	{0x034f, 0x034f, 1}, {0x115f, 0x1160, 1}, {0x17b4, 0x17b5, 1}, {0x180b, 0x180f, 1}, {0x2800, 0x2800, 1}, {0x3164, 0x3164, 1},
	{0xfe00, 0xfe0f, 1}, {0xffa0, 0xffa0, 1}, {0xfffc, 0xfffd, 1},
}, R32: []unicode.Range32{{0xe0100, 0xe01ef, 1}}}

// finish cuts a stem to its length and gives it mark and extension.
func finish(stem, ext, mark string, ascii bool) string {
	if ascii {
		stem = fold(stem)
	}
	stem = strings.TrimLeft(cut(clean(stem), maxName-len(mark)-len(ext)), " .-~")
	stem = strings.TrimRight(stem, " ._-")
	if stem == "" {
		stem = "document"
	}
	if reserved(stem) {
		stem = "_" + stem
	}
	return stem + mark + ext
}

// reserved are the names that Windows takes for devices, whatever follows a dot.
func reserved(stem string) bool {
	first, _, _ := strings.Cut(strings.ToLower(stem), ".")
	first = strings.TrimRight(first, " ")
	if slices.Contains([]string{"con", "prn", "aux", "nul", "conin$", "conout$"}, first) {
		return true
	}
	port, isPort := strings.CutPrefix(first, "com")
	if !isPort {
		port, isPort = strings.CutPrefix(first, "lpt")
	}
	return isPort && utf8.RuneCountInString(port) == 1 && strings.Contains("0123456789¹²³", port)
}

// cut shortens s to at most n bytes, between two characters as they are seen.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !norm.NFC.PropertiesString(s[n:]).BoundaryBefore() {
		n--
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.TrimRight(s[:n], " ")
}

// fold writes s in ASCII: letters lose their marks, what has no ASCII becomes _.
func fold(s string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(s) {
		switch to, known := folds[r]; {
		case r < utf8.RuneSelf:
			b.WriteRune(r)
		case known:
			b.WriteString(to)
		case unicode.Is(unicode.Mn, r):
		default:
			b.WriteByte('_')
		}
	}
	return b.String()
}

var folds = map[rune]string{
	'œ': "oe", 'Œ': "OE", 'æ': "ae", 'Æ': "AE", 'ß': "ss", 'ẞ': "SS", 'ø': "o", 'Ø': "O", 'đ': "d", 'Đ': "D", 'ð': "d", 'Ð': "D", 'ł': "l", 'Ł': "L",
	'þ': "th", 'Þ': "Th", 'ı': "i", '’': "'", '‘': "'", 'ʼ': "'", '–': "-", '—': "-", '‐': "-", '‑': "-", '«': "", '»': "", '·': "-", '•': "-",
}

// unique gives names that a system which does not tell capitals apart could not keep side
// by side a number each; the first keeps its own.
func unique(names []string, exts []string, ascii bool) []string {
	out := make([]string, len(names))
	taken := map[string]bool{}
	for i, name := range names {
		stem := strings.TrimSuffix(name, exts[i])
		for n := 2; taken[folded(name)]; n++ {
			name = finish(stem, exts[i], fmt.Sprintf(" (%d)", n), ascii)
		}
		taken[folded(name)] = true
		out[i] = name
	}
	return out
}

// folded is the same for names that differ in capitals alone: a final sigma has another
// small letter and the same capital.
func folded(s string) string { return norm.NFKC.String(strings.ToLower(strings.ToUpper(s))) }
