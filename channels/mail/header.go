package mail

import (
	"bytes"
	"strings"
)

// header is what the walk needs to know of the header of a message or part.
type header struct {
	mediaType   string // lower case; "" when absent
	boundary    string
	charset     string
	name        string // file name, decoded
	disposition string // lower case
	encoding    string // Content-Transfer-Encoding, lower case
	contentID   string
	long        bool // it went past the limit; what came later was not looked at
}

// readHeader reads a header up to its empty line, or up to where it ends without one.
// A line that is no header field is passed over: it must not cost the rest.
func readHeader(l *lines, limit int) header {
	var (
		h     header
		names = map[string][]byte{} // the first field of each name, unfolded
		field string                // the one that a folded line continues
		size  int
	)
	for first := true; ; first = false {
		line, whole, ok := l.readLine(max(0, limit-size))
		if size += whole; size > limit {
			h.long = true
		}
		switch {
		case !ok, whole == 0:
			return h.fill(names)
		case line == nil: // past the limit: read to the end, keep nothing
		case first && isEnvelopeLine(line):
		case line[0] == ' ' || line[0] == '\t':
			if room := maxField - len(names[field]); field != "" && room > 0 {
				names[field] = append(names[field], line[:min(len(line), room)]...)
			}
		default:
			field = keepField(names, line)
		}
	}
}

// isEnvelopeLine recognises the line that mailbox files put before a message.
func isEnvelopeLine(line []byte) bool {
	return bytes.HasPrefix(line, []byte("From ")) || bytes.HasPrefix(line, []byte(">From "))
}

// maxField is how much of one header field is looked at, in bytes.
const maxField = 16 << 10

// keepField notes the field that begins at line if it is one of ours and the first of
// its name, and returns its name then.
func keepField(names map[string][]byte, line []byte) string {
	name, value, found := bytes.Cut(line, []byte(":"))
	key := strings.ToLower(string(bytes.TrimRight(name, " \t")))
	if !found || names[key] != nil {
		return ""
	}
	switch key {
	case "content-type", "content-disposition", "content-transfer-encoding", "content-id":
		names[key] = append([]byte{}, value[:min(len(value), maxField)]...)
		return key
	}
	return ""
}

// fill works out the fields. A file name is looked for in Content-Disposition, then
// in Content-Type (RFC 2183 §2.3, and what was done before it).
func (h header) fill(names map[string][]byte) header {
	mediaType, params := parseParams(names["content-type"])
	h.mediaType = mediaType
	if mediaType != "" && !isMediaType(mediaType) {
		h.mediaType = "application/octet-stream"
		if strings.HasPrefix(mediaType, "text") {
			h.mediaType = "text/plain"
		}
	}
	h.boundary = params["boundary"].raw
	h.charset = strings.ToLower(strings.TrimSpace(params["charset"].raw))
	disposition, more := parseParams(names["content-disposition"])
	h.disposition = disposition
	for _, candidate := range []param{more["filename"], params["name"], more["name"], params["filename"]} {
		if h.name = fileName(candidate); h.name != "" {
			break
		}
	}
	h.encoding = strings.ToLower(strings.TrimSpace(string(names["content-transfer-encoding"])))
	id := strings.Map(nameRune, strings.ToValidUTF8(string(names["content-id"]), ""))
	h.contentID = strings.Trim(strings.TrimSpace(id), "<>")
	return h
}

// isMediaType reports whether s has the form type/subtype, of visible ASCII.
func isMediaType(s string) bool {
	kind, sub, ok := strings.Cut(s, "/")
	return ok && kind != "" && sub != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
