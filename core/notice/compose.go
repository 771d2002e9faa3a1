package notice

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/catalogue"
	"vaguemestre/core/link"
	"vaguemestre/core/tenant"
	"vaguemestre/core/vault"
)

// Told is a deposit as letters speak of it.
type Told struct {
	Deposit  core.DepositID
	Vault    core.CitizenID // "" when it is nobody's, or nobody's any more
	Channel  string
	State    core.DepositState
	Trust    core.Trust
	Received time.Time
	Envelope []byte      // core.Envelope, sealed under the first body's key
	Origin   []byte      // core.Origin, likewise
	Body     core.Sealed // the first body
	Pieces   []ToldPiece // in order; those set aside left out
}

// ToldPiece is a file as letters speak of it.
type ToldPiece struct {
	State    core.PieceState
	Desk     core.Desk
	Reason   string // stable code
	Sentence string // of a refusal, in French

	Type       string // of its document; "" without one
	Document   core.DocumentState
	Standing   core.Standing
	ValidUntil core.Date
}

// Contact is an address of a citizen's, in a box of the vault.
type Contact struct {
	Box      []byte
	Verified bool
}

// Archive is what composing needs of the database.
type Archive interface {
	// Told reads a deposit; core.ErrNotFound.
	Told(ctx context.Context, tenant core.TenantID, deposit core.DepositID) (Told, error)
	// Contact reads the address letters to a citizen go to; core.ErrNotFound when none is verified.
	Contact(ctx context.Context, tenant core.TenantID, vault core.CitizenID) (Contact, error)
	// SenderContact reads one sender in force of the citizen's; core.ErrNotFound.
	SenderContact(ctx context.Context, tenant core.TenantID, vault core.CitizenID, id core.SenderID) (Contact, error)
	// Untold names the citizen's deposits of which nothing was told between two times, since
	// it would have been one letter too many that day: the best proven first, then the oldest.
	Untold(ctx context.Context, tenant core.TenantID, vault core.CitizenID, from, to time.Time) ([]core.DepositID, error)
	Settings(ctx context.Context, id core.TenantID) (tenant.Settings, int, error)
	Catalogue(ctx context.Context, id core.TenantID, have int) (content string, version int, err error)
}

// Keys opens what is sealed, journaling first.
type Keys interface {
	Open(ctx context.Context, who core.Access, wrapped ...vault.Wrapped) ([]vault.Key, error)
	Unbox(ctx context.Context, who core.Access, boxes ...[]byte) ([][]byte, error)
}

// Linker makes the tokens of links.
type Linker interface {
	Issue(ctx context.Context, tenant core.TenantID, owner core.CitizenID, p link.Purpose, object string) (token string, err error)
}

// Composer writes letters when they are due, from what stands then. What they hold is
// opened by the keeper, in the journal as the mailer's.
type Composer struct {
	archive Archive
	keys    Keys
	links   Linker
	now     func() time.Time
	replies Replies // nil: letters say nothing of replies

	mu         sync.Mutex
	catalogues map[core.TenantID]*catalogue.Catalogue
}

// NewComposer builds it.
func NewComposer(archive Archive, keys Keys, links Linker, now func() time.Time) *Composer {
	return &Composer{archive: archive, keys: keys, links: links, now: now, catalogues: map[core.TenantID]*catalogue.Catalogue{}}
}

// Why a letter is cancelled rather than sent.
var (
	errGone      = &core.Refusal{Code: "moved", Reason: "Le dépôt n’est plus dans ce porte-documents."}
	errNobody    = &core.Refusal{Code: "no_recipient", Reason: "Il n’y a plus d’adresse vérifiée à qui écrire."}
	errUnwritten = &core.Refusal{Code: "no_mentions", Reason: "La collectivité n’a pas renseigné les mentions obligatoires."}
	errNoRelay   = &core.Refusal{Code: "no_relay", Reason: "La collectivité n’envoie pas de courriel."}
	errDone      = &core.Refusal{Code: "done", Reason: "L’adresse est déjà vérifiée."}
	errKind      = &core.Refusal{Code: "unknown_letter", Reason: "Cette lettre n’est pas connue."}
)

// Compose writes a letter. A *core.Refusal means that it is not to be sent any more;
// any other error, that another attempt may.
func (c *Composer) Compose(ctx context.Context, l core.LetterLease) (core.Letter, error) {
	settings, _, err := c.archive.Settings(ctx, l.Tenant)
	if err != nil {
		return core.Letter{}, err
	}
	if !settings.Sends() {
		return core.Letter{}, errNoRelay
	}
	letter := core.Letter{ID: l.ID, Tenant: l.Tenant, Kind: l.Kind, Language: settings.Language, Date: l.First}
	if letter.Language == "" {
		letter.Language = languages[0]
	}
	w := &writing{Composer: c, lease: l, settings: settings, letter: letter}
	switch l.Kind {
	case core.LetterReceipt, core.LetterResult:
		if day, late := strings.CutPrefix(l.Once, onceDigest); late {
			err = w.digest(ctx, day)
		} else {
			err = w.acknowledge(ctx)
		}
	case core.LetterLink:
		if err = errKind; strings.HasPrefix(l.Once, onceVerify) {
			err = w.prove(ctx)
		} else if strings.HasPrefix(l.Once, onceDelete) {
			err = w.deletion(ctx)
		}
	case core.LetterNotice:
		err = w.note(ctx)
	default:
		err = errKind
	}
	return w.letter, err
}

// writing is one letter under way.
type writing struct {
	*Composer
	lease    core.LetterLease
	settings tenant.Settings
	letter   core.Letter
}

// prove writes the letter that proves an address.
func (w *writing) prove(ctx context.Context) error {
	l := w.lease
	c, err := w.archive.SenderContact(ctx, l.Tenant, l.Vault, core.SenderID(l.Object))
	switch {
	case errors.Is(err, core.ErrNotFound):
		return errNobody
	case err != nil:
		return err
	case c.Verified:
		return errDone
	}
	if w.letter.To, err = w.unbox(ctx, c); err != nil {
		return err
	}
	f := w.head()
	if err := w.offer(ctx, &f, link.VerifySender, l.Object, pathVerify); err != nil {
		return err
	}
	return w.fill("verify", f)
}

// note writes to the town itself.
func (w *writing) note(ctx context.Context) error {
	if !strings.HasPrefix(w.lease.Once, onceDetached) {
		return errKind
	}
	if w.letter.To = w.settings.SecurityContact; w.letter.To == "" {
		return errNobody
	}
	told, err := w.archive.Told(ctx, w.lease.Tenant, core.DepositID(w.lease.Object))
	if errors.Is(err, core.ErrNotFound) {
		return errGone
	}
	if err != nil {
		return err
	}
	f := w.facts(told)
	f.When = clock(w.lease.Due.In(w.settings.Location()), w.letter.Language)
	return w.fill("detached", f)
}

// Where links lead, under the town's portal.
const (
	pathConfirm = "/confirmer/"
	pathVerify  = "/adresse/"
	pathDelete  = "/supprimer/"
)

// offer puts the link of an act into the letter, or its code where the town has no pages.
func (w *writing) offer(ctx context.Context, f *facts, p link.Purpose, object, path string) error {
	token, err := w.links.Issue(ctx, w.lease.Tenant, w.lease.Vault, p, object)
	if err != nil {
		return err
	}
	f.put(token, path, w.settings, w.now().Add(p.Lasts()), w.letter.Language)
	return nil
}

// types is the town's catalogue in force, parsed once a version.
func (w *writing) types(ctx context.Context) (*catalogue.Catalogue, error) {
	w.mu.Lock()
	have := w.catalogues[w.lease.Tenant]
	w.mu.Unlock()
	version := 0
	if have != nil {
		version = have.Version
	}
	content, version, err := w.archive.Catalogue(ctx, w.lease.Tenant, version)
	if err != nil || content == "" {
		return have, err
	}
	fresh, err := catalogue.Parse([]byte(content))
	if err != nil {
		return nil, fmt.Errorf("catalogue %d of tenant %s: %w", version, w.lease.Tenant, err)
	}
	fresh.Version = version
	w.mu.Lock()
	w.catalogues[w.lease.Tenant] = fresh
	w.mu.Unlock()
	return fresh, nil
}

// fill writes the words.
func (w *writing) fill(name string, f facts) (err error) {
	w.letter.Subject, w.letter.Text, w.letter.HTML, err = write(w.letter.Language, name, f)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
