package mail

import (
	"html"
	"strings"
)

// maxNote bounds a covering note, in bytes.
const maxNote = 256 << 10

// note gathers the text a person wrote around what they send.
type note struct {
	plain, html strings.Builder
}

// add reads a text body. Several plain texts follow one another: some programs cut
// the text where a picture stands.
func (n *note) add(h header, b []byte) {
	text := strings.ReplaceAll(toUTF8(h.charset, b), "\r\n", "\n")
	to := &n.plain
	if h.mediaType == "text/html" {
		to, text = &n.html, stripped(text)
	}
	text = strings.TrimSpace(strings.ReplaceAll(text, "\x00", ""))
	if text == "" || to.Len() >= maxNote {
		return
	}
	if to.Len() > 0 {
		to.WriteString("\n\n")
	}
	to.WriteString(text)
}

// text is the note: the plain text, or what the HTML says when there is none.
func (n *note) text() string {
	s := n.plain.String()
	if s == "" {
		s = n.html.String()
	}
	if len(s) > maxNote {
		s = strings.ToValidUTF8(s[:maxNote], "")
	}
	return s
}

// What stands for the ends of a quotation while tags are passed over; no text has them.
const (
	quoteOpens  = "\x0e"
	quoteCloses = "\x0f"
)

// stripped is the text of an HTML page, for reading and searching: never shown as HTML.
// What is quoted in it is marked as in plain text.
func stripped(page string) string {
	lineBreaks := strings.NewReplacer("\n", " ", "\r", " ", quoteOpens, "", quoteCloses, "") // no more than blanks, in HTML
	var b strings.Builder
	for page != "" {
		text, rest, found := strings.Cut(page, "<")
		b.WriteString(lineBreaks.Replace(text))
		if !found {
			break
		}
		page = afterTag(rest, &b)
	}
	text := strings.ReplaceAll(html.UnescapeString(b.String()), "\u00a0", " ")
	lines := strings.Split(text, "\n")
	kept := lines[:0]
	quoted := 0
	for _, line := range lines {
		quoted = max(0, min(maxQuoted, quoted+strings.Count(line, quoteOpens)-strings.Count(line, quoteCloses)))
		line = strings.Join(strings.Fields(strings.NewReplacer(quoteOpens, "", quoteCloses, "").Replace(line)), " ")
		if line != "" && quoted > 0 {
			line = strings.Repeat(">", quoted) + " " + line
		}
		if line != "" || len(kept) > 0 && kept[len(kept)-1] != "" {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// maxQuoted is how deep quotations are marked.
const maxQuoted = 5

// afterTag passes over the tag, comment or unread element that begins before s, and
// writes the line break it stands for.
func afterTag(s string, b *strings.Builder) string {
	if strings.HasPrefix(s, "!--") {
		_, rest, _ := strings.Cut(s, "-->")
		return rest
	}
	tag, rest, _ := strings.Cut(s, ">")
	name := strings.ToLower(tag)
	if i := strings.IndexAny(name, " \t\r\n"); i >= 0 {
		name = name[:i]
	}
	switch strings.Trim(name, "/") {
	case "script", "style", "head", "title":
		if strings.HasPrefix(name, "/") {
			return rest
		}
		return afterElement(rest, name)
	case "blockquote":
		b.WriteByte('\n')
		b.WriteString(map[bool]string{false: quoteOpens, true: quoteCloses}[strings.HasPrefix(name, "/")])
	case "br", "p", "div", "tr", "li", "h1", "h2", "h3", "table":
		b.WriteByte('\n')
	case "td", "th":
		b.WriteByte(' ')
	}
	return rest
}

// afterElement passes over s up to the end of the element of that name.
func afterElement(s, name string) string {
	end := "</" + name
	for i := 0; i+len(end) <= len(s); i++ {
		j := strings.IndexByte(s[i:], '<')
		if j < 0 {
			break
		}
		if i += j; i+len(end) <= len(s) && strings.EqualFold(s[i:i+len(end)], end) {
			return s[i:]
		}
	}
	return ""
}
