package smtpin

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// deaf is a connection of which only the deadline is ever set.
type deaf struct{ net.Conn }

func (deaf) SetReadDeadline(time.Time) error { return nil }

var bare = regexp.MustCompile(`(?:^|[^\r])\n|\r(?:[^\n]|$)`)

// reference is what a message after DATA holds, worked out on the whole of it: its
// bytes, and whether they may be taken.
func reference(raw []byte) (message []byte, ok bool) {
	end := bytes.Index(append([]byte("\r\n"), raw...), []byte("\r\n.\r\n"))
	if end < 0 {
		return nil, false
	}
	text := "\r\n" + string(raw[:end])
	if bare.MatchString(text) {
		return nil, false
	}
	return []byte(strings.ReplaceAll(text, "\r\n.", "\r\n")[2:]), true
}

func FuzzDataBody(f *testing.F) {
	for _, seed := range []string{"", ".\r\n", "a\r\n.\r\nMAIL", "..\r\n.\r\n", ".\rx\r\n.\r\n", "\n.\n", "\r\n.\n.\r\n", "a\r\r\n.\r\n", "a\r\n..b\r\n.c\r\n.\r\nNOOP\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		want, ok := reference(raw)
		for name, r := range map[string]io.Reader{"whole": bytes.NewReader(raw), "at once": bytes.NewReader(raw), "bytewise": iotest.OneByteReader(bytes.NewReader(raw))} {
			// The smallest buffer there is cuts most lines in pieces.
			w := &wire{Conn: deaf{}, r: &reception{Channel: &Channel{cfg: Config{}.withDefaults()}}, br: bufio.NewReaderSize(r, 16)}
			w.begin()
			b := &dataBody{w: w, lines: lines{max: 1 << 20}}
			read := io.ReadAll
			if name == "at once" {
				read = func(r io.Reader) ([]byte, error) {
					var all bytes.Buffer
					_, err := io.Copy(&all, r)
					return all.Bytes(), err
				}
			}
			got, err := read(b)
			if (err == nil) != ok || ok && !bytes.Equal(got, want) || (b.failed() == nil) != ok {
				t.Errorf("%s: read %q, error %v, failed %v; want %q, %t", name, got, err, b.failed(), want, ok)
			}
			if ok {
				rest, _ := io.ReadAll(w.br)
				if len(rest) != len(raw)-bytes.Index(append([]byte("\r\n"), raw...), []byte("\r\n.\r\n"))-3 {
					t.Errorf("%s: %q left after the end", name, rest)
				}
			}
		}
		c := &chunkBody{r: iotest.OneByteReader(bytes.NewReader(raw)), lines: lines{max: 1 << 20}}
		if _, err := io.ReadAll(c); errors.Is(err, errBareLine) != bare.Match(raw) {
			t.Errorf("chunk: error %v", err)
		}
	})
}
