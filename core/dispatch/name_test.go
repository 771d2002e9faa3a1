package dispatch

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func naming(f func(*Naming)) Naming {
	n := Naming{Dispatch: "3f2a91c4", N: 1, Of: 3, Type: "Avis d’imposition", Code: "avis_imposition_ir", Holder: "Marie DUPONT", Issued: "2026-07-31",
		ValidUntil: "2027-12-31", Service: "État civil", File: 1, Sum: 1, Ext: ".pdf"}
	if f != nil {
		f(&n)
	}
	return n
}

func parsed(t testing.TB, s string) Template {
	t.Helper()
	tpl, err := ParseTemplate(s)
	if err != nil {
		t.Fatal(err)
	}
	return tpl
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		template, want string
		ascii          bool
		change         func(*Naming)
	}{
		{"", "3f2a91c4_01_Avis d’imposition_Marie DUPONT_2026-07-31.pdf", false, nil},
		{"", "3f2a91c4_01_Avis d'imposition_Marie DUPONT_2026-07-31.pdf", true, nil},
		{"{type} – {holder} – {issued}", "Avis d’imposition – Marie DUPONT – 2026-07-31.pdf", false, nil},
		{"{type} – {holder} – {issued}", "Avis d’imposition – 2026-07-31.pdf", false, func(n *Naming) { n.Holder = "" }},
		{"{holder} – {type}", "Avis d’imposition.pdf", false, func(n *Naming) { n.Holder = "" }},
		{"Mairie {service} {n}", "Mairie Etat civil 01.pdf", true, nil},
		{"{n}", "007.jpg", false, func(n *Naming) { n.N, n.Of, n.Ext = 7, 120, ".jpg" }},
		{"{code}_{n}", "avis_imposition_ir_01 p2.pdf", false, func(n *Naming) { n.File, n.Sum = 2, 3 }},
		{"{holder}", "document.pdf", false, func(n *Naming) { n.Holder = "" }},
		{"{holder}", "Zoe LEOEUVRE-GNAss.pdf", true, func(n *Naming) { n.Holder = "Zoé LEŒUVRE–GNAß" }},
		{"{holder}", "document.pdf", true, func(n *Naming) { n.Holder = "Хана" }}, // nothing of it is ASCII
	} {
		var tpl Template
		if c.template != "" {
			tpl = parsed(t, c.template)
		}
		if got := tpl.Name(naming(c.change), c.ascii); got != c.want {
			t.Errorf("%q (ascii %v): %q, want %q", c.template, c.ascii, got, c.want)
		}
	}
}

// SEC-66: whatever a file says of its holder, its name is one harmless path element.
func TestSEC66_HostileNames(t *testing.T) {
	for _, c := range []struct{ holder, want string }{
		{"../../etc/passwd", "etc-passwd.pdf"},
		{`..\..\windows\win.ini`, "windows-win.ini.pdf"},
		{"/", "document.pdf"},
		{"..", "document.pdf"},
		{".htaccess", "htaccess.pdf"},
		{"~root", "root.pdf"},
		{"-rf", "rf.pdf"},
		{"a\x00b", "ab.pdf"},
		{"a\r\nBcc: victim@example.test\r\n\r\nhello", "a Bcc- victim@example.test hello.pdf"},
		{"a\u2028b\u0085c", "a b c.pdf"},
		{"invoice\u202Efdp.exe", "invoicefdp.exe.pdf"},
		{"\u2066left\u2069\u200E\u200F\u061C", "left.pdf"},
		{"in\u200Bvi\u00ADsi\uFEFFble\u2060", "invisible.pdf"},
		{"fi\uFE0Fll\u3164er\u034F", "filler.pdf"},
		{"tag\U000E0041\U000E007F\U000E0101", "tag.pdf"},
		{"priv\uE000ate\U0010FFFD", "private.pdf"},
		{"C:\\x", "C-x.pdf"},
		{"a\uFF0Fb\u2215c\u2044d\uFF3Ce", "a-b-c-d-e.pdf"},
		{`q"u'o<t>e|d*?`, "q-u'o-t-e-d.pdf"},
		{"CON", "_CON.pdf"},
		{"aux.txt", "_aux.txt.pdf"},
		{"lpt1", "_lpt1.pdf"},
		{"COM²", "_COM².pdf"},
		{"compte", "compte.pdf"},
		{"dot. ", "dot.pdf"},
		{"\xff\xfe\xc3", "document.pdf"},
		{"e\u0301te\u0301", "été.pdf"},
		{"=cmd|'/c calc'!A1", "=cmd-'-c calc'!A1.pdf"},
		{"$(reboot)`id`", "$(reboot)`id`.pdf"}, // a name is no command; quoting is the shell's user's business
	} {
		got := parsed(t, "{holder}").Name(naming(func(n *Naming) { n.Holder = c.holder }), false)
		if collapse(got) != collapse(c.want) {
			t.Errorf("%q: %q, want %q", c.holder, got, c.want)
		}
		harmless(t, got, ".pdf")
	}
	for _, long := range []string{strings.Repeat("a", 4096), strings.Repeat("é", 4096), strings.Repeat("e\u0301", 2048), "x" + strings.Repeat("\u0301", 4096), strings.Repeat("👨‍👩‍👧", 500)} {
		harmless(t, parsed(t, "{holder}{holder}{holder}{holder}").Name(naming(func(n *Naming) { n.Holder = long }), false), ".pdf")
	}
}

// collapse compares names without counting dashes that stand side by side.
func collapse(s string) string {
	for strings.Contains(s, "--") {
		s = strings.ReplaceAll(s, "--", "-")
	}
	return s
}

// harmless is what is promised of every name.
func harmless(t testing.TB, name, ext string) {
	t.Helper()
	stem, ours := strings.CutSuffix(name, ext)
	switch {
	case !ours || stem == "":
		t.Errorf("%q: extension", name)
	case len(name) > maxName+1, !utf8.ValidString(name):
		t.Errorf("%q: %d bytes, valid %v", name, len(name), utf8.ValidString(name))
	case strings.ContainsAny(name, "/\\:*?\"<>|\r\n\x00"), strings.HasPrefix(name, "."), strings.HasPrefix(name, "-"), strings.HasPrefix(name, "~"), strings.HasPrefix(name, " "):
		t.Errorf("%q: a path, an option or a header", name)
	case strings.HasSuffix(stem, " "), strings.HasSuffix(stem, "."), reserved(stem):
		t.Errorf("%q: Windows would take it for another", name)
	}
	for _, r := range name {
		if !unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Bidi_Control, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) {
			t.Errorf("%q: %U", name, r)
		}
	}
}

// Two files of a mail have two names, on systems that tell no capitals apart too.
func TestUniqueNames(t *testing.T) {
	long := strings.Repeat("x", maxName-4) + ".pdf"
	names := []string{"Avis.pdf", "avis.pdf", "AVIS.PDF.pdf", "avis (2).pdf", "été.pdf", "ÉTÉ.pdf", long, long}
	exts := slices.Repeat([]string{".pdf"}, len(names))
	got := unique(names, exts, false)
	want := []string{"Avis.pdf", "avis (2).pdf", "AVIS.PDF.pdf", "avis (2) (2).pdf", "été.pdf", "ÉTÉ (2).pdf", long, strings.Repeat("x", maxName-8) + " (2).pdf"}
	if !slices.Equal(got, want) {
		t.Errorf("names\n%q, want\n%q", got, want)
	}
	for _, n := range got {
		harmless(t, n, ".pdf")
	}
}

func TestParseTemplateRefuses(t *testing.T) {
	for _, s := range []string{"", "fixed", "{nom}", "{type", "type}", "{}", "{{n}}", "a/{n}", `a\{n}`, "a\r\n{n}", "\u202E{n}", "{n}\x00", "{n}" + strings.Repeat("a", 120), "a:{n}", "{n}{" + strings.Repeat("z", 100)} {
		if _, err := ParseTemplate(s); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
}

func FuzzName(f *testing.F) {
	f.Add("{dispatch}_{n}_{type}_{holder}_{issued}", "Marie DUPONT", "Avis d’imposition", false)
	f.Add("{holder} – {type}", "../../\u202Ecod\r\nBcc: x", "con", true)
	f.Add("-{holder}", "\u0301\u0301", "\xff", true)
	f.Add("{holder}.{type}", "nul", strings.Repeat("é", 300), false)
	f.Fuzz(func(t *testing.T, tpl, holder, label string, ascii bool) {
		made, err := ParseTemplate(tpl)
		if err != nil {
			return
		}
		n := naming(func(n *Naming) { n.Holder, n.Type = holder, label })
		got := made.Name(n, ascii)
		harmless(t, got, ".pdf")
		if ascii && strings.IndexFunc(got, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 {
			t.Errorf("%q is not ASCII", got)
		}
		pair := unique([]string{got, got, strings.ToUpper(strings.TrimSuffix(got, ".pdf")) + ".pdf"}, []string{".pdf", ".pdf", ".pdf"}, ascii)
		for i, p := range pair {
			harmless(t, p, ".pdf")
			if slices.ContainsFunc(pair[:i], func(q string) bool { return strings.EqualFold(p, q) }) {
				t.Errorf("%q twice", p)
			}
		}
	})
}
