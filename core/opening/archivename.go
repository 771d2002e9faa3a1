package opening

import (
	"archive/zip"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/unicode/norm"
)

// maxEntryName is the longest file name kept, in bytes.
const maxEntryName = 1 << 10

// entryName is the name of a file in an archive, fit to be shown: the last element of
// its path, in UTF-8 and NFC, without controls and what turns the direction of writing.
func entryName(f *zip.File) string {
	name := decodeEntry(f)
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, norm.NFC.String(name)))
	if len(name) > maxEntryName {
		name = strings.ToValidUTF8(name[:maxEntryName], "")
	}
	return name
}

// decodeEntry reads a name in the charset it was written in. An Info-ZIP field says it
// in UTF-8. Else it is UTF-8 if it can be, declared or not; else that of DOS in France
// (code page 850, which reads the letters of 437 alike) or that of Windows.
func decodeEntry(f *zip.File) string {
	if name := infoZIPName(f); name != "" {
		return name
	}
	if utf8.ValidString(f.Name) {
		return f.Name
	}
	charset := charmap.CodePage850
	if looksWindows(f.Name) {
		charset = charmap.Windows1252
	}
	name, err := charset.NewDecoder().String(f.Name)
	if err != nil {
		return strings.ToValidUTF8(f.Name, "\uFFFD")
	}
	return name
}

// infoZIPName is the name in the Unicode path field, if it belongs to the entry's name
// (APPNOTE 4.6.9); "" for none.
func infoZIPName(f *zip.File) string {
	for extra := f.Extra; len(extra) >= 4; {
		id, size := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		if extra = extra[4:]; size > len(extra) {
			return ""
		}
		if id == 0x7075 && size > 5 && extra[0] == 1 && binary.LittleEndian.Uint32(extra[1:]) == crc32.ChecksumIEEE([]byte(f.Name)) && utf8.Valid(extra[5:size]) {
			return string(extra[5:size])
		}
		extra = extra[size:]
	}
	return ""
}

// looksWindows reports whether the letters beyond ASCII are French in windows-1252
// rather than in code page 850. When in doubt they are the latter's, as the format has it.
func looksWindows(name string) bool {
	const windows, dos = "\xe0\xe2\xe4\xe7\xe8\xe9\xea\xeb\xee\xef\xf4\xf6\xf9\xfb\xfc\xc0\xc2\xc7\xc8\xc9\xca\xcb\xce\xd4\x9c\x92\xb0",
		"\x80\x81\x82\x83\x84\x85\x87\x88\x89\x8a\x8b\x8c\x90\x93\x94\x96\x97\xb7\xd2\xd4\xf8"
	score := 0
	for i := range len(name) {
		if c := name[i]; c >= utf8.RuneSelf {
			if strings.IndexByte(windows, c) >= 0 {
				score++
			}
			if strings.IndexByte(dos, c) >= 0 {
				score--
			}
		}
	}
	return score > 0
}
