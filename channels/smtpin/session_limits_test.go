package smtpin_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vaguemestre/channels/smtpin"
	"vaguemestre/core"
)

// everybody is counted, loopback as well.
var everybody = []netip.Prefix{}

// unhurried keeps the pauses that are not under test short.
func unhurried(c smtpin.Config) smtpin.Config {
	c.GreetDelay, c.UnknownDelay = time.Millisecond, time.Nanosecond
	return c
}

// TestSEC43_SessionLimits has each count of a session at its limit and one past it.
func TestSEC43_SessionLimits(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg     smtpin.Config
		prepare func(*dialog)
		command string
		want    string // as often as the limit
		times   int
		past    string // once more, and closed
	}{
		"errors":                 {smtpin.Config{MaxErrors: 3}, nil, "FROB", "500 5.5.1 ", 3, "421 4.7.0 Too many errors"},
		"errors of go-smtp":      {smtpin.Config{MaxErrors: 3}, nil, "MAIL TO:<x>", "501 5.1.7 ", 3, "421 4.7.0 Too many errors"},
		"unknown recipients":     {smtpin.Config{MaxUnknown: 3}, mailFrom, "RCPT TO:<x@pieces.ville.test>", "550 5.1.1 ", 3, "421 4.7.0 Too many unknown"},
		"commands":               {smtpin.Config{MaxCommands: 6}, nil, "NOOP", "250 2.0.0 ", 5, "421 4.7.0 Too many commands"}, // EHLO was the first
		"messages":               {smtpin.Config{MaxMessages: 3, Exempt: everybody}, nil, "MAIL FROM:<a@b.test>\r\nRSET", "250 2.1.0 ", 3, "421 4.7.0 Enough messages"},
		"recipients of one":      {smtpin.Config{MaxRecipients: 3}, mailFrom, "RCPT TO:<" + mine + ">", "250 2.1.5 ", 3, "452 4.5.3 Too many recipients"},
		"messages of a network":  {smtpin.Config{NetworkMessages: 3, Exempt: everybody}, nil, "MAIL FROM:<a@b.test>\r\nRSET", "250 2.1.0 ", 3, "452 4.7.1 "},
		"messages to an address": {smtpin.Config{AddressMessages: 3, Exempt: everybody}, mailFrom, "RCPT TO:<" + mine + ">\r\nRSET\r\nMAIL FROM:<a@b.test>", "250 2.1.5 ", 3, "452 4.2.1 "},
		"unknown of a network":   {smtpin.Config{NetworkUnknown: 3, Exempt: everybody}, mailFrom, "RCPT TO:<x@pieces.ville.test>", "550 5.1.1 ", 3, "452 4.7.1 "},
	} {
		t.Run(name, func(t *testing.T) {
			addr, _ := open(t, unhurried(tc.cfg), &town{})
			d := dial(t, addr)
			if tc.prepare != nil {
				tc.prepare(d)
			}
			for range tc.times {
				d.cmd(tc.command, tc.want)
				for range strings.Count(tc.command, "\r\n") {
					d.expect("250 ")
				}
			}
			d.cmd(tc.command, tc.past)
			if strings.HasPrefix(tc.past, "421") {
				d.expect("")
			}
		})
	}
}

func mailFrom(d *dialog) { d.cmd("MAIL FROM:<a@b.test>", "250 ") }

// Once a network has guessed too often, it is not told of its right guesses either.
func TestSEC43_GuessingNetworkIsToldNothing(t *testing.T) {
	addr, _ := open(t, unhurried(smtpin.Config{NetworkUnknown: 2, Exempt: everybody}), &town{})
	d := dial(t, addr)
	mailFrom(d)
	for range 2 {
		d.cmd("RCPT TO:<x@pieces.ville.test>", "550 5.1.1 ")
	}
	unknown := d.cmd("RCPT TO:<x@pieces.ville.test>", "452 4.7.1 ")
	if known := d.cmd("RCPT TO:<"+mine+">", "452 4.7.1 "); known != unknown {
		t.Errorf("known %q, unknown %q", known, unknown)
	}
}

// A session that brings messages may go on: the commands are counted from the last one.
func TestCommandsAreCountedFromTheLastMessage(t *testing.T) {
	intake := &town{}
	addr, _ := open(t, smtpin.Config{MaxCommands: 10}, intake)
	d := dial(t, addr)
	for range 20 {
		d.envelope(mine)
		d.data(letter, "250 ")
		d.envelope(mine)
		d.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(letter), letter))
		d.expect("250 ")
	}
	if n := len(intake.Taken()); n != 40 {
		t.Errorf("%d messages", n)
	}
}

// Each unknown recipient is waited for a little longer than the one before.
func TestSEC43_GuessingIsSlow(t *testing.T) {
	const step = 30 * time.Millisecond
	addr, _ := open(t, smtpin.Config{UnknownDelay: step}, &town{})
	d := dial(t, addr)
	mailFrom(d)
	for n := range 5 {
		start := time.Now()
		d.cmd("RCPT TO:<x@pieces.ville.test>", "550 5.1.1 ")
		if took := time.Since(start); took < time.Duration(n)*step {
			t.Errorf("number %d took %v", n+1, took)
		}
	}
}

// TestSEC43_NetworkLimits counts connections, over TLS from the first byte too.
func TestSEC43_NetworkLimits(t *testing.T) {
	for name, cfg := range map[string]smtpin.Config{
		"sessions":    {NetworkSessions: 3},
		"connections": {NetworkConnections: 3},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Exempt = everybody
			seen := &tellTale{}
			cfg.Seen = seen.note
			addr, _ := open(t, unhurried(cfg), &town{})
			for range 3 {
				dial(t, addr)
			}
			if got := greeting(t, addr); !strings.HasPrefix(got, "421 4.7.0 Too many connections from your network") {
				t.Errorf("one past the limit was told %q", got)
			}
			if !slices.Contains(seen.all(), "turned_away network_"+name) {
				t.Errorf("seen: %q", seen.all())
			}
		})
	}
}

// greeting is all that a client is told that says nothing, to the end of the first line.
func greeting(t testing.TB, addr string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	line := make([]byte, 0, 200)
	for b := make([]byte, 1); ; line = append(line, b[0]) {
		if _, err := conn.Read(b); err != nil || b[0] == '\n' {
			return string(line)
		}
	}
}

// tellTale remembers what was seen.
type tellTale struct {
	mu   sync.Mutex
	what []string
}

func (s *tellTale) note(what, detail string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.what = append(s.what, what+" "+detail)
}

func (s *tellTale) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.what)
}

// TestSEC43_Pace: a message that comes in too slowly is cut, at any step of it; one that
// comes in just fast enough is not.
func TestSEC43_Pace(t *testing.T) {
	const window = 200 * time.Millisecond
	cfg := smtpin.Config{SlowWindow: window, MinSpeed: 1000, MaxBytes: 1000} // 200 bytes a window
	for name, tc := range map[string]struct {
		before string
		drop   int // bytes, every tenth of a window
		want   string
	}{
		"DATA, too slow":        {"DATA\r\n", 5, "421 4.4.2 "},
		"DATA, fast enough":     {"DATA\r\n", 60, "250 2.0.0 "},
		"BDAT, too slow":        {"BDAT 900 LAST\r\n", 5, "421 4.4.2 "},
		"BDAT, fast enough":     {"BDAT 900 LAST\r\n", 60, "250 2.0.0 "},
		"DATA, nothing":         {"DATA\r\n", 0, "421 4.4.2 "},
		"too large, then slow":  {"DATA\r\n" + sized(1200), 5, "552 5.3.4 "},
		"refused BDAT, so slow": {"RSET\r\nBDAT 900 LAST\r\n", 5, "503 5.5.1 "},
	} {
		t.Run(name, func(t *testing.T) {
			intake := &town{}
			addr, _ := open(t, cfg, intake)
			d := dial(t, addr)
			d.envelope(mine)
			d.send(tc.before)
			if strings.HasPrefix(tc.before, "DATA") {
				d.expect("354 ")
			}
			if strings.HasPrefix(tc.before, "RSET") {
				d.expect("250 ")
			}
			message := "\r\n" + strings.Repeat(strings.Repeat("x", 58)+"\r\n", 15)[:898]
			if strings.Contains(tc.before, "DATA") {
				message = "\r\n" + strings.Repeat(strings.Repeat("x", 58)+"\r\n", 14) + ".\r\n"
			}
			go func() {
				for len(message) > 0 {
					n := min(tc.drop, len(message))
					if _, err := io.WriteString(d.Conn, message[:n]); err != nil {
						return
					}
					message = message[n:]
					time.Sleep(window / 10)
				}
			}()
			start := time.Now()
			d.expect(tc.want)
			if !strings.HasPrefix(tc.want, "250") {
				d.expect("")
				if took := time.Since(start); took > 3*window+2*time.Second {
					t.Errorf("cut after %v", took)
				}
			}
			if n := len(intake.Taken()); (n == 1) != strings.HasPrefix(tc.want, "250") {
				t.Errorf("%d messages taken in", n)
			}
		})
	}
}

// What was refused is read on for so long, and no longer.
func TestSEC43_RefusedChunksAreBounded(t *testing.T) {
	addr, _ := open(t, smtpin.Config{MaxBytes: 1000}, &town{})
	d := dial(t, addr)
	for range 2 {
		d.send("BDAT 500\r\n" + strings.Repeat("x", 500))
		d.expect("503 5.5.1 ")
	}
	d.send("BDAT 1\r\nx")
	d.expect("421 4.7.0 ")
	d.expect("")
}

// TestEarlyTalker: who speaks before the greeting does not listen.
func TestEarlyTalker(t *testing.T) {
	seen := &tellTale{}
	addr, _ := open(t, smtpin.Config{Exempt: everybody, GreetDelay: 5 * time.Second, Seen: seen.note}, &town{})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "EHLO client.test\r\n")
	if got, _ := io.ReadAll(conn); !strings.HasPrefix(string(got), "554 5.5.0 ") {
		t.Errorf("told %q", got)
	}
	if !slices.Contains(seen.all(), "turned_away early") {
		t.Errorf("seen: %q", seen.all())
	}
	trusted, _ := open(t, smtpin.Config{GreetDelay: time.Hour}, &town{})
	if got := greeting(t, trusted); !strings.HasPrefix(got, "220 ") {
		t.Errorf("an exempt network was told %q", got)
	}
}

// What was refused before a message takes none of its time.
func TestRefusedChunksTakeNoTime(t *testing.T) {
	addr, _ := open(t, smtpin.Config{TLS: certificate(t)}, &town{})
	d := dial(t, addr)
	d.send("BDAT 1\r\nx")
	d.expect("503 5.5.1 ")
	mailFrom(d)
	d.cmd("STARTTLS", "220 ") // no message is under way
}

// stalling is an intake that takes its time before it reads on.
type stalling struct {
	town
	pause time.Duration
}

func (i *stalling) Accept(ctx context.Context, d core.Deposit, bodies ...core.Body) (core.Receipt, error) {
	time.Sleep(i.pause)
	return i.town.Accept(ctx, d, bodies...)
}

// TestPaceIsTheSenders: what waits for us does not come in slowly.
func TestPaceIsTheSenders(t *testing.T) {
	const window = 100 * time.Millisecond
	message := sized(300_000)
	for name, say := range map[string]string{"DATA": "DATA\r\n" + message + ".\r\n", "BDAT": fmt.Sprintf("BDAT %d LAST\r\n%s", len(message), message)} {
		t.Run(name, func(t *testing.T) {
			addr, _ := open(t, smtpin.Config{SlowWindow: window, MinSpeed: 1 << 20}, &stalling{pause: 3 * window})
			d := dial(t, addr)
			d.envelope(mine)
			d.send(say)
			if name == "DATA" {
				d.expect("354 ")
			}
			d.expect("250 2.0.0 Taken in")
		})
	}
}
