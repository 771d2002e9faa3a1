package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io"

	"vaguemestre/core"
)

// letter is what the mailer is handed.
func (c *Composer) letter(lease core.LetterLease, p *page) (core.Letter, error) {
	text, html, err := p.render(c.label)
	if err != nil {
		return core.Letter{}, fmt.Errorf("part %s: %w", p.Part.ID, err)
	}
	out := core.Letter{ID: lease.ID, Tenant: p.Tenant, Kind: core.LetterDispatch, To: p.Service.Mailbox, ToName: p.Service.Name, Subject: p.subject(),
		Text: text, HTML: html, Language: p.Service.Language, Certificate: p.Service.Certificate, Date: p.Part.Created}
	for _, s := range p.sheets {
		for i, name := range s.files {
			out.Files = append(out.Files, core.LetterFile{Name: name, Type: s.meta.Kind.MIME(), Size: s.doc.Parts[i].Sealed.Size,
				Open: func(ctx context.Context) (io.ReadCloser, error) { return c.file(ctx, p, s, i) }})
		}
	}
	return out, nil
}

// errReplaced: the summary speaks of a version that is no longer in force.
var errReplaced = errors.New("the document was replaced while its mail was made")

// file opens a file of the version that the summary speaks of.
func (c *Composer) file(ctx context.Context, p *page, s *sheet, i int) (io.ReadCloser, error) {
	item, body, err := c.vault.Read(ctx, p.who("read", string(s.doc.ID)), s.doc.ID, i)
	if err == nil && item.Opened.SHA256 != s.meta.SHA256 {
		body.Close()
		err = errReplaced
	}
	if err != nil {
		return nil, err
	}
	return body, nil
}
