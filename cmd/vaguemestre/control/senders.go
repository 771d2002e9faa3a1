package control

import (
	"context"

	"vaguemestre/core"
)

func (s *Server) senderAdd(ctx context.Context, a Args) ([]any, error) {
	if err := s.asCitizen(a); err != nil {
		return nil, err
	}
	who, err := s.owner(ctx, a, "add_sender")
	if err != nil {
		return nil, err
	}
	id, token, err := s.jobs.Senders.Add(ctx, who, a.Email)
	if err != nil {
		return nil, err
	}
	if token == "" {
		return []any{map[string]any{"id": id, "sent": true}}, nil
	}
	return []any{map[string]any{"id": id, "token": token, "sent": false}}, nil
}

func (s *Server) senderVerify(ctx context.Context, a Args) ([]any, error) {
	if err := s.asCitizen(a); err != nil {
		return nil, err
	}
	if a.Token == "" {
		return nil, usage("--token is missing")
	}
	who, err := s.owner(ctx, a, "verify_sender")
	if err != nil {
		return nil, err
	}
	if err := s.jobs.Senders.Verify(ctx, who, a.Token); err != nil {
		return nil, err
	}
	return []any{map[string]any{"verified": true}}, nil
}

func (s *Server) senderList(ctx context.Context, a Args) ([]any, error) {
	if err := s.asCitizen(a); err != nil {
		return nil, err
	}
	who, err := s.owner(ctx, a, "show_senders")
	if err != nil {
		return nil, err
	}
	senders, err := s.jobs.Senders.List(ctx, who)
	return lines(senders), err
}

func (s *Server) senderForget(ctx context.Context, a Args) ([]any, error) {
	if err := s.asCitizen(a); err != nil {
		return nil, err
	}
	if a.Sender == "" {
		return nil, usage("--sender is missing")
	}
	who, err := s.owner(ctx, a, "forget_sender")
	if err != nil {
		return nil, err
	}
	return nil, s.jobs.Senders.Forget(ctx, who, core.SenderID(a.Sender))
}

// vaultLink makes the token of a link that confirms a deposit, or deletes a document. It
// goes out by e-mail; a development home shows it.
func (s *Server) vaultLink(ctx context.Context, a Args) ([]any, error) {
	if err := s.asCitizen(a); err != nil {
		return nil, err
	}
	if (a.Deposit == "") == (a.Document == "") {
		return nil, usage("name what the link is for: one of --deposit (to confirm), --document (to delete)")
	}
	who, err := s.owner(ctx, a, "offer_link")
	if err != nil {
		return nil, err
	}
	if a.Document != "" {
		token, err := s.jobs.Reviser.Offer(ctx, who, core.DocumentID(a.Document))
		if err != nil {
			return nil, err
		}
		return []any{map[string]any{"token": token}}, nil
	}
	token, err := s.jobs.Confirmer.Offer(ctx, who, core.DepositID(a.Deposit))
	if err != nil {
		return nil, err
	}
	return []any{map[string]any{"token": token}}, nil
}

// vaultConfirm is the citizen's yes: to a document, or by a link or by its id to all that
// a deposit brought.
func (s *Server) vaultConfirm(ctx context.Context, a Args) ([]any, error) {
	if err := s.asCitizen(a); err != nil {
		return nil, err
	}
	named := 0
	for _, what := range []string{a.Document, a.Deposit, a.Token} {
		if what != "" {
			named++
		}
	}
	if named != 1 {
		return nil, usage("name what to confirm: one of --document, --deposit, --token")
	}
	if a.Document != "" && a.Remember {
		return nil, usage("--remember goes with --deposit or --token")
	}
	who, err := s.owner(ctx, a, "confirm")
	if err != nil {
		return nil, err
	}
	types, err := s.types(ctx, who.Tenant)
	if err != nil {
		return nil, err
	}
	if a.Document != "" {
		id, state, err := s.jobs.Filer.Confirm(ctx, who, core.DocumentID(a.Document), types.Type)
		if err != nil {
			return nil, err
		}
		return []any{map[string]any{"id": id, "state": state}}, nil
	}
	var freed []core.DocumentID
	if a.Token != "" {
		freed, err = s.jobs.Confirmer.Confirm(ctx, who, a.Token, a.Remember, types.Type)
	} else {
		freed, err = s.jobs.Confirmer.ConfirmDeposit(ctx, who, core.DepositID(a.Deposit), a.Remember, types.Type)
	}
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, id := range freed {
		d, err := s.jobs.Store.Document(ctx, who.Tenant, who.Vault, id)
		if err != nil {
			return nil, err
		}
		out = append(out, map[string]any{"id": id, "state": d.State})
	}
	return out, nil
}
