package mail_test

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"vaguemestre/channels/mail"
	"vaguemestre/core"
)

// TestHostileShapesTakeNoLonger walks what would cost a careless reader time in the
// square of its length.
func TestHostileShapesTakeNoLonger(t *testing.T) {
	const size = 2 << 20
	parts := func(header, body string) string {
		one := "--b\r\n" + header + "\r\n\r\n" + body + "\r\n"
		return "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat(one, size/len(one)+1)
	}
	name := func(unit string) string {
		return parts("Content-Type: application/pdf; name="+strings.Repeat(unit, (16<<10)/len(unit)), "x")
	}
	var segments strings.Builder
	for i := range 2500 {
		fmt.Fprintf(&segments, ";a*%d=x", i)
	}
	for shape, raw := range map[string]string{
		"quotes":                  name(`"`),
		"words without end":       name("=?a?Q?x"),
		"empty words":             name("=?a?Q??= "),
		"segments":                parts("Content-Type: application/pdf"+segments.String(), "x"),
		"tags":                    parts("Content-Type: text/html", strings.Repeat("<", 200<<10)),
		"comments":                parts("Content-Type: text/html", strings.Repeat("<!--", 50<<10)),
		"styles":                  parts("Content-Type: text/html", strings.Repeat("<style>", 30<<10)),
		"no boundary":             parts("Content-Type: multipart/mixed", ""),
		"boundaries one in other": strings.Repeat("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n", size/50),
		"folds":                   "Subject: x\r\n" + strings.Repeat(" \r\n", size/3),
		"blanks":                  "Content-Type: text/plain; name=x\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + strings.Repeat(" ", size),
	} {
		t.Run(shape, func(t *testing.T) {
			start := time.Now()
			if _, err := walk(t.Context(), mail.Splitter{MaxParts: 1 << 20}, strings.NewReader(raw)); err != nil {
				var refusal *core.Refusal
				if !errors.As(err, &refusal) {
					t.Error(err)
				}
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("took %v for 2 MB", took)
			}
		})
	}
}

// packed is data as an attachment of a winmail.dat.
func packed(name string, data []byte) []byte {
	out := binary.LittleEndian.AppendUint32(nil, 0x223e9f78)
	out = binary.LittleEndian.AppendUint16(out, 1)
	for _, a := range []struct {
		level byte
		id    uint32
		data  []byte
	}{
		{1, 0x00089006, []byte{0, 0, 1, 0}},
		{2, 0x00069002, make([]byte, 14)},
		{2, 0x00018010, append([]byte(name), 0)},
		{2, 0x0006800f, data},
	} {
		out = binary.LittleEndian.AppendUint32(append(out, a.level), a.id)
		out = binary.LittleEndian.AppendUint32(out, uint32(len(a.data)))
		out = append(out, a.data...)
		var sum uint16
		for _, c := range a.data {
			sum += uint16(c)
		}
		out = binary.LittleEndian.AppendUint16(out, sum)
	}
	return out
}

// attached is a message with one attachment.
func attached(name string, data []byte) string {
	return "MIME-Version: 1.0\r\nContent-Type: application/octet-stream; name=" + name + "\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		base64.StdEncoding.EncodeToString(data) + "\r\n"
}

// TestSEC50_BombsAreCheap walks messages made to cost time or memory, small and large.
// What was allocated in all is measured, which is more than what is ever held.
func TestSEC50_BombsAreCheap(t *testing.T) {
	tnefs, messages := []byte("%PDF-1.4"), "From: a\r\n\r\nx"
	for range 200 {
		tnefs = packed("winmail.dat", tnefs)
	}
	for range 12 {
		messages = attached("a.eml", []byte(messages))
	}
	var nest strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&nest, "Content-Type: multipart/mixed; boundary=b%d.\r\n\r\n--b%d.\r\n", i, i)
	}
	var segments strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&segments, ";filename*%d*=%%41", i)
	}
	var fences strings.Builder
	for i := range 18 {
		boundary := strings.Repeat("a", 400) + fmt.Sprint(i)
		fmt.Fprintf(&fences, "Content-Type: multipart/mixed; boundary=%s\r\n\r\n--%s\r\n", boundary, boundary)
	}
	const most = 64 // MiB
	const head, mixed = "Content-Type: application/pdf; name=a.pdf\r\n", "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	for shape, raw := range map[string]string{
		"100,000 multiparts one in another":  nest.String(),
		"100,000 messages one in another":    strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 100_000),
		"a million parts":                    mixed + strings.Repeat("--b\r\n\r\nx\r\n", 1_000_000),
		"a million attachments":              mixed + strings.Repeat("--b\r\nContent-Type: a/b\r\n\r\nx\r\n", 1_000_000),
		"a million boundary lines":           mixed + strings.Repeat("--b\r\n", 1_000_000),
		"a million end boundary lines":       mixed + strings.Repeat("--b--\r\n", 1_000_000),
		"a header of 10 MB":                  head + "Subject: " + strings.Repeat("x ", 5<<20) + "\r\n\r\nx",
		"a header of a million fields":       head + strings.Repeat("X: y\r\n", 1_000_000) + "\r\nx",
		"a header of a million folds":        head[:len(head)-2] + strings.Repeat("\r\n ;", 1_000_000) + "\r\n\r\nx",
		"a million parameters":               "Content-Type: application/pdf" + strings.Repeat(";a=b", 1_000_000) + "\r\n\r\nx",
		"10,000 pieces of a name":            "Content-Disposition: attachment" + segments.String() + "\r\n\r\nx",
		"boundaries that begin alike":        fences.String() + strings.Repeat("--"+strings.Repeat("a", 400)+"\r\n", 10_000),
		"quoted-printable of equals signs":   head + "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + strings.Repeat("=", 8<<20),
		"quoted-printable of blanks":         head + "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + strings.Repeat(" \t", 4<<20),
		"quoted-printable of soft breaks":    head + "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + strings.Repeat("=\r\n", 2<<20),
		"base64 of padding":                  head + "Content-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat("=", 8<<20),
		"base64 of nothing":                  head + "Content-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat("\x80", 8<<20),
		"uuencode that begins over and over": strings.Repeat("begin 644 a\r\n", 500_000),
		"files in the text":                  strings.Repeat("begin 644 a\n#86)C\n`\nend\n", 300_000),
		"winmail.dat 200 deep":               attached("winmail.dat", tnefs),
		"messages as files, 12 deep":         messages,
		"signatures one in another":          attached("a.p7m", []byte(strings.Repeat("\x30\x80", 1<<20))),
		"an endless tag":                     "Content-Type: text/html\r\n\r\n<img " + strings.Repeat("src=", 2<<20),
		"a million tags":                     "Content-Type: text/html\r\n\r\n" + strings.Repeat("<a>", 1_000_000),
		"pictures in the text":               "Content-Type: text/html\r\n\r\n" + strings.Repeat("<img src='data:image/gif;base64,R0lG'>", 200_000),
		"pictures that the text shows":       "Content-Type: text/html\r\n\r\n" + strings.Repeat("<img src='cid:%d' alt=x class=y>", 100_000),
	} {
		t.Run(shape, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err := mail.Splitter{}.Split(t.Context(), strings.NewReader(raw), func(p core.Part) error {
				_, err := io.Copy(io.Discard, p.Body)
				return err
			})
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			var refusal *core.Refusal
			if err != nil && !errors.As(err, &refusal) {
				t.Error(err)
			}
			if took > 4*time.Second {
				t.Errorf("took %v for %d bytes", took, len(raw))
			}
			if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > most {
				t.Errorf("%d MiB allocated for %d bytes, want at most %d", used, len(raw), most)
			}
		})
	}
}
