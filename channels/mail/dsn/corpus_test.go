//go:build corpus

package dsn

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"vaguemestre/core"
)

// actions are the lines of a machine-readable report, wherever they stand.
var actions = regexp.MustCompile(`(?im)^action: *([a-z]+)`)

// TestCorpusReports reads the real reports in the e-mail corpus. What they say for
// machines is the truth: a letter that failed is never told as delivered or under way,
// nor the other way round; and mail that no mail system wrote is no report.
func TestCorpusReports(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(os.Getenv("VAGUEMESTRE_CORPUS"), "email", "eml", "*.eml"))
	if err != nil || len(files) == 0 {
		t.Fatal("no messages", err)
	}
	reports, clear := 0, 0
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		got := Parse(raw[:min(len(raw), 64<<10)])
		said := map[string]bool{}
		for _, m := range actions.FindAllStringSubmatch(string(raw), -1) {
			said[strings.ToLower(m[1])] = true
		}
		system := bytes.Contains(bytes.ToLower(raw), []byte("mailer-daemon")) || bytes.Contains(bytes.ToLower(raw), []byte("postmaster"))
		if len(said) == 0 && !system && got.Delivery != core.DeliveryNoReport && got.Delivery != core.DeliveryUnclear {
			t.Errorf("%s: %s, of mail that is no report", filepath.Base(f), got.Delivery)
		}
		if len(said) != 1 {
			continue
		}
		reports++
		want := map[string]core.Delivery{"failed": core.DeliveryBounced, "delayed": core.DeliveryDelayed, "delivered": core.DeliveryDelivered, "relayed": core.DeliveryDelivered}
		for action := range said {
			switch got.Delivery {
			case want[action]:
				clear++
			case core.DeliveryUnclear, core.DeliveryNoReport:
				t.Logf("%s: %s, says %s", filepath.Base(f), got.Delivery, action)
			default:
				t.Errorf("%s: %s, says %s", filepath.Base(f), got.Delivery, action)
			}
		}
	}
	t.Logf("%d of %d reports understood, none wrongly", clear, reports)
	if clear*10 < reports*9 {
		t.Errorf("only %d of %d reports understood", clear, reports)
	}
}
