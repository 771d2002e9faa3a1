// Package towntest gives a test a town on a real database: its keys, its citizens with
// their addresses, and deposits led as far as the test wants.
package towntest

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/attribution"
	"vaguemestre/core/citizen"
	"vaguemestre/core/intake"
	"vaguemestre/core/notice"
	"vaguemestre/core/opening"
	"vaguemestre/core/store/postgres"
	"vaguemestre/core/store/postgres/pgtest"
	"vaguemestre/core/tenant"
	"vaguemestre/core/vault"
)

// Domain is that of the town's deposit addresses.
const Domain = "depot.ville.test"

// Town is a town with a database of its own.
type Town struct {
	*pgtest.Database
	tenant.Founding
	Index  vault.Index
	Keeper *vault.Keeper
	Blobs  vault.Blobs
	Intake *intake.Intake
	Rung   Bell        // what intake rang
	Origin core.Origin // what is proven of every message's sender
	Worker *postgres.Store
	HTTP   *postgres.Store

	t testing.TB
}

// Bell remembers what it rang.
type Bell chan core.Step

// Ring remembers the step while there is room.
func (b Bell) Ring(s core.Step) {
	select {
	case b <- s:
	default:
	}
}

// Citizen is someone with a vault and an address.
type Citizen struct {
	ID     core.CitizenID
	Shown  string // the secret address, as its owner sees it
	Owning core.Address
}

// New founds a town whose KEK the key service holds and whose blobs lie where given.
func New(t testing.TB, keys vault.KeyService, blobs vault.Blobs) *Town {
	t.Helper()
	d := pgtest.New(t)
	w := &Town{Database: d, Index: vault.NewIndex(bytes.Repeat([]byte{7}, 32)), Rung: make(Bell, 64),
		Worker: d.Store(postgres.RoleWorker), HTTP: d.Store(postgres.RoleHTTP), t: t}
	w.Blobs = vault.WithRows{Blobs: blobs, Rows: w.Worker}
	keeping := d.Store(postgres.RoleKeeper)
	w.Keeper = vault.NewKeeper(keys, keeping, keeping, time.Now)
	w.Intake = intake.New(d.Store(postgres.RoleSMTP), blobs, w.Index, w.Rung, slog.New(slog.DiscardHandler))
	w.Founding = w.Found("ville")
	return w
}

// Found adds a town to the database; New founds the first.
func (w *Town) Found(code string) tenant.Founding {
	w.t.Helper()
	settings := tenant.Defaults()
	settings.DepositDomain = Domain
	f, err := tenant.New(w.HTTP, w.Keeper, w.Index, time.Now).Add(w.t.Context(), code, "Ville", settings, "types: []\n")
	if err != nil {
		w.t.Fatalf("found %s: %v", code, err)
	}
	return f
}

// Enrol adds a citizen who lets deposits be read.
func (w *Town) Enrol(given string) Citizen {
	w.t.Helper()
	who := citizen.Identity{Given: given, Family: "Durand", Email: "durand@ville.test"}
	id, shown, err := citizen.New(w.HTTP, w.Keeper, w.Notices(), w.Index, time.Now).Add(w.t.Context(), w.ID, Domain, who, true)
	if err != nil {
		w.t.Fatalf("enrol %s: %v", given, err)
	}
	located, err := w.Intake.Locate(w.t.Context(), shown)
	if err != nil {
		w.t.Fatalf("locate the address of %s: %v", given, err)
	}
	return Citizen{id, shown, located}
}

// Deposit is what a channel would hand over for the citizen under its own key.
func (w *Town) Deposit(c Citizen, channel, key string) core.Deposit {
	return core.Deposit{Tenant: w.ID, Channel: channel, Key: key, Address: c.Owning, Journey: core.JourneyHome, Received: time.Now()}
}

// Accept takes in one body of the MIME type.
func (w *Town) Accept(c Citizen, key, mime string, body []byte) core.DepositID {
	w.t.Helper()
	r, err := w.Intake.Accept(w.t.Context(), w.Deposit(c, core.ChannelSMTP, key), core.Body{Type: mime, Name: key + ".pdf", R: bytes.NewReader(body)})
	if err != nil {
		w.t.Fatalf("accept %s: %v", key, err)
	}
	return r.Deposit
}

// Lease takes a row for a minute.
func (w *Town) Lease(noun core.Noun, id string) core.Lease {
	w.t.Helper()
	lease, err := w.Worker.Claim(w.t.Context(), core.Step{Tenant: w.ID, Noun: noun, ID: id}, time.Minute)
	if err != nil {
		w.t.Fatalf("lease %s %s: %v", noun, id, err)
	}
	return lease
}

// Opener opens deposits with the splitter; nil does for bodies that are no messages.
func (w *Town) Opener(s opening.Splitter) *opening.Opener {
	return opening.New(w.Worker, w.Keeper, w.Blobs, s, origin{w}, attribution.New(w.Worker, w.Index), w.Notices(), slog.New(slog.DiscardHandler), func(core.Attribution) {})
}

// Writes makes the town write letters, with all the law wants said in them, and verifies
// its citizens' contact addresses.
func (w *Town) Writes() {
	w.t.Helper()
	_, _, err := tenant.New(w.HTTP, w.Keeper, w.Index, time.Now).Change(w.t.Context(), w.ID, func(s *tenant.Settings) error {
		s.Relay, s.From, s.ServiceName, s.ServiceAddress, s.ServicePhone = "smtp.ville.test:587", "depot@ville.test", "Mairie", "1 place de la Mairie", "01 02 03 04 05"
		return nil
	})
	if err != nil {
		w.t.Fatalf("make the town write: %v", err)
	}
	w.Exec("UPDATE sender SET verified_at = now() WHERE contact")
}

// Notices orders the letters of the town, under the worker's role.
func (w *Town) Notices() *notice.Notices { return notice.New(w.Worker, w.Index, time.Now) }

// origin finds in every message what the test said.
type origin struct{ town *Town }

func (o origin) Authenticate(_ context.Context, message io.Reader, _ core.Sender) (core.Origin, error) {
	_, err := io.Copy(io.Discard, message)
	return o.town.Origin, err
}

// Piece accepts a file, opens its deposit, and returns its one piece, leased, in the
// given state.
func (w *Town) Piece(c Citizen, key string, file []byte, state core.PieceState) (core.Lease, core.Piece) {
	w.t.Helper()
	deposit := w.Accept(c, key, "application/pdf", file)
	next, err := w.Opener(nil).Open(w.t.Context(), w.Lease(core.NounDeposit, string(deposit)))
	if err != nil || len(next) != 1 {
		w.t.Fatalf("open %s: %d pieces, %v", key, len(next), err)
	}
	lease := w.Lease(core.NounPiece, next[0].ID)
	var piece core.Piece
	err = w.Worker.Amend(w.t.Context(), lease, func(p *core.Piece) error {
		p.State, p.Kind, p.Pages = state, core.KindPDF, 1
		piece = *p
		return nil
	})
	if err != nil {
		w.t.Fatalf("amend %s: %v", key, err)
	}
	return lease, piece
}
