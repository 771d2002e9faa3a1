package vault

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"

	"vaguemestre/core"
)

// Documents finds what stands in a vault.
type Documents interface {
	Documents(ctx context.Context, tenant core.TenantID, vault core.CitizenID) ([]core.Document, error)
	// Document returns core.ErrNotFound for what is not in this vault.
	Document(ctx context.Context, tenant core.TenantID, vault core.CitizenID, id core.DocumentID) (core.Document, error)
}

// Reader reads a vault for someone: every call is one entry in its journal.
type Reader struct {
	documents Documents
	keeper    *Keeper
	blobs     Blobs
}

// NewReader builds the reader.
func NewReader(documents Documents, keeper *Keeper, blobs Blobs) *Reader {
	return &Reader{documents, keeper, blobs}
}

// Item is a document with its metadata opened.
type Item struct {
	core.Document
	Opened core.DocumentMeta
}

// List opens the metadata of all documents of the vault who names.
func (r *Reader) List(ctx context.Context, who core.Access) ([]Item, error) {
	docs, err := r.documents.Documents(ctx, who.Tenant, who.Vault)
	if err != nil {
		return nil, err
	}
	who.Act, who.Object = "list", ""
	items, _, err := r.open(ctx, who, docs)
	return items, err
}

// open opens documents' metadata and, under the same entry, further object keys.
func (r *Reader) open(ctx context.Context, who core.Access, docs []core.Document, further ...Wrapped) ([]Item, []Key, error) {
	boxes := make([][]byte, len(docs))
	for i, d := range docs {
		boxes[i] = d.Meta
	}
	opened, keys, err := r.keeper.unbox(ctx, who, boxes, further...)
	if err != nil {
		return nil, nil, fmt.Errorf("open keys: %w", err)
	}
	items := make([]Item, len(docs))
	for i, d := range docs {
		items[i].Document = d
		if err := json.Unmarshal(opened[i], &items[i].Opened); err != nil {
			return nil, nil, fmt.Errorf("metadata of document %s: %w", d.ID, err)
		}
		if items[i].Opened.Document != d.ID { // rows were exchanged
			return nil, nil, fmt.Errorf("metadata of document %s: %w", d.ID, ErrSealBroken)
		}
	}
	return items, keys, nil
}

// Read opens a document and the original of one of its parts (from 0). Reading the
// stream ends in io.EOF only when it was whole; after any other error what was read
// must be thrown away (REL-13). A document taken out of the vault while it is read ends
// the stream with core.ErrNotFound. The caller closes.
func (r *Reader) Read(ctx context.Context, who core.Access, id core.DocumentID, part int) (Item, io.ReadCloser, error) {
	d, err := r.documents.Document(ctx, who.Tenant, who.Vault, id)
	if err != nil {
		return Item{}, nil, err
	}
	if part < 0 || part >= len(d.Parts) {
		return Item{}, nil, core.ErrNotFound
	}
	who.Act, who.Object = "read", string(id)
	sealed := d.Parts[part].Sealed
	items, keys, err := r.open(ctx, who, []core.Document{d}, Wrapped{sealed.Object, sealed.Wrapped})
	if err != nil {
		return Item{}, nil, err
	}
	body, err := OpenFrom(ctx, r.blobs, keys[0], who.Tenant, sealed.Object, sealed.Ref)
	if err != nil {
		return Item{}, nil, err
	}
	if len(d.Parts) == 1 {
		body = &provenReader{ReadCloser: body, hash: sha256.New(), want: items[0].Opened.SHA256}
	}
	return items[0], &standingReader{ReadCloser: body, stands: func() error {
		_, err := r.documents.Document(ctx, who.Tenant, who.Vault, id)
		return err
	}}, nil
}

// checkEvery is how many bytes a download may go on after its document has left the vault.
const checkEvery = 1 << 20

// standingReader asks again on the way whether the document still stands in the vault: a
// filing undone ends the downloads that are under way (SEC-17).
type standingReader struct {
	io.ReadCloser
	stands func() error
	left   int // bytes until it is asked again
}

func (s *standingReader) Read(b []byte) (int, error) {
	if s.left <= 0 {
		if err := s.stands(); err != nil {
			return 0, err
		}
		s.left = checkEvery
	}
	n, err := s.ReadCloser.Read(b)
	s.left -= n
	return n, err
}

// provenReader ends well only when what was read is what the document says it is: the
// seal proves that the bytes are some piece's, not that they are this document's.
type provenReader struct {
	io.ReadCloser
	hash hash.Hash
	want string // hex
}

func (p *provenReader) Read(b []byte) (int, error) {
	n, err := p.ReadCloser.Read(b)
	p.hash.Write(b[:n])
	if err == io.EOF && hex.EncodeToString(p.hash.Sum(nil)) != p.want {
		err = fmt.Errorf("%w: not the document's bytes", ErrSealBroken)
	}
	return n, err
}
