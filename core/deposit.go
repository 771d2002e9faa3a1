package core

import (
	"io"
	"log/slog"
	"time"
)

// Channel names, as stored and shown.
const (
	ChannelSMTP   = "smtp"
	ChannelIMAP   = "imap"
	ChannelWeb    = "web"
	ChannelMobile = "mobile"
	ChannelPost   = "post"
)

// Journey is how the citizen came; validation rules depend on it (ALF-5).
type Journey string

// The journeys (parcours).
const (
	JourneyHome    Journey = "home"
	JourneyPost    Journey = "post"
	JourneyPhone   Journey = "phone"
	JourneyCounter Journey = "counter"
)

// Trust is how far the origin of a deposit is proven (SECURITY.md §3).
type Trust int

// T0 is held, T1 and T2 file "to confirm", T3 files.
const (
	T0 Trust = iota // nothing proven
	T1              // generic address, DKIM-aligned sender verified in exactly one vault
	T2              // secret address only
	T3              // secret address and DKIM-aligned verified sender
)

// TrustAttached is the reason of a deposit's trust when a person said whose it is.
const TrustAttached = "attached"

// Attribution is whose a deposit is, how far that is proven, and why.
type Attribution struct {
	Vault  CitizenID // "": nobody's yet
	Trust  Trust
	Reason string // stable code
}

// Address is an address that exists and is in force: a citizen's secret one, the generic
// one that a town gives everybody, which has no Vault, or the return path of a letter,
// which has a Letter and no Vault. What comes to a return path is a report on that
// letter: it is taken in, and is never a deposit, nor answered.
type Address struct {
	ID     AddressID
	Tenant TenantID
	Vault  CitizenID
	Letter string // first digits of the letter's id; "" for a deposit address
}

// Sender is who handed a deposit over, as far as the channel can vouch for it.
// It is personal: it logs as a placeholder.
type Sender struct {
	MailFrom string `json:"mail_from,omitempty"` // SMTP envelope sender
	Helo     string `json:"helo,omitempty"`
	Remote   string `json:"remote,omitempty"` // network address of the peer
	TLS      bool   `json:"tls,omitempty"`

	// Of a message taken out of a mailbox, which has no envelope:
	Delivered time.Time `json:"delivered,omitzero"` // when the mailbox's server says it received it
	Trusted   string    `json:"trusted,omitempty"`  // authserv-id of the server that put it there and whose topmost Authentication-Results are believed; "" for none
}

// LogValue keeps the sender out of logs.
func (Sender) LogValue() slog.Value { return slog.StringValue("sender(hidden)") }

// Hints is what the sender said the deposit is. Hints are never believed alone.
type Hints struct {
	Type    string `json:"type,omitempty"`
	Slot    string `json:"slot,omitempty"`
	Request string `json:"request,omitempty"`
}

// Deposit is one arrival: what one sender handed over, once, through one channel.
type Deposit struct {
	Tenant   TenantID
	Channel  string
	Key      string  // the channel's own name for this arrival (SMTP: Message-ID); the same channel, address, key and bytes is the same deposit
	Sender   Sender  // as far as the channel can vouch for it
	Address  Address // the secret address it was sent to; an address has one owner, so a deposit has
	Journey  Journey
	Received time.Time
	Hints    Hints
}

// Envelope is what the channel knew of a deposit besides its bodies; sealed at rest.
type Envelope struct {
	Key    string `json:"key,omitempty"`
	Sender Sender `json:"sender,omitzero"`
	Hints  Hints  `json:"hints,omitzero"`
}

// Body is one stream of original bytes of a deposit: an e-mail has one, photos
// of one document several, in order.
type Body struct {
	Type string // MIME type as the channel knows it: "message/rfc822"
	Name string // file name if the sender gave one
	R    io.Reader
}

// Receipt acknowledges a durable deposit.
type Receipt struct {
	Deposit  DepositID
	Received time.Time // of the first arrival, when this one is a repeat
	Repeat   bool      // the same deposit was already there; nothing new was stored
}

// Part is one file of a message that a person may have meant to send.
type Part struct {
	Name      string // file name as sent, decoded; untrusted, may be empty
	Type      string // declared MIME type, lower case; untrusted
	Inline    bool   // disposition inline, or referenced by a Content-ID
	ContentID string
	Depth     int       // 0 in the outer message, +1 in each forwarded message
	Via       string    // kind of container it was taken out of: ViaTNEF…; "" when it was a part itself
	Aside     string    // why nobody meant to send it: AsideLogo…; "" when somebody may have
	Refusal   *Refusal  // why it can never be read, known from the message alone (encrypted); nil otherwise, and whenever Aside is set
	Body      io.Reader // decoded bytes; valid only during the callback
}

// Containers that parts are taken out of. The container itself is a part too.
const (
	ViaTNEF     = "tnef"     // winmail.dat
	ViaMSG      = "msg"      // a message saved by Outlook
	ViaUuencode = "uuencode" // in the text of the message
	ViaSMIME    = "smime"    // an opaquely signed message
	ViaEML      = "eml"      // a message sent as a file
	ViaHTML     = "html"     // a picture written into the text of the message
	ViaZIP      = "zip"
)

// Why a part is set aside: kept, but no piece of evidence.
const (
	AsidePixel     = "tracking_pixel"
	AsideLogo      = "signature_logo"
	AsideIcon      = "social_icon"
	AsideSignature = "cryptographic_signature" // or a public key, or what goes with an encrypted part
	AsideContainer = "container"               // opened: what it held stands beside it
	AsideFork      = "resource_fork"           // what a Mac keeps beside a file
	AsideLayout    = "layout"                  // what shows the text of the message, or is a piece of it
	AsideCard      = "calendar_or_card"
)

// Cover is what a message says besides the files in it.
type Cover struct {
	Note string // the text of the outer message, UTF-8; may be empty

	// Doubts are stable codes of what programs read in different ways ("boundary_twice",
	// "unterminated", "nul"…): such a message is held, for what one of them scans another
	// might not show (SEC-50). Empty for a message that has one reading.
	Doubts []string

	// Signed says which kind of signature was noted, "smime" or "pgp"; it was not verified.
	Signed string
}
