package mail_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"vaguemestre/channels/mail"
	"vaguemestre/core"
)

// FuzzSplit checks that no message makes the walk fail, or give out more than it was
// given: what stands in the message as such is not larger than the message, and each
// container, of which there are MaxDepth around a part at most, gives out what it holds
// once more; a blank lost in uuencode may stand for 45 bytes. (A charset may make the
// note grow, hence the room.)
func FuzzSplit(f *testing.F) {
	files, err := filepath.Glob("testdata/*.eml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var plain, contained int
		cover, err := mail.Splitter{}.Split(t.Context(), bytes.NewReader(raw), func(p core.Part) error {
			body, err := io.ReadAll(p.Body)
			if len(body) == 0 && err == nil {
				t.Error("a part without content was delivered")
			}
			if p.Via == "" {
				plain += len(body)
			} else {
				contained += len(body)
			}
			if p.Type == "" || p.Aside != "" && p.Refusal != nil {
				t.Errorf("a part of type %q set aside as %q and refused: %v", p.Type, p.Aside, p.Refusal)
			}
			clean(t, p.Name, p.Type, p.ContentID)
			return err
		})
		clean(t, append(cover.Doubts, cover.Note, cover.Signed)...)
		var refusal *core.Refusal
		if err != nil && !errors.As(err, &refusal) {
			t.Errorf("error %v", err)
		}
		const depth, blank = 20, 45
		if plain > len(raw)+blank*len(raw) || contained > (depth+blank)*len(raw) || len(cover.Note) > 16*len(raw)+64 {
			t.Errorf("%d bytes of parts, %d of contained parts and %d of note from %d", plain, contained, len(cover.Note), len(raw))
		}
	})
}

// clean checks that texts can be stored and shown anywhere.
func clean(t *testing.T, texts ...string) {
	t.Helper()
	for _, s := range texts {
		if !utf8.ValidString(s) || strings.Contains(s, "\x00") {
			t.Errorf("%q is not UTF-8 without NUL", s)
		}
	}
}
