//go:build corpus

package mail_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vaguemestre/channels/mail"
	"vaguemestre/core"
)

// What was reached on 466 messages; see docs/decisions/0005-message-walking.md.
const (
	recallFloor  = 0.88 // of all expected attachments, those inside containers included
	correctFloor = 0.93 // of all messages: everything expected, nothing else
)

// truth is one line of truth.jsonl; the corpus's README.md says what it means.
type truth struct {
	File     string     `json:"file"`
	Expected []expected `json:"expected"`
	Optional []string   `json:"optional"`
}

type expected struct {
	Filename   string   `json:"filename"`
	Names      []string `json:"names"`
	SHA256     string   `json:"sha256"`
	Accept     []string `json:"accept"`
	AcceptText []string `json:"accept_text"`
	Via        string   `json:"via"`
}

func (e expected) matches(sum string) bool {
	prefix := func(p string) bool { return strings.HasPrefix(sum, p) }
	return e.SHA256 == sum || slices.ContainsFunc(e.Accept, prefix) || slices.ContainsFunc(e.AcceptText, prefix)
}

// TestCorpus reads the e-mail corpus in the folder VAGUEMESTRE_CORPUS and holds the
// parts found against the attachments that several other programs agree on.
func TestCorpus(t *testing.T) {
	dir := filepath.Join(os.Getenv("VAGUEMESTRE_CORPUS"), "email")
	var total, found, named, nameable, open, openFound, correct, openCorrect, messages, extra int
	for _, want := range truths(t, filepath.Join(dir, "truth.jsonl")) {
		messages++
		got := split(t, filepath.Join(dir, "eml", want.File))
		right, openRight := true, true
		for _, e := range want.Expected {
			total++
			i := slices.IndexFunc(got, func(g sent) bool { return e.matches(g.sum) })
			if e.Via == "mime" {
				open++
			}
			if i < 0 {
				right = false
				openRight = openRight && e.Via != "mime"
				if e.Via == "mime" {
					t.Logf("%s: missed %q %s", want.File, e.Filename, e.SHA256[:8])
				}
				continue
			}
			found++
			if e.Via == "mime" {
				openFound++
			}
			if len(e.Names) > 0 {
				nameable++
				if slices.Contains(e.Names, got[i].name) {
					named++
				} else {
					t.Logf("%s: name %q, want one of %q", want.File, got[i].name, e.Names)
				}
			}
			got = slices.Delete(got, i, i+1)
		}
		for _, g := range got {
			if !slices.ContainsFunc(want.Optional, func(p string) bool { return strings.HasPrefix(g.sum, p) }) {
				t.Logf("%s: extra %q %s %d bytes", want.File, g.name, g.mediaType, g.size)
				extra++
				right, openRight = false, false
			}
		}
		if right {
			correct++
		}
		if openRight {
			openCorrect++
		}
	}
	recall, whole := float64(found)/float64(total), float64(correct)/float64(messages)
	t.Logf("attachments: %d of %d found (%.1f %%); outside containers %d of %d (%.1f %%); extra %d", found, total, 100*recall, openFound, open, 100*float64(openFound)/float64(open), extra)
	t.Logf("names: %d of %d as others read them", named, nameable)
	t.Logf("messages fully right: %d of %d (%.1f %%); leaving containers aside %d", correct, messages, 100*whole, openCorrect)
	if recall < recallFloor {
		t.Errorf("recall %.3f, floor %.3f", recall, recallFloor)
	}
	if whole < correctFloor {
		t.Errorf("messages fully right %.3f, floor %.3f", whole, correctFloor)
	}
}

func truths(t *testing.T, path string) []truth {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatalf("open the corpus; VAGUEMESTRE_CORPUS names its folder: %v", err)
	}
	defer f.Close()
	var all []truth
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var one truth
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

type sent struct {
	name, mediaType, sum string
	size                 int
}

func split(t *testing.T, path string) []sent {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []sent
	_, err = mail.Splitter{}.Split(t.Context(), bytes.NewReader(raw), func(p core.Part) error {
		body, err := io.ReadAll(p.Body)
		sum := sha256.Sum256(body)
		got = append(got, sent{p.Name, p.Type, hex.EncodeToString(sum[:]), len(body)})
		return err
	})
	if err != nil {
		t.Logf("%s: %v", filepath.Base(path), err)
	}
	return got
}
