// Package uuencode owns the files that stand in the text of a message, as programs
// sent them before MIME and some still do: uuencoded (POSIX uuencode, with its base64
// form) or in yEnc. It also decodes a part whose transfer encoding is x-uuencode.
package uuencode

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"vaguemestre/core"
)

// Open reads a text to its end. It hands each file in it to each, in order, as a
// stream, and writes what is left of the text to text. Neither waits for the other:
// memory is the same whatever the size of the text.
//
// A line that begins with "begin" is a word of the text unless it is written as
// uuencode writes it and encoded lines follow; so are the pieces of a file in several
// parts (yEnc). A file whose end is missing ends where the encoded lines do, and a line
// among them that is none is left out. A part has a name, UTF-8 without NUL, but no type,
// and is never empty. All files together are smaller than the text, but for 16 MiB of
// zeros at most that stand for blanks lost on the way.
//
// An error of each or of text ends the reading and is returned as it is; an error of r
// is wrapped. Nothing else is an error.
func Open(r io.Reader, text io.Writer, each func(core.Part) error) error {
	l := newLines(r)
	for l.has(0) {
		if b := opening(l); b != nil {
			if err := each(core.Part{Name: b.name, Via: core.ViaUuencode, Body: b}); err != nil {
				return err
			}
			b.skip()
			continue
		}
		if _, err := text.Write(l.line(0).raw); err != nil {
			return err
		}
		l.take(1)
	}
	if err := l.failed(); err != nil {
		return fmt.Errorf("read text: %w", err)
	}
	return nil
}

// maxBlank is how many empty lines may stand where the encoding has none.
const maxBlank = 3

// opening is the file that begins at the next line, whose first lines are then taken;
// nil when none does.
func opening(l *lines) *body {
	first := l.line(0)
	if !first.whole {
		return nil
	}
	var b *body
	switch {
	case bytes.HasPrefix(first.raw, []byte("begin")):
		b = posixOpening(first.text())
	case bytes.HasPrefix(first.raw, []byte("=ybegin ")):
		b = yencOpening(first.text())
	}
	if b == nil {
		return nil
	}
	at := 1
	for at <= maxBlank && l.has(at) && len(l.line(at).text()) == 0 {
		at++
	}
	if !l.has(at) || !b.code.starts(l, at) {
		return nil
	}
	b.l = l
	l.take(at)
	return b
}

// posixOpening reads "begin 644 name" and its relatives.
func posixOpening(line []byte) *body {
	word, rest := cutBlank(readable(line))
	mode, name := cutBlank(rest)
	name = strings.Trim(name, " \t\"")
	if !isMode(mode) || name == "" {
		return nil
	}
	switch word {
	case "begin":
		return &body{name: name, code: &uu{}}
	case "begin-base64":
		return &body{name: name, code: &base64Lines{}}
	}
	return nil
}

// cutBlank splits s at its first blanks.
func cutBlank(s string) (before, after string) {
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimLeft(s[i:], " \t")
}

// isMode reports whether s is the mode of a file, in octal.
func isMode(s string) bool {
	return len(s) >= 3 && len(s) <= 6 && strings.Trim(s, "01234567") == ""
}

// readable is a line as UTF-8 without NUL: in windows-1252 if it is not UTF-8 already.
func readable(line []byte) string {
	s := string(line)
	if !utf8.Valid(line) {
		s, _ = charmap.Windows1252.NewDecoder().String(s) // replaces what it cannot read
	}
	return strings.ReplaceAll(s, "\x00", "")
}
