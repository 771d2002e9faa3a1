package core

import "strings"

// Kind is what a file truly is, decided by its content (SEC-60).
type Kind string

// The kinds that are read; anything else is refused.
const (
	KindPDF  Kind = "pdf"
	KindJPEG Kind = "jpeg"
	KindPNG  Kind = "png"
	KindGIF  Kind = "gif"
	KindWebP Kind = "webp"
	KindTIFF Kind = "tiff"
	KindHEIC Kind = "heic"
)

// MIME is the type under which a file of this kind is handed out.
func (k Kind) MIME() string {
	if k == KindPDF {
		return "application/pdf"
	}
	return "image/" + string(k)
}

// Ext is the file name extension of this kind, with its dot.
func (k Kind) Ext() string {
	if k == KindJPEG {
		return ".jpg"
	}
	return "." + string(k)
}

// Evidence is what examining a file brought to light. It is plain data, stored
// sealed as JSON and read again by the recogniser. Its text comes from a stranger's
// file: untrusted (SEC-69).
type Evidence struct {
	Kind    Kind       `json:"kind"`
	Pages   int        `json:"pages"`             // in the file; Text may cover fewer
	Text    []PageText `json:"text,omitempty"`    // in page order; empty without a legal basis for reading
	Width   int        `json:"width,omitempty"`   // of an image, upright, in pixels
	Height  int        `json:"height,omitempty"`  // of an image, upright, in pixels
	Flags   []string   `json:"flags,omitempty"`   // what was noticed: FlagOwnerPassword…
	Skipped []string   `json:"skipped,omitempty"` // what was not done, and why: "no_reading_consent", "ocr_empty"
}

// PageText is the text of one page, lines separated by "\n".
type PageText struct {
	Page   int    `json:"page"`   // from 1
	Source string `json:"source"` // SourceLayer or SourceOCR
	Text   string `json:"text"`
}

// Where a page's text comes from.
const (
	SourceLayer = "layer" // the PDF's own text
	SourceOCR   = "ocr"
)

// AllText is the text of all pages, separated by form feeds.
func (e Evidence) AllText() string {
	pages := make([]string, len(e.Text))
	for i, p := range e.Text {
		pages[i] = p.Text
	}
	return strings.Join(pages, "\f")
}

// Verdict is what the recogniser makes of the evidence.
type Verdict struct {
	Type       string   `json:"type"` // catalogue code; "" when it is none of ours or too unsure to say
	Confidence float64  `json:"confidence"`
	Holder     string   `json:"holder,omitempty"`
	Holders    []string `json:"holders,omitempty"`
	Issued     Date     `json:"issued,omitzero"`
	Expires    Date     `json:"expires,omitzero"`
	Period     Period   `json:"period,omitzero"`
	Evidence   []string `json:"evidence,omitempty"` // the reasons, in words a person can check
	Guesses    []Guess  `json:"guesses,omitempty"`  // ranked candidates, best first, for the person who decides
	Producer   string   `json:"producer"`           // "phrases/1"
	Catalogue  int      `json:"catalogue"`          // version of the catalogue it was held against; 0 for one without version
}

// Guess is one candidate type.
type Guess struct {
	Type       string  `json:"type"`
	Confidence float64 `json:"confidence"`
}
