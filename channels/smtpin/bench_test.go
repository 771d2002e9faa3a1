package smtpin_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	smtp "github.com/emersion/go-smtp"

	"vaguemestre/channels/channeltest"
	"vaguemestre/channels/smtpin"
	"vaguemestre/core"
)

// drain is an intake that throws away what comes in.
type drain struct{ channeltest.Intake }

func (*drain) Accept(_ context.Context, _ core.Deposit, bodies ...core.Body) (core.Receipt, error) {
	_, err := io.Copy(io.Discard, bodies[0].R)
	return core.Receipt{Deposit: "drained"}, err
}

// bareSession is go-smtp with its own reader, and nothing of ours.
type bareSession struct{}

func (bareSession) Mail(string, *smtp.MailOptions) error { return nil }
func (bareSession) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (bareSession) Reset()                               {}
func (bareSession) Logout() error                        { return nil }
func (bareSession) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func bareServer(b *testing.B) string {
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return bareSession{}, nil }))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go s.Serve(ln)
	b.Cleanup(func() { s.Close() })
	return ln.Addr().String()
}

// BenchmarkData is ten sessions that send messages of 5 MB, by our reader and by
// go-smtp's, and what the network and the sender alone take of it.
func BenchmarkData(b *testing.B) {
	servers := []struct {
		name  string
		serve func(*testing.B) string
	}{{"ours", ourServer}, {"go-smtp", bareServer}, {"nothing", deafServer}}
	message := "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("QUJD", 19)+"\r\n", 5<<20/78)
	for _, s := range servers {
		b.Run("DATA/"+s.name, func(b *testing.B) { sendAll(b, s.serve(b), []string{"DATA\r\n", message + ".\r\n"}) })
	}
	for _, s := range servers[:2] {
		b.Run("BDAT/"+s.name, func(b *testing.B) {
			sendAll(b, s.serve(b), []string{fmt.Sprintf("BDAT %d LAST\r\n%s", len(message), message)})
		})
	}
}

func ourServer(b *testing.B) string {
	addr, _ := open(b, smtpin.Config{}, &drain{})
	return addr
}

// sendAll has ten sessions send a message each, again and again.
func sendAll(b *testing.B, addr string, message []string) {
	const sessions = 10
	size := 0
	for _, s := range message {
		size += len(s)
	}
	b.SetBytes(int64(sessions * size))
	var senders [sessions]*dialog
	for i := range senders {
		senders[i] = dial(b, addr)
		senders[i].SetDeadline(time.Time{})
	}
	var steps [][]byte
	for _, say := range append([]string{"MAIL FROM:<a@b.test>\r\n", "RCPT TO:<" + mine + ">\r\n"}, message...) {
		steps = append(steps, []byte(say))
	}
	for b.Loop() {
		var all sync.WaitGroup
		for _, d := range senders {
			all.Go(func() {
				for _, say := range steps {
					d.Write(say)
					if got := d.reply(); got == "" || got[0] != '2' && got[0] != '3' {
						b.Errorf("reply %q", got)
					}
				}
			})
		}
		all.Wait()
	}
}

// deafServer answers without looking at what it reads but for the end.
func deafServer(b *testing.B) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go answer(conn)
		}
	}()
	return ln.Addr().String()
}

func answer(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReaderSize(conn, 64<<10)
	io.WriteString(conn, "220 x\r\n")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		if !strings.HasPrefix(line, "DATA") {
			io.WriteString(conn, "250 x\r\n")
			continue
		}
		io.WriteString(conn, "354 x\r\n")
		for {
			_, err := r.Peek(1)
			if err != nil {
				return
			}
			held, _ := r.Peek(r.Buffered())
			end := bytes.HasSuffix(held, []byte(".\r\n"))
			r.Discard(len(held))
			if end {
				break
			}
		}
		io.WriteString(conn, "250 x\r\n")
	}
}
