//go:build corpus

package mail_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vaguemestre/channels/mail"
	"vaguemestre/core"
)

// What was reached on 466 messages, a little below; see
// docs/decisions/0005-message-walking.md.
const (
	recallFloor = 0.99 // of all expected attachments, those inside containers included
	rightFloor  = 0.98 // of the messages with attachments: everything expected, nothing else
)

// truth is one line of truth.jsonl; the corpus's README.md says what it means.
type truth struct {
	File     string     `json:"file"`
	Repo     string     `json:"repo"`
	Path     string     `json:"path"`
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
// parts found against the attachments that several other programs agree on; beside it,
// those that enmime finds.
func TestCorpus(t *testing.T) {
	dir := filepath.Join(os.Getenv("VAGUEMESTRE_CORPUS"), "email")
	ours, theirs := score{t: t, who: "ours"}, score{t: t, who: "enmime", quiet: true}
	for _, want := range truths(t, filepath.Join(dir, "truth.jsonl")) {
		raw, err := os.ReadFile(filepath.Join(dir, "eml", want.File))
		if err != nil {
			t.Fatal(err)
		}
		ours.count(want, split(t, want.File, raw))
		theirs.count(want, splitByEnmime(t, raw))
	}
	theirs.print()
	ours.print()
	if recall := ours.recall(); recall < recallFloor {
		t.Errorf("recall %.3f, floor %.3f", recall, recallFloor)
	}
	if right := share(ours.withRight, ours.with); right < rightFloor {
		t.Errorf("messages with attachments fully right %.3f, floor %.3f", right, rightFloor)
	}
}

// score is what one reader made of the corpus.
type score struct {
	t                                *testing.T
	who                              string
	quiet                            bool
	total, found, plain, plainOK     int // attachments: expected, found, of these outside containers
	named, nameable, extra           int
	messages, right, with, withRight int // with: those that have attachments
}

// count holds what was found in a message against what is in it.
func (s *score) count(want truth, got []sent) {
	right := true
	for _, e := range want.Expected {
		i := slices.IndexFunc(got, func(g sent) bool { return e.matches(g.sum) })
		s.total, s.plain = s.total+1, s.plain+one(e.Via == "mime")
		if i < 0 {
			right = false
			s.logf("%s: missed %q %s %s", want.File, e.Filename, e.Via, e.SHA256[:8])
			continue
		}
		s.found, s.plainOK = s.found+1, s.plainOK+one(e.Via == "mime")
		if len(e.Names) > 0 {
			s.nameable, s.named = s.nameable+1, s.named+one(slices.Contains(e.Names, got[i].name))
			if !slices.Contains(e.Names, got[i].name) {
				s.logf("%s: name %q, want one of %q", want.File, got[i].name, e.Names)
			}
		}
		got = slices.Delete(got, i, i+1)
	}
	for _, g := range got {
		if !slices.ContainsFunc(want.Optional, func(p string) bool { return strings.HasPrefix(g.sum, p) }) {
			s.logf("%s: extra %q %s %d bytes", want.File, g.name, g.mediaType, g.size)
			s.extra++
			right = false
		}
	}
	s.messages, s.right = s.messages+1, s.right+one(right)
	if len(want.Expected) > 0 {
		s.with, s.withRight = s.with+1, s.withRight+one(right)
	}
}

func one(holds bool) int {
	if holds {
		return 1
	}
	return 0
}

func share(n, of int) float64 { return float64(n) / float64(of) }

func (s *score) recall() float64 { return share(s.found, s.total) }

func (s *score) logf(format string, args ...any) {
	if !s.quiet {
		s.t.Logf(format, args...)
	}
}

func (s *score) print() {
	s.t.Logf("%s: attachments %d of %d (%.1f %%), outside containers %d of %d (%.1f %%), extra %d; names as others read them %d of %d; fully right: %d of %d messages with attachments (%.1f %%), %d of all %d (%.1f %%)",
		s.who, s.found, s.total, 100*s.recall(), s.plainOK, s.plain, 100*share(s.plainOK, s.plain), s.extra, s.named, s.nameable,
		s.withRight, s.with, 100*share(s.withRight, s.with), s.right, s.messages, 100*share(s.right, s.messages))
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

// split lists the parts that the corpus counts, as the command `mime` does.
func split(t *testing.T, file string, raw []byte) []sent {
	t.Helper()
	var got []sent
	_, err := mail.Splitter{MaxParts: 10_000, MaxDepth: 100}.Split(t.Context(), bytes.NewReader(raw), func(p core.Part) error {
		if p.Via == core.ViaHTML || p.Via == core.ViaEML || p.Via == core.ViaSMIME || p.Name == "" && strings.HasPrefix(p.Type, "message/") {
			return nil
		}
		body, err := io.ReadAll(p.Body)
		got = append(got, newSent(p.Name, p.Type, body))
		return err
	})
	if err != nil {
		t.Logf("%s: %v", file, err)
	}
	return got
}

func newSent(name, mediaType string, body []byte) sent {
	sum := sha256.Sum256(body)
	return sent{name, mediaType, hex.EncodeToString(sum[:]), len(body)}
}

// TestDoubtsInCorpus counts what is doubtful or set aside in the corpus. A third of it
// was made to be malformed, so the floor is no promise: it sees a doubt that fires at
// everything.
func TestDoubtsInCorpus(t *testing.T) {
	const mostDoubtful = 45 // of 466
	counts := map[string]int{}
	doubtful := 0
	for _, want := range truths(t, filepath.Join(os.Getenv("VAGUEMESTRE_CORPUS"), "email", "truth.jsonl")) {
		raw, err := os.ReadFile(filepath.Join(os.Getenv("VAGUEMESTRE_CORPUS"), "email", "eml", want.File))
		if err != nil {
			t.Fatal(err)
		}
		cover, err := mail.Splitter{}.Split(t.Context(), bytes.NewReader(raw), func(p core.Part) error {
			if p.Aside != "" {
				counts["aside "+p.Aside]++
			}
			if p.Refusal != nil {
				counts["refused "+p.Refusal.Code]++
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", want.File, err)
		}
		for _, code := range cover.Doubts {
			counts["doubt "+code]++
		}
		if len(cover.Doubts) > 0 {
			doubtful++
			t.Logf("%s (%s, %s): %v", want.File, want.Repo, filepath.Base(want.Path), cover.Doubts)
		}
		if cover.Signed != "" {
			counts["signed "+cover.Signed]++
		}
	}
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		t.Logf("%s: %d", what, counts[what])
	}
	if t.Logf("doubtful: %d messages", doubtful); doubtful > mostDoubtful {
		t.Errorf("%d messages doubtful, at most %d", doubtful, mostDoubtful)
	}
}
