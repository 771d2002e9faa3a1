package opening

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/vault"
)

func (r *run) body(ctx context.Context, i int) error {
	d, body, key := r.deposit, r.deposit.Bodies[i], r.keys[i]
	rewrapped, err := r.Opener.keys.Wrap(ctx, d.Tenant, r.out.Vault, body.Sealed.Object, key)
	if err != nil {
		return err
	}
	r.out.Rewrapped = append(r.out.Rewrapped, rewrapped)
	if body.Type != messageType {
		return r.whole(body, rewrapped)
	}
	message, err := vault.OpenFrom(ctx, r.blobs, key, d.Tenant, body.Sealed.Object, body.Sealed.Ref)
	if err != nil {
		return err
	}
	defer message.Close()
	cover, err := r.splitter.Split(ctx, message, func(p core.Part) error { return r.part(ctx, p) })
	var limit *core.Refusal
	switch {
	case errors.As(err, &limit):
		r.doubts(limit.Code) // the parts within the limit were given
	case err != nil:
		return fmt.Errorf("split message: %w", err)
	case len(cover.Doubts) > 0:
		r.doubts(cover.Doubts[0])
	}
	r.out.Signed, r.note = cover.Signed, cover.Note
	if cover.Note == "" || r.out.Note != nil {
		return nil
	}
	r.out.Note, err = key.Seal(d.Tenant, body.Sealed.Object, vault.LabelNote, []byte(cover.Note))
	return err
}

// doubts notes why the message is held, unless a person has seen it and said to go on.
func (r *run) doubts(code string) {
	if !r.deposit.attached() {
		r.doubt = code
	}
}

// whole: a body that is a file itself becomes a piece over the same bytes.
func (r *run) whole(body core.SealedBody, wrapped []byte) error {
	sealed := body.Sealed
	sealed.Wrapped = wrapped
	r.add(Piece{Digest: body.Digest, Piece: core.Piece{Sealed: sealed, Meta: body.Meta, State: core.PieceWaiting}})
	return nil
}

// part makes a part a piece; an archive is followed by what it holds.
func (r *run) part(ctx context.Context, p core.Part) error {
	body := bufio.NewReader(p.Body)
	p.Body = body
	head, _ := body.Peek(4) // an error shows again when it is read
	if p.Refusal != nil || p.Aside != "" || !isZip(head) {
		return r.piece(ctx, p)
	}
	return r.archive(ctx, p)
}

// maxArchive is the largest archive that is unpacked: it is held in memory meanwhile.
const maxArchive = 64 << 20

// archive makes an archive a piece, and each file in it. What it held stands beside it;
// one that cannot be unpacked is refused as a whole.
func (r *run) archive(ctx context.Context, p core.Part) error {
	whole, err := io.ReadAll(io.LimitReader(p.Body, maxArchive+1))
	if err != nil {
		return err
	}
	p.Body = io.MultiReader(bytes.NewReader(whole), p.Body)
	if err := r.piece(ctx, p); err != nil || len(whole) > maxArchive {
		return err
	}
	n := len(r.out.Pieces) - 1
	err = unpack(ctx, bytes.NewReader(whole), int64(len(whole)), defaultArchive, func(p core.Part) error { return r.piece(ctx, p) })
	var refusal *core.Refusal
	switch piece := &r.out.Pieces[n]; {
	case errors.As(err, &refusal):
		piece.State, piece.Reason, piece.Sentence = core.PieceRefused, refusal.Code, refusal.Reason
	case errors.Is(err, errNoArchive):
	case err != nil:
		return err
	default:
		piece.State, piece.Reason = core.PieceSetAside, core.AsideContainer
	}
	return nil
}

// piece seals a part and makes it a piece.
func (r *run) piece(ctx context.Context, p core.Part) error {
	d := r.deposit
	object := core.NewID[core.ObjectID]()
	key, wrapped, err := r.Opener.keys.NewKey(ctx, d.Tenant, r.out.Vault, object)
	if err != nil {
		return err
	}
	s, err := vault.SealTo(ctx, r.blobs, key, d.Tenant, object, p.Body)
	if err != nil {
		return err
	}
	piece := Piece{Digest: s.Digest, Piece: core.Piece{State: core.PieceWaiting,
		Sealed: core.Sealed{Object: object, Ref: s.Ref, Size: s.Size, Wrapped: wrapped}}}
	switch {
	case p.Refusal != nil:
		piece.State, piece.Reason, piece.Sentence = core.PieceRefused, p.Refusal.Code, p.Refusal.Reason
	case p.Aside != "":
		piece.State, piece.Reason = core.PieceSetAside, p.Aside
	}
	plain, err := json.Marshal(core.PieceMeta{FileName: p.Name, DeclaredType: p.Type, SHA256: hex.EncodeToString(s.SHA256)})
	if err == nil {
		piece.Meta, err = key.Seal(d.Tenant, object, vault.LabelMeta, plain)
	}
	r.add(piece) // named from here on, so that forget finds it
	return err
}

// add numbers a piece and gives it what it has from its deposit.
func (r *run) add(p Piece) {
	d := r.deposit
	p.Tenant, p.ID, p.Deposit, p.Vault = d.Tenant, core.NewID[core.PieceID](), d.ID, r.out.Vault
	p.Channel, p.Journey, p.Trust, p.N = d.Channel, d.Journey, r.out.Trust, len(r.out.Pieces)+1
	r.out.Pieces = append(r.out.Pieces, p)
}

// forget deletes the blobs of pieces that were not recorded. What it misses is
// collected as an orphan.
func (r *run) forget() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, p := range r.out.Pieces {
		if r.shared(p.Sealed.Ref) {
			continue
		}
		if err := r.blobs.Delete(ctx, p.Sealed.Ref); err != nil {
			r.log.Warn("orphan blob left to the collector", "object", p.Sealed.Object)
		}
	}
}

// shared: the piece lies in the bytes of a body.
func (r *run) shared(ref core.Ref) bool {
	for _, b := range r.deposit.Bodies {
		if b.Sealed.Ref == ref {
			return true
		}
	}
	return false
}
