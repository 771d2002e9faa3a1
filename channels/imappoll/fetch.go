package imappoll

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"vaguemestre/core"
	"vaguemestre/core/mailbox"
)

const (
	chunkSize     = 500 // messages between two notes of how many wait
	fetchedAtOnce = 32  // messages asked for, and moved, by one command
	commandsAhead = 2   // commands for bodies that the server has at any time
)

// item is a message to be taken in.
type item struct {
	uid       imap.UID
	delivered time.Time
	owner     int // which of the owners it is addressed to is next
}

// verdict is what became of one.
type verdict struct {
	item
	handling mailbox.Handling
	code     string
	more     bool // it is addressed to a further owner
}

// take takes messages in: each is fetched, handed to intake, and moved once that is
// durable. The error is of the connection, of our database, or of ctx; what was taken in
// by then is moved where the connection still serves.
func (s *session) take(ctx context.Context, uids []imap.UID) error {
	for chunk := range slices.Chunk(uids, chunkSize) {
		items := make([]item, len(chunk))
		for i, uid := range chunk {
			items[i] = item{uid: uid}
		}
		if err := s.fetch(ctx, items); err != nil {
			return err
		}
		if err := s.leftBehind(chunk); err != nil {
			return err
		}
		if s.waiting -= len(chunk); s.waiting > 0 {
			if err := s.store.SettleMailbox(s.work, s.lease, mailbox.Progress{Waiting: s.waiting, Fault: faultOr(s.lacking)}); err != nil {
				return s.ours(err)
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// batch is the messages of one FETCH.
type batch struct {
	items []item
	cmd   *imapclient.FetchCommand

	mu    sync.Mutex
	found []verdict
	all   sync.WaitGroup // being recorded
}

func (b *batch) add(v verdict) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.found = append(b.found, v)
}

// batches groups messages so that none waits long to be moved.
func batches(items []item) (out []*batch) {
	for some := range slices.Chunk(items, fetchedAtOnce) {
		out = append(out, &batch{items: some})
	}
	return out
}

// fetch fetches messages by commands sent ahead of their answers, hands them on, and has
// those of a batch moved as soon as all of it is recorded. Messages to several owners
// are fetched once for each.
func (s *session) fetch(ctx context.Context, items []item) error {
	for len(items) > 0 {
		again, err := s.round(ctx, batches(items))
		if err != nil || ctx.Err() != nil {
			return err
		}
		items = again
	}
	return nil
}

// round reads each command's answer on its own: a server may mix the answers to those
// that it was sent ahead.
func (s *session) round(ctx context.Context, waiting []*batch) (again []item, err error) {
	recorded := make(chan *batch, len(waiting))
	concluded := make(chan error, 1)
	go func() { concluded <- s.concludeAll(recorded, &again) }()
	room, ahead := make(chan struct{}, s.cfg.InFlight), make(chan struct{}, commandsAhead)
	broke := make(chan error, len(waiting))
	var reading sync.WaitGroup
	for _, b := range waiting {
		ahead <- struct{}{}
		if ctx.Err() != nil || len(broke) > 0 {
			break
		}
		s.request(b)
		reading.Go(func() {
			if err := s.read(b, room); err != nil {
				broke <- err
				s.line.close(errCut) // the other answers end, too
			}
			recorded <- b
			<-ahead
		})
	}
	reading.Wait()
	close(recorded)
	err = <-concluded
	if len(broke) > 0 {
		err = <-broke
	}
	return again, err
}

var wholeBody = &imap.FetchItemBodySection{Peek: true}

func (s *session) request(b *batch) {
	var uids imap.UIDSet
	for _, it := range b.items {
		uids.AddNum(it.uid)
	}
	b.cmd = s.client.Fetch(uids, &imap.FetchOptions{UID: true, InternalDate: true, BodySection: []*imap.FetchItemBodySection{wholeBody}})
}

// read reads the messages of a batch as they come in. When the connection breaks, the
// message that was on its way is blamed: it is fetched alone from then on, and after a
// while, so that one at which a server breaks stops no other.
func (s *session) read(b *batch, room chan struct{}) error {
	missing := map[imap.UID]item{}
	for _, it := range b.items {
		missing[it.uid] = it
	}
	for m := s.next(b.cmd); m != nil; m = s.next(b.cmd) {
		uid := s.message(b, m, missing, room)
		delete(missing, uid)
	}
	done := s.within(s.cfg.Patience)
	err := b.cmd.Close()
	done()
	for _, it := range b.items { // in the order of the answers, mostly
		if _, lacks := missing[it.uid]; !lacks {
			continue
		}
		b.add(verdict{item: it, handling: mailbox.Failed, code: mailbox.CodeUnread})
		if err != nil {
			break
		}
	}
	var no *imap.Error
	if errors.As(err, &no) { // of one of them: the others are asked for again
		s.writes.Lock()
		defer s.writes.Unlock()
		for uid := range missing {
			s.mem.high = min(s.mem.high, uid-1)
		}
		return nil
	}
	if err != nil {
		return s.line.ending(err)
	}
	return nil
}

func (s *session) next(cmd *imapclient.FetchCommand) *imapclient.FetchMessageData {
	defer s.within(s.cfg.Patience + bodyTime)()
	return cmd.Next()
}

// bodyTime is how long a message may take to come in.
const bodyTime = 5 * time.Minute

// message hands the body of a message to intake and returns once it was read: recording
// it goes on meanwhile. It returns the UID, or 0 when there was no body.
func (s *session) message(b *batch, m *imapclient.FetchMessageData, missing map[imap.UID]item, room chan struct{}) imap.UID {
	var it item
	known := false
	for d := m.Next(); d != nil; d = m.Next() {
		switch d := d.(type) {
		case imapclient.FetchItemDataUID:
			delivered := it.delivered
			if it, known = missing[d.UID]; it.delivered.IsZero() {
				it.delivered = delivered
			}
		case imapclient.FetchItemDataInternalDate:
			it.delivered = d.Time
		case imapclient.FetchItemDataBodySection:
			if !known || d.Literal == nil {
				continue
			}
			if d.Literal.Size() > s.cfg.MaxBytes {
				b.add(verdict{item: it, handling: mailbox.Refused, code: mailbox.CodeTooLarge})
				return it.uid
			}
			room <- struct{}{}
			body := &literal{r: d.Literal, left: d.Literal.Size(), over: make(chan struct{})}
			body.ahead()
			b.all.Go(func() {
				v := s.accept(it, body)
				body.finish()
				if v.handling != "" {
					b.add(v)
				}
				<-room
			})
			<-body.over
			if body.cut() {
				// The library goes on reading what we have not read: what is left of the body
				// may be thrown away once it has ended.
				s.line.close(errCut)
				<-s.client.Closed()
				return 0
			}
			return it.uid
		}
	}
	return 0
}

// literal reads a body to its announced end: a connection that breaks before is an
// error, which the library does not tell.
type literal struct {
	r    io.Reader
	left int64
	once sync.Once
	over chan struct{} // closed when nobody reads any more

	mu     sync.Mutex
	broken bool
}

func (l *literal) Read(p []byte) (int, error) {
	if l.left == 0 {
		l.finish()
		return 0, io.EOF
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	if l.left > 0 && err != nil {
		l.mu.Lock()
		l.broken = true
		l.mu.Unlock()
		return n, io.ErrUnexpectedEOF
	}
	if l.left == 0 {
		_, _ = l.r.Read(make([]byte, 1)) // the library goes on once it has said so
		l.finish()
	}
	return n, nil
}

// readAhead is how long a body may be that is read at once: then the next may come in
// while it is hashed and sealed. So many are in memory as are being recorded.
const readAhead = 256 << 10

// ahead reads a short body into memory. One that breaks off is left as it is found by
// whoever reads it.
func (l *literal) ahead() {
	if l.left > readAhead {
		return
	}
	whole := make([]byte, l.left)
	n, err := io.ReadFull(l.r, whole)
	if err != nil {
		l.mu.Lock()
		l.broken = true
		l.mu.Unlock()
		l.r = bytes.NewReader(whole[:n]) // ends before what was announced
		l.finish()
		return
	}
	_, _ = l.r.Read(make([]byte, 1)) // as in Read
	l.r = bytes.NewReader(whole)
	l.finish()
}

func (l *literal) finish() { l.once.Do(func() { close(l.over) }) }

func (l *literal) cut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

// accept hands a message to intake for the owner whose turn it is.
func (s *session) accept(it item, body *literal) verdict {
	owners, err := s.deposit(it, body)
	var refusal *core.Refusal
	switch {
	case err == nil && it.owner+1 < owners:
		return verdict{item: it, handling: mailbox.Taken, more: true}
	case err == nil:
		return verdict{item: it, handling: mailbox.Taken}
	case errors.As(err, &refusal):
		return verdict{item: it, handling: mailbox.Refused, code: refusal.Code}
	case body.cut() || s.work.Err() != nil: // the reader blames the message, or nobody
		return verdict{}
	}
	s.log.Warn("message not recorded", "uid", it.uid, "cause", core.Cause(err))
	return verdict{item: it, handling: mailbox.Failed, code: mailbox.CodeLater}
}
