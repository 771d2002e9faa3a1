package submission

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"vaguemestre/channels/mailout/relaytest"
)

var message = []byte("From: a@ville.test\r\nSubject: x\r\n\r\n.\r\n..secret document\r\nlast\r\n")

// to is where a relay that plays one is reached, by the name its certificate has.
func to(r *relaytest.Relay) Relay {
	_, port, _ := net.SplitHostPort(r.Addr)
	return Relay{Host: "localhost", Port: port, Implicit: r.Implicit, User: r.User, Password: r.Password}
}

func quick(r *relaytest.Relay) Config {
	return Config{Hello: "vm.test", Roots: r.Pool, Connect: 5 * time.Second, Command: 5 * time.Second, Send: 5 * time.Second, Final: 5 * time.Second}
}

func beyond(c Config) Config { c.nothingLocal = true; return c }

var letter = Envelope{From: "bounce+x@ville.test", To: "a=b@exemple.test", ID: "id+1", Notify: "FAILURE,DELAY"}

// deliver opens a session and sends one message.
func deliver(t testing.TB, cfg Config, relay Relay, e Envelope) error {
	t.Helper()
	c, err := Dial(t.Context(), cfg, relay)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Send(t.Context(), e, message[:10], message[10:])
}

// faulty is an error as its fields.
func faulty(err error) Fault {
	var f *Fault
	if !errors.As(err, &f) {
		return Fault{}
	}
	return Fault{Relay: f.Relay, Begun: f.Begun, Final: f.Final, Broken: f.Broken, Code: f.Code, Status: f.Status}
}

// TestSEC53_OverTLS: by STARTTLS and by TLS from the first byte, with a password by both
// methods and with none, the message arrives byte for byte, and nothing in the clear.
func TestSEC53_OverTLS(t *testing.T) {
	for name, r := range map[string]*relaytest.Relay{
		"starttls":       {StartTLS: true},
		"implicit":       {Implicit: true},
		"plain":          {StartTLS: true, User: "ville", Password: "p\u00e0ss"},
		"login":          {Implicit: true, User: "ville", Password: "p\u00e0ss", Methods: "CRAM-MD5 LOGIN"},
		"all extensions": {StartTLS: true, Offers: []string{"PIPELINING", "SIZE 1000", "DSN", "8BITMIME", "SMTPUTF8"}},
	} {
		t.Run(name, func(t *testing.T) {
			r.Start(t)
			if err := deliver(t, beyond(quick(r)), to(r), letter); err != nil {
				t.Fatal(err)
			}
			got := r.Messages()
			if len(got) != 1 || !bytes.Equal(got[0].Data, message) {
				t.Fatalf("arrived: %q", got)
			}
			want := relaytest.Message{Mail: "MAIL FROM:<bounce+x@ville.test>", Rcpt: "RCPT TO:<a=b@exemple.test>"}
			if len(r.Offers) > 0 {
				want.Mail += " SIZE=62 RET=HDRS ENVID=id+2B1"
				want.Rcpt += " NOTIFY=FAILURE,DELAY ORCPT=rfc822;a+3Db@exemple.test"
			}
			if got[0].Mail != want.Mail || got[0].Rcpt != want.Rcpt {
				t.Errorf("said\n%s\n%s\nwant\n%s\n%s", got[0].Mail, got[0].Rcpt, want.Mail, want.Rcpt)
			}
			if clear := r.Clear(); clear != "" && clear != "EHLO vm.test\r\nSTARTTLS\r\n" {
				t.Errorf("in the clear: %q", clear)
			}
			if _, _, auths := r.Sessions(); (auths == 1) != (r.User != "") {
				t.Errorf("authenticated %d times", auths)
			}
		})
	}
}

// TestSEC53_StartTLSStripped: a relay, or whoever stands between, that offers no TLS, will
// not begin it, speaks ahead of it, or shows a certificate that is not its own is told no
// byte of a letter, of its recipient, or of a password.
func TestSEC53_StartTLSStripped(t *testing.T) {
	stranger := (&relaytest.Relay{StartTLS: true}).Start(t) // whose certificate nobody here knows
	for name, c := range map[string]struct {
		relay *relaytest.Relay
		turn  func(*Config, *Relay)
		want  string
	}{
		"not offered":       {relay: &relaytest.Relay{}, want: CodeNoTLS},
		"not offered, auth": {relay: &relaytest.Relay{User: "ville", Password: "secret"}, want: CodeNoTLS},
		"refused": {relay: &relaytest.Relay{StartTLS: true, Answer: func(_ int, command string) string {
			return map[string]string{"STARTTLS": "454 4.7.0 not now"}[command]
		}}, want: CodeNoTLS},
		"spoken ahead": {relay: &relaytest.Relay{StartTLS: true, Answer: func(_ int, command string) string {
			return map[string]string{"STARTTLS": "220 go\n250-relay\n250 AUTH PLAIN"}[command]
		}}, want: CodeProtocol},
		"unknown authority":  {relay: &relaytest.Relay{StartTLS: true}, turn: func(c *Config, _ *Relay) { c.Roots = stranger.Pool }, want: CodeCertificate},
		"unknown, implicit":  {relay: &relaytest.Relay{Implicit: true}, turn: func(c *Config, _ *Relay) { c.Roots = stranger.Pool }, want: CodeCertificate},
		"another name":       {relay: &relaytest.Relay{StartTLS: true}, turn: func(_ *Config, r *Relay) { r.Host = "127.0.0.1" }, want: CodeCertificate},
		"another key pinned": {relay: &relaytest.Relay{StartTLS: true}, turn: func(_ *Config, r *Relay) { r.Pin = stranger.Pin }, want: CodeCertificate},
		"nothing pinned":     {relay: &relaytest.Relay{Implicit: true}, turn: func(_ *Config, r *Relay) { r.Pin = []byte{} }, want: CodeCertificate},
	} {
		t.Run(name, func(t *testing.T) {
			r := c.relay
			if r == nil {
				r = &relaytest.Relay{}
			}
			r.Start(t)
			cfg, relay := beyond(quick(r)), to(r)
			if c.turn != nil {
				c.turn(&cfg, &relay)
			}
			err := deliver(t, cfg, relay, letter)
			if got := faulty(err); got.Code != c.want || !got.Relay || got.Final {
				t.Errorf("%+v, want %s", err, c.want)
			}
			heard := r.Clear()
			for _, secret := range []string{"secret", "a=b@", "MAIL", "AUTH", "ville", "document"} {
				if strings.Contains(heard, secret) {
					t.Errorf("in the clear: %q", heard)
				}
			}
			if n := len(r.Messages()); n > 0 {
				t.Errorf("%d messages", n)
			}
		})
	}
	r := (&relaytest.Relay{StartTLS: true}).Start(t)
	relay := to(r)
	relay.Host, relay.Pin = "127.0.0.1", r.Pin // no name, no authority: the key is enough
	if err := deliver(t, beyond(Config{}), relay, letter); err != nil {
		t.Errorf("pinned: %v", err)
	}
}

// TestOnThisMachine: a relay on loopback needs no TLS; what is said does not leave.
func TestOnThisMachine(t *testing.T) {
	r := (&relaytest.Relay{User: "u", Password: "p"}).Start(t)
	if err := deliver(t, quick(r), to(r), letter); err != nil {
		t.Error(err)
	}
}

// TestREL12_Answers: what each answer at each stage means, pipelined or not, and that the
// session goes on after whatever leaves it whole.
func TestREL12_Answers(t *testing.T) {
	relay := func(code string) Fault { return Fault{Relay: true, Code: code} }
	for name, c := range map[string]struct {
		at, reply string
		want      Fault
	}{
		"unknown recipient":      {"RCPT", "550 5.1.1 <a@b>: unknown", Fault{Final: true, Code: "550", Status: "5.1.1"}},
		"several lines":          {"RCPT", "550-5.7.1 no\n550 5.7.1 and never", Fault{Final: true, Code: "550", Status: "5.7.1"}},
		"no status":              {"RCPT", "550", Fault{Final: true, Code: "550"}},
		"status of another kind": {"RCPT", "550 4.1.1 x", Fault{Final: true, Code: "550"}},
		"greylisted":             {"RCPT", "451 4.7.1 later", Fault{Code: "451", Status: "4.7.1"}},
		"mailbox full":           {"RCPT", "452 4.2.2 full", Fault{Code: "452", Status: "4.2.2"}},
		"relay full":             {"RCPT", "452 4.3.1 full", Fault{Code: "452", Status: "4.3.1"}},
		"closing":                {"RCPT", "421 4.3.2 bye", Fault{Relay: true, Begun: true, Broken: true, Code: CodeBusy, Status: "4.3.2"}},
		"auth wanted":            {"MAIL", "530 5.7.0 auth", Fault{Relay: true, Code: CodeAuth, Status: "5.7.0"}},
		"sender denied":          {"MAIL", "550 5.7.1 not yours", Fault{Relay: true, Code: CodeSenderDenied, Status: "5.7.1"}},
		"sender later":           {"MAIL", "451 x", relay(CodeBusy)},
		"too large":              {"MAIL", "552 5.3.4 too large", Fault{Final: true, Code: CodeTooLarge, Status: "5.3.4"}},
		"data refused":           {"DATA", "554 5.5.1 no valid recipients", Fault{Final: true, Code: "554", Status: "5.5.1"}},
		"data later":             {"DATA", "451 4.1.0 later", Fault{Code: "451", Status: "4.1.0"}},
		"out of step":            {"DATA", "503 5.5.1 RCPT first", Fault{Relay: true, Begun: true, Broken: true, Code: CodeProtocol, Status: "5.5.1"}},
		"data without 354":       {"DATA", "250 ok", Fault{Relay: true, Begun: true, Broken: true, Code: CodeProtocol}},
		"content refused":        {".", "554 5.7.1 spam", Fault{Final: true, Code: "554", Status: "5.7.1"}},
		"content later":          {".", "451 4.7.0 later", Fault{Code: "451", Status: "4.7.0"}},
		"content closing":        {".", "421 4.3.2 bye", Fault{Relay: true, Begun: true, Broken: true, Code: CodeBusy, Status: "4.3.2"}},
		"lost after the dot":     {".", relaytest.HangUp, Fault{Broken: true, Code: CodeReplyLost}},
		"lost at the recipient":  {"RCPT", relaytest.HangUp, Fault{Relay: true, Begun: true, Broken: true, Code: CodeSilent}},
		"no SMTP":                {"RCPT", "HTTP/1.1 400 Bad Request", Fault{Relay: true, Begun: true, Broken: true, Code: CodeProtocol}},
		"of two minds":           {"RCPT", "250-ok\n550 no", Fault{Relay: true, Begun: true, Broken: true, Code: CodeProtocol}},
		"a line without end":     {"MAIL", "250 " + strings.Repeat("x", 1<<20), Fault{Relay: true, Broken: true, Code: CodeProtocol}},
		"lines without end":      {"MAIL", strings.Repeat("250-x\n", 100_000) + "250 x", Fault{Relay: true, Broken: true, Code: CodeProtocol}},
		"interim":                {"RCPT", "150 wait", Fault{Relay: true, Begun: true, Broken: true, Code: CodeProtocol}},
	} {
		for _, offers := range [][]string{nil, {"PIPELINING"}} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				first := true
				r := &relaytest.Relay{Offers: offers, Answer: func(_ int, command string) string {
					if first && strings.HasPrefix(command, c.at) {
						first = false
						return c.reply
					}
					return ""
				}}
				r.Start(t)
				conn, err := Dial(t.Context(), quick(r), to(r))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if got := faulty(conn.Send(t.Context(), letter, message)); got != c.want {
					t.Errorf("%+v, want %+v", got, c.want)
				}
				if c.want.Broken {
					return
				}
				if err := conn.Send(t.Context(), letter, message); err != nil {
					t.Errorf("the next one: %v", err)
				}
				if got := r.Messages(); len(got) != 1 || !bytes.Equal(got[0].Data, message) {
					t.Errorf("%d messages arrived", len(got))
				}
			})
		}
	}
}

// TestOpening: what a relay says before a letter is at stake is never a letter's fault.
func TestOpening(t *testing.T) {
	for name, c := range map[string]struct {
		relay *relaytest.Relay
		turn  func(*Relay)
		want  Fault
	}{
		"no service":     {relay: &relaytest.Relay{Answer: only("", "554 5.3.2 no")}, want: Fault{Relay: true, Broken: true, Code: CodeBusy, Status: "5.3.2"}},
		"busy":           {relay: &relaytest.Relay{Answer: only("", "421 4.3.2 busy")}, want: Fault{Relay: true, Broken: true, Code: CodeBusy, Status: "4.3.2"}},
		"hangs up":       {relay: &relaytest.Relay{Answer: only("", relaytest.HangUp)}, want: Fault{Relay: true, Broken: true, Code: CodeSilent}},
		"silent":         {relay: &relaytest.Relay{Answer: only("", relaytest.Silent)}, want: Fault{Relay: true, Broken: true, Code: CodeSilent}},
		"no hello":       {relay: &relaytest.Relay{Answer: only("EHLO", "502 5.5.1 what")}, want: Fault{Relay: true, Broken: true, Code: CodeBusy, Status: "5.5.1"}},
		"wrong password": {relay: &relaytest.Relay{User: "u", Password: "p"}, turn: func(r *Relay) { r.Password = "q" }, want: Fault{Relay: true, Broken: true, Code: CodeAuth, Status: "5.7.8"}},
		"login refused":  {relay: &relaytest.Relay{User: "u", Password: "p", Methods: "LOGIN"}, turn: func(r *Relay) { r.Password = "q" }, want: Fault{Relay: true, Broken: true, Code: CodeAuth, Status: "5.7.8"}},
		"auth not now":   {relay: &relaytest.Relay{User: "u", Password: "p", Answer: only("AUTH", "454 4.7.0 later")}, want: Fault{Relay: true, Broken: true, Code: CodeBusy, Status: "4.7.0"}},
		"no auth":        {turn: func(r *Relay) { r.User = "u" }, want: Fault{Relay: true, Broken: true, Code: CodeAuthMethod}},
		"other methods":  {relay: &relaytest.Relay{User: "u", Password: "p", Methods: "GSSAPI"}, want: Fault{Relay: true, Broken: true, Code: CodeAuthMethod}},
		"nobody":         {turn: func(r *Relay) { r.Port = "1" }, want: Fault{Relay: true, Broken: true, Code: CodeUnreachable}},
		"clear to TLS":   {turn: func(r *Relay) { r.Implicit = true }, want: Fault{Relay: true, Broken: true, Code: CodeTLS}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := c.relay
			if r == nil {
				r = &relaytest.Relay{}
			}
			r.Start(t)
			relay, cfg := to(r), quick(r)
			if c.turn != nil {
				c.turn(&relay)
			}
			cfg.Command = 500 * time.Millisecond
			_, err := Dial(t.Context(), cfg, relay)
			if got := faulty(err); got != c.want {
				t.Errorf("%+v, want %+v", err, c.want)
			}
		})
	}
}

func only(at, reply string) func(int, string) string {
	return func(_ int, command string) string {
		if command == at || at != "" && strings.HasPrefix(command, at) {
			return reply
		}
		return ""
	}
}

// TestLimits: what a relay says it cannot take is not tried.
func TestLimits(t *testing.T) {
	r := (&relaytest.Relay{Offers: []string{"SIZE 20"}}).Start(t)
	if got := faulty(deliver(t, quick(r), to(r), letter)); got != (Fault{Final: true, Code: CodeTooLarge, Status: "5.3.4"}) {
		t.Errorf("size: %+v", got)
	}
	eai := letter
	eai.To, eai.UTF8 = "é@exemple.test", true
	if got := faulty(deliver(t, quick(r), to(r), eai)); got != (Fault{Final: true, Code: CodeNoUTF8, Status: "5.6.7"}) {
		t.Errorf("address: %+v", got)
	}
	if strings.Contains(r.Clear(), "MAIL") {
		t.Error("it was tried all the same")
	}
	r = (&relaytest.Relay{Offers: []string{"SIZE 0", "SMTPUTF8", "8BITMIME", "DSN"}}).Start(t)
	if err := deliver(t, quick(r), to(r), eai); err != nil {
		t.Fatal(err)
	}
	if got := r.Messages()[0]; got.Mail != "MAIL FROM:<bounce+x@ville.test> SIZE=62 SMTPUTF8 BODY=8BITMIME RET=HDRS ENVID=id+2B1" || got.Rcpt != "RCPT TO:<é@exemple.test> NOTIFY=FAILURE,DELAY" {
		t.Errorf("%q", got)
	}
}

// TestFLT15_Tarpits: a relay that answers or reads too slowly is left after the time that
// is set for each stage, and at once when we stop.
func TestFLT15_Tarpits(t *testing.T) {
	r := (&relaytest.Relay{Answer: only(".", relaytest.Silent)}).Start(t)
	cfg := quick(r)
	cfg.Final = 200 * time.Millisecond
	if got := faulty(deliver(t, cfg, to(r), letter)); got != (Fault{Broken: true, Code: CodeReplyLost}) {
		t.Errorf("silent after the dot: %+v", got)
	}
	dripping := drip(t)
	cfg.Command = 200 * time.Millisecond
	began := time.Now()
	if _, err := Dial(t.Context(), cfg, dripping); faulty(err).Code != CodeSilent {
		t.Errorf("a greeting letter by letter: %v", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("waited %v", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	slow := (&relaytest.Relay{Answer: only("MAIL", relaytest.Silent)}).Start(t)
	conn, err := Dial(ctx, quick(slow), to(slow))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Drop()
	time.AfterFunc(100*time.Millisecond, cancel)
	began = time.Now()
	if err := conn.Send(ctx, letter, message); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("stopped after %v", took)
	}
}

// drip greets one letter at a time, and never to the end.
func drip(t *testing.T) Relay {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for range 1000 {
			if _, err := io.WriteString(conn, "2"); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	host, port, _ := net.SplitHostPort(ln.Addr().String())
	return Relay{Host: host, Port: port}
}

// TestFLT15_DeafRelay: one that takes the message and reads nothing of it holds us no
// longer than it may.
func TestFLT15_DeafRelay(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	done := make(chan struct{})
	defer close(done)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		for _, say := range []string{"220 x", "250 x", "250 x", "250 x", "354 x"} {
			if _, err := io.WriteString(conn, say+"\r\n"); err != nil {
				return
			}
			if _, err := in.ReadString('\n'); err != nil {
				return
			}
		}
		<-done
	}()
	host, port, _ := net.SplitHostPort(ln.Addr().String())
	c, err := Dial(t.Context(), Config{Send: 200 * time.Millisecond}, Relay{Host: host, Port: port})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Drop()
	began := time.Now()
	err = c.Send(t.Context(), letter, bytes.Repeat([]byte("a line of text that nobody reads\r\n"), 1<<20))
	if got := faulty(err); got != (Fault{Broken: true, Code: CodeSilent}) {
		t.Errorf("%+v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("held for %v", took)
	}
}

// TestPipelining: one flight for sender, recipient and DATA, and the session serves many.
func TestPipelining(t *testing.T) {
	r := (&relaytest.Relay{Offers: []string{"PIPELINING"}}).Start(t)
	c, err := Dial(t.Context(), quick(r), to(r))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 20 {
		if err := c.Send(t.Context(), letter, message); err != nil {
			t.Fatal(err)
		}
		if !c.Alive(t.Context()) {
			t.Fatal("the session is gone")
		}
	}
	if begun, _, _ := r.Sessions(); begun != 1 || len(r.Messages()) != 20 {
		t.Errorf("%d messages in %d sessions", len(r.Messages()), begun)
	}
}

// TestDots: lines that begin with dots arrive as they were, wherever pieces meet.
func TestDots(t *testing.T) {
	text := []byte(".\r\n..\r\n...a\r\n.b\r\n\r\n.\r\nlast without end")
	r := (&relaytest.Relay{}).Start(t)
	c, err := Dial(t.Context(), quick(r), to(r))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for cut := range text {
		if err := c.Send(t.Context(), letter, text[:cut], text[cut:]); err != nil {
			t.Fatal(err)
		}
	}
	for i, m := range r.Messages() {
		if want := string(text) + "\r\n"; string(m.Data) != want {
			t.Fatalf("cut at %d: %q", i, m.Data)
		}
	}
}

func TestParseRelay(t *testing.T) {
	for in, want := range map[string]Relay{
		"smtp.ville.fr:587": {Host: "smtp.ville.fr", Port: "587"}, "tls://smtp.ville.fr:465": {Host: "smtp.ville.fr", Port: "465", Implicit: true}, "[::1]:25": {Host: "::1", Port: "25"},
	} {
		got, err := ParseRelay(in)
		if err != nil || got.Host != want.Host || got.Port != want.Port || got.Implicit != want.Implicit {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "smtp.ville.fr", ":25", "tls://", "host:"} {
		if _, err := ParseRelay(in); err == nil {
			t.Errorf("%q is a relay", in)
		}
	}
}

// FuzzReply: whatever a relay says, little of it is read, and what is taken for a reply has
// a code and nothing that could end a line.
func FuzzReply(f *testing.F) {
	for _, s := range []string{"250 ok\r\n", "250-a\r\n250 b\r\n", "550 5.1.1 no\r\n", "550\r\n", "250-", "4", "\r\n", "250 \xff\x00\r\n", "999 x\r\n", "550 5.1.1\r\n", strings.Repeat("250-x\r\n", 200)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := readReply(bufio.NewReaderSize(bytes.NewReader(b), maxReplyLine))
		if err != nil {
			return
		}
		if r.code < 200 || r.code > 599 || len(r.lines) == 0 || len(r.lines) > maxReplyLines {
			t.Errorf("%+v", r)
		}
		if r.status != "" && (len(r.status) > 9 || r.status[0] != byte('0'+r.class()) || strings.Trim(r.status, "0123456789.") != "") {
			t.Errorf("status %q", r.status)
		}
		if slices.ContainsFunc(r.lines, func(s string) bool { return strings.Contains(s, "\n") }) {
			t.Errorf("lines %q", r.lines)
		}
		for stage := range stageEnd + 1 {
			if f := judge(stage, r); f != nil && f.Final && f.Relay {
				t.Errorf("%+v", f)
			}
		}
		parseOffers(r.lines)
	})
}
