package core

// Piece is one file found in a deposit.
type Piece struct {
	Tenant  TenantID
	ID      PieceID
	Deposit DepositID
	Vault   CitizenID
	Channel string
	Journey Journey
	Trust   Trust
	Answers DepositID // what its deposit answers, by the reply address it came to; "" for no reply
	N       int       // its place in the deposit, from 1
	Sealed  Sealed
	Meta    []byte // PieceMeta, sealed under the piece's object key

	State    PieceState
	Desk     Desk
	Reason   string // stable code of why it is where it is, when not obvious
	Sentence string // the same for a person, when refused; never personal

	Kind  Kind // once examined
	Pages int  // once examined

	// Artifacts added by the step that holds the lease; sealed under the piece's
	// object key. Amend stores those it is handed and keeps earlier ones.
	Artifacts []Artifact
	Document  DocumentID // once filed
}

// PieceMeta is what a piece's sender and its bytes say; sealed at rest (SEC-24).
type PieceMeta struct {
	FileName     string `json:"filename,omitempty"`
	DeclaredType string `json:"declared_type,omitempty"`
	SHA256       string `json:"sha256"` // hex, of the plain bytes
}

// Artifact is something read out of a piece: reproducible, sealed, kept so that it
// is never recomputed without need.
type Artifact struct {
	Kind     string // "evidence", "verdict"
	Producer string // who made it, with version: "examine/1"
	Sealed   []byte // sealed under the piece's object key
}

// Artifact kinds.
const (
	ArtifactEvidence = "evidence"
	ArtifactVerdict  = "verdict"
)
