package pipeline_test

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/tenant"
	"vaguemestre/core/vault"
)

// A worker killed between two states leaves the piece where it stood: the next one goes
// on from there, and what was read is not read again.
func TestKilledBetweenStatesItGoesOnWhereItStood(t *testing.T) {
	t.Parallel()
	w := newDesk(t)
	step := w.pieces("one")[0]
	dies := &reader{recognise: func(core.Evidence) core.Verdict { panic("killed") }}
	w.dieIn(step, dies)
	w.wantStanding("killed while recognising", step, "examined attempts 1 leased")
	time.Sleep(250 * time.Millisecond)

	never := func(context.Context, []byte, bool) (core.Evidence, error) {
		t.Error("examined again")
		return core.Evidence{}, errAccident
	}
	unfiled := w.runnerOf(w.Worker, &reader{examine: never}, time.Minute)
	w.Exec("ALTER TABLE document RENAME TO elsewhere") // filing fails
	w.run(unfiled, step)
	w.Exec("ALTER TABLE elsewhere RENAME TO document")
	w.wantStanding("not filed", step, "recognised accident_file attempts 2")
	w.due()

	w.read.examine = never
	w.run(w.runner(time.Minute), step)
	w.wantStanding("at last", step, "filed attempts 3")
	w.wantAsked("the last worker", 0, 0)
	if !reflect.DeepEqual(dies.recognised, []core.Evidence{seenText}) || len(dies.examined) != 1 {
		t.Errorf("examined %v, handed on %v", dies.examined, dies.recognised)
	}
	if got := w.Text("SELECT string_agg(kind || ' ' || producer, ', ' ORDER BY kind) FROM artifact"); got != "evidence examine/1, verdict test/1" {
		t.Errorf("kept: %s", got)
	}
	if w.documents() != 1 {
		t.Errorf("%d documents", w.documents())
	}
}

// dieIn runs a step without whatever follows a panic: no outcome is written.
func (w *desk) dieIn(step core.Step, r *reader) {
	w.t.Helper()
	lease, err := w.Worker.Claim(w.t.Context(), step, 200*time.Millisecond)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			w.t.Error("it lives")
		}
	}()
	_ = w.reader(r).Read(w.t.Context(), lease)
}

// Without consent a piece is examined for what it is, and not for what it says: no text
// is asked for, none is kept, nothing is recognised, and its owner names the type.
func TestSEC102_WithoutConsentNothingIsRead(t *testing.T) {
	t.Parallel()
	for name, withdraw := range map[string]string{
		"never given": "UPDATE citizen SET reading_consent_version = NULL, reading_consent_at = NULL",
		"revoked":     "UPDATE citizen SET reading_consent_revoked = now()",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newDesk(t)
			step := w.pieces("one")[0]
			w.Exec(withdraw)
			w.read.examine = func(_ context.Context, _ []byte, read bool) (core.Evidence, error) {
				if read {
					return seenText, nil
				}
				return core.Evidence{Kind: core.KindPDF, Pages: 1, Skipped: []string{"no_reading_consent"}}, nil
			}
			w.run(w.runner(time.Minute), step)
			w.wantStanding("unread", step, "at_desk no_reading_consent attempts 1")
			w.wantAsked("unread", 1, 0)
			if desk := w.Text("SELECT desk || ' ' || kind FROM piece"); desk != "citizen pdf" {
				t.Errorf("at the desk of %s", desk)
			}
			kept := w.kept(step)
			if len(kept) != 1 || strings.Contains(kept[0], "bancaire") || !strings.Contains(kept[0], "no_reading_consent") {
				t.Errorf("kept %q", kept)
			}
		})
	}
}

// Consent withdrawn after the text was read, and before anything was made of it: nothing
// is.
func TestSEC102_ConsentWithdrawnHalfWay(t *testing.T) {
	t.Parallel()
	w := newDesk(t)
	step := w.pieces("one")[0]
	w.dieIn(step, &reader{recognise: func(core.Evidence) core.Verdict { panic("killed") }})
	w.Exec("UPDATE citizen SET reading_consent_revoked = now()")
	time.Sleep(250 * time.Millisecond)
	w.run(w.runner(time.Minute), step)
	w.wantStanding("withdrawn", step, "at_desk no_reading_consent attempts 2")
	w.wantAsked("withdrawn", 0, 0)
}

// kept opens all that was kept of a piece.
func (w *desk) kept(step core.Step) (artifacts []string) {
	w.t.Helper()
	p, err := w.Worker.Piece(w.t.Context(), core.Lease{Step: step})
	if err != nil {
		w.t.Fatal(err)
	}
	who := core.Access{Tenant: w.ID, Vault: w.citizen.ID, Actor: "maintenance", Act: "open", Purpose: "test"}
	keys, err := w.Keeper.Open(w.t.Context(), who, vault.Wrapped{Object: p.Sealed.Object, Bytes: p.Sealed.Wrapped})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, a := range p.Artifacts {
		plain, err := keys[0].Open(w.ID, p.Sealed.Object, vault.LabelArtifact+a.Kind, a.Sealed)
		if err != nil {
			w.t.Fatal(err)
		}
		artifacts = append(artifacts, string(plain))
	}
	return artifacts
}

// What is not sure, or not ours any more, goes to its owner, never into a wrong type.
func TestWhatIsNotSureGoesToItsOwner(t *testing.T) {
	t.Parallel()
	w := newDesk(t)
	verdict, threshold := aRIB, tenant.Defaults().Threshold
	w.read.recognise = func(core.Evidence) core.Verdict { return verdict }
	for _, c := range []struct {
		name       string
		confidence float64
		kind, want string
		types      string
	}{
		{"sure enough", threshold, "pdf", "filed attempts 1", ""},
		{"under the town's threshold", threshold - 0.01, "pdf", "at_desk not_recognised attempts 1", ""},
		{"none of ours", 0, "pdf", "at_desk not_recognised attempts 1", ""},
		{"a kind the type does not take", 0.9, "png", "at_desk kind_not_accepted attempts 1", "{code: rib, label: RIB, family: Banque, kinds: [pdf], validity: [{until: never}]}"},
		{"a type the town retired", 0.9, "pdf", "at_desk type_retired attempts 1", "{code: rib, label: RIB, family: Banque, retired: true, validity: [{until: never}]}"},
		{"a type the town removed", 0.9, "pdf", "at_desk type_retired attempts 1", "{code: bail, label: Bail, family: Logement, validity: [{until: never}]}"},
	} {
		if c.types != "" {
			w.setCatalogue("types:\n- " + c.types + "\n")
		}
		if verdict = aRIB; c.confidence == 0 {
			verdict = core.Verdict{Producer: "test/1"}
		}
		verdict.Confidence = c.confidence
		w.read.examine = func(context.Context, []byte, bool) (core.Evidence, error) {
			return core.Evidence{Kind: core.Kind(c.kind), Pages: 1, Text: seenText.Text}, nil
		}
		step := w.pieces(c.name)[0]
		w.run(w.runner(time.Minute), step)
		w.wantStanding(c.name, step, c.want)
		if desk := w.Text("SELECT desk FROM piece WHERE id = '" + step.ID + "'"); (desk == "citizen") != strings.HasPrefix(c.want, "at_desk") {
			t.Errorf("%s: at the desk of %q", c.name, desk)
		}
	}
	if w.documents() != 1 {
		t.Errorf("%d documents", w.documents())
	}
}
