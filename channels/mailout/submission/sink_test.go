package submission

import (
	"net"
	"os"
	"os/exec"
	"testing"
	"time"
)

// sink is Postfix's smtp-sink, made to behave as its flags say.
func sink(t *testing.T, flags ...string) Relay {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	program, err := exec.LookPath("smtp-sink")
	if err != nil {
		program = "/usr/sbin/smtp-sink"
	}
	if os.Geteuid() == 0 {
		flags = append(flags, "-u", "nobody")
	}
	cmd := exec.Command(program, append(flags, addr, "100")...)
	cmd.Dir = t.TempDir()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	host, port, _ := net.SplitHostPort(addr)
	return Relay{Host: host, Port: port}
}

// TestFLT15_Sink: a server that is not of our making takes, puts off, refuses and hangs up,
// pipelining and not.
func TestFLT15_Sink(t *testing.T) {
	for name, c := range map[string]struct {
		flags []string
		want  Fault
	}{
		"takes":               {nil, Fault{}},
		"takes one by one":    {[]string{"-p"}, Fault{}},
		"puts off":            {[]string{"-r", "RCPT"}, Fault{Code: "450", Status: "4.3.0"}},
		"puts the text off":   {[]string{"-r", "."}, Fault{Code: "450", Status: "4.3.0"}},
		"refuses":             {[]string{"-f", "RCPT"}, Fault{Final: true, Code: "500", Status: "5.3.0"}},
		"refuses the text":    {[]string{"-f", "."}, Fault{Final: true, Code: "500", Status: "5.3.0"}},
		"hangs up":            {[]string{"-q", "MAIL"}, Fault{Relay: true, Broken: true, Code: CodeSilent}},
		"hangs up at the dot": {[]string{"-q", "."}, Fault{Broken: true, Code: CodeReplyLost}},
		"closes":              {[]string{"-Q", "RCPT"}, Fault{Relay: true, Begun: true, Broken: true, Code: CodeBusy, Status: "4.0.0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			relay := sink(t, c.flags...)
			if got := faulty(deliver(t, Config{Command: 5 * time.Second, Final: 5 * time.Second}, relay, letter)); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}
