// Package smtpin owns the receiving of mail by SMTP (RFC 5321): the conversation with
// the sending server, whose reply 250 promises that the message is durable. The protocol
// is go-smtp's; what senders could abuse — line ends, sizes, time, numbers — is watched
// here.
package smtpin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"

	"vaguemestre/channels"
	"vaguemestre/core"
)

// Channel receives mail. It is a channels.Channel.
type Channel struct {
	cfg    Config
	intake channels.Intake
	log    *slog.Logger

	mu     sync.Mutex
	inlets []inlet // bound, until Run has ended
}

// inlet is one address listened on.
type inlet struct {
	net.Listener
	tls      bool // from the first byte
	loopback bool
}

// New returns a channel that hands what it receives to intake. It does not listen yet.
func New(cfg Config, intake channels.Intake, log *slog.Logger) *Channel {
	return &Channel{cfg: cfg.withDefaults(), intake: intake, log: log}
}

// Name is core.ChannelSMTP.
func (c *Channel) Name() string { return core.ChannelSMTP }

// Listen binds the addresses, all or none; from then on senders can connect, and are
// served once Run runs. Run listens by itself when it was not called. Doing it twice is
// doing it once. Without TLS, an address that is not loopback is refused, and so are
// balancers, behind which nobody is.
func (c *Channel) Listen() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inlets != nil {
		return nil
	}
	if len(c.cfg.Addrs) == 0 {
		return errors.New("listen for mail: no address")
	}
	var inlets []inlet
	for _, addr := range c.cfg.Addrs {
		in, err := c.bind(addr)
		if err != nil {
			closeAll(inlets)
			return fmt.Errorf("listen for mail: %w", err)
		}
		inlets = append(inlets, in)
	}
	c.inlets = inlets
	return nil
}

func (c *Channel) bind(addr string) (inlet, error) {
	hostPort, tls := strings.CutPrefix(addr, "tls://")
	ln, err := net.Listen("tcp", hostPort)
	if err != nil {
		return inlet{}, err
	}
	in := inlet{ln, tls, isLoopback(ln.Addr())}
	if c.cfg.TLS == nil && (tls || !in.loopback || len(c.cfg.Balancers) > 0) {
		ln.Close()
		return inlet{}, fmt.Errorf("%s: no TLS certificate, which all but plain loopback addresses need", ln.Addr())
	}
	return in, nil
}

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

func closeAll(inlets []inlet) {
	for _, in := range inlets {
		in.Close()
	}
}

// Addr is the first address listened on, host:port, or "" before Listen and after Run.
func (c *Channel) Addr() string {
	if all := c.Addrs(); len(all) > 0 {
		return all[0]
	}
	return ""
}

// Addrs are the addresses listened on, host:port, in the order of the configuration.
func (c *Channel) Addrs() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, in := range c.inlets {
		out = append(out, in.Addr().String())
	}
	return out
}

// Run receives mail until ctx ends. Then new connections and new transactions are
// turned away with 421, those under way may finish within the stop timeout, and Run
// returns nil; what is cut off after it was never acknowledged. When one of the
// addresses cannot be listened on any more, Run ends with the error.
func (c *Channel) Run(ctx context.Context) error {
	if err := c.Listen(); err != nil {
		return err
	}
	c.mu.Lock()
	inlets := c.inlets
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		closeAll(inlets)
		c.inlets = nil
	}()
	open, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(open, func() { closeAll(inlets) })()

	work, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	r := newReception(work, c)
	ended := make(chan error)
	for _, in := range inlets {
		go func() {
			err := r.admit(open, in)
			stop() // one for all
			ended <- err
		}()
	}
	var errs []error
	for range inlets {
		errs = append(errs, <-ended)
	}
	r.finish(abandon)
	return errors.Join(errs...)
}
