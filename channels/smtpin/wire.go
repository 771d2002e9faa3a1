package smtpin

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	wireBuffer = 8 << 10
	// wideBuffer is what a message is read through: fewer, larger reads.
	wideBuffer = 64 << 10
	// maxCommand bounds a command line: RFC 5321 §4.5.3.1.4 asks for 512 bytes and
	// lets extensions add to it.
	maxCommand = 2 << 10
)

// wire is a connection as the protocol server is to see it. It hands over one command
// line at a time, so that nothing is read ahead of its meaning: the message after DATA
// is read by a dataBody, the bytes after BDAT are counted, and those after STARTTLS
// belong to TLS. It ends the session on a bare CR or LF, which go-smtp would take for
// part of a line and other servers for its end: what two servers read differently can
// smuggle a message past one of them.
//
// Its methods belong to the session's goroutine; wake, Close and what is atomic do not.
type wire struct {
	net.Conn // the network, or TLS over it
	r        *reception
	br       *bufio.Reader
	wide     *bufio.Reader // over br, while a message comes in and until it is read up

	client     netip.Addr
	exempt     bool // its network is not counted
	requireTLS bool
	secure     bool
	silent     bool // swallow the next reply: the greeting that TLS makes a second one
	tally      *tally

	give   []byte        // to be handed over before anything is read
	verb   string        // of the command under way
	held   []byte        // lines of a reply that goes on
	chunk  int64         // bytes of a BDAT chunk still to come
	wasted int64         // bytes read of what was refused already
	until  time.Time     // when the message under way must be there; zero between messages
	waited time.Duration // for bytes of it, since it was asked last whether they come in too slowly
	got    int           // of them since then
	owed   bool          // go-smtp has a reply to give
	wary   bool          // a message, taken or refused, came just before
	vast   bool          // the MAIL under way declares a size of more digits than go-smtp reads

	dead      atomic.Bool // nothing is read any more
	busy      atomic.Bool // in a transaction, which may finish when the channel stops
	addressed atomic.Bool // in a transaction with a recipient
	taken     atomic.Bool // a message, just now
	counted   atomic.Bool // among the sessions of its network
	handed    atomic.Bool // the connection lives on in another wire
	closed    sync.Once
}

// tally is what a session has done so far; it outlives STARTTLS.
type tally struct {
	commands int // since the last message taken in
	messages int
	errors   int
	unknown  int
}

func newWire(r *reception, conn net.Conn) *wire {
	return &wire{Conn: conn, r: r, br: bufio.NewReaderSize(conn, wireBuffer), tally: &tally{}}
}

// Read hands over what is next: a command line, or bytes of a chunk. It says io.EOF
// when the session is over, whatever ended it: the last reply is already written.
func (w *wire) Read(p []byte) (int, error) {
	switch {
	case len(w.give) > 0:
	case w.dead.Load() && w.chunk > 0:
		w.chunk = 0
		return 0, errCutShort
	case w.dead.Load():
		w.linger()
		return 0, io.EOF
	case w.chunk > 0:
		return w.readChunk(p)
	default:
		w.give = w.command()
	}
	if len(w.give) == 0 {
		w.dead.Store(true)
		w.linger()
		return 0, io.EOF
	}
	w.owed = true
	n := copy(p, w.give)
	w.give = w.give[n:]
	return n, nil
}

// readChunk reads from a BDAT chunk. A chunk cut short is never io.EOF: go-smtp would
// take that for its end, and a part of a message for the whole. It is the reply instead.
func (w *wire) readChunk(p []byte) (int, error) {
	n, err := w.wait(func() (int, error) { return w.in().Read(p[:min(int64(len(p)), w.chunk)]) })
	w.chunk -= int64(n)
	if err != nil {
		w.dead.Store(true)
		w.chunk = 0
		if errors.Is(err, errSlow) {
			return n, tooSlow
		}
		return n, errCutShort
	}
	return n, nil
}

// more waits until n bytes of a message are buffered.
func (w *wire) more(n int) error {
	for in := w.in(); in.Buffered() < n; {
		had := in.Buffered()
		_, err := w.wait(func() (int, error) {
			_, err := in.Peek(had + 1)
			return in.Buffered() - had, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// wait reads bytes of a message by read, as long as the time of the next bytes, of the
// message and of its pace allow.
func (w *wire) wait(read func() (int, error)) (int, error) {
	now := time.Now()
	idle := now.Add(w.r.cfg.ReadTimeout)
	for {
		if err := w.pace(now, idle); err != nil {
			return 0, err
		}
		n, err := read()
		began := now
		now = time.Now()
		w.got, w.waited = w.got+n, w.waited+now.Sub(began)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !now.Before(idle) || !now.Before(w.until) {
			return n, err
		}
	}
}

// pace sets the time until which the next bytes of a message are waited for, and says
// when too few came in while they were waited for. The time that we take is not the
// sender's.
func (w *wire) pace(now, idle time.Time) error {
	window := w.r.cfg.SlowWindow
	if w.waited >= window {
		if float64(w.got) < float64(w.r.cfg.MinSpeed)*window.Seconds() {
			return errSlow
		}
		w.got, w.waited = 0, 0
	}
	for _, t := range []time.Time{w.until, now.Add(window - w.waited)} {
		if t.Before(idle) {
			idle = t
		}
	}
	return w.Conn.SetReadDeadline(idle)
}

// in is where bytes are read from.
func (w *wire) in() *bufio.Reader {
	if w.wide != nil {
		return w.wide
	}
	return w.br
}

var wides = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, wideBuffer) }}

// widen reads through a larger buffer until it is empty between commands: narrow.
func (w *wire) widen() {
	if w.wide == nil {
		w.wide = wides.Get().(*bufio.Reader)
		w.wide.Reset(w.br)
	}
}

func (w *wire) narrow() {
	if w.wide != nil && w.wide.Buffered() == 0 {
		w.wide.Reset(nil)
		wides.Put(w.wide)
		w.wide = nil
	}
}

// Write sends a reply of go-smtp's, which writes it line by line, in our words.
func (w *wire) Write(p []byte) (int, error) {
	if w.silent {
		w.silent = false
		return len(p), nil
	}
	line := w.reword(strings.TrimRight(string(p), "\r\n"))
	w.held = append(append(w.held, line...), "\r\n"...)
	if len(line) > 3 && line[3] == '-' {
		return len(p), nil
	}
	w.owed = false
	_, err := w.Conn.Write(w.held)
	w.held = w.held[:0]
	return len(p), err
}

// answer sends a reply of our own. A sender that takes no reply is not waited for.
func (w *wire) answer(reply string) {
	w.Conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(w.Conn, w.counting(reply)+"\r\n")
}

// say is the last answer, after which nothing is read.
func (w *wire) say(reply string) []byte {
	w.answer(reply)
	w.dead.Store(true)
	return nil
}

// What is still read after the last reply: closing upon unread bytes may keep the
// reply from being read.
const (
	lingerBytes = 1 << 20
	lingerTime  = time.Second
)

// linger lets the client read the last reply, once it is given.
func (w *wire) linger() {
	half, ok := w.Conn.(interface{ CloseWrite() error })
	if !ok || w.owed || w.handed.Load() {
		return
	}
	half.CloseWrite()
	w.Conn.SetReadDeadline(time.Now().Add(lingerTime))
	io.CopyN(io.Discard, w.in(), lingerBytes)
}

// Close closes the connection unless another wire has it; doing it again does nothing.
func (w *wire) Close() error {
	var err error
	w.closed.Do(func() {
		if w.handed.Load() {
			return
		}
		err = w.Conn.Close()
		w.r.leave(w)
		if w.counted.Load() {
			w.r.crowd.leave(w.client)
		}
	})
	return err
}

// begin starts the clock of a message and of its pace, reset stops it.
func (w *wire) begin() {
	if w.until.IsZero() {
		w.until = time.Now().Add(w.r.cfg.DataTimeout)
	}
	w.got, w.waited = 0, 0
}

func (w *wire) reset() {
	w.until = time.Time{}
	w.busy.Store(false)
	w.addressed.Store(false)
}

// arm sets the time by which the next command must come.
func (w *wire) arm() {
	deadline := time.Now().Add(w.r.cfg.ReadTimeout)
	if !w.until.IsZero() && w.until.Before(deadline) {
		deadline = w.until
	}
	w.Conn.SetReadDeadline(deadline)
	if w.stopped() {
		w.wake() // it may have been called just before
	}
}

// stopped reports whether the channel stops and the session has nothing to finish.
func (w *wire) stopped() bool { return w.r.stopping.Load() && !w.busy.Load() }

// wake interrupts a wait for the next command. In a transaction it does nothing.
func (w *wire) wake() {
	if !w.busy.Load() {
		w.Conn.SetReadDeadline(time.Unix(1, 0))
	}
}
