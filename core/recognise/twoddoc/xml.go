package twoddoc

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// element is a node of a parsed XML document, with names as written and the namespaces
// in force. Comments are dropped, as canonical XML does.
type element struct {
	prefix, local string
	attrs         []attribute
	scope         map[string]string // prefix → namespace, of this element
	children      []any             // *element or string
	parent        *element
}

type attribute struct{ prefix, local, value string }

const (
	maxXML      = 4 << 20
	maxXMLDepth = 64
	xmlSpace    = "http://www.w3.org/XML/1998/namespace"
)

var errXML = errors.New("XML that is not read here: DOCTYPE, processing instruction, or not well formed")

// parseXML reads a document, strictly: whatever two parsers could understand in two ways
// is refused, for what is signed and what is read must be one.
func parseXML(data []byte) (*element, error) {
	if len(data) > maxXML {
		return nil, errors.New("XML larger than any trust list")
	}
	d := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\uFEFF"))))
	var root, at *element
	depth := 0
	for {
		token, err := d.RawToken()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read XML: %w", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e, err := startElement(token, at)
			if depth++; err != nil || depth > maxXMLDepth || at == nil && root != nil {
				return nil, errXML
			}
			if at == nil {
				root = e
			} else {
				at.children = append(at.children, e)
			}
			at = e
		case xml.EndElement:
			if at == nil || at.prefix != token.Name.Space || at.local != token.Name.Local {
				return nil, errXML
			}
			at, depth = at.parent, depth-1
		case xml.CharData:
			if at != nil {
				at.children = append(at.children, string(token))
			} else if len(bytes.TrimSpace(token)) > 0 {
				return nil, errXML
			}
		case xml.ProcInst:
			if token.Target != "xml" || root != nil {
				return nil, errXML
			}
		case xml.Directive:
			return nil, errXML
		}
	}
	if root == nil || at != nil {
		return nil, errXML
	}
	return root, nil
}

func startElement(t xml.StartElement, parent *element) (*element, error) {
	e := &element{prefix: t.Name.Space, local: t.Name.Local, parent: parent, scope: map[string]string{"xml": xmlSpace}}
	if parent != nil {
		e.scope = parent.scope
	}
	own := false
	declare := func(prefix, space string) {
		if !own {
			scope := make(map[string]string, len(e.scope)+1)
			for k, v := range e.scope {
				scope[k] = v
			}
			e.scope, own = scope, true
		}
		e.scope[prefix] = space
	}
	seen := map[xml.Name]bool{}
	for _, a := range t.Attr {
		if seen[a.Name] || strings.ContainsAny(a.Value, "\t\r\n") || strings.Contains(a.Name.Local, ":") {
			return nil, errXML
		}
		seen[a.Name] = true
		switch {
		case a.Name.Space == "xmlns":
			if a.Value == "" || a.Name.Local == "xml" || a.Name.Local == "xmlns" {
				return nil, errXML
			}
			declare(a.Name.Local, a.Value)
		case a.Name.Space == "" && a.Name.Local == "xmlns":
			declare("", a.Value)
		default:
			e.attrs = append(e.attrs, attribute{a.Name.Space, a.Name.Local, a.Value})
		}
	}
	return e, e.wellNamed()
}

// wellNamed: every prefix is bound, no attribute stands twice under two prefixes.
func (e *element) wellNamed() error {
	if _, ok := e.scope[e.prefix]; !ok && e.prefix != "" || strings.Contains(e.local, ":") {
		return errXML
	}
	seen := map[[2]string]bool{}
	for _, a := range e.attrs {
		space, ok := e.scope[a.prefix]
		if a.prefix == "" {
			space, ok = "", true
		}
		name := [2]string{space, a.local}
		if !ok || seen[name] {
			return errXML
		}
		seen[name] = true
	}
	return nil
}

func (e *element) is(space, local string) bool { return e.local == local && e.scope[e.prefix] == space }

// all are the elements of that name below e, in document order.
func (e *element) all(space, local string) []*element {
	var out []*element
	if e == nil {
		return nil
	}
	for _, c := range e.children {
		if c, ok := c.(*element); ok {
			if c.is(space, local) {
				out = append(out, c)
			}
			out = append(out, c.all(space, local)...)
		}
	}
	return out
}

// one is the only child of that name; nil when there is none, or more.
func (e *element) one(space, local string) *element {
	if e == nil {
		return nil
	}
	var found *element
	for _, c := range e.children {
		if c, ok := c.(*element); ok && c.is(space, local) {
			if found != nil {
				return nil
			}
			found = c
		}
	}
	return found
}

// elements are the children of e that are elements.
func (e *element) elements() []*element {
	var out []*element
	for _, c := range e.children {
		if c, ok := c.(*element); ok {
			out = append(out, c)
		}
	}
	return out
}

func (e *element) attr(local string) string {
	if e == nil {
		return ""
	}
	for _, a := range e.attrs {
		if a.prefix == "" && a.local == local {
			return a.value
		}
	}
	return ""
}

// text is what stands in e, trimmed.
func (e *element) text() string {
	if e == nil {
		return ""
	}
	var b strings.Builder
	for _, c := range e.children {
		if s, ok := c.(string); ok {
			b.WriteString(s)
		}
	}
	return strings.TrimSpace(b.String())
}

// canonical writes e in Exclusive XML Canonicalization 1.0 without comments (W3C,
// xml-exc-c14n), leaving out what skip names.
func (e *element) canonical(out *bytes.Buffer, skip *element) {
	e.write(out, map[string]string{}, skip)
}

func (e *element) write(out *bytes.Buffer, rendered map[string]string, skip *element) {
	name := e.local
	if e.prefix != "" {
		name = e.prefix + ":" + e.local
	}
	out.WriteString("<" + name)
	used := []string{e.prefix}
	for _, a := range e.attrs {
		if a.prefix != "" && !slices.Contains(used, a.prefix) {
			used = append(used, a.prefix)
		}
	}
	slices.Sort(used)
	below := rendered
	for _, prefix := range used {
		space := e.scope[prefix]
		if prefix == "xml" || below[prefix] == space {
			continue
		}
		next := make(map[string]string, len(below)+1)
		for k, v := range below {
			next[k] = v
		}
		next[prefix], below = space, next
		if prefix != "" {
			prefix = ":" + prefix
		}
		out.WriteString(" xmlns" + prefix + `="` + attrEscaper.Replace(space) + `"`)
	}
	e.writeAttrs(out)
	out.WriteByte('>')
	for _, c := range e.children {
		switch c := c.(type) {
		case string:
			out.WriteString(textEscaper.Replace(c))
		case *element:
			if c != skip {
				c.write(out, below, skip)
			}
		}
	}
	out.WriteString("</" + name + ">")
}

func (e *element) writeAttrs(out *bytes.Buffer) {
	space := func(a attribute) string {
		if a.prefix == "" {
			return ""
		}
		return e.scope[a.prefix]
	}
	attrs := slices.Clone(e.attrs)
	slices.SortFunc(attrs, func(a, b attribute) int {
		if c := strings.Compare(space(a), space(b)); c != 0 {
			return c
		}
		return strings.Compare(a.local, b.local)
	})
	for _, a := range attrs {
		if a.prefix != "" {
			a.local = a.prefix + ":" + a.local
		}
		out.WriteString(" " + a.local + `="` + attrEscaper.Replace(a.value) + `"`)
	}
}

var (
	textEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#xD;")
	attrEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;", "\t", "&#x9;", "\n", "&#xA;", "\r", "&#xD;")
)
