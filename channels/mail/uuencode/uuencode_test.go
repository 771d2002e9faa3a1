package uuencode_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"vaguemestre/channels/mail/uuencode"
	"vaguemestre/core"
)

// encoded writes content as uuencode does, blank or grave accent standing for zero.
func encoded(name string, content []byte, zero byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "begin 644 %s\n", name)
	digit := func(v byte) {
		if v == 0 {
			b.WriteByte(zero)
			return
		}
		b.WriteByte(v + ' ')
	}
	for rest := content; len(rest) > 0; {
		line := rest[:min(len(rest), 45)]
		rest = rest[len(line):]
		digit(byte(len(line)))
		for len(line) > 0 {
			var three [3]byte
			line = line[copy(three[:], line):]
			digit(three[0] >> 2)
			digit(three[0]<<4&0x3f | three[1]>>4)
			digit(three[1]<<2&0x3f | three[2]>>6)
			digit(three[2] & 0x3f)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%c\nend\n", zero)
	return b.String()
}

// yencoded writes content as yEnc does.
func yencoded(name string, content []byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "=ybegin line=128 size=%d name=%s\r\n", len(content), name)
	for i, c := range content {
		switch c += 42; c {
		case 0, '\n', '\r', '=':
			b.WriteByte('=')
			c += 64
		}
		b.WriteByte(c)
		if i%128 == 127 {
			b.WriteString("\r\n")
		}
	}
	fmt.Fprintf(&b, "\r\n=yend size=%d\r\n", len(content))
	return b.String()
}

// bytesOf is n bytes in which every value occurs, zeros in long runs too.
func bytesOf(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		if i%500 < 300 {
			b[i] = byte(i * 7)
		}
	}
	return b
}

func withCRLF(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// stripped is s as it comes through a program that drops blanks at the end of lines.
func stripped(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// opened is what Open makes of a text, files as "name:content".
func opened(t *testing.T, r io.Reader) (files []string, text string) {
	t.Helper()
	var left strings.Builder
	err := uuencode.Open(r, &left, func(p core.Part) error {
		content, err := io.ReadAll(p.Body)
		files = append(files, p.Name+":"+string(content))
		if p.Via != core.ViaUuencode || p.Name == "" || len(content) == 0 && err == nil {
			t.Errorf("a file %q of %d bytes, via %q", p.Name, len(content), p.Via)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, left.String()
}

func TestOpen(t *testing.T) {
	small, long := []byte("%PDF-1.4 piece"), bytesOf(1000)
	smallFile, longFile := "a.pdf:"+string(small), "b.bin:"+string(long)
	grave, blank := encoded("b.bin", long, '`'), encoded("b.bin", long, ' ')
	based := "begin-base64 644 b.bin\n" + wrapped(long) + "====\n"
	zeros := append(append(bytes.Repeat([]byte{0xd0}, 15), make([]byte, 100)...), 1)
	noEnd := func(s string) string { return strings.TrimSuffix(s, "end\n") }
	for _, tc := range []struct {
		name, text string
		files      []string
		left       string
	}{
		{"text around", "Bonjour,\n\n" + encoded("a.pdf", small, '`') + "Cordialement\n", []string{smallFile}, "Bonjour,\n\nCordialement\n"},
		{"two files and text between", encoded("a.pdf", small, '`') + "et\n" + grave, []string{smallFile, longFile}, "et\n"},
		{"two files of one name", grave + grave, []string{longFile, longFile}, ""},
		{"blank for zero", blank, []string{longFile}, ""},
		{"blanks at the end of lines lost", "x\n" + stripped(blank) + "y\n", []string{longFile}, "x\ny\n"},
		{"CRLF", withCRLF("x\n" + grave + "y\n"), []string{longFile}, "x\r\ny\r\n"},
		{"blanks lost and CRLF", withCRLF(stripped(blank)), []string{longFile}, ""},
		{"no line break at the end", strings.TrimSuffix(grave, "\n"), []string{longFile}, ""},
		{"end missing at the end", noEnd(grave), []string{longFile}, ""},
		{"end missing before text", noEnd(grave) + "Cordialement\nM. DUPONT\n", []string{longFile}, "Cordialement\nM. DUPONT\n"},
		{"end and zero line missing", strings.TrimSuffix(grave, "`\nend\n") + "M. DUPONT\n", []string{longFile}, "M. DUPONT\n"},
		{"end missing before a file", noEnd(grave) + encoded("a.pdf", small, '`'), []string{longFile, smallFile}, ""},
		{"zero line missing", strings.Replace(grave, "`\nend", "end", 1), []string{longFile}, ""},
		{"END in capitals", strings.Replace(grave, "\nend\n", "\nEND\n", 1), []string{longFile}, ""},
		{"empty line before the end", strings.Replace(grave, "end\n", "\n\nend\n", 1), []string{longFile}, ""},
		{"every second line empty", strings.ReplaceAll(grave, "\n", "\n\n"), []string{longFile}, "\n"},
		{"a line of junk inside", replaceNth(grave, "\n", "\n-- gateway page 2 --\n", 4), []string{longFile}, ""},
		{"checksum after each line", endLines(grave, "#"), []string{longFile}, ""},
		{"blanks after each line", endLines(grave, "  "), []string{longFile}, ""},
		{"name with blanks", encoded("avis d’imposition 2025.pdf", small, '`'), []string{"avis d’imposition 2025.pdf:" + string(small)}, ""},
		{"name in windows-1252", encoded("re\xe7u.pdf", small, '`'), []string{"reçu.pdf:" + string(small)}, ""},
		{"name in quotes", encoded(`"a.pdf"`, small, '`'), []string{smallFile}, ""},
		{"mode of four digits", strings.Replace(grave, "644", "0644", 1), []string{longFile}, ""},
		{"one byte", encoded("c", []byte{7}, '`'), []string{"c:\x07"}, ""},
		{"first lines end in zeros, blanks lost", stripped(encoded("z", zeros, ' ')), []string{"z:" + string(zeros)}, ""},
		{"base64", "x\n" + based + "y\n", []string{longFile}, "x\ny\n"},
		{"base64 in CRLF", withCRLF(based), []string{longFile}, ""},
		{"base64 without end", strings.TrimSuffix(based, "====\n") + "Cordialement, moi\n", []string{longFile}, "Cordialement, moi\n"},
		{"yEnc", "x\n" + yencoded("b.bin", long) + "y\n", []string{longFile}, "x\ny\n"},
		{"yEnc without end", strings.Split(yencoded("b.bin", long), "=yend")[0] + "Cordialement\n", []string{longFile}, "Cordialement\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files, left := opened(t, strings.NewReader(tc.text))
			if fmt.Sprintf("%q", files) != fmt.Sprintf("%q", tc.files) || left != tc.left {
				t.Errorf("got %q and text %q\nwant %q and text %q", files, left, tc.files, tc.left)
			}
			slow, slowLeft := opened(t, iotest.OneByteReader(strings.NewReader(tc.text)))
			if fmt.Sprintf("%q", slow) != fmt.Sprintf("%q", files) || slowLeft != left {
				t.Errorf("byte by byte: %q and text %q", slow, slowLeft)
			}
		})
	}
}

func wrapped(content []byte) string {
	var b strings.Builder
	for text := base64.StdEncoding.EncodeToString(content); text != ""; {
		n := min(len(text), 60)
		b.WriteString(text[:n] + "\n")
		text = text[n:]
	}
	return b.String()
}

// endLines adds to the lines of content in an encoded file.
func endLines(file, suffix string) string {
	lines := strings.Split(file, "\n")
	for i := range lines {
		if strings.HasPrefix(lines[i], "M") {
			lines[i] += suffix
		}
	}
	return strings.Join(lines, "\n")
}

// replaceNth replaces the nth old in s.
func replaceNth(s, old, new string, n int) string {
	parts := strings.SplitAfterN(s, old, n+1)
	parts[n-1] = strings.TrimSuffix(parts[n-1], old) + new
	return strings.Join(parts, "")
}

// TestTextStaysText holds texts in which no file begins: they come out as they went in.
func TestTextStaysText(t *testing.T) {
	for name, text := range map[string]string{
		"prose":                   "begin with this:\nbegin 644 times and you will see\nend\n",
		"prose in capitals":       "begin 644 DOSSIERS\nHELLO WORLD\n\nMERCI\n",
		"no name":                 "begin 644\n" + strings.SplitN(encoded("x", bytesOf(90), '`'), "\n", 2)[1],
		"mode that is none":       strings.Replace(encoded("x", bytesOf(90), '`'), "644", "dossier", 1),
		"word joined to it":       strings.Replace(encoded("x", bytesOf(90), '`'), "begin", "beginning", 1),
		"inside a line":           " " + strings.SplitN(encoded("x", nil, '`'), "\n", 2)[0] + "\n",
		"begin last":              "x\nbegin 644 a.pdf",
		"begin and nothing":       "x\nbegin 644 a.pdf\n\n\n\n\n\n",
		"an empty file":           encoded("empty", nil, '`'),
		"begin in base64 of none": "begin-base64 644 a\nça ne va pas\n====\n",
		"yEnc in several parts":   strings.Replace(yencoded("a", bytesOf(300)), "line=", "part=1 line=", 1),
		"yEnc after empty lines":  strings.Replace(yencoded("a", bytesOf(300)), "\r\n", strings.Repeat("\r\n", 9), 1),
		"yEnc that says nothing":  "=ybegin name=a\nabc\n=yend\n",
		"a long line":             strings.Repeat("begin 644 a.pdf ", 5000) + "\n",
		"begin inside long line":  strings.Repeat("x", 4<<10) + strings.SplitN(encoded("x", nil, '`'), "\n", 2)[0] + "\nMMMM\n",
		"NUL and 8-bit":           "\x00\xff\xfe\nbegin\n",
	} {
		t.Run(name, func(t *testing.T) {
			if files, left := opened(t, strings.NewReader(text)); files != nil || left != text {
				t.Errorf("files %q, text %q, want %q", files, left, text)
			}
		})
	}
}

func TestOpenPassesErrorsOn(t *testing.T) {
	broken := errors.New("broken")
	text := "x\n" + encoded("a", bytesOf(9000), '`')
	ignore := func(core.Part) error { return nil }
	if err := uuencode.Open(strings.NewReader(text), io.Discard, func(core.Part) error { return broken }); err != broken {
		t.Errorf("of each: %v", err)
	}
	if err := uuencode.Open(strings.NewReader(text), failingWriter{broken}, ignore); err != broken {
		t.Errorf("of text: %v", err)
	}
	r := io.MultiReader(strings.NewReader(text[:6000]), iotest.ErrReader(broken))
	if err := uuencode.Open(r, io.Discard, ignore); !errors.Is(err, broken) {
		t.Errorf("of the reader: %v", err)
	}
	r = io.MultiReader(strings.NewReader(text[:6000]), iotest.ErrReader(broken))
	err := uuencode.Open(r, io.Discard, func(p core.Part) error {
		_, err := io.Copy(io.Discard, p.Body)
		return err
	})
	if err != broken {
		t.Errorf("inside a file: %v", err)
	}
}

type failingWriter struct{ err error }

func (f failingWriter) Write([]byte) (int, error) { return 0, f.err }

func TestNewReader(t *testing.T) {
	content := bytesOf(5000)
	file := encoded("a.bin", content, '`')
	for _, tc := range []struct{ name, body, want string }{
		{"a file", file, string(content)},
		{"in CRLF, text before and after", withCRLF("see below\n\n" + file + "that was it\n"), string(content)},
		{"blanks lost", stripped(encoded("a.bin", content, ' ')), string(content)},
		{"begin missing", strings.SplitN(file, "\n", 2)[1], string(content)},
		{"base64 form", "begin-base64 644 a\n" + wrapped(content) + "====\n", string(content)},
		{"none", strings.Repeat("only text\n", 5000), strings.Repeat("only text\n", 5000)},
		{"nothing", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := iotest.TestReader(uuencode.NewReader(strings.NewReader(tc.body)), []byte(tc.want)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestHostileTextTakesNoLonger reads what would cost a careless reader time in the
// square of its length, or memory in proportion to it.
func TestHostileTextTakesNoLonger(t *testing.T) {
	const size = 4 << 20
	for name, unit := range map[string]string{
		"begins":         "begin 644 a\n",
		"empty lines":    "\n",
		"one line":       "M",
		"junk in a file": "begin 644 a\n#86)C\nxx\nxx\n#86)C\n",
		"zero lines":     "begin 644 a\n#86)C\n`\n",
		"yEnc":           "=ybegin line=1 size=9 name=a\nx\n",
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			opened(t, strings.NewReader(strings.Repeat(unit, size/len(unit))))
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("took %v for %d bytes", took, size)
			}
		})
	}
}

// TestLostBlanksAreRestoredWithinBounds reads lines of one character, each standing for
// 45 zeros.
func TestLostBlanksAreRestoredWithinBounds(t *testing.T) {
	line := encoded("a", bytesOf(45), '`')
	text := strings.TrimSuffix(line, "`\nend\n") + strings.Repeat("M\n", 1<<20)
	files, left := opened(t, strings.NewReader(text))
	if size := len(strings.Join(files, "")); size > 17<<20 || len(left) < 1<<20 {
		t.Errorf("%d bytes of files and %d of text", size, len(left))
	}
}

func BenchmarkOpen(b *testing.B) {
	text := encoded("a", bytesOf(10<<20), '`')
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		err := uuencode.Open(strings.NewReader(text), io.Discard, func(p core.Part) error {
			_, err := io.Copy(io.Discard, p.Body)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzUuencode checks that no text makes Open fail, give out more than it was given,
// or lose text in which nothing begins; and that a file put before it comes out whole.
func FuzzUuencode(f *testing.F) {
	content := bytesOf(200)
	for _, seed := range []string{
		"", "begin 644 a\n", encoded("a", content, '`'), stripped(encoded("a", content, ' ')),
		"begin-base64 644 a\n" + wrapped(content) + "====\n", yencoded("a", content), "M\nend\n`\nend\n",
	} {
		f.Add([]byte(seed))
	}
	file := encoded("before.bin", content, '`')
	f.Fuzz(func(t *testing.T, raw []byte) {
		files, left := opened(t, bytes.NewReader(raw))
		if size := len(left) + len(strings.Join(files, "")); size > 25*len(raw) { // lines that lost their blanks grow
			t.Errorf("%d bytes out of %d", size, len(raw))
		}
		if !bytes.Contains(raw, []byte("begin")) && left != string(raw) {
			t.Errorf("text lost: %q of %q", left, raw)
		}
		more, _ := opened(t, io.MultiReader(strings.NewReader(file), bytes.NewReader(raw)))
		if len(more) != len(files)+1 || more[0] != "before.bin:"+string(content) {
			t.Errorf("with a file before: %q", more)
		}
		if _, err := io.Copy(io.Discard, uuencode.NewReader(bytes.NewReader(raw))); err != nil {
			t.Error(err)
		}
	})
}
