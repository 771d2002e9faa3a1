package mail

import (
	"bytes"
	"io"
	"strings"

	"vaguemestre/channels/mail/uuencode"
	"vaguemestre/core"
)

// file is a leaf on its way to be delivered.
type file struct {
	core.Part
	attached bool   // said to be an attachment, rather than to be shown in the text
	location string // Content-Location, by which HTML may refer to it
	within   string // type of the multipart around
}

// leaf delivers a part without parts, or takes it into the note.
func (w *walk) leaf(l *lines, h header, at place) error {
	body := w.body(l, h)
	var err error
	if h.isSent() {
		err = w.deliver(file{
			Part: core.Part{
				Name:      h.name,
				Type:      h.mediaType,
				Inline:    h.disposition == "inline" || h.contentID != "" && h.disposition != "attachment",
				ContentID: h.contentID,
				Depth:     at.forwarded,
				Via:       at.via,
				Body:      body,
			},
			attached: h.disposition == "attachment",
			location: h.location,
			within:   at.within,
		}, at)
	} else {
		err = w.text(h, body, at)
	}
	if err != nil {
		return err
	}
	l.skip()
	return nil
}

// body is the decoded content of a leaf.
func (w *walk) body(l *lines, h header) io.Reader {
	wide := strings.HasPrefix(h.charset, "utf-16") || strings.HasPrefix(h.charset, "utf-32") || h.charset == "ucs-2"
	if h.encoding != "binary" && !wide && !decodes(h.encoding) {
		return &watched{l, &w.doubts}
	}
	return decoded(h.encoding, l, &w.doubts)
}

// headSize is how much of a file is looked at to see what it is.
const headSize = 128

// deliver hands on a file, opened if it is a container, and with the reason if it is
// set aside or can never be read. An empty one is left out.
func (w *walk) deliver(f file, at place) error {
	head := make([]byte, headSize)
	n, _ := io.ReadFull(f.Body, head) // a reading error shows again at the end of the message
	if head = head[:n]; n == 0 {
		return nil
	}
	f.Body = io.MultiReader(bytes.NewReader(head), f.Body)
	if f.Type == "" {
		f.Type = "application/octet-stream"
	}
	if c := containerOf(f, head); c != nil {
		return w.open(*c, f, at)
	}
	f.Refusal = unreadable(f, head)
	if f.Refusal == nil {
		w.setAside(&f, head)
	}
	return w.hand(f)
}

// text takes a text body into the note, and hands on the files that stand in it.
func (w *walk) text(h header, r io.Reader, at place) error {
	kept := &limited{}
	inner := at.in()
	var err error
	switch h.mediaType {
	case "text/plain":
		inner.via = core.ViaUuencode
		err = uuencode.Open(r, kept, func(p core.Part) error {
			p.Depth = at.forwarded
			return w.deliver(file{Part: p, attached: true}, inner)
		})
	case "text/html":
		inner.via = core.ViaHTML
		err = newPage(r, kept, w.pictures, func(p core.Part) error {
			p.Depth = at.forwarded
			return w.deliver(file{Part: p}, inner)
		}).read()
	default:
		return nil
	}
	if err == nil && at.forwarded == 0 {
		w.note.add(h, kept.b)
	}
	return err
}

// limited keeps the beginning of what is written to it, as much as a note takes.
type limited struct{ b []byte }

func (l *limited) Write(p []byte) (int, error) {
	l.b = append(l.b, p[:min(len(p), maxNote-len(l.b))]...)
	return len(p), nil
}
