package specimen

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/text/encoding/charmap"
)

// PDF is the paper as a program would have printed it: one page with a text layer.
func (p Paper) PDF() []byte {
	page := p.content()
	return file(
		"<</Type/Catalog/Pages 2 0 R/Lang(fr-FR)>>",
		"<</Type/Pages/Kids[3 0 R]/Count 1>>",
		"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595.28 841.89]/Contents 4 0 R/Resources<</Font<</R 5 0 R/B 6 0 R>>>>>>",
		fmt.Sprintf("<</Length %d>>\nstream\n%s\nendstream", len(page), page),
		"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
		"<</Type/Font/Subtype/Type1/BaseFont/Helvetica-Bold/Encoding/WinAnsiEncoding>>")
}

// content draws the marks; PDF counts points from the lower left corner.
func (p Paper) content() []byte {
	var b bytes.Buffer
	inString := strings.NewReplacer(`\`, `\\`, "(", `\(`, ")", `\)`)
	for _, m := range p.marks {
		x, y := m.x/pointsToMM, (pageHeight-m.y)/pointsToMM
		if m.text == "" {
			fmt.Fprintf(&b, "%.2f g %.2f %.2f %.2f %.2f re f 0 g\n", m.grey, x, y-m.h/pointsToMM, m.w/pointsToMM, m.h/pointsToMM)
			continue
		}
		font := "R"
		if m.bold {
			font = "B"
		}
		encoded, err := charmap.Windows1252.NewEncoder().String(m.text)
		if err != nil {
			panic("specimen: a letter that WinAnsi lacks in " + m.text)
		}
		fmt.Fprintf(&b, "BT /%s %.1f Tf %.2f %.2f Td (%s) Tj ET\n", font, m.size, x, y, inString.Replace(encoded))
	}
	return b.Bytes()
}

// file numbers the objects from 1 and adds the table of where they lie (ISO 32000-1 §7.5).
func file(objects ...string) []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
	at := make([]int, len(objects))
	for i, o := range objects {
		at[i] = b.Len()
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	table := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, offset := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", offset)
	}
	fmt.Fprintf(&b, "trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, table)
	return b.Bytes()
}
