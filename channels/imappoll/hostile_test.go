package imappoll_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vaguemestre/channels/imappoll"
	"vaguemestre/core/mailbox"
)

// script answers a client line by line: what a command gets is looked up by the command's
// name, %t stands for its tag.
type script struct {
	greeting string
	answers  map[string]string // "UID FETCH" before "FETCH"; "*": all others
	endless  func(w io.Writer) // instead of the answer to SEARCH, until the line is closed
	logins   atomic.Int64
}

func (s *script) serve(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(conn, s.greeting)
	r := bufio.NewReader(conn)
	for {
		text, err := r.ReadString('\n')
		if err != nil {
			return
		}
		tag, command, _ := strings.Cut(strings.TrimSpace(text), " ")
		name, _, _ := strings.Cut(command, " ")
		if name == "UID" {
			_, rest, _ := strings.Cut(command, " ")
			verb, _, _ := strings.Cut(rest, " ")
			name = "UID " + verb
		}
		if name == "AUTHENTICATE" || name == "LOGIN" {
			s.logins.Add(1)
		}
		if name == "UID SEARCH" && s.endless != nil {
			s.endless(conn)
			return
		}
		answer, ok := s.answers[name]
		if !ok {
			answer, ok = ordinary[name]
		}
		if !ok {
			answer = "%t OK done\r\n"
		}
		if _, err := io.WriteString(conn, strings.ReplaceAll(answer, "%t", tag)); err != nil {
			return
		}
	}
}

// ordinary is how an honest server with one message answers.
var ordinary = map[string]string{
	"CAPABILITY": "* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR MOVE UIDPLUS\r\n%t OK done\r\n",
	"LIST":       "* LIST () \"/\" INBOX\r\n%t OK done\r\n",
	"SELECT":     "* 1 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT 2] ok\r\n%t OK done\r\n",
	"UID SEARCH": "* SEARCH 1\r\n%t OK done\r\n",
	"UID FETCH":  "* 1 FETCH (UID 1 RFC822.SIZE 100)\r\n%t OK done\r\n",
}

func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return l.Addr().String()
}

// certificate is one for name that ends at a time.
func certificate(t *testing.T, name string, until time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true}
	if ip := net.ParseIP(name); ip != nil {
		template.DNSNames, template.IPAddresses = nil, []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// meets has a channel meet a server and gives the first fault.
func meets(t *testing.T, addr string, how mailbox.TLS, cfg imappoll.Config, in *filed) string {
	t.Helper()
	b := &boxes{box: memBox(t), messages: map[uint32]mailbox.Remembered{}}
	b.box.Settings.Server, b.box.Settings.TLS = addr, how
	cfg = quick(cfg)
	cfg.Patience = 2 * time.Second
	stop := serve(t, imappoll.New(cfg, in, b, &secret{value: []byte("geheim")}, slog.New(slog.DiscardHandler)))
	eventually(t, "a fault", func() bool { return len(b.faults()) > 0 })
	stop()
	return b.faults()[0]
}

// SEC-52: a server that is not what it should be is left at once, told no password, and
// takes no more of our memory and time than is meant for it.
func TestSEC52_HostileServer(t *testing.T) {
	const ok = "* OK ready\r\n"
	big := strings.Repeat("x", 64<<10)
	for name, tc := range map[string]*struct {
		script
		want  string
		login bool // it may come as far as to be told the password
	}{
		"PREAUTH":                       {script: script{greeting: "* PREAUTH welcome\r\n"}, want: mailbox.FaultPreauth},
		"BYE":                           {script: script{greeting: "* BYE go away\r\n"}, want: mailbox.FaultProtocol},
		"no IMAP":                       {script: script{greeting: "220 smtp.ville.test ESMTP\r\n"}, want: mailbox.FaultProtocol},
		"silence":                       {want: mailbox.FaultSlow},
		"greeting without end":          {script: script{greeting: "* OK " + strings.Repeat(big, 40)}, want: mailbox.FaultProtocol},
		"no way to sign in":             {script: script{greeting: ok, answers: map[string]string{"CAPABILITY": "* CAPABILITY IMAP4rev1 LOGINDISABLED\r\n%t OK done\r\n"}}, want: mailbox.FaultNoMethod},
		"password refused":              {script: script{greeting: ok, answers: map[string]string{"AUTHENTICATE": "%t NO [AUTHENTICATIONFAILED] no\r\n"}}, want: mailbox.FaultLogin, login: true},
		"folder refused":                {script: script{greeting: ok, answers: map[string]string{"SELECT": "%t NO [NONEXISTENT] no\r\n"}}, want: mailbox.FaultFolder, login: true},
		"folder without UIDVALIDITY":    {script: script{greeting: ok, answers: map[string]string{"SELECT": "* 1 EXISTS\r\n%t OK done\r\n"}}, want: mailbox.FaultProtocol, login: true},
		"CREATE refused":                {script: script{greeting: ok, answers: map[string]string{"LIST": "%t OK done\r\n", "CREATE": "%t NO no\r\n"}}, want: mailbox.FaultFolderCreate, login: true},
		"silence after a command":       {script: script{greeting: ok, answers: map[string]string{"SELECT": "* 1 EXISTS\r\n"}}, want: mailbox.FaultSlow, login: true},
		"drip":                          {script: script{greeting: ok, endless: drip}, want: mailbox.FaultSlow, login: true},
		"line without end":              {script: script{greeting: ok, endless: pour("* OK " + big)}, want: mailbox.FaultProtocol, login: true},
		"lines without end":             {script: script{greeting: ok, endless: pour(strings.Repeat("* OK still there\r\n", 4000))}, want: mailbox.FaultProtocol, login: true},
		"UIDs without end":              {script: script{greeting: ok, endless: pour(strings.Repeat("* SEARCH 1 3 5 7 9 11 13 15 17\r\n", 4000))}, want: mailbox.FaultProtocol, login: true},
		"all UIDs there are":            {script: script{greeting: ok, answers: map[string]string{"UID SEARCH": "* ESEARCH (TAG \"%t\") UID ALL 1:4294967295\r\n%t OK done\r\n"}}, want: mailbox.FaultProtocol, login: true},
		"literal of a terabyte":         {script: script{greeting: ok, answers: map[string]string{"UID FETCH": "* 1 FETCH (UID 1 BODY[] {1099511627776}\r\n"}}, want: mailbox.FaultProtocol, login: true},
		"size beyond numbers":           {script: script{greeting: ok, answers: map[string]string{"UID FETCH": "* 1 FETCH (UID 1 BODY[] {99999999999999999999999}\r\n"}}, want: mailbox.FaultProtocol, login: true},
		"long literal that is no body":  {script: script{greeting: ok, answers: map[string]string{"LIST": "* LIST () \"/\" {1000000}\r\n" + strings.Repeat("x", 1000000)}}, want: mailbox.FaultProtocol, login: true},
		"nested lists":                  {script: script{greeting: ok, answers: map[string]string{"UID FETCH": "* 1 FETCH (UID 1 BODYSTRUCTURE " + strings.Repeat("(", 100_000) + "\r\n"}}, want: mailbox.FaultProtocol, login: true},
		"continuation nobody asked for": {script: script{greeting: ok, answers: map[string]string{"SELECT": "+ go on\r\n"}}, want: mailbox.FaultProtocol, login: true},
		"answer to nothing":             {script: script{greeting: ok, answers: map[string]string{"SELECT": "X99 OK done\r\n"}}, want: mailbox.FaultProtocol, login: true},
		"what makes no sense":           {script: script{greeting: ok, answers: map[string]string{"SELECT": "* OK [CLOSED] x\r\n* 1 EXISTS\r\n* FLAGS (\r\n"}}, want: mailbox.FaultProtocol, login: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := &filed{}
			fault := meets(t, listen(t, tc.script.serve), mailbox.TLSNone, imappoll.Config{MaxBytes: 1 << 20}, in)
			if fault != tc.want {
				t.Errorf("fault %s, want %s", fault, tc.want)
			}
			if n, _ := in.count(); n != 0 {
				t.Errorf("%d deposits", n)
			}
			if got := tc.script.logins.Load(); got > 0 != tc.login {
				t.Errorf("signed in %d times", got)
			}
		})
	}
}

// drip sends a byte now and then, never a whole line.
func drip(w io.Writer) {
	for {
		if _, err := io.WriteString(w, "x"); err != nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func pour(text string) func(io.Writer) {
	return func(w io.Writer) {
		for {
			if _, err := io.WriteString(w, text); err != nil {
				return
			}
		}
	}
}

// SEC-52: memory does not grow with what a server sends.
func TestSEC52_MemoryIsBounded(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := &script{greeting: "* OK ready\r\n", endless: pour("* OK " + strings.Repeat("x", 1<<20))}
	if fault := meets(t, listen(t, s.serve), mailbox.TLSNone, imappoll.Config{}, &filed{}); fault != mailbox.FaultProtocol {
		t.Errorf("fault %s", fault)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
		t.Errorf("%d MiB were used for a line without end", grown>>20)
	}
}

// SEC-52: the certificate is checked, with implicit TLS and with STARTTLS, and nothing is
// said before.
func TestSEC52_Certificates(t *testing.T) {
	t.Parallel()
	good, roots := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
	name, nameRoots := certificate(t, "imap.ailleurs.test", time.Now().Add(time.Hour))
	old, oldRoots := certificate(t, "127.0.0.1", time.Now().Add(-time.Hour))
	for what, tc := range map[string]struct {
		cert  tls.Certificate
		roots *x509.CertPool
		max   uint16
		want  string
	}{
		"good":              {good, roots, 0, mailbox.FaultLogin},
		"another name":      {name, nameRoots, 0, mailbox.FaultCertificate},
		"over":              {old, oldRoots, 0, mailbox.FaultCertificate},
		"unknown authority": {good, x509.NewCertPool(), 0, mailbox.FaultCertificate},
		"TLS 1.1":           {good, roots, tls.VersionTLS11, mailbox.FaultUnreachable},
	} {
		for _, how := range []mailbox.TLS{mailbox.TLSImplicit, mailbox.TLSStart} {
			t.Run(fmt.Sprint(what, " ", how), func(t *testing.T) {
				t.Parallel()
				s := &script{greeting: "* OK ready\r\n", answers: map[string]string{"AUTHENTICATE": "%t NO [AUTHENTICATIONFAILED] no\r\n"}}
				addr := listen(t, func(conn net.Conn) {
					if how == mailbox.TLSStart {
						if !plainPart(conn, "%t OK go\r\n") {
							conn.Close()
							return
						}
						s := &script{answers: s.answers}
						s.serve(tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{tc.cert}, MinVersion: tls.VersionTLS10, MaxVersion: tc.max}))
						return
					}
					s.serve(tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{tc.cert}, MinVersion: tls.VersionTLS10, MaxVersion: tc.max}))
				})
				if fault := meets(t, addr, how, imappoll.Config{Roots: tc.roots}, &filed{}); fault != tc.want {
					t.Errorf("fault %s, want %s", fault, tc.want)
				}
			})
		}
	}
}

// plainPart is the conversation up to TLS.
func plainPart(conn net.Conn, answer string) bool {
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(conn, "* OK ready\r\n")
	var line []byte
	for b := make([]byte, 1); !bytes.HasSuffix(line, []byte("\n")); line = append(line, b[0]) {
		if _, err := conn.Read(b); err != nil {
			return false
		}
	}
	tag, command, _ := strings.Cut(string(line), " ")
	_, err := io.WriteString(conn, strings.ReplaceAll(answer, "%t", tag))
	return err == nil && strings.TrimSpace(command) == "STARTTLS"
}

// SEC-52: nothing that comes in plain text is believed: TLS that is refused, stripped, or
// followed by bytes that somebody put in behind the answer ends the connection.
func TestSEC52_StartTLSStripped(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		greeting, answer, want string
	}{
		"refused":             {"", "%t NO not here\r\n", mailbox.FaultNoTLS},
		"unknown":             {"", "%t BAD what\r\n", mailbox.FaultNoTLS},
		"bytes behind":        {"", "%t OK go\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n", mailbox.FaultProtocol},
		"PREAUTH before":      {"* PREAUTH hello\r\n", "", mailbox.FaultPreauth},
		"PREAUTH as answer":   {"", "* PREAUTH hello\r\n%t OK go\r\n", mailbox.FaultPreauth},
		"answer without end":  {"", strings.Repeat("x", 100_000), mailbox.FaultUnreachable},
		"untagged for a line": {"", strings.Repeat("* OK wait\r\n", 30) + "%t OK go\r\n", mailbox.FaultProtocol},
		"goes on in plain":    {"", "%t OK go\r\nS2 OK you are in\r\n", mailbox.FaultProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var said atomic.Int64
			addr := listen(t, func(conn net.Conn) {
				defer conn.Close()
				if tc.greeting != "" {
					io.WriteString(conn, tc.greeting)
				} else if !plainPart(conn, tc.answer) {
					return
				}
				n, _ := io.Copy(io.Discard, conn)
				said.Add(n)
			})
			if fault := meets(t, addr, mailbox.TLSStart, imappoll.Config{}, &filed{}); fault != tc.want {
				t.Errorf("fault %s, want %s", fault, tc.want)
			}
			if n := said.Load(); n > 0 {
				t.Errorf("%d bytes were said after that", n)
			}
		})
	}
}
