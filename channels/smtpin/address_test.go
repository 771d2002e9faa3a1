package smtpin_test

import (
	"go/parser"
	"go/token"
	"net/netip"
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

// A letter's return path is taken from the null sender, a message for each: a report has
// one letter, as a deposit has one owner. It has the rate of an address of its own.
func TestREL12_ReturnPathsAreRecipients(t *testing.T) {
	intake := &town{}
	addr, _ := open(t, smtpin.Config{AddressMessages: 2, Exempt: []netip.Prefix{}}, intake)
	d := dial(t, addr)
	d.cmd("MAIL FROM:<>", "250 ")
	d.cmd("RCPT TO:<"+returnPath+">", "250 ")
	for _, other := range []string{returnTo, mine} {
		d.cmd("RCPT TO:<"+other+">", "452 4.5.3 ")
	}
	d.data(letter, "250 ")
	if taken := intake.Taken(); len(taken) != 1 || taken[0].Address.Letter == "" || taken[0].Address.Vault != "" || taken[0].Sender.MailFrom != "" {
		t.Errorf("took %+v", taken)
	}
	d.envelope(mine)
	d.cmd("RCPT TO:<"+returnPath+">", "452 4.5.3 ")
	d.cmd("RSET", "250 ")
	d.cmd("MAIL FROM:<>", "250 ")
	d.cmd("RCPT TO:<"+returnPath+">", "250 ")
	d.cmd("RSET", "250 ")
	d.cmd("MAIL FROM:<>", "250 ")
	d.cmd("RCPT TO:<"+returnPath+">", "452 4.2.1 ")
	d.cmd("RCPT TO:<"+returnTo+">", "250 ")
}
