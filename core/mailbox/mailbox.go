// Package mailbox owns what a town says of the mailboxes that are emptied for it: where
// they are, how one signs in, what is moved where, and what became of them.
package mailbox

import (
	"time"

	"vaguemestre/core"
)

// Mailbox is a mailbox of a town's.
type Mailbox struct {
	ID       core.MailboxID
	Tenant   core.TenantID
	Settings Settings
	Enabled  bool
	Created  time.Time
	Asked    bool // somebody waits for it to be tried
	Due      bool // by the database's clock
}

// Lease holds a mailbox for one poller. What it writes is fenced by Token.
type Lease struct {
	Tenant   core.TenantID
	ID       core.MailboxID
	Token    int64
	Attempts int // polls that went wrong, one after the other, before this one
}

// Handling is what became of a message that still stands in the folder.
type Handling string

// Handlings.
const (
	Taken   Handling = "taken"   // durable here
	Refused Handling = "refused" // for good
	Failed  Handling = "failed"  // tried again at Next
)

// Remembered is a message that stays in its folder although something became of it: one
// that was never to be moved, could not be, or has to be tried again. It is known by the
// folder's UIDVALIDITY and its UID.
type Remembered struct {
	UID      uint32
	Handling Handling
	Moved    bool   // it was moved and stays nevertheless: labels
	Code     string // why, when refused or failed; stable
	Attempts int    // that failed
	Next     time.Time
}

// Progress is what a poll leaves behind.
type Progress struct {
	Waiting  int           // messages in the folder that nothing became of yet
	Fault    string        // stable code of why the poll ended early; "" when it did not
	Attempts int           // that went wrong and took nothing in, one after the other; this one included
	RetryIn  time.Duration // until the next poll after a fault
}

// State is a mailbox as it is shown.
type State struct {
	Mailbox
	Tried     *time.Time // end of the latest poll
	Succeeded *time.Time // end of the latest that went well
	Next      *time.Time // of the next try, after a fault
	Fault     string     // of the latest poll; stable code
	Waiting   int
	Refused   int // remembered as refused: they could not be moved
	Failed    int // tried again later
	Codes     []string
	Polled    bool // a poller holds it
}

// Word says how a mailbox is, in one word: off, new, well, failing.
func (s State) Word() string {
	switch {
	case !s.Enabled:
		return "off"
	case s.Fault != "":
		return "failing"
	case s.Succeeded == nil:
		return "new"
	}
	return "well"
}
