package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/catalogue"
	"vaguemestre/core/link"
	"vaguemestre/core/tenant"
)

// Store is what the desk needs of the database.
type Store interface {
	Services(ctx context.Context, tenant core.TenantID) ([]Service, error)
	ServiceAgents(ctx context.Context, tenant core.TenantID, service ServiceID) ([]core.AgentID, error)
	// HasAgent returns core.ErrNotFound for no agent of the town.
	HasAgent(ctx context.Context, tenant core.TenantID, agent core.AgentID) error
	CitizenTenant(ctx context.Context, id core.CitizenID) (core.TenantID, error)
	Document(ctx context.Context, tenant core.TenantID, vault core.CitizenID, id core.DocumentID) (core.Document, error)
	Settings(ctx context.Context, id core.TenantID) (tenant.Settings, int, error)
	Catalogue(ctx context.Context, id core.TenantID, have int) (content string, version int, err error)

	// AddDispatch commits a dispatch with the disclosure of each document in the journal,
	// and a letter for each part, in one transaction. A *core.Refusal when a document has
	// left the vault, or its state, in the meantime.
	AddDispatch(ctx context.Context, d Dispatch) error
	// AddSending commits d.Sending with its parts in the place of the one before, whose
	// letters that wait are cancelled; otherwise as AddDispatch. who says who wants it.
	AddSending(ctx context.Context, who core.Access, d Dispatch) error
	// CancelDispatch cancels a dispatch and its letters that wait, and journals it;
	// core.ErrNotFound when it is cancelled.
	CancelDispatch(ctx context.Context, who core.Access, id ID, at time.Time) error
	// Dispatches lists the town's dispatches, oldest first, of one vault when it is named.
	Dispatches(ctx context.Context, tenant core.TenantID, vault core.CitizenID) ([]Dispatch, error)
	// Dispatch reads one; core.ErrNotFound.
	Dispatch(ctx context.Context, tenant core.TenantID, id ID) (Dispatch, error)
	// DispatchOf finds the dispatch that an item is part of; core.ErrNotFound.
	DispatchOf(ctx context.Context, tenant core.TenantID, vault core.CitizenID, item ItemID) (Dispatch, Item, error)
	// Record journals an access.
	Record(ctx context.Context, a core.Access) error
}

// Keys seals what an agent says.
type Keys interface {
	Box(ctx context.Context, tenant core.TenantID, vault core.CitizenID, plain []byte) ([]byte, error)
}

// Desk is where an agent sends documents to a service, and sees what became of it.
type Desk struct {
	store Store
	keys  Keys
	vault Vault
	links *link.Links
	now   func() time.Time
}

// NewDesk builds the desk.
func NewDesk(store Store, keys Keys, vault Vault, links *link.Links, now func() time.Time) *Desk {
	return &Desk{store, keys, vault, links, now}
}

// Selection is what an agent wants sent.
type Selection struct {
	Tenant    core.TenantID
	Agent     core.AgentID
	Vault     core.CitizenID
	Service   string // code
	Documents []core.DocumentID
	Purpose   string
}

// Disclosed is what a dispatch by an agent keeps sealed: why, and to whom.
type Disclosed struct {
	Purpose string `json:"purpose"`
	Service string `json:"service"`
	Mailbox string `json:"mailbox"`
}

// Send orders a dispatch. Nothing is opened: the journal of the vault names agent,
// service and each document first, and the mailer opens them when it sends. A
// *core.Refusal says what stands in the way, and is journaled too; core.ErrInvalid what is
// missing; core.ErrNotFound means no such agent or citizen.
func (d *Desk) Send(ctx context.Context, s Selection) (Dispatch, error) {
	if err := d.known(ctx, s); err != nil {
		return Dispatch{}, err
	}
	out, err := d.prepare(ctx, s)
	if err == nil {
		err = d.store.AddDispatch(ctx, out)
	}
	var refusal *core.Refusal
	if errors.As(err, &refusal) {
		for _, id := range s.Documents {
			who := core.Access{Tenant: s.Tenant, Vault: s.Vault, Actor: "agent:" + string(s.Agent), Act: "refuse_disclosure", Purpose: refusal.Code, Object: string(id)}
			if recorded := d.store.Record(ctx, who); recorded != nil {
				return Dispatch{}, recorded
			}
		}
	}
	if err != nil {
		return Dispatch{}, err
	}
	return d.store.Dispatch(ctx, s.Tenant, out.ID)
}

// known refuses who is nobody here before anything is written in their name.
func (d *Desk) known(ctx context.Context, s Selection) error {
	if !sentence(s.Purpose, maxPurpose) {
		return fmt.Errorf("%w purpose: say in one line what the documents are for", core.ErrInvalid)
	}
	if n := len(s.Documents); n == 0 || n > MostDocuments {
		return fmt.Errorf("%w documents: want 1 to %d", core.ErrInvalid, MostDocuments)
	}
	for i, id := range s.Documents {
		if !isID(string(id)) || slices.Contains(s.Documents[:i], id) {
			return fmt.Errorf("%w document %d: no identifier, or named before", core.ErrInvalid, i+1)
		}
	}
	if of, err := d.store.CitizenTenant(ctx, s.Vault); err != nil || of != s.Tenant {
		if err == nil {
			err = core.ErrNotFound
		}
		return err
	}
	return d.store.HasAgent(ctx, s.Tenant, s.Agent)
}

// isID reports the form of an identifier: what is journaled is never free text.
func isID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (c == '-') || !dash && (c < '0' || c > '9' && c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func (d *Desk) prepare(ctx context.Context, s Selection) (Dispatch, error) {
	service, err := named(ctx, d.store, s.Tenant, s.Service)
	if err != nil {
		return Dispatch{}, err
	}
	in, err := d.candidates(ctx, s.Tenant, s.Vault, service, s.Documents, false)
	if err != nil {
		return Dispatch{}, err
	}
	plain, err := json.Marshal(Disclosed{Purpose: s.Purpose, Service: service.Name, Mailbox: service.Mailbox})
	if err != nil {
		return Dispatch{}, err
	}
	out := Dispatch{Tenant: s.Tenant, Vault: s.Vault, ID: core.NewID[ID](), Service: service, Agent: s.Agent, Sending: 1,
		Created: d.now().UTC().Truncate(time.Microsecond)}
	if out.Sealed, err = d.keys.Box(ctx, s.Tenant, s.Vault, plain); err != nil {
		return Dispatch{}, fmt.Errorf("seal purpose: %w", err)
	}
	out.Lay(in)
	return out, nil
}

// candidates are the documents as they may go to the service now. What is not fit is
// refused, or left out as long as something is left.
func (d *Desk) candidates(ctx context.Context, t core.TenantID, owner core.CitizenID, s Service, ids []core.DocumentID, leave bool) ([]Candidate, error) {
	settings, _, err := d.store.Settings(ctx, t)
	if err != nil {
		return nil, err
	}
	if !settings.Sends() {
		return nil, &core.Refusal{Code: "no_relay", Reason: "La collectivité n’a pas configuré l’envoi de courriels (relay, mail_from) : rien ne peut être transmis."}
	}
	if r := s.CertificateFault(d.now()); r != nil {
		return nil, r
	}
	types, err := types(ctx, d.store, t)
	if err != nil {
		return nil, err
	}
	today := core.DateOf(d.now().In(settings.Location()))
	var out []Candidate
	var refused *core.Refusal
	for _, id := range ids {
		c, refusal, err := d.candidate(ctx, t, owner, s, id, types, today)
		switch {
		case err != nil:
			return nil, err
		case refusal == nil:
			out = append(out, c)
		case !leave:
			return nil, refusal
		default:
			refused = refusal
		}
	}
	if refused != nil && len(out) == 0 {
		return nil, refused
	}
	return out, nil
}

func (d *Desk) candidate(ctx context.Context, t core.TenantID, owner core.CitizenID, s Service, id core.DocumentID, types *catalogue.Catalogue, today core.Date) (Candidate, *core.Refusal, error) {
	doc, err := d.store.Document(ctx, t, owner, id)
	if errors.Is(err, core.ErrNotFound) {
		return Candidate{}, errUnknown, nil
	}
	if err != nil {
		return Candidate{}, nil, err
	}
	if r := Fit(doc, today); r != nil {
		return Candidate{}, r, nil
	}
	typ, known := types.Type(doc.Type)
	if known && !typ.MayGo() {
		return Candidate{}, forbidden(typ), nil
	}
	c := Candidate{Document: id, Link: !known || !typ.MayAttach(s.Encrypts())}
	for _, p := range doc.Parts {
		c.Files = append(c.Files, p.Sealed.Size)
	}
	return c, nil, nil
}

// errUnknown is the same for another citizen's document and for none at all.
var errUnknown = &core.Refusal{Code: "unknown_document", Reason: "Ce document n’est pas dans le porte-documents de cet usager."}

// Resend sends the documents of a dispatch anew, laid out for the service as it is now;
// letters of the earlier sending that still wait are cancelled. Documents that may not go
// any more are left out; a *core.Refusal when none is left, or the dispatch was cancelled.
func (d *Desk) Resend(ctx context.Context, who core.Access, id ID) (Dispatch, error) {
	old, err := d.store.Dispatch(ctx, who.Tenant, id)
	if err != nil {
		return Dispatch{}, err
	}
	switch {
	case !old.Ended.IsZero():
		return Dispatch{}, &core.Refusal{Code: "cancelled", Reason: "Cet envoi a été annulé : préparez-en un nouveau."}
	case old.Service.Removed:
		return Dispatch{}, &core.Refusal{Code: "service_removed", Reason: "Ce service n’est plus déclaré : il ne reçoit plus de documents."}
	}
	var ids []core.DocumentID
	for _, p := range old.Latest() {
		for _, item := range p.Items {
			ids = append(ids, item.Document)
		}
	}
	in, err := d.candidates(ctx, old.Tenant, old.Vault, old.Service, ids, true)
	if err != nil {
		return Dispatch{}, err
	}
	next := old
	next.Sending, next.Created = old.Sending+1, d.now().UTC().Truncate(time.Microsecond)
	next.Lay(in)
	who.Vault, who.Act, who.Object = old.Vault, "resend_dispatch", string(id)
	if err := d.store.AddSending(ctx, who, next); err != nil {
		return Dispatch{}, err
	}
	return d.store.Dispatch(ctx, old.Tenant, id)
}

// Cancel keeps from going what has not gone yet; core.ErrNotFound when there is no such
// dispatch, or it was cancelled before.
func (d *Desk) Cancel(ctx context.Context, who core.Access, id ID) (Dispatch, error) {
	old, err := d.store.Dispatch(ctx, who.Tenant, id)
	if err != nil {
		return Dispatch{}, err
	}
	who.Vault, who.Act, who.Object = old.Vault, "cancel_dispatch", string(id)
	if err := d.store.CancelDispatch(ctx, who, id, d.now()); err != nil {
		return Dispatch{}, err
	}
	return d.store.Dispatch(ctx, who.Tenant, id)
}

// List lists the town's dispatches, oldest first, of one vault when it is named.
func (d *Desk) List(ctx context.Context, t core.TenantID, vault core.CitizenID) ([]Dispatch, error) {
	return d.store.Dispatches(ctx, t, vault)
}

// Show reads one; core.ErrNotFound.
func (d *Desk) Show(ctx context.Context, t core.TenantID, id ID) (Dispatch, error) {
	return d.store.Dispatch(ctx, t, id)
}
