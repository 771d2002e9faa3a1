package core

// Sealed names encrypted bytes and carries the key that opens them, wrapped.
type Sealed struct {
	Object  ObjectID
	Ref     Ref
	Size    int64  // of the plain bytes
	Wrapped []byte // the object key, wrapped by the vault's key or sealed to the tenant's intake key
}

// SealedBody is a body as it is stored.
type SealedBody struct {
	Type   string
	Sealed Sealed
	Bytes  []byte // the sealed bytes themselves while they have no Ref: they are to lie in the row
	Digest []byte // SHA-256 of the sealed bytes
	Meta   []byte // PieceMeta as JSON, sealed under the body's key
}
