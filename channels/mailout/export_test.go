package mailout

// Outcome is tested as the pure function it is.
var Outcome = outcome
