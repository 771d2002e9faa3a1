package main

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/text/encoding/charmap"
)

// textPDF is a one-page PDF with a text layer.
func textPDF(lines ...string) []byte { return pagesPDF(lines) }

// pagesPDF is a PDF of pages of text.
func pagesPDF(pages ...[]string) []byte {
	objects := []string{"<</Type/Catalog/Pages 2 0 R>>", "",
		"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>"}
	var kids strings.Builder
	for _, lines := range pages {
		n := len(objects) + 1
		fmt.Fprintf(&kids, "%d 0 R ", n)
		text := pageText(lines)
		objects = append(objects,
			fmt.Sprintf("<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents %d 0 R/Resources<</Font<</F1 3 0 R>>>>>>", n+1),
			fmt.Sprintf("<</Length %d>>stream\n%s\nendstream", len(text), text))
	}
	objects[1] = fmt.Sprintf("<</Type/Pages/Kids[%s]/Count %d>>", kids.String(), len(pages))
	return pdfOf(objects...)
}

func pageText(lines []string) string {
	var text strings.Builder
	text.WriteString("BT /F1 11 Tf 50 780 Td 14 TL\n")
	escape := strings.NewReplacer(`\`, `\\`, "(", `\(`, ")", `\)`)
	for _, l := range lines {
		encoded, err := charmap.Windows1252.NewEncoder().String(l)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&text, "(%s) Tj T*\n", escape.Replace(encoded))
	}
	text.WriteString("ET")
	return text.String()
}

func pdfOf(objects ...string) []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.4\n")
	offsets := make([]int, len(objects))
	for i, o := range objects {
		offsets[i] = b.Len()
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	xref := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, o := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&b, "trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, xref)
	return b.Bytes()
}

// taxNotice is an income-tax notice; mark makes its bytes unique.
func taxNotice(holder, mark string) []byte { return textPDF(noticeLines(holder, mark)...) }

func noticeLines(holder, mark string) []string {
	return []string{"DIRECTION GÉNÉRALE DES FINANCES PUBLIQUES", "", "AVIS D'IMPÔT 2026", "IMPÔT SUR LES REVENUS DE L'ANNÉE 2025", "",
		"Déclarant 1 : " + holder, "12 rue des Lilas", "30000 NÎMES", "",
		"Numéro fiscal (déclarant 1) : 30 12 345 678 901", "Référence de l'avis : 26 30 1234567 89",
		"Date d'établissement : 31/07/2026", "Revenu fiscal de référence : 24 318", "Nombre de parts : 1,00", "", "Exemplaire " + mark}
}
