package mailout

// Tested as the functions they are.
var (
	Outcome = outcome
	Written = written
)
