package control

import (
	"context"
	"net/url"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/catalogue"
	"vaguemestre/core/citizen"
	"vaguemestre/core/ledger"
	"vaguemestre/core/tenant"
)

// Args is what a command may be told.
type Args struct {
	Tenant    string `json:"tenant,omitempty"` // id or code
	Citizen   string `json:"citizen,omitempty"`
	Document  string `json:"document,omitempty"`
	Code      string `json:"code,omitempty"`
	Name      string `json:"name,omitempty"`
	Domain    string `json:"domain,omitempty"`
	Given     string `json:"given,omitempty"`
	Family    string `json:"family,omitempty"`
	Email     string `json:"email,omitempty"`
	NoReading bool   `json:"no_reading,omitempty"`

	Settings map[string]string `json:"settings,omitempty"` // by key, as `tenant set` takes them
	Deposit  string            `json:"deposit,omitempty"`
	Matches  []string          `json:"matches,omitempty"` // data of the citizen found again in a deposit
	Token    string            `json:"token,omitempty"`   // of a link
	Remember bool              `json:"remember,omitempty"`
	Sender   string            `json:"sender,omitempty"` // id
	Letter   string            `json:"letter,omitempty"` // id
	Kind     string            `json:"kind,omitempty"`
	Selector string            `json:"selector,omitempty"`
	Days     int               `json:"days,omitempty"` // until an address ends by itself; 0: never
	Secret   []byte            `json:"secret,omitempty"`
	Mailbox  string            `json:"mailbox,omitempty"` // id
	Enabled  *bool             `json:"enabled,omitempty"`
	Version  int               `json:"version,omitempty"` // of a document; 0: none named

	Service   string   `json:"service,omitempty"` // code
	Type      string   `json:"type,omitempty"`    // of documents
	When      string   `json:"when,omitempty"`    // a rule sends
	Purpose   string   `json:"purpose,omitempty"`
	Agent     string   `json:"agent,omitempty"` // id
	Documents []string `json:"documents,omitempty"`
	File      int      `json:"file,omitempty"`     // of a document that has several, from 1
	Dispatch  string   `json:"dispatch,omitempty"` // id
}

func (s *Server) commands() map[string]command {
	return map[string]command{
		"tenant/add":             s.tenantAdd,
		"tenant/list":            s.tenantList,
		"tenant/set":             s.tenantSet,
		"tenant/secret/set":      s.secretSet,
		"tenant/secret/list":     s.secretList,
		"tenant/secret/forget":   s.secretForget,
		"mailbox/add":            s.mailboxAdd,
		"mailbox/list":           s.mailboxList,
		"mailbox/set":            s.mailboxSet,
		"mailbox/test":           s.mailboxTest,
		"mailbox/remove":         s.mailboxRemove,
		"citizen/add":            s.citizenAdd,
		"citizen/address/show":   s.addressShow,
		"citizen/address/rotate": s.addressRotate,
		"citizen/address/revoke": s.addressRevoke,
		"citizen/sender/add":     s.senderAdd,
		"citizen/sender/verify":  s.senderVerify,
		"citizen/sender/list":    s.senderList,
		"citizen/sender/forget":  s.senderForget,
		"deposits/list":          s.depositsList,
		"deposits/show":          s.depositsShow,
		"deposits/attach":        s.depositsAttach,
		"deposits/detach":        s.depositsDetach,
		"vault/list":             s.vaultList,
		"vault/confirm":          s.vaultConfirm,
		"vault/link":             s.vaultLink,
		"vault/versions":         s.vaultVersions,
		"vault/restore":          s.vaultRestore,
		"vault/delete":           s.vaultDelete,
		"mail/reports":           s.mailReports,
		"service/add":            s.serviceAdd,
		"service/set":            s.serviceSet,
		"service/list":           s.serviceList,
		"service/remove":         s.serviceRemove,
		"service/rule/add":       s.ruleAdd,
		"service/rule/remove":    s.ruleRemove,
		"service/agent/add":      s.serviceAgentAdd,
		"service/agent/remove":   s.serviceAgentRemove,
		"dispatch/send":          s.dispatchSend,
		"dispatch/list":          s.dispatchList,
		"dispatch/show":          s.aDispatch(s.dispatchShow),
		"dispatch/resend":        s.aDispatch(s.jobs.Dispatch.Resend),
		"dispatch/cancel":        s.aDispatch(s.jobs.Dispatch.Cancel),
		"vault/receipts":         s.vaultReceipts,
		"mail/list":              s.mailList,
		"mail/preview":           s.mailPreview,
		"mail/retry":             s.mailRetry,
		"mail/cancel":            s.mailCancel,
		"mail/check":             s.mailCheck,
		"mail/dkim/new":          s.dkimNew,
		"tenant/mentions":        s.tenantMentions,
		"catalogue/export":       s.catalogueExport,
		"check":                  s.check,
		"journal/verify":         s.journalVerify,
		"demonstration":          s.demonstration,
	}
}

// asCitizen: only in a development home may the operator act as the citizen.
func (s *Server) asCitizen(Args) error {
	if s.jobs.Development {
		return nil
	}
	return &Fault{"grant_needed", "outside a development home a vault is opened by its citizen alone"}
}

// owner finds whose vault the arguments name.
func (s *Server) owner(ctx context.Context, a Args, act string) (core.Access, error) {
	if a.Citizen == "" {
		return core.Access{}, usage("--citizen is missing")
	}
	t, err := s.jobs.Store.CitizenTenant(ctx, core.CitizenID(a.Citizen))
	if err != nil {
		return core.Access{}, err
	}
	return core.Access{Tenant: t, Vault: core.CitizenID(a.Citizen), Actor: "maintenance", Act: act, Purpose: "command_line"}, nil
}

func (s *Server) tenant(ctx context.Context, a Args) (core.TenantID, error) {
	if a.Tenant == "" {
		return "", usage("--tenant is missing")
	}
	return s.jobs.Store.TenantNamed(ctx, a.Tenant)
}

func (s *Server) tenantAdd(ctx context.Context, a Args) ([]any, error) {
	settings := tenant.Defaults()
	settings.DepositDomain = a.Domain
	if a.Domain == "" && s.jobs.Development {
		settings.DepositDomain = "depot." + a.Code + ".test"
	}
	content, err := catalogue.Default().Marshal()
	if err != nil {
		return nil, err
	}
	f, err := s.jobs.Tenants.Add(ctx, a.Code, a.Name, settings, string(content))
	if err != nil {
		return nil, err
	}
	return []any{f.Tenant}, nil
}

func (s *Server) tenantList(ctx context.Context, _ Args) ([]any, error) {
	tenants, err := s.jobs.Store.ListTenants(ctx)
	return lines(tenants), err
}

// tenantSet changes settings by key; without any it shows them.
func (s *Server) tenantSet(ctx context.Context, a Args) ([]any, error) {
	t, err := s.tenant(ctx, a)
	if err != nil {
		return nil, err
	}
	settings, version, err := s.jobs.Tenants.Change(ctx, t, func(in *tenant.Settings) error { return in.Set(a.Settings) })
	if err != nil {
		return nil, err
	}
	return []any{map[string]any{"id": t, "version": version, "settings": settings}}, nil
}

func (s *Server) citizenAdd(ctx context.Context, a Args) ([]any, error) {
	t, err := s.tenant(ctx, a)
	if err != nil {
		return nil, err
	}
	settings, _, err := s.jobs.Store.Settings(ctx, t)
	if err != nil {
		return nil, err
	}
	who := citizen.Identity{Given: a.Given, Family: a.Family, Email: a.Email}
	id, address, err := s.jobs.Citizens.Add(ctx, t, settings.MintUnder(), who, !a.NoReading)
	if err != nil {
		return nil, err
	}
	return []any{map[string]any{"id": id, "tenant": t, "deposit_address": address, "reading_consent": !a.NoReading}}, nil
}

func (s *Server) addressShow(ctx context.Context, a Args) ([]any, error) {
	who, err := s.owner(ctx, a, "show_addresses")
	if err != nil {
		return nil, err
	}
	addresses, err := s.jobs.Citizens.Addresses(ctx, who)
	return lines(addresses), err
}

func (s *Server) addressRotate(ctx context.Context, a Args) ([]any, error) {
	who, err := s.owner(ctx, a, "rotate_address")
	if err != nil {
		return nil, err
	}
	settings, _, err := s.jobs.Store.Settings(ctx, who.Tenant)
	if err != nil {
		return nil, err
	}
	var expires time.Time
	if a.Days > 0 {
		expires = time.Now().AddDate(0, 0, a.Days)
	}
	address, err := s.jobs.Citizens.Rotate(ctx, who, settings.MintUnder(), expires)
	if err != nil {
		return nil, err
	}
	return []any{map[string]any{"deposit_address": address}}, nil
}

func (s *Server) addressRevoke(ctx context.Context, a Args) ([]any, error) {
	who, err := s.owner(ctx, a, "revoke_address")
	if err != nil {
		return nil, err
	}
	return nil, s.jobs.Citizens.Revoke(ctx, who)
}

// Row is a document as `vault list` shows it.
type Row struct {
	ID          core.DocumentID    `json:"id"`
	Type        string             `json:"type"`
	Confidence  float64            `json:"confidence"`
	Holder      *string            `json:"holder"`
	Issued      *core.Date         `json:"issued"`
	ValidUntil  *core.Date         `json:"valid_until"`
	RetainUntil *core.Date         `json:"retain_until"`
	State       core.DocumentState `json:"state"`
	Standing    core.Standing      `json:"standing"`
	Channel     string             `json:"channel"`
	Filename    string             `json:"filename"`
	SHA256      string             `json:"sha256"`
	Size        int64              `json:"size"`
	Version     int                `json:"version"`
	Replaces    core.DocumentID    `json:"replaces,omitempty"` // once it is confirmed
}

func (s *Server) vaultList(ctx context.Context, a Args) ([]any, error) {
	if err := s.asCitizen(a); err != nil {
		return nil, err
	}
	who, err := s.owner(ctx, a, "list")
	if err != nil {
		return nil, err
	}
	items, err := s.jobs.Vault.List(ctx, who)
	if err != nil {
		return nil, err
	}
	rows := make([]Row, len(items))
	for i, it := range items {
		rows[i] = Row{ID: it.ID, Type: it.Type, Confidence: it.Opened.Confidence, Holder: orNull(it.Opened.Holder),
			Issued: orNull(it.Opened.Issued), ValidUntil: orNull(it.ValidUntil), RetainUntil: orNull(it.RetainUntil),
			State: it.State, Standing: it.Standing, Channel: it.Channel, Filename: it.Opened.FileName, SHA256: it.Opened.SHA256, Size: it.Size, Version: it.Version, Replaces: it.Replaces}
	}
	return lines(rows), nil
}

// orNull makes an absent value JSON's null.
func orNull[T comparable](v T) *T {
	var none T
	if v == none {
		return nil
	}
	return &v
}

func (s *Server) types(ctx context.Context, t core.TenantID) (*catalogue.Catalogue, error) {
	content, _, err := s.jobs.Store.Catalogue(ctx, t, 0)
	if err != nil {
		return nil, err
	}
	return catalogue.Parse([]byte(content))
}

func (s *Server) catalogueExport(ctx context.Context, a Args) ([]any, error) {
	t, err := s.tenant(ctx, a)
	if err != nil {
		return nil, err
	}
	content, version, err := s.jobs.Store.Catalogue(ctx, t, 0)
	if err != nil {
		return nil, err
	}
	return []any{map[string]any{"version": version, "catalogue": content}}, nil
}

// check closes the ledger: a line per channel and day, then one that says whether all
// is well.
func (s *Server) check(ctx context.Context, _ Args) ([]any, error) {
	report, err := ledger.Check(ctx, s.jobs.Store, s.jobs.Blobs)
	if err != nil {
		return nil, err
	}
	out := lines(report.Days)
	return append(out, Closing{report.Closed(), report.Blobs, report.Faults}), nil
}

// Closing is the last line of a check.
type Closing struct {
	Closed bool     `json:"closed"`
	Blobs  int      `json:"blobs,omitempty"` // read to the end
	Faults []string `json:"faults,omitempty"`
}

func (s *Server) journalVerify(ctx context.Context, a Args) ([]any, error) {
	tenants := []core.TenantID{}
	if a.Tenant != "" {
		t, err := s.tenant(ctx, a)
		if err != nil {
			return nil, err
		}
		tenants = append(tenants, t)
	} else {
		all, err := s.jobs.Store.Tenants(ctx)
		if err != nil {
			return nil, err
		}
		tenants = all
	}
	entries, closing := 0, Closing{Closed: true}
	for _, t := range tenants {
		broken, n, err := s.jobs.Store.VerifyJournal(ctx, t)
		if err != nil {
			return nil, err
		}
		entries += n
		for _, b := range broken {
			closing.Closed, closing.Faults = false, append(closing.Faults, b.Error())
		}
	}
	return []any{map[string]any{"entries": entries}, closing}, nil
}

func (s *Server) demonstration(ctx context.Context, a Args) ([]any, error) {
	if err := s.asCitizen(a); err != nil {
		return nil, err
	}
	d, err := s.jobs.Demonstration(ctx)
	return []any{d}, err
}

func lines[T any](in []T) []any {
	out := make([]any, len(in))
	for i, v := range in {
		out[i] = v
	}
	return out
}

// safeHeader keeps a file name inert in a header.
func safeHeader(name string) string { return url.PathEscape(name) }
