package core

import "time"

// DocumentMeta is what is known of a document beyond its plain columns; sealed at
// rest under the document's own key (SEC-24).
type DocumentMeta struct {
	Document   DocumentID `json:"document"` // whose it is: moved to another row, it is not believed
	FileName   string     `json:"filename,omitempty"`
	SHA256     string     `json:"sha256"`
	Kind       Kind       `json:"kind"`
	Confidence float64    `json:"confidence"`
	Holder     string     `json:"holder,omitempty"`
	Holders    []string   `json:"holders,omitempty"`
	Issued     Date       `json:"issued,omitzero"`
	Expires    Date       `json:"expires,omitzero"`
	Period     Period     `json:"period,omitzero"`
	Evidence   []string   `json:"evidence,omitempty"`
}

// Document is what stands in a vault.
type Document struct {
	Tenant      TenantID
	Vault       CitizenID
	ID          DocumentID
	Replaces    DocumentID // proposed in place of that one, until the citizen says yes; "" mostly
	Version     int        // in force; 1 until it is replaced for the first time
	Type        string     // catalogue code
	Catalogue   int        // version of the catalogue whose rules gave the dates
	State       DocumentState
	Standing    Standing
	Channel     string
	Journey     Journey
	ValidUntil  Date // last day it proves something; zero: no end, or none printed
	RetainUntil Date // day it must vanish; zero: the citizen decides
	Created     time.Time
	Size        int64
	Meta        []byte       // DocumentMeta in a box of the vault
	Parts       []PiecePages // of the version in force, in order
}

// PiecePages is one part of a version: a piece, or some of its pages.
type PiecePages struct {
	Piece       PieceID
	First, Last int // from 1; 0, 0: the whole piece
	Sealed      Sealed
}
