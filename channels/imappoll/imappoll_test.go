package imappoll_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"vaguemestre/channels"
	"vaguemestre/channels/channeltest"
	"vaguemestre/channels/imappoll"
	"vaguemestre/channels/imappoll/dovecottest"
	"vaguemestre/core"
	"vaguemestre/core/mailbox"
)

// Folders as Dovecot names their directories.
const (
	done    = "D&AOk-pos&AOk-s"
	refused = "Refus&AOk-s"
)

// rig is a mailbox on a Dovecot, a store and what is needed to empty it.
type rig struct {
	t       *testing.T
	dovecot *dovecottest.Server
	boxes   *boxes
	secret  *secret
	cfg     imappoll.Config
}

// quick are settings for tests, which wait for nobody.
func quick(cfg imappoll.Config) imappoll.Config {
	cfg.Refresh, cfg.Rest, cfg.Poll, cfg.Lease, cfg.Patience = 20*time.Millisecond, 10*time.Millisecond, 50*time.Millisecond, 2*time.Second, 10*time.Second
	cfg.Plaintext = true
	if cfg.Idle == 0 {
		cfg.Idle = 100 * time.Millisecond
	}
	return cfg
}

func newRig(t *testing.T, more string) *rig {
	t.Helper()
	r := &rig{t: t, dovecot: dovecottest.Start(t, more), boxes: &boxes{}, secret: &secret{value: []byte(dovecottest.Password)}}
	s := mailbox.Defaults()
	s.Server, s.User = r.dovecot.IMAPS, dovecottest.User
	r.boxes.box = mailbox.Mailbox{ID: "box-1", Tenant: channeltest.Owner.Tenant, Settings: s, Enabled: true}
	r.cfg = quick(imappoll.Config{Roots: r.dovecot.Roots})
	return r
}

func (r *rig) channel(in channels.Intake) *imappoll.Channel {
	return imappoll.New(r.cfg, in, r.boxes, r.secret, logger())
}

func logger() *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(slog.DiscardHandler)
}

// run runs a channel until the test ends, or stop is called.
func (r *rig) run(in channels.Intake) (stop func()) {
	return serve(r.t, r.channel(in))
}

func serve(t *testing.T, c channels.Channel) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// letter is a message to the suite's address.
func letter(name string, size int) []byte {
	return letterTo(channeltest.Address, name, size)
}

func letterTo(to, name string, size int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Message-ID: <%s@ville.test>\r\nFrom: Camille <camille@example.test>\r\nTo: %s\r\nSubject: %s\r\n\r\n", name, to, name)
	for line := 0; b.Len() < size; line++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", name, line))
		fmt.Fprintf(&b, "%x\r\n", sum)
	}
	return b.Bytes()
}

func letters(n, size int) (out [][]byte) {
	for i := range n {
		out = append(out, letter(fmt.Sprintf("lettre-%d", i), size))
	}
	return out
}

// player plays the sender of the suite: it puts a message into the mailbox, and sees by
// where it goes what became of it.
type player struct{ rig *rig }

func (p player) Make(name string, size int) []byte { return letter(name, size) }

func (p player) Send(ctx context.Context, arrival []byte) (channeltest.Answer, error) {
	d := p.rig.dovecot
	was, wasRefused, later := d.Messages(done), d.Messages(refused), len(p.rig.boxes.remembered(mailbox.Failed))
	d.Deliver(arrival)
	for ; ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		switch {
		case d.Messages(done) > was:
			return channeltest.Taken, nil
		case d.Messages(refused) > wasRefused:
			return channeltest.Refused, nil
		case len(p.rig.boxes.remembered(mailbox.Failed)) > later && d.Messages("") > 0:
			return channeltest.Later, nil
		}
	}
	return "", ctx.Err()
}

func TestChannel(t *testing.T) {
	channeltest.Run(t, func(t *testing.T, in channels.Intake) (channels.Channel, channeltest.Sender) {
		r := newRig(t, "")
		return r.channel(in), player{r}
	})
}

// REL-05, FLT-12: the line is cut again and again while messages come in; each is taken
// once and moved, and nothing is expunged.
func TestREL05_FLT12_CutInMidFetch(t *testing.T) {
	t.Parallel()
	const n = 60
	r := newRig(t, "")
	proxy := dovecottest.StartProxy(t, r.dovecot.IMAPS, 0)
	r.boxes.box.Settings.Server = proxy.Addr
	r.cfg.Rest = 100 * time.Microsecond // a message that is cut off many times waits for long otherwise
	r.dovecot.Deliver(letters(n, 60_000)...)
	proxy.CutAfter(20_000)
	in := &filed{pause: time.Millisecond}
	r.run(in)
	eventually(t, "all are taken in and moved", func() bool {
		if cuts := proxy.Cuts(); cuts < 25 {
			proxy.CutAfter(int64(30_000 + 17_000*(cuts%20)))
			for end := time.Now().Add(time.Second); proxy.Cuts() == cuts && time.Now().Before(end) && r.dovecot.Messages(done) < n; {
				time.Sleep(time.Millisecond)
			}
		}
		return r.dovecot.Messages(done) == n
	})
	// A move whose answer was cut off is seen at the next look at the folder.
	eventually(t, "none is shown as failed any more", func() bool { return len(r.boxes.remembered(mailbox.Failed)) == 0 })
	different, accepts := in.count()
	if different != n || r.dovecot.Messages("") != 0 || r.dovecot.Messages(refused) != 0 {
		t.Errorf("%d different deposits of %d messages; %d left, %d refused", different, n, r.dovecot.Messages(""), r.dovecot.Messages(refused))
	}
	if proxy.Cuts() < 8 {
		t.Errorf("only %d cuts", proxy.Cuts())
	}
	t.Logf("%d cuts, %d messages handed to intake for %d, faults %v", proxy.Cuts(), accepts, n, r.boxes.faults())
}

// REL-04: another UIDVALIDITY makes every UID a new one. What stays in the folder is seen
// again, and is the same deposit; what came meanwhile is not missed.
func TestREL04_FLT12_UIDValidity(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.boxes.box.Settings.Done = "" // all of it stays
	r.dovecot.Deliver(letters(20, 2000)...)
	in := &filed{}
	r.run(in)
	for round := range 3 {
		want := 20 + round
		eventually(t, "all are taken in", func() bool { n, _ := in.count(); return n == want })
		eventually(t, "and remembered", func() bool { return len(r.boxes.remembered(mailbox.Taken)) == want })
		if round == 2 {
			break
		}
		r.dovecot.Kill()
		r.dovecot.Deliver(letter(fmt.Sprintf("pendant-%d", round), 500))
		r.dovecot.NewValidity()
	}
	if r.boxes.recalled != 3 {
		t.Errorf("the folder had %d UIDVALIDITYs, want 3", r.boxes.recalled)
	}
	if n := r.dovecot.Messages(""); n != 22 {
		t.Errorf("%d messages stay, want 22", n)
	}
}

// Two pollers, each with a line that is cut and a lease that passes to the other: no
// message is imported twice, and at any time one of them polls.
func TestREL07_TwoPollers(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	in := &filed{pause: 2 * time.Millisecond}
	one, two := r.run(in), r.run(in)
	for round := range 6 {
		r.dovecot.Deliver(letters(40, 1000)[:20+round]...)
		if round == 2 {
			one()
		}
		if round == 4 {
			r.dovecot.Restart()
		}
		eventually(t, "the mailbox is empty", func() bool { return r.dovecot.Messages("") == 0 })
	}
	two()
	if n, accepts := in.count(); n != 25 || r.dovecot.Messages(done) != 135 {
		t.Errorf("%d different deposits by %d accepts, %d moved; want 25 and 135", n, accepts, r.dovecot.Messages(done))
	}
}

// Restarts: whatever the server does, the poller comes back, and messages that arrive
// under IDLE are taken in at once.
func TestRestartsAndIdle(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.cfg.Poll, r.cfg.Idle = time.Hour, time.Hour // nothing but IDLE tells of new mail
	in := &filed{}
	r.run(in)
	eventually(t, "a first poll", func() bool { return r.boxes.polls() > 0 })
	for i := range 5 {
		r.dovecot.Deliver(letter(fmt.Sprintf("lettre-%d", i), 500))
		began := time.Now()
		eventually(t, "taken in", func() bool { n, _ := in.count(); return n == i+1 })
		t.Logf("taken in %v after it was delivered", time.Since(began).Round(time.Millisecond))
		r.dovecot.Restart()
	}
	for _, f := range r.boxes.faults() {
		if f != mailbox.FaultCut && f != mailbox.FaultUnreachable {
			t.Errorf("a restart was called %s", f)
		}
	}
}

// A message that no deposit address is named in is the generic mailbox's, where the town
// has one, and is refused where it has none.
func TestWhoseMailItIs(t *testing.T) {
	t.Parallel()
	other := core.Address{ID: "address-2", Tenant: channeltest.Owner.Tenant, Vault: "vault-2"}
	foreign := core.Address{ID: "address-3", Tenant: "tenant-2", Vault: "vault-3"}
	generic := core.Address{ID: "generic", Tenant: channeltest.Owner.Tenant}
	back := core.Address{ID: "letter-1", Tenant: channeltest.Owner.Tenant, Letter: "00112233445566778899"}
	const a, b, c, g, r = channeltest.Address, "autre@pieces.ville.test", "ailleurs@autre.test", "depot@ville.test", "depot+retour@ville.test"
	for name, tc := range map[string]struct {
		header  string
		generic bool
		want    string // vaults, in order of arrival
		refused bool
	}{
		"to":                       {header: "To: Dépôt <" + a + ">", want: "vault-1"},
		"folded, among others":     {header: "To: x@y.test,\r\n\t\"z\" <z@y.test>,\r\n " + a, want: "vault-1"},
		"cc":                       {header: "To: x@y.test\r\nCc: " + a, want: "vault-1"},
		"delivered-to comes first": {header: "Delivered-To: " + b + "\r\nTo: " + a, want: "vault-2"},
		"topmost delivered-to":     {header: "Delivered-To: " + b + "\r\nDelivered-To: " + a, want: "vault-2"},
		"delivered to the mailbox": {header: "Delivered-To: " + g + "\r\nX-Original-To: " + a + "\r\nTo: " + b, want: "vault-1"},
		"envelope-to":              {header: "Envelope-to: " + a + "\r\nTo: x@y.test", want: "vault-1"},
		"two owners":               {header: "To: " + a + ", " + b, want: "vault-1 vault-2"},
		"one owner twice":          {header: "To: " + a + ", " + a + "\r\nCc: " + a, want: "vault-1"},
		"not by bcc or subject":    {header: "Bcc: " + a + "\r\nSubject: " + a, refused: true},
		"none":                     {header: "To: x@y.test", refused: true},
		"none, generic":            {header: "To: x@y.test", generic: true, want: "generic"},
		"the generic one":          {header: "To: " + g, generic: true, want: "generic"},
		"no header":                {header: "", generic: true, want: "generic"},
		"a letter's return path":   {header: "Return-Path: <>\r\nDelivered-To: " + r + "\r\nTo: " + g, generic: true, want: "letter-1"},
		"a report by its To":       {header: "From: mailer-daemon@x.test\r\nTo: <" + r + ">", want: "letter-1"},
		"another town's":           {header: "To: " + c, refused: true},
		"another town's and ours":  {header: "Delivered-To: " + c + "\r\nTo: " + a, want: "vault-1"},
	} {
		t.Run(name, func(t *testing.T) {
			in := &filed{locate: map[string]core.Address{b: other, c: foreign, g: generic, r: back}}
			s := &boxes{box: memBox(t), messages: map[uint32]mailbox.Remembered{}}
			if tc.generic {
				s.generic = &generic
			}
			mem := startMem(t, s, imap.CapMove, imap.CapUIDPlus)
			mem.append(t, "INBOX", []byte(tc.header+"\r\n\r\nBonjour\r\n"))
			serve(t, imappoll.New(quick(imappoll.Config{}), in, s, &secret{value: []byte("secret")}, slog.New(slog.DiscardHandler)))
			eventually(t, "moved", func() bool { return mem.count(t, "INBOX") == 0 })
			var got []string
			for _, d := range in.deposits {
				name := string(d.Address.Vault)
				if name == "" {
					name = string(d.Address.ID)
				}
				got = append(got, name)
				if d.Channel != core.ChannelIMAP || d.Sender.Trusted != "mx.ville.test" || d.Sender.Delivered.IsZero() {
					t.Errorf("deposit %+v", d)
				}
			}
			if strings.Join(got, " ") != tc.want || (mem.count(t, "Refusés") == 1) != tc.refused {
				t.Errorf("went to %q, refused %d; want %q", got, mem.count(t, "Refusés"), tc.want)
			}
		})
	}
}
