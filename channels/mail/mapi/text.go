package mapi

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"
)

// MaxText is how much of a text is read, in bytes: names and types are shorter.
const MaxText = 4 << 10

// Codepage is the number Windows gives a charset; 0 when it is not known.
type Codepage uint32

var codepages = map[Codepage]encoding.Encoding{
	437: charmap.CodePage437, 850: charmap.CodePage850, 852: charmap.CodePage852, 855: charmap.CodePage855,
	858: charmap.CodePage858, 860: charmap.CodePage860, 862: charmap.CodePage862, 863: charmap.CodePage863,
	865: charmap.CodePage865, 866: charmap.CodePage866, 874: charmap.Windows874,
	932: japanese.ShiftJIS, 936: simplifiedchinese.GBK, 949: korean.EUCKR, 950: traditionalchinese.Big5,
	1200: unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM),
	1250: charmap.Windows1250, 1251: charmap.Windows1251, 1252: charmap.Windows1252, 1253: charmap.Windows1253,
	1254: charmap.Windows1254, 1255: charmap.Windows1255, 1256: charmap.Windows1256, 1257: charmap.Windows1257,
	1258: charmap.Windows1258, 10000: charmap.Macintosh, 10007: charmap.MacintoshCyrillic,
	20866: charmap.KOI8R, 21866: charmap.KOI8U,
	28591: charmap.Windows1252, 28592: charmap.ISO8859_2, 28593: charmap.ISO8859_3, 28594: charmap.ISO8859_4,
	28595: charmap.ISO8859_5, 28596: charmap.ISO8859_6, 28597: charmap.ISO8859_7, 28598: charmap.ISO8859_8,
	28599: charmap.Windows1254, 28603: charmap.ISO8859_13, 28605: charmap.ISO8859_15,
	50220: japanese.ISO2022JP, 50221: japanese.ISO2022JP, 50222: japanese.ISO2022JP,
	51932: japanese.EUCJP, 20932: japanese.EUCJP, 51949: korean.EUCKR, 51936: simplifiedchinese.GBK,
	52936: simplifiedchinese.HZGB2312, 54936: simplifiedchinese.GB18030,
}

// Known reports whether texts in this codepage can be read as what they are.
func (c Codepage) Known() bool { return codepages[c] != nil || c == 20127 || c == 65001 }

// Text reads b, up to its first NUL, in the codepage: what is UTF-8 as that (some
// programs lie), and what is in no known codepage as windows-1252.
func (c Codepage) Text(b []byte) string {
	b = b[:min(len(b), MaxText)]
	enc := codepages[c]
	if c == 1200 {
		return utf16Text(b)
	}
	b, _, _ = bytes.Cut(b, []byte{0})
	_, single := enc.(*charmap.Charmap)
	if utf8.Valid(b) && (enc == nil || single) {
		return string(b)
	}
	if enc == nil {
		enc = charmap.Windows1252
	}
	s, _ := enc.NewDecoder().String(string(b)) // replaces what it cannot read
	return clean(s)
}

// utf16Text reads b, up to its first NUL.
func utf16Text(b []byte) string {
	b = b[:min(len(b), MaxText)&^1]
	for i := 0; i < len(b); i += 2 {
		if b[i] == 0 && b[i+1] == 0 {
			b = b[:i]
		}
	}
	s, _ := codepages[1200].NewDecoder().String(string(b))
	return clean(s)
}

func clean(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
}
