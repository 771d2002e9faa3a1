package dovecottest

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy is a line to a server that can be cut, and that takes its time.
type Proxy struct {
	Addr string

	to    string
	delay time.Duration // each way
	mu    sync.Mutex
	conns map[net.Conn]bool
	left  int64 // bytes of the server's until the line is cut; below 0: never
	cuts  int
	first time.Time
}

// StartProxy puts a proxy before a server until the test ends. delay is that of a round
// trip.
func StartProxy(t testing.TB, to string, delay time.Duration) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), to: to, delay: delay / 2, conns: map[net.Conn]bool{}, left: -1}
	t.Cleanup(func() {
		l.Close()
		p.Cut()
	})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(conn)
		}
	}()
	return p
}

// Cut cuts all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

// CutAfter cuts every connection each time the server has sent so many bytes in all;
// below 0 never.
func (p *Proxy) CutAfter(bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left = bytes
}

// Cuts is how often the line was cut by CutAfter.
func (p *Proxy) Cuts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// First is when somebody connected first.
func (p *Proxy) First() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.first
}

func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	p.mu.Lock()
	if p.first.IsZero() {
		p.first = time.Now()
	}
	p.mu.Unlock()
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer server.Close()
	p.mu.Lock()
	p.conns[client], p.conns[server] = true, true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, client)
		delete(p.conns, server)
	}()
	var both sync.WaitGroup
	both.Go(func() { p.pass(server, client, false) })
	both.Go(func() { p.pass(client, server, true) })
	both.Wait()
}

// piece is what came in at once, and when it is to go out.
type piece struct {
	b  []byte
	at time.Time
}

// pass passes bytes on, each after the delay, however many are on their way.
func (p *Proxy) pass(to, from net.Conn, counted bool) {
	defer to.Close()
	defer from.Close()
	way := make(chan piece, 4096)
	go func() {
		defer close(way)
		for {
			b := make([]byte, 32<<10)
			n, err := from.Read(b)
			if n > 0 {
				way <- piece{b[:n], time.Now().Add(p.delay)}
			}
			if err != nil {
				return
			}
		}
	}()
	for piece := range way {
		if p.delay > 0 {
			time.Sleep(time.Until(piece.at))
		}
		if counted && p.spent(len(piece.b)) {
			p.Cut()
		}
		if _, err := to.Write(piece.b); err != nil {
			from.Close()
			_, _ = io.Copy(io.Discard, from)
		}
	}
}

// spent reports that the line is to be cut now.
func (p *Proxy) spent(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left < 0 {
		return false
	}
	if p.left -= int64(n); p.left > 0 {
		return false
	}
	p.left = -1
	p.cuts++
	return true
}
