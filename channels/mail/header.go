package mail

import (
	"bytes"
	"slices"
	"strings"
)

// header is what the walk needs to know of the header of a message or part.
type header struct {
	mediaType   string // lower case; "" when absent
	boundary    string
	charset     string
	protocol    string // of multipart/signed and multipart/encrypted, lower case
	smime       string // smime-type, lower case
	name        string // file name, decoded
	disposition string // lower case
	encoding    string // Content-Transfer-Encoding, lower case
	contentID   string
	location    string // Content-Location
	long        bool   // it went past the limit; what came later was not looked at
	doubts      doubts
}

// readHeader reads a header up to its empty line, or up to where it ends without one.
// A line that is no header field is passed over: it must not cost the rest.
func readHeader(l *lines, limit int) header {
	var (
		h      header
		f      = newFields()
		size   int
		broken bool // a line was met that is no field
	)
	for first := true; ; first = false {
		if f.some() && l.bodyIsNext() {
			h.doubts.add(doubtHeaderEnd)
			return h.fill(f)
		}
		line, whole, ok := l.readLine(max(0, limit-size))
		if size += whole; size > limit {
			h.long = true
		}
		if !ok && f.some() && l.ended {
			h.doubts.add(doubtHeaderEnd)
		}
		if !ok || whole == 0 || line != nil && len(bytes.TrimRight(line, "\r")) == 0 {
			return h.fill(f)
		}
		if line == nil { // past the limit: read to the end, keep nothing
			continue
		}
		line = h.withoutControls(line)
		switch {
		case first && isEnvelopeLine(line):
		case f.continues(line):
			h.doubts.add(doubtHeaderLine)
			f.fold(line)
		case line[0] == ' ' || line[0] == '\t':
			f.fold(line)
			broken = broken || f.some() && len(bytes.TrimLeft(line, " \t")) == 0 // a Subject is often folded so, by honest programs
		default:
			kept, whole := f.begin(line)
			broken = broken || !whole
			if kept && broken {
				h.doubts.add(doubtHeaderLine)
			}
		}
	}
}

// withoutControls is a header line without what has no place in it: a CR before the
// line break or inside, NUL.
func (h *header) withoutControls(line []byte) []byte {
	line = bytes.TrimRight(line, "\r")
	if bytes.IndexByte(line, 0) >= 0 {
		h.doubts.add(doubtNUL)
	}
	if bytes.IndexByte(line, '\r') >= 0 {
		h.doubts.add(doubtBareCR)
		line = bytes.ReplaceAll(line, []byte("\r"), []byte(" "))
	}
	return line
}

// isEnvelopeLine recognises the line that mailbox files put before a message.
func isEnvelopeLine(line []byte) bool {
	return bytes.HasPrefix(line, []byte("From ")) || bytes.HasPrefix(line, []byte(">From "))
}

// maxField is how much of one header field is looked at, in bytes.
const maxField = 16 << 10

// fields are those of a header that say how a part is built. The first of a name
// counts; a second is kept to see whether it says the same.
type fields struct {
	first, second map[string][]byte
	into          map[string][]byte // where the field goes that a folded line continues; nil for others
	name          string
}

func newFields() *fields {
	return &fields{first: map[string][]byte{}, second: map[string][]byte{}}
}

// some reports whether the header already said how the part is built.
func (f *fields) some() bool { return len(f.first) > 0 }

// begin notes the field that begins at line if it is one of ours, and reports whether
// it was and whether the line is a header field at all.
func (f *fields) begin(line []byte) (kept, whole bool) {
	f.into = nil
	name, value, found := bytes.Cut(line, []byte(":"))
	bare := bytes.TrimRight(name, " \t")
	key := strings.ToLower(string(bare))
	if !found || !isFieldName(key) {
		return false, false
	}
	switch key {
	case "content-type", "content-disposition", "content-transfer-encoding", "content-id", "content-location":
	default:
		return false, true
	}
	whole = len(bare) == len(name) // a blank before the colon makes it no field, for some
	f.into, f.name = f.first, key
	if f.first[key] != nil {
		f.into = f.second
	}
	if f.into[key] != nil { // a third
		f.into = nil
		return false, whole
	}
	f.into[key] = append([]byte{}, value[:min(len(value), maxField)]...)
	return true, whole
}

// continues reports whether a line is a parameter of the field before it, of which the
// blank was lost that should begin it.
func (f *fields) continues(line []byte) bool {
	name, _, found := bytes.Cut(line, []byte("="))
	if f.into == nil || !found {
		return false
	}
	base, _, _ := strings.Cut(strings.ToLower(string(bytes.TrimRight(name, " \t"))), "*")
	switch base {
	case "boundary", "name", "filename", "charset":
		return true
	}
	return false
}

// fold adds a folded line to the field it continues.
func (f *fields) fold(line []byte) {
	if f.into == nil {
		return
	}
	if room := maxField - len(f.into[f.name]); room > 0 {
		f.into[f.name] = append(f.into[f.name], line[:min(len(line), room)]...)
	}
}

// differ reports whether a field came twice and the two say different things. Blanks
// and case aside, that is, which programs set as they like.
func (f *fields) differ(name string) bool {
	second, twice := f.second[name]
	return twice && !bytes.EqualFold(bytes.Join(bytes.Fields(f.first[name]), nil), bytes.Join(bytes.Fields(second), nil))
}

// isFieldName reports whether s can be the name of a header field (RFC 5322 §2.2).
func isFieldName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// fill works out the fields. A file name is looked for in Content-Disposition, then
// in Content-Type (RFC 2183 §2.3, and what was done before it).
func (h header) fill(f *fields) header {
	names := f.first
	mediaType, params := parseParams(names["content-type"])
	h.mediaType = mediaTypeOf(mediaType)
	if h.mediaType != mediaType && h.isMultipart() {
		h.doubts.add(doubtTypeUnclear)
	}
	h.boundary = strings.TrimRight(params["boundary"].raw, " \t")
	h.charset = token(params["charset"].raw)
	h.protocol = token(params["protocol"].raw)
	h.smime = token(params["smime-type"].raw)
	disposition, more := parseParams(names["content-disposition"])
	h.disposition = plainValue(disposition)
	candidates := []param{more["filename"], params["name"], more["name"], params["filename"]}
	slices.SortStableFunc(candidates, func(a, b param) int { return order(a.loose) - order(b.loose) })
	for _, candidate := range candidates {
		if h.name = fileName(candidate); h.name != "" {
			break
		}
	}
	h.encoding = strings.TrimRight(token(string(names["content-transfer-encoding"])), "; ")
	h.contentID = strings.Trim(strings.TrimSpace(clean(names["content-id"])), "<>")
	h.location = strings.TrimSpace(clean(names["content-location"]))
	h.doubt(f, params, more)
	return h
}

func order(last bool) int {
	if last {
		return 1
	}
	return 0
}

// doubt notes what of the fields is read in different ways.
func (h *header) doubt(f *fields, params, more map[string]param) {
	for _, twice := range []struct{ name, code string }{
		{"content-type", doubtTypeTwice},
		{"content-transfer-encoding", doubtEncodingTwice},
		{"content-disposition", doubtDispositionTwice},
	} {
		if f.differ(twice.name) {
			h.doubts.add(twice.code)
		}
	}
	boundary := params["boundary"]
	if h.isMultipart() && (boundary.again || boundary.extended != "") { // most programs do not know the form of RFC 2231 here
		h.doubts.add(doubtBoundaryTwice)
	}
	for _, structural := range []string{h.mediaType, h.boundary, h.encoding} {
		if strings.ContainsFunc(structural, func(r rune) bool { return r > '~' }) {
			h.doubts.add(doubtRawStructure)
		}
	}
	if encodingUnclear(h.encoding) {
		h.doubts.add(doubtEncodingUnclear)
	}
	filename, name := more["filename"], params["name"]
	if filename.again || filename.conflicts() || name.conflicts() || kindsDiffer(fileName(filename), fileName(name)) {
		h.doubts.add(doubtNames)
	}
}

// token is a value that is compared, not shown.
func token(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

// clean is a value as UTF-8, without controls.
func clean(b []byte) string { return strings.Map(nameRune, strings.ToValidUTF8(string(b), "")) }

// mediaTypeOf makes the best of a Content-Type: what is no type at all is text if it says
// so, else it may be anything.
func mediaTypeOf(value string) string {
	plain := plainValue(value)
	switch {
	case plain == "" || isMediaType(plain):
		return plain
	case plain == "multipart":
		return "multipart/mixed"
	case strings.HasPrefix(plain, "text"):
		return "text/plain"
	}
	return "application/octet-stream"
}

// isMediaType reports whether s has the form type/subtype, of visible ASCII.
func isMediaType(s string) bool {
	kind, sub, ok := strings.Cut(s, "/")
	return ok && kind != "" && sub != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// isField reports whether a line can be a header field.
func isField(line []byte) bool {
	name, _, found := bytes.Cut(line, []byte(":"))
	return found && isFieldName(string(bytes.TrimRight(name, " \t"))) || isEnvelopeLine(line)
}

// isMailField reports whether b begins with a field that mail has and text has not.
func isMailField(b []byte) bool {
	name, _, found := bytes.Cut(b[:min(len(b), 80)], []byte(":"))
	if !found {
		return false
	}
	switch key := strings.ToLower(string(bytes.TrimRight(name, " \t"))); key {
	case "received", "return-path", "delivered-to", "from", "to", "subject", "date", "message-id", "mime-version",
		"reply-to", "sender", "cc", "in-reply-to", "references", "user-agent", "dkim-signature", "authentication-results":
		return true
	default:
		return isFieldName(key) && (strings.HasPrefix(key, "content-") || strings.HasPrefix(key, "x-") ||
			strings.HasPrefix(key, "resent-") || strings.HasPrefix(key, "arc-"))
	}
}
