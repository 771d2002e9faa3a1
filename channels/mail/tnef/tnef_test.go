package tnef_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"vaguemestre/channels/mail/compound/compoundtest"
	"vaguemestre/channels/mail/tnef"
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
	err := tnef.Open(data, maxDepth, func(p core.Part) error {
		content, err := io.ReadAll(p.Body)
		files = append(files, file{p.Name, p.Type, p.ContentID, p.Inline, p.Depth, string(content)})
		if p.Via != core.ViaTNEF {
			t.Errorf("via %q", p.Via)
		}
		return err
	})
	return files, err
}

var dump = flag.String("dump", "", "folder to write the containers of the tests to")

func TestOpen(t *testing.T) {
	long256 := strings.Repeat("0123456789abcdef", 4096)
	for _, tc := range []struct {
		name  string
		data  []byte
		files []file
		err   error
	}{
		{"nothing in it", container(), nil, nil},
		{"only a text", container(attribute(1, 0x0002800c, []byte("Bonjour\x00")), attribute(1, 0x00069003, block(binaryOf(0x1009, 0x0102, []byte("compressed RTF")), binaryOf(0x1013, 0x0102, []byte("<p>Bonjour"))))), nil, nil},
		{"legacy attributes", container(codepage(1252), rendering(1), title("re\xe7u.pdf"), content("%PDF")),
			[]file{{name: "reçu.pdf", content: "%PDF"}}, nil},
		{"attributes without their types", container(attribute(2, 0x9002, nil), attribute(2, 0x8010, []byte("a.pdf\x00")), attribute(2, 0x800f, []byte("one"))),
			[]file{{name: "a.pdf", content: "one"}}, nil},
		{"two files", container(rendering(1), title("a.pdf"), content("one"), rendering(1), title("b.pdf"), content("two")),
			[]file{{name: "a.pdf", content: "one"}, {name: "b.pdf", content: "two"}}, nil},
		{"long name in UTF-16", container(rendering(1), title("AVISDI~1.PDF"), content("%PDF"), mapiOf(wide(0x3707, "avis d’imposition 2025.pdf"), ansi(0x370e, "Application/PDF"))),
			[]file{{name: "avis d’imposition 2025.pdf", kind: "application/pdf", content: "%PDF"}}, nil},
		{"names in the declared codepage", container(codepage(1251), rendering(1), title("x"), content("x"), mapiOf(ansi(0x3707, "\xcf\xe0\xf1\xef\xee\xf0\xf2.pdf"))),
			[]file{{name: "Паспорт.pdf", content: "x"}}, nil},
		{"names in a codepage of two bytes", container(codepage(932), rendering(1), title("\x93\xfa\x96\x7b.pdf"), content("x")),
			[]file{{name: "日本.pdf", content: "x"}}, nil},
		{"UTF-8 under a false codepage", container(codepage(1252), rendering(1), title("reçu.pdf"), content("x")),
			[]file{{name: "reçu.pdf", content: "x"}}, nil},
		{"codepage among the properties of the message", container(attribute(1, 0x00069003, block(long(0x3fde, 1250))), rendering(1), title("\xf8.pdf"), content("x")),
			[]file{{name: "ř.pdf", content: "x"}}, nil},
		{"no codepage", container(rendering(1), title("\x80.pdf"), content("x")),
			[]file{{name: "€.pdf", content: "x"}}, nil},
		{"content among the properties", container(rendering(1), mapiOf(wide(0x3707, "a.pdf"), binaryOf(0x3701, 0x0102, []byte("%PDF")))),
			[]file{{name: "a.pdf", content: "%PDF"}}, nil},
		{"content in both places", container(rendering(1), title("a.pdf"), content("%PDF"), mapiOf(binaryOf(0x3701, 0x0102, []byte("%PDF")))),
			[]file{{name: "a.pdf", content: "%PDF"}}, nil},
		{"picture of the text", container(rendering(1), title("image001.png"), content("png"), mapiOf(wide(0x3712, "<image001.png@01D9>"), long(0x3714, 4), boolean(0x7ffe, true))),
			[]file{{name: "image001.png", cid: "image001.png@01D9", inline: true, content: "png"}}, nil},
		{"Content-ID alone is no picture", container(rendering(1), title("a.pdf"), content("pdf"), mapiOf(wide(0x3712, "f_k1"))),
			[]file{{name: "a.pdf", cid: "f_k1", content: "pdf"}}, nil},
		{"disposition inline", container(rendering(1), title("a.png"), content("png"), mapiOf(wide(0x3716, "inline"))),
			[]file{{name: "a.png", inline: true, content: "png"}}, nil},
		{"properties of every type around", container(rendering(1), title("a.pdf"), content("%PDF"), mapiOf(
			padded(le(uint16(0x0002), uint16(0x1111), uint16(7))), le(uint16(0x0040), uint16(0x1112), uint64(7)), le(uint16(0x0048), uint16(0x1113), make([]byte, 16)),
			named("", le(uint32(1))), named("kind", le(uint32(1))),
			padded(le(uint16(0x101f), uint16(0x1114), uint32(2), uint32(3), padded([]byte("abc")), uint32(5), []byte("defgh"))),
			le(uint16(0x1003), uint16(0x1115), uint32(3), uint32(1), uint32(2), uint32(3)),
			padded(le(uint16(0x000b), uint16(0x1116), uint16(1))),
			wide(0x3707, "last.pdf"))),
			[]file{{name: "last.pdf", content: "%PDF"}}, nil},
		{"transport name alone", container(rendering(1), attribute(2, 0x00069001, []byte("a.pdf\x00")), content("x")),
			[]file{{name: "a.pdf", content: "x"}}, nil},
		{"no name at all", container(rendering(1), content("x")), []file{{content: "x"}}, nil},
		{"no rendering before the first", container(title("a.pdf"), content("x")), []file{{name: "a.pdf", content: "x"}}, nil},
		{"empty file and a link to one", container(rendering(1), title("empty"), content(""), rendering(1), title("linked.pdf"), mapiOf(long(0x3705, 4), wide(0x370d, `\\server\linked.pdf`))), nil, nil},
		{"larger than 64 KiB", container(rendering(1), title("a.bin"), content(long256)), []file{{name: "a.bin", content: long256}}, nil},
		{"embedded message", container(rendering(1), title("a.pdf"), content("outer"), embedded(container(codepage(1252), rendering(1), title("\xe9.pdf"), content("inner"))), rendering(1), title("c.pdf"), content("after")),
			[]file{{name: "a.pdf", content: "outer"}, {name: "é.pdf", depth: 1, content: "inner"}, {name: "c.pdf", content: "after"}}, nil},
		{"two messages one in another", container(embedded(container(embedded(container(rendering(1), title("a.pdf"), content("x")))))),
			[]file{{name: "a.pdf", depth: 2, content: "x"}}, nil},
		{"messages too deep", container(embedded(container(embedded(container(embedded(container(rendering(1), title("deep.pdf"), content("x"))))))), rendering(1), title("a.pdf"), content("x")),
			[]file{{name: "a.pdf", content: "x"}}, tnef.ErrDeep},
		{"OLE object", container(rendering(2), title("Picture"), mapiOf(long(0x3705, 6), binaryOf(0x3701, 0x000d, le(iidStorage, []byte("\xd0\xcf\x11\xe0object"))))),
			[]file{{name: "Picture", content: "\xd0\xcf\x11\xe0object"}}, nil},
		{"OLE object that is a file", container(codepage(1252), rendering(2), title("Package"), mapiOf(long(0x3705, 6), binaryOf(0x3701, 0x000d, le(iidStorage, (&compoundtest.Builder{Shift: 9}).File(compoundtest.Packaged("re\xe7u.pdf", "%PDF")...))))),
			[]file{{name: "reçu.pdf", content: "%PDF"}}, nil},
		{"a sentence in place of an object", container(rendering(2), title("Picture"), content("This is an embedded object."), mapiOf(binaryOf(0x3701, 0x000d, le(iidStorage, []byte("\xd0\xcf\x11\xe0object"))))),
			[]file{{name: "Picture", content: "\xd0\xcf\x11\xe0object"}}, nil},
		{"a sentence in place of a message", container(rendering(1), title("message"), content("This is an embedded message."), mapiOf(binaryOf(0x3701, 0x000d, le(iidMessage, container(rendering(1), title("a"), content("x")))))),
			[]file{{name: "a", depth: 1, content: "x"}}, nil},
		{"blank lines after it", append(container(rendering(1), title("a"), content("x")), "\r\n\r\n"...), []file{{name: "a", content: "x"}}, nil},
		{"zeros after it", append(container(rendering(1), title("a"), content("x")), make([]byte, 1000)...), []file{{name: "a", content: "x"}}, nil},
		{"not a winmail.dat", []byte("Bonjour, voici mon justificatif"), nil, tnef.ErrBroken},
		{"nothing", nil, nil, tnef.ErrBroken},
		{"wrong checksum", append(container(rendering(1), title("a.pdf")), le(byte(2), uint32(0x0006800f), uint32(1), []byte("x"), uint16(7), rendering(1), title("b"), content("y"))...),
			[]file{{name: "a.pdf", content: "x"}, {name: "b", content: "y"}}, tnef.ErrBroken},
		{"cut in the second file", cut(container(rendering(1), title("a.pdf"), content("one"), rendering(1), title("b.pdf"), content("two")), 4),
			[]file{{name: "a.pdf", content: "one"}}, tnef.ErrBroken},
		{"cut in the last checksum", cut(container(rendering(1), title("a.pdf"), content("one")), 1),
			[]file{{name: "a.pdf", content: "one"}}, tnef.ErrBroken},
		{"properties cut short", container(rendering(1), title("a.pdf"), content("x"), attribute(2, 0x00069005, cut(block(wide(0x3707, "long.pdf"), long(0x3714, 4)), 6))),
			[]file{{name: "long.pdf", content: "x"}}, tnef.ErrBroken},
		{"property of no known type", container(rendering(1), title("a.pdf"), content("x"), mapiOf(le(uint16(0x0fff), uint16(0x1111), uint32(1)))),
			[]file{{name: "a.pdf", content: "x"}}, tnef.ErrBroken},
		{"junk after it", append(container(rendering(1), title("a.pdf"), content("one")), "a signature of the mailing list\n"...),
			[]file{{name: "a.pdf", content: "one"}}, tnef.ErrBroken},
		{"embedded message that is none", container(embedded([]byte("nothing")), rendering(1), title("a.pdf"), content("one")),
			[]file{{name: "a.pdf", content: "one"}}, tnef.ErrBroken},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if *dump != "" {
				if err := os.WriteFile(filepath.Join(*dump, strings.ReplaceAll(tc.name, " ", "-")+".dat"), tc.data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			files, err := open(t, tc.data, 2)
			if fmt.Sprintf("%+v", files) != fmt.Sprintf("%+v", tc.files) || !errors.Is(err, tc.err) {
				t.Errorf("got %+v, %v\nwant %+v, %v", files, err, tc.files, tc.err)
			}
		})
	}
}

// cut is b without its last n bytes.
func cut(b []byte, n int) []byte { return b[:len(b)-n] }

func TestErrorOfEachIsReturned(t *testing.T) {
	broken := errors.New("broken")
	inner := container(rendering(1), content("x"), rendering(1), content("y"))
	calls := 0
	err := tnef.Open(container(embedded(inner), rendering(1), content("z")), 9, func(core.Part) error { calls++; return broken })
	if err != broken || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

// TestEveryCut opens a container cut at every length: what was whole comes out, and
// only a cut between two attributes is no fault.
func TestEveryCut(t *testing.T) {
	attributes := [][]byte{rendering(1), title("a"), content("one"), rendering(1), title("b"), content("two")}
	whole := container(attributes...)
	between := map[int]bool{}
	var ends []int // of the contents, their checksums aside
	at := len(container())
	between[6], between[at] = true, true
	for _, a := range attributes {
		at += len(a)
		between[at] = true
		if bytes.Contains(a, []byte("one")) || bytes.Contains(a, []byte("two")) {
			ends = append(ends, at-2)
		}
	}
	for n := range len(whole) + 1 {
		files, err := open(t, whole[:n], 2)
		want := []file{{name: "a", content: "one"}, {name: "b", content: "two"}}
		for len(want) > 0 && n < ends[len(want)-1] {
			want = want[:len(want)-1]
		}
		if fmt.Sprint(files) != fmt.Sprint(want) || (err == nil) != between[n] {
			t.Errorf("cut at %d: %v, %v, want %v", n, files, err, want)
		}
	}
}

// TestHostileShapesTakeNoLonger opens what would cost a careless reader time or memory
// out of proportion.
func TestHostileShapesTakeNoLonger(t *testing.T) {
	const size = 4 << 20
	deep := container(rendering(1), content("x"))
	for len(deep) < size {
		deep = container(embedded(deep), attribute(1, 0x00088888, make([]byte, size/64)))
	}
	many := bytes.Repeat(le(rendering(1), content("x")), size/60)
	for name, data := range map[string][]byte{
		"one in another":         deep,
		"files":                  container(many),
		"properties":             container(attribute(2, 0x00069005, le(^uint32(0), make([]byte, size)))),
		"values of one property": container(attribute(2, 0x00069005, le(uint32(1), uint16(0x101f), uint16(0x3707), ^uint32(0), make([]byte, size)))),
		"long name":              container(rendering(1), content("x"), mapiOf(wide(0x3707, strings.Repeat("é", size/2)))),
		"attribute of 4 GB":      container(le(byte(2), uint32(0x0006800f), ^uint32(0))),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			files, _ := open(t, data, 1000)
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("took %v for %d files", took, len(files))
			}
			for _, f := range files {
				if len(f.name) > 16<<10 {
					t.Errorf("a name of %d bytes", len(f.name))
				}
			}
		})
	}
}

// FuzzTNEF checks that no bytes make Open fail otherwise than it says, or give out more
// than they are, or what cannot be stored.
func FuzzTNEF(f *testing.F) {
	f.Add(container(codepage(932), rendering(1), title("a"), content("x"), mapiOf(wide(0x3707, "é"), ansi(0x370e, "a/b"), long(0x3714, 4), boolean(0x7ffe, true))))
	f.Add(container(embedded(container(rendering(1), content("x"))), rendering(2), mapiOf(binaryOf(0x3701, 0x000d, le(iidStorage, []byte("ole"))))))
	f.Add(container(attribute(1, 0x00069003, block(long(0x3fde, 1250), named("kind", le(uint32(1)))))))
	f.Fuzz(func(t *testing.T, data []byte) {
		files, err := open(t, data, 3)
		if err != nil && !errors.Is(err, tnef.ErrBroken) && !errors.Is(err, tnef.ErrDeep) {
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
	})
}
