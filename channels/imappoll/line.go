package imappoll

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// line is the connection under the IMAP library, which reads whatever a server sends
// into memory and waits for as long as it likes. Here nothing is longer than it may be:
// no line, no literal, no silence, and no talk without end.
type line struct {
	net.Conn
	greeting io.Reader    // read before the connection's own bytes, after STARTTLS; nil
	quiet    atomic.Int64 // silence borne, nanoseconds
	talk     atomic.Int64 // bytes beside bodies that may still come
	maxBody  int64        // largest literal that is a body; others are short

	mu    sync.Mutex
	fault error // why the line was closed by us
	ended error // what the connection said when it ended by itself

	// of the reading goroutine alone
	inLine   int    // bytes of the response read so far, literals left out
	tail     []byte // of the line, to recognise what comes before a literal
	depth    int    // parentheses open in it
	literals int64  // bytes of a literal to come
}

const (
	maxLine    = 1 << 20  // of one response; a window of UIDs fits in four times
	maxDepth   = 100      // of lists; what we ask for needs three
	maxLiteral = 64 << 10 // of what is no body
	talkAtOnce = 8 << 20  // between two commands of ours
	tailBytes  = len(`BODY[] {9223372036854775807}`) + 2
)

var (
	errLongLine = errors.New("the server sent a line without end")
	errLiteral  = errors.New("the server announced more bytes than a message may have")
	errNested   = errors.New("the server sent lists in lists in lists")
	errTalk     = errors.New("the server sent more than was asked for")
)

func newLine(conn net.Conn, maxBody int64, quiet time.Duration) *line {
	l := &line{Conn: conn, maxBody: maxBody}
	l.quiet.Store(int64(quiet))
	l.talk.Store(talkAtOnce)
	return l
}

// bear sets how long silence is borne from now on.
func (l *line) bear(quiet time.Duration) {
	l.quiet.Store(int64(quiet))
	_ = l.Conn.SetReadDeadline(time.Now().Add(quiet)) // a connection that cannot is broken, and reading says so
}

// SetReadDeadline takes no deadline for the silence that is borne.
func (l *line) SetReadDeadline(t time.Time) error {
	if t.IsZero() {
		t = time.Now().Add(time.Duration(l.quiet.Load()))
	}
	return l.Conn.SetReadDeadline(t)
}

// Write sends a command; the server has time to answer, and may say as much again.
func (l *line) Write(p []byte) (int, error) {
	l.talk.Store(talkAtOnce)
	_ = l.Conn.SetReadDeadline(time.Now().Add(time.Duration(l.quiet.Load()))) // as in bear
	return l.Conn.Write(p)
}

func (l *line) Read(p []byte) (int, error) {
	if l.greeting != nil {
		if n, err := l.greeting.Read(p); err == nil {
			return n, nil
		}
		l.greeting = nil
	}
	n, err := l.Conn.Read(p)
	if err != nil {
		l.mu.Lock()
		l.ended = err
		l.mu.Unlock()
	}
	if fault := l.watch(p[:n]); fault != nil {
		l.close(fault)
		return 0, fault
	}
	return n, err
}

// close closes the connection for a reason; the first stays.
func (l *line) close(fault error) {
	l.mu.Lock()
	if l.fault == nil {
		l.fault = fault
	}
	l.mu.Unlock()
	l.Conn.Close()
}

// why is the reason for which the line was closed by us, and how the connection ended
// without us; nil when it did not.
func (l *line) why() (fault, ended error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault, l.ended
}

// watch follows the bytes of responses: lines, and the literals they announce.
func (l *line) watch(p []byte) error {
	for len(p) > 0 {
		if l.literals > 0 {
			n := min(l.literals, int64(len(p)))
			l.literals -= n
			p = p[n:]
			continue
		}
		end := bytes.IndexByte(p, '\n')
		piece := p
		if end >= 0 {
			piece = p[:end+1]
		}
		p = p[len(piece):]
		if l.inLine += len(piece); l.inLine > maxLine {
			return errLongLine
		}
		if l.talk.Add(-int64(len(piece))) < 0 {
			return errTalk
		}
		if l.depth += bytes.Count(piece, []byte("(")) - bytes.Count(piece, []byte(")")); l.depth > maxDepth {
			return errNested
		}
		l.keepTail(piece)
		if end < 0 {
			continue
		}
		size, body, announced := announcement(l.tail)
		l.tail = l.tail[:0]
		switch {
		case !announced:
			l.inLine, l.depth = 0, 0
		case body && size > l.maxBody, !body && size > maxLiteral:
			return errLiteral
		default:
			l.literals = size
			if !body && l.talk.Add(-size) < 0 {
				return errTalk
			}
		}
	}
	return nil
}

func (l *line) keepTail(piece []byte) {
	if over := len(piece) - tailBytes; over >= 0 {
		l.tail, piece = l.tail[:0], piece[over:]
	}
	if over := len(l.tail) + len(piece) - tailBytes; over > 0 {
		l.tail = append(l.tail[:0], l.tail[over:]...)
	}
	l.tail = append(l.tail, piece...)
}

// announcement reads the announcement of a literal at the end of a line: "{size}" and the
// line break, after "BODY[]" for a body. A size beyond all bounds is one, too.
func announcement(tail []byte) (size int64, body, announced bool) {
	tail = bytes.TrimRight(tail, "\r\n")
	if !bytes.HasSuffix(tail, []byte("}")) {
		return 0, false, false
	}
	open := bytes.LastIndexByte(tail, '{')
	if open < 0 {
		return 0, false, false
	}
	digits := tail[open+1 : len(tail)-1]
	if len(digits) == 0 || len(bytes.Trim(digits, "0123456789")) > 0 {
		return 0, false, false
	}
	for _, d := range digits {
		if size > 1<<50 {
			break
		}
		size = 10*size + int64(d-'0')
	}
	before := bytes.ToUpper(bytes.TrimRight(tail[:open], " "))
	return size, bytes.HasSuffix(before, []byte("BODY[]")), true
}
