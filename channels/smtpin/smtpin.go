// Package smtpin owns the receiving of mail by SMTP (RFC 5321): the conversation with
// the sending server, whose reply 250 promises that the message is durable. The protocol
// is go-smtp's; what senders could abuse — line ends, sizes, time — is watched here.
package smtpin

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	smtp "github.com/emersion/go-smtp"

	"vaguemestre/channels"
	"vaguemestre/core"
)

// Config says how mail is received. A limit left at zero has its default.
type Config struct {
	Addr   string      // host:port to listen on
	Domain string      // our name in the greeting; localhost when empty
	TLS    *tls.Config // STARTTLS is offered when set, and required unless Addr is a loopback address

	MaxBytes      int64 // of a message as received; 50 MiB
	MaxHeader     int   // bytes; 256 KiB
	MaxLine       int   // bytes in a line of a message, its line break included; 64 KiB
	MaxRecipients int   // of one message; 100
	MaxSessions   int   // at the same time; 500

	ReadTimeout time.Duration // for the next command or the next bytes of a message; 5 min (RFC 5321 §4.5.3.2)
	DataTimeout time.Duration // for a whole message; 10 min
	StopTimeout time.Duration // for the transactions under way when Run's context ends; 30 s

	Now func() time.Time // time.Now when nil
}

func (c Config) withDefaults() Config {
	def := func(n *int, d int) {
		if *n == 0 {
			*n = d
		}
	}
	wait := func(n *time.Duration, d time.Duration) {
		if *n == 0 {
			*n = d
		}
	}
	if c.Domain == "" {
		c.Domain = "localhost"
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 50 << 20
	}
	def(&c.MaxHeader, 256<<10)
	def(&c.MaxLine, 64<<10)
	def(&c.MaxRecipients, 100)
	def(&c.MaxSessions, 500)
	wait(&c.ReadTimeout, 5*time.Minute)
	wait(&c.DataTimeout, 10*time.Minute)
	wait(&c.StopTimeout, 30*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Channel receives mail. It is a channels.Channel.
type Channel struct {
	cfg    Config
	intake channels.Intake
	log    *slog.Logger

	mu sync.Mutex
	ln net.Listener // bound, until Run has ended
}

// New returns a channel that hands what it receives to intake. It does not listen yet.
func New(cfg Config, intake channels.Intake, log *slog.Logger) *Channel {
	return &Channel{cfg: cfg.withDefaults(), intake: intake, log: log}
}

// Name is core.ChannelSMTP.
func (c *Channel) Name() string { return core.ChannelSMTP }

// Listen binds the address; from then on senders can connect, and are served once Run
// runs. Run listens by itself when it was not called. Doing it twice is doing it once.
// An address that is not loopback is refused without TLS.
func (c *Channel) Listen() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ln != nil {
		return nil
	}
	ln, err := net.Listen("tcp", c.cfg.Addr)
	if err != nil {
		return fmt.Errorf("listen for mail: %w", err)
	}
	if c.cfg.TLS == nil && !isLoopback(ln.Addr()) {
		ln.Close()
		return fmt.Errorf("listen for mail on %s: no TLS certificate, and not a loopback address", ln.Addr())
	}
	c.ln = ln
	return nil
}

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// Addr is the address listened on, host:port, or "" before Listen and after Run.
func (c *Channel) Addr() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ln == nil {
		return ""
	}
	return c.ln.Addr().String()
}

// Run receives mail until ctx ends. Then new connections and new transactions are
// turned away with 421, those under way may finish within the stop timeout, and Run
// returns nil; what is cut off after it was never acknowledged.
func (c *Channel) Run(ctx context.Context) error {
	if err := c.Listen(); err != nil {
		return err
	}
	c.mu.Lock()
	ln := c.ln
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		ln.Close()
		c.ln = nil
	}()
	defer context.AfterFunc(ctx, func() { ln.Close() })()

	work, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	r := newReception(work, c, isLoopback(ln.Addr()))
	err := r.admit(ctx, ln)
	r.finish(abandon)
	return err
}

// reception is one run of the channel: the sessions that are open and the two protocol
// servers they belong to, before and after STARTTLS. They differ in offering it.
type reception struct {
	*Channel
	work          context.Context // of the transactions; outlives Run's by the stop timeout
	requireTLS    bool
	plain, secure *smtp.Server
	arrivals      *door // of plain
	upgraded      *door // of secure

	stopping atomic.Bool
	mu       sync.Mutex
	open     map[*wire]struct{}
	left     chan struct{} // closed when stopping and nobody is left
}

func newReception(work context.Context, c *Channel, loopback bool) *reception {
	r := &reception{
		Channel: c, work: work, requireTLS: c.cfg.TLS != nil && !loopback,
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

// admit lets connections in until ctx ends.
func (r *reception) admit(ctx context.Context, ln net.Listener) error {
	for {
		conn, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				turnAway(conn, "421 4.3.2 Closing down, try again later")
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
		w := &wire{Conn: conn, r: r, br: bufio.NewReaderSize(conn, wireBuffer)}
		if !r.enter(w) {
			turnAway(conn, "421 4.3.2 Too many sessions, try again later")
			continue
		}
		r.arrivals.pass(w)
	}
}

// turnAway says why and closes; a new connection has room for a line.
func turnAway(conn net.Conn, reply string) {
	conn.SetWriteDeadline(time.Now().Add(time.Second))
	fmt.Fprintf(conn, "%s\r\n", reply)
	conn.Close()
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

// Addr is asked for by net.Listener; the address that matters is the Channel's.
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
