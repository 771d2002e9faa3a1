package notice

import "strings"

// reason is why a file was refused and what to do, in the reader's language. The French
// sentence stands with the file. It is not repeated for a code English has no words for.
func reason(code, sentence, language string) string {
	if language == "fr" {
		if sentence == "" {
			sentence = "Envoyez le document en PDF ou en photo."
		}
		return clean(sentence)
	}
	if s, ok := english[code]; ok {
		return s
	}
	if strings.HasPrefix(code, "unsupported_") {
		return english["unsupported_kind"]
	}
	return english[""]
}

var english = map[string]string{
	"":                       "We cannot take this file: send the document as PDF or as a photo.",
	"archive_method":         "This ZIP archive is compressed in a way we cannot read: send the documents in it, as PDF or photos.",
	"archive_too_dense":      "This ZIP archive holds a file far larger than itself: send the documents in it, as PDF or photos.",
	"archive_too_large":      "The documents in this ZIP archive are too large together: send them in several messages.",
	"archive_too_many_files": "This ZIP archive holds too many files: send only the documents that matter, in several messages if need be.",
	"complex_pdf":            "This PDF is too complex to be read safely: print it to a new PDF, or take a photo of the document, and send that.",
	"container_broken":       "This file holds others and is damaged: send the documents in it one by one.",
	"container_too_large":    "This file holds others and is too large to be opened: send the documents in it one by one.",
	"damaged_archive":        "This ZIP archive is damaged or incomplete: send the documents in it, as PDF or photos.",
	"damaged_image":          "This picture is damaged or incomplete: send a new copy.",
	"damaged_pdf":            "This PDF is damaged or incomplete: download it again, or take a photo of the document, and send that.",
	"empty":                  "This file is empty: check the original, and send it again.",
	"empty_archive":          "This ZIP archive holds no document: send your documents as PDF or photos.",
	"encrypted_archive":      "This ZIP archive asks for a password: open it, and send the documents in it without one.",
	"encrypted_message":      "This message is encrypted and cannot be read here: send your documents without encryption.",
	"encrypted_pdf":          "This PDF asks for a password: print it to a PDF without one, and send that copy.",
	"external_body":          "This document is not in the message, which only says where to find it: attach the document itself.",
	"image_too_large":        "This picture has too many pixels: make it smaller, or take the photo again, and send that.",
	"kind_not_allowed":       "This file format is not accepted for this document: send it as PDF or as a photo.",
	"mixed_archive":          "This ZIP archive hides something else than documents: send the documents in it, as PDF or photos.",
	"mixed_content":          "This file hides something else behind a document: save the document alone as PDF, or take a photo of it, and send that.",
	"partial_message":        "This message came cut into several, of which this is a piece: send your documents again, one a message if they are large.",
	"too_large":              "This file is too large: send it as several files, or save it in a lighter quality.",
	"too_many_pages":         "This document has too many pages: send only those that matter, or several files.",
	"unsupported_kind":       "This type of file is not accepted: send the document as PDF or as a photo (JPEG, PNG, HEIC).",
}
