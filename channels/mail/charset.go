package mail

import (
	"bytes"
	"encoding/base64"
	"io"
	"regexp"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/emersion/go-message/charset"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode/utf32"
)

// toUTF8 reads b in the charset of that name. Unnamed, unknown or untrue charsets are
// read as UTF-8 if b is that, else as windows-1252, which is what French programs
// send without saying so. The result is valid UTF-8.
func toUTF8(name string, b []byte) string {
	name = strings.ToLower(strings.TrimSpace(name))
	if other, ok := aliases[name]; ok {
		name = other
	}
	switch name {
	case "", "utf-8", "utf8", "us-ascii", "ascii", "unknown-8bit", "iso-8859-1", "latin1":
		return guessed(b)
	case "utf-7", "unicode-1-1-utf-7", "x-unicode-2-0-utf-7":
		return fromUTF7(b)
	case "cp858", "ibm858", "ibm00858":
		return read(charmap.CodePage858, b)
	case "utf-32", "utf-32be", "ucs-4":
		return read(utf32.UTF32(utf32.BigEndian, utf32.UseBOM), b)
	case "utf-32le":
		return read(utf32.UTF32(utf32.LittleEndian, utf32.UseBOM), b)
	}
	r, err := charset.Reader(name, bytes.NewReader(b))
	if err != nil {
		return guessed(b)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		return guessed(b)
	}
	return strings.ToValidUTF8(string(out), "\uFFFD")
}

// aliases are names by which programs call charsets that have another.
var aliases = map[string]string{
	"cp-1252": "windows-1252", "win-1252": "windows-1252", "cp-850": "ibm850", "latin-1": "iso-8859-1", "8859-1": "iso-8859-1", "646": "us-ascii",
	"latin9": "iso-8859-15", "latin-9": "iso-8859-15", "iso8859_15": "iso-8859-15", "macroman": "macintosh", "mac": "macintosh",
	"cp932": "shift_jis", "cp949": "euc-kr", "x-windows-949": "euc-kr", "cp936": "gbk", "cp950": "big5",
	"iso-2022-jp-2": "iso-2022-jp", "iso-2022-jp-ms": "iso-2022-jp", "iso-2022-jp-1": "iso-2022-jp", "cp50220": "iso-2022-jp",
	"utf-8-mac": "utf-8", "utf8mb4": "utf-8", "cesu-8": "utf-8",
}

func read(e encoding.Encoding, b []byte) string {
	out, err := e.NewDecoder().Bytes(b)
	if err != nil {
		return guessed(b)
	}
	return strings.ToValidUTF8(string(out), "\uFFFD")
}

func guessed(b []byte) string {
	name := "windows-1252"
	switch {
	case bytes.Contains(b, []byte("\x1b$")): // the escape that begins two-byte characters
		name = "iso-2022-jp"
	case utf8.Valid(b):
		return string(b)
	}
	r, err := charset.Reader(name, bytes.NewReader(b))
	if err != nil {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	out, _ := io.ReadAll(r) // both decoders replace what they cannot read
	return strings.ToValidUTF8(string(out), "\uFFFD")
}

// shifted is a run of UTF-7 in base64 (RFC 2152).
var shifted = regexp.MustCompile(`\+([A-Za-z0-9+/]*)-?`)

func fromUTF7(b []byte) string {
	out := shifted.ReplaceAllFunc(b, func(run []byte) []byte {
		digits := bytes.TrimSuffix(run[1:], []byte("-"))
		if len(digits) == 0 {
			return []byte("+")
		}
		wide, _ := base64.RawStdEncoding.DecodeString(string(digits)) // up to where it is none
		units := make([]uint16, len(wide)/2)
		for i := range units {
			units[i] = uint16(wide[2*i])<<8 | uint16(wide[2*i+1])
		}
		return []byte(string(utf16.Decode(units)))
	})
	return guessed(out)
}
