// Package revision owns what a citizen takes back: the former version of a document that
// was replaced, a document that was deleted, and the deletion itself.
package revision

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/link"
)

// UndoFor is how long a former version, or a deleted document, can be brought back
// (SEC-54). What becomes of it then is the lifecycle's.
const UndoFor = 30 * 24 * time.Hour

// Version is a version of a document as it is stored.
type Version struct {
	N          int
	Created    time.Time
	Left       time.Time // zero: in force
	Deleted    time.Time // of the document; zero: it stands
	Size       int64
	Meta       []byte // core.DocumentMeta in a box of the vault
	State      core.DocumentState
	ValidUntil core.Date
}

// Store keeps versions.
type Store interface {
	// Versions lists a document's versions, oldest first, a deleted one's too;
	// core.ErrNotFound for what is not in the vault.
	Versions(ctx context.Context, tenant core.TenantID, vault core.CitizenID, id core.DocumentID) ([]Version, error)
	// RestoreVersion puts a version that left after a time back in force; core.ErrNotFound
	// for any other, core.ErrInvalid when its content stands in another document by now.
	RestoreVersion(ctx context.Context, who core.Access, id core.DocumentID, n int, after time.Time) error
	// DeleteDocument takes a document out of the vault; a repeat changes nothing.
	DeleteDocument(ctx context.Context, who core.Access, id core.DocumentID) error
	// RestoreDocument undoes a deletion that happened after a time; errors likewise.
	RestoreDocument(ctx context.Context, who core.Access, id core.DocumentID, after time.Time) error
}

// Keys opens metadata.
type Keys interface {
	Unbox(ctx context.Context, who core.Access, boxes ...[]byte) ([][]byte, error)
}

// Reviser revises.
type Reviser struct {
	store Store
	keys  Keys
	links *link.Links
	now   func() time.Time
}

// New builds the reviser.
func New(store Store, keys Keys, links *link.Links, now func() time.Time) *Reviser {
	return &Reviser{store, keys, links, now}
}

// Shown is a version as its owner sees it.
type Shown struct {
	N          int                `json:"version"`
	InForce    bool               `json:"in_force"`
	FileName   string             `json:"filename,omitempty"`
	SHA256     string             `json:"sha256"`
	Size       int64              `json:"size"`
	State      core.DocumentState `json:"state"`
	ValidUntil core.Date          `json:"valid_until,omitzero"`
	Created    time.Time          `json:"created"`
	Until      *time.Time         `json:"restorable_until,omitempty"` // nil: in force, or gone for good
}

// Versions shows the versions of a document of who.Vault, oldest first, one that was
// deleted included; core.ErrNotFound.
func (r *Reviser) Versions(ctx context.Context, who core.Access, id core.DocumentID) ([]Shown, error) {
	rows, err := r.store.Versions(ctx, who.Tenant, who.Vault, id)
	if err != nil {
		return nil, err
	}
	boxes := make([][]byte, len(rows))
	for i, v := range rows {
		boxes[i] = v.Meta
	}
	who.Act, who.Object = "list_versions", string(id)
	opened, err := r.keys.Unbox(ctx, who, boxes...)
	if err != nil {
		return nil, fmt.Errorf("open metadata: %w", err)
	}
	out := make([]Shown, len(rows))
	for i, v := range rows {
		var meta core.DocumentMeta
		if err := json.Unmarshal(opened[i], &meta); err != nil || meta.Document != id {
			return nil, fmt.Errorf("metadata of version %d of document %s do not fit", v.N, id)
		}
		out[i] = Shown{N: v.N, InForce: v.Left.IsZero(), FileName: meta.FileName, SHA256: meta.SHA256, Size: v.Size, State: v.State, ValidUntil: v.ValidUntil, Created: v.Created}
		if until := v.Left.Add(UndoFor); !v.Left.IsZero() && until.After(r.now()) {
			out[i].Until = &until
		}
	}
	return out, nil
}

// Restore puts a former version back in force for thirty days after it left; the one it
// displaces can be brought back likewise. core.ErrNotFound for a version that is in force,
// left longer ago, or is none; core.ErrInvalid when its content stands in another
// document.
func (r *Reviser) Restore(ctx context.Context, who core.Access, id core.DocumentID, n int) error {
	who.Act = "restore_version"
	return r.store.RestoreVersion(ctx, who, id, n, r.now().Add(-UndoFor))
}

// Undelete undoes a deletion for thirty days; errors likewise.
func (r *Reviser) Undelete(ctx context.Context, who core.Access, id core.DocumentID) error {
	who.Act = "undo_deletion"
	return r.store.RestoreDocument(ctx, who, id, r.now().Add(-UndoFor))
}

// Delete takes a document out of who.Vault: it is listed, read and used no more, and can
// be brought back for thirty days. Twice is no error; core.ErrNotFound for what was never
// there.
func (r *Reviser) Delete(ctx context.Context, who core.Access, id core.DocumentID) error {
	who.Act = "delete"
	return r.store.DeleteDocument(ctx, who, id)
}

// Offer makes the token of a link that deletes a document of who.Vault, once its owner has
// signed in and says so.
func (r *Reviser) Offer(ctx context.Context, who core.Access, id core.DocumentID) (token string, err error) {
	if _, err := r.store.Versions(ctx, who.Tenant, who.Vault, id); err != nil {
		return "", err
	}
	return r.links.Issue(ctx, who.Tenant, who.Vault, link.DeleteDocument, string(id))
}

// Look says which document a token would delete, and changes nothing. core.ErrNotFound for
// anybody but the citizen it was made for.
func (r *Reviser) Look(ctx context.Context, who core.Access, token string) (core.DocumentID, error) {
	object, err := r.links.Look(ctx, who, link.DeleteDocument, token)
	return core.DocumentID(object), err
}

// DeleteByLink deletes the document a token is for, and names it. Errors are those of Look
// and Delete.
func (r *Reviser) DeleteByLink(ctx context.Context, who core.Access, token string) (id core.DocumentID, err error) {
	err = r.links.Use(ctx, who, link.DeleteDocument, token, func(object string) error {
		id = core.DocumentID(object)
		return r.Delete(ctx, who, id)
	})
	return id, err
}
