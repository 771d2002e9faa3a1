package core

// Delivery is what a report says became of a letter.
type Delivery string

// What can become of a letter once the relay has it. Only the first three say anything.
const (
	DeliveryBounced   Delivery = "bounced"   // for good
	DeliveryDelayed   Delivery = "delayed"   // still being tried
	DeliveryDelivered Delivery = "delivered" // or handed on to a system that does not report
	DeliveryUnclear   Delivery = "unclear"   // a report in words that are not known for certain
	DeliveryNoReport  Delivery = "no_report" // an automatic reply, or a person's: nothing about delivery
)

// ReportBody is what is kept of a message that came to a letter's return path; sealed.
type ReportBody struct {
	Sender  Sender `json:"sender,omitzero"`
	Message []byte `json:"message"` // its first part
}

// DeliveryReport is what a message that came to a letter's return path says of it.
type DeliveryReport struct {
	Delivery Delivery
	Status   string // enhanced status code (RFC 3463) as far as it is known: "5.2.2"; "" when it is not
}
