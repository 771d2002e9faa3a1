package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/catalogue"
	"vaguemestre/core/citizen"
	"vaguemestre/core/link"
	"vaguemestre/core/tenant"
	"vaguemestre/core/vault"
)

// Sending is a part with what composing it has to know.
type Sending struct {
	Dispatch
	Part          Part
	Identity      []byte // of the citizen, in a box of the vault
	AgentIdentity []byte // in a box of the tenant; nil for a rule
}

// Outgoing is what composing needs of the database.
type Outgoing interface {
	// DispatchPart reads a part with its dispatch; core.ErrNotFound.
	DispatchPart(ctx context.Context, tenant core.TenantID, vault core.CitizenID, id PartID) (Sending, error)
	Document(ctx context.Context, tenant core.TenantID, vault core.CitizenID, id core.DocumentID) (core.Document, error)
	Settings(ctx context.Context, id core.TenantID) (tenant.Settings, int, error)
	Catalogue(ctx context.Context, id core.TenantID, have int) (content string, version int, err error)
}

// Boxes opens boxes, journaling first.
type Boxes interface {
	Unbox(ctx context.Context, who core.Access, boxes ...[]byte) ([][]byte, error)
}

// Composer composes the mails of dispatches, when they are sent.
type Composer struct {
	store Outgoing
	boxes Boxes
	vault Vault
	links *link.Links
	now   func() time.Time
}

// NewComposer builds the composer.
func NewComposer(store Outgoing, boxes Boxes, vault Vault, links *link.Links, now func() time.Time) *Composer {
	return &Composer{store, boxes, vault, links, now}
}

// errNotNow: nothing may leave in the clear, and what is missing can be mended.
var errNotNow = errors.New("the service's certificate is not in force")

// Compose opens what a part says of its documents, which is journaled, and lays out its
// mail. It goes to the mailbox that the service has now, encrypted when it has a
// certificate. Files are opened when they are read, each opening journaled. A
// *core.Refusal means that the part must not go any more; while the certificate is not in
// force any other error.
func (c *Composer) Compose(ctx context.Context, lease core.LetterLease) (core.Letter, error) {
	s, err := c.store.DispatchPart(ctx, lease.Tenant, lease.Vault, PartID(lease.Object))
	if errors.Is(err, core.ErrNotFound) {
		return core.Letter{}, &core.Refusal{Code: "no_dispatch", Reason: "Cet envoi n’existe plus."}
	}
	if err != nil {
		return core.Letter{}, err
	}
	switch {
	case !s.Ended.IsZero() || s.Part.Sending != s.Sending:
		return core.Letter{}, &core.Refusal{Code: "cancelled", Reason: "Cet envoi a été annulé."}
	case s.Service.Removed:
		return core.Letter{}, &core.Refusal{Code: "service_removed", Reason: "Ce service n’est plus déclaré : il ne reçoit plus de documents."}
	case s.Service.CertificateFault(c.now()) != nil:
		return core.Letter{}, errNotNow
	}
	p := &page{Sending: s}
	if p.settings, _, err = c.store.Settings(ctx, s.Tenant); err != nil {
		return core.Letter{}, err
	}
	if p.types, err = types(ctx, c.store, s.Tenant); err != nil {
		return core.Letter{}, err
	}
	if err := c.gather(ctx, p); err != nil {
		return core.Letter{}, err
	}
	if err := c.open(ctx, p); err != nil {
		return core.Letter{}, err
	}
	if err := c.address(ctx, p); err != nil {
		return core.Letter{}, err
	}
	return c.letter(lease, p)
}

// page is a part while it is composed.
type page struct {
	Sending
	settings tenant.Settings
	types    *catalogue.Catalogue
	citizen  citizen.Identity
	agent    string // name; "" when a rule sent it
	purpose  string
	sheets   []*sheet
	others   []other // in other parts
	total    int     // documents of the whole sending
}

// sheet is one document of the part.
type sheet struct {
	Item
	doc     core.Document
	typ     catalogue.Type
	meta    core.DocumentMeta
	files   []string  // names
	token   string    // of its link
	expires time.Time // the link
}

// other is a document of another part.
type other struct {
	n, part int
	label   string
}

// gather reads the documents, and refuses the part for one that may not go any more.
func (c *Composer) gather(ctx context.Context, p *page) error {
	today := core.DateOf(c.now().In(p.settings.Location()))
	for _, part := range p.Latest() {
		for _, item := range part.Items {
			p.total++
			doc, err := c.store.Document(ctx, p.Tenant, p.Vault, item.Document)
			gone := errors.Is(err, core.ErrNotFound)
			if err != nil && !gone {
				return err
			}
			typ, known := p.types.Type(doc.Type)
			if part.ID != p.Part.ID {
				p.others = append(p.others, other{item.N, part.N, c.label(p, typ)})
				continue
			}
			if gone {
				return errUnknown
			}
			if r := Fit(doc, today); r != nil {
				return r
			}
			if known && !typ.MayGo() {
				return forbidden(typ)
			}
			// What has become forbidden since it was planned goes as a link. The other way round
			// there may be no room for the file.
			item.Link = item.Link || p.Service.LinksOnly || !known || !typ.MayAttach(p.Service.Encrypts())
			p.sheets = append(p.sheets, &sheet{Item: item, doc: doc, typ: typ})
		}
	}
	p.fit()
	return nil
}

// fit lets the last documents go as links while the part is too large: one may have been
// replaced by a larger version, or the service takes less than it did.
func (p *page) fit() {
	size := bare(p.Service)
	for _, s := range p.sheets {
		size += s.weight(p.Service)
	}
	for i := len(p.sheets) - 1; i >= 0 && size > p.Service.MaxBytes; i-- {
		s := p.sheets[i]
		size -= s.weight(p.Service)
		s.Link = true
		size += s.weight(p.Service)
	}
}

func (s *sheet) weight(to Service) int64 {
	var files []int64
	for _, p := range s.doc.Parts {
		files = append(files, p.Sealed.Size)
	}
	return weight(files, to.Encrypts(), s.Link)
}

// label of a type; a sensitive one is named in an encrypted message alone (SEC-24).
func (c *Composer) label(p *page, t catalogue.Type) string {
	w := words(p.Service.Language)
	switch {
	case t.Sensitive && !p.Service.Encrypts():
		return w.sensitive
	case t.Label == "":
		return w.document
	}
	return cut(line(t.Label, w.document), maxValue)
}

// who journals what the mailer does for a dispatch.
func (p *page) who(act, object string) core.Access {
	return core.Access{Tenant: p.Tenant, Vault: p.Vault, Actor: "mailer", Act: act, Purpose: p.journaled(), Object: object}
}

// open opens the boxes of the part under one entry.
func (c *Composer) open(ctx context.Context, p *page) error {
	boxes, into := [][]byte{p.Identity}, []any{&p.citizen}
	var agent struct{ Name string }
	var said Disclosed
	if p.AgentIdentity != nil {
		boxes, into = append(boxes, p.AgentIdentity, p.Sealed), append(into, &agent, &said)
	}
	for _, s := range p.sheets {
		boxes, into = append(boxes, s.doc.Meta), append(into, &s.meta)
	}
	opened, err := c.boxes.Unbox(ctx, p.who("compose_dispatch", string(p.Part.ID)), boxes...)
	if err != nil {
		return fmt.Errorf("open part %s: %w", p.Part.ID, err)
	}
	for i, plain := range opened {
		if err := json.Unmarshal(plain, into[i]); err != nil {
			return fmt.Errorf("open part %s: %w", p.Part.ID, err)
		}
	}
	for _, s := range p.sheets {
		if s.meta.Document != s.doc.ID { // rows were exchanged
			return fmt.Errorf("metadata of document %s: %w", s.doc.ID, vault.ErrSealBroken)
		}
	}
	p.agent, p.purpose = agent.Name, p.Purpose
	if p.AgentIdentity != nil {
		p.purpose = said.Purpose
	}
	return nil
}

// address gives each document its names or its link.
func (c *Composer) address(ctx context.Context, p *page) (err error) {
	tpl, err := ParseTemplate(p.Service.Template)
	if err != nil {
		return fmt.Errorf("service %s: %w", p.Service.ID, err)
	}
	var names, exts []string
	for _, s := range p.sheets {
		if s.Link {
			s.token, s.expires, err = c.links.IssueOnce(ctx, p.Tenant, p.Vault, link.OpenDocument, string(s.ID))
			if err != nil {
				return err
			}
			continue
		}
		for i := range s.doc.Parts {
			names = append(names, tpl.Name(Naming{
				Dispatch: p.ID.Short(), N: s.N, Of: p.total, Type: c.label(p, s.typ), Code: code(p, s.typ), Holder: s.meta.Holder,
				Issued: s.meta.Issued.String(), ValidUntil: s.doc.ValidUntil.String(), Service: p.Service.Name,
				File: i + 1, Sum: len(s.doc.Parts), Ext: s.meta.Kind.Ext(),
			}, p.Service.ASCII))
			exts = append(exts, s.meta.Kind.Ext())
		}
	}
	names = unique(names, exts, p.Service.ASCII)
	for _, s := range p.sheets {
		if !s.Link {
			n := len(s.doc.Parts)
			s.files, names = names[:n], names[n:]
		}
	}
	return nil
}

func code(p *page, t catalogue.Type) string {
	if t.Sensitive && !p.Service.Encrypts() {
		return "document"
	}
	return t.Code
}
