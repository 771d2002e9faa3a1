package dispatch

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strings"

	"vaguemestre/core"
	"vaguemestre/core/catalogue"
)

//go:embed sheet.html
var sheetHTML string

var sheetPage = template.Must(template.New("sheet").Parse(sheetHTML))

// subject names no person and no type: it travels in the clear even when the message is
// encrypted, through relays that keep it in their logs (P3). It sorts by dispatch and part.
func (p *page) subject() string {
	w := words(p.Service.Language)
	subject := fmt.Sprintf(w.subject, p.ID.Short(), w.documents(p.total))
	if n := len(p.Latest()); n > 1 {
		subject += fmt.Sprintf(" (%d/%d)", p.Part.N, n)
	}
	return subject
}

// fact is one line of the summary.
type fact struct{ Label, Value string }

// view is the summary as it is written, in text and in HTML alike.
type view struct {
	Lang, Title, Intro, Citizen string
	Facts                       []fact
	Heading                     string
	Documents                   []viewed
	OtherHeading                string
	Others                      []string
	Notes                       []string
}

type viewed struct {
	N     int
	Title string
	Facts []fact
	Link  string // an address; "" for a file, or when there is only a code
}

func (p *page) render(label func(*page, catalogue.Type) string) (text, html string, err error) {
	v := p.view(label)
	var out bytes.Buffer
	if err := sheetPage.Execute(&out, v); err != nil {
		return "", "", err
	}
	return v.text(), out.String(), nil
}

func (p *page) view(label func(*page, catalogue.Type) string) view {
	w := words(p.Service.Language)
	parts := len(p.Latest())
	v := view{Lang: p.Service.Language, Title: p.subject(), Intro: fmt.Sprintf(w.intro, line(p.settings.ServiceName, w.town), line(p.Service.Name, "")),
		Citizen: line(p.citizen.Given+" "+strings.ToUpper(p.citizen.Family), "")}
	v.Facts = []fact{{w.number, string(p.ID)}, {w.date, w.moment(p.Part.Created, p.settings.Location())}}
	if p.Agent != "" {
		v.Facts = append(v.Facts, fact{w.by, line(p.agent, w.agent)})
	} else {
		v.Facts = append(v.Facts, fact{w.by, w.rule})
	}
	if p.purpose != "" {
		v.Facts = append(v.Facts, fact{w.purpose, line(p.purpose, "")})
	}
	if parts > 1 {
		v.Facts = append(v.Facts, fact{w.part, fmt.Sprintf(w.ofParts, p.Part.N, parts)})
	}
	if v.Heading = fmt.Sprintf(w.contains, w.documents(len(p.sheets))); parts > 1 {
		v.Heading += fmt.Sprintf(w.ofAll, p.total)
	}
	linked := false
	for _, s := range p.sheets {
		d, isLink := p.viewed(w, s, label(p, s.typ))
		v.Documents, linked = append(v.Documents, d), linked || isLink
	}
	if len(p.others) > 0 {
		v.OtherHeading = w.elsewhere
		for _, o := range p.others {
			v.Others = append(v.Others, fmt.Sprintf(w.otherLine, o.n, o.label, o.part))
		}
	}
	if linked {
		v.Notes = append(v.Notes, w.linkNote)
	}
	v.Notes = append(v.Notes, w.keepNote)
	return v
}

func (p *page) viewed(w *wording, s *sheet, label string) (viewed, bool) {
	d := viewed{N: s.N, Title: label}
	sensitive := s.typ.Sensitive && !p.Service.Encrypts()
	add := func(label, value string) {
		if value != "" {
			d.Facts = append(d.Facts, fact{label, value})
		}
	}
	if !sensitive { // whose it is and of when would say what it is
		add(w.holder, cut(line(s.meta.Holder, ""), maxValue))
		add(w.issued, w.day(s.meta.Issued))
		if !s.meta.Period.IsZero() {
			add(w.period, fmt.Sprintf(w.span, w.day(s.meta.Period.From), w.day(s.meta.Period.To)))
		}
	}
	add(w.validUntil, w.day(s.doc.ValidUntil))
	add(w.state, w.states[s.doc.State])
	add(w.came, fmt.Sprintf(w.cameOn, line(w.channels[s.doc.Channel], s.doc.Channel), w.day(core.DateOf(s.doc.Created.In(p.settings.Location())))))
	if s.Link {
		until := w.moment(s.expires, p.settings.Location())
		if p.settings.Portal == "" {
			add(w.linkLabel, fmt.Sprintf(w.code, s.token, until))
			return d, true
		}
		d.Link = p.settings.Portal + "/liens/" + s.token
		add(w.linkLabel, fmt.Sprintf(w.linkUntil, until))
		return d, true
	}
	for i, name := range s.files {
		add(w.file, fmt.Sprintf("%s (%s)", name, w.size(s.doc.Parts[i].Sealed.Size)))
	}
	return d, false
}

// line is one line of clean text, not longer than the mail has room for, or what stands
// for nothing.
func line(s, instead string) string {
	if s = strings.TrimSpace(seen(s)); s == "" {
		return instead
	}
	return cut(s, maxLine)
}

// Most bytes of a line, and of what is said of each document by a stranger.
const (
	maxLine  = 800
	maxValue = 200
)

// text is the summary for who reads no HTML, or prints it.
func (v view) text() string {
	var b strings.Builder
	put := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	put("%s\n", v.Intro)
	put("    %s\n", v.Citizen)
	facts(&b, "", v.Facts)
	put("\n%s\n", v.Heading)
	for _, d := range v.Documents {
		put("%d. %s", d.N, d.Title)
		facts(&b, "   ", d.Facts)
		if d.Link != "" {
			put("   %s", d.Link)
		}
		put("")
	}
	if len(v.Others) > 0 {
		put("%s\n", v.OtherHeading)
		for _, o := range v.Others {
			put("%s", o)
		}
		put("")
	}
	put("-- ")
	for _, n := range v.Notes {
		put("%s", n)
	}
	return b.String()
}

func facts(b *strings.Builder, indent string, all []fact) {
	for _, f := range all {
		fmt.Fprintf(b, "%s%s %s\n", indent, f.Label, f.Value)
	}
}
