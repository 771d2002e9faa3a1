package control

import (
	"context"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/attribution"
)

func (s *Server) depositsList(ctx context.Context, a Args) ([]any, error) {
	t, err := s.tenant(ctx, a)
	if err != nil {
		return nil, err
	}
	deposits, err := s.jobs.Store.Deposits(ctx, t)
	return lines(deposits), err
}

// Arrival is a deposit as `deposits show` shows it.
type Arrival struct {
	ID         core.DepositID          `json:"id"`
	Channel    string                  `json:"channel"`
	State      core.DepositState       `json:"state"`
	Reason     string                  `json:"reason,omitempty"`
	Citizen    core.CitizenID          `json:"citizen,omitempty"`
	Trust      int                     `json:"trust"`
	TrustWhy   string                  `json:"trust_reason"`
	Received   time.Time               `json:"received"`
	Until      *time.Time              `json:"held_until,omitempty"`
	MailFrom   string                  `json:"mail_from,omitempty"` // what the envelope said
	Remote     string                  `json:"remote,omitempty"`
	TLS        bool                    `json:"tls"`
	From       string                  `json:"from,omitempty"` // what the message says
	Name       string                  `json:"name,omitempty"`
	Proven     bool                    `json:"proven"`
	Origin     string                  `json:"origin,omitempty"` // why it is proven or not
	DKIM       core.Result             `json:"dkim,omitempty"`
	SPF        core.Result             `json:"spf,omitempty"`
	DMARC      core.Result             `json:"dmarc,omitempty"`
	Candidates []attribution.Candidate `json:"candidates"`
}

func (s *Server) depositsShow(ctx context.Context, a Args) ([]any, error) {
	who, err := s.desk(ctx, a)
	if err != nil {
		return nil, err
	}
	d, err := s.jobs.Desk.Show(ctx, who, core.DepositID(a.Deposit))
	if err != nil {
		return nil, err
	}
	out := Arrival{ID: d.ID, Channel: d.Channel, State: d.State, Reason: d.Reason, Citizen: d.Vault, Trust: int(d.Trust), TrustWhy: d.TrustWhy,
		Received: d.Received, Until: orNull(d.Until), MailFrom: d.Sender.MailFrom, Remote: d.Sender.Remote, TLS: d.Sender.TLS,
		From: d.From.From, Name: d.From.Name, Proven: d.From.Proven, Origin: d.From.Reason, DKIM: d.From.DKIM, SPF: d.From.SPF, DMARC: d.From.DMARC,
		Candidates: append([]attribution.Candidate{}, d.Candidates...)}
	return []any{out}, nil
}

// desk finds the town of a deposit that the arguments name.
func (s *Server) desk(ctx context.Context, a Args) (core.Access, error) {
	if a.Deposit == "" {
		return core.Access{}, usage("--deposit is missing")
	}
	t, err := s.tenant(ctx, a)
	return core.Access{Tenant: t, Actor: "maintenance", Purpose: "command_line"}, err
}

func (s *Server) depositsAttach(ctx context.Context, a Args) ([]any, error) {
	who, err := s.desk(ctx, a)
	if err != nil {
		return nil, err
	}
	if a.Citizen == "" {
		return nil, usage("--citizen is missing")
	}
	who.Vault = core.CitizenID(a.Citizen)
	if err := s.jobs.Desk.Attach(ctx, who, core.DepositID(a.Deposit), a.Matches); err != nil {
		return nil, err
	}
	return []any{map[string]any{"id": a.Deposit, "citizen": a.Citizen, "state": core.DepositReceived}}, nil
}

func (s *Server) depositsDetach(ctx context.Context, a Args) ([]any, error) {
	who, err := s.desk(ctx, a)
	if err != nil {
		return nil, err
	}
	if a.Citizen == "" {
		return nil, usage("--citizen is missing: whose vault the deposit is to leave")
	}
	who.Vault = core.CitizenID(a.Citizen)
	if err := s.jobs.Desk.Detach(ctx, who, core.DepositID(a.Deposit)); err != nil {
		return nil, err
	}
	return []any{map[string]any{"id": a.Deposit, "state": core.DepositHeld}}, nil
}
