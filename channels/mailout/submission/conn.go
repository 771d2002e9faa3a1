package submission

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Conn is a session with a relay: authenticated, and encrypted unless the relay is on
// this machine. One goroutine uses it at a time.
type Conn struct {
	cfg     Config
	line    net.Conn // the connection below TLS: deadlines are set on it
	conn    net.Conn
	r       *bufio.Reader
	w       *bufio.Writer
	stopped atomic.Bool // whoever uses it does not want to any more
	offers
}

// offers are the extensions of EHLO.
type offers struct {
	known   map[string]string // keyword → parameters
	maxSize int64             // 0: none said
}

// Dial opens a session. The error is a *Fault, or ctx's.
func Dial(ctx context.Context, cfg Config, relay Relay) (*Conn, error) {
	cfg = cfg.withDefaults()
	opening, cancel := context.WithTimeout(ctx, cfg.Connect)
	defer cancel()
	var d net.Dialer
	raw, err := d.DialContext(opening, "tcp", net.JoinHostPort(relay.Host, relay.Port))
	if err != nil {
		return nil, fault(ctx, relayFault(CodeUnreachable, err))
	}
	c := &Conn{cfg: cfg, line: raw}
	c.over(raw)
	stop := c.endWith(ctx)
	defer stop()
	if err := c.open(opening, relay); err != nil {
		_ = c.conn.Close()
		return nil, fault(ctx, err)
	}
	return c, nil
}

// fault prefers the context's word: whoever stopped it knows.
func fault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// over puts the session on a connection.
func (c *Conn) over(conn net.Conn) {
	c.conn = conn
	c.r = bufio.NewReaderSize(conn, maxReplyLine)
	c.w = bufio.NewWriterSize(conn, 64<<10)
}

// past is a deadline that has gone by.
var past = time.Unix(1, 0)

// endWith makes reading and writing fail for good once ctx ends, unless stop is called
// before.
func (c *Conn) endWith(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		c.stopped.Store(true)
		_ = c.line.SetDeadline(past)
	})
}

// open greets, encrypts and authenticates.
func (c *Conn) open(ctx context.Context, relay Relay) error {
	if relay.Implicit {
		if err := c.encrypt(ctx, relay); err != nil {
			return err
		}
	}
	greeting, err := c.answer(c.cfg.Command)
	if err != nil {
		return err
	}
	if greeting.code != 220 {
		return greeting.relayFault(CodeBusy)
	}
	if err := c.hello(); err != nil {
		return err
	}
	if !relay.Implicit && (!local(c.line) || relay.Pin != nil || c.cfg.nothingLocal) {
		if err := c.startTLS(ctx, relay); err != nil {
			return err
		}
	}
	if relay.User == "" {
		return nil
	}
	return c.authenticate(relay)
}

// local: what is sent does not leave this machine.
func local(conn net.Conn) bool {
	addr, ok := conn.RemoteAddr().(*net.TCPAddr)
	return ok && addr.IP.IsLoopback()
}

func (c *Conn) encrypt(ctx context.Context, relay Relay) error {
	secure := tls.Client(c.conn, c.cfg.tls(relay))
	if err := secure.HandshakeContext(ctx); err != nil {
		return certificateFault(err)
	}
	c.over(secure)
	return nil
}

func (c *Conn) startTLS(ctx context.Context, relay Relay) error {
	if !c.offered("STARTTLS") {
		return relayFault(CodeNoTLS, nil)
	}
	r, err := c.command("STARTTLS")
	if err != nil {
		return err
	}
	if r.code != 220 {
		return r.relayFault(CodeNoTLS)
	}
	if c.r.Buffered() > 0 { // said in the clear, to be believed encrypted
		return relayFault(CodeProtocol, nil)
	}
	if err := c.encrypt(ctx, relay); err != nil {
		return err
	}
	return c.hello()
}

func (c *Conn) hello() error {
	r, err := c.command("EHLO " + c.cfg.Hello)
	if err != nil {
		return err
	}
	if r.code != 250 {
		return r.relayFault(CodeBusy)
	}
	c.offers = parseOffers(r.lines[1:])
	return nil
}

func parseOffers(lines []string) offers {
	o := offers{known: map[string]string{}}
	for _, line := range lines {
		keyword, rest, _ := strings.Cut(line, " ")
		o.known[strings.ToUpper(keyword)] = strings.ToUpper(rest)
	}
	if n, err := strconv.ParseInt(o.known["SIZE"], 10, 64); err == nil && n > 0 {
		o.maxSize = n
	}
	return o
}

func (o offers) offered(keyword string) bool {
	_, ok := o.known[keyword]
	return ok
}

func (c *Conn) authenticate(relay Relay) error {
	methods := strings.Fields(c.known["AUTH"])
	offered := func(method string) bool {
		for _, m := range methods {
			if m == method {
				return true
			}
		}
		return false
	}
	based := base64.StdEncoding.EncodeToString
	var lines []string
	switch {
	case offered("PLAIN"):
		lines = []string{"AUTH PLAIN " + based([]byte("\x00"+relay.User+"\x00"+relay.Password))}
	case offered("LOGIN"):
		lines = []string{"AUTH LOGIN", based([]byte(relay.User)), based([]byte(relay.Password))}
	default:
		return relayFault(CodeAuthMethod, nil)
	}
	for i, line := range lines {
		r, err := c.command(line)
		if err != nil {
			return err
		}
		last := i == len(lines)-1
		switch {
		case last && r.code == 235, !last && r.code == 334:
		case r.class() == 4:
			return r.relayFault(CodeBusy)
		default:
			return r.relayFault(CodeAuth)
		}
	}
	return nil
}

// command says one line and hears the answer.
func (c *Conn) command(line string) (reply, error) {
	if err := c.say(line); err != nil {
		return reply{}, err
	}
	return c.answer(c.cfg.Command)
}

// say sends lines together.
func (c *Conn) say(lines ...string) error {
	c.patience(c.cfg.Command)
	for _, line := range lines {
		_, _ = c.w.WriteString(line + "\r\n") // Flush tells
	}
	if err := c.w.Flush(); err != nil {
		return relayFault(CodeSilent, err)
	}
	return nil
}

// answer hears one reply.
func (c *Conn) answer(within time.Duration) (reply, error) {
	c.patience(within)
	r, err := readReply(c.r)
	switch {
	case errors.Is(err, errReply):
		return reply{}, relayFault(CodeProtocol, err)
	case err != nil:
		return reply{}, relayFault(CodeSilent, err)
	}
	return r, nil
}

// patience bounds what comes next, of both directions; nothing comes once we are stopped.
func (c *Conn) patience(d time.Duration) {
	_ = c.line.SetDeadline(time.Now().Add(d)) // a connection that is gone says so when it is used
	if c.stopped.Load() {
		_ = c.line.SetDeadline(past)
	}
}

// relayFault is a reply as a fault of the relay.
func (r reply) relayFault(code string) *Fault {
	return &Fault{Relay: true, Broken: true, Code: code, Status: r.status}
}

// Alive asks whether the session still holds.
func (c *Conn) Alive(ctx context.Context) bool {
	stop := c.endWith(ctx)
	defer stop()
	r, err := c.command("NOOP")
	return err == nil && r.code == 250
}

// Close ends the session politely, which takes a second at most.
func (c *Conn) Close() {
	c.cfg.Command = time.Second
	_, _ = c.command("QUIT") // whatever it says to that
	_ = c.conn.Close()
}

// Drop ends the session without a word.
func (c *Conn) Drop() { _ = c.conn.Close() }
