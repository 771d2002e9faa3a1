// Package mail owns the reading of e-mail (RFC 5322 and MIME): walking a message into
// its parts, however badly it was put together, and into the containers among them. It
// knows no network; the channels that take mail in, and the opening of deposits, share
// it.
package mail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"vaguemestre/core"
)

// Splitter walks a message into its parts, in bounded memory. Its zero value is ready
// and has the default limits.
type Splitter struct {
	MaxParts  int // delivered; 1000 when zero
	MaxDepth  int // multiparts, messages and containers one in another; 20 when zero
	MaxHeader int // bytes in the header of the message or of one part; 256 KiB when zero
	MaxHeld   int // bytes of containers held in memory at a time; 64 MiB when zero
}

// Split reads a message to its end and hands each leaf that a person may have meant to
// send to each, in order, as a stream: whatever has a file name, is an attachment, or
// is neither text nor a report; at any depth, also in forwarded messages, which are
// opened and are no parts themselves. A leaf that decodes to nothing is left out.
//
// A container that is a part (winmail.dat, a saved message, an opaque signature) is
// followed by what it holds, with Via set, and is then set aside itself; so are, in
// place, the files in the text of a message: uuencoded, or pictures written into HTML.
// What nobody meant to send is delivered with Aside, what can never be read with
// Refusal. See docs/mail.md for both.
//
// It returns the cover, whose note is at most 256 KiB. The note and what a part says
// about itself are UTF-8 without NUL, whatever was sent. All bodies together are not
// larger than the message, for each container around a part once more, but for what
// uuencode.Open allows.
//
// An error of each ends the walk and is returned as it is; so is an error of r or of
// ctx, wrapped. A *core.Refusal, wrapped with what was cut, says that a limit was
// passed: "too_many_parts", "too_deep" or "header_too_large". The parts within the
// limits were delivered before it is returned, so a caller may also make do with them.
// No message is too malformed to walk; at worst it has no parts.
func (s Splitter) Split(ctx context.Context, r io.Reader, each func(core.Part) error) (core.Cover, error) {
	w := walk{Splitter: s.withDefaults(), ctx: ctx, each: each, pictures: newPictures()}
	err := w.message(r, place{})
	if errors.Is(err, errEnough) {
		err = nil
	}
	if err == nil {
		err = w.cut
	}
	return core.Cover{Note: w.note.text(), Doubts: w.doubts.codes, Signed: w.signed}, err
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
	if s.MaxHeld == 0 {
		s.MaxHeld = 64 << 20
	}
	return s
}

// entitiesPerPart is how many headers are read for each part that may be delivered.
const entitiesPerPart = 10

// errEnough ends a walk that has delivered all it may.
var errEnough = errors.New("enough parts")

// walk is one Split under way.
type walk struct {
	Splitter
	ctx      context.Context
	each     func(core.Part) error
	note     note
	pictures *pictures
	doubts   doubts
	signed   string
	parts    int   // delivered
	entities int   // met, what is text or holds others included
	held     int   // bytes of the containers that are open
	cut      error // the first limit that was passed
}

// place is where in the message the walk stands.
type place struct {
	level     int    // multiparts, messages and containers around
	forwarded int    // messages around
	via       string // kind of the innermost container around
	within    string // type of the multipart around
}

// in is the place inside a multipart or container that stands at p.
func (p place) in() place {
	return place{level: p.level + 1, forwarded: p.forwarded, via: p.via}
}

// message walks the message that r holds.
func (w *walk) message(r io.Reader, at place) error {
	l := newLines(w.ctx, r)
	l.begin()
	if err := w.entity(l, at); err != nil {
		return err
	}
	return w.end(l)
}

// end reads what remains of a message, and tells whether it could be read.
func (w *walk) end(l *lines) error {
	l.skip()
	w.doubts.add(l.doubts.codes...)
	if err := l.failed(); err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	return nil
}

// entity walks the message or part whose header comes next in l.
func (w *walk) entity(l *lines, at place) error {
	if w.entities++; w.entities > entitiesPerPart*w.MaxParts {
		return w.tooMany()
	}
	h := readHeader(l, w.MaxHeader)
	w.doubts.add(h.doubts.codes...)
	if h.long {
		w.cutAt("header_too_large", fmt.Sprintf("header past %d bytes", w.MaxHeader),
			"L’en-tête de ce message est trop long pour être lu. Envoyez vos documents dans un nouveau message.")
	}
	if h.mediaType == "" {
		h.mediaType = "text/plain"
		if at.within == "multipart/digest" {
			h.mediaType = "message/rfc822"
		}
	}
	switch container := h.isMultipart() || h.isMessage(); {
	case !container:
		return w.leaf(l, h, at)
	case w.tooDeep(at):
		l.skip()
		return nil
	case h.isMultipart():
		return w.multipart(l, h, at)
	}
	inner := at.in()
	inner.forwarded++
	if err := w.message(w.unwrapped(l, h), inner); err != nil {
		return err
	}
	l.skip()
	return nil
}

// unwrapped undoes the transfer encoding of a whole message, which should have none
// (RFC 2045 §6.4); some programs name one and leave the message as it is.
func (w *walk) unwrapped(l *lines, h header) io.Reader {
	if isMailField(bytes.TrimLeft(l.peek(), "\r\n")) && strings.Contains(h.encoding, "base64") {
		return l
	}
	return decoded(h.encoding, l, &w.doubts)
}

// tooDeep reports, and notes, that no more is opened at this depth.
func (w *walk) tooDeep(at place) bool {
	if at.level < w.MaxDepth {
		return false
	}
	w.cutDeep()
	return true
}

func (w *walk) cutDeep() {
	w.doubts.add(doubtTooDeep)
	w.cutAt("too_deep", fmt.Sprintf("parts below depth %d", w.MaxDepth),
		"Ce message en contient trop d’autres, transférés les uns dans les autres. Envoyez vos documents directement.")
}

// multipart walks the parts of a multipart, whether or not it is ever closed.
func (w *walk) multipart(l *lines, h header, at place) error {
	if at.forwarded == 0 {
		w.sign(h)
	}
	if decodes(h.encoding) && !l.fenced(h.boundary) {
		return w.encodedMultipart(l, h, at)
	}
	return w.fencedParts(l, h, at)
}

// encodedMultipart walks a multipart that is encoded as a whole, which it should not be.
func (w *walk) encodedMultipart(l *lines, h header, at place) error {
	w.doubts.add(doubtEncodedParts)
	inside := newLines(w.ctx, decoded(h.encoding, l, &w.doubts))
	if err := w.fencedParts(inside, h, at); err != nil {
		return err
	}
	if err := w.end(inside); err != nil {
		return err
	}
	l.skip()
	return nil
}

// fencedParts walks what stands between the boundary lines of a multipart.
func (w *walk) fencedParts(l *lines, h header, at place) error {
	if guess := guessBoundary(l, h.boundary); guess != h.boundary {
		h.boundary = guess
		if guess != noBoundary {
			w.doubts.add(doubtBoundaryMissing)
		}
	}
	level := len(l.fences)
	if h.boundary != noBoundary && slices.Contains(l.fences, h.boundary) {
		w.doubts.add(doubtBoundaryReused)
	}
	l.fences = append(l.fences, h.boundary)
	defer func() { l.fences = l.fences[:level] }()
	inner := at.in()
	inner.within = h.mediaType
	preamble := l.skip() // what stands before the first part is for programs without MIME
	begun, closed := l.at(level), false
	for l.at(level) {
		last := l.hit.last
		l.resume()
		if last {
			closed = true
			l.skip() // as is what stands after the last
			continue
		}
		if closed {
			w.doubts.add(doubtPartAfterEnd)
		}
		if err := w.entity(l, inner); err != nil {
			return err
		}
		l.skip()
	}
	if !closed && (begun || preamble && h.boundary != noBoundary) { // else there is nothing that could be read in two ways
		w.doubts.add(doubtUnterminated)
	}
	return nil
}

// guessBoundary finds the boundary of a multipart that names none, or another than it
// has: that of its first line that looks like one and, if one was named, has a header
// after it; unless that belongs to a multipart around it.
func guessBoundary(l *lines, named string) string {
	if named != "" && l.fenced(named) {
		return named
	}
	for b := l.peek(); len(b) > 0; {
		var line []byte
		line, b, _ = bytes.Cut(b, []byte("\n"))
		if _, around := l.fence(line); around {
			break
		}
		rest, ok := bytes.CutPrefix(bytes.TrimRight(line, " \t\r"), []byte("--"))
		if ok && len(rest) > 0 && (named == "" || len(b) > 8 && bytes.EqualFold(b[:8], []byte("content-"))) {
			return string(rest)
		}
	}
	if named == "" {
		return noBoundary
	}
	return named
}

// noBoundary is a boundary that no line is.
const noBoundary = "\n"

// cutAt notes that a limit was passed, and what was left out for it.
func (w *walk) cutAt(code, what, reason string) {
	if w.cut == nil {
		w.cut = fmt.Errorf("%s left out: %w", what, &core.Refusal{Code: code, Reason: reason})
	}
}

// hand delivers a part, if it is within the limit.
func (w *walk) hand(f file) error {
	if w.parts++; w.parts > w.MaxParts {
		return w.tooMany()
	}
	return w.each(f.Part)
}

// tooMany ends the walk.
func (w *walk) tooMany() error {
	w.cutAt("too_many_parts", fmt.Sprintf("parts after the first %d", w.MaxParts),
		fmt.Sprintf("Ce message contient plus de %d pièces jointes. Répartissez-les en plusieurs messages.", w.MaxParts))
	return errEnough
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
	return kind != "text" && kind != "message" || h.mediaType == "message/partial" || h.mediaType == "message/external-body"
}
