// Package mail owns the reading of e-mail (RFC 5322 and MIME): walking a message into
// its parts, however badly it was put together. It knows no network; the channels that
// take mail in, and the opening of deposits, share it.
package mail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"vaguemestre/core"
)

// Splitter walks a message into its parts, in bounded memory. Its zero value is ready
// and has the default limits.
type Splitter struct {
	MaxParts  int // delivered; 1000 when zero
	MaxDepth  int // multiparts and forwarded messages one in another; 20 when zero
	MaxHeader int // bytes in the header of the message or of one part; 256 KiB when zero
}

// Split reads a message to its end and hands each leaf that a person may have meant to
// send to each, in order, as a stream: whatever has a file name, is an attachment, or
// is neither text nor a report; at any depth, also in forwarded messages, which are
// opened and are no parts themselves. A leaf that decodes to nothing is left out.
//
// It returns the cover, whose note is at most 256 KiB. The note and what a part says
// about itself are UTF-8 without NUL, whatever was sent.
//
// An error of each ends the walk and is returned as it is; so is an error of r or of
// ctx, wrapped. A *core.Refusal, wrapped with what was cut, says that a limit was
// passed: "too_many_parts", "too_deep" or "header_too_large". The parts within the
// limits were delivered before it is returned, so a caller may also make do with them.
// No message is too malformed to walk; at worst it has no parts.
func (s Splitter) Split(ctx context.Context, r io.Reader, each func(core.Part) error) (core.Cover, error) {
	w := walk{Splitter: s.withDefaults(), ctx: ctx, each: each}
	err := w.message(r, place{})
	if errors.Is(err, errEnough) {
		err = nil
	}
	if err == nil {
		err = w.cut
	}
	return core.Cover{Note: w.note.text()}, err
}

func (s Splitter) withDefaults() Splitter {
	if s.MaxParts == 0 {
		s.MaxParts = 1000
	}
	if s.MaxDepth == 0 {
		s.MaxDepth = 20
	}
	if s.MaxHeader == 0 {
		s.MaxHeader = 256 << 10
	}
	return s
}

// errEnough ends a walk that has delivered all it may.
var errEnough = errors.New("enough parts")

// walk is one Split under way.
type walk struct {
	Splitter
	ctx   context.Context
	each  func(core.Part) error
	note  note
	parts int
	cut   error // the first limit that was passed
}

// place is where in the message the walk stands.
type place struct {
	level     int  // containers around
	forwarded int  // messages around
	digest    bool // in a multipart/digest, whose parts are messages unless they say otherwise
}

// message walks the message that r holds.
func (w *walk) message(r io.Reader, at place) error {
	l := newLines(w.ctx, r)
	if err := w.entity(l, at); err != nil {
		return err
	}
	l.skip()
	if err := l.failed(); err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	return nil
}

// entity walks the message or part whose header comes next in l.
func (w *walk) entity(l *lines, at place) error {
	h := readHeader(l, w.MaxHeader)
	if h.long {
		w.cutAt("header_too_large", fmt.Sprintf("header past %d bytes", w.MaxHeader),
			"L’en-tête de ce message est trop long pour être lu. Envoyez vos documents dans un nouveau message.")
	}
	if h.mediaType == "" {
		h.mediaType = "text/plain"
		if at.digest {
			h.mediaType = "message/rfc822"
		}
	}
	switch container := h.isMultipart() || h.isMessage(); {
	case !container:
		return w.leaf(l, h, at)
	case at.level >= w.MaxDepth:
		w.cutAt("too_deep", fmt.Sprintf("parts below depth %d", w.MaxDepth),
			"Ce message en contient trop d’autres, transférés les uns dans les autres. Envoyez vos documents directement.")
		l.skip()
		return nil
	case h.isMultipart():
		return w.multipart(l, h, at)
	}
	inner := place{level: at.level + 1, forwarded: at.forwarded + 1}
	if err := w.message(decoded(h.encoding, l), inner); err != nil {
		return err
	}
	l.skip()
	return nil
}

// multipart walks the parts of a multipart, whether or not it is ever closed.
func (w *walk) multipart(l *lines, h header, at place) error {
	if h.boundary == "" {
		h.boundary = guessBoundary(l)
	}
	level := len(l.fences)
	l.fences = append(l.fences, h.boundary)
	defer func() { l.fences = l.fences[:level] }()
	inner := place{level: at.level + 1, forwarded: at.forwarded, digest: h.mediaType == "multipart/digest"}
	l.skip() // what stands before the first part is for programs without MIME
	for l.at(level) && !l.hit.last {
		l.resume()
		if err := w.entity(l, inner); err != nil {
			return err
		}
		l.skip()
	}
	if l.at(level) {
		l.fences = l.fences[:level]
		l.resume()
		l.skip() // as is what stands after the last
	}
	return nil
}

// guessBoundary finds the boundary of a multipart that does not name it: its first
// line that looks like one, unless that belongs to a multipart around it.
func guessBoundary(l *lines) string {
	for line := range bytes.Lines(l.peek()) {
		if _, around := l.fence(line); around {
			break
		}
		if rest, ok := bytes.CutPrefix(bytes.TrimRight(line, " \t\r\n"), []byte("--")); ok && len(rest) > 0 {
			return string(rest)
		}
	}
	return "\n" // no line is that
}

// leaf delivers a part without parts, or takes it into the note.
func (w *walk) leaf(l *lines, h header, at place) error {
	body := decoded(h.encoding, l)
	if !h.isSent() {
		if at.forwarded == 0 && (h.mediaType == "text/plain" || h.mediaType == "text/html") {
			if err := w.note.add(h, body); err != nil {
				return fmt.Errorf("read message: %w", err)
			}
		}
		l.skip()
		return nil
	}
	var first [1]byte
	if _, err := io.ReadFull(body, first[:]); err != nil { // empty; a reading error shows again at the end of the message
		l.skip()
		return nil
	}
	if w.parts++; w.parts > w.MaxParts {
		w.cutAt("too_many_parts", fmt.Sprintf("parts after the first %d", w.MaxParts),
			fmt.Sprintf("Ce message contient plus de %d pièces jointes. Répartissez-les en plusieurs messages.", w.MaxParts))
		return errEnough
	}
	err := w.each(core.Part{
		Name:      h.name,
		Type:      h.mediaType,
		Inline:    h.disposition == "inline" || h.contentID != "" && h.disposition != "attachment",
		ContentID: h.contentID,
		Depth:     at.forwarded,
		Body:      io.MultiReader(bytes.NewReader(first[:]), body),
	})
	if err != nil {
		return err
	}
	l.skip()
	return nil
}

// cutAt notes that a limit was passed, and what was left out for it.
func (w *walk) cutAt(code, what, reason string) {
	if w.cut == nil {
		w.cut = fmt.Errorf("%s left out: %w", what, &core.Refusal{Code: code, Reason: reason})
	}
}

func (h header) isMultipart() bool { return strings.HasPrefix(h.mediaType, "multipart/") }

// isMessage reports whether the part is a whole message to be opened.
func (h header) isMessage() bool {
	switch h.mediaType {
	case "message/rfc822", "message/global", "message/news":
		return true
	}
	return false
}

// isSent reports whether a person may have meant to send the leaf, as opposed to the
// text of the message and to what a mail system reports (message/delivery-status,
// text/rfc822-headers), unless those too are named or attached.
func (h header) isSent() bool {
	if h.name != "" || h.disposition == "attachment" {
		return true
	}
	kind, _, _ := strings.Cut(h.mediaType, "/")
	return kind != "text" && kind != "message"
}
