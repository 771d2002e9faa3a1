package dispatch

import "vaguemestre/core"

// What a mail is longer by than its files: its own header, signature and summary, and for
// each document what the summary says of it and the part's header. Measured by a test on
// the longest there can be.
const (
	mailBytes     = 24 << 10
	documentBytes = 4 << 10
)

// MostDocuments is how many one dispatch may hold.
const MostDocuments = 50

// Candidate is a document to be laid out.
type Candidate struct {
	Document core.DocumentID
	Files    []int64 // bytes of each
	Link     bool    // may not go as a file
}

// Plan lays documents out over mails of at most the service's size, in their order: a mail
// takes documents until the next does not fit. All files of a document are in one mail;
// a document that fits into none goes as a link. The same candidates give the same plan.
func Plan(s Service, in []Candidate) []Part {
	var parts []Part
	size, empty := int64(0), bare(s)
	for i, c := range in {
		item := Item{ID: core.NewID[ItemID](), N: i + 1, Document: c.Document, Link: c.Link || s.LinksOnly}
		need := weight(c.Files, s.Encrypts(), item.Link)
		if !item.Link && empty+need > s.MaxBytes {
			item.Link, need = true, weight(nil, s.Encrypts(), true)
		}
		if len(parts) == 0 || size+need > s.MaxBytes {
			parts = append(parts, Part{ID: core.NewID[PartID](), N: len(parts) + 1})
			size = empty
		}
		last := &parts[len(parts)-1]
		last.Items = append(last.Items, item)
		size += need
	}
	return parts
}

// Lay puts documents in the place of the parts, as those of the dispatch's sending.
func (d *Dispatch) Lay(in []Candidate) {
	d.Parts = Plan(d.Service, in)
	for i := range d.Parts {
		d.Parts[i].Sending, d.Parts[i].Created = d.Sending, d.Created
	}
}

// bare is the size of a message to the service without documents.
func bare(s Service) int64 {
	if s.Encrypts() {
		return encoded(mailBytes)
	}
	return mailBytes
}

// weight is what a document adds to a message as it is sent.
func weight(files []int64, encrypts, link bool) int64 {
	total := int64(documentBytes)
	if link {
		files = nil
	}
	for _, n := range files {
		total += documentBytes + encoded(n)
	}
	if encrypts { // the whole is written in base64 once more
		return encoded(total)
	}
	return total
}

// encoded is how long n bytes are in base64, in lines of 76 characters that end in CRLF.
func encoded(n int64) int64 {
	chars := (n + 2) / 3 * 4
	return chars + (chars+75)/76*2
}
