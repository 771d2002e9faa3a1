package typeset

import (
	"fmt"
	"mime"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// FileName is a file's name as it may stand in a letter: no path, nothing that hides or
// turns around what is read, nothing that systems refuse, and not too long; what it ends
// in stays.
func FileName(s string) string {
	name := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>|`, r) {
			return '-'
		}
		return r
	}, plain(s))
	name = strings.Trim(name, ". -\u00a0")
	const most = 120
	if ext := filepath.Ext(name); utf8.RuneCountInString(name) > most && utf8.RuneCountInString(ext) <= 10 {
		name = strings.TrimSuffix(shorten(strings.TrimSuffix(name, ext), most), "…") + ext
	} else {
		name = shorten(name, most)
	}
	if name == "" {
		return "document"
	}
	return name
}

// mediaType is a type that may stand in a header. What must not be encoded in base64, and
// what is no type, goes as mere bytes.
func mediaType(s string) string {
	t, _, err := mime.ParseMediaType(s)
	if err != nil || !strings.Contains(t, "/") || !ascii(t) || len(t) > 100 || strings.HasPrefix(t, "multipart/") || strings.HasPrefix(t, "message/") {
		return "application/octet-stream"
	}
	return t
}

// typeWithName is a Content-Type whose name parameter is in encoded words where it has to
// be: no standard has it so, and it is how old programs find names.
func typeWithName(kind, name string) string {
	if ascii(name) && len(name) < 60 && !strings.Contains(name, "=?") {
		return kind + ";\r\n name=" + quoted(name)
	}
	return kind + ";\r\n name=\"" + words(name, len(` name="`)+1) + `"`
}

// attachment is a Content-Disposition, with a name by RFC 2231 where it has to be.
func attachment(name string) string {
	if ascii(name) && len(name) < 60 {
		return "attachment;\r\n filename=" + quoted(name)
	}
	var lines []string
	line := "utf-8''"
	for _, r := range name {
		c := string(r)
		if !(r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || strings.ContainsRune("!#$&+-.^_`{}~", r)) {
			c = hexed(c, '%')
		}
		if len(line)+len(c) > 60 {
			lines = append(lines, line)
			line = ""
		}
		line += c
	}
	if lines = append(lines, line); len(lines) == 1 {
		return "attachment;\r\n filename*=" + line
	}
	var b strings.Builder
	b.WriteString("attachment")
	for i, line := range lines {
		fmt.Fprintf(&b, ";\r\n filename*%d*=%s", i, line)
	}
	return b.String()
}
