package smtpin

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"vaguemestre/core"
)

// ledger is an intake that keeps the bytes it took.
type ledger struct {
	mu    sync.Mutex
	taken [][]byte
}

func (l *ledger) Locate(_ context.Context, address string) (core.Address, error) {
	if !strings.HasSuffix(address, "@v.test") {
		return core.Address{}, core.ErrNotFound
	}
	return core.Address{Tenant: "t", Vault: "v"}, nil
}

func (l *ledger) Accept(_ context.Context, _ core.Deposit, bodies ...core.Body) (core.Receipt, error) {
	b, err := io.ReadAll(bodies[0].R)
	if err != nil {
		return core.Receipt{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken = append(l.taken, b)
	return core.Receipt{Deposit: "d"}, nil
}

// pipe is a connection within the process, from loopback, that tells when it is closed.
type pipe struct {
	net.Conn
	closed chan struct{}
	once   sync.Once
}

func (*pipe) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipe) Close() error {
	p.once.Do(func() { close(p.closed) })
	return p.Conn.Close()
}

var (
	dataLine  = regexp.MustCompile(`(?i)(?:^|\n)DATA[ \t]*\r\n`)
	bdatLine  = regexp.MustCompile(`(?i)(?:^|\n)BDAT[ \t]+([0-9]+)([ \t]+LAST)?[ \t]*\r\n`)
	lastChunk = regexp.MustCompile(`(?i)BDAT[ \t]+[0-9]+[ \t]+LAST`) // behind a chunk, no line begins with it
	status    = regexp.MustCompile(`^(?:220 |354 |250[ -](?:mx\.test|[A-Z0-9]+(?: [A-Z0-9= ]+)?)$|([245])[0-9]{2} ([245])\.[0-9]+\.[0-9]+ \S)`)
)

// possible are the messages that a strict reader may find in what a client sent, however
// it began: behind any DATA to the next CRLF.CRLF, and in any run of chunks.
func possible(raw []byte) map[string]bool {
	out := map[string]bool{}
	for _, at := range dataLine.FindAllIndex(raw, -1) {
		if message, ok := reference(raw[at[1]:]); ok {
			out[string(message)] = true
		}
	}
	for _, at := range bdatLine.FindAllIndex(raw, -1) {
		rest, message := raw[at[0]:], []byte(nil)
		for {
			next := bdatLine.FindSubmatchIndex(rest)
			if next == nil {
				break
			}
			size, err := strconv.Atoi(string(rest[next[2]:next[3]]))
			if err != nil || size > len(rest)-next[1] {
				break
			}
			message = append(message, rest[next[1]:next[1]+size]...)
			if next[4] >= 0 {
				out[string(message)] = true
				break
			}
			rest = rest[next[1]+size:]
		}
	}
	return out
}

// FuzzSession has strangers' bytes as a whole session: nothing panics, every reply has
// its form, and what is taken in is what a strict reader may have found there, no more
// often than there are ends of messages.
func FuzzSession(f *testing.F) {
	const head = "EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<x@v.test>\r\n"
	for _, seed := range []string{
		"", head + "DATA\r\nS: x\r\n\r\n..y\r\n.\r\nQUIT\r\n", head + "DATA\r\nx\n.\r\n" + head + "DATA\r\ny\r\n.\r\n",
		head + "BDAT 4\r\na\r\nbBDAT 0\r\nNOOP\r\nBDAT 2 LAST\r\n\r\n", head + "BDAT 3 LAST\r\nabc" + head + "DATA\r\n.\r\n",
		head + "DATA\r\n\r\n\x00.\r\n.\r\x00\n.\r\n", "MAIL FROM:<a@b> SIZE=9999999999\r\nSTARTTLS\r\nBDAT 99999999999\r\n",
		head + "RSET\r\nBDAT 5\r\nDATA\r\nDATA\r\n", "HELO c\r\nMAIL FROM:<\"a b\"@c>\r\nRCPT TO:<postmaster>\r\nRCPT TO:<@a:b@v.test>\r\nDATA\r\n" + strings.Repeat("x", 300) + "\r\n.\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n", head + "DATA\r\nx\r\n.\r\nEHLO d\r\nBDAT 1 LAST\r\nx\r\n", head + "BDAT 2 LAST\r\nx\r" + "BDAT 1 LAST\r\n\n", head + "BDAT 4\r\n0\r\n0BDAT 0 LAST\r\n",
	} {
		f.Add([]byte(seed), byte(0))
		f.Add([]byte(seed), byte(1))
		f.Add([]byte(seed), byte(7))
	}
	in := &ledger{}
	r := newReception(f.Context(), New(Config{
		Domain: "mx.test", MaxBytes: 2000, MaxLine: 400, MaxHeader: 600, UnknownDelay: time.Nanosecond,
		ReadTimeout: 5 * time.Second, Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
	}, in, slog.New(slog.DiscardHandler)))
	f.Cleanup(func() { r.finish(func() {}) })
	f.Fuzz(func(t *testing.T, raw []byte, piece byte) {
		in.taken = nil
		client, server := net.Pipe()
		p := &pipe{Conn: server, closed: make(chan struct{})}
		w := newWire(r, p)
		r.enter(w)
		go r.receive(w, inlet{loopback: true})
		heard := make(chan []byte)
		go func() {
			b, _ := io.ReadAll(client)
			heard <- b
		}()
		for rest := raw; len(rest) > 0; {
			n := len(rest)
			if piece > 0 {
				n = min(n, int(piece))
			}
			if _, err := client.Write(rest[:n]); err != nil {
				break
			}
			rest = rest[n:]
		}
		client.Write([]byte("\r\nQUIT\r\n")) // or more of a message, or of a chunk
		client.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		replies := <-heard
		client.Close()
		select {
		case <-p.closed:
		case <-time.After(5 * time.Second):
			t.Fatal("session does not end")
		}
		sent := append(bytes.Clone(raw), "\r\nQUIT\r\n"...)
		in.mu.Lock()
		defer in.mu.Unlock()
		checkTaken(t, sent, in.taken)
		checkReplies(t, string(replies))
	})
}

func checkTaken(t *testing.T, sent []byte, taken [][]byte) {
	t.Helper()
	may := possible(sent)
	for _, m := range taken {
		if !may[string(m)] || bare.Match(m) {
			t.Errorf("took %q from %q", m, sent)
		}
	}
	ends := bytes.Count(sent, []byte("\r\n.\r\n"))
	ends += len(lastChunk.FindAll(sent, -1))
	if len(taken) > ends {
		t.Errorf("took %d messages from %d ends: %q", len(taken), ends, sent)
	}
}

func checkReplies(t *testing.T, replies string) {
	t.Helper()
	for line := range strings.Lines(replies) {
		text, whole := strings.CutSuffix(line, "\r\n")
		m := status.FindStringSubmatch(text)
		if whole && (m == nil || m[1] != m[2] || len(line) > 512) {
			t.Errorf("reply %q", line)
		}
	}
}
