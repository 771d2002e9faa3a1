package dsn

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"

	"golang.org/x/text/encoding/htmlindex"
)

// Limits of what is looked at. Reports stay far below; what lies past them is unclear.
const (
	maxParts  = 50
	maxDepth  = 6
	maxFields = 300
	maxBlocks = 100
)

// entity is a message or a part of one.
type entity struct {
	head  header
	kind  string // media type, lower case
	body  []byte // decoded, for a leaf
	parts []entity
}

// header is the fields of a header, or of a block of a delivery report, by lower-case
// name; of several of one name the first.
type header map[string]string

func (h header) get(name string) string { return h[strings.ToLower(name)] }

// split takes a message apart as far as a report needs it: never an error, at worst one
// part.
func split(message []byte) entity {
	budget := maxParts
	return splitPart(message, 0, &budget)
}

func splitPart(raw []byte, depth int, budget *int) entity {
	*budget--
	head, body := cutHeader(raw)
	e := entity{head: head, kind: "text/plain"}
	kind, params, _ := mime.ParseMediaType(head.get("Content-Type"))
	if kind != "" {
		e.kind = kind
	}
	boundary := params["boundary"]
	switch {
	case strings.HasPrefix(e.kind, "multipart/") && boundary != "" && depth < maxDepth:
		for _, part := range cutParts(body, boundary) {
			if *budget <= 0 {
				break
			}
			e.parts = append(e.parts, splitPart(part, depth+1, budget))
		}
	default:
		e.body = decode(head.get("Content-Transfer-Encoding"), body)
		if strings.HasPrefix(e.kind, "text/") {
			e.body = toUTF8(params["charset"], e.body)
		}
	}
	return e
}

// find is the first part of one of the kinds. What a report returns is never entered: a
// report on a report says nothing of this letter.
func (e entity) find(kinds ...string) (entity, bool) {
	for _, kind := range kinds {
		if e.kind == kind {
			return e, true
		}
	}
	for _, p := range e.parts {
		if found, ok := p.find(kinds...); ok {
			return found, true
		}
	}
	return entity{}, false
}

// text is what the message says to a person, without what it returns.
func (e entity) text() string {
	if p, ok := e.find("text/plain"); ok {
		return string(p.body)
	}
	if p, ok := e.find("text/html"); ok {
		return untagged(string(p.body))
	}
	return ""
}

// fields are the lines of a report that some systems write into the text, or lose the
// structure of: from the first field of its kind to where it returns the letter.
func (e entity) fields() []byte {
	text := e.text()
	if text == "" && !strings.HasPrefix(e.kind, "message/") {
		text = string(e.body)
	}
	var b strings.Builder
	within := false
	for line := range strings.Lines(text) {
		lower := strings.ToLower(strings.TrimSpace(line))
		for _, name := range []string{"reporting-mta:", "final-recipient:", "original-recipient:", "action:"} {
			within = within || strings.HasPrefix(lower, name)
		}
		if within && (returned(fold(line)) || strings.HasPrefix(lower, "return-path:") || strings.HasPrefix(lower, "received:") || strings.HasPrefix(lower, "--")) {
			break
		}
		if within {
			b.WriteString(strings.TrimRight(strings.TrimLeft(line, " "), "\r\n") + "\n")
		}
	}
	return []byte(b.String())
}

// cutHeader cuts a header off. A first line that is no field makes all of it a body, as
// it stands in some bounces.
func cutHeader(raw []byte) (header, []byte) {
	h := header{}
	name := ""
	for len(raw) > 0 && len(h) < maxFields {
		line, rest, _ := bytes.Cut(raw, []byte("\n"))
		line = bytes.TrimRight(line, "\r")
		switch {
		case len(line) == 0:
			return h, rest
		case line[0] == ' ' || line[0] == '\t':
			if name != "" && len(h[name]) < 4096 {
				h[name] += " " + strings.TrimSpace(string(line))
			}
		default:
			n, value, ok := strings.Cut(string(line), ":")
			name = strings.ToLower(strings.TrimSpace(n))
			if !ok || name == "" || strings.ContainsAny(name, " \t") && !strings.HasPrefix(name, "from ") {
				if len(h) == 0 {
					return h, raw
				}
				name = ""
				break
			}
			if _, twice := h[name]; twice {
				name = ""
				break
			}
			h[name] = words(strings.TrimSpace(value))
		}
		raw = rest
	}
	return h, raw
}

// words undoes encoded words, where that can be done.
func words(s string) string {
	d := mime.WordDecoder{CharsetReader: func(charset string, r io.Reader) (io.Reader, error) {
		e, err := htmlindex.Get(charset)
		if err != nil {
			return nil, err
		}
		return e.NewDecoder().Reader(r), nil
	}}
	if plain, err := d.DecodeHeader(s); err == nil {
		return plain
	}
	return s
}

// cutParts cuts what stands between boundary lines.
func cutParts(body []byte, boundary string) (parts [][]byte) {
	fence := "--" + boundary
	var part []byte
	open := false
	for line := range bytes.Lines(body) {
		switch strings.TrimRight(string(line), " \t\r\n") {
		case fence:
			if open {
				parts = append(parts, part)
			}
			open, part = true, nil
		case fence + "--":
			if open {
				parts = append(parts, part)
			}
			return parts
		default:
			if open {
				part = append(part, line...)
			}
		}
		if len(parts) > maxParts {
			return parts
		}
	}
	if open { // never closed: cut at what is looked at of the message
		parts = append(parts, part)
	}
	return parts
}

// decode undoes a transfer encoding; as far as it goes, for one that is broken or cut.
func decode(encoding string, body []byte) []byte {
	var r io.Reader
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, bytes.NewReader(body))
	case "quoted-printable":
		r = quotedprintable.NewReader(bytes.NewReader(body))
	default:
		return body
	}
	out, _ := io.ReadAll(r) // what could be decoded before the fault
	return out
}

func toUTF8(charset string, b []byte) []byte {
	if charset != "" {
		if e, err := htmlindex.Get(charset); err == nil {
			if out, err := e.NewDecoder().Bytes(b); err == nil {
				return out
			}
		}
	}
	return bytes.ToValidUTF8(b, []byte("?"))
}

// untagged is the text of an HTML page, roughly: enough to look for words.
func untagged(page string) string {
	var b strings.Builder
	for page != "" {
		text, rest, found := strings.Cut(page, "<")
		b.WriteString(text)
		if !found {
			break
		}
		_, page, _ = strings.Cut(rest, ">")
		b.WriteByte('\n')
	}
	return strings.NewReplacer("&nbsp;", " ", "&lt;", "<", "&gt;", ">", "&#39;", "'", "&quot;", `"`, "&amp;", "&", "&eacute;", "é").Replace(b.String())
}

// blocks are the groups of fields in a delivery report, one for the message and one for
// each recipient (RFC 3464 §2.1).
func blocks(body []byte) (all []header) {
	for len(body) > 0 && len(all) < maxBlocks {
		body = bytes.TrimLeft(body, "\r\n \t")
		if len(body) == 0 {
			break
		}
		before := len(body)
		var h header
		h, body = cutHeader(body)
		if len(h) > 0 {
			all = append(all, h)
		}
		if len(body) == before { // no field here: the next line
			_, body, _ = bytes.Cut(body, []byte("\n"))
		}
	}
	return all
}
