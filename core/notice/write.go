package notice

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"strings"
	text "text/template"
	"unicode/utf8"
)

//go:embed *.tmpl
var files embed.FS

// languages are those letters are written in; the first is that of a town that says nothing.
var languages = []string{"fr", "en"}

// phrases are the words around those of the templates.
type phrases struct {
	colon    string // between a label and its value
	orCopy   string // before an address written out under its link
	document string // a document whose type is not to be told
}

var words = map[string]phrases{
	"fr": {"\u00a0:", "Ou copiez cette adresse dans votre navigateur\u00a0:", "un document"},
	"en": {":", "Or copy this address into your browser:", "a document"},
}

var (
	texts  = map[string]*text.Template{}
	layout = template.Must(template.ParseFS(files, "layout.html.tmpl"))
)

func init() {
	for _, l := range languages {
		b, err := files.ReadFile(l + ".tmpl")
		if err != nil {
			panic(err)
		}
		texts[l] = text.Must(text.New(l).Option("missingkey=error").Parse(strings.ReplaceAll(string(b), "~", "\u00a0")))
	}
}

// write gives the words of a letter: its subject, its plain text in lines of at most 72
// letters, and the same as HTML.
func write(language, name string, f facts) (subject, plain, html string, err error) {
	var s, b bytes.Buffer
	t := texts[language]
	if err := t.ExecuteTemplate(&s, name+".subject", f); err != nil {
		return "", "", "", err
	}
	if err := t.ExecuteTemplate(&b, name+".body", f); err != nil {
		return "", "", "", err
	}
	blocks := parse(b.String())
	page := struct {
		Language, Subject, Colon, OrCopy string
		Blocks                           []block
	}{language, s.String(), words[language].colon, words[language].orCopy, blocks}
	var out bytes.Buffer
	if err := layout.Execute(&out, page); err != nil {
		return "", "", "", err
	}
	return page.Subject, plainText(blocks, page.Colon), out.String(), nil
}

// block is a part of a letter: a heading, a paragraph, a list of items or of facts.
type block struct {
	Kind  string // h1, h2, p, small, link, items, facts
	Text  string
	URL   string
	Lines []line
}

type line struct{ Label, Text string }

// parse reads the lines a template gave. Lines of one paragraph belong together; items
// and facts that follow one another make one list.
func parse(s string) []block {
	var blocks []block
	open := false // the last block goes on
	for raw := range strings.Lines(s) {
		l := strings.Trim(raw, " \t\n")
		if l == "" {
			open = false
			continue
		}
		b := parseLine(l)
		if n := len(blocks) - 1; open && n >= 0 && blocks[n].Kind == b.Kind {
			switch b.Kind {
			case "items", "facts":
				blocks[n].Lines = append(blocks[n].Lines, b.Lines...)
				continue
			case "p":
				blocks[n].Text += " " + b.Text
				continue
			}
		}
		blocks, open = append(blocks, b), true
	}
	return blocks
}

func parseLine(l string) block {
	mark, rest, _ := strings.Cut(l, " ")
	label, value, _ := strings.Cut(rest, " | ")
	switch mark {
	case "#":
		return block{Kind: "h1", Text: rest}
	case "##":
		return block{Kind: "h2", Text: rest}
	case "-":
		return block{Kind: "items", Lines: []line{{Text: rest}}}
	case "=":
		return block{Kind: "facts", Lines: []line{{Label: label, Text: value}}}
	case ">":
		return block{Kind: "link", Text: label, URL: value}
	case "/":
		return block{Kind: "small", Text: rest}
	}
	return block{Kind: "p", Text: l}
}

// plainText writes blocks for who reads text, or hears it: no rules and no drawings.
func plainText(blocks []block, colon string) string {
	var out strings.Builder
	for i, b := range blocks {
		if i > 0 {
			out.WriteString("\n")
		}
		switch b.Kind {
		case "items":
			for _, l := range b.Lines {
				wrap(&out, "- ", "  ", l.Text)
			}
		case "facts":
			for _, l := range b.Lines {
				wrap(&out, "", "  ", l.Label+colon+" "+l.Text)
			}
		case "link":
			fmt.Fprintf(&out, "%s%s\n%s\n", b.Text, colon, b.URL)
		default:
			wrap(&out, "", "", b.Text)
		}
	}
	return out.String()
}

const width = 72

// wrap breaks at spaces; a no-break space holds.
func wrap(out *strings.Builder, first, further, s string) {
	at := 0
	for i, word := range strings.Split(s, " ") {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
			out.WriteString(first)
			at = len(first)
		case at+1+n > width:
			out.WriteString("\n" + further)
			at = len(further)
		default:
			out.WriteByte(' ')
			at++
		}
		out.WriteString(word)
		at += n
	}
	out.WriteString("\n")
}
