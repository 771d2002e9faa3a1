//go:build corpus

package tnef_test

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
	"vaguemestre/channels/mail/tnef"
	"vaguemestre/core"
)

// TestCorpus opens every winmail.dat of the e-mail corpus in the folder
// VAGUEMESTRE_CORPUS: each file that two other programs found in one is found.
func TestCorpus(t *testing.T) {
	dir := filepath.Join(os.Getenv("VAGUEMESTRE_CORPUS"), "email")
	list, err := os.Open(filepath.Join(dir, "truth.jsonl"))
	if err != nil {
		t.Fatalf("open the corpus; VAGUEMESTRE_CORPUS names its folder: %v", err)
	}
	defer list.Close()
	var containers, expected, found, named, extra int
	lines := bufio.NewScanner(list)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var want struct {
			File     string
			Expected []struct {
				Names  []string
				SHA256 string
				Accept []string
				Via    string
			}
			Optional []string
		}
		if err := json.Unmarshal(lines.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		names, sums := map[string]string{}, []string{}
		for _, data := range wrapped(t, filepath.Join(dir, "eml", want.File)) {
			containers++
			err := tnef.Open(data, 5, func(p core.Part) error {
				content, err := io.ReadAll(p.Body)
				sum := sha256.Sum256(content)
				hexSum := hex.EncodeToString(sum[:])
				names[hexSum], sums = p.Name, append(sums, hexSum)
				return err
			})
			if err != nil {
				t.Logf("%s: %v", want.File, err)
			}
		}
		for _, e := range want.Expected {
			i := slices.IndexFunc(sums, func(sum string) bool {
				return sum == e.SHA256 || slices.ContainsFunc(e.Accept, func(p string) bool { return strings.HasPrefix(sum, p) })
			})
			if e.Via == "tnef" {
				expected++
				if i < 0 {
					t.Errorf("%s: missed %q", want.File, e.Names)
					continue
				}
				found++
				if len(e.Names) == 0 || slices.Contains(e.Names, names[sums[i]]) {
					named++
				} else {
					t.Errorf("%s: name %q, want one of %q", want.File, names[sums[i]], e.Names)
				}
			}
			if i >= 0 {
				sums = slices.Delete(sums, i, i+1)
			}
		}
		for _, sum := range sums {
			if !slices.ContainsFunc(want.Optional, func(p string) bool { return strings.HasPrefix(sum, p) }) {
				extra++
				t.Logf("%s: extra %q", want.File, names[sum])
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d containers; %d of %d files found, %d named as others do; %d extra", containers, found, expected, named, extra)
	if expected == 0 {
		t.Error("nothing expected")
	}
}

// wrapped gives the winmail.dat parts of a message.
func wrapped(t *testing.T, path string) [][]byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var found [][]byte
	_, err = mail.Splitter{}.Split(t.Context(), bytes.NewReader(raw), func(p core.Part) error {
		content, err := io.ReadAll(p.Body)
		if p.Via == "" && tnef.Begins(content) {
			found = append(found, content)
		}
		return err
	})
	if err != nil {
		t.Logf("%s: %v", filepath.Base(path), err)
	}
	return found
}
