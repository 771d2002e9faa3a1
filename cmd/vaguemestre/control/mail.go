package control

import (
	"context"
	"slices"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/bounce"
	"vaguemestre/core/notice"
	"vaguemestre/core/store/postgres"
)

func (s *Server) mailList(ctx context.Context, a Args) ([]any, error) {
	t, err := s.tenant(ctx, a)
	if err != nil {
		return nil, err
	}
	letters, err := s.jobs.Store.Letters(ctx, t, core.CitizenID(a.Citizen))
	out := make([]any, len(letters))
	for i, l := range letters {
		shown := letterLine{LetterRow: l}
		if l.State == core.LetterBounced || l.State == core.LetterDelayed && l.Status != "" {
			shown.Sentence = bounce.Sentence(l.Status)
		}
		out[i] = shown
	}
	return out, err
}

// letterLine is a letter with what its recipient's server says, in words.
type letterLine struct {
	postgres.LetterRow
	Sentence string `json:"sentence,omitempty"`
}

// mailRetry sends a letter now that waits or was given up.
func (s *Server) mailRetry(ctx context.Context, a Args) ([]any, error) {
	return s.moveLetter(ctx, a, s.jobs.Store.RetryLetter)
}

// mailCancel has a letter that waits never sent.
func (s *Server) mailCancel(ctx context.Context, a Args) ([]any, error) {
	return s.moveLetter(ctx, a, s.jobs.Store.CancelLetter)
}

func (s *Server) moveLetter(ctx context.Context, a Args, move func(context.Context, core.TenantID, core.LetterID) error) ([]any, error) {
	t, err := s.tenant(ctx, a)
	if err != nil {
		return nil, err
	}
	if a.Letter == "" {
		return nil, usage("--letter is missing")
	}
	return nil, move(ctx, t, core.LetterID(a.Letter))
}

// previewKinds are the letters the town itself writes.
var previewKinds = []core.LetterKind{core.LetterReceipt, core.LetterResult, core.LetterLink, core.LetterNotice}

// mailPreview shows a letter as it would go out. On a deposit it says what stands in a
// vault, so that in a development home alone it is shown.
func (s *Server) mailPreview(ctx context.Context, a Args) ([]any, error) {
	t, err := s.tenant(ctx, a)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(previewKinds, core.LetterKind(a.Kind)) {
		return nil, usage("--kind: want receipt, result, link or notice")
	}
	if a.Deposit != "" {
		if err := s.asCitizen(a); err != nil {
			return nil, err
		}
	}
	l, err := notice.Preview(ctx, s.jobs.Store, t, core.LetterKind(a.Kind), core.DepositID(a.Deposit), time.Now())
	if err != nil {
		return nil, err
	}
	return []any{map[string]any{"kind": l.Kind, "language": l.Language, "subject": l.Subject, "text": l.Text, "html": l.HTML}}, nil
}

// tenantMentions says whether deposits are acknowledged by letter, and what that lacks.
func (s *Server) tenantMentions(ctx context.Context, a Args) ([]any, error) {
	var towns []core.TenantID
	if a.Tenant != "" {
		t, err := s.tenant(ctx, a)
		if err != nil {
			return nil, err
		}
		towns = append(towns, t)
	}
	all, err := s.jobs.Store.ListTenants(ctx)
	if err != nil {
		return nil, err
	}
	var out []any
	closing := Closing{Closed: true}
	for _, town := range all {
		if len(towns) > 0 && town.ID != towns[0] {
			continue
		}
		settings, _, err := s.jobs.Store.Settings(ctx, town.ID)
		if err != nil {
			return nil, err
		}
		missing := settings.MissingMentions()
		if settings.Sends() {
			for _, key := range missing {
				closing.Closed = false
				closing.Faults = append(closing.Faults, town.Code+": "+key+" is missing: deposits are not acknowledged by letter; vaguemestre tenant set --tenant "+town.Code+" "+key+"=…")
			}
		}
		out = append(out, map[string]any{"id": town.ID, "code": town.Code, "sends": settings.Sends(), "acknowledges": settings.Acknowledges(), "missing": missing})
	}
	return append(out, closing), nil
}

// vaultReceipts lists the registrations of a citizen's deposits.
func (s *Server) vaultReceipts(ctx context.Context, a Args) ([]any, error) {
	if err := s.asCitizen(a); err != nil {
		return nil, err
	}
	who, err := s.owner(ctx, a, "list_receipts")
	if err != nil {
		return nil, err
	}
	receipts, err := s.jobs.Store.Receipts(ctx, who)
	return lines(receipts), err
}
