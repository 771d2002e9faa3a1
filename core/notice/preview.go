package notice

import (
	"context"
	"errors"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/link"
	"vaguemestre/core/tenant"
	"vaguemestre/core/vault"
)

// Preview writes a letter of a kind as it would go out now: on a deposit, or on a made-up
// one when deposit is "". It opens nothing, makes no link, and shows what the town has not
// set yet in brackets. core.ErrInvalid for a kind that is not a citizen's.
func Preview(ctx context.Context, archive Archive, id core.TenantID, kind core.LetterKind, deposit core.DepositID, now time.Time) (core.Letter, error) {
	shown := previewed{Archive: archive, told: sample(now)}
	if deposit != "" {
		told, err := archive.Told(ctx, id, deposit)
		if err != nil {
			return core.Letter{}, err
		}
		shown.told = told
	}
	o := core.LetterOrder{ID: "00000000-0000-4000-8000-000000000000", Tenant: id, Kind: kind, Vault: shown.told.Vault, Object: string(shown.told.Deposit), Due: now}
	switch kind {
	case core.LetterReceipt:
		o.Once = onceCitizen(o.Vault)
	case core.LetterResult:
		o.Once = onceCitizen(o.Vault)
	case core.LetterLink:
		o.Once = onceVerify
	case core.LetterNotice:
		o.Once = onceDetached
	}
	letter, err := NewComposer(shown, unopened{}, unlinked{}, func() time.Time { return now }).Compose(ctx, core.LetterLease{LetterOrder: o, First: now})
	var refusal *core.Refusal
	if errors.As(err, &refusal) {
		err = core.ErrInvalid
	}
	return letter, err
}

// previewed is an archive with one deposit, and settings that lack nothing.
type previewed struct {
	Archive
	told Told
}

const anybody = "destinataire@exemple.test"

func (p previewed) Told(context.Context, core.TenantID, core.DepositID) (Told, error) {
	return p.told, nil
}

func (p previewed) Contact(context.Context, core.TenantID, core.CitizenID) (Contact, error) {
	return Contact{Box: []byte(anybody)}, nil
}

func (p previewed) SenderContact(context.Context, core.TenantID, core.CitizenID, core.SenderID) (Contact, error) {
	return Contact{Box: []byte(anybody)}, nil
}

func (p previewed) Settings(ctx context.Context, id core.TenantID) (tenant.Settings, int, error) {
	s, version, err := p.Archive.Settings(ctx, id)
	for _, f := range []struct {
		value *string
		key   string
	}{
		{&s.Relay, "relay"}, {&s.From, "mail_from"}, {&s.ServiceName, "service_name"}, {&s.ServiceAddress, "service_address"},
		{&s.ServicePhone, "service_phone"}, {&s.SecurityContact, "security_contact"},
	} {
		if *f.value == "" {
			*f.value = "[" + f.key + "]"
		}
	}
	return s, version, err
}

// sample is a deposit with a file in each of the states one meets most.
func sample(now time.Time) Told {
	soon := core.DateOf(now).AddMonths(3)
	return Told{Deposit: "00000000-0000-4000-8000-000000000000", Vault: "sample", Channel: core.ChannelSMTP, State: core.DepositOpened, Received: now, Pieces: []ToldPiece{
		{State: core.PieceFiled, Type: "facture_electricite", Document: core.DocumentToValidate, Standing: core.StandingCurrent, ValidUntil: soon},
		{State: core.PieceFiled, Type: "cni", Document: core.DocumentToConfirm, Standing: core.StandingCurrent, ValidUntil: soon.AddMonths(60)},
		{State: core.PieceAtDesk, Desk: core.DeskCitizen, Reason: "not_recognised"},
		{State: core.PieceAtDesk, Desk: core.DeskAgent},
		{State: core.PieceRefused, Reason: "encrypted_pdf",
			Sentence: "Ce PDF demande un mot de passe\u00a0: ouvrez-le, imprimez-le au format PDF sans mot de passe, puis envoyez cette copie."},
	}}
}

// unopened keys open what was never closed.
type unopened struct{}

func (unopened) Unbox(_ context.Context, _ core.Access, boxes ...[]byte) ([][]byte, error) {
	return boxes, nil
}

func (unopened) Open(context.Context, core.Access, ...vault.Wrapped) ([]vault.Key, error) {
	return nil, core.ErrInvalid
}

// unlinked makes tokens that lead nowhere.
type unlinked struct{}

func (unlinked) Issue(context.Context, core.TenantID, core.CitizenID, link.Purpose, string) (string, error) {
	return "exemple-sans-effet", nil
}
