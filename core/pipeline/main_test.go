package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/catalogue"
	"vaguemestre/core/examine"
	"vaguemestre/core/filing"
	"vaguemestre/core/pipeline"
	"vaguemestre/core/store/blob"
	"vaguemestre/core/store/keyfile"
	"vaguemestre/core/store/postgres"
	"vaguemestre/core/store/postgres/pgtest"
	"vaguemestre/core/store/postgres/towntest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// desk is a town with one citizen, whose pieces are examined and recognised as the test
// says. All the rest is real.
type desk struct {
	*towntest.Town
	t       testing.TB
	citizen towntest.Citizen
	read    *reader
	rung    towntest.Bell
	http    *postgres.Store

	mu       sync.Mutex
	outcomes []string // of every attempt, as the metrics are told
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	keys, err := keyfile.Open(filepath.Join(t.TempDir(), "kek.json"))
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blob.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &desk{t: t, Town: towntest.New(t, keys, blobs), rung: make(towntest.Bell, 256), read: &reader{}}
	w.http = w.Store(postgres.RoleHTTP)
	w.citizen = w.Enrol("Camille")
	w.setCatalogue("types:\n- {code: rib, label: RIB, family: Banque, validity: [{until: never}]}\n")
	return w
}

// setCatalogue puts the next version of the town's catalogue in force.
func (w *desk) setCatalogue(yaml string) {
	w.t.Helper()
	if _, err := catalogue.Parse([]byte(yaml)); err != nil {
		w.t.Fatal(err)
	}
	w.Exec(fmt.Sprintf(`INSERT INTO catalogue SELECT tenant_id, version + 1, $$%s$$, now() FROM catalogue ORDER BY version DESC LIMIT 1`, yaml))
}

// reader examines and recognises as told, and remembers what it was asked.
type reader struct {
	examine   func(ctx context.Context, file []byte, read bool) (core.Evidence, error)
	recognise func(ev core.Evidence) core.Verdict

	mu         sync.Mutex
	examined   []string // the files
	recognised []core.Evidence
}

var (
	seenText = core.Evidence{Kind: core.KindPDF, Pages: 1, Text: []core.PageText{{Page: 1, Source: core.SourceLayer, Text: "relevé d'identité bancaire"}}}
	aRIB     = core.Verdict{Type: "rib", Confidence: 0.9, Holder: "Camille Durand", Producer: "test/1"}
)

func (r *reader) Examine(ctx context.Context, file []byte, _ examine.Limits, read bool) (core.Evidence, error) {
	r.mu.Lock()
	r.examined = append(r.examined, string(file))
	r.mu.Unlock()
	if r.examine != nil {
		return r.examine(ctx, file, read)
	}
	return seenText, nil
}

func (r *reader) Recognise(_ *catalogue.Catalogue, ev core.Evidence, _ core.Date) core.Verdict {
	r.mu.Lock()
	r.recognised = append(r.recognised, ev)
	r.mu.Unlock()
	if r.recognise != nil {
		return r.recognise(ev)
	}
	return aRIB
}

// asked is how often a file was examined, and how often evidence recognised.
func (r *reader) asked() (examined, recognised int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.examined), len(r.recognised)
}

// runner is a worker's; a test may have several. ttl is how long its leases last.
func (w *desk) runner(ttl time.Duration) *pipeline.Runner { return w.runnerOf(w.Worker, w.read, ttl) }

func (w *desk) runnerOf(work pipeline.Work, r *reader, ttl time.Duration) *pipeline.Runner {
	seen := func(noun core.Noun, outcome string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.outcomes = append(w.outcomes, string(noun)+" "+outcome)
	}
	return pipeline.New(work, w.Opener(splitter{}), w.reader(r), nil, w.Notices(), w.rung, ttl, slog.New(slog.DiscardHandler), seen)
}

func (w *desk) reader(r *reader) *pipeline.Reader {
	return pipeline.NewReader(w.Worker, w.Keeper, w.Blobs, r, r, filing.New(w.Worker, w.Keeper, time.Now))
}

// splitter makes a part of every line of a message.
type splitter struct{}

func (splitter) Split(_ context.Context, message io.Reader, each func(core.Part) error) (core.Cover, error) {
	b, err := io.ReadAll(message)
	if err != nil {
		return core.Cover{}, err
	}
	switch string(b) {
	case "broken":
		return core.Cover{}, errors.New("broken")
	case "refused":
		return core.Cover{}, &core.Refusal{Code: "too_many_parts", Reason: "Ce message contient trop de fichiers."}
	}
	for line := range strings.Lines(string(b)) {
		if err := each(core.Part{Name: "f.pdf", Type: "application/pdf", Body: strings.NewReader(strings.TrimSpace(line))}); err != nil {
			return core.Cover{}, err
		}
	}
	return core.Cover{}, nil
}

// arrive takes in a message with these files and returns the step that opens it.
func (w *desk) arrive(files ...string) core.Step {
	w.t.Helper()
	id := w.Accept(w.citizen, string(core.NewID[core.ObjectID]()), "message/rfc822", []byte(strings.Join(files, "\n")))
	return core.Step{Tenant: w.ID, Noun: core.NounDeposit, ID: string(id)}
}

// pieces takes in a message and opens it.
func (w *desk) pieces(files ...string) []core.Step {
	w.t.Helper()
	w.run(w.runner(time.Minute), w.arrive(files...))
	steps := make([]core.Step, len(files))
	for i := range steps {
		steps[i] = <-w.rung
	}
	return steps
}

// run runs a step; whatever comes of the work, running it is no error.
func (w *desk) run(r *pipeline.Runner, step core.Step) {
	w.t.Helper()
	if err := r.Run(w.t.Context(), step); err != nil {
		w.t.Errorf("run %s: %v", step.Noun, err)
	}
}

// stands is where a row stands, and what counts for its next attempt.
func (w *desk) stands(step core.Step) string {
	w.t.Helper()
	return w.Text(`SELECT concat_ws(' ', state, reason, 'attempts', attempts, CASE WHEN lease_until IS NOT NULL THEN 'leased' END)
		FROM ` + string(step.Noun) + ` WHERE id = '` + step.ID + `'`)
}

func (w *desk) wantStanding(when string, step core.Step, want string) {
	w.t.Helper()
	if got := w.stands(step); got != want {
		w.t.Errorf("%s: stands as %q, want %q", when, got, want)
	}
}

// due: it is time for the next attempt of every row.
func (w *desk) due() {
	w.Exec("UPDATE piece SET next_at = '-infinity'; UPDATE deposit SET next_at = '-infinity'")
}

func (w *desk) documents() int {
	w.t.Helper()
	docs, err := w.http.Documents(w.t.Context(), w.ID, w.citizen.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return len(docs)
}

func (w *desk) wantAsked(when string, examined, recognised int) {
	w.t.Helper()
	if e, r := w.read.asked(); e != examined || r != recognised {
		w.t.Errorf("%s: examined %d times and recognised %d, want %d and %d", when, e, r, examined, recognised)
	}
}

// last is how the latest attempt ended.
func (w *desk) last() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.outcomes) == 0 {
		return ""
	}
	return w.outcomes[len(w.outcomes)-1]
}
