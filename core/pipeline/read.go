package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/catalogue"
	"vaguemestre/core/examine"
	"vaguemestre/core/tenant"
	"vaguemestre/core/vault"
)

// Piece is a leased piece with what the reader has to know besides.
type Piece struct {
	core.Piece
	Received       time.Time
	ReadingConsent bool // a legal basis for reading it (SEC-102)
}

// Pieces is what reading needs of the database.
type Pieces interface {
	Piece(ctx context.Context, lease core.Lease) (Piece, error)
	// Amend lets change edit the leased piece and commits; core.ErrStale when the lease
	// has passed to another.
	Amend(ctx context.Context, lease core.Lease, change func(*core.Piece) error) error
	Settings(ctx context.Context, id core.TenantID) (tenant.Settings, int, error)
	// Catalogue returns "" for the content of a version the caller has.
	Catalogue(ctx context.Context, id core.TenantID, have int) (content string, version int, err error)
}

// Keys opens a piece's key.
type Keys interface {
	Open(ctx context.Context, who core.Access, wrapped ...vault.Wrapped) ([]vault.Key, error)
}

// Examiner turns bytes into evidence. A *core.Refusal is final.
type Examiner interface {
	Examine(ctx context.Context, file []byte, limits examine.Limits, read bool) (core.Evidence, error)
}

// Recogniser turns evidence into a verdict. It is pure.
type Recogniser interface {
	Recognise(cat *catalogue.Catalogue, ev core.Evidence, received core.Date) core.Verdict
}

// Filer files a recognised piece.
type Filer interface {
	File(ctx context.Context, lease core.Lease, p core.Piece, meta core.PieceMeta, v core.Verdict, t catalogue.Type) (core.DocumentID, error)
}

// Reader leads a piece through examine, recognise and file.
type Reader struct {
	pieces     Pieces
	keys       Keys
	blobs      vault.Blobs
	examiner   Examiner
	recogniser Recogniser
	filer      Filer

	mu         sync.Mutex
	catalogues map[core.TenantID]*catalogue.Catalogue
}

// NewReader builds the reader.
func NewReader(pieces Pieces, keys Keys, blobs vault.Blobs, examiner Examiner, recogniser Recogniser, filer Filer) *Reader {
	return &Reader{pieces: pieces, keys: keys, blobs: blobs, examiner: examiner, recogniser: recogniser, filer: filer,
		catalogues: map[core.TenantID]*catalogue.Catalogue{}}
}

// reading is one piece on its way, its key open.
type reading struct {
	*Reader
	lease    core.Lease
	piece    Piece
	key      vault.Key
	settings tenant.Settings
	types    *catalogue.Catalogue
}

// Read runs the steps that the piece's state still calls for. Each commits before the
// next begins, so that a piece killed half-way goes on where it stood.
func (r *Reader) Read(ctx context.Context, lease core.Lease) error {
	p, err := r.pieces.Piece(ctx, lease)
	if err != nil {
		return err
	}
	run := &reading{Reader: r, lease: lease, piece: p}
	if run.settings, _, err = r.pieces.Settings(ctx, p.Tenant); err != nil {
		return err
	}
	if run.types, err = r.catalogue(ctx, p.Tenant); err != nil {
		return err
	}
	who := core.Access{Tenant: p.Tenant, Vault: p.Vault, Actor: "pipeline", Act: "open", Purpose: "read_piece", Object: string(p.ID), Lease: &lease}
	keys, err := r.keys.Open(ctx, who, vault.Wrapped{Object: p.Sealed.Object, Bytes: p.Sealed.Wrapped})
	if err != nil {
		return fmt.Errorf("open key: %w", err)
	}
	run.key = keys[0]
	for _, step := range []struct {
		name  string
		state core.PieceState
		do    func(context.Context) error
	}{
		{"examine", core.PieceWaiting, run.examine},
		{"recognise", core.PieceExamined, run.recognise},
		{"file", core.PieceRecognised, run.file},
	} {
		if run.piece.State != step.state {
			continue
		}
		if err := step.do(ctx); err != nil {
			return &stepError{step.name, err}
		}
	}
	return nil
}

func (r *reading) examine(ctx context.Context) error {
	limits := examine.DefaultLimits()
	limits.MaxBytes, limits.MaxPages = r.settings.MaxFileBytes, r.settings.MaxPages
	if len(r.settings.Kinds) > 0 {
		limits.Kinds = r.settings.Kinds
	}
	if r.piece.Sealed.Size > limits.MaxBytes { // told before a byte of it is opened
		return examine.TooLarge(limits.MaxBytes)
	}
	file, err := r.open(ctx)
	if err != nil {
		return err
	}
	ev, err := r.examiner.Examine(ctx, file, limits, r.piece.ReadingConsent)
	if err != nil {
		return err
	}
	artifact, err := r.seal(core.ArtifactEvidence, "examine/1", ev)
	if err != nil {
		return err
	}
	return r.amend(ctx, func(p *core.Piece) error {
		p.Kind, p.Pages, p.State = ev.Kind, ev.Pages, core.PieceExamined
		p.Artifacts = []core.Artifact{artifact}
		if !r.piece.ReadingConsent {
			askOwner(p, "no_reading_consent")
		}
		return nil
	})
}

// open reads the whole file, which the limits keep small enough to hold.
func (r *reading) open(ctx context.Context) ([]byte, error) {
	s := r.piece.Sealed
	body, err := vault.OpenFrom(ctx, r.blobs, r.key, r.piece.Tenant, s.Object, s.Ref)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	file := make([]byte, s.Size)
	if _, err := io.ReadFull(body, file); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("object %s: %w", s.Object, err)
	}
	if n, err := body.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) { // the end must be the sealed end
		return nil, fmt.Errorf("object %s: %w", s.Object, vault.ErrSealBroken)
	}
	return file, nil
}

func (r *reading) recognise(ctx context.Context) error {
	if !r.piece.ReadingConsent { // withdrawn since it was examined
		return r.leave(ctx, "no_reading_consent")
	}
	var ev core.Evidence
	if err := r.unseal(core.ArtifactEvidence, &ev); err != nil {
		return err
	}
	v := r.recogniser.Recognise(r.types, ev, core.DateOf(r.piece.Received))
	if v.Confidence < r.settings.Threshold {
		v.Type = ""
	}
	artifact, err := r.seal(core.ArtifactVerdict, v.Producer, v)
	if err != nil {
		return err
	}
	return r.amend(ctx, func(p *core.Piece) error {
		p.Artifacts = []core.Artifact{artifact}
		p.State = core.PieceRecognised
		if v.Type == "" { // never into a wrong type: its owner is asked first
			askOwner(p, "not_recognised")
		}
		return nil
	})
}

func (r *reading) file(ctx context.Context) error {
	var v core.Verdict
	if err := r.unseal(core.ArtifactVerdict, &v); err != nil {
		return err
	}
	t, ok := r.types.Type(v.Type)
	if !ok || t.Retired {
		return r.leave(ctx, "type_retired")
	}
	if !t.Accepts(r.piece.Kind) {
		return r.leave(ctx, "kind_not_accepted")
	}
	plain, err := r.key.Open(r.piece.Tenant, r.piece.Sealed.Object, vault.LabelMeta, r.piece.Meta)
	if err != nil {
		return err
	}
	var meta core.PieceMeta
	if err := json.Unmarshal(plain, &meta); err != nil {
		return fmt.Errorf("metadata of piece: %w", err)
	}
	_, err = r.filer.File(ctx, r.lease, r.piece.Piece, meta, v, t)
	return err
}

// leave leaves the piece to its owner, who decides.
func (r *reading) leave(ctx context.Context, reason string) error {
	return r.amend(ctx, func(p *core.Piece) error {
		askOwner(p, reason)
		return nil
	})
}

func askOwner(p *core.Piece, reason string) {
	p.State, p.Desk, p.Reason = core.PieceAtDesk, core.DeskCitizen, reason
}

// amend commits a change and keeps our copy of the piece in step with it.
func (r *reading) amend(ctx context.Context, change func(*core.Piece) error) error {
	return r.pieces.Amend(ctx, r.lease, func(p *core.Piece) error {
		if err := change(p); err != nil {
			return err
		}
		earlier := r.piece.Artifacts
		r.piece.Piece = *p
		r.piece.Artifacts = append(earlier, p.Artifacts...)
		return nil
	})
}

func (r *reading) seal(kind, producer string, value any) (core.Artifact, error) {
	plain, err := json.Marshal(value)
	if err != nil {
		return core.Artifact{}, fmt.Errorf("%s: %w", kind, err)
	}
	sealed, err := r.key.Seal(r.piece.Tenant, r.piece.Sealed.Object, vault.LabelArtifact+kind, plain)
	return core.Artifact{Kind: kind, Producer: producer, Sealed: sealed}, err
}

// unseal reads the latest artifact of a kind.
func (r *reading) unseal(kind string, value any) error {
	for i := len(r.piece.Artifacts) - 1; i >= 0; i-- {
		a := r.piece.Artifacts[i]
		if a.Kind != kind {
			continue
		}
		plain, err := r.key.Open(r.piece.Tenant, r.piece.Sealed.Object, vault.LabelArtifact+kind, a.Sealed)
		if err != nil {
			return fmt.Errorf("artifact %s: %w", kind, err)
		}
		return json.Unmarshal(plain, value)
	}
	return fmt.Errorf("artifact %s: %w", kind, core.ErrNotFound)
}

// catalogue returns the town's catalogue in force, parsed once a version.
func (r *Reader) catalogue(ctx context.Context, id core.TenantID) (*catalogue.Catalogue, error) {
	r.mu.Lock()
	have := r.catalogues[id]
	r.mu.Unlock()
	version := 0
	if have != nil {
		version = have.Version
	}
	content, version, err := r.pieces.Catalogue(ctx, id, version)
	if err != nil || content == "" {
		return have, err
	}
	fresh, err := catalogue.Parse([]byte(content))
	if err != nil {
		return nil, fmt.Errorf("catalogue %d of tenant %s: %w", version, id, err)
	}
	fresh.Version = version
	r.mu.Lock()
	r.catalogues[id] = fresh
	r.mu.Unlock()
	return fresh, nil
}
