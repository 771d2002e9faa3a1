package examine

import (
	"bytes"
	"encoding/binary"
	"strings"

	"vaguemestre/core"
)

// mixed says whether a file of kind is at the same time something that runs or
// unpacks: a page, a script, an archive (SEC-60). It asks what another program would
// make of the file, not whether such bytes occur: streams of a PDF hold anything.
func mixed(kind core.Kind, file []byte) bool {
	if hasArchive(kind, file) || hasScriptHead(kind, file) {
		return true
	}
	if kind == core.KindPDF {
		end := bytes.LastIndex(file, []byte("%%EOF"))
		return end >= 0 && appended(file[end:])
	}
	return bytes.Contains(head(file, 1024), []byte("%PDF-")) ||
		hasTag(file, longTags) || hasMarkup(head(file, headSize)) || hasMarkup(tail(file, 4096)) ||
		contains(file, "Rar!\x1a\x07", "7z\xbc\xaf\x27\x1c")
}

// appended judges what follows the last end mark of a PDF. Padding is nothing, and
// where objects follow, the mark was not the end.
func appended(rest []byte) bool {
	if bytes.Contains(rest, []byte("endobj")) {
		return false
	}
	return hasMarkup(rest) || contains(rest, "Rar!\x1a\x07", "7z\xbc\xaf\x27\x1c", "PK\x03\x04")
}

var (
	// longTags are too long to occur by chance in compressed pixels; the short ones
	// are looked for only where a browser would begin to read, and in what follows
	// the picture.
	longTags  = []string{"<script", "<iframe", "<!doctype html", "<foreignobject"}
	shortTags = []string{"<html", "<svg", "<body", "<head>", "<?php"}
)

func hasMarkup(b []byte) bool { return hasTag(b, longTags) || hasTag(b, shortTags) }

// hasTag looks for any of tags, whatever their case.
func hasTag(b []byte, tags []string) bool {
	for {
		i := bytes.IndexByte(b, '<')
		if i < 0 {
			return false
		}
		b = b[i:]
		for _, tag := range tags {
			if len(b) >= len(tag) && strings.EqualFold(string(b[:len(tag)]), tag) {
				return true
			}
		}
		b = b[1:]
	}
}

// hasScriptHead finds pictures whose first bytes also open a comment or an assignment
// of JavaScript: the width of a GIF, the length of a JPEG's first segment. No real
// picture has these.
func hasScriptHead(kind core.Kind, file []byte) bool {
	switch kind {
	case core.KindGIF:
		return len(file) >= 8 && strings.IndexByte("/=;(*", file[6]) >= 0 && ' ' <= file[7] && file[7] <= '~'
	case core.KindJPEG:
		return at(file, 4, "/*") && !at(file, 6, "Exif") && !at(file, 6, "http") && !at(file, 6, "ICC_")
	}
	return false
}

// hasArchive finds a ZIP that unpackers would open: they look for its directory from
// the end of the file. A ZIP that a PDF carries as a declared attachment is one of its
// streams.
func hasArchive(kind core.Kind, file []byte) bool {
	window := tail(file, 1<<16+4096) // a ZIP's comment has at most 65,535 bytes, and unpackers forgive some more
	from := len(file) - len(window)
	for {
		i := bytes.LastIndex(window, []byte("PK\x05\x06"))
		if i < 0 {
			return false
		}
		if start, found := zipStart(file, from+i); found && !(kind == core.KindPDF && isAttachment(file[:start])) {
			return true
		}
		window = window[:i]
	}
}

// zipStart follows the end record at offset end to the directory before it, and says
// where the archive begins (APPNOTE 4.3.16).
func zipStart(file []byte, end int) (start int, found bool) {
	if len(file)-end < 22 {
		return 0, false
	}
	size := int64(binary.LittleEndian.Uint32(file[end+12:]))
	offset := int64(binary.LittleEndian.Uint32(file[end+16:]))
	if end >= 20 && at(file, end-20, "PK\x06\x07") { // ZIP64: sizes stand elsewhere
		return 0, true
	}
	directory := int64(end) - size
	if size == 0 || directory < 0 || !at(file, int(directory), "PK\x01\x02") {
		return 0, false
	}
	return int(max(0, directory-offset)), true
}

// isAttachment says whether before ends with the dictionary of an embedded file.
func isAttachment(before []byte) bool {
	before = bytes.TrimRight(tail(before, 1024), "\r\n")
	return bytes.HasSuffix(before, []byte("stream")) && bytes.Contains(before, []byte("/EmbeddedFile"))
}
