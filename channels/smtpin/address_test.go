package smtpin_test

import (
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"vaguemestre/channels/smtpin"
)

// TestSEC45_UnknownAndRevokedAreTheSame: the same bytes, and as quickly.
func TestSEC45_UnknownAndRevokedAreTheSame(t *testing.T) {
	const calls = 500
	addr, _ := open(t, smtpin.Config{UnknownDelay: time.Nanosecond, MaxUnknown: 3 * calls, MaxCommands: 3 * calls}, &town{})
	d := dial(t, addr)
	mailFrom(d)
	took := map[string][]time.Duration{}
	replies := map[string]bool{}
	for range calls {
		for _, who := range []string{"nobody", "revoked"} {
			start := time.Now()
			replies[d.cmd("RCPT TO:<"+who+"@pieces.ville.test>", "550 5.1.1 ")] = true
			took[who] = append(took[who], time.Since(start))
		}
	}
	if len(replies) != 1 {
		t.Errorf("replies differ: %v", replies)
	}
	median := func(who string) time.Duration {
		slices.Sort(took[who])
		return took[who][calls/2]
	}
	if gap := (median("nobody") - median("revoked")).Abs(); gap > 5*time.Millisecond {
		t.Errorf("medians %v apart", gap)
	}
}

// TestSEC49_NothingIsSent: this package receives. It knows no way to send mail anywhere:
// no client of any protocol, and of net's functions none that connects.
func TestSEC49_NothingIsSent(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		seen++
		parsed, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range parsed.Imports {
			if path, _ := strconv.Unquote(i.Path.Value); slices.Contains([]string{"net/smtp", "net/http", "net/rpc", "os/exec", "net/textproto"}, path) {
				t.Errorf("%s imports %s", f.Name(), path)
			}
		}
		text, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range []string{"Dial", "smtp.NewClient", "SendMail", "syscall."} {
			if strings.Contains(string(text), call) {
				t.Errorf("%s says %s", f.Name(), call)
			}
		}
	}
	if seen < 5 {
		t.Errorf("looked at %d files", seen)
	}
}
