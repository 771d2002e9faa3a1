package vault

import (
	"context"
	"encoding/binary"
	"fmt"

	"vaguemestre/core"
)

// A box is a small sealed value that carries its own wrapped key, in one column: an
// identity, an address for display, a document's metadata. Erasing the vault key, or
// the box, leaves nothing readable.
//
//	36 bytes object id ‖ 2 bytes length ‖ wrapped key ‖ sealed value

const idSize = 36

// Box seals a small value into a box of the vault.
func (k *Keeper) Box(ctx context.Context, tenant core.TenantID, vault core.CitizenID, plain []byte) ([]byte, error) {
	object := core.NewID[core.ObjectID]()
	key, wrapped, err := k.NewKey(ctx, tenant, vault, object)
	if err != nil {
		return nil, err
	}
	return packBox(key, wrapped, tenant, object, plain)
}

// Box seals a small value that only the keeper can open, before it has a vault.
func (s *IntakeSealer) Box(plain []byte) ([]byte, error) {
	object := core.NewID[core.ObjectID]()
	key, wrapped, err := s.NewKey(object)
	if err != nil {
		return nil, err
	}
	return packBox(key, wrapped, s.tenant, object, plain)
}

func packBox(key Key, wrapped []byte, tenant core.TenantID, object core.ObjectID, plain []byte) ([]byte, error) {
	sealed, err := key.Seal(tenant, object, LabelMeta, plain)
	if err != nil {
		return nil, err
	}
	box := append([]byte(object), 0, 0)
	binary.BigEndian.PutUint16(box[idSize:], uint16(len(wrapped)))
	return append(append(box, wrapped...), sealed...), nil
}

// unpackBox finds the wrapped key and the sealed value in a box.
func unpackBox(box []byte) (Wrapped, []byte, error) {
	if len(box) < idSize+2 {
		return Wrapped{}, nil, fmt.Errorf("%w: box", ErrSealBroken)
	}
	n := int(binary.BigEndian.Uint16(box[idSize:]))
	rest := box[idSize+2:]
	if len(rest) < n {
		return Wrapped{}, nil, fmt.Errorf("%w: box", ErrSealBroken)
	}
	return Wrapped{core.ObjectID(box[:idSize]), rest[:n]}, rest[n:], nil
}

// Unbox opens boxes, in order, under one journal entry.
func (k *Keeper) Unbox(ctx context.Context, who core.Access, boxes ...[]byte) ([][]byte, error) {
	plain, _, err := k.unbox(ctx, who, boxes)
	return plain, err
}

// unbox opens boxes and, under the same entry, further object keys.
func (k *Keeper) unbox(ctx context.Context, who core.Access, boxes [][]byte, further ...Wrapped) ([][]byte, []Key, error) {
	wrapped := make([]Wrapped, len(boxes), len(boxes)+len(further))
	sealed := make([][]byte, len(boxes))
	for i, box := range boxes {
		var err error
		if wrapped[i], sealed[i], err = unpackBox(box); err != nil {
			return nil, nil, err
		}
	}
	keys, err := k.Open(ctx, who, append(wrapped, further...)...)
	if err != nil {
		return nil, nil, err
	}
	plain := make([][]byte, len(boxes))
	for i := range boxes {
		if plain[i], err = keys[i].Open(who.Tenant, wrapped[i].Object, LabelMeta, sealed[i]); err != nil {
			return nil, nil, err
		}
	}
	return plain, keys[len(boxes):], nil
}
