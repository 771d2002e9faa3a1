package imappoll

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"vaguemestre/channels/mail"
)

// replay is a connection that hands over bytes in pieces.
type replay struct {
	net.Conn
	r     io.Reader
	piece int
}

func (r *replay) Read(p []byte) (int, error) {
	return r.r.Read(p[:min(len(p), max(1, r.piece))])
}
func (*replay) SetReadDeadline(time.Time) error { return nil }
func (*replay) Close() error                    { return nil }

func TestSEC52_Lines(t *testing.T) {
	for name, tc := range map[string]struct {
		said string
		want error
	}{
		"a body":                       {"* 1 FETCH (UID 1 BODY[] {5}\r\nab\r\nc)\r\n", nil},
		"a body, small letters":        {"* 1 FETCH (body[] {900}\r\n" + strings.Repeat("x", 900) + ")\r\n", nil},
		"too large a body":             {"* 1 FETCH (UID 1 BODY[] {1001}\r\n", errLiteral},
		"a number beyond all":          {"* 1 FETCH (UID 1 BODY[] {99999999999999999999999}\r\n", errLiteral},
		"a long literal":               {"* LIST () \"/\" {65537}\r\n", errLiteral},
		"a literal":                    {"* LIST () \"/\" {5}\r\nabcde\r\n", nil},
		"a line as long as may be":     {strings.Repeat("x", maxLine-1) + "\n", nil},
		"a line too long":              {strings.Repeat("x", maxLine+1), errLongLine},
		"literals do not end a line":   {strings.Repeat("{0}\r\n", maxLine/5+1), errLongLine},
		"lines without end":            {strings.Repeat(strings.Repeat("x", 1000)+"\n", talkAtOnce/1000), errTalk},
		"literals without end":         {strings.Repeat("{65536}\r\n"+strings.Repeat("x", 65536)+"\r\n", talkAtOnce/65536+1), errTalk},
		"lists in lists":               {"* 1 FETCH " + strings.Repeat("(", maxDepth+1), errNested},
		"lists beside lists":           {"* 1 FETCH " + strings.Repeat("()", 10*maxDepth) + "\r\n", nil},
		"braces that announce nothing": {"* OK {x}\r\n* OK {}\r\n* OK }\r\n* OK {-1}\r\n", nil},
	} {
		for _, piece := range []int{1 << 20, 4096, 7, 1} {
			if piece < 4096 && len(tc.said) > 1<<20 {
				continue
			}
			l := newLine(&replay{r: strings.NewReader(tc.said), piece: piece}, 1000, time.Minute)
			got, err := io.ReadAll(l)
			if err != tc.want || err == nil && string(got) != tc.said {
				t.Errorf("%s, in pieces of %d: %v after %d bytes, want %v", name, piece, err, len(got), tc.want)
			}
		}
	}
}

// FuzzLine: however a server's bytes are cut, the line says the same of them, and no more
// passes than may.
func FuzzLine(f *testing.F) {
	f.Add([]byte("* 1 FETCH (UID 1 BODY[] {5}\r\nab\r\nc)\r\n"), 3)
	f.Add([]byte("* OK {99999999999999999999}\r\n"), 1)
	f.Add([]byte("{0}\r\n{1}\r\n{2}\n\n}}{{{7}\r\n"), 2)
	f.Fuzz(func(t *testing.T, said []byte, piece int) {
		whole := newLine(&replay{r: bytes.NewReader(said), piece: 1 << 20}, 1000, time.Minute)
		all, wantErr := io.ReadAll(whole)
		cut := newLine(&replay{r: bytes.NewReader(said), piece: piece % 50}, 1000, time.Minute)
		got, err := io.ReadAll(cut)
		if err != wantErr || err == nil && !bytes.Equal(got, all) {
			t.Errorf("in pieces of %d: %v, in one: %v", piece, err, wantErr)
		}
	})
}

// FuzzCandidates: what a header says of its recipients is cut into addresses that could
// be some, and nothing a sender writes takes long or breaks it.
func FuzzCandidates(f *testing.F) {
	f.Add([]byte("To: \"a\" <b@c.test>,\r\n d@e.test\r\nCc: f@g.test\r\n\r\n"))
	f.Add([]byte("Delivered-To:x@y\r\nDelivered-To\t: <>;@,@@,a@\r\n"))
	f.Add([]byte("To: \x00@\xff, é@ville.fr (c@d.test)\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		head, whole, err := mail.PeekHead(bytes.NewReader(raw), 64<<10)
		if err != nil {
			return
		}
		if b, err := io.ReadAll(whole); err != nil || !bytes.Equal(b, raw) {
			t.Errorf("the message came out changed: %v", err)
		}
		for _, name := range []string{"Delivered-To", "To", "Cc"} {
			for _, value := range head.Fields(name) {
				for _, c := range candidates(value) {
					if !strings.Contains(c, "@") || strings.ContainsAny(c, " \t\r\n<>,;") || !strings.Contains(value, c) {
						t.Errorf("%q of %q is no address", c, value)
					}
				}
			}
		}
	})
}
