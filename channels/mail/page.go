package mail

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"vaguemestre/core"
)

// page reads the HTML text of a message as a stream. It notes which pictures the text
// shows and how, and takes out the ones that are written into it (data: URIs, RFC 2397).
type page struct {
	r        *bufio.Reader
	text     io.Writer // gets the HTML, without the bytes of those pictures
	pictures *pictures
	each     func(core.Part) error

	tag       []byte // the one being read
	link      string // where the element leads that is open
	signature bool   // what comes belongs to the signature of the sender
}

func newPage(r io.Reader, text io.Writer, p *pictures, each func(core.Part) error) *page {
	return &page{r: bufio.NewReader(r), text: text, pictures: p, each: each}
}

// read reads the page to its end. An error of each is returned as it is, one of the
// reader likewise.
func (p *page) read() error {
	for {
		chunk, err := p.r.ReadSlice('<')
		_, _ = p.text.Write(chunk) // a limited text takes everything
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		default:
			if err := p.readTag(); err != nil {
				return err
			}
		}
	}
}

// maxTag is how much of a tag is looked at, in bytes.
const maxTag = 16 << 10

// readTag reads a tag after its "<". A tag that never ends, ends at maxTag.
func (p *page) readTag() error {
	p.tag = p.tag[:0]
	var quote byte
	for len(p.tag) < maxTag {
		c, err := p.r.ReadByte()
		if err != nil {
			break // shows again
		}
		if c == '<' && quote == 0 { // it was none
			_ = p.r.UnreadByte()
			break
		}
		p.tag = append(p.tag, c)
		switch {
		case c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\'') && startsValue(p.tag[:len(p.tag)-1]):
			quote = c
		case c == ':':
			if err := p.dataURI(quote); err != nil {
				return err
			}
		}
		if quote == 0 && (c == '>' || len(p.tag) == 3 && string(p.tag) == "!--") { // what a comment hides counts too: Outlook has its own HTML there
			break
		}
	}
	_, _ = p.text.Write(p.tag)
	p.element()
	return nil
}

// startsValue reports whether the value of an attribute follows.
func startsValue(tag []byte) bool {
	return bytes.HasSuffix(bytes.TrimRight(tag, " \t\r\n"), []byte("="))
}

// dataURI passes over the URI that begins if the tag now ends in "data:". A picture
// that the tag shows is handed on; other data (a background) is decoration.
func (p *page) dataURI(quote byte) error {
	before, ok := cutSuffixFold(p.tag, "data:")
	if !ok {
		return nil
	}
	before, quoted := bytes.CutSuffix(before, []byte{quote})
	_, src := cutSuffixFold(bytes.TrimRight(before, " \t\r\n"), "src=")
	uri := &uriReader{r: p.r, quote: quote}
	if quoted && quote == 0 {
		return nil
	}
	kind := uri.head()
	mediaType, params, _ := strings.Cut(strings.ToLower(kind), ";")
	if !src || !strings.HasPrefix(mediaType, "image/") {
		return uri.skip()
	}
	var body io.Reader = uri
	if strings.Contains(params, "base64") {
		body = &base64Reader{r: uri, doubts: &doubts{}}
	}
	if err := p.each(core.Part{Type: strings.TrimSpace(clean([]byte(mediaType))), Inline: true, Via: core.ViaHTML, Body: body}); err != nil {
		return err
	}
	return uri.skip()
}

func cutSuffixFold(b []byte, suffix string) ([]byte, bool) {
	i := len(b) - len(suffix)
	if i < 0 || !strings.EqualFold(string(b[i:]), suffix) {
		return b, false
	}
	return b[:i], true
}

// uriReader reads a URI up to where it ends: at the quote around it, or where nothing of
// a URI can stand. What ends it is left unread.
type uriReader struct {
	r     *bufio.Reader
	quote byte
	ended bool
	err   error
}

// maxURIHead is the longest type, with its parameters, that a data: URI may name.
const maxURIHead = 256

// head reads up to the comma, which it takes.
func (u *uriReader) head() string {
	var b []byte
	for len(b) < maxURIHead {
		c, ok := u.next()
		if !ok || c == ',' {
			break
		}
		b = append(b, c)
	}
	return string(b)
}

func (u *uriReader) next() (byte, bool) {
	if u.ended {
		return 0, false
	}
	c, err := u.r.ReadByte()
	if err != nil {
		u.ended = true
		if !errors.Is(err, io.EOF) {
			u.err = err
		}
		return 0, false
	}
	if c == u.quote || c == '<' || c == '>' || u.quote == 0 && (c <= ' ' || c == ')' || c == '"' || c == '\'') {
		u.ended = true
		_ = u.r.UnreadByte()
		return 0, false
	}
	return c, true
}

// Read gives the data, percent signs undone.
func (u *uriReader) Read(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		c, ok := u.next()
		if !ok {
			break
		}
		if c == '%' {
			c = u.escaped()
		}
		b[n] = c
		n++
	}
	switch {
	case n > 0 || len(b) == 0:
		return n, nil
	case u.err != nil:
		return 0, u.err
	}
	return 0, io.EOF
}

// escaped is the byte written after a percent sign, or that sign.
func (u *uriReader) escaped() byte {
	b, err := u.r.Peek(2)
	if err != nil || hexDigit(b[0]) < 0 || hexDigit(b[1]) < 0 {
		return '%'
	}
	c := byte(hexDigit(b[0])<<4 | hexDigit(b[1]))
	_, _ = u.r.Discard(2)
	return c
}

func (u *uriReader) skip() error {
	for {
		if _, ok := u.next(); !ok {
			return u.err
		}
	}
}

// element takes note of the tag that was read.
func (p *page) element() {
	tag := string(p.tag)
	name := tag
	if i := strings.IndexAny(tag, " \t\r\n>"); i >= 0 {
		name = tag[:i]
	}
	switch strings.ToLower(name) {
	case "a":
		p.link = attribute(tag, "href")
	case "/a":
		p.link = ""
	case "img", "v:imagedata":
		p.pictures.show(attribute(tag, "src"), sight{
			alt: attribute(tag, "alt"), link: p.link, signature: p.signature,
			width: pixels(tag, "width"), height: pixels(tag, "height"),
		})
		return
	}
	p.marks(tag)
	if i := indexFold(tag, "cid:"); i >= 0 { // a background
		end := strings.IndexAny(tag[i:], "\"' )>;\r\n")
		if end < 0 {
			end = len(tag) - i
		}
		p.pictures.show(tag[i:i+end], sight{signature: p.signature})
	}
}

// marks sees where the signature of the sender begins, in the way each program marks
// it, and where the message that is answered or forwarded does.
func (p *page) marks(tag string) {
	id := strings.ToLower(attribute(tag, "class") + " " + attribute(tag, "id"))
	switch {
	case strings.Contains(id, "quote"), strings.Contains(id, "fwdmsg"), strings.Contains(id, "appendonsend"), strings.Contains(id, "forward"):
		p.signature = false
	case strings.Contains(id, "signature"):
		p.signature = true
	}
}

// attribute is the value of an attribute of a tag, "" when it has none of that name.
func attribute(tag, name string) string {
	for from := 0; ; {
		i := indexFold(tag[from:], name)
		if i < 0 {
			return ""
		}
		start := from + i
		from = start + len(name)
		if start == 0 || !strings.ContainsRune(" \t\r\n\"'/", rune(tag[start-1])) {
			continue
		}
		value, ok := strings.CutPrefix(strings.TrimLeft(tag[from:], " \t\r\n"), "=")
		if !ok {
			continue
		}
		value = strings.TrimLeft(value, " \t\r\n")
		stop := " \t\r\n>"
		if value != "" && (value[0] == '"' || value[0] == '\'') {
			stop, value = value[:1], value[1:]
		}
		if end := strings.IndexAny(value, stop); end >= 0 {
			value = value[:end]
		}
		return value
	}
}

// pixels is a length that a tag gives in pixels, as an attribute or in its style; -1
// when it gives none.
func pixels(tag, name string) int {
	value := attribute(tag, name)
	if value == "" {
		style := strings.ToLower(attribute(tag, "style"))
		for declaration := range strings.SplitSeq(style, ";") {
			if property, v, _ := strings.Cut(declaration, ":"); strings.TrimSpace(property) == name {
				value = strings.TrimSpace(v)
			}
		}
	}
	value = strings.TrimSuffix(strings.TrimSpace(value), "px")
	if n, err := strconv.ParseFloat(value, 64); err == nil && n >= 0 && n < 1e5 {
		return int(n)
	}
	return -1
}

// indexFold is strings.Index for an ASCII word in any case.
func indexFold(s, word string) int {
	for i := 0; i+len(word) <= len(s); i++ {
		if s[i]|0x20 == word[0]|0x20 && strings.EqualFold(s[i:i+len(word)], word) {
			return i
		}
	}
	return -1
}
