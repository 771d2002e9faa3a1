package smtpin_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"vaguemestre/channels/smtpin"
)

// second is a message that shall never be taken for one.
const second = "MAIL FROM:<evil@b.test>\r\nRCPT TO:<" + mine + ">\r\nDATA\r\n" + letter + ".\r\n"

// session sends raw as it is, in two pieces cut at cut, and gives the replies after the
// greeting. The pieces are segments of their own.
func session(t testing.TB, addr, raw string, cut int) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	conn.(*net.TCPConn).SetNoDelay(true)
	for _, piece := range []string{raw[:cut], raw[cut:]} {
		if _, err := io.WriteString(conn, piece); err != nil {
			break
		}
	}
	conn.(*net.TCPConn).CloseWrite()
	got, _ := io.ReadAll(conn)
	return string(got)
}

// TestSEC40_EverySegmentation cuts a session in two at every place, with every trick: it
// is one message or none, wherever the network cuts.
func TestSEC40_EverySegmentation(t *testing.T) {
	head := "EHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<" + mine + ">\r\nDATA\r\n"
	for name, tc := range map[string]struct {
		body string
		want int
	}{
		"honest":      {letter + "..\r\n.x\r\n.\r\nQUIT\r\n", 1},
		"LF.LF":       {letter + "x\n.\n" + second, 0},
		"LF.CRLF":     {letter + "x\n.\r\n" + second, 0},
		"CR.CRLF":     {letter + "x\r.\r\n" + second, 0},
		"CRLF.LF":     {letter + "x\r\n.\n" + second, 0},
		"CRLF.CR":     {letter + "x\r\n.\r" + second, 0},
		"NUL":         {letter + "x\r\n\x00.\r\n" + strings.ReplaceAll(second, "\r\n.\r\n", "\r\n"), 0}, // and no end
		"end of none": {".\r\n" + "QUIT\r\n", 1},
	} {
		t.Run(name, func(t *testing.T) {
			intake := &town{}
			addr, _ := open(t, smtpin.Config{}, intake)
			raw := head + tc.body
			for cut := range len(raw) {
				before := len(intake.Taken())
				replies := session(t, addr, raw, cut)
				taken := intake.Taken()[before:]
				if len(taken) != tc.want || strings.Count(replies, "Taken in") != tc.want {
					t.Fatalf("cut at %d: %d messages, replies %q", cut, len(taken), replies)
				}
				if tc.want == 1 && name == "honest" && string(taken[0].Bodies[0]) != letter+".\r\nx\r\n" {
					t.Fatalf("cut at %d: took %q", cut, taken[0].Bodies[0])
				}
			}
		})
	}
}

// TestSEC40_Chunks has what can be wrong with BDAT: one message, or none, and what is in
// a chunk is never a command.
func TestSEC40_Chunks(t *testing.T) {
	head := "EHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<" + mine + ">\r\n"
	bdat := func(s, last string) string { return fmt.Sprintf("BDAT %d%s\r\n%s", len(s), last, s) }
	for name, tc := range map[string]struct {
		raw  string
		want []string // bodies
	}{
		"one chunk":              {bdat(letter, " LAST"), []string{letter}},
		"last is zero":           {bdat(letter, "") + "BDAT 0 LAST\r\n", []string{letter}},
		"zeros between":          {"BDAT 0\r\nBDAT 0\r\n" + bdat(letter, "") + "BDAT 0\r\nBDAT 0 LAST\r\n", []string{letter}},
		"last twice":             {bdat(letter, " LAST") + bdat(letter, " LAST"), []string{letter}},
		"last of zero twice":     {bdat(letter, " LAST") + "BDAT 0 LAST\r\n", []string{letter}},
		"a session in a chunk":   {bdat(letter+".\r\n"+second, " LAST"), []string{letter + ".\r\n" + second}},
		"in a chunk of nobody":   {"RSET\r\n" + bdat(second, " LAST"), nil},
		"in a chunk after RSET":  {bdat(letter, "") + "RSET\r\n" + bdat(second, " LAST"), nil},
		"in a chunk, no sender":  {"RSET\r\n" + bdat(second, "") + bdat(second, " LAST"), nil},
		"DATA after BDAT":        {bdat(letter, "") + "DATA\r\n" + letter + ".\r\n" + second, nil},
		"size too small":         {fmt.Sprintf("BDAT %d LAST\r\n", len(letter)-2) + letter + second, []string{strings.TrimSuffix(letter, "\r\n")}},
		"size too large":         {fmt.Sprintf("BDAT %d LAST\r\n", len(letter)+len(second)) + letter + second, []string{letter + second}},
		"size is negative":       {"BDAT -1 LAST\r\n" + second, nil},
		"size is signed":         {"BDAT +5 LAST\r\nabcde" + second, nil},
		"size is hexadecimal":    {"BDAT 0x10 LAST\r\n" + second, nil},
		"size is a fraction":     {"BDAT 5.0 LAST\r\nabcde" + second, nil},
		"size has zeros":         {fmt.Sprintf("BDAT 000%d LAST\r\n", len(letter)) + letter, []string{letter}},
		"size wraps 32 bits":     {fmt.Sprintf("BDAT %d LAST\r\n", 1<<32+len(letter)) + letter + second, nil},
		"size wraps 64 bits":     {"BDAT 18446744073709551621 LAST\r\n" + letter + second, nil},
		"size is missing":        {"BDAT LAST\r\n" + second, nil},
		"LAST is not the last":   {"BDAT LAST 5\r\nabcde" + second, nil},
		"three words":            {fmt.Sprintf("BDAT %d LAST LAST\r\n", len(letter)) + letter + second, nil},
		"other word":             {fmt.Sprintf("BDAT %d LAST.\r\n", len(letter)) + letter + second, nil},
		"other blank":            {"BDAT 5\u00a0LAST\r\nabcde" + second, nil},
		"NUL":                    {"BDAT 5\x00LAST\r\nabcde" + second, nil},
		"no blank":               {"BDAT\u00a05 LAST\r\nabcde" + second, nil},
		"tab":                    {"BDAT\t5\tLAST\r\nabcde" + second, nil},
		"last in small":          {"bdat 2 last\r\n\r\n", []string{"\r\n"}},
		"cut in a line end":      {"BDAT 7\r\nA: b\r\n\rBDAT 1 LAST\r\n\n", []string{"A: b\r\n\r\n"}},
		"bare LF over the cut":   {"BDAT 5\r\nA: b\r" + "BDAT 4 LAST\r\nx\n\r\n" + second, nil},
		"dots stay":              {bdat("..\r\n.\r\n", " LAST"), []string{"..\r\n.\r\n"}},
		"no end":                 {bdat(letter, ""), nil},
		"new sender in between":  {bdat(letter, "") + second, nil},
		"NOOP in between":        {bdat(letter, "") + "NOOP\r\nBDAT 0 LAST\r\n", []string{letter}},
		"BDAT after DATA":        {"DATA\r\n" + letter + bdat(letter, " LAST") + ".\r\nQUIT\r\n", []string{letter + bdat(letter, " LAST")}},
		"cut short within":       {"BDAT 5000 LAST\r\n" + letter, nil},
		"BDAT then STARTTLS":     {bdat(letter, "") + "STARTTLS\r\n" + second, nil},
		"EHLO forgets the chunk": {bdat(letter, "") + "EHLO c.test\r\nBDAT 0 LAST\r\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			intake := &town{}
			addr, _ := open(t, smtpin.Config{}, intake)
			raw := head + tc.raw
			for _, cut := range []int{0, len(head), len(head) + len(tc.raw)/2, len(raw) - 1} {
				before := len(intake.Taken())
				replies := session(t, addr, raw, cut)
				var got []string
				for _, m := range intake.Taken()[before:] {
					if m.Sender.MailFrom != "a@b.test" {
						t.Errorf("a second message: %+v", m.Sender)
					}
					got = append(got, string(m.Bodies[0]))
				}
				if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tc.want) {
					t.Errorf("cut at %d: took %q, replies %q", cut, got, replies)
				}
			}
		})
	}
}

// TestSEC40_RefusedData: what comes after a DATA that was refused is no message, and what
// it is made of is not carried out.
func TestSEC40_RefusedData(t *testing.T) {
	for name, before := range map[string]string{
		"no sender":     "",
		"no recipient":  "MAIL FROM:<a@b.test>\r\n",
		"wrong address": "MAIL FROM:<a@b.test>\r\nRCPT TO:<nobody@pieces.ville.test>\r\n",
		"after RSET":    "MAIL FROM:<a@b.test>\r\nRCPT TO:<" + mine + ">\r\nRSET\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			intake := &town{}
			addr, _ := open(t, smtpin.Config{}, intake)
			replies := session(t, addr, "EHLO c.test\r\n"+before+"DATA\r\n"+letter+".\r\n"+second, 0)
			if n := len(intake.Taken()); n != 0 || !strings.HasSuffix(replies, "554 5.5.0 Wait for the reply to DATA, closing\r\n") {
				t.Errorf("%d messages, replies %q", n, replies)
			}
		})
	}
	t.Run("not in one go", func(t *testing.T) {
		addr, _ := open(t, smtpin.Config{}, &town{})
		d := dial(t, addr)
		d.cmd("DATA", "503 5.5.1 ")
		d.cmd("Bonjour", "554 5.5.0 ")
		d.expect("")
	})
}

// TestSEC40_DataIsAskedFor: outside exempt networks, a message that did not wait for 354
// is refused, and with it what a smuggler must send along.
func TestSEC40_DataIsAskedFor(t *testing.T) {
	intake := &town{}
	addr, _ := open(t, smtpin.Config{Exempt: everybody, GreetDelay: time.Millisecond}, intake)
	d := dial(t, addr)
	d.send(second)
	d.expect("250 ")
	d.expect("250 ")
	d.expect("554 5.5.0 ")
	d.expect("")
	d = dial(t, addr)
	d.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<" + mine + ">\r\nDATA\r\n") // as RFC 2920 has it
	d.expect("250 ")
	d.expect("250 ")
	d.expect("354 ")
	d.send(letter + ".\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<" + mine + ">\r\n")
	d.expect("250 ")
	d.expect("250 ")
	d.expect("250 ")
	if n := len(intake.Taken()); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// TestSEC41_STARTTLSForgets: nothing said in the clear is known after the handshake, and
// where the command has no place it is refused.
func TestSEC41_STARTTLSForgets(t *testing.T) {
	for name, before := range map[string]string{
		"EHLO":      "",
		"sender":    "MAIL FROM:<a@b.test>\r\n",
		"recipient": "MAIL FROM:<a@b.test>\r\nRCPT TO:<" + mine + ">\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			addr, _ := open(t, smtpin.Config{TLS: certificate(t)}, &town{})
			d := dial(t, addr)
			d.send(before)
			for range strings.Count(before, "\r\n") {
				d.expect("250 ")
			}
			d.cmd("STARTTLS", "220 2.0.0 ")
			d = d.handshake()
			d.cmd("MAIL FROM:<a@b.test>", "503 5.5.1 Say EHLO first")
			d.cmd("DATA", "503 5.5.1 ")
			d.cmd("STARTTLS", "503 5.5.1 ")
			d.cmd("EHLO c.test", "250")
			d.cmd("RCPT TO:<"+mine+">", "503 5.5.1 ")
		})
	}
	t.Run("within a message", func(t *testing.T) {
		addr, _ := open(t, smtpin.Config{TLS: certificate(t)}, &town{})
		d := dial(t, addr)
		d.envelope(mine)
		d.send("BDAT 2\r\n\r\n")
		d.expect("250 ")
		d.cmd("STARTTLS", "503 5.5.1 ")
		d.cmd("BDAT 0 LAST", "250 ")
	})
	t.Run("before EHLO", func(t *testing.T) {
		addr, _ := open(t, smtpin.Config{TLS: certificate(t)}, &town{})
		d := connect(t, addr)
		d.cmd("STARTTLS", "220 ")
		d.handshake().cmd("EHLO c.test", "250")
	})
	t.Run("limits are kept", func(t *testing.T) {
		addr, _ := open(t, smtpin.Config{TLS: certificate(t), MaxErrors: 3}, &town{})
		d := dial(t, addr)
		for range 3 {
			d.cmd("FROB", "500 ")
		}
		d.cmd("STARTTLS", "220 ")
		d.handshake().cmd("FROB", "421 4.7.0 ")
	})
}

// TestSEC41_InjectionInOneSegment: whatever is sent along with STARTTLS, cut anywhere,
// nothing of it is answered as if it had been protected.
func TestSEC41_InjectionInOneSegment(t *testing.T) {
	intake := &town{}
	addr, _ := open(t, smtpin.Config{TLS: certificate(t)}, intake)
	raw := "EHLO c.test\r\nSTARTTLS\r\nEHLO evil.test\r\n" + second
	for cut := range len(raw) {
		replies := session(t, addr, raw, cut)
		if n := strings.Count(replies, "250 "); n != 1 { // EHLO's last line
			t.Errorf("cut at %d: replies %q", cut, replies)
		}
	}
	if n := len(intake.Taken()); n != 0 {
		t.Errorf("%d messages", n)
	}
}
