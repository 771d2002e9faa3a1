package core

// DepositState says where a deposit stands.
type DepositState string

// Deposit states: received → opened, or held, refused, failed; destroyed at the end.
const (
	DepositReceived  DepositState = "received"
	DepositOpened    DepositState = "opened"
	DepositHeld      DepositState = "held"
	DepositRefused   DepositState = "refused"
	DepositFailed    DepositState = "failed"
	DepositDestroyed DepositState = "destroyed"
)

// PieceState says where a piece stands.
type PieceState string

// Piece states: waiting → examined → recognised → filed, or one of the ends below.
const (
	PieceWaiting    PieceState = "waiting"
	PieceExamined   PieceState = "examined"
	PieceRecognised PieceState = "recognised"
	PieceFiled      PieceState = "filed"
	PieceAtDesk     PieceState = "at_desk"   // a person decides: see Desk
	PieceSetAside   PieceState = "set_aside" // logo, pixel, signature: kept, not filed
	PieceRefused    PieceState = "refused"
	PieceFailed     PieceState = "failed"
)

// Open reports whether the pipeline still has work to do on the piece.
func (s PieceState) Open() bool {
	return s == PieceWaiting || s == PieceExamined || s == PieceRecognised
}

// Desk is whose decision a piece at_desk waits for.
type Desk string

// The citizen comes first for what the sender's trust or the recogniser left open.
const (
	DeskNone    Desk = ""
	DeskCitizen Desk = "citizen"
	DeskAgent   Desk = "agent"
)

// DocumentState says how far a document may be used.
type DocumentState string

// Document states.
const (
	DocumentToConfirm  DocumentState = "to_confirm"  // usable nowhere until the citizen says yes
	DocumentToValidate DocumentState = "to_validate" // an agent has yet to look
	DocumentValidated  DocumentState = "validated"
	DocumentRejected   DocumentState = "rejected"
)

// Standing says whether a document still counts.
type Standing string

// Standings.
const (
	StandingCurrent     Standing = "current"
	StandingExpired     Standing = "expired"
	StandingReplaced    Standing = "replaced"
	StandingDeleted     Standing = "deleted"
	StandingSeenNotKept Standing = "seen_not_kept"
)
