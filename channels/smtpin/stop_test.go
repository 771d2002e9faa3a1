package smtpin_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"vaguemestre/channels/smtpin"
)

func TestStopLetsTransactionsFinish(t *testing.T) {
	intake := &town{}
	addr, stop := open(t, smtpin.Config{}, intake)
	idle, under, addressed := dial(t, addr), dial(t, addr), dial(t, addr)
	under.envelope(mine)
	under.cmd("DATA", "354 ")
	under.send(letter)
	addressed.envelope(mine)
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()

	idle.expect("421 4.3.2 ")
	idle.expect("")
	if conn, err := net.Dial("tcp", addr); err == nil {
		if got, _ := io.ReadAll(conn); !strings.HasPrefix(string(got), "421 ") && len(got) > 0 {
			t.Errorf("a new connection was told %q", got)
		}
		conn.Close()
	}
	addressed.data(letter, "250 ")
	addressed.expect("421 4.3.2 ")
	select {
	case <-stopped:
		t.Error("stopped before the transaction had finished")
	case <-time.After(50 * time.Millisecond):
	}
	under.send("last line\r\n.\r\n")
	under.expect("250 ")
	under.expect("421 4.3.2 ")
	under.expect("")
	<-stopped
	if n := len(intake.Taken()); n != 2 {
		t.Errorf("%d messages taken in", n)
	}
}

func TestStopTimeout(t *testing.T) {
	intake := &town{}
	addr, stop := open(t, smtpin.Config{StopTimeout: 200 * time.Millisecond}, intake)
	d := dial(t, addr)
	d.envelope(mine)
	d.cmd("DATA", "354 ")
	d.send(letter)
	start := time.Now()
	stop()
	if took := time.Since(start); took < 150*time.Millisecond || took > 5*time.Second {
		t.Errorf("stopped after %v", took)
	}
	if got := d.reply(); strings.HasPrefix(got, "2") || len(intake.Taken()) != 0 {
		t.Errorf("a message cut off was answered %q", got)
	}
}

func TestRunAgain(t *testing.T) {
	intake := &town{}
	c := smtpin.New(smtpin.Config{Addrs: []string{"127.0.0.1:0"}, Domain: "mx.ville.test"}, intake, slog.New(slog.DiscardHandler))
	for range 2 {
		if err := c.Listen(); err != nil {
			t.Fatal(err)
		}
		addr := c.Addr()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		d := dial(t, addr)
		d.envelope(mine)
		d.data(letter, "250 ")
		cancel()
		if err := <-ended; err != nil || c.Addr() != "" {
			t.Fatalf("Run: %v, still at %q", err, c.Addr())
		}
	}
	if n := len(intake.Taken()); n != 2 {
		t.Errorf("%d messages taken in", n)
	}
}
