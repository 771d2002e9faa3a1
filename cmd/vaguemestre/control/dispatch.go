package control

import (
	"context"
	"io"
	"net/http"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/dispatch"
)

// Dispatch is a dispatch as `dispatch list` and `show` show it. Nothing of it was opened.
type Dispatch struct {
	ID      dispatch.ID    `json:"id"`
	State   dispatch.State `json:"state"`
	Service string         `json:"service"`
	Mailbox string         `json:"mailbox"`
	Citizen core.CitizenID `json:"citizen"`
	Agent   core.AgentID   `json:"agent,omitempty"`
	Rule    bool           `json:"rule"` // nobody selected: a rule did
	Created time.Time      `json:"created"`
	Ended   *time.Time     `json:"cancelled,omitempty"`
	Sending int            `json:"sending"` // how often it was sent
	Parts   []Part         `json:"parts"`
	Earlier []Part         `json:"earlier,omitempty"` // of earlier sendings
}

// Part is one mail of a dispatch.
type Part struct {
	N         int              `json:"n"`
	Sending   int              `json:"sending"`
	Letter    core.LetterID    `json:"letter"`
	State     core.LetterState `json:"state"`
	Code      string           `json:"code,omitempty"`
	Status    string           `json:"status,omitempty"`
	Sentence  string           `json:"sentence"`
	Settled   *time.Time       `json:"settled,omitempty"`
	Documents []Dispatched     `json:"documents"`
}

// Dispatched is one document of a part.
type Dispatched struct {
	N    int             `json:"n"`
	ID   core.DocumentID `json:"id"`
	Link bool            `json:"link"`
}

func showDispatch(d dispatch.Dispatch) Dispatch {
	out := Dispatch{ID: d.ID, State: d.State(), Service: d.Service.Code, Mailbox: d.Service.Mailbox, Citizen: d.Vault, Agent: d.Agent, Rule: d.Agent == "",
		Created: d.Created, Ended: orNull(d.Ended), Sending: d.Sending, Parts: []Part{}}
	for _, p := range d.Parts {
		part := Part{N: p.N, Sending: p.Sending, Letter: p.Letter, State: p.State, Code: p.Code, Status: p.Status, Sentence: d.Sentence(p, time.Now()), Settled: orNull(p.Settled)}
		for _, i := range p.Items {
			part.Documents = append(part.Documents, Dispatched{i.N, i.Document, i.Link})
		}
		if p.Sending == d.Sending {
			out.Parts = append(out.Parts, part)
		} else {
			out.Earlier = append(out.Earlier, part)
		}
	}
	return out
}

// asAgent: only in a development home may the operator act as an agent, whom nothing here
// asks to sign in.
func (s *Server) asAgent() error {
	if s.jobs.Development {
		return nil
	}
	return &Fault{"grant_needed", "outside a development home an agent signs in; what rules send needs nobody"}
}

func (s *Server) dispatchSend(ctx context.Context, a Args) ([]any, error) {
	if err := s.asAgent(); err != nil {
		return nil, err
	}
	t, err := s.tenant(ctx, a)
	if err != nil {
		return nil, err
	}
	sel := dispatch.Selection{Tenant: t, Agent: core.AgentID(a.Agent), Vault: core.CitizenID(a.Citizen), Service: a.Service, Purpose: a.Purpose}
	for _, id := range a.Documents {
		sel.Documents = append(sel.Documents, core.DocumentID(id))
	}
	d, err := s.jobs.Dispatch.Send(ctx, sel)
	if err != nil {
		return nil, err
	}
	return []any{showDispatch(d)}, nil
}

func (s *Server) dispatchList(ctx context.Context, a Args) ([]any, error) {
	t, err := s.tenant(ctx, a)
	if err != nil {
		return nil, err
	}
	all, err := s.jobs.Dispatch.List(ctx, t, core.CitizenID(a.Citizen))
	out := []any{}
	for _, d := range all {
		out = append(out, showDispatch(d))
	}
	return out, err
}

// aDispatch runs one of the desk's acts on the dispatch that the arguments name.
func (s *Server) aDispatch(act func(context.Context, core.Access, dispatch.ID) (dispatch.Dispatch, error)) command {
	return func(ctx context.Context, a Args) ([]any, error) {
		t, err := s.tenant(ctx, a)
		if err != nil {
			return nil, err
		}
		d, err := act(ctx, core.Access{Tenant: t, Actor: "maintenance", Purpose: "command_line"}, dispatch.ID(a.Dispatch))
		if err != nil {
			return nil, err
		}
		return []any{showDispatch(d)}, nil
	}
}

func (s *Server) dispatchShow(ctx context.Context, who core.Access, id dispatch.ID) (dispatch.Dispatch, error) {
	return s.jobs.Dispatch.Show(ctx, who.Tenant, id)
}

// dispatchOpen streams the document of a link that was sent to a service.
func (s *Server) dispatchOpen(w http.ResponseWriter, r *http.Request) {
	args, err := readArgs(r)
	if err == nil {
		err = s.asAgent()
	}
	var t core.TenantID
	if err == nil {
		t, err = s.tenant(r.Context(), args)
	}
	if err != nil {
		s.fail(w, "dispatch/open", err)
		return
	}
	item, body, err := s.jobs.Dispatch.Open(r.Context(), t, core.AgentID(args.Agent), args.Token, max(args.File, 1)-1)
	if err != nil {
		s.fail(w, "dispatch/open", err)
		return
	}
	s.stream(w, item.ID, body)
}

// stream writes an original. One that proves broken half-way aborts the connection: the
// client never takes a part for the whole (REL-13).
func (s *Server) stream(w http.ResponseWriter, id core.DocumentID, body io.ReadCloser) {
	defer body.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	if _, err := io.Copy(w, body); err != nil {
		s.log.Error("document broke off while being read", "document", id, "cause", core.Cause(err))
		panic(http.ErrAbortHandler)
	}
}
