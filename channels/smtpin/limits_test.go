package smtpin_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"vaguemestre/channels/smtpin"
	"vaguemestre/core"
)

// sized is a message of exactly n bytes.
func sized(n int) string {
	head := "Subject: x\r\n\r\n"
	body := strings.Repeat(strings.Repeat("y", 78)+"\r\n", (n-len(head))/80)
	rest := n - len(head) - len(body)
	if rest < 2 {
		body, rest = body[80:], rest+80
	}
	return head + body + strings.Repeat("z", rest-2) + "\r\n"
}

func TestSEC43_SizeLimit(t *testing.T) {
	const limit = 100_000
	intake := &town{}
	addr, _ := open(t, smtpin.Config{MaxBytes: limit}, intake)
	d := dial(t, addr)
	if got := d.cmd("EHLO again.test", "250"); !strings.Contains(got, "SIZE 100000\r\n") {
		t.Errorf("EHLO says %q", got)
	}
	d.cmd(fmt.Sprintf("MAIL FROM:<a@b.test> SIZE=%d", limit+1), "552 5.3.4 ")
	d.cmd(fmt.Sprintf("MAIL FROM:<a@b.test> SIZE=%d", limit), "250 ")
	d.cmd("RSET", "250 ")

	d.envelope(mine)
	d.data(sized(limit), "250 ")
	d.envelope(mine)
	d.data(sized(limit+1), "552 5.3.4 ")
	d.envelope(mine)
	d.data("..\r\n"+sized(limit-3), "250 ") // the dot of transport does not count
	d.envelope(mine)
	d.send(fmt.Sprintf("BDAT %d LAST\r\n%s", limit, sized(limit)))
	d.expect("250 ")
	d.envelope(mine)
	d.send(fmt.Sprintf("BDAT %d\r\n%s", limit, sized(limit)))
	d.expect("250 ")
	d.send("BDAT 1 LAST\r\nx")
	d.expect("552 5.3.4 ")
	d.envelope(mine) // the session goes on
	d.send(fmt.Sprintf("BDAT %d LAST\r\n", limit+1))
	d.expect("552 5.3.4 ")
	d.expect("")
	if n := len(intake.Taken()); n != 3 {
		t.Errorf("%d messages taken in, want 3", n)
	}
}

func TestSEC43_OtherLimits(t *testing.T) {
	intake := &town{}
	addr, _ := open(t, smtpin.Config{MaxLine: 2000, MaxHeader: 5000, MaxBytes: 100_000}, intake)
	line := func(n int) string { return "\r\n" + strings.Repeat("y", n-2) + "\r\n" }
	header := func(n int) string {
		return strings.Repeat("X: "+strings.Repeat("y", 95)+"\r\n", n/100-1) + "X: " + strings.Repeat("y", 93+n%100) + "\r\n\r\n"
	}
	for name, tc := range map[string]struct{ message, want string }{
		"line at the limit":   {line(2000), "250 "},
		"line past it":        {line(2001), "554 5.6.0 "},
		"header at the limit": {header(5000), "250 "},
		"header past it":      {header(5001), "554 5.6.0 Refused (header_too_large): "},
	} {
		t.Run(name, func(t *testing.T) {
			d := dial(t, addr)
			d.envelope(mine)
			d.data(tc.message, tc.want)
			d = dial(t, addr)
			d.envelope(mine)
			d.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(tc.message), tc.message))
			d.expect(tc.want)
		})
	}
	t.Run("command", func(t *testing.T) {
		d := dial(t, addr)
		d.cmd("NOOP "+strings.Repeat("x", 2048-7), "250 ")
		d.cmd("NOOP "+strings.Repeat("x", 2049-7), "500 5.5.2 ")
		d.expect("")
	})
}

func TestSEC43_SessionLimit(t *testing.T) {
	addr, _ := open(t, smtpin.Config{MaxSessions: 2}, &town{})
	first := dial(t, addr)
	dial(t, addr)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, _ := io.ReadAll(conn); !strings.HasPrefix(string(got), "421 4.3.2 ") {
		t.Errorf("the third was told %q", got)
	}
	first.cmd("QUIT", "221 ")
	first.expect("")
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := bufio.NewReader(conn).ReadString('\n')
		conn.Close()
		if strings.HasPrefix(got, "220 ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after one left, the next was told %q", got)
		}
	}
}

// TestSEC40_OversizeThenDot: what follows the end of a message that was too large is a
// command again, and no second message hides in the first.
func TestSEC40_OversizeThenDot(t *testing.T) {
	intake := &town{}
	addr, _ := open(t, smtpin.Config{MaxBytes: 1000}, intake)
	d := dial(t, addr)
	d.envelope(mine)
	d.cmd("DATA", "354 ")
	d.send(sized(1500) + ".\r\nMAIL FROM:<next@b.test>\r\nRCPT TO:<" + mine + ">\r\nDATA\r\n")
	d.expect("552 5.3.4 ")
	d.expect("250 ")
	d.expect("250 ")
	d.expect("354 ")
	d.send(letter + ".\r\n")
	d.expect("250 ")
	if taken := intake.Taken(); len(taken) != 1 || taken[0].Sender.MailFrom != "next@b.test" {
		t.Errorf("took %+v", taken)
	}
	d.envelope(mine)
	d.cmd("DATA", "354 ")
	d.send(sized(5000)) // and no end: reading on is bounded
	d.expect("552 5.3.4 ")
	d.expect("")
}

func TestSEC43_SlowSendersAreCut(t *testing.T) {
	drip := func(d *dialog, s string) (took time.Duration) {
		start := time.Now()
		go func() {
			for {
				if _, err := io.WriteString(d.Conn, s); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		}()
		d.expect("4")
		return time.Since(start)
	}
	cfg := smtpin.Config{ReadTimeout: 150 * time.Millisecond, DataTimeout: 400 * time.Millisecond}
	for name, tc := range map[string]struct {
		before, drop string
		atLeast      time.Duration
	}{
		"in a command": {"", "x", 100 * time.Millisecond},
		"in DATA":      {"DATA\r\n", "x\r\n", 350 * time.Millisecond},
		"in a chunk":   {"BDAT 100000\r\n", "x\r\n", 350 * time.Millisecond},
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
			if took := drip(d, tc.drop); took < tc.atLeast || took > 5*time.Second {
				t.Errorf("cut after %v", took)
			}
			if n := len(intake.Taken()); n != 0 {
				t.Errorf("%d messages taken in", n)
			}
		})
	}
	t.Run("silent", func(t *testing.T) {
		addr, _ := open(t, cfg, &town{})
		d := dial(t, addr)
		d.expect("421 4.4.2 ")
		d.expect("")
	})
}

// sieve is an intake that keeps nothing but a count.
type sieve struct {
	town
	bytes int64
}

func (s *sieve) Accept(_ context.Context, d core.Deposit, bodies ...core.Body) (core.Receipt, error) {
	n, err := io.Copy(io.Discard, bodies[0].R)
	s.bytes += n
	return core.Receipt{Deposit: "counted"}, err
}

func TestMemoryDoesNotGrow(t *testing.T) {
	intake := &sieve{}
	addr, _ := open(t, smtpin.Config{}, intake)
	d := dial(t, addr)
	block := []byte(strings.Repeat(strings.Repeat("y", 76)+"\r\n", 1<<20/78))
	var before, after runtime.MemStats
	for _, by := range []string{"DATA", "BDAT"} {
		d.envelope(mine)
		runtime.ReadMemStats(&before)
		if by == "DATA" {
			d.cmd("DATA", "354 ")
			d.send("\r\n")
		} else {
			d.send(fmt.Sprintf("BDAT %d LAST\r\n\r\n", 2+40*len(block)))
		}
		for range 40 {
			if _, err := d.Write(block); err != nil {
				t.Fatal(err)
			}
		}
		if by == "DATA" {
			d.send(".\r\n")
		}
		d.expect("250 ")
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 2<<20 {
			t.Errorf("%s: %d bytes allocated for a message of 40 MB", by, used)
		}
	}
	if want := 2 * int64(2+40*len(block)); intake.bytes != want {
		t.Errorf("%d bytes came in, want %d", intake.bytes, want)
	}
}
