package smtpin

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	wireBuffer = 8 << 10
	// maxCommand bounds a command line: RFC 5321 §4.5.3.1.4 asks for 512 bytes and
	// lets extensions add to it.
	maxCommand = 2 << 10
	// handshakeTimeout bounds the TLS negotiation.
	handshakeTimeout = time.Minute
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
	secure   bool
	silent   bool // swallow the next reply: the greeting that TLS makes a second one

	give  []byte    // to be handed over before anything is read
	chunk int64     // bytes of a BDAT chunk still to come
	until time.Time // when the message under way must be there; zero between messages

	dead   atomic.Bool // nothing is read any more
	busy   atomic.Bool // in a transaction, which may finish when the channel stops
	handed atomic.Bool // the connection lives on in another wire
	closed sync.Once
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
		return 0, io.EOF
	case w.chunk > 0:
		return w.readChunk(p)
	default:
		w.give = w.command()
	}
	if len(w.give) == 0 {
		w.dead.Store(true)
		return 0, io.EOF
	}
	n := copy(p, w.give)
	w.give = w.give[n:]
	return n, nil
}

// readChunk reads from a BDAT chunk. A chunk cut short is never io.EOF: go-smtp would
// take that for its end, and a part of a message for the whole. It is the reply instead.
func (w *wire) readChunk(p []byte) (int, error) {
	w.arm()
	n, err := w.br.Read(p[:min(int64(len(p)), w.chunk)])
	w.chunk -= int64(n)
	if err != nil {
		w.dead.Store(true)
		w.chunk = 0
		return n, errCutShort
	}
	return n, nil
}

// command reads a command line, and gives nothing when the session is over.
func (w *wire) command() []byte {
	for {
		if w.stopped() {
			return w.say("421 4.3.2 Closing down, try again later")
		}
		w.arm()
		line, err := w.br.ReadSlice('\n')
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && w.stopped():
			continue
		case errors.Is(err, os.ErrDeadlineExceeded):
			return w.say("421 4.4.2 Idle for too long")
		case errors.Is(err, bufio.ErrBufferFull), err == nil && len(line) > maxCommand:
			return w.say("500 5.5.2 Line too long")
		case err != nil:
			return nil
		case !bytes.HasSuffix(line, []byte("\r\n")) || bytes.IndexByte(line, '\r') != len(line)-2:
			return w.say("550 5.5.2 Bare CR or LF, closing")
		}
		verb := strings.ToUpper(string(line[:min(len(line), 8)]))
		switch {
		case verb == "STARTTLS" && w.r.cfg.TLS != nil && !w.secure:
			return w.startTLS(line)
		case strings.HasPrefix(verb, "BDAT "):
			return w.bdat(line)
		}
		return line
	}
}

// say writes a last reply and gives nothing. A sender that takes no reply is not waited for.
func (w *wire) say(reply string) []byte {
	w.Conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(w.Conn, reply+"\r\n")
	return nil
}

// bdat notes how many bytes follow a BDAT command (RFC 3030 §2), exactly when go-smtp
// is going to read them. A chunk that no message may have is not even read.
func (w *wire) bdat(line []byte) []byte {
	args := strings.Fields(string(line[len("BDAT "):]))
	if len(args) == 1 || len(args) == 2 && strings.EqualFold(args[1], "LAST") {
		size, err := strconv.ParseUint(args[0], 10, 32)
		if err == nil && int64(size) > w.r.cfg.MaxBytes {
			return w.say("552 5.3.4 Message too large")
		}
		if err == nil {
			w.chunk = int64(size)
			w.begin()
		}
	}
	return line
}

// startTLS secures the connection and hands it to the other server as a new session,
// which knows nothing that was said in the clear (RFC 3207 §4.2). Bytes sent along with
// the command were not protected: the session ends.
func (w *wire) startTLS(line []byte) []byte {
	if len(bytes.TrimSpace(line)) > len("STARTTLS") {
		return w.say("501 5.5.4 STARTTLS takes no parameter, closing")
	}
	if w.br.Buffered() > 0 {
		return w.say("503 5.5.1 Nothing may follow STARTTLS, closing")
	}
	if _, err := io.WriteString(w.Conn, "220 2.0.0 Ready to start TLS\r\n"); err != nil {
		return nil
	}
	conn := tls.Server(w.Conn, w.r.cfg.TLS)
	ctx, cancel := context.WithTimeout(w.r.work, handshakeTimeout)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil
	}
	secured := &wire{Conn: conn, r: w.r, br: bufio.NewReaderSize(conn, wireBuffer), secure: true, silent: true}
	w.handed.Store(true)
	w.r.replace(w, secured)
	w.r.upgraded.pass(secured)
	return nil
}

func (w *wire) Write(p []byte) (int, error) {
	if w.silent {
		w.silent = false
		return len(p), nil
	}
	return w.Conn.Write(p)
}

// Close closes the connection unless another wire has it; doing it again does nothing.
func (w *wire) Close() error {
	var err error
	w.closed.Do(func() {
		if !w.handed.Load() {
			err = w.Conn.Close()
			w.r.leave(w)
		}
	})
	return err
}

// begin starts the clock of a message, reset stops it.
func (w *wire) begin() {
	if w.until.IsZero() {
		w.until = time.Now().Add(w.r.cfg.DataTimeout)
	}
}

func (w *wire) reset() {
	w.until = time.Time{}
	w.busy.Store(false)
}

// arm sets the time by which the next bytes must come.
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
