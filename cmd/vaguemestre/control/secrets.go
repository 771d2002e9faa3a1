package control

import (
	"context"

	"vaguemestre/core/tenant"
)

func (s *Server) secretSet(ctx context.Context, a Args) ([]any, error) {
	t, err := s.tenant(ctx, a)
	if err != nil {
		return nil, err
	}
	return nil, s.jobs.Secrets.Set(ctx, t, tenant.Secret(a.Name), a.Secret)
}

func (s *Server) secretList(ctx context.Context, a Args) ([]any, error) {
	t, err := s.tenant(ctx, a)
	if err != nil {
		return nil, err
	}
	secrets, err := s.jobs.Secrets.List(ctx, t)
	return lines(secrets), err
}

func (s *Server) secretForget(ctx context.Context, a Args) ([]any, error) {
	t, err := s.tenant(ctx, a)
	if err != nil {
		return nil, err
	}
	return nil, s.jobs.Secrets.Forget(ctx, t, tenant.Secret(a.Name))
}
