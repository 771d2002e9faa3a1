package zone

import (
	"context"
	"strings"
)

// Resolver asks for what is published. Nothing published is no error.
type Resolver interface {
	// Lookup gives the values of a record as Record has them, and whether DNSSEC vouches
	// for the answer.
	Lookup(ctx context.Context, name, kind string) (values []string, signed bool, err error)
	// Fetch gets a file by HTTPS; "" when there is none.
	Fetch(ctx context.Context, url string) (string, error)
}

// State is how a record fares.
type State string

const (
	Found    State = "found"
	Missing  State = "missing"
	Differs  State = "differs"
	Unsigned State = "found, but without DNSSEC, and worth nothing so"
	Unknown  State = "could not be asked"
)

// Finding is a record and how it fares.
type Finding struct {
	Record
	State State
	Have  []string // what is published instead, when it differs
}

// Check asks for every record.
func Check(ctx context.Context, r Resolver, records []Record) []Finding {
	out := make([]Finding, len(records))
	for i, record := range records {
		out[i] = check(ctx, r, record)
	}
	return out
}

func check(ctx context.Context, r Resolver, record Record) Finding {
	f := Finding{Record: record}
	if record.Type == File {
		have, err := r.Fetch(ctx, record.Name)
		switch {
		case err != nil:
			f.State = Unknown
		case have == "":
			f.State = Missing
		case lines(have) == lines(record.Value):
			f.State = Found
		default:
			f.State = Differs
		}
		return f
	}
	values, signed, err := r.Lookup(ctx, record.Name, record.Type)
	if err != nil {
		f.State = Unknown
		return f
	}
	f.State = Missing
	for _, v := range values {
		switch {
		case record.Any && kindOf(v) == kindOf(record.Value):
			f.State, f.Have = Found, append(f.Have, v)
			return f
		case equal(record, v) && record.Type == "TLSA" && !signed:
			f.State = Unsigned
			return f
		case equal(record, v):
			f.State = Found
			return f
		case kindOf(v) == kindOf(record.Value) || record.Type != "TXT":
			f.State = Differs
			f.Have = append(f.Have, v)
		}
	}
	return f
}

// equal: a mail server may have any preference; blanks of a TXT record do not count.
func equal(record Record, have string) bool {
	want := record.Value
	switch record.Type {
	case "MX":
		_, want, _ = strings.Cut(want, " ")
		_, have, _ = strings.Cut(have, " ")
		return strings.EqualFold(strings.TrimSuffix(want, "."), strings.TrimSuffix(have, "."))
	case "TXT":
		want, have = strings.ReplaceAll(want, " ", ""), strings.ReplaceAll(have, " ", "")
		return strings.TrimSuffix(want, ";") == strings.TrimSuffix(have, ";")
	}
	return strings.EqualFold(want, have)
}

// kindOf is a TXT record's version tag: others of a name are none of ours.
func kindOf(txt string) string {
	tag, _, _ := strings.Cut(txt, ";")
	if strings.HasPrefix(tag, "v=spf1") {
		tag, _, _ = strings.Cut(tag, " ")
	}
	return strings.TrimSpace(tag)
}

func lines(s string) string {
	return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n"))
}
