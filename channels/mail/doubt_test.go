package mail_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// doubtless are messages that honest programs send and that look odd in places where
// others are doubtful.
var doubtless = []string{
	"blank-line-then-text", "blank-lines-first", "boundary-prefix-of-another", "byte-order-mark", "cr-before-crlf", "encoded-message",
	"fields-twice-the-same", "gmail-forward-pdf", "iphone-photo-forwarded", "mbox-from-line", "names-in-many-charsets", "names-with-fallback",
	"nul-in-binary", "outlook-forward-as-attachment", "outlook-message-attached", "raw-8bit-names", "rfc2047-names", "rfc2231-names",
	"signed-opaque-streamed", "signed-pgp", "signed-smime", "text-attachments", "uuencode-in-text", "winmail-dat",
}

// TestSEC50_EveryDoubtHasItsCase checks that each code that docs/mail.md lists is
// raised by a case, that no case raises another, and that the honest ones raise none.
// That a doubt changes nothing of what is delivered is to be seen in the cases: each
// has its document.
func TestSEC50_EveryDoubtHasItsCase(t *testing.T) {
	page, err := os.ReadFile("../../docs/mail.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| `Cover.Doubts` |")
	table, _, _ = strings.Cut(table, "\n\n")
	listed := map[string]bool{}
	for row := range strings.Lines(table) {
		cells := strings.Split(row, "|")
		if len(cells) < 3 || !strings.HasPrefix(cells[1], " `") {
			continue
		}
		for code := range strings.SplitSeq(cells[1], ",") {
			listed[strings.Trim(code, " `")] = true
		}
	}
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	raised := map[string]bool{"too_deep": true} // its message is made up in TestContainersAreBounded
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r record
		if err := json.Unmarshal(b, &r); err != nil {
			t.Fatal(err)
		}
		for _, code := range r.Doubts {
			raised[code] = true
		}
		if name := strings.TrimSuffix(filepath.Base(file), ".json"); len(r.Doubts) > 0 && slices.Contains(doubtless, name) {
			t.Errorf("%s is doubtful: %q", name, r.Doubts)
		}
	}
	if want, got := slices.Sorted(maps.Keys(listed)), slices.Sorted(maps.Keys(raised)); !slices.Equal(got, want) {
		t.Errorf("raised in the cases: %q\nlisted in docs/mail.md: %q", got, want)
	}
}
