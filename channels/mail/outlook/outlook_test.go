package outlook_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"vaguemestre/channels/mail/compound/compoundtest"
	"vaguemestre/channels/mail/outlook"
	"vaguemestre/core"
)

// file is a part as the tests write it down.
type file struct {
	name, kind, cid string
	inline          bool
	depth           int
	content         string
}

func open(t testing.TB, data []byte, maxDepth int) ([]file, error) {
	t.Helper()
	var files []file
	err := outlook.Open(data, maxDepth, func(p core.Part) error {
		content, err := io.ReadAll(p.Body)
		files = append(files, file{p.Name, p.Type, p.ContentID, p.Inline, p.Depth, string(content)})
		if p.Via != core.ViaMSG {
			t.Errorf("via %q", p.Via)
		}
		return err
	})
	return files, err
}

var dump = flag.String("dump", "", "folder to write the messages of the tests to")

// pattern is n bytes in which no sector is like another.
func pattern(n int) string {
	var b []byte
	for i := uint64(1); len(b) < n; i++ {
		b = binary.LittleEndian.AppendUint64(b, i*0x9e3779b97f4a7c15)
	}
	return string(b[:n])
}

func TestOpen(t *testing.T) {
	note := []property{wide(0x001a, "IPM.Note")}
	small, large := pattern(700), pattern(100_000)
	pdf := func(n int, name string) *node { return attachment(n, wide(0x3707, name), data(small)) }
	inner := func(attachments ...*node) []*node { return message(24, note, attachments...) }
	for _, tc := range []struct {
		name  string
		data  []byte
		files []file
		err   error
	}{
		{"no attachment", saved(), nil, nil},
		{"one small, in mini sectors", saved(pdf(0, "avis d’imposition.pdf")), []file{{name: "avis d’imposition.pdf", content: small}}, nil},
		{"one large, in sectors", saved(attachment(0, wide(0x3707, "a.pdf"), data(large))), []file{{name: "a.pdf", content: large}}, nil},
		{"sizes around a mini sector, a sector, the cutoff", saved(attachment(0, data(pattern(1))), attachment(1, data(pattern(64))), attachment(2, data(pattern(65))), attachment(3, data(pattern(512))), attachment(4, data(pattern(4095))), attachment(5, data(pattern(4096))), attachment(6, data(pattern(4097)))),
			[]file{{content: pattern(1)}, {content: pattern(64)}, {content: pattern(65)}, {content: pattern(512)}, {content: pattern(4095)}, {content: pattern(4096)}, {content: pattern(4097)}}, nil},
		{"more than ten, in the order of their numbers", saved(pdf(16, "q"), pdf(2, "c"), pdf(10, "k")), []file{{name: "c", content: small}, {name: "k", content: small}, {name: "q", content: small}}, nil},
		{"sectors of 4 KiB", (&compoundtest.Builder{Shift: 12}).File(message(32, note, pdf(0, "a.pdf"), attachment(1, data(large)))...), []file{{name: "a.pdf", content: small}, {content: large}}, nil},
		{"sectors in reverse", (&compoundtest.Builder{Shift: 9, Scattered: true}).File(message(32, note, pdf(0, "a.pdf"), attachment(1, data(large)))...), []file{{name: "a.pdf", content: small}, {content: large}}, nil},
		{"a FAT longer than its list in the header", (&compoundtest.Builder{Shift: 9}).File(message(32, note, attachment(0, data(pattern(17<<20))))...), []file{{content: pattern(17 << 20)}}, nil},
		{"all that is said of it", saved(attachment(0, ansi(0x3704, "AVISDI~1.PDF"), wide(0x3707, "avis.pdf"), wide(0x370e, "Application/PDF"), wide(0x3712, "f_1"), long(0x3705, 1), data(small))),
			[]file{{name: "avis.pdf", kind: "application/pdf", cid: "f_1", content: small}}, nil},
		{"picture of the text", saved(attachment(0, wide(0x3707, "image001.png"), wide(0x3712, "<image001.png@01D9>"), long(0x3714, 4), data(small))),
			[]file{{name: "image001.png", cid: "image001.png@01D9", inline: true, content: small}}, nil},
		{"hidden", saved(attachment(0, wide(0x3707, "image001.png"), boolean(0x7ffe, true), data(small))), []file{{name: "image001.png", inline: true, content: small}}, nil},
		{"not hidden", saved(attachment(0, wide(0x3707, "image001.png"), boolean(0x7ffe, false), data(small))), []file{{name: "image001.png", content: small}}, nil},
		{"short name alone", saved(attachment(0, ansi(0x3704, "AVIS.PDF"), wide(0x3001, "avis"), data(small))), []file{{name: "AVIS.PDF", content: small}}, nil},
		{"shown name alone", saved(attachment(0, wide(0x3001, "avis.pdf"), data(small))), []file{{name: "avis.pdf", content: small}}, nil},
		{"ANSI in the codepage of the message", (&compoundtest.Builder{Shift: 9}).File(message(32, append(note, long(0x3ffd, 1251)), attachment(0, ansi(0x3707, "\xcf\xe0\xf1\xef\xee\xf0\xf2.pdf"), data(small)))...), []file{{name: "Паспорт.pdf", content: small}}, nil},
		{"ANSI in the codepage of its text", (&compoundtest.Builder{Shift: 9}).File(message(32, append(note, long(0x3fde, 932)), attachment(0, ansi(0x3707, "\x93\xfa\x96\x7b.pdf"), data(small)))...), []file{{name: "日本.pdf", content: small}}, nil},
		{"ANSI in both", (&compoundtest.Builder{Shift: 9}).File(message(32, append(note, long(0x3ffd, 1252), long(0x3fde, 28592)), attachment(0, ansi(0x3707, "re\xe7u.pdf"), data(small)))...), []file{{name: "reçu.pdf", content: small}}, nil},
		{"ANSI in no codepage", saved(attachment(0, ansi(0x3707, "\x80.pdf"), data(small))), []file{{name: "€.pdf", content: small}}, nil},
		{"ANSI that is UTF-8", saved(attachment(0, ansi(0x3707, "reçu.pdf\x00"), data(small))), []file{{name: "reçu.pdf", content: small}}, nil},
		{"empty file and a link to one", saved(attachment(0, wide(0x3707, "empty"), data("")), attachment(1, long(0x3705, 4), wide(0x370d, `\\server\a.pdf`))), nil, nil},
		{"signed", (&compoundtest.Builder{Shift: 9}).File(message(32, []property{wide(0x001a, "IPM.Note.SMIME.MultipartSigned")}, pdf(0, "smime.p7m"))...), []file{{name: "smime.p7m", kind: "multipart/signed", content: small}}, nil},
		{"encrypted", (&compoundtest.Builder{Shift: 9}).File(message(32, []property{ansi(0x001a, "IPM.Note.SMIME")}, pdf(0, "smime.p7m"))...), []file{{name: "smime.p7m", kind: "application/pkcs7-mime", content: small}}, nil},
		{"embedded message", saved(pdf(0, "a.pdf"), object(1, 5, inner(attachment(0, wide(0x3707, "b.pdf"), data(large)))), pdf(2, "c.pdf")),
			[]file{{name: "a.pdf", content: small}, {name: "b.pdf", depth: 1, content: large}, {name: "c.pdf", content: small}}, nil},
		{"embedded message in another codepage", saved(object(0, 5, message(24, append(note, long(0x3ffd, 1250)), attachment(0, ansi(0x3707, "\xf8.pdf"), data(small)))), attachment(1, ansi(0x3707, "\xf8.pdf"), data(small))),
			[]file{{name: "ř.pdf", depth: 1, content: small}, {name: "ø.pdf", content: small}}, nil},
		{"codepage of the message around", (&compoundtest.Builder{Shift: 9}).File(message(32, append(note, long(0x3ffd, 1250)), object(0, 5, inner(attachment(0, ansi(0x3707, "\xf8.pdf"), data(small)))))...),
			[]file{{name: "ř.pdf", depth: 1, content: small}}, nil},
		{"OLE object that is a file", saved(object(0, 6, compoundtest.Packaged("re\xe7u.pdf", large)), pdf(1, "a.pdf")),
			[]file{{name: "reçu.pdf", content: large}, {name: "a.pdf", content: small}}, nil},
		{"OLE object that is a small file", saved(object(0, 6, compoundtest.Packaged("a.pdf", "%PDF"))), []file{{name: "a.pdf", content: "%PDF"}}, nil},
		{"OLE object with a content of its own", saved(object(0, 6, []*node{stream("\x01CompObj", "x"), stream("CONTENTS", small)})), []file{{name: "Fwd: dossier", inline: true, content: small}}, nil},
		{"OLE object with native data", saved(object(0, 6, []*node{stream("\x01Ole10Native", "\x05\x00\x00\x00BM123")})), []file{{name: "Fwd: dossier", inline: true, content: "BM123"}}, nil},
		{"OLE object that is nothing outside", saved(object(0, 6, []*node{stream("\x03PRINT", small)}), pdf(1, "a.pdf")), []file{{name: "a.pdf", content: small}}, nil},
		{"OLE object cut short", saved(object(0, 6, []*node{stream("\x01Ole10Native", string(le(uint32(99), uint16(2), []byte("a\x00b\x00"), uint32(0), uint32(0), uint32(99), []byte("%PDF"))))})), nil, nil},
		{"messages too deep", saved(object(0, 5, inner(object(0, 5, inner(object(0, 5, inner(pdf(0, "deep.pdf"))), pdf(1, "two.pdf"))))), pdf(1, "a.pdf")),
			[]file{{name: "two.pdf", depth: 2, content: small}, {name: "a.pdf", content: small}}, outlook.ErrDeep},
		{"no compound file", []byte("Bonjour"), nil, outlook.ErrBroken},
		{"nothing", nil, nil, outlook.ErrBroken},
		{"signature alone", []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), nil, outlook.ErrBroken},
		{"a Word document", (&compoundtest.Builder{Shift: 9}).File(stream("WordDocument", large), stream("1Table", small)), nil, outlook.ErrBroken},
		{"an empty storage", (&compoundtest.Builder{Shift: 9}).File(), nil, outlook.ErrBroken},
		{"properties of an attachment missing", saved(storage("__attach_version1.0_#00000000", stream("__substg1.0_37010102", small))), []file{{content: small}}, outlook.ErrBroken},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if *dump != "" {
				if err := os.WriteFile(filepath.Join(*dump, strings.ReplaceAll(tc.name, " ", "-")+".msg"), tc.data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			files, err := open(t, tc.data, 2)
			if fmt.Sprintf("%+v", files) != fmt.Sprintf("%+v", tc.files) || !errors.Is(err, tc.err) {
				t.Errorf("got %.900s, %v\nwant %.900s, %v", fmt.Sprintf("%+v", files), err, fmt.Sprintf("%+v", tc.files), tc.err)
			}
		})
	}
}

func TestBodyIsAReader(t *testing.T) {
	content := pattern(10_000)
	err := outlook.Open(saved(attachment(0, data(content)), attachment(1, data(content[:99]))), 1, func(p core.Part) error {
		want := content
		if p.Name == "" && p.Depth == 0 {
			first, err := io.ReadAll(io.LimitReader(p.Body, 99))
			if err != nil || string(first) != content[:99] {
				t.Errorf("%d bytes, %v", len(first), err)
			}
			want = content[99:]
		}
		rest, err := io.ReadAll(iotest.OneByteReader(p.Body))
		if err != nil || len(rest) != 0 && string(rest) != want {
			t.Errorf("%d bytes more, %v", len(rest), err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestErrorOfEachIsReturned(t *testing.T) {
	broken := errors.New("broken")
	calls := 0
	msg := saved(object(0, 5, message(24, nil, attachment(0, data("x")), attachment(1, data("y")))), attachment(1, data("z")))
	if err := outlook.Open(msg, 9, func(core.Part) error { calls++; return broken }); err != broken || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

// TestEveryCut opens a message cut at many lengths: what comes out is whole, and if
// anything is missing that is said.
func TestEveryCut(t *testing.T) {
	one, two := pattern(6000), pattern(300)
	whole := saved(attachment(0, wide(0x3707, "one"), data(one)), attachment(1, wide(0x3707, "two"), data(two)))
	for n := 0; n < len(whole); n += 13 {
		files, err := open(t, whole[:n], 2)
		for _, f := range files {
			if f.content != one && f.content != two {
				t.Errorf("cut at %d: a file of %d bytes that nobody sent", n, len(f.content))
			}
		}
		if len(files) < 2 && !errors.Is(err, outlook.ErrBroken) {
			t.Errorf("cut at %d: %d files, error %v", n, len(files), err)
		}
	}
}

// Fields of the header of a compound file, by place.
const (
	atDirectory = 48
	atMiniFAT   = 60
	atDIF       = 68
	atFAT       = 76
)

// TestLastSectorMayBeShort opens a file that ends with its last byte of use, as some
// programs write it.
func TestLastSectorMayBeShort(t *testing.T) {
	content := pattern(9*512 + 400)
	msg := saved(attachment(0, data(content)))
	field := func(at int) []byte { return msg[at : at+4] }
	first, fat := bytes.Index(msg, []byte(content))>>9-1, int(binary.LittleEndian.Uint32(field(atFAT))+1)<<9
	binary.LittleEndian.PutUint32(field(fat+4*(first+8)), uint32(len(msg)>>9-1))
	msg = append(msg, content[9*512:]...)
	files, err := open(t, msg, 1)
	if err != nil || len(files) != 1 || files[0].content != content {
		t.Errorf("%d files, %v", len(files), err)
	}
}

// TestHostileShapes opens compound files that contradict themselves: no loop, no
// memory out of proportion, and not more content than there are bytes.
func TestHostileShapes(t *testing.T) {
	const size = 8 << 20
	big := func() []byte { return saved(attachment(0, data(pattern(size)))) }
	put := func(msg []byte, at int, v uint32) []byte {
		binary.LittleEndian.PutUint32(msg[at:], v)
		return msg
	}
	directory := func(msg []byte) int { return int(binary.LittleEndian.Uint32(msg[atDirectory:])+1) << 9 }
	fat := func(msg []byte) int { return int(binary.LittleEndian.Uint32(msg[atFAT:])+1) << 9 }
	everyEntry := func(msg []byte, change func(e []byte)) []byte {
		for at := directory(msg); at+128 <= len(msg) && msg[at] != 0; at += 128 {
			change(msg[at : at+128])
		}
		return msg
	}
	filled := func(msg []byte, from int, v uint32) []byte {
		for at := from; at+4 <= len(msg); at += 4 {
			put(msg, at, v)
		}
		return msg
	}
	var many []*node
	for n := range 5000 {
		many = append(many, attachment(n, data("x")))
	}
	crowd := saved(many...)
	shared := saved(many[:2000]...)
	deep := message(24, nil, attachment(0, data("x")))
	for range 500 {
		deep = message(24, nil, object(0, 5, deep))
	}
	for name, msg := range map[string][]byte{
		"a sector that follows itself":    filled(big(), fat(big()), 0),
		"sectors in a ring":               put(put(big(), fat(big()), 1), fat(big())+4, 0),
		"directory in a ring":             put(big(), fat(big())+directory(big())>>9*4-4, uint32(directory(big())>>9-1)),
		"directory nowhere":               put(big(), atDirectory, 0xfffff),
		"mini FAT at the header's end":    put(big(), atMiniFAT, 0xfffffff9),
		"list of FAT sectors in a ring":   filled(put(big(), atDIF, 0), 512, 0),
		"entries that are their siblings": everyEntry(big(), func(e []byte) { binary.LittleEndian.PutUint32(e[68:], 1); binary.LittleEndian.PutUint32(e[72:], 2) }),
		"entries that hold themselves":    everyEntry(big(), func(e []byte) { binary.LittleEndian.PutUint32(e[76:], 0) }),
		"entries that are all the root":   everyEntry(big(), func(e []byte) { e[66] = 5 }),
		"streams of 4 GB":                 everyEntry(big(), func(e []byte) { binary.LittleEndian.PutUint32(e[120:], 0xffffffff) }),
		"streams of the whole file": everyEntry(big(), func(e []byte) {
			binary.LittleEndian.PutUint32(e[116:], 0)
			binary.LittleEndian.PutUint32(e[120:], size)
		}),
		"one sector for all": everyEntry(shared, func(e []byte) {
			binary.LittleEndian.PutUint32(e[116:], 0)
			binary.LittleEndian.PutUint32(e[120:], 4000)
		}),
		"many attachments":        crowd,
		"messages one in another": (&compoundtest.Builder{Shift: 9}).File(message(32, nil, object(0, 5, deep))...),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			var total int64
			err := outlook.Open(msg, 1000, func(p core.Part) error {
				n, err := io.Copy(io.Discard, p.Body)
				total += n
				return err
			})
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if took > 10*time.Second || total > int64(len(msg)) {
				t.Errorf("%d bytes out of %d in %v, %v", total, len(msg), took, err)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > uint64(len(msg))/4+32<<20 {
				t.Errorf("%d bytes allocated for a message of %d", used, len(msg))
			}
		})
	}
}

// FuzzMSG checks that no bytes make Open fail otherwise than it says, or give out more
// than they are, or what cannot be stored.
func FuzzMSG(f *testing.F) {
	for _, msg := range smallMessages() {
		f.Add(msg)
	}
	f.Fuzz(checkAny)
}

// FuzzDamagedMSG does the same with bytes that are nearly a message: each three of edits
// say where one of them is put into it.
func FuzzDamagedMSG(f *testing.F) {
	base := smallMessages()[1]
	f.Add([]byte{48, 0, 1, 76, 0, 9, 0, 2, 0xff})
	f.Add([]byte{60, 0, 0, 120, 10, 0xff})
	f.Fuzz(func(t *testing.T, edits []byte) {
		msg := slices.Clone(base)
		for edit := range slices.Chunk(edits[:len(edits)/3*3], 3) {
			msg[(int(edit[0])|int(edit[1])<<8)%len(msg)] = edit[2]
		}
		checkAny(t, msg)
	})
}

// smallMessages are messages with all that is read of one.
func smallMessages() [][]byte {
	write := func(shift uint, properties []property, attachments ...*node) []byte {
		return (&compoundtest.Builder{Shift: shift}).File(append(holding(32, properties...), attachments...)...)
	}
	named := attachment(0, wide(0x3707, "é"), ansi(0x370e, "a/b"), long(0x3714, 4), boolean(0x7ffe, true), data("x"))
	inner := append(holding(24, long(0x3ffd, 932)), attachment(0, ansi(0x3707, "x"), data(pattern(4100))))
	return [][]byte{
		write(9, nil, named),
		write(9, nil, named, object(1, 5, inner), object(2, 6, compoundtest.Packaged("a", "x"))),
		write(12, []property{wide(0x001a, "IPM.Note.SMIME")}, attachment(0, data("x"))),
	}
}

// checkAny opens any bytes.
func checkAny(t *testing.T, data []byte) {
	files, err := open(t, data, 3)
	if err != nil && !errors.Is(err, outlook.ErrBroken) && !errors.Is(err, outlook.ErrDeep) {
		t.Errorf("error %v", err)
	}
	size := 0
	for _, one := range files {
		size += len(one.content)
		if one.content == "" || one.depth > 3 {
			t.Errorf("%+v", one)
		}
		for _, s := range []string{one.name, one.kind, one.cid} {
			if !utf8.ValidString(s) || strings.Contains(s, "\x00") {
				t.Errorf("%q is not UTF-8 without NUL", s)
			}
		}
	}
	if size > len(data) {
		t.Errorf("%d bytes out of %d", size, len(data))
	}
}
