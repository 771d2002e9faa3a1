package examine

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"vaguemestre/core"
)

// headSize is how far a reader looks for the beginning of a file: PDF readers accept
// their header anywhere in the first 1,024 bytes (ISO 32000-1, implementation note 13),
// browsers judge by the first 1,445.
const headSize = 1445

// kindOf says what file truly is, by its content alone: names and declared types are
// not believed (SEC-60). A file of no kind that is read, or of two, is refused.
func kindOf(file []byte) (core.Kind, *core.Refusal) {
	if len(bytes.Trim(file, "\x00 \t\r\n")) == 0 {
		return "", refuseEmpty
	}
	kind := imageKind(file)
	if kind == "" && isPDF(file) {
		kind = core.KindPDF
	}
	switch {
	case kind == "":
		return "", refusalFor(file)
	case mixed(kind, file):
		return "", refuseMixed
	}
	return kind, nil
}

func imageKind(file []byte) core.Kind {
	switch {
	case has(file, "\xff\xd8\xff"):
		return core.KindJPEG
	case has(file, "\x89PNG\r\n\x1a\n"):
		return core.KindPNG
	case has(file, "GIF87a"), has(file, "GIF89a"):
		return core.KindGIF
	case has(file, "RIFF") && at(file, 8, "WEBP"):
		return core.KindWebP
	case at(file, 8, "CR\x02"): // a camera's raw image, which only looks like TIFF
		return ""
	case has(file, "II*\x00"), has(file, "MM\x00*"):
		return core.KindTIFF
	case mediaKind(file) == mediaHEIC:
		return core.KindHEIC
	}
	return ""
}

// isPDF looks for the header. Scanners and gateways put bytes before it; what another
// program would take for its own does not count as such.
func isPDF(file []byte) bool {
	before, _, found := bytes.Cut(head(file, 1024+len("%PDF-")), []byte("%PDF-"))
	if !found {
		return false
	}
	return len(before) == 0 || formatOf(before) == "" && !hasMarkup(before)
}

func has(file []byte, magic string) bool { return at(file, 0, magic) }

func at(file []byte, offset int, magic string) bool {
	return len(file) >= offset+len(magic) && string(file[offset:offset+len(magic)]) == magic
}

func head(file []byte, n int) []byte { return file[:min(n, len(file))] }
func tail(file []byte, n int) []byte { return file[max(0, len(file)-n):] }

// format is a family of files that are not read; each has its own advice.
type format string

const (
	formatArchive format = "archive"
	formatOffice  format = "office"
	formatProgram format = "program"
	formatImage   format = "image"
	formatAVIF    format = "avif"
	formatMedia   format = "media"
	formatHTML    format = "html"
	formatSVG     format = "svg"
	formatEmail   format = "email"
	formatText    format = "text"
	formatOther   format = "kind"
)

// formats are told by their first bytes.
var formats = []struct {
	magic string
	format
}{
	{"Rar!\x1a\x07", formatArchive}, {"7z\xbc\xaf\x27\x1c", formatArchive}, {"\x1f\x8b", formatArchive},
	{"BZh", formatArchive}, {"\xfd7zXZ\x00", formatArchive}, {"\x28\xb5\x2f\xfd", formatArchive},
	{"MSCF", formatArchive}, {"!<arch>", formatArchive},
	{"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", formatOffice}, {"{\\rtf", formatOffice},
	{"MZ", formatProgram}, {"\x7fELF", formatProgram}, {"#!", formatProgram}, {"\x00asm", formatProgram},
	{"\xfe\xed\xfa\xce", formatProgram}, {"\xfe\xed\xfa\xcf", formatProgram}, {"\xcf\xfa\xed\xfe", formatProgram},
	{"\xca\xfe\xba\xbe", formatProgram}, {"L\x00\x00\x00\x01\x14\x02\x00", formatProgram}, {"dex\n", formatProgram},
	{"BM", formatImage}, {"8BPS", formatImage}, {"\xff\x0a", formatImage}, {"\x00\x00\x00\x0cjP  ", formatImage},
	{"\x00\x00\x00\x0cJXL ", formatImage}, {"\x00\x00\x01\x00", formatImage}, {"II+\x00", formatImage},
	{"MM\x00+", formatImage}, {"II*\x00\x10\x00\x00\x00CR", formatImage}, {"%!PS", formatImage},
	{"AT&TFORM", formatImage}, {"\xff\xd8\xff", formatImage}, {"\x89PNG", formatImage}, {"GIF8", formatImage},
	{"II*\x00", formatImage}, {"MM\x00*", formatImage},
	{"\x1aE\xdf\xa3", formatMedia}, {"OggS", formatMedia}, {"ID3", formatMedia}, {"fLaC", formatMedia}, {"RIFF", formatMedia},
}

// formatOf names the family of a file that is not text; "" for none known.
func formatOf(file []byte) format {
	if has(file, "PK\x03\x04") || has(file, "PK\x05\x06") || has(file, "PK\x07\x08") {
		return zipFormat(file)
	}
	if at(file, 257, "ustar") {
		return formatArchive
	}
	switch mediaKind(file) {
	case mediaAVIF:
		return formatAVIF
	case mediaRaw:
		return formatImage
	case mediaHEIC, mediaOther:
		return formatMedia
	}
	for _, f := range formats {
		if has(file, f.magic) {
			return f.format
		}
	}
	return ""
}

// zipFormat looks at the names inside: office documents and programs are zips too.
// The central directory stands at the end, the first entries at the beginning.
func zipFormat(file []byte) format {
	names := slices.Concat(head(file, 64<<10), tail(file, 64<<10))
	for _, sign := range []string{"[Content_Types].xml", "mimetypeapplication/vnd.oasis", "mimetypeapplication/epub", "Index/Document.iwa"} {
		if bytes.Contains(names, []byte(sign)) {
			return formatOffice
		}
	}
	for _, sign := range []string{"META-INF/MANIFEST.MF", "AndroidManifest.xml"} {
		if bytes.Contains(names, []byte(sign)) {
			return formatProgram
		}
	}
	return formatArchive
}

// Families of the ISO base media file format, told by their brands (ISO/IEC 14496-12, 4.3).
const (
	mediaNone = iota
	mediaHEIC
	mediaAVIF
	mediaRaw
	mediaOther
)

func mediaKind(file []byte) int {
	if !at(file, 4, "ftyp") || len(file) < 16 {
		return mediaNone
	}
	size := int(file[2])<<8 | int(file[3])
	if file[0] != 0 || file[1] != 0 || size < 16 || size > len(file) {
		return mediaOther
	}
	brands := []string{string(file[8:12])}
	for i := 16; i+4 <= size; i += 4 {
		brands = append(brands, string(file[i:i+4]))
	}
	is := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(brands, n) })
	}
	switch {
	case brands[0] == "crx ":
		return mediaRaw
	case brands[0] == "avif", brands[0] == "avis":
		return mediaAVIF
	case is("heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs"):
		return mediaHEIC
	case is("avif", "avis"):
		return mediaAVIF
	case is("mif1", "msf1"):
		return mediaHEIC
	}
	return mediaOther
}

// refusalFor says why a file of no kind that is read is refused, as exactly as its
// content allows: the advice differs.
func refusalFor(file []byte) *core.Refusal {
	if f := formatOf(file); f != "" {
		return unsupported[f]
	}
	if contains(head(file, 1024), "%PDF-") { // behind a page or a script
		return refuseMixed
	}
	return unsupported[textFormat(file)]
}

func textFormat(file []byte) format {
	b, ok := plain(head(file, 4096))
	if !ok {
		return formatOther
	}
	b = bytes.ToLower(b)
	trimmed := bytes.TrimLeft(b, " \t\r\n")
	switch {
	case contains(b, "<!doctype html", "<html", "<head", "<body"):
		return formatHTML
	case contains(b, "<svg"):
		return formatSVG
	case contains(b, "<?php"):
		return formatProgram
	case hasMarkup(b):
		return formatHTML
	case bytes.HasPrefix(trimmed, []byte("<?xml")):
		return formatOther
	case isEmail(trimmed):
		return formatEmail
	}
	return formatText
}

func contains(b []byte, any ...string) bool {
	return slices.ContainsFunc(any, func(s string) bool { return bytes.Contains(b, []byte(s)) })
}

// isEmail: its first line is a header that messages begin with, in lower case.
func isEmail(text []byte) bool {
	name, _, found := bytes.Cut(text, []byte(":"))
	return found && slices.Contains([]string{"return-path", "delivered-to", "received", "from", "date", "message-id",
		"mime-version", "subject", "to", "dkim-signature", "x-account-key", "x-mozilla-status"}, string(name))
}

// plain is b without its byte order mark or, in UTF-16, its zero bytes; false when b
// is not text. Windows-1252 is, as long as most of it is ASCII.
func plain(b []byte) ([]byte, bool) {
	b, marked := bytes.CutPrefix(b, []byte("\xef\xbb\xbf"))
	if !marked && (has(b, "\xff\xfe") || has(b, "\xfe\xff")) {
		b = bytes.ReplaceAll(b[2:], []byte{0}, nil)
	}
	for _, c := range b {
		if c < ' ' && strings.IndexByte("\t\n\r\f\x1b", c) < 0 {
			return nil, false
		}
	}
	strange := 0
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			strange++
		}
		i += n
	}
	return b, strange*5 <= len(b)
}
