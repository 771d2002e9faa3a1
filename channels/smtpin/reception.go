package smtpin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	smtp "github.com/emersion/go-smtp"
)

// reception is one run of the channel: the sessions that are open and the two protocol
// servers they belong to, without and with TLS. They differ in offering it.
type reception struct {
	*Channel
	work          context.Context // of the transactions; outlives Run's by the stop timeout
	crowd         *crowd
	plain, secure *smtp.Server
	arrivals      *door // of plain
	upgraded      *door // of secure

	stopping atomic.Bool
	mu       sync.Mutex
	open     map[*wire]struct{}
	left     chan struct{} // closed when stopping and nobody is left
}

func newReception(work context.Context, c *Channel) *reception {
	r := &reception{
		Channel: c, work: work, crowd: newCrowd(c.cfg),
		arrivals: newDoor(), upgraded: newDoor(),
		open: map[*wire]struct{}{}, left: make(chan struct{}),
	}
	r.plain, r.secure = r.server(), r.server()
	r.plain.TLSConfig = c.cfg.TLS
	go r.plain.Serve(r.arrivals)
	go r.secure.Serve(r.upgraded)
	return r
}

// server sets up the protocol. Read timeouts and line lengths are the wire's.
func (r *reception) server() *smtp.Server {
	s := smtp.NewServer(smtp.BackendFunc(r.newSession))
	s.Domain = r.cfg.Domain
	s.MaxMessageBytes = r.cfg.MaxBytes
	s.MaxRecipients = r.cfg.MaxRecipients
	s.MaxLineLength = 0
	s.WriteTimeout = r.cfg.ReadTimeout
	s.EnableSMTPUTF8 = true
	s.ErrorLog = libraryLog{r.log}
	return s
}

// enter counts w among the open sessions, if there is room.
func (r *reception) enter(w *wire) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.open) >= r.cfg.MaxSessions {
		return false
	}
	r.open[w] = struct{}{}
	return true
}

// replace puts the secured wire in the place of the plain one.
func (r *reception) replace(plain, secured *wire) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, plain)
	r.open[secured] = struct{}{}
}

// leave ends the count of w.
func (r *reception) leave(w *wire) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, here := r.open[w]; !here {
		return
	}
	delete(r.open, w)
	if r.stopping.Load() && len(r.open) == 0 {
		close(r.left)
	}
}

// finish lets the transactions under way end, as long as the stop timeout allows, then
// cuts what is left.
func (r *reception) finish(abandon func()) {
	r.mu.Lock()
	r.stopping.Store(true)
	if len(r.open) == 0 {
		close(r.left)
	}
	for w := range r.open {
		w.wake()
	}
	r.mu.Unlock()

	late := time.NewTimer(r.cfg.StopTimeout)
	defer late.Stop()
	select {
	case <-r.left:
	case <-late.C:
		r.log.Warn("sessions cut off at the end of the stop timeout")
	}
	abandon()
	r.arrivals.Close()
	r.upgraded.Close()
	r.plain.Close()
	r.secure.Close()
}

// door is the net.Listener through which wires come to a protocol server.
type door struct {
	wires  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newDoor() *door { return &door{wires: make(chan net.Conn), closed: make(chan struct{})} }

// pass hands w to the server, or closes it when the server has closed.
func (d *door) pass(w *wire) {
	select {
	case d.wires <- w:
	case <-d.closed:
		w.Close()
	}
}

func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.wires:
		return c, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

func (d *door) Close() error {
	d.once.Do(func() { close(d.closed) })
	return nil
}

// Addr is asked for by net.Listener; the addresses that matter are the Channel's.
func (d *door) Addr() net.Addr { return &net.TCPAddr{} }

// libraryLog takes what go-smtp reports, without the addresses in it: a panic, of which
// the stack is kept, or a broken connection.
type libraryLog struct{ log *slog.Logger }

func (l libraryLog) Printf(format string, v ...any) {
	if len(v) == 3 {
		l.log.Error("panic in a session", "stack", fmt.Sprintf("%s", v[2]))
		return
	}
	l.log.Debug("session broke off", "what", format)
}

func (l libraryLog) Println(...any) { l.log.Debug("session broke off") }

// admit lets connections in until ctx ends.
func (r *reception) admit(ctx context.Context, in inlet) error {
	for {
		conn, err := in.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				r.turnAway(conn, in, "stopping", "421 4.3.2 Closing down, try again later")
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept connections: %w", err)
		case err != nil: // out of descriptors, most likely: some will be freed
			r.log.Warn("connection not accepted", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		w := newWire(r, conn)
		if !r.enter(w) {
			r.turnAway(conn, in, "sessions", "421 4.3.2 Too many sessions, try again later")
			continue
		}
		go r.receive(w, in)
	}
}

// turnAway says why and closes; a new connection has room for a line. Where TLS comes
// first nothing can be said.
func (r *reception) turnAway(conn net.Conn, in inlet, why, reply string) {
	r.cfg.Seen(SeenTurnedAway, why)
	if !in.tls {
		conn.SetWriteDeadline(time.Now().Add(time.Second))
		fmt.Fprintf(conn, "%s\r\n", reply)
	}
	conn.Close()
}
