package core

import (
	"context"
	"io"
	"log/slog"
	"time"
)

// LetterKind is what a letter is for.
type LetterKind string

// The kinds of letters.
const (
	LetterReceipt  LetterKind = "receipt"  // a deposit is registered
	LetterResult   LetterKind = "result"   // what became of each file of a deposit
	LetterLink     LetterKind = "link"     // one link that does one act
	LetterDispatch LetterKind = "dispatch" // documents to a service of the town
	LetterNotice   LetterKind = "notice"   // anything else the town has to say
)

// LetterOrder asks for one letter. It is a row of the outbox, written in the transaction
// of what causes it.
type LetterOrder struct {
	ID     LetterID
	Tenant TenantID
	Kind   LetterKind
	Vault  CitizenID // whose vault it speaks of; "" for none (a service's mailbox)
	Object string    // id of the deposit, document, sender or part of a dispatch it speaks of
	Once   string    // the same Kind, Object and Once is the same letter: a repeat writes nothing
	Due    time.Time // not composed before
	Sealed []byte    // private part as JSON (recipient, token…) in a box that only the keeper opens; nil when composing finds it all

	// Address is a keyed hash of recipient and day. With it the letter is counted, and
	// cancelled at once when the recipient has had Limit letters that day. nil: not counted.
	Address []byte
	Limit   int
	Instead *LetterOrder // ordered in the place of one too many; nil: nothing
}

// Arrival is what a deposit turned out to be, for whoever decides which letters it causes.
type Arrival struct {
	Tenant  TenantID
	Deposit DepositID
	Attribution
	Origin  Origin // zero for what is no message
	Files   int    // files in it that may be evidence
	Waiting int    // of them, still to be read
	Held    bool   // it waits for a person, unopened
	ByHand  bool   // a person said whose it is

	// Deletes is the deposit whose documents the message asks to delete, by its own words
	// and the secret address it came to; "" mostly.
	Deletes DepositID
}

// LetterLease is what the mailer holds while it composes and sends one letter. Its token
// fences: once the letter has been leased again, nothing done under an older token counts.
type LetterLease struct {
	LetterOrder
	Attempt int       // this one included
	Token   int64     // of the fence
	Until   time.Time // by the database's clock
	First   time.Time // of the first attempt
}

// Letter is a composed message to one recipient. It is personal: it logs as a placeholder.
type Letter struct {
	ID        LetterID
	Tenant    TenantID
	Kind      LetterKind
	To        string
	ToName    string
	ReplyTo   string // "" none
	InReplyTo string // Message-ID that is answered; "" none
	Subject   string
	Text      string
	HTML      string
	Language  string // "fr", "en"
	Files     []LetterFile
	Automatic bool      // null return path and Auto-Submitted (receipts, results); otherwise a return path of its own
	Date      time.Time // of the Date field; the same at every attempt

	Certificate []byte // DER of the recipient's: encrypt with S/MIME; nil: no
}

// LogValue keeps the letter out of logs.
func (Letter) LogValue() slog.Value { return slog.StringValue("letter(hidden)") }

// LetterFile is a file that goes with a letter, streamed when it is sent.
type LetterFile struct {
	Name, Type string
	Size       int64
	Open       func(context.Context) (io.ReadCloser, error)
}

// LetterState says where a letter stands.
type LetterState string

// Letter states: waiting → sent → (delivered, delayed, bounced, as the recipient's server
// says), or refused, failed, cancelled.
const (
	LetterWaiting   LetterState = "waiting"
	LetterSent      LetterState = "sent" // the relay has it
	LetterDelivered LetterState = "delivered"
	LetterDelayed   LetterState = "delayed"
	LetterBounced   LetterState = "bounced"
	LetterRefused   LetterState = "refused"   // by the relay, for good
	LetterFailed    LetterState = "failed"    // tried for five days
	LetterCancelled LetterState = "cancelled" // never sent: nobody to send it to, or nothing to say
)

// LetterOutcome is how an attempt at a letter ended. A State of LetterWaiting means
// another attempt, after RetryIn.
type LetterOutcome struct {
	State   LetterState
	Code    string        // stable code, or the relay's reply code: "550", "timeout", "daily_cap"; never a reply's text
	Status  string        // enhanced status, "5.1.1"; "" when there is none
	RetryIn time.Duration // for LetterWaiting
}
