package imappoll

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"vaguemestre/core"
	"vaguemestre/core/mailbox"
)

// session is one connection to a mailbox, from signing in to the first fault.
type session struct {
	*Channel
	box   mailbox.Mailbox
	lease mailbox.Lease
	asked <-chan struct{}
	work  context.Context // of what is under way: ends later than the session is told to, or when the lease is lost
	log   *slog.Logger

	client *imapclient.Client
	line   *line
	woken  chan struct{} // the server said that something changed

	folder   string                      // that is emptied, as the server names it
	targets  map[mailbox.Handling]string // where messages go; "": they stay
	validity uint32
	mem      *memory
	waiting  int
	busy     bool  // the latest poll was the first, or found something
	lacking  error // why messages could not be moved, in this poll
	gone     bool  // what is moved is seen to be gone from the folder

	took   atomic.Bool // something was taken in
	known  lookups
	writes sync.Mutex // of mem, by the mover and the reader
}

// run empties the mailbox until ctx ends (nil) or something goes wrong.
func (s *session) run(ctx context.Context) error {
	if err := s.open(ctx); err != nil {
		return err
	}
	defer s.client.Close()
	stop := context.AfterFunc(s.work, func() { s.line.close(context.Cause(s.work)) })
	defer stop()
	if !s.box.Enabled {
		return s.look(ctx)
	}
	for ctx.Err() == nil {
		if err := s.poll(ctx); err != nil {
			return s.ended(ctx, err)
		}
		if ctx.Err() != nil {
			break
		}
		if err := s.store.SettleMailbox(s.work, s.lease, mailbox.Progress{Waiting: s.waiting, Fault: faultOr(s.lacking)}); err != nil {
			return err
		}
		if err := s.wait(ctx); err != nil {
			return s.ended(ctx, err)
		}
	}
	s.leave()
	return nil
}

func faultOr(err error) string {
	if err == nil {
		return ""
	}
	return faultCode(err)
}

// ended is the error of a session that ended; none when it was told to end.
func (s *session) ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// look tries a mailbox that is switched off, and takes nothing out of it.
func (s *session) look(ctx context.Context) error {
	data, err := s.selectFolder()
	if err != nil {
		return s.ended(ctx, err)
	}
	s.waiting = int(data.NumMessages)
	s.leave()
	return s.store.SettleMailbox(s.work, s.lease, mailbox.Progress{Waiting: s.waiting})
}

// leave says goodbye; nothing depends on it.
func (s *session) leave() {
	done := s.within(2 * time.Second)
	defer done()
	_ = s.client.Logout().Wait()
}

// open connects, signs in and finds the folders.
func (s *session) open(ctx context.Context) (err error) {
	wake := func() {
		select {
		case s.woken <- struct{}{}:
		default:
		}
	}
	handler := &imapclient.UnilateralDataHandler{Mailbox: func(d *imapclient.UnilateralDataMailbox) {
		if d.NumMessages != nil {
			wake()
		}
	}}
	if s.client, s.line, err = s.dial(ctx, s.box.Settings, handler); err != nil {
		return err
	}
	done := s.within(2 * s.cfg.Patience)
	stop := context.AfterFunc(ctx, func() { s.line.close(context.Canceled) })
	err = s.signIn(ctx, s.client, s.line, s.box)
	if err == nil {
		err = s.findFolders()
	}
	stop()
	done()
	if err != nil {
		s.client.Close()
		return s.ended(ctx, err)
	}
	if ctx.Err() != nil {
		s.client.Close()
	}
	return nil
}

// within ends the connection unless what follows is over in time.
func (s *session) within(d time.Duration) (done func()) {
	t := time.AfterFunc(d, func() { s.line.close(context.DeadlineExceeded) })
	return func() { t.Stop() }
}

// selectFolder opens the folder; another UIDVALIDITY than before makes all UIDs new.
func (s *session) selectFolder() (*imap.SelectData, error) {
	defer s.within(s.cfg.Patience)()
	data, err := s.client.Select(s.folder, nil).Wait()
	var no *imap.Error
	if errors.As(err, &no) {
		return nil, faulty(mailbox.FaultFolder, "select: %s %s", no.Type, no.Code)
	}
	if err != nil {
		return nil, s.line.ending(err)
	}
	if data.UIDValidity == 0 {
		return nil, faulty(mailbox.FaultProtocol, "the folder has no UIDVALIDITY")
	}
	return data, nil
}

// poll takes in all there is. It returns once nothing new is left, or with the fault
// that stopped it: of the connection, of our database; never of one message.
func (s *session) poll(ctx context.Context) error {
	data, err := s.selectFolder()
	if err != nil {
		return err
	}
	if s.mem == nil || s.validity != data.UIDValidity {
		if err := s.recall(data.UIDValidity); err != nil {
			return err
		}
	}
	s.lacking = nil
	for ctx.Err() == nil {
		select {
		case <-s.woken: // what comes from here on is looked for again
		default:
		}
		fresh, err := s.list(data.NumMessages)
		if err != nil {
			return err
		}
		s.waiting = len(fresh) + len(s.mem.failed)
		if len(fresh) == 0 {
			break
		}
		s.busy = true
		if err := s.take(ctx, fresh); err != nil {
			return err
		}
	}
	if err := s.retry(ctx); err != nil {
		return err
	}
	if err := s.moveLeft(); err != nil {
		return err
	}
	s.waiting = len(s.mem.failed)
	return nil
}

// recall begins with what the store remembers of the folder.
func (s *session) recall(validity uint32) error {
	mem := newMemory()
	err := s.store.RecallMessages(s.work, s.lease, s.box.Settings.Folder, validity, func(r mailbox.Remembered) {
		mem.learn(r, s.targets[r.Handling])
	})
	if err != nil {
		return s.ours(err)
	}
	s.mem, s.validity, s.gone, s.busy = mem, validity, false, true
	return nil
}

// ours is the fault that our own database does not answer.
func (s *session) ours(err error) error {
	if errors.Is(err, core.ErrStale) || s.work.Err() != nil {
		return err
	}
	return &fault{mailbox.FaultIntake, errors.New(core.Cause(err))}
}

const listedAtOnce = 20_000 // messages a SEARCH answers for: its answer is one line

// list names the messages of the folder that nothing became of yet, the oldest first.
// Now and then, and at first, it looks at all of it, and forgets what is there no more.
func (s *session) list(messages uint32) ([]imap.UID, error) {
	whole := s.mem.high == 0 || time.Since(s.mem.whole) >= s.cfg.Idle
	var found []imap.UID
	if whole {
		for first := uint32(1); first == 1 || first <= messages; first += listedAtOnce {
			if messages == 0 {
				break
			}
			uids, err := s.search(&imap.SearchCriteria{SeqNum: []imap.SeqSet{{{Start: first, Stop: min(first+listedAtOnce-1, messages)}}}})
			if err != nil {
				return nil, err
			}
			found = append(found, uids...)
		}
		s.mem.whole = time.Now()
	} else {
		uids, err := s.search(&imap.SearchCriteria{UID: []imap.UIDSet{{{Start: s.mem.high + 1, Stop: 0}}}}) // to the last: always one, as RFC 3501 has it
		if err != nil {
			return nil, err
		}
		found = uids
	}
	slices.Sort(found)
	found = slices.Compact(found)
	if whole {
		if err := s.reconcile(found); err != nil {
			return nil, err
		}
	}
	fresh := found[:0]
	for _, uid := range found {
		s.mem.high = max(s.mem.high, uid)
		if !s.mem.known(uid) {
			fresh = append(fresh, uid)
		}
	}
	return fresh, nil
}

func (s *session) search(criteria *imap.SearchCriteria) ([]imap.UID, error) {
	defer s.within(2 * s.cfg.Patience)()
	data, err := s.client.UIDSearch(criteria, nil).Wait()
	if err != nil {
		return nil, s.line.ending(err)
	}
	uids, ok := data.All.(imap.UIDSet)
	if !ok {
		return nil, nil
	}
	n := uint64(0)
	for _, r := range uids {
		if n += uint64(max(r.Stop, r.Start)-r.Start) + 1; r.Start == 0 || r.Stop == 0 || n > maxListed {
			return nil, faulty(mailbox.FaultProtocol, "the answer to SEARCH makes no sense")
		}
	}
	out, _ := uids.Nums()
	return out, nil
}

// maxListed is how many messages a search is believed to have found.
const maxListed = 10_000_000

// reconcile compares what is remembered with what the folder holds: present is all of it.
func (s *session) reconcile(present []imap.UID) error {
	there := func(uid imap.UID) bool {
		_, found := slices.BinarySearch(present, uid)
		return found
	}
	var gone []uint32
	rows, _ := s.mem.rows.Nums()
	for _, uid := range rows {
		if !there(uid) {
			gone = append(gone, uint32(uid))
			delete(s.mem.failed, uid)
		}
	}
	for h, set := range s.mem.unmoved {
		uids, _ := set.Nums()
		s.mem.unmoved[h] = imap.UIDSetNum(slices.DeleteFunc(uids, func(u imap.UID) bool { return !there(u) })...)
	}
	if len(gone) > 0 {
		if err := s.store.ForgetMessages(s.work, s.lease, s.box.Settings.Folder, s.validity, gone); err != nil {
			return s.ours(err)
		}
		s.mem.rows = imap.UIDSet{}
		for _, uid := range rows {
			if there(uid) {
				s.mem.rows.AddNum(uid)
			}
		}
	}
	return s.staying(present)
}

// staying remembers those that were moved and are in the folder nevertheless: it shows
// what bears a label, or all there is.
func (s *session) staying(present []imap.UID) error {
	var stay []mailbox.Remembered
	for _, uid := range present {
		if s.mem.moved.Contains(uid) && !s.mem.rows.Contains(uid) {
			stay = append(stay, mailbox.Remembered{UID: uint32(uid), Handling: mailbox.Taken, Moved: true, Next: s.cfg.Now()})
		}
	}
	return s.remember(stay)
}

// remember notes messages in the store and here.
func (s *session) remember(messages []mailbox.Remembered) error {
	for chunk := range slices.Chunk(messages, 1000) {
		if err := s.store.RememberMessages(s.work, s.lease, s.box.Settings.Folder, s.validity, chunk); err != nil {
			return s.ours(err)
		}
	}
	s.writes.Lock()
	defer s.writes.Unlock()
	for _, r := range messages {
		if r.Handling != mailbox.Failed {
			delete(s.mem.failed, imap.UID(r.UID))
		}
		s.mem.learn(r, s.targets[r.Handling])
	}
	return nil
}
