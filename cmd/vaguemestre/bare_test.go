package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// asBare makes this test binary be the least durable-minded server that go-smtp allows:
// "ADDRESS DIR". It writes each message into a file, syncs file and folder, and answers.
const asBare = "VAGUEMESTRE_TEST_AS_BARE"

type bareServer struct {
	dir  string
	next atomic.Int64
}

func (b *bareServer) NewSession(*smtp.Conn) (smtp.Session, error) { return b, nil }

func (b *bareServer) Mail(string, *smtp.MailOptions) error { return nil }
func (b *bareServer) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (b *bareServer) Reset()                               {}
func (b *bareServer) Logout() error                        { return nil }

func (b *bareServer) Data(r io.Reader) error {
	f, err := os.OpenFile(filepath.Join(b.dir, fmt.Sprint(b.next.Add(1))), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, r); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	d, err := os.Open(b.dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// serveBare is that server's main.
func serveBare(place string) error {
	addr, dir, ok := strings.Cut(place, " ")
	if !ok {
		return errors.New("want ADDRESS DIR")
	}
	s := smtp.NewServer(&bareServer{dir: dir})
	s.Addr, s.Domain, s.MaxMessageBytes = addr, "bare.test", 50<<20
	return s.ListenAndServe()
}

// bare is that server running.
type bare struct {
	addr string
	dir  string
	pid  int
}

func startBare(t testing.TB) *bare {
	t.Helper()
	b := &bare{addr: freeAddr(t), dir: newHome(t)}
	cmd := exec.Command(self(t))
	cmd.Env = append(os.Environ(), asBare+"="+b.addr+" "+b.dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b.pid = cmd.Process.Pid
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	answers(t, b.addr, 10*time.Second)
	return b
}

// kept counts the messages written.
func (b *bare) kept(t testing.TB) int { return len(files(t, b.dir)) }
