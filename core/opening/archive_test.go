package opening

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"vaguemestre/core"
)

// entry is one entry of an archive that no honest program would write.
type entry struct {
	name    string
	data    string // as stored
	content string // as unpacked, for its checksum and size
	method  uint16
	flags   uint16
	extra   string
	mode    uint32 // Unix, in the directory
	size    uint32 // unpacked size that is claimed, if another
	at      int64  // where the local header is said to be, if elsewhere; data is not written then
}

func stored(name, content string) entry { return entry{name: name, data: content, content: content} }

func deflated(name, content string) entry {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 9)
	io.WriteString(w, content)
	w.Close()
	return entry{name: name, data: b.String(), content: content, method: zip.Deflate}
}

func (e entry) header(central bool, offset int) []byte {
	le := binary.LittleEndian
	b := []byte("PK\x03\x04")
	if central {
		b = []byte("PK\x01\x02\x14\x03") // written by Unix
	}
	size := uint32(len(e.content))
	if e.size != 0 {
		size = e.size
	}
	b = le.AppendUint16(b, 20)
	b = le.AppendUint16(b, e.flags)
	b = le.AppendUint16(b, e.method)
	b = le.AppendUint32(b, 0) // time
	b = le.AppendUint32(b, crc32.ChecksumIEEE([]byte(e.content)))
	b = le.AppendUint32(b, uint32(len(e.data)))
	b = le.AppendUint32(b, size)
	b = le.AppendUint16(b, uint16(len(e.name)))
	b = le.AppendUint16(b, uint16(len(e.extra)))
	if central {
		b = append(b, make([]byte, 6)...) // comment, disk, internal attributes
		b = le.AppendUint32(b, e.mode<<16)
		b = le.AppendUint32(b, uint32(offset))
	}
	return append(append(b, e.name...), e.extra...)
}

// packed writes an archive; wide says whether its end is that of zip64.
func packed(wide bool, entries ...entry) []byte { return packedAfter("", wide, entries...) }

// packedAfter writes an archive after something else, and counts with it.
func packedAfter(before string, wide bool, entries ...entry) []byte {
	out, directory := []byte(before), []byte{}
	for _, e := range entries {
		offset := len(out)
		if e.at != 0 {
			offset = int(e.at) - 1
		} else {
			out = append(append(out, e.header(false, 0)...), e.data...)
		}
		directory = append(directory, e.header(true, offset)...)
	}
	start, le := len(out), binary.LittleEndian
	out = append(out, directory...)
	if wide {
		at := len(out)
		out = append(out, "PK\x06\x06"...)
		out = le.AppendUint64(out, 44)
		out = append(out, 45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0)
		for _, n := range []int{len(entries), len(entries), len(directory), start} {
			out = le.AppendUint64(out, uint64(n))
		}
		out = append(out, "PK\x06\x07\x00\x00\x00\x00"...)
		out = le.AppendUint64(out, uint64(at))
		out = le.AppendUint32(out, 1)
		return append(out, "PK\x05\x06\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00"...)
	}
	out = append(out, "PK\x05\x06\x00\x00\x00\x00"...)
	for range 2 {
		out = le.AppendUint16(out, uint16(len(entries)))
	}
	out = le.AppendUint32(out, uint32(len(directory)))
	out = le.AppendUint32(out, uint32(start))
	return append(out, 0, 0)
}

// written is an archive by the standard library: sizes stand behind the data.
func written(t testing.TB, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range names {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(name, "/") {
			io.WriteString(f, "content of "+name)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// delivered is what unpack hands over: names, and contents.
type delivered struct{ names, contents []string }

func (d *delivered) take(p core.Part) error {
	content, err := io.ReadAll(p.Body)
	d.names, d.contents = append(d.names, p.Name), append(d.contents, string(content))
	if p.Via != core.ViaZIP {
		return fmt.Errorf("via %q", p.Via)
	}
	return err
}

func unpacked(t testing.TB, file []byte, limits archiveLimits) (delivered, error) {
	t.Helper()
	var d delivered
	err := unpack(t.Context(), bytes.NewReader(file), int64(len(file)), limits, d.take)
	return d, err
}

func TestUnpack(t *testing.T) {
	zeros := strings.Repeat("\x00", smallFile)
	hundred := make([]string, 100)
	for i := range hundred {
		hundred[i] = fmt.Sprint(i, ".pdf")
	}
	inner := string(packed(false, stored("b.pdf", "%PDF-")))
	for name, tc := range map[string]struct {
		file []byte
		want []string // names
	}{
		"by the standard library": {written(t, "a.pdf", "b.pdf"), []string{"a.pdf", "b.pdf"}},
		"stored and deflated":     {packed(false, stored("a.pdf", "x"), deflated("b.pdf", "y")), []string{"a.pdf", "b.pdf"}},
		"zip64":                   {packed(true, stored("a.pdf", "x"), stored("b.pdf", "y")), []string{"a.pdf", "b.pdf"}},
		"folders, and what systems leave": {written(t, "dossier/", "dossier/a.pdf", "__MACOSX/dossier/._a.pdf", "dossier/.DS_Store", "Thumbs.db", "dossier/Desktop.ini", "._b.pdf"),
			[]string{"a.pdf"}},
		"a folder as Windows writes it": {packed(false, stored(`dossier\`, ""), stored(`dossier\a.pdf`, "x")), []string{"a.pdf"}},
		"a link":                        {packed(false, entry{name: "lien", data: "/etc/passwd", content: "/etc/passwd", mode: 0o120777}, stored("a.pdf", "x")), []string{"a.pdf"}},
		"one name twice":                {written(t, "a/scan.pdf", "b/scan.pdf", "b/scan.pdf"), []string{"scan.pdf", "scan.pdf", "scan.pdf"}},
		"an archive in it":              {packed(false, stored("b.zip", inner)), []string{"b.zip"}},
		"an empty file":                 {packed(false, stored("a.pdf", "")), []string{"a.pdf"}},
		"as many files as may be":       {written(t, append([]string{"x/", "__MACOSX/a"}, hundred...)...), hundred},
		"a mebibyte of nothing":         {packed(false, deflated("a.tif", zeros)), []string{"a.tif"}},
		"a line break after it":         {append(written(t, "a.pdf"), "\r\n"...), []string{"a.pdf"}},
		"an encrypted leftover":         {packed(false, stored("a.pdf", "x"), entry{name: "Thumbs.db", flags: 1}), []string{"a.pdf"}},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := unpacked(t, tc.file, defaultArchive)
			if err != nil || !slices.Equal(d.names, tc.want) {
				t.Fatalf("%q, error %v; want %q", d.names, err, tc.want)
			}
		})
	}
	if d, err := unpacked(t, packed(false, stored("b.zip", inner), deflated("c.pdf", "text")), defaultArchive); err != nil || !slices.Equal(d.contents, []string{inner, "text"}) {
		t.Errorf("contents %q, error %v", d.contents, err)
	}
}

func TestSEC60_ArchivesRefused(t *testing.T) {
	two := packed(false, stored("a.pdf", "content"), stored("b.pdf", "content"))
	flipped := slices.Clone(two)
	flipped[bytes.LastIndex(flipped, []byte("content"))] ^= 1 // in the last file
	over := make([]string, 101)
	for i := range over {
		over[i] = fmt.Sprint(i, ".pdf")
	}
	inside := stored("b.pdf", "hidden")
	outer := stored("a.pdf", "before "+string(inside.header(false, 0))+inside.data)
	inside.at = int64(30+len(outer.name)+len("before ")) + 1
	twice := stored("b.pdf", "x")
	twice.at = 1
	lying := stored("a.pdf", "content")
	lying.size = 3
	boasting := stored("a.pdf", "content")
	boasting.size = 300
	far := stored("b.pdf", "x")
	far.at = 1 << 20
	bomb := deflated("a.bmp", strings.Repeat("\x00", 2<<20))
	quietBomb := bomb
	quietBomb.size = 100
	for name, tc := range map[string]struct {
		file []byte
		code string
	}{
		"encrypted":                   {packed(false, stored("a.pdf", "x"), entry{name: "b.pdf", data: "xxxxxxxxxxxxx", flags: 1}), "encrypted_archive"},
		"encrypted by AES":            {packed(false, entry{name: "a.pdf", data: "xxxxxxxxxxxxx", method: 99}), "encrypted_archive"},
		"encrypted directory":         {packed(false, entry{name: "a.pdf", data: "xxxxxxxxxxxxx", flags: 0x2000}), "encrypted_archive"},
		"LZMA":                        {packed(false, entry{name: "a.pdf", data: "x", method: 14}), "archive_method"},
		"Deflate64":                   {packed(false, entry{name: "a.pdf", data: "x", method: 9}), "archive_method"},
		"nothing":                     {packed(false), "empty_archive"},
		"nothing but folders":         {written(t, "a/", "a/b/", "__MACOSX/x"), "empty_archive"},
		"a byte changed in the last":  {flipped, "damaged_archive"},
		"cut in the middle":           {two[:len(two)/2], "damaged_archive"},
		"its end cut off":             {two[:len(two)-1], "damaged_archive"},
		"its beginning alone":         {[]byte("PK\x03\x04"), "damaged_archive"},
		"no deflate":                  {packed(false, entry{name: "a.pdf", data: "\xff\xff\xff", content: "x", method: zip.Deflate}), "damaged_archive"},
		"directory says less":         {packed(false, lying), "damaged_archive"},
		"directory says more":         {packed(false, boasting), "damaged_archive"},
		"entry outside the archive":   {packed(false, stored("a.pdf", "x"), far), "damaged_archive"},
		"more entries than room":      {bytes.Replace(two, []byte("\x02\x00\x02\x00"), []byte("\xff\x00\xff\x00"), 1), "damaged_archive"},
		"zip64 without end":           {bytes.Replace(two, []byte("\x02\x00\x02\x00"), []byte("\xff\xff\xff\xff"), 1), "damaged_archive"},
		"zip64 that points elsewhere": {bytes.Replace(packed(true, stored("a.pdf", "x")), []byte("PK\x06\x07\x00\x00\x00\x00"), []byte("PK\x06\x07\x00\x00\x00\x01"), 1), "damaged_archive"},
		"two entries over one file":   {packed(false, stored("a.pdf", "x"), twice), "mixed_archive"},
		"an entry within another":     {packed(false, outer, inside), "mixed_archive"},
		"a page before it":            {append([]byte("<html>"), two...), "mixed_archive"},
		"a document after it":         {append(slices.Clone(two), "%PDF-1.7"...), "mixed_archive"},
		"a page before it, counted":   {packedAfter("<html>", false, stored("a.pdf", "x")), "mixed_archive"},
		"an entry before it, hidden":  {packedAfter(string(two[:44]), false, stored("a.pdf", "x")), "mixed_archive"},
		"an entry that is none":       {packed(false, entry{name: "a.pdf", data: "x", content: "x", at: 1}), "damaged_archive"},
		"too many files":              {written(t, over...), "archive_too_many_files"},
		"a directory without end":     {packed(false, slices.Repeat([]entry{{name: strings.Repeat("x", 60000)}}, 40)...), "archive_too_many_files"},
		"two mebibytes of nothing":    {packed(false, stored("a.pdf", "x"), bomb), "archive_too_dense"},
		"the same, said to be little": {packed(false, quietBomb), "damaged_archive"},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := unpacked(t, tc.file, defaultArchive)
			var refusal *core.Refusal
			if !errors.As(err, &refusal) || refusal.Code != tc.code {
				t.Fatalf("error %v, want %s", err, tc.code)
			}
			if len(d.names) != 0 {
				t.Errorf("delivered %q before", d.names)
			}
			if !strings.HasSuffix(refusal.Reason, ".") || strings.Contains(refusal.Reason, "'") || !strings.Contains(refusal.Reason, "\u00a0: envoyez") && !strings.Contains(refusal.Reason, "et envoyez") {
				t.Errorf("advice %q", refusal.Reason)
			}
		})
	}
}

// Each limit, and one below.
func TestSEC60_ArchiveLimits(t *testing.T) {
	file := packed(false, stored("a.pdf", "12345"), stored("b.pdf", "67890"))
	dense := packed(false, deflated("a.bmp", strings.Repeat("\x00", smallFile+smallFile/2)))
	ratio := int64((smallFile+smallFile/2)/(len(dense)-2*len("a.bmp")-98)) + 1
	for name, tc := range map[string]struct {
		file   []byte
		limits archiveLimits
		code   string
	}{
		"files":         {file, archiveLimits{2, 10, 1}, ""},
		"files, below":  {file, archiveLimits{1, 10, 1}, "archive_too_many_files"},
		"bytes, below":  {file, archiveLimits{2, 9, 1}, "archive_too_large"},
		"ratio":         {dense, archiveLimits{1, 1 << 30, ratio}, ""},
		"ratio, below":  {dense, archiveLimits{1, 1 << 30, ratio - 1}, "archive_too_dense"},
		"SEC-60's size": {dense, defaultArchive, "archive_too_dense"},
	} {
		_, err := unpacked(t, tc.file, tc.limits)
		var refusal *core.Refusal
		if errors.As(err, &refusal); (err == nil) != (tc.code == "") || refusal != nil && refusal.Code != tc.code {
			t.Errorf("%s: error %v, want %q", name, err, tc.code)
		}
	}
	if defaultArchive != (archiveLimits{100, 200 << 20, 100}) {
		t.Errorf("default limits %+v", defaultArchive)
	}
}

// Documents and programs kept in a zip are delivered whole, to be refused with their own advice.
func TestSEC60_DocumentsAreNoArchives(t *testing.T) {
	for name, names := range map[string][]string{
		"Word": {"[Content_Types].xml", "word/document.xml"}, "Excel, in another order": {"xl/workbook.xml", "[Content_Types].xml"},
		"OpenDocument": {"mimetype", "content.xml", "META-INF/manifest.xml"}, "EPUB": {"mimetype", "META-INF/container.xml"},
		"Java": {"META-INF/MANIFEST.MF", "A.class"}, "Android": {"AndroidManifest.xml", "classes.dex"}, "Pages": {"Index/Document.iwa", "Metadata/Properties.plist"},
	} {
		if d, err := unpacked(t, written(t, names...), defaultArchive); !errors.Is(err, errNoArchive) || len(d.names) != 0 {
			t.Errorf("%s: %q, error %v", name, d.names, err)
		}
	}
	if d, err := unpacked(t, written(t, "dossier/[Content_Types].xml", "dossier/word.xml"), defaultArchive); err != nil || len(d.names) != 2 {
		t.Errorf("a folder of XML: %q, error %v", d.names, err)
	}
	for head, want := range map[string]bool{"PK\x03\x04": true, "PK\x05\x06\x00\x00": true, "PK\x03": false, "": false, "%PDF": false, "MZ\x90\x00": false, "PKzip": false} {
		if isZip([]byte(head)) != want {
			t.Errorf("isZip(%q) is not %v", head, want)
		}
	}
}

func TestSEC66_NamesInArchives(t *testing.T) {
	infoZIP := func(name, utf8 string) entry {
		field := binary.LittleEndian.AppendUint16([]byte("\x75\x70"), uint16(5+len(utf8)))
		field = binary.LittleEndian.AppendUint32(append(field, 1), crc32.ChecksumIEEE([]byte("re?u.pdf")))
		return entry{name: name, data: "x", content: "x", extra: "xx\x01\x00y" + string(field) + utf8}
	}
	for _, tc := range []struct {
		entry
		want string
	}{
		{stored("a.pdf", "x"), "a.pdf"},
		{stored("../../etc/passwd", "x"), "passwd"},
		{stored(`C:\Users\Camille\facture.pdf`, "x"), "facture.pdf"},
		{entry{name: "reçu été.pdf", data: "x", content: "x", flags: 0x800}, "reçu été.pdf"},
		{stored("reçu été.pdf", "x"), "reçu été.pdf"}, // macOS does not say so
		{stored("rec\u0327u.pdf", "x"), "reçu.pdf"},
		{stored("re\x87u \x82t\x82.pdf", "x"), "reçu été.pdf"},                          // DOS
		{stored("re\xe7u \xe9t\xe9 d\x92ici.pdf", "x"), "reçu été d’ici.pdf"},           // Windows
		{stored("\xb7 payer.pdf", "x"), "À payer.pdf"},                                  // code page 850, not 437
		{entry{name: "re\xe7u.pdf", data: "x", content: "x", flags: 0x800}, "reçu.pdf"}, // says UTF-8, and is not
		{stored("\xd4.pdf", "x"), "È.pdf"},                                              // could be either
		{infoZIP("re?u.pdf", "reçu.pdf"), "reçu.pdf"},
		{infoZIP("autre.pdf", "reçu.pdf"), "autre.pdf"}, // the field belongs to another name
		{entry{name: "a.pdf", data: "x", content: "x", extra: "up\xff\xffx"}, "a.pdf"},
		{stored("fac\x00ture\r\n\u202efdp.exe", "x"), "facturefdp.exe"},
		{stored("dossier/ ", "x"), ""},
		{stored(strings.Repeat("é", 2000), "x"), strings.Repeat("é", 512)},
	} {
		d, err := unpacked(t, packed(false, tc.entry), defaultArchive)
		if err != nil || !slices.Equal(d.names, []string{tc.want}) {
			t.Errorf("%q became %q, error %v; want %q", tc.name, d.names, err, tc.want)
		}
	}
}

// brokenAt fails where it is read beyond an offset.
type brokenAt struct {
	io.ReaderAt
	at  int64
	err error
}

func (b brokenAt) ReadAt(p []byte, off int64) (int, error) {
	if off <= b.at && b.at < off+int64(len(p)) {
		return 0, b.err
	}
	return b.ReaderAt.ReadAt(p, off)
}

func TestUnpackErrors(t *testing.T) {
	file := packed(false, stored("a.pdf", strings.Repeat("x", 100<<10)), stored("b.pdf", "y"))
	broken := errors.New("broken")
	never := func(core.Part) error { t.Error("delivered"); return nil }
	for _, at := range []int64{0, 50 << 10, int64(len(file)) - 100, int64(len(file)) - 1} {
		err := unpack(t.Context(), brokenAt{bytes.NewReader(file), at, broken}, int64(len(file)), defaultArchive, never)
		var refusal *core.Refusal
		if !errors.Is(err, broken) || errors.As(err, &refusal) {
			t.Errorf("store broken at %d: %v", at, err)
		}
	}
	parts := 0
	err := unpack(t.Context(), bytes.NewReader(file), int64(len(file)), defaultArchive, func(core.Part) error { parts++; return fs.ErrClosed })
	if err != fs.ErrClosed || parts != 1 {
		t.Errorf("error of each: %v after %d parts", err, parts)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := unpack(ctx, bytes.NewReader(file), int64(len(file)), defaultArchive, never); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// A bomb of the size of a message ends soon, however it is built.
func TestSEC64_ArchiveBombsEndSoon(t *testing.T) {
	kernel := deflated("a.bmp", strings.Repeat("\x00", 8<<20))
	kernels := make([]entry, 100)
	for i := range kernels {
		kernels[i] = kernel
		if i > 0 {
			kernels[i].at = 1
		}
	}
	for name, file := range map[string][]byte{
		"a hundred entries over one kernel": packed(false, kernels...),
		"sixty thousand entries":            packed(false, slices.Repeat([]entry{{name: "x"}}, 60000)...),
		"ends without number":               bytes.Repeat([]byte("PK\x05\x06"), 1<<20),
	} {
		start := time.Now()
		_, err := unpacked(t, file, defaultArchive)
		var refusal *core.Refusal
		if !errors.As(err, &refusal) {
			t.Errorf("%s: error %v", name, err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: %v", name, took)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	inside := stored("b.pdf", "hidden")
	inside.at = 5
	for _, file := range [][]byte{
		written(f, "a.pdf", "x/", "__MACOSX/b"), packed(false, stored("a.pdf", "x"), deflated("b.pdf", "yyyyyyyyyyyyyyyyyyyy")), packed(true, stored("a.pdf", "x")),
		packed(false, stored("a.pdf", "x"), inside), packed(false), written(f, "mimetype"), packed(false, entry{name: "a.pdf", data: "x", method: 99, flags: 1}),
	} {
		f.Add(file)
	}
	limits := archiveLimits{files: 3, bytes: 4 << 20, ratio: 10}
	f.Fuzz(func(t *testing.T, file []byte) {
		d, err := unpacked(t, file, limits)
		var refusal *core.Refusal
		switch {
		case err == nil && (len(d.names) == 0 || len(d.names) > limits.files):
			t.Errorf("delivered %d files", len(d.names))
		case err != nil && !errors.As(err, &refusal) && !errors.Is(err, errNoArchive):
			t.Errorf("error %v", err)
		case err != nil && len(d.names) > 0:
			t.Errorf("delivered %d files before %v", len(d.names), err)
		}
		if total := len(strings.Join(d.contents, "")); int64(total) > limits.bytes {
			t.Errorf("delivered %d bytes", total)
		}
	})
}
