package mail

import "slices"

// Codes of core.Cover.Doubts: places where programs that read mail are known to part
// ways, so that one may scan what another does not show (SEC-50). They are stable, and
// change nothing of what Split delivers. What honest programs send every day is none
// of them; docs/decisions/0015-what-is-a-piece-and-what-is-doubtful.md has the figures.
const (
	doubtTypeTwice        = "type_twice"           // two Content-Type fields that differ
	doubtEncodingTwice    = "encoding_twice"       // two Content-Transfer-Encoding fields that differ
	doubtDispositionTwice = "disposition_twice"    // two Content-Disposition fields that differ
	doubtTypeUnclear      = "type_unclear"         // a multipart whose Content-Type is not written as it should be
	doubtBoundaryTwice    = "boundary_twice"       // a boundary parameter given twice, or in the form of RFC 2231
	doubtBoundaryMissing  = "boundary_missing"     // a multipart that names no boundary, and has one
	doubtBoundaryReused   = "boundary_reused"      // a multipart with the boundary of one around it
	doubtBoundaryLine     = "boundary_line"        // a boundary with more text on its line
	doubtPartAfterEnd     = "part_after_end"       // a part that begins after the end boundary
	doubtUnterminated     = "unterminated"         // a multipart whose end boundary never comes
	doubtHeaderEnd        = "header_end"           // a header that ends without its empty line
	doubtHeaderLine       = "header_line"          // a line that is no field, before one that counts
	doubtNUL              = "nul"                  // NUL in a header, a boundary line, or a body that is not declared binary
	doubtBareCR           = "bare_cr"              // a CR alone, in a header or for every line break
	doubtRawStructure     = "raw_structure"        // bytes outside ASCII in a type, boundary or encoding
	doubtEncodedParts     = "encoded_parts"        // a multipart that is itself encoded
	doubtEncodingUnclear  = "encoding_unclear"     // an encoding that some would undo and some would not
	doubtAfterPadding     = "base64_after_padding" // base64 that goes on after its padded end
	doubtNames            = "name_conflict"        // two file names of different kinds
	doubtTooDeep          = "too_deep"             // more inside one another than is opened
)

// doubts gathers codes, each once, in the order they were met.
type doubts struct{ codes []string }

func (d *doubts) add(codes ...string) {
	for _, code := range codes {
		if !slices.Contains(d.codes, code) {
			d.codes = append(d.codes, code)
		}
	}
}
