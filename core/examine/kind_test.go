package examine

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	stdimage "image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"strings"
	"testing"
	"unicode/utf16"

	"vaguemestre/core"
	"vaguemestre/core/examine/pdf/pdftest"
)

func picture() *stdimage.Gray {
	img := stdimage.NewGray(stdimage.Rect(0, 0, 64, 64))
	for i := range img.Pix {
		img.Pix[i] = byte(i * 7)
	}
	return img
}

func encoded(t testing.TB, encode func(io.Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pngFile(t testing.TB) []byte {
	return encoded(t, func(w io.Writer) error { return png.Encode(w, picture()) })
}

func jpegFile(t testing.TB) []byte {
	return encoded(t, func(w io.Writer) error { return jpeg.Encode(w, picture(), nil) })
}

func gifFile(t testing.TB) []byte {
	img := stdimage.NewPaletted(stdimage.Rect(0, 0, 64, 64), color.Palette{color.Black, color.White})
	return encoded(t, func(w io.Writer) error { return gif.Encode(w, img, nil) })
}

func zipFile(t testing.TB, names ...string) []byte {
	return encoded(t, func(w io.Writer) error {
		z := zip.NewWriter(w)
		for _, name := range names {
			f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
			if err != nil {
				return err
			}
			if _, err := f.Write(pdftest.Text("dedans")); err != nil {
				return err
			}
		}
		return z.Close()
	})
}

// withChunk puts a tEXt or iTXt chunk behind the header of a PNG.
func withChunk(file []byte, name string, data string) []byte {
	chunk := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	chunk = append(append(chunk, name...), data...)
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk[4:]))
	const header = 8 + 25
	return join(file[:header], chunk, file[header:])
}

func ftyp(brands ...string) []byte {
	b := []byte{0, 0, 0, byte(12 + 4*len(brands))}
	b = append(b, "ftyp"+brands[0]+"\x00\x00\x00\x00"...)
	b = append(b, strings.Join(brands[1:], "")...)
	return append(b, make([]byte, 64)...)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// withStream is a PDF with an object that holds data as it is.
func withStream(dict string, data []byte) []byte {
	w := new(pdftest.Writer)
	page := w.TextPage("Bonjour")
	root := w.Catalog("", page)
	w.Stream(dict, data)
	return w.Bytes(root)
}

func TestSEC60_Kinds(t *testing.T) {
	pdf := pdftest.Text("Bonjour")
	xmp := `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><dc:title>Reçu &lt;1&gt;</dc:title></rdf:RDF></x:xmpmeta>`
	for name, c := range map[string]struct {
		file []byte
		want core.Kind
	}{
		"pdf":                      {pdf, core.KindPDF},
		"pdf behind a line":        {join([]byte("\r\n"), pdf), core.KindPDF},
		"pdf behind a printer job": {join([]byte("\x1b%-12345X@PJL JOB\r\n@PJL ENTER LANGUAGE=PDF\r\n"), pdf), core.KindPDF},
		"pdf behind noise":         {join(bytes.Repeat([]byte("\x00\x07"), 500), pdf), core.KindPDF},
		"pdf before padding":       {join(pdf, make([]byte, 4096)), core.KindPDF},
		"pdf about scripts":        {withStream("", []byte("<script>alert(1)</script><html>")), core.KindPDF},
		"pdf with an attached zip": {withStream("/Type /EmbeddedFile", zipFile(t, "word/a.xml")), core.KindPDF},
		"pdf with the word PK":     {withStream("", []byte("PK\x05\x06 is how an empty archive begins")), core.KindPDF},
		"pdf cut off":              {bytes.TrimSuffix(withStream("", []byte("%%EOF endobj <script>")), []byte("%%EOF\n")), core.KindPDF},
		"jpeg":                     {jpegFile(t), core.KindJPEG},
		"moving jpeg":              {join(jpegFile(t), ftyp("isom", "mp42"), bytes.Repeat([]byte("x<y"), 3000)), core.KindJPEG},
		"png":                      {pngFile(t), core.KindPNG},
		"png with metadata":        {withChunk(pngFile(t), "iTXt", "XML:com.adobe.xmp\x00\x00\x00\x00\x00"+xmp), core.KindPNG},
		"gif":                      {gifFile(t), core.KindGIF},
		"wide gif":                 {join([]byte("GIF89a\x3d\x03\x40\x00\x00\x00\x00"), make([]byte, 40)), core.KindGIF},
		"webp":                     {[]byte("RIFF\x24\x00\x00\x00WEBPVP8 \x18\x00\x00\x00" + strings.Repeat("\x01", 24)), core.KindWebP},
		"tiff, small end first":    {[]byte("II*\x00\x08\x00\x00\x00\x00\x00\x01"), core.KindTIFF},
		"tiff, big end first":      {[]byte("MM\x00*\x00\x00\x00\x08\x00\x00\x01"), core.KindTIFF},
		"heic":                     {ftyp("heic", "mif1", "heic"), core.KindHEIC},
		"heix":                     {ftyp("heix"), core.KindHEIC},
		"heif":                     {ftyp("mif1", "heic"), core.KindHEIC},
		"heif of unknown codec":    {ftyp("mif1"), core.KindHEIC},
		"heif sequence":            {ftyp("msf1", "hevc"), core.KindHEIC},
	} {
		if got, refusal := kindOf(c.file); got != c.want || refusal != nil {
			t.Errorf("%s: %q, %v; want %q", name, got, refusal, c.want)
		}
	}
}

func TestSEC60_RefusedKinds(t *testing.T) {
	pdf, zipped := pdftest.Text("Bonjour"), zipFile(t, "a.pdf")
	utf16File := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune("<html>Bonjour à tous</html>")) {
		utf16File = binary.LittleEndian.AppendUint16(utf16File, u)
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"nothing":          {nil, "empty"},
		"blanks":           {[]byte(" \r\n\x00\x00"), "empty"},
		"zip":              {zipped, "unsupported_archive"},
		"rar":              {[]byte("Rar!\x1a\x07\x01\x00xxxxxxxx"), "unsupported_archive"},
		"7z":               {[]byte("7z\xbc\xaf\x27\x1c\x00\x04xxxxxxxx"), "unsupported_archive"},
		"gzip, svgz":       {[]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00"), "unsupported_archive"},
		"tar":              {join(make([]byte, 2), []byte("a.pdf"), make([]byte, 250), []byte("ustar\x0000"), make([]byte, 300)), "unsupported_archive"},
		"docx":             {zipFile(t, "[Content_Types].xml", "word/document.xml"), "unsupported_office"},
		"odt":              {join([]byte("PK\x03\x04"), make([]byte, 26), []byte("mimetypeapplication/vnd.oasis.opendocument.text")), "unsupported_office"},
		"doc, msg":         {[]byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + strings.Repeat("\x00", 64)), "unsupported_office"},
		"rtf":              {[]byte(`{\rtf1\ansi Bonjour}`), "unsupported_office"},
		"jar":              {zipFile(t, "META-INF/MANIFEST.MF"), "unsupported_program"},
		"exe":              {[]byte("MZ\x90\x00\x03\x00\x00\x00"), "unsupported_program"},
		"shell":            {[]byte("#!/bin/sh\nrm -rf /\n"), "unsupported_program"},
		"php":              {[]byte("bonjour <?php phpinfo();"), "unsupported_program"},
		"avif":             {ftyp("avif", "mif1", "miaf"), "unsupported_avif"},
		"avif as heif":     {ftyp("mif1", "avif", "miaf"), "unsupported_avif"},
		"bmp":              {[]byte("BM\x36\x00\x00\x00\x00\x00"), "unsupported_image"},
		"jpeg 2000":        {[]byte("\x00\x00\x00\x0cjP  \r\n\x87\n"), "unsupported_image"},
		"raw":              {[]byte("II*\x00\x10\x00\x00\x00CR\x02\x00"), "unsupported_image"},
		"postscript":       {[]byte("%!PS-Adobe-3.0\n"), "unsupported_image"},
		"mp4":              {ftyp("isom", "mp42"), "unsupported_media"},
		"mov":              {ftyp("qt  "), "unsupported_media"},
		"wav":              {[]byte("RIFF\x24\x00\x00\x00WAVEfmt "), "unsupported_media"},
		"page":             {[]byte("\xef\xbb\xbf\n<!-- x --><!DOCTYPE HTML><html><svg></svg>"), "unsupported_html"},
		"page in UTF-16":   {utf16File, "unsupported_html"},
		"script":           {[]byte("bonjour <SCRIPT src=x>"), "unsupported_html"},
		"svg named png":    {[]byte(`<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`), "unsupported_svg"},
		"message":          {[]byte("Received: from x\r\nFrom: a@b.fr\r\n\r\nBonjour"), "unsupported_email"},
		"letter":           {[]byte("Bonjour, voici mon justificatif, écrit à la main."), "unsupported_text"},
		"letter in 1252":   {[]byte("Bonjour, voici l'attestation demand\xe9e par la mairie."), "unsupported_text"},
		"data":             {[]byte("<?xml version='1.0'?><facture><total>12</total></facture>"), "unsupported_kind"},
		"noise":            {[]byte("\x01\x02\x03\x04\x99\x98\x97\x00\x00"), "unsupported_kind"},
		"late pdf":         {join(bytes.Repeat([]byte("\x01"), 1025), pdf), "unsupported_kind"},
		"pdf then zip":     {join(pdf, zipped), "mixed_content"},
		"zip then pdf":     {join(zipped, pdf), "unsupported_archive"},
		"zip in a stream":  {withStream("", zipped), "mixed_content"},
		"zip64 behind pdf": {join(pdf, []byte("PK\x06\x07"), make([]byte, 16), []byte("PK\x05\x06"), make([]byte, 18)), "mixed_content"},
		"page, then pdf":   {join([]byte("<html><script>alert(1)</script>"), pdf), "mixed_content"},
		"exe, then pdf":    {join([]byte("MZ\x90\x00"), pdf), "unsupported_program"},
		"pdf, then page":   {join(pdf, []byte("\n<ScRiPt>alert(1)</script>")), "mixed_content"},
		"pdf, then rar":    {join(pdf, []byte("Rar!\x1a\x07\x00")), "mixed_content"},
		"page in a png":    {withChunk(pngFile(t), "tEXt", "Comment\x00<html><body onload=alert(1)>"), "mixed_content"},
		"script in a png":  {join(pngFile(t), bytes.Repeat([]byte("\x00"), 9000), []byte("<script>"), bytes.Repeat([]byte("\x00"), 9000)), "mixed_content"},
		"page behind png":  {join(pngFile(t), []byte("<HTML>")), "mixed_content"},
		"gif and script":   {[]byte("GIF89a/*\x00\x00\x00\x00\x00*/=1;alert(1)//" + strings.Repeat("x", 50)), "mixed_content"},
		"gif and variable": {[]byte("GIF89a=\x27\x00\x00\x00\x00\x00';alert(1)//" + strings.Repeat("x", 50)), "mixed_content"},
		"jpeg and script":  {[]byte("\xff\xd8\xff\xe0/*JFIF*/=alert(1)//" + strings.Repeat("x", 50)), "mixed_content"},
		"jpeg and pdf":     {join(jpegFile(t)[:20], pdf), "mixed_content"},
		"jpeg then zip":    {join(jpegFile(t), zipped), "mixed_content"},
		"jpeg then rar":    {join(jpegFile(t), []byte("Rar!\x1a\x07\x01\x00")), "mixed_content"},
		"svg behind heic":  {join(ftyp("heic"), []byte("<svg onload=alert(1)>")), "mixed_content"},
	} {
		kind, refusal := kindOf(c.file)
		if refusal == nil || refusal.Code != c.want || kind != "" {
			t.Errorf("%s: %q, %v; want the refusal %q", name, kind, refusal, c.want)
		}
	}
}

// Every answer is one French sentence: what is wrong, a colon after a no-break space,
// what to do.
func TestAnswersAreFrench(t *testing.T) {
	answers := []*core.Refusal{refuseEmpty, refuseMixed, refusePassword, refuseDamagedPDF, refuseComplexPDF,
		TooLarge(20_000_000), refusePages(300, 200), refusePixels(12000, 9000, 50_000_000),
		refuseKind(core.KindGIF, []core.Kind{core.KindPDF, core.KindWebP})}
	for _, r := range unsupported {
		answers = append(answers, r)
	}
	codes := map[string]bool{}
	for _, r := range answers {
		before, after, found := strings.Cut(r.Reason, "\u00a0: ")
		if !found || before == "" || !strings.HasSuffix(after, ".") || strings.Contains(after, ". ") ||
			strings.ContainsAny(r.Reason, "'\"!?;") || strings.Contains(r.Reason, " :") {
			t.Errorf("%s: %q", r.Code, r.Reason)
		}
		if codes[r.Code] {
			t.Errorf("two answers are called %s", r.Code)
		}
		codes[r.Code] = true
	}
	if got, want := TooLarge(2_500_000).Reason, "limite de 2,5\u00a0Mo\u00a0:"; !strings.Contains(got, want) {
		t.Errorf("%q does not say %q", got, want)
	}
}

func FuzzKind(f *testing.F) {
	for _, seed := range [][]byte{pdftest.Text("x"), pngFile(f), jpegFile(f)[:200], gifFile(f), zipFile(f, "a"), ftyp("heic", "mif1"),
		[]byte("PK\x05\x06"), []byte("\x00\x00\xff\xffftypmif1"), []byte("<svg"), []byte("%PDF-PK\x05\x06"), []byte("\xff\xfe<\x00"), {}} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		kind, refusal := kindOf(file)
		if (kind == "") == (refusal == nil) {
			t.Errorf("kind %q and refusal %v", kind, refusal)
		}
		if kind != "" && kind != core.KindPDF && hasMarkup(head(file, headSize)) {
			t.Errorf("a %s that begins as a page", kind)
		}
	})
}
