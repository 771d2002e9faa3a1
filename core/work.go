package core

import "time"

// Noun is the kind of row a step works on.
type Noun string

// What workers work on.
const (
	NounDeposit Noun = "deposit" // received: to be opened
	NounPiece   Noun = "piece"   // waiting, examined or recognised: to be led on
	NounReport  Noun = "report"  // received: what came to a letter's return path, to be read
)

// Step names one unit of work: a row that stands in a non-final state.
type Step struct {
	Tenant  TenantID
	Noun    Noun
	ID      string // DepositID, PieceID or ReportID
	Attempt int    // attempts already counted for the row when the step was named
}

// Lease is the right to work on a row until a time. Its token fences: once the row
// has been leased again, nothing done under the older token can be committed.
type Lease struct {
	Step
	Token int64
	Until time.Time
}

// Outcome says what an attempt that did not finish its row leaves behind.
type Outcome struct {
	Refused   bool          // for good: trying again cannot change it
	Failed    bool          // for good: tried too often
	Uncounted bool          // we stopped of our own will: the attempt does not count
	Code      string        // stable code of what went wrong, never an error text
	Sentence  string        // the same for the citizen, for a refusal; in French
	RetryIn   time.Duration // otherwise: how long to wait before the next attempt
	Letters   []LetterOrder // that this end causes
}

// Access says who opens a key, and why. It is journaled before any key is released.
type Access struct {
	Tenant  TenantID
	Vault   CitizenID // "" while a deposit belongs to nobody yet
	Actor   string    // "pipeline", "citizen", "maintenance"
	Act     string    // "open", "read", "list", "confirm"…
	Purpose string
	Object  string // id of what is opened, if one
	Lease   *Lease // workers prove they still hold the row
}
