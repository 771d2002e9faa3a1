// Package pdftest writes small PDF files for tests: pages of text, scanned pages,
// encrypted files, and whatever objects a hostile sender may think of.
package pdftest

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"image"
	"strings"

	"golang.org/x/text/encoding/charmap"
)

// Writer collects indirect objects; they are numbered from 1 as they are added.
type Writer struct {
	objects [][]byte
	crypt   *cipher
}

// Add appends an object and returns its number.
func (w *Writer) Add(body string) int {
	w.objects = append(w.objects, []byte(body))
	return len(w.objects)
}

// Reserve takes a number for an object that Set gives later.
func (w *Writer) Reserve() int { return w.Add("null") }

// Set gives object n its body.
func (w *Writer) Set(n int, body string) { w.objects[n-1] = []byte(body) }

// Stream appends a stream; dict holds its entries apart from /Length.
func (w *Writer) Stream(dict string, data []byte) int {
	n := w.Reserve()
	data = w.crypt.seal(n, data)
	w.objects[n-1] = fmt.Appendf(nil, "<< %s /Length %d >>\nstream\n%s\nendstream", dict, len(data), data)
	return n
}

// Bytes is the file whose catalogue is object root.
func (w *Writer) Bytes(root int) []byte {
	extra := ""
	if w.crypt != nil {
		extra = fmt.Sprintf("/Encrypt %s /ID [<%x> <%x>]", w.crypt.dict, fileID, fileID)
	}
	b := []byte("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	offsets := make([]int, len(w.objects))
	for i, body := range w.objects {
		offsets[i] = len(b)
		b = fmt.Appendf(b, "%d 0 obj\n%s\nendobj\n", i+1, body)
	}
	start := len(b)
	b = fmt.Appendf(b, "xref\n0 %d\n0000000000 65535 f \n", len(offsets)+1)
	for _, at := range offsets {
		b = fmt.Appendf(b, "%010d 00000 n \n", at)
	}
	return fmt.Appendf(b, "trailer\n<< /Size %d /Root %d 0 R %s >>\nstartxref\n%d\n%%%%EOF\n", len(offsets)+1, root, extra, start)
}

// Catalog appends a catalogue over pages whose dictionaries lack only /Parent, and
// returns its number; more holds further entries.
func (w *Writer) Catalog(more string, pages ...string) int {
	tree := w.Reserve()
	var kids strings.Builder
	for _, page := range pages {
		fmt.Fprintf(&kids, "%d 0 R ", w.Add(fmt.Sprintf("<< /Type /Page /Parent %d 0 R %s >>", tree, page)))
	}
	w.Set(tree, fmt.Sprintf("<< /Type /Pages /Kids [%s] /Count %d >>", kids.String(), len(pages)))
	return w.Add(fmt.Sprintf("<< /Type /Catalog /Pages %d 0 R %s >>", tree, more))
}

// TextPage appends the content of an A4 page with the lines of text in Helvetica
// and returns the page's dictionary. Text is what Windows-1252 can write.
func (w *Writer) TextPage(text string) string {
	font := w.Add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
	var c bytes.Buffer
	c.WriteString("BT /F1 11 Tf 14 TL 50 800 Td\n")
	for line := range strings.SplitSeq(text, "\n") {
		fmt.Fprintf(&c, "<%x> Tj T*\n", must(charmap.Windows1252.NewEncoder().String(line)))
	}
	c.WriteString("ET")
	return fmt.Sprintf("/MediaBox [0 0 595 842] /Contents %d 0 R /Resources << /Font << /F1 %d 0 R >> >>",
		w.Stream("", c.Bytes()), font)
}

// ScanPage appends a picture that fills an A4 page and returns the page's dictionary.
func (w *Writer) ScanPage(picture *image.Gray) string {
	size := picture.Rect.Size()
	var raw bytes.Buffer
	z := zlib.NewWriter(&raw)
	for y := range size.Y {
		must(z.Write(picture.Pix[y*picture.Stride:][:size.X]))
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	img := w.Stream(fmt.Sprintf("/Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray /BitsPerComponent 8 /Filter /FlateDecode",
		size.X, size.Y), raw.Bytes())
	return fmt.Sprintf("/MediaBox [0 0 595 842] /Contents %d 0 R /Resources << /XObject << /I %d 0 R >> >>",
		w.Stream("", []byte("q 595 0 0 842 0 0 cm /I Do Q")), img)
}

// Text is a file with one page for each text.
func Text(pages ...string) []byte {
	return new(Writer).text(pages)
}

// Encrypted is Text under RC4 with 128 bits (ISO 32000-1, 7.6.3): it opens with
// user or owner; an empty user password lets everybody open it.
func Encrypted(user, owner string, pages ...string) []byte {
	w := &Writer{crypt: newCipher(user, owner)}
	return w.text(pages)
}

func (w *Writer) text(pages []string) []byte {
	dicts := make([]string, len(pages))
	for i, p := range pages {
		dicts[i] = w.TextPage(p)
	}
	return w.Bytes(w.Catalog("", dicts...))
}

// Scan is a file with one full-page picture for each page.
func Scan(pages ...*image.Gray) []byte {
	w := new(Writer)
	dicts := make([]string, len(pages))
	for i, p := range pages {
		dicts[i] = w.ScanPage(p)
	}
	return w.Bytes(w.Catalog("", dicts...))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
