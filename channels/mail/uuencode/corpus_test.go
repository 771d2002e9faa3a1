//go:build corpus

package uuencode_test

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
	"testing"

	"vaguemestre/channels/mail/uuencode"
	"vaguemestre/core"
)

// TestCorpus opens the text of every message of the e-mail corpus in the folder
// VAGUEMESTRE_CORPUS, transfer encodings not undone: each file that two other programs
// found in one is found, and nothing that nobody expects.
func TestCorpus(t *testing.T) {
	dir := filepath.Join(os.Getenv("VAGUEMESTRE_CORPUS"), "email")
	list, err := os.Open(filepath.Join(dir, "truth.jsonl"))
	if err != nil {
		t.Fatalf("open the corpus; VAGUEMESTRE_CORPUS names its folder: %v", err)
	}
	defer list.Close()
	var expected, found, attached int
	lines := bufio.NewScanner(list)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var want struct {
			File     string
			Expected []struct {
				Names       []string
				SHA256, Via string
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(filepath.Join(dir, "eml", want.File))
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]string{}
		err = uuencode.Open(bytes.NewReader(raw), io.Discard, func(p core.Part) error {
			content, err := io.ReadAll(p.Body)
			sum := sha256.Sum256(content)
			names[hex.EncodeToString(sum[:])] = p.Name
			return err
		})
		if err != nil {
			t.Error(err)
		}
		for _, e := range want.Expected {
			name, ok := names[e.SHA256]
			delete(names, e.SHA256)
			switch {
			case e.Via != "uu":
				if ok { // the part itself was sent so: its transfer encoding is x-uuencode
					attached++
				}
			case !ok || !slices.Contains(e.Names, name):
				expected++
				t.Errorf("%s: missed %q, got %q", want.File, e.Names, name)
			default:
				expected++
				found++
			}
		}
		for _, name := range names {
			t.Errorf("%s: extra %q", want.File, name)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d files in texts found; %d in parts with that transfer encoding", found, expected, attached)
	if expected == 0 {
		t.Error("nothing expected")
	}
}
