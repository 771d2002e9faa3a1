package filing_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/catalogue"
	"vaguemestre/core/filing"
)

// shelf is a store that remembers.
type shelf struct {
	brought []core.DocumentID // by any deposit
	filed   []filing.Filed
	doc     core.Document
	moved   []string
	err     error

	answered   filing.Answered
	replaceErr error
}

func (s *shelf) File(_ context.Context, _ core.Lease, f filing.Filed) (core.DocumentID, error) {
	s.filed = append(s.filed, f)
	return f.Document.ID, s.err
}

func (s *shelf) Document(context.Context, core.TenantID, core.CitizenID, core.DocumentID) (core.Document, error) {
	return s.doc, s.err
}

func (s *shelf) MoveDocument(_ context.Context, who core.Access, id core.DocumentID, from, to core.DocumentState) error {
	s.moved = append(s.moved, fmt.Sprint(who.Act, " ", who.Object, ": ", from, " → ", to))
	return s.err
}

func (s *shelf) Answered(context.Context, core.Lease) (filing.Answered, error) {
	return s.answered, nil
}

func (s *shelf) Replace(_ context.Context, who core.Access, proposal core.DocumentID, to core.DocumentState, _ []byte) error {
	s.moved = append(s.moved, fmt.Sprint(who.Act, " ", who.Object, " by ", proposal, ": ", to))
	return s.replaceErr
}

func (s *shelf) DocumentsOf(context.Context, core.TenantID, core.CitizenID, core.DepositID) ([]core.DocumentID, error) {
	return s.brought, s.err
}

// plainKeys seals nothing, so that a test can look inside.
type plainKeys struct{}

func (plainKeys) Box(_ context.Context, _ core.TenantID, _ core.CitizenID, plain []byte) ([]byte, error) {
	return plain, nil
}

func (plainKeys) Unbox(_ context.Context, _ core.Access, boxes ...[]byte) ([][]byte, error) {
	return boxes, nil
}

func (plainKeys) Fingerprint(_ context.Context, _ core.TenantID, vault core.CitizenID, parts ...[]byte) ([]byte, error) {
	return fmt.Appendf(nil, "%s %s", vault, parts), nil
}

var today = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func day(t *testing.T, s string) core.Date {
	t.Helper()
	d, err := core.ParseDate(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var (
	byAgent  = catalogue.Validation{}
	byNobody = catalogue.Validation{Home: catalogue.ByNobody, Post: catalogue.ByNobody, Phone: catalogue.ByNobody}
	always   = catalogue.Validation{Counter: catalogue.ByAgent}
)

// Below T3 a document waits for its owner's yes, whatever else; then the type's policy
// for the journey says whether an agent looks.
func TestStateByTrustJourneyAndType(t *testing.T) {
	const ask, agent, done = core.DocumentToConfirm, core.DocumentToValidate, core.DocumentValidated
	journeys := []core.Journey{core.JourneyHome, core.JourneyPost, core.JourneyPhone, core.JourneyCounter, "unheard of"}
	for _, c := range []struct {
		name string
		v    catalogue.Validation
		at   map[core.Trust][]core.DocumentState
	}{
		{"by an agent", byAgent, map[core.Trust][]core.DocumentState{
			core.T0: {ask, ask, ask, ask, ask}, core.T1: {ask, ask, ask, ask, ask}, core.T2: {ask, ask, ask, ask, ask}, core.T3: {agent, agent, agent, done, agent}}},
		{"by nobody", byNobody, map[core.Trust][]core.DocumentState{
			core.T0: {ask, ask, ask, ask, ask}, core.T1: {ask, ask, ask, ask, ask}, core.T2: {ask, ask, ask, ask, ask}, core.T3: {done, done, done, done, agent}}},
		{"at the counter too", always, map[core.Trust][]core.DocumentState{
			core.T2: {ask, ask, ask, ask, ask}, core.T3: {agent, agent, agent, agent, agent}}},
	} {
		typ := catalogue.Type{Code: "carte", Validation: c.v}
		types := func(code string) (catalogue.Type, bool) { return typ, code == "carte" }
		for trust, states := range c.at {
			for n, journey := range journeys {
				name := fmt.Sprintf("%s, T%d, %s", c.name, trust, journey)
				s := &shelf{}
				f := filing.New(s, plainKeys{}, func() time.Time { return today })
				p := core.Piece{Trust: trust, Journey: journey, ID: "piece"}
				if _, err := f.File(t.Context(), core.Lease{}, p, core.PieceMeta{}, core.Verdict{Type: "carte"}, typ); err != nil {
					t.Fatal(err)
				}
				if got := s.filed[0].Document.State; got != states[n] {
					t.Errorf("%s: %s, want %s", name, got, states[n])
				}
				// The owner's yes leads where a proven origin would have led at once.
				s.doc = core.Document{Type: "carte", Journey: journey, State: core.DocumentToConfirm}
				want := c.at[core.T3][n]
				if _, got, err := f.Confirm(t.Context(), core.Access{}, "doc", types); err != nil || got != want {
					t.Errorf("%s, confirmed: %s, %v; want %s", name, got, err, want)
				}
				if move := fmt.Sprintf("confirm doc: to_confirm → %s", want); len(s.moved) != 1 || s.moved[0] != move {
					t.Errorf("%s, confirmed: moved %v, want %s", name, s.moved, move)
				}
			}
		}
	}
}

func TestConfirmWhatNeedsNone(t *testing.T) {
	none := func(string) (catalogue.Type, bool) { return catalogue.Type{}, false }
	for _, state := range []core.DocumentState{core.DocumentToValidate, core.DocumentValidated, core.DocumentRejected} {
		s := &shelf{doc: core.Document{State: state}}
		_, got, err := filing.New(s, plainKeys{}, time.Now).Confirm(t.Context(), core.Access{}, "doc", none)
		if got != state || err != nil || len(s.moved) != 0 {
			t.Errorf("%s: %s, %v, moved %v", state, got, err, s.moved)
		}
	}
	// A type that the town has dropped since: an agent looks.
	s := &shelf{doc: core.Document{State: core.DocumentToConfirm, Journey: core.JourneyCounter}}
	if _, got, err := filing.New(s, plainKeys{}, time.Now).Confirm(t.Context(), core.Access{}, "doc", none); got != core.DocumentToValidate || err != nil {
		t.Errorf("dropped type: %s, %v", got, err)
	}
	s = &shelf{err: core.ErrNotFound}
	if _, _, err := filing.New(s, plainKeys{}, time.Now).Confirm(t.Context(), core.Access{}, "doc", none); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("of another vault: %v", err)
	}
}

// Validity and retention are two clocks; a date that is needed and was not read gives
// no end, and what has ended already is filed as expired.
func TestValidityAndRetention(t *testing.T) {
	proof := catalogue.Type{Code: "domicile", Validity: catalogue.Rules{{Until: catalogue.FromIssue, Months: 3}},
		Vault: catalogue.Keeping{Retention: catalogue.Rules{{Until: catalogue.FromValidEnd, Months: 12}}}}
	card := catalogue.Type{Code: "carte", Validity: catalogue.Rules{{Until: catalogue.FromExpiry}, {Until: catalogue.FromIssue, Months: 120}}}
	act := catalogue.Type{Code: "acte", Validity: catalogue.Rules{{Until: catalogue.Never}},
		Vault: catalogue.Keeping{Retention: catalogue.Rules{{Until: catalogue.FromDeposit, Months: 24}}}}
	for _, c := range []struct {
		name    string
		typ     catalogue.Type
		verdict core.Verdict
		want    string
	}{
		{"in force", proof, core.Verdict{Issued: day(t, "2026-10-31")}, "2027-01-31 2028-01-31 current"},
		{"last day", proof, core.Verdict{Issued: day(t, "2026-08-23")}, "2026-11-23 2027-11-23 current"},
		{"a day later", proof, core.Verdict{Issued: day(t, "2026-08-22")}, "2026-11-22 2027-11-22 expired"},
		{"no date read", proof, core.Verdict{}, "  current"},
		{"end printed", card, core.Verdict{Issued: day(t, "2016-01-01"), Expires: day(t, "2031-05-06")}, "2031-05-06  current"},
		{"no end printed", card, core.Verdict{Issued: day(t, "2016-01-01")}, "2026-01-01  expired"},
		{"no end", act, core.Verdict{Issued: day(t, "1990-01-01")}, " 2028-11-23 current"},
	} {
		s := &shelf{}
		f := filing.New(s, plainKeys{}, func() time.Time { return today })
		if _, err := f.File(t.Context(), core.Lease{}, core.Piece{}, core.PieceMeta{}, c.verdict, c.typ); err != nil {
			t.Fatal(err)
		}
		d := s.filed[0].Document
		if got := fmt.Sprint(d.ValidUntil, " ", d.RetainUntil, " ", d.Standing); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// What was read goes with the document, sealed; what is plain is what SEC-24 allows.
func TestSEC24_WhatIsFiledWhere(t *testing.T) {
	s := &shelf{}
	f := filing.New(s, plainKeys{}, func() time.Time { return today })
	lease := core.Lease{Token: 7}
	p := core.Piece{Tenant: "tenant", Vault: "vault", ID: "piece", Channel: "smtp", Journey: core.JourneyHome, Kind: core.KindPDF, Sealed: core.Sealed{Size: 42}}
	v := core.Verdict{Type: "avis", Confidence: 0.93, Holder: "Zoé LE GOFF", Holders: []string{"Zoé LE GOFF", "Yann LE GOFF"}, Issued: day(t, "2026-07-31"),
		Period: core.Period{From: day(t, "2025-01-01"), To: day(t, "2025-12-31")}, Evidence: []string{"« Avis d’impôt »"}, Catalogue: 3}
	id, err := f.File(t.Context(), lease, p, core.PieceMeta{FileName: "avis.pdf", SHA256: "abc"}, v, catalogue.Type{Code: "avis"})
	if err != nil {
		t.Fatal(err)
	}
	got := s.filed[0]
	want := core.Document{Tenant: "tenant", Vault: "vault", ID: id, Type: "avis", Catalogue: 3, State: core.DocumentToConfirm, Standing: core.StandingCurrent,
		Channel: "smtp", Journey: core.JourneyHome, Created: today, Size: 42, Meta: got.Document.Meta, Parts: []core.PiecePages{{Piece: "piece"}}}
	if !reflect.DeepEqual(got.Document, want) {
		t.Errorf("document %+v\nwant     %+v", got.Document, want)
	}
	var meta core.DocumentMeta
	if err := json.Unmarshal(got.Document.Meta, &meta); err != nil {
		t.Fatal(err)
	}
	wantMeta := core.DocumentMeta{Document: id, FileName: "avis.pdf", SHA256: "abc", Kind: core.KindPDF, Confidence: 0.93, Holder: v.Holder, Holders: v.Holders,
		Issued: v.Issued, Period: v.Period, Evidence: v.Evidence}
	if !reflect.DeepEqual(meta, wantMeta) {
		t.Errorf("sealed %+v\nwant   %+v", meta, wantMeta)
	}
	if string(got.Fingerprint) != "vault [abc]" {
		t.Errorf("fingerprint of %s", got.Fingerprint)
	}
	wantAccess := core.Access{Tenant: "tenant", Vault: "vault", Actor: "pipeline", Act: "file", Purpose: "file_deposit", Object: "piece", Lease: &lease}
	if !reflect.DeepEqual(got.Access, wantAccess) {
		t.Errorf("journaled as %+v", got.Access)
	}
}

// One yes frees all that a deposit brought and that waits; a second finds nothing left.
func TestConfirmDeposit(t *testing.T) {
	none := func(string) (catalogue.Type, bool) { return catalogue.Type{}, false }
	confirm := func(s *shelf) ([]core.DocumentID, error) {
		return filing.New(s, plainKeys{}, time.Now).ConfirmDeposit(t.Context(), core.Access{}, "deposit", none)
	}
	s := &shelf{brought: []core.DocumentID{"a", "b"}, doc: core.Document{State: core.DocumentToConfirm}}
	if freed, err := confirm(s); err != nil || !slices.Equal(freed, s.brought) || len(s.moved) != 2 {
		t.Errorf("freed %v, %v, moved %v", freed, err, s.moved)
	}
	s = &shelf{brought: []core.DocumentID{"a"}, doc: core.Document{State: core.DocumentValidated}}
	if freed, err := confirm(s); err != nil || len(freed) != 0 || len(s.moved) != 0 {
		t.Errorf("again: freed %v, %v, moved %v", freed, err, s.moved)
	}
	if _, err := confirm(&shelf{}); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("a deposit that brought nothing: %v", err)
	}
}

// What a reply's file becomes is decided by its type and its trust, among what the reply
// answers.
func TestNIM2_WhereAReplysFileGoes(t *testing.T) {
	typ := catalogue.Type{Code: "carte", Validation: byNobody}
	card, other := filing.Answer{ID: "card", Type: "carte"}, filing.Answer{ID: "other", Type: "avis"}
	taken, twin := filing.Answer{ID: "card", Type: "carte", Taken: true}, filing.Answer{ID: "twin", Type: "carte"}
	for _, c := range []struct {
		name     string
		answers  []filing.Answer
		reply    bool
		trust    core.Trust
		id       core.DocumentID // "" a document of its own
		replaces core.DocumentID
		state    core.DocumentState
		reason   string
	}{
		{"no reply", nil, false, core.T3, "", "", core.DocumentValidated, ""},
		{"the one document", []filing.Answer{card}, true, core.T3, "card", "card", core.DocumentValidated, filing.ReasonReplaced},
		{"the one of its type", []filing.Answer{other, card}, true, core.T3, "card", "card", core.DocumentValidated, filing.ReasonReplaced},
		{"not proven", []filing.Answer{card}, true, core.T2, "", "card", core.DocumentToConfirm, filing.ReasonProposed},
		{"nothing proven at all", []filing.Answer{card}, true, core.T0, "", "card", core.DocumentToConfirm, filing.ReasonProposed},
		{"another type", []filing.Answer{other}, true, core.T3, "", "", core.DocumentValidated, filing.ReasonOtherType},
		{"two of its type", []filing.Answer{card, twin}, true, core.T3, "", "", core.DocumentToConfirm, filing.ReasonSeveral},
		{"its second file", []filing.Answer{taken}, true, core.T3, "", "", core.DocumentToConfirm, filing.ReasonSeveral},
		{"nothing there any more", nil, true, core.T3, "", "", core.DocumentValidated, filing.ReasonNothing},
	} {
		s := &shelf{}
		if c.reply {
			s.answered = filing.Answered{Deposit: "deposit", Documents: c.answers}
		}
		p := core.Piece{Trust: c.trust, Journey: core.JourneyHome, ID: "piece", Answers: s.answered.Deposit}
		if _, err := filing.New(s, plainKeys{}, func() time.Time { return today }).File(t.Context(), core.Lease{}, p, core.PieceMeta{}, core.Verdict{Type: "carte"}, typ); err != nil {
			t.Fatal(err)
		}
		got := s.filed[0]
		own := got.Document.ID != "card" && got.Document.ID != "twin"
		if own != (c.id == "") || !own && got.Document.ID != c.id || got.Document.Replaces != c.replaces || got.Document.State != c.state || got.Reason != c.reason {
			t.Errorf("%s: %s, replaces %q, %s, %q", c.name, got.Document.ID, got.Document.Replaces, got.Document.State, got.Reason)
		}
		var meta core.DocumentMeta
		if err := json.Unmarshal(got.Document.Meta, &meta); err != nil || meta.Document != got.Document.ID {
			t.Errorf("%s: metadata name %q, %v", c.name, meta.Document, err)
		}
	}
}
