package mail

import (
	"path"
	"strings"
	"unicode"
)

// maxName is the longest file name kept, in bytes.
const maxName = 1 << 10

// fileName decodes a file name, however it was written down. Of a whole path, which
// tells more of the sender's disk than of the file, the last element is the name.
// A name says nothing about the content and is never a path.
func fileName(p param) string {
	name := p.extended
	if name == "" {
		name = decodeWords(p.raw)
	}
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.TrimSpace(strings.Map(nameRune, name))
	if len(name) > maxName {
		name = strings.ToValidUTF8(name[:maxName], "")
	}
	return name
}

// nameRune drops what could make a name pass for another: control characters and those
// that turn the direction of writing.
func nameRune(r rune) rune {
	switch {
	case r == '\t':
		return ' '
	case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
		return -1
	}
	return r
}

// conflicts reports whether the two forms of a file name are of two files. A plain form
// for old programs beside an extended one is what honest programs send, however the
// accents were lost on the way; a form for each kind of program is not.
func (p param) conflicts() bool {
	if !p.forms() {
		return false
	}
	plain, extended := fileName(param{raw: p.raw}), fileName(param{extended: p.extended})
	return kindsDiffer(plain, extended) || isASCII(plain) && isASCII(extended) && skeleton(plain) != skeleton(extended)
}

// kindsDiffer reports whether two names end in extensions of different kinds.
func kindsDiffer(a, b string) bool {
	x, y := extension(a), extension(b)
	return x != "" && y != "" && x != y
}

// extension is the extension of a file name in lower case, in the shorter of its forms;
// "" when there is none that looks like one.
func extension(name string) string {
	e := strings.ToLower(strings.TrimPrefix(path.Ext(name), "."))
	if len(e) > 5 || strings.ContainsFunc(e, notAlphanumeric) {
		return ""
	}
	switch e {
	case "jpeg":
		return "jpg"
	case "tiff":
		return "tif"
	case "html":
		return "htm"
	}
	return e
}

// skeleton is what remains of a name when it is written down anyhow.
func skeleton(name string) string {
	return strings.ToLower(strings.Map(func(r rune) rune {
		if notAlphanumeric(r) {
			return -1
		}
		return r
	}, name))
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

func notAlphanumeric(r rune) bool {
	return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}
