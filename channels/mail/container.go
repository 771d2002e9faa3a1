package mail

import (
	"bytes"
	"errors"
	"io"
	"path"
	"slices"
	"strings"

	"vaguemestre/channels/mail/cms"
	"vaguemestre/channels/mail/outlook"
	"vaguemestre/channels/mail/tnef"
	"vaguemestre/core"
)

// container is a kind of file that holds others.
type container struct {
	// sure says that the file can be no other kind of file.
	sure bool
	// open looks into data: it says what becomes of the file itself, and returns what
	// hands on the files in it; nil when there are none.
	open func(w *walk, f *file, data []byte, at place) func() error
}

// containerOf says what kind of container a file is, by its content; by what it is
// called only where the content says little. Nil when it is none.
func containerOf(f file, head []byte) *container {
	called := strings.ToLower(path.Ext(f.Name))
	switch {
	case tnef.Begins(head):
		return &container{sure: true, open: (*walk).openTNEF}
	case outlook.Begins(head):
		return &container{sure: called == ".msg" || f.Type == "application/vnd.ms-outlook", open: (*walk).openMSG}
	case head[0] == 0x30 && (isCMS(f.Type) || called == ".p7m"):
		return &container{sure: true, open: (*walk).openCMS}
	case called == ".eml" && isMailField(bytes.TrimLeft(head, "\ufeff\r\n")):
		return &container{open: (*walk).openEML}
	}
	return nil
}

func isCMS(mediaType string) bool {
	return mediaType == "application/pkcs7-mime" || mediaType == "application/x-pkcs7-mime"
}

// open hands on a container and then what it holds. One that is too large to be held,
// or too deep, is handed on as it is.
func (w *walk) open(c container, f file, at place) error {
	if w.tooDeep(at) {
		return w.hand(f)
	}
	data, whole := w.hold(f.Body)
	w.held += len(data)
	defer func() { w.held -= len(data) }()
	if !whole {
		f.Body = io.MultiReader(bytes.NewReader(data), f.Body)
		if c.sure {
			f.Refusal = &core.Refusal{
				Code:   "container_too_large",
				Reason: "Ce fichier en contient d’autres, et il est trop gros pour être ouvert. Envoyez séparément les documents qu’il contient.",
			}
		}
		return w.hand(f)
	}
	f.Body = bytes.NewReader(data)
	inside := c.open(w, &f, data, at)
	if err := w.hand(f); err != nil || inside == nil {
		return err
	}
	return inside()
}

// hold reads a container into memory, as far as there is room; whole says whether that
// was all of it. A reading error shows again at the end of the message.
func (w *walk) hold(r io.Reader) (data []byte, whole bool) {
	room := int64(w.MaxHeld - w.held)
	data, _ = io.ReadAll(io.LimitReader(r, room+1))
	return data, int64(len(data)) <= room
}

// isBroken is the answer to a container that cannot be read to its end.
func isBroken() *core.Refusal {
	return &core.Refusal{
		Code:   "container_broken",
		Reason: "Ce fichier en contient d’autres, et il est abîmé : une partie ne peut pas être lue. Envoyez séparément les documents qu’il contenait.",
	}
}

func (w *walk) openTNEF(f *file, data []byte, at place) func() error {
	inner := at.in()
	inner.via = core.ViaTNEF
	files, err := w.look(data, inner, tnef.Open)
	switch {
	case errors.Is(err, tnef.ErrBroken):
		f.Refusal = isBroken()
	case errors.Is(err, tnef.ErrDeep):
		w.cutDeep()
		fallthrough
	default:
		f.Aside = core.AsideContainer // also when it holds nothing but the look of the text
	}
	return files
}

func (w *walk) openMSG(f *file, data []byte, at place) func() error {
	inner := at.in()
	inner.via = core.ViaMSG
	inner.forwarded++
	files, err := w.look(data, inner, outlook.Open)
	if errors.Is(err, outlook.ErrDeep) {
		w.cutDeep()
	}
	switch {
	case files != nil && errors.Is(err, outlook.ErrBroken):
		f.Refusal = isBroken()
	case files != nil:
		f.Aside = core.AsideContainer
	}
	return files
}

// look opens a container to see whether it holds anything, and returns what hands that
// on then.
func (w *walk) look(data []byte, inner place, open func([]byte, int, func(core.Part) error) error) (files func() error, err error) {
	held := 0
	depth := w.MaxDepth - inner.level
	err = open(data, depth, func(core.Part) error { held++; return nil })
	if held == 0 {
		return nil, err
	}
	return func() error {
		var stopped error
		_ = open(data, depth, func(p core.Part) error { // what is wrong was seen above
			p.Via = inner.via
			in := inner
			in.forwarded += p.Depth
			p.Depth = in.forwarded
			stopped = w.deliver(file{Part: p, attached: !p.Inline}, in)
			return stopped
		})
		return stopped
	}, err
}

// openEML opens a message that was sent as a file. One that holds text alone is left as
// it is: the text may be what was meant.
func (w *walk) openEML(f *file, data []byte, at place) func() error {
	l := newLines(w.ctx, bytes.NewReader(data))
	l.begin()
	h := readHeader(l, w.MaxHeader)
	if h.mediaType == "" || !h.isMultipart() && !h.isMessage() && !h.isSent() {
		return nil
	}
	f.Aside = core.AsideContainer
	inner := at.in()
	inner.via = core.ViaEML
	inner.forwarded++
	return func() error { return w.message(bytes.NewReader(data), inner) }
}

// openCMS opens a signature that its content is packed into.
func (w *walk) openCMS(f *file, data []byte, at place) func() error {
	kind, content, err := cms.Open(data)
	switch {
	case kind == cms.Encrypted:
		f.Refusal = isEncrypted()
		return nil
	case kind != cms.Signed:
		return nil
	}
	switch {
	case err != nil:
		f.Refusal = isBroken()
		return nil
	case len(content) == 0:
		f.Aside = core.AsideSignature
		return nil
	}
	f.Aside = core.AsideContainer
	inner := at.in()
	inner.via = core.ViaSMIME
	if isMailField(bytes.TrimLeft(content, "\r\n")) {
		if at.forwarded == 0 {
			w.signed = signedSMIME
		}
		return func() error { return w.message(bytes.NewReader(content), inner) }
	}
	part := core.Part{Name: strings.TrimSuffix(f.Name, path.Ext(f.Name)), Depth: at.forwarded, Via: core.ViaSMIME, Body: bytes.NewReader(content)}
	return func() error { return w.deliver(file{Part: part, attached: true}, inner) }
}

// Kinds of signature, in core.Cover.Signed.
const (
	signedSMIME = "smime"
	signedPGP   = "pgp"
)

// sign notes what a multipart says of a signature.
func (w *walk) sign(h header) {
	if h.mediaType != "multipart/signed" {
		return
	}
	switch {
	case strings.Contains(h.protocol, "pkcs7"):
		w.signed = signedSMIME
	case strings.Contains(h.protocol, "pgp"):
		w.signed = signedPGP
	}
}

func isEncrypted() *core.Refusal {
	return &core.Refusal{
		Code:   "encrypted_message",
		Reason: "Ce message est chiffré et ne peut pas être lu ici. Renvoyez vos documents sans chiffrement, ou déposez-les sur le site.",
	}
}

// unreadable says why a file can never be read, if its message alone says so.
func unreadable(f file, head []byte) *core.Refusal {
	called := strings.ToLower(path.Ext(f.Name))
	switch {
	case f.Type == "message/partial":
		return &core.Refusal{
			Code:   "partial_message",
			Reason: "Ce message est arrivé découpé en plusieurs, et ceci n’en est qu’un morceau. Renvoyez vos documents, un par message s’ils sont gros.",
		}
	case f.Type == "message/external-body":
		return &core.Refusal{
			Code:   "external_body",
			Reason: "Ce document n’est pas dans le message, qui dit seulement où le trouver. Joignez le document lui-même.",
		}
	case f.Type == "application/pgp-encrypted" && f.within != "multipart/encrypted",
		f.Type != "application/pgp-encrypted" && f.within == "multipart/encrypted",
		bytes.HasPrefix(head, []byte("-----BEGIN PGP MESSAGE-----")),
		slices.Contains([]string{".pgp", ".gpg"}, called):
		return isEncrypted()
	}
	return nil
}
