package mail_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"vaguemestre/channels/mail"
	"vaguemestre/core"
)

// listing is what became of each part of a message, in a few words.
func listing(got record) (lines []string) {
	for _, p := range got.Parts {
		lines = append(lines, strings.TrimSpace(fmt.Sprint(p.Name, " ", p.Via, " ", p.Aside, p.Refusal)))
	}
	return lines
}

// TestContainersAreBounded opens containers at the limits of what is held, of the depth
// and of the parts.
func TestContainersAreBounded(t *testing.T) {
	pdf := []byte("%PDF-1.4")
	inner := packed("a.pdf", pdf)
	outer := packed("winmail.dat", inner)
	for _, tc := range []struct {
		name string
		s    mail.Splitter
		want []string
		code string
	}{
		{"all held", mail.Splitter{MaxHeld: len(outer) + len(inner)}, []string{"w.dat  container", "winmail.dat tnef container", "a.pdf tnef"}, ""},
		{"the inner one not held", mail.Splitter{MaxHeld: len(outer) + len(inner) - 1}, []string{"w.dat  container", "winmail.dat tnef container_too_large"}, ""},
		{"none held", mail.Splitter{MaxHeld: 10}, []string{"w.dat  container_too_large"}, ""},
		{"depth of two", mail.Splitter{MaxDepth: 2}, []string{"w.dat  container", "winmail.dat tnef container", "a.pdf tnef"}, ""},
		{"depth of one", mail.Splitter{MaxDepth: 1}, []string{"w.dat  container", "winmail.dat tnef"}, "too_deep"},
		{"two parts", mail.Splitter{MaxParts: 2}, []string{"w.dat  container", "winmail.dat tnef container"}, "too_many_parts"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := walk(t.Context(), tc.s, strings.NewReader(attached("w.dat", outer)))
			if lines := listing(got); !slices.Equal(lines, tc.want) {
				t.Errorf("parts %q, want %q", lines, tc.want)
			}
			for _, p := range got.Parts[1:] {
				if p.Name == "winmail.dat" && p.Size != len(inner) {
					t.Errorf("%d bytes of the inner container, want %d", p.Size, len(inner))
				}
			}
			var refusal *core.Refusal
			if tc.code == "" && err != nil || tc.code != "" && (!errors.As(err, &refusal) || refusal.Code != tc.code) {
				t.Errorf("error %v, want %q", err, tc.code)
			}
			if tc.code == "too_deep" && !slices.Equal(got.Doubts, []string{"too_deep"}) {
				t.Errorf("doubts %q", got.Doubts)
			}
		})
	}
}

// TestErrorInsideContainerEndsTheWalk checks that an error of the callback comes back
// as it is from whatever container it was called in.
func TestErrorInsideContainerEndsTheWalk(t *testing.T) {
	boom := errors.New("boom")
	for _, file := range []string{"winmail-dat", "outlook-message-attached", "signed-opaque", "signed-file", "message-as-file", "uuencode-in-text", "pictures-in-html"} {
		t.Run(file, func(t *testing.T) {
			raw, err := os.ReadFile("testdata/" + file + ".eml")
			if err != nil {
				t.Fatal(err)
			}
			calls := 0
			_, err = mail.Splitter{}.Split(t.Context(), bytes.NewReader(raw), func(p core.Part) error {
				if calls++; p.Via != "" {
					return boom
				}
				return nil
			})
			if err != boom || calls > 2 {
				t.Errorf("error %v after %d calls", err, calls)
			}
		})
	}
}
