package control

import (
	"context"

	"vaguemestre/core"
)

// revising is whose document the arguments name, as its citizen.
func (s *Server) revising(ctx context.Context, a Args, act string) (core.Access, error) {
	if err := s.asCitizen(a); err != nil {
		return core.Access{}, err
	}
	return s.owner(ctx, a, act)
}

func (s *Server) vaultVersions(ctx context.Context, a Args) ([]any, error) {
	who, err := s.revising(ctx, a, "list_versions")
	if err != nil {
		return nil, err
	}
	versions, err := s.jobs.Reviser.Versions(ctx, who, core.DocumentID(a.Document))
	return lines(versions), err
}

// vaultRestore puts a former version back in force, or undoes a deletion.
func (s *Server) vaultRestore(ctx context.Context, a Args) ([]any, error) {
	who, err := s.revising(ctx, a, "restore")
	if err != nil {
		return nil, err
	}
	id := core.DocumentID(a.Document)
	if a.Version > 0 {
		err = s.jobs.Reviser.Restore(ctx, who, id, a.Version)
	} else {
		err = s.jobs.Reviser.Undelete(ctx, who, id)
	}
	if err != nil {
		return nil, err
	}
	d, err := s.jobs.Store.Document(ctx, who.Tenant, who.Vault, id)
	if err != nil {
		return nil, err
	}
	return []any{map[string]any{"id": id, "version": d.Version, "state": d.State, "standing": d.Standing}}, nil
}

// vaultDelete deletes the document that is named, or that a link's token is for.
func (s *Server) vaultDelete(ctx context.Context, a Args) ([]any, error) {
	if (a.Document == "") == (a.Token == "") {
		return nil, usage("name what to delete: one of --document, --token")
	}
	who, err := s.revising(ctx, a, "delete")
	if err != nil {
		return nil, err
	}
	id := core.DocumentID(a.Document)
	if a.Token != "" {
		id, err = s.jobs.Reviser.DeleteByLink(ctx, who, a.Token)
	} else {
		err = s.jobs.Reviser.Delete(ctx, who, id)
	}
	if err != nil {
		return nil, err
	}
	return []any{map[string]any{"id": id, "standing": core.StandingDeleted}}, nil
}

// mailReports lists what came to the return paths of the town's letters.
func (s *Server) mailReports(ctx context.Context, a Args) ([]any, error) {
	t, err := s.tenant(ctx, a)
	if err != nil {
		return nil, err
	}
	reports, err := s.jobs.Store.Reports(ctx, t)
	return lines(reports), err
}
