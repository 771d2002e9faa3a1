package smtpin

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
)

const (
	// headerTimeout bounds the wait for a balancer's PROXY header.
	headerTimeout = 10 * time.Second
	// handshakeTimeout bounds the TLS negotiation.
	handshakeTimeout = time.Minute
)

// receive brings a connection to where the conversation begins: who it comes from, is
// there room for them, TLS where it comes first, and nothing said before the greeting.
func (r *reception) receive(w *wire, in inlet) {
	defer func() { // what a library may do over what it was sent: the process goes on
		if p := recover(); p != nil {
			r.log.Error("panic at an arrival", "stack", string(debug.Stack()))
			w.Close()
		}
	}()
	if !w.identify(in) {
		r.cfg.Seen(SeenTurnedAway, "header")
		w.Close()
		return
	}
	if lack := r.crowd.enter(w.client); lack != "" {
		defer w.Close()
		r.turnAway(w.Conn, in, lack, "421 4.7.0 Too many connections from your network, try again in a minute")
		return
	}
	w.counted.Store(true)
	if in.tls {
		if w = w.secured(); w == nil {
			return
		}
	}
	if early, err := w.early(); early || err != nil {
		if early {
			r.cfg.Seen(SeenTurnedAway, "early")
			w.say("554 5.5.0 You spoke before the greeting, closing")
			w.linger()
		}
		w.Close()
		return
	}
	door := r.arrivals
	how := "plain"
	if w.secure {
		door, how = r.upgraded, "tls"
	}
	r.cfg.Seen(SeenConnection, how)
	door.pass(w)
}

// identify finds out who the client is: the far end of the connection or, from a
// balancer, whom its PROXY header names. A balancer that sends none is not believed to
// be one, and refused; one that names nobody, as it does to see whether we live, is
// nobody's friend: counted, and held to TLS.
func (w *wire) identify(in inlet) bool {
	named := true
	w.client = addressOf(w.Conn.RemoteAddr())
	if covers(w.r.cfg.Balancers, w.client) {
		w.Conn.SetReadDeadline(time.Now().Add(headerTimeout))
		header, err := proxyproto.Read(w.br)
		if err != nil {
			return false
		}
		if named = header.Command.IsProxy(); named {
			if w.client = addressOf(header.SourceAddr); !w.client.IsValid() {
				return false
			}
		}
	}
	w.exempt = named && covers(w.r.cfg.Exempt, w.client)
	w.requireTLS = w.r.cfg.TLS != nil && !(named && in.loopback && w.client.IsLoopback())
	return true
}

// addressOf is an address without port; what is no IP address is not valid.
func addressOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap()
}

// early waits for the client to speak before it is greeted, as programs do that do not
// listen to replies. Other protocols that speak first are found out, too.
func (w *wire) early() (bool, error) {
	if w.exempt {
		return false, nil
	}
	w.Conn.SetReadDeadline(time.Now().Add(w.r.cfg.GreetDelay))
	_, err := w.br.Peek(1)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false, nil
	}
	return err == nil, err
}

// secured negotiates TLS and returns the wire that goes on in this one's place; nil when
// it failed, and everything is closed.
func (w *wire) secured() *wire {
	conn := tls.Server(ahead{w.Conn, w.in()}, w.r.cfg.TLS)
	ctx, cancel := context.WithTimeout(w.r.work, handshakeTimeout)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		w.r.cfg.Seen(SeenTLS, "failed")
		w.Close()
		return nil
	}
	w.r.cfg.Seen(SeenTLS, tls.VersionName(conn.ConnectionState().Version))
	next := newWire(w.r, conn)
	next.client, next.exempt, next.tally = w.client, w.exempt, w.tally
	next.secure = true
	next.counted.Store(w.counted.Load())
	w.handed.Store(true)
	w.r.replace(w, next)
	return next
}

// ahead is a connection of which some bytes were read already.
type ahead struct {
	net.Conn
	r io.Reader
}

func (a ahead) Read(p []byte) (int, error) { return a.r.Read(p) }
