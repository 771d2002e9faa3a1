package mail_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"vaguemestre/channels/mail"
	"vaguemestre/core"
)

var update = flag.Bool("update", false, "rewrite testdata/*.json")

// record is what a case file holds: all that Split makes of a message.
type record struct {
	Note   string   `json:"note"`
	Signed string   `json:"signed,omitempty"`
	Doubts []string `json:"doubts,omitempty"`
	Parts  []listed `json:"parts"`
	Error  string   `json:"error,omitempty"`
}

type listed struct {
	Name      string `json:"name"`
	Type      string `json:"type"`
	Inline    bool   `json:"inline,omitempty"`
	ContentID string `json:"content_id,omitempty"`
	Depth     int    `json:"depth,omitempty"`
	Via       string `json:"via,omitempty"`
	Aside     string `json:"aside,omitempty"`
	Refusal   string `json:"refusal,omitempty"`
	Size      int    `json:"size"`
	SHA256    string `json:"sha256"`
}

// walk records everything that s makes of a message.
func walk(ctx context.Context, s mail.Splitter, r io.Reader) (record, error) {
	got := record{Parts: []listed{}}
	cover, err := s.Split(ctx, r, func(p core.Part) error {
		body, err := io.ReadAll(p.Body)
		sum := sha256.Sum256(body)
		one := listed{Name: p.Name, Type: p.Type, Inline: p.Inline, ContentID: p.ContentID, Depth: p.Depth, Via: p.Via, Aside: p.Aside}
		one.Size, one.SHA256 = len(body), hex.EncodeToString(sum[:])
		if p.Refusal != nil {
			one.Refusal = p.Refusal.Code
		}
		got.Parts = append(got.Parts, one)
		return err
	})
	got.Note, got.Signed, got.Doubts = cover.Note, cover.Signed, cover.Doubts
	if err != nil {
		got.Error = err.Error()
	}
	return got, err
}

func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d case files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".eml"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, _ := walk(t.Context(), mail.Splitter{}, bytes.NewReader(raw))
			gotJSON, err := json.MarshalIndent(got, "", "\t")
			if err != nil {
				t.Fatal(err)
			}
			gotJSON = append(gotJSON, '\n')
			wantFile := strings.TrimSuffix(file, ".eml") + ".json"
			if *update {
				if err := os.WriteFile(wantFile, gotJSON, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(wantFile)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(gotJSON, want) {
				t.Errorf("got %s\nwant %s", gotJSON, want)
			}
			trickled, _ := walk(t.Context(), mail.Splitter{}, oneByte{bytes.NewReader(raw)})
			if fmt.Sprint(trickled) != fmt.Sprint(got) {
				t.Errorf("byte by byte: got %v\nwant %v", trickled, got)
			}
		})
	}
}

// oneByte gives a byte at a time, as a slow network may.
type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

// attachments is a message with n attachments of one byte each.
func attachments(n int) io.Reader {
	var b strings.Builder
	b.WriteString("Content-Type: multipart/mixed; boundary=b\r\n\r\n")
	for range n {
		b.WriteString("--b\r\nContent-Type: image/png\r\n\r\nx\r\n")
	}
	b.WriteString("--b--\r\n")
	return strings.NewReader(b.String())
}

// nested is a PDF below depth containers, alternately multiparts and messages, with
// another one beside the outermost.
func nested(depth int) io.Reader {
	var b strings.Builder
	b.WriteString("Content-Type: multipart/mixed; boundary=outer\r\n\r\n--outer\r\n")
	for i := 1; i < depth; i++ {
		if i%2 == 0 {
			b.WriteString("Content-Type: message/rfc822\r\n\r\n")
			continue
		}
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d.\r\n\r\n--b%d.\r\n", i, i)
	}
	b.WriteString("Content-Type: application/pdf; name=deep.pdf\r\n\r\nx\r\n")
	b.WriteString("--outer\r\nContent-Type: application/pdf; name=beside.pdf\r\n\r\ny\r\n--outer--\r\n")
	return strings.NewReader(b.String())
}

func TestLimits(t *testing.T) {
	longHeader := func(n int) io.Reader {
		header := "Content-Type: application/pdf; name=long.pdf\r\n"
		padding := n - len(header) + 2 - len("X: \r\n") // line breaks are not counted
		return strings.NewReader(header + "X: " + strings.Repeat("y", padding+2) + "\r\n\r\nx\r\n")
	}
	for _, tc := range []struct {
		name  string
		s     mail.Splitter
		r     io.Reader
		parts int
		code  string
	}{
		{"parts at the limit", mail.Splitter{}, attachments(1000), 1000, ""},
		{"parts past it", mail.Splitter{}, attachments(1001), 1000, "too_many_parts"},
		{"a wider limit", mail.Splitter{MaxParts: 10000}, attachments(10001), 10000, "too_many_parts"},
		{"depth at the limit", mail.Splitter{}, nested(20), 2, ""},
		{"depth past it", mail.Splitter{}, nested(21), 1, "too_deep"},
		{"header at the limit", mail.Splitter{MaxHeader: 500}, longHeader(500), 1, ""},
		{"header past it", mail.Splitter{MaxHeader: 500}, longHeader(501), 1, "header_too_large"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := walk(t.Context(), tc.s, tc.r)
			if len(got.Parts) != tc.parts {
				t.Errorf("%d parts, want %d", len(got.Parts), tc.parts)
			}
			var refusal *core.Refusal
			switch {
			case tc.code == "" && err != nil:
				t.Errorf("error %v, want none", err)
			case tc.code != "" && (!errors.As(err, &refusal) || refusal.Code != tc.code):
				t.Errorf("error %v, want a refusal %s", err, tc.code)
			}
		})
	}
}

func TestErrorOfEachEndsTheWalk(t *testing.T) {
	boom := errors.New("boom")
	calls := 0
	_, err := mail.Splitter{}.Split(t.Context(), attachments(5), func(core.Part) error {
		calls++
		return boom
	})
	if err != boom || calls != 1 {
		t.Errorf("error %v after %d calls, want boom after 1", err, calls)
	}
}

// TestReadingErrorIsTold checks that a message that cannot be read to its end is not
// taken for a short one, wherever it breaks off.
func TestReadingErrorIsTold(t *testing.T) {
	for _, name := range []string{"outlook-forward-as-attachment", "winmail-dat", "pictures-in-html", "uuencode-in-text", "encoded-multipart", "signed-opaque"} {
		raw, err := os.ReadFile("testdata/" + name + ".eml")
		if err != nil {
			t.Fatal(err)
		}
		broken := errors.New("broken")
		for n := range raw {
			r := io.MultiReader(bytes.NewReader(raw[:n]), failing{broken})
			_, err := mail.Splitter{}.Split(t.Context(), r, func(p core.Part) error {
				_, err := io.Copy(io.Discard, p.Body)
				return err
			})
			if !errors.Is(err, broken) {
				t.Fatalf("%s broken off at byte %d: error %v", name, n, err)
			}
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestCancelledWalkEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	parts := 0
	_, err := mail.Splitter{}.Split(ctx, attachments(100), func(core.Part) error {
		parts++
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || parts != 1 {
		t.Errorf("error %v after %d parts, want cancelled after 1", err, parts)
	}
}

func TestUnreadBodyIsPassedOver(t *testing.T) {
	var names []string
	_, err := mail.Splitter{}.Split(t.Context(), nested(2), func(p core.Part) error {
		names = append(names, p.Name)
		return nil
	})
	if err != nil || fmt.Sprint(names) != "[deep.pdf beside.pdf]" {
		t.Errorf("parts %v, error %v", names, err)
	}
}

func TestNoteIsBounded(t *testing.T) {
	text := strings.Repeat("é", 200<<10)
	raw := "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\nContent-Type: text/plain\n\n"+text+"\n", 3) + "--b--\n"
	got, err := walk(t.Context(), mail.Splitter{}, strings.NewReader(raw))
	if err != nil || len(got.Note) > 256<<10 || len(got.Note) < 255<<10 {
		t.Errorf("note of %d bytes, error %v", len(got.Note), err)
	}
}

// big is a message with one base64 attachment, size bytes long as sent.
func big(size int) io.Reader {
	line := strings.Repeat("QUJD", 19) + "\r\n"
	head := "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/pdf; name=big.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	return io.MultiReader(strings.NewReader(head), &repeat{line: line, n: size / len(line)}, strings.NewReader("--b--\r\n"))
}

// repeat gives a line n times without holding them.
type repeat struct {
	line, rest string
	n          int
}

func (r *repeat) Read(p []byte) (int, error) {
	if r.rest == "" {
		if r.n == 0 {
			return 0, io.EOF
		}
		r.n--
		r.rest = r.line
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// TestMemoryDoesNotGrow opens 40 MB and counts what was ever allocated on the way.
func TestMemoryDoesNotGrow(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var size int64
	_, err := mail.Splitter{}.Split(t.Context(), big(40<<20), func(p core.Part) error {
		n, err := io.Copy(io.Discard, p.Body)
		size += n
		return err
	})
	runtime.ReadMemStats(&after)
	if err != nil || size != 40<<20/78*57 {
		t.Fatalf("%d bytes, error %v", size, err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("%d bytes allocated for a message of 40 MB, want at most 1 MiB", used)
	}
}

func BenchmarkSplit(b *testing.B) {
	const size = 40 << 20
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		_, err := mail.Splitter{}.Split(b.Context(), big(size), func(p core.Part) error {
			_, err := io.Copy(io.Discard, p.Body)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
