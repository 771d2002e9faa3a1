package twoddoc

import "slices"

// Authenticity is what `classify` says of the codes of a document (catalogue.md, "Output
// contract").
type Authenticity struct {
	Signature   Verdict  `json:"signature"`
	Matches     *bool    `json:"matches_text"`
	Differences []string `json:"differences"`
	Reason      string   `json:"reason,omitempty"`
	Test        bool     `json:"test,omitempty"` // an authority for tests signed one of them
}

// severity orders verdicts: of several codes on a document, the worst speaks for it.
var severity = []Verdict{None, Valid, CertificateUnknown, CertificateExpiredAtSigning, Revoked, Malformed, InvalidSignature}

// Authenticate judges all codes that were read on a document, each as its reader hands it
// over, with the document's print; those spread over several symbols are joined. Codes of
// other kinds do not count. What contradicts the
// print once contradicts it; agreement needs every code to agree.
func Authenticate(codes [][]byte, p Print, trust Trusted) Authenticity {
	a := Authenticity{Signature: None, Differences: []string{}}
	agreed, unclear := 0, 0
	for _, data := range Join(codes) {
		c, r := VerifyBytes(data, trust)
		if rank(r.Verdict) > rank(a.Signature) {
			a.Signature, a.Reason = r.Verdict, r.Reason
		}
		a.Test = a.Test || r.Test
		if c == nil {
			continue
		}
		m := c.Compare(p)
		a.Differences = append(a.Differences, m.Differences...)
		switch {
		case m.Matches == nil:
			unclear++
		case *m.Matches:
			agreed++
		}
	}
	no, yes := false, true
	switch {
	case len(a.Differences) > 0:
		a.Matches = &no
	case agreed > 0 && unclear == 0:
		a.Matches = &yes
	}
	return a
}

func rank(v Verdict) int { return slices.Index(severity, v) }
