package main

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// The demonstration does what it shows, and again with papers of its own.
func TestDemonstration(t *testing.T) {
	t.Parallel()
	p := start(t, newHome(t), nil)
	shown := []*regexp.Regexp{
		regexp.MustCompile(`(?m)^ +avis d’impôt\.pdf +avis_imposition_ir +\d+ % +Camille DÉMO +20\d\d-07-31 +20\d\d-\d\d-\d\d +to_confirm, current +\d+\.\d{3} s$`),
		regexp.MustCompile(`(?m)^ +facture\.jpg +facture_electricite +\d+ % +Camille DÉMO +20\d\d-\d\d-\d\d +20\d\d-\d\d-\d\d +to_confirm, current +\d+\.\d{3} s$`),
		regexp.MustCompile(`(?m)^ +note\.txt: refused unsupported_text\n +«\x{a0}Ce fichier ne contient que du texte\x{a0}: .*\x{a0}»$`),
	}
	for run := 1; run <= 2; run++ {
		out := p.must("demo")
		for _, want := range shown {
			if !want.MatchString(out) {
				t.Errorf("run %d does not show %v:\n%s", run, want, out)
			}
		}
		if before := strings.Contains(out, "and 2 filed before"); before != (run == 2) {
			t.Errorf("run %d counts earlier documents wrongly:\n%s", run, out)
		}
	}
	var sums []string
	for _, r := range p.vault() {
		sums = append(sums, r.SHA256)
	}
	slices.Sort(sums)
	if len(slices.Compact(sums)) != 4 {
		t.Errorf("two runs left %d different documents", len(slices.Compact(sums)))
	}
	p.must("check")
}

// Without a server, or with one that is not for demonstration, it says what to do.
func TestDemonstrationElsewhere(t *testing.T) {
	t.Parallel()
	p := start(t, newHome(t), nil)
	p.must("citizen", "address", "revoke", "--citizen", p.citizen)
	if _, errs, code := p.command("demo"); code != 1 || !strings.Contains(errs, "address rotate --citizen "+p.citizen) {
		t.Errorf("with its address revoked: exit %d, %q", code, errs)
	}
	p.kill()
	if _, errs, code := p.command("demo"); code != 1 || !strings.Contains(errs, "make run") {
		t.Errorf("without a server: exit %d, %q", code, errs)
	}
}

// A letter is an e-mail that other programs read.
func TestLetters(t *testing.T) {
	now := time.Date(2026, 11, 23, 14, 5, 6, 7e6, time.UTC)
	letters, err := demoLetters(now)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range letters {
		message, err := l.message("a@b.test", now)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "letter.eml")
		if err := os.WriteFile(file, message, 0o600); err != nil {
			t.Fatal(err)
		}
		parts, err := listParts(t.Context(), file)
		sum := sha256.Sum256(l.file)
		if err != nil || len(parts) != 1 || parts[0].Filename != l.name || parts[0].SHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("%s: parts %+v (%v)", l.name, parts, err)
		}
	}
}
