package smtpin_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"vaguemestre/channels"
	"vaguemestre/channels/channeltest"
	"vaguemestre/channels/smtpin"
	"vaguemestre/core"
)

// town is an intake that knows three addresses and has an accident for a fourth.
type town struct{ channeltest.Intake }

const (
	mine       = channeltest.Address
	mineToo    = "logement@pieces.ville.test"
	neighbours = "voisin@pieces.ville.test"
	unlucky    = "panne@pieces.ville.test"
	returnPath = "retour@pieces.ville.test"
	returnTo   = "autre-retour@pieces.ville.test"
)

func (i *town) Locate(ctx context.Context, address string) (core.Address, error) {
	switch address {
	case mineToo:
		return core.Address{ID: "address-2", Tenant: channeltest.Owner.Tenant, Vault: channeltest.Owner.Vault}, nil
	case neighbours:
		return core.Address{ID: "address-3", Tenant: channeltest.Owner.Tenant, Vault: "vault-2"}, nil
	case returnPath:
		return core.Address{ID: "letter-1", Tenant: channeltest.Owner.Tenant, Letter: "00112233445566778899"}, nil
	case returnTo:
		return core.Address{ID: "letter-2", Tenant: channeltest.Owner.Tenant, Letter: "99887766554433221100"}, nil
	case unlucky:
		return core.Address{}, errors.New("database is away")
	}
	return i.Intake.Locate(ctx, address)
}

// open starts a channel on a free port and stops it when the test ends. It returns the
// port's address and a function that stops it at once.
func open(t testing.TB, cfg smtpin.Config, intake channels.Intake) (addr string, stop func()) {
	t.Helper()
	if cfg.Addrs == nil {
		cfg.Addrs = []string{"127.0.0.1:0"}
	}
	cfg.Domain = "mx.ville.test"
	c := smtpin.New(cfg, intake, slog.New(slog.DiscardHandler))
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(c.Addr())
	if err != nil {
		t.Fatal(err)
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
	return "127.0.0.1:" + port, stop
}

// dialog is the sending side of a conversation, byte by byte as the test wants it.
type dialog struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

// dial connects and says EHLO.
func dial(t testing.TB, addr string) *dialog {
	t.Helper()
	d := connect(t, addr)
	d.cmd("EHLO client.test", "250")
	return d
}

// connect waits for the greeting.
func connect(t testing.TB, addr string) *dialog {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	d := &dialog{t, conn, bufio.NewReader(conn)}
	d.expect("220 ")
	return d
}

// reply reads a whole reply; "" when the connection has ended.
func (d *dialog) reply() string {
	var all strings.Builder
	for {
		line, err := d.r.ReadString('\n')
		all.WriteString(line)
		if err != nil || len(line) < 4 || line[3] == ' ' {
			return all.String()
		}
	}
}

func (d *dialog) expect(want string) string {
	d.t.Helper()
	got := d.reply()
	if !strings.HasPrefix(got, want) || want == "" && got != "" {
		d.t.Fatalf("reply %q, want %q", got, want)
	}
	return got
}

func (d *dialog) send(s string) {
	d.t.Helper()
	if _, err := io.WriteString(d.Conn, s); err != nil {
		d.t.Fatal(err)
	}
}

func (d *dialog) cmd(line, want string) string {
	d.t.Helper()
	d.send(line + "\r\n")
	return d.expect(want)
}

// envelope opens a transaction to the recipients.
func (d *dialog) envelope(to ...string) {
	d.t.Helper()
	d.cmd("MAIL FROM:<camille@courriel.test>", "250 ")
	for _, one := range to {
		d.cmd("RCPT TO:<"+one+">", "250 ")
	}
}

// data sends a message with DATA and expects the reply.
func (d *dialog) data(message, want string) string {
	d.t.Helper()
	d.cmd("DATA", "354 ")
	d.send(message + ".\r\n")
	return d.expect(want)
}

const letter = "Message-ID: <1@courriel.test>\r\nSubject: x\r\n\r\nBonjour\r\n"

// player plays the sender for the suite.
type player struct{ addr func() string }

func (p player) Make(name string, size int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Message-ID: <%s@courriel.test>\r\nSubject: =?utf-8?Q?pi=C3=A8ce?=\r\n\r\n..\r\n", name)
	for b.Len() < size {
		b.WriteString(".é\x00\xff" + strings.Repeat("x", 70) + "\r\n")
	}
	return b.Bytes()
}

func (p player) Send(ctx context.Context, arrival []byte) (channeltest.Answer, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.addr())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	stuffed := bytes.ReplaceAll(arrival, []byte("\r\n."), []byte("\r\n.."))
	var reply string
	r := bufio.NewReader(conn)
	for _, say := range []string{"", "HELO client.test\r\n", "MAIL FROM:<a@b.test>\r\n", "RCPT TO:<" + channeltest.Address + ">\r\n", "DATA\r\n", string(stuffed) + ".\r\n"} {
		if _, err := io.WriteString(conn, say); err != nil {
			return "", err
		}
		if reply, err = r.ReadString('\n'); err != nil {
			return "", err
		}
	}
	switch reply[0] {
	case '2':
		return channeltest.Taken, nil
	case '4':
		return channeltest.Later, nil
	}
	return channeltest.Refused, nil
}

func TestPromises(t *testing.T) {
	channeltest.Run(t, func(t *testing.T, intake channels.Intake) (channels.Channel, channeltest.Sender) {
		c := smtpin.New(smtpin.Config{Addrs: []string{"127.0.0.1:0"}}, intake, slog.New(slog.DiscardHandler))
		if err := c.Listen(); err != nil {
			t.Fatal(err)
		}
		addr := c.Addr()
		return c, player{func() string { return addr }}
	})
}

func TestDepositSaysWhereItComesFrom(t *testing.T) {
	intake := &town{}
	now := time.Date(2026, 11, 3, 9, 12, 44, 0, time.UTC)
	addr, _ := open(t, smtpin.Config{Now: func() time.Time { return now }}, intake)
	d := dial(t, addr)
	d.envelope(mine)
	got := d.data(letter, "250 2.0.0 Taken in: ")
	taken := intake.Taken()
	want := core.Deposit{
		Tenant: "tenant-1", Channel: "smtp", Key: "1@courriel.test", Address: channeltest.Owner, Journey: core.JourneyHome, Received: now,
		Sender: core.Sender{MailFrom: "camille@courriel.test", Helo: "client.test", Remote: "127.0.0.1"},
	}
	if len(taken) != 1 || taken[0].Deposit != want || string(taken[0].Bodies[0]) != letter {
		t.Errorf("took %+v after %q, want %+v", taken, got, want)
	}
	d.cmd("QUIT", "221 ")
}

func TestRecipients(t *testing.T) {
	intake := &town{}
	addr, _ := open(t, smtpin.Config{MaxRecipients: 3}, intake)
	d := dial(t, addr)
	d.cmd("MAIL FROM:<>", "250 ")
	unknown := d.cmd("RCPT TO:<nobody@pieces.ville.test>", "550 5.1.1 ")
	revoked := d.cmd("RCPT TO:<revoked@pieces.ville.test>", "550 5.1.1 ")
	if unknown != revoked {
		t.Errorf("unknown %q, revoked %q", unknown, revoked)
	}
	d.cmd("DATA", "554 5.5.1 ")
	d.cmd("RCPT TO:<"+unlucky+">", "451 4.3.0 ")
	d.cmd("RCPT TO:<"+mine+">", "250 ")
	d.cmd("RCPT TO:<"+neighbours+">", "452 4.5.3 ")
	d.cmd("RCPT TO:<"+mineToo+">", "250 ")
	d.cmd("RCPT TO:<"+mine+">", "250 ")
	d.cmd("RCPT TO:<"+mine+">", "452 4.5.3 ") // past MaxRecipients
	d.cmd("MAIL FROM:<again@b.test>", "503 5.5.1 ")
	d.data(letter, "250 ")
	d.envelope(neighbours)
	d.data(letter, "250 ")
	taken := intake.Taken()
	if len(taken) != 2 || taken[0].Address != channeltest.Owner || taken[1].Address.Vault != "vault-2" {
		t.Errorf("took %+v", taken)
	}
}

// hasty answers without reading the message.
type hasty struct {
	town
	err error
}

func (h *hasty) Accept(context.Context, core.Deposit, ...core.Body) (core.Receipt, error) {
	return core.Receipt{Deposit: "none"}, h.err
}

func TestAnswers(t *testing.T) {
	reason := "Ce document n’est pas accepté : envoyez un « PDF »…"
	for name, tc := range map[string]struct {
		err  error
		mail string
		want string
	}{
		"refused":         {&core.Refusal{Code: "unknown_sender", Reason: reason}, "", "550 5.7.1 Refused (unknown_sender): Ce document n'est pas accepte : envoyez un \" PDF \"...\r\n"},
		"in UTF-8":        {&core.Refusal{Code: "unknown_sender", Reason: reason}, " SMTPUTF8", "550 5.7.1 Refused (unknown_sender): " + strings.Join(strings.Fields(reason), " ") + "\r\n"},
		"for its content": {fmt.Errorf("wrapped: %w", &core.Refusal{Code: "unsupported_kind"}), "", "554 5.6.0 Refused (unsupported_kind):\r\n"},
		"revoked since":   {&core.Refusal{Code: core.UnknownAddress, Reason: reason}, "", "550 5.1.1 No such address. Adresse inconnue : comparez-la a celle qu'indique votre compte ou votre courrier.\r\n"},
		"too large":       {&core.Refusal{Code: "too_large"}, "", "552 5.3.4 Refused (too_large):\r\n"},
		"two lines":       {&core.Refusal{Code: "x", Reason: "a\r\n250 OK"}, "", "550 5.7.1 Refused (x): a 250 OK\r\n"},
		"accident":        {errors.New("disk full: /secret"), "", "451 4.3.0 Not taken in, please try again later\r\n"},
		"accepted unread": {nil, "", "451 4.3.0 Not taken in, please try again later\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			addr, _ := open(t, smtpin.Config{}, &hasty{err: tc.err})
			d := dial(t, addr)
			for range 2 { // the session goes on after it
				d.cmd("MAIL FROM:<a@b.test>"+tc.mail, "250 ")
				d.cmd("RCPT TO:<"+mine+">", "250 ")
				if got := d.data(sized(300_000), tc.want[:4]); got != tc.want {
					t.Errorf("DATA: %q, want %q", got, tc.want)
				}
				d.cmd("MAIL FROM:<a@b.test>"+tc.mail, "250 ")
				d.cmd("RCPT TO:<"+mine+">", "250 ")
				d.send("BDAT 300000 LAST\r\n" + sized(300_000))
				if got := d.reply(); got != tc.want {
					t.Errorf("BDAT: %q, want %q", got, tc.want)
				}
			}
		})
	}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

func TestSwaks(t *testing.T) {
	intake := &town{}
	addr, _ := open(t, smtpin.Config{}, intake)
	for _, options := range [][]string{{}, {"--pipeline"}} {
		run(t, "swaks", append([]string{"--server", addr, "--to", mine, "--from", "a@b.test", "--attach", "@smtpin_test.go"}, options...)...)
	}
	if n := len(intake.Taken()); n != 2 {
		t.Errorf("%d messages taken in, want 2", n)
	}
}

func TestSMTPSource(t *testing.T) {
	intake := &town{}
	addr, _ := open(t, smtpin.Config{}, intake)
	run(t, "smtp-source", "-l", "10000", "-m", "200", "-s", "10", "-f", "a@b.test", "-t", mine, addr)
	run(t, "smtp-source", "-d", "-l", "1000", "-m", "50", "-s", "5", "-f", "a@b.test", "-t", mine, addr)
	if n := len(intake.Taken()); n != 250 {
		t.Errorf("%d messages taken in, want 250", n)
	}
}
