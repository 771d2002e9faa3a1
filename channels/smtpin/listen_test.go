package smtpin_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vaguemestre/channels/smtpin"
)

// openAll is open for several addresses.
func openAll(t testing.TB, cfg smtpin.Config, intake *town) (addrs []string, stop func()) {
	t.Helper()
	cfg.Domain = "mx.ville.test"
	c := smtpin.New(cfg, intake, slog.New(slog.DiscardHandler))
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	addrs = c.Addrs()
	if c.Addr() != addrs[0] {
		t.Errorf("first address %s of %v", c.Addr(), addrs)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		ended <- nil
	}
	t.Cleanup(stop)
	return addrs, stop
}

// secure begins with TLS.
func secure(t testing.TB, addr string) *dialog {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	d := &dialog{t, conn, bufio.NewReader(conn)}
	d.expect("220 mx.ville.test ESMTP ")
	return d
}

// TestSeveralListeners: each kind in its place, one intake behind them all, and all
// stop together.
func TestSeveralListeners(t *testing.T) {
	intake, seen := &town{}, &tellTale{}
	addrs, stop := openAll(t, smtpin.Config{
		Addrs: []string{"127.0.0.1:0", "tls://127.0.0.1:0", "[::1]:0"}, TLS: certificate(t), Seen: seen.note,
	}, intake)
	plain := dial(t, addrs[0])
	implicit := secure(t, addrs[1])
	if got := implicit.cmd("EHLO c.test", "250"); strings.Contains(got, "STARTTLS") {
		t.Errorf("STARTTLS within TLS: %q", got)
	}
	implicit.cmd("STARTTLS", "503 5.5.1 ")
	six := dial(t, addrs[2])
	for _, d := range []*dialog{plain, implicit, six} {
		d.envelope(mine)
		d.data(letter, "250 ")
	}
	under := secure(t, addrs[1])
	under.cmd("EHLO c.test", "250")
	under.envelope(mine)
	under.cmd("DATA", "354 ")
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	for _, d := range []*dialog{plain, implicit, six} {
		d.expect("421 4.3.2 ")
	}
	under.send(letter + ".\r\n")
	under.expect("250 ")
	<-stopped
	taken := intake.Taken()
	if len(taken) != 4 {
		t.Fatalf("%d messages", len(taken))
	}
	for i, want := range []struct {
		tls    bool
		remote string
	}{{false, "127.0.0.1"}, {true, "127.0.0.1"}, {false, "::1"}, {true, "127.0.0.1"}} {
		if got := taken[i].Sender; got.TLS != want.tls || got.Remote != want.remote {
			t.Errorf("message %d: TLS %t from %s", i, got.TLS, got.Remote)
		}
	}
	for _, want := range []string{"connection plain", "connection tls", "tls TLS 1.3"} {
		if !slices.Contains(seen.all(), want) {
			t.Errorf("not seen: %s", want)
		}
	}
}

func TestListenFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, cfg := range map[string]smtpin.Config{
		"no address":              {},
		"an address twice":        {Addrs: []string{"127.0.0.1:0", taken.Addr().String()}},
		"TLS without certificate": {Addrs: []string{"tls://127.0.0.1:0"}},
		"the world without TLS":   {Addrs: []string{"127.0.0.1:0", "0.0.0.0:0"}},
		"balancers without TLS":   {Addrs: []string{"127.0.0.1:0"}, Balancers: smtpin.Loopback},
	} {
		c := smtpin.New(cfg, &town{}, slog.New(slog.DiscardHandler))
		if err := c.Listen(); err == nil || c.Addr() != "" {
			t.Errorf("%s: listens on %v", name, c.Addrs())
		}
	}
}

// TestSEC42_TLSVersions: nothing older than 1.2, on neither kind of listener.
func TestSEC42_TLSVersions(t *testing.T) {
	config := certificate(t)
	config.MinVersion = tls.VersionTLS10 // whatever it says
	addrs, _ := openAll(t, smtpin.Config{Addrs: []string{"127.0.0.1:0", "tls://127.0.0.1:0"}, TLS: config}, &town{})
	for version, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		client := &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version}
		conn, err := tls.Dial("tcp", addrs[1], client)
		if (err == nil) != want {
			t.Errorf("%s from the first byte: %v", tls.VersionName(version), err)
		}
		if err == nil {
			conn.Close()
		}
		d := dial(t, addrs[0])
		d.cmd("STARTTLS", "220 ")
		if err := tls.Client(d.Conn, client).Handshake(); (err == nil) != want {
			t.Errorf("%s by STARTTLS: %v", tls.VersionName(version), err)
		}
	}
}

// header is a PROXY header: version 1, 2, or of neither.
func header(version int, client string) string {
	from := netip.MustParseAddrPort(client)
	if version == 1 {
		family, to := "TCP4", "192.0.2.25"
		if from.Addr().Is6() {
			family, to = "TCP6", "2001:db8::25"
		}
		return fmt.Sprintf("PROXY %s %s %s %d 25\r\n", family, from.Addr(), to, from.Port())
	}
	var b bytes.Buffer
	b.WriteString("\r\n\r\n\x00\r\nQUIT\n\x21")
	tlv := []byte{4, 0, 2, 1, 2}
	if from.Addr().Is4() {
		b.WriteByte(0x11)
		binary.Write(&b, binary.BigEndian, uint16(12+len(tlv)))
		b.Write(from.Addr().AsSlice())
		b.Write([]byte{192, 0, 2, 25})
	} else {
		b.WriteByte(0x21)
		binary.Write(&b, binary.BigEndian, uint16(36+len(tlv)))
		b.Write(from.Addr().AsSlice())
		b.Write(from.Addr().AsSlice())
	}
	binary.Write(&b, binary.BigEndian, []uint16{from.Port(), 25})
	b.Write(tlv)
	return b.String()
}

// TestPROXY: from a balancer the client is whom the header names, and counts as such.
func TestPROXY(t *testing.T) {
	for _, version := range []int{1, 2} {
		for _, client := range []string{"203.0.113.7:4321", "[2001:db8:7::7]:4321"} {
			for _, implicit := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d %s tls=%t", version, client, implicit), func(t *testing.T) {
					intake := &town{}
					addrs, _ := openAll(t, smtpin.Config{
						Addrs: []string{"127.0.0.1:0", "tls://127.0.0.1:0"}, TLS: certificate(t), Balancers: smtpin.Loopback,
						NetworkSessions: 1, GreetDelay: time.Millisecond,
					}, intake)
					from := func(client string) *dialog {
						conn, err := net.Dial("tcp", addrs[map[bool]int{true: 1}[implicit]])
						if err != nil {
							t.Fatal(err)
						}
						t.Cleanup(func() { conn.Close() })
						conn.SetDeadline(time.Now().Add(20 * time.Second))
						io.WriteString(conn, header(version, client))
						if implicit {
							conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
						}
						return &dialog{t, conn, bufio.NewReader(conn)}
					}
					d := from(client)
					d.expect("220 ")
					d.cmd("EHLO c.test", "250")
					if !implicit {
						d.cmd("MAIL FROM:<a@b.test>", "530 5.7.0 ") // the client is not the machine itself
						d = d.startTLS()
					}
					d.envelope(mine)
					d.data(letter, "250 ")
					taken := intake.Taken()
					if want := netip.MustParseAddrPort(client).Addr().String(); len(taken) != 1 || taken[0].Sender.Remote != want || !taken[0].Sender.TLS {
						t.Errorf("took %+v", taken)
					}
					second := from(client)
					if implicit {
						second.expect("")
					} else {
						second.expect("421 4.7.0 ")
					}
					from("198.51.100.1:1").expect("220 ")
				})
			}
		}
	}
}

// Without a header that can be believed, a balancer's connection is closed unanswered.
func TestPROXYMissing(t *testing.T) {
	for name, first := range map[string]string{
		"none":               "EHLO c.test\r\n",
		"cut short":          "PROXY TCP4 203.0.113.7",
		"no address":         "PROXY TCP4 camille camille 1 2\r\n",
		"too long":           "PROXY TCP4 " + strings.Repeat("1", 200) + "\r\n",
		"2, of a pipe":       "\r\n\r\n\x00\r\nQUIT\n\x21\x31\x00\xd8" + strings.Repeat("x", 216),
		"2, length of a lie": "\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff" + strings.Repeat("x", 100),
		"2, of nowhere":      "\r\n\r\n\x00\r\nQUIT\n\x21\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			seen := &tellTale{}
			addrs, _ := openAll(t, smtpin.Config{Addrs: []string{"127.0.0.1:0"}, TLS: certificate(t), Balancers: smtpin.Loopback, Seen: seen.note}, &town{})
			conn, err := net.Dial("tcp", addrs[0])
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(5 * time.Second))
			io.WriteString(conn, first)
			conn.(*net.TCPConn).CloseWrite()
			if got, _ := io.ReadAll(conn); len(got) != 0 {
				t.Errorf("answered %q", got)
			}
			if got := seen.all(); !slices.Equal(got, []string{"turned_away header"}) {
				t.Errorf("seen: %q", got)
			}
		})
	}
}

// A balancer that names nobody may look whether we live, and is trusted no further.
func TestPROXYNamesNobody(t *testing.T) {
	for name, first := range map[string]string{"1": "PROXY UNKNOWN\r\n", "2": "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"} {
		t.Run(name, func(t *testing.T) {
			addrs, _ := openAll(t, smtpin.Config{
				Addrs: []string{"127.0.0.1:0"}, TLS: certificate(t), Balancers: smtpin.Loopback, GreetDelay: time.Millisecond,
			}, &town{})
			conn, err := net.Dial("tcp", addrs[0])
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(5 * time.Second))
			d := &dialog{t, conn, bufio.NewReader(conn)}
			d.send(first)
			d.expect("220 ")
			d.cmd("EHLO c.test", "250")
			d.cmd("MAIL FROM:<a@b.test>", "530 5.7.0 ")
			d.cmd("QUIT", "221 ")
		})
	}
}

// From anywhere else a PROXY header is a command like others that are none, and changes
// nothing.
func TestPROXYFromElsewhere(t *testing.T) {
	intake := &town{}
	addrs, _ := openAll(t, smtpin.Config{
		Addrs: []string{"127.0.0.1:0"}, TLS: certificate(t), Balancers: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
	}, intake)
	d := connect(t, addrs[0])
	d.cmd("PROXY TCP4 203.0.113.7 192.0.2.25 1 25", "500 5.5.1 ")
	d.cmd("EHLO c.test", "250")
	d.envelope(mine)
	d.data(letter, "250 ")
	if taken := intake.Taken(); len(taken) != 1 || taken[0].Sender.Remote != "127.0.0.1" {
		t.Errorf("took %+v", taken)
	}
	d = connect(t, addrs[0])
	d.send(header(2, "203.0.113.7:1"))
	d.expect("500 5.5.2 ") // its first line is empty, its second has a NUL or a bare LF
	d.expect("500 5.5.2 ")
}

// TestOtherClients has the programs of others send by TLS.
func TestOtherClients(t *testing.T) {
	intake := &town{}
	addrs, _ := openAll(t, smtpin.Config{Addrs: []string{"127.0.0.1:0", "tls://127.0.0.1:0"}, TLS: certificate(t)}, intake)
	file := filepath.Join(t.TempDir(), "letter.eml")
	if err := os.WriteFile(file, []byte(letter), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"smtp://" + addrs[0], "smtps://" + addrs[1]} {
		run(t, "curl", "--silent", "--show-error", "--insecure", "--ssl-reqd", url, "--mail-from", "a@b.test", "--mail-rcpt", mine, "--upload-file", file)
	}
	for _, args := range [][]string{{"-connect", addrs[0], "-starttls", "smtp"}, {"-connect", addrs[1]}} {
		cmd := exec.Command("openssl", append([]string{"s_client", "-quiet", "-crlf"}, args...)...)
		cmd.Stdin = strings.NewReader("QUIT\n")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "221 2.0.0 ") {
			t.Errorf("openssl: %v, %s", err, out)
		}
	}
	taken := intake.Taken()
	if len(taken) != 2 {
		t.Errorf("%d messages", len(taken))
	}
	for _, m := range taken {
		if !m.Sender.TLS {
			t.Errorf("%+v came in the clear", m.Sender)
		}
	}
}

// An arrival that makes a library panic is closed, and the next one is served.
func TestArrivalSurvivesAPanic(t *testing.T) {
	config := certificate(t)
	first := true
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if first {
			first = false
			panic("as a library may")
		}
		return nil, nil
	}
	addrs, stop := openAll(t, smtpin.Config{Addrs: []string{"tls://127.0.0.1:0"}, TLS: config}, &town{})
	if conn, err := tls.Dial("tcp", addrs[0], &tls.Config{InsecureSkipVerify: true}); err == nil {
		conn.Close()
		t.Error("served")
	}
	secure(t, addrs[0]).cmd("QUIT", "221 ")
	stop() // nobody is left
}
