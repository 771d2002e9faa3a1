package imappoll

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"vaguemestre/core/mailbox"
)

// concludeAll moves the messages of batches as they are recorded, and gathers those that
// have to be fetched again for a further owner.
func (s *session) concludeAll(recorded <-chan *batch, again *[]item) error {
	var failed error
	for b := range recorded {
		b.all.Wait()
		var ready []verdict
		for _, v := range b.found {
			if v.more {
				v.owner++
				*again = append(*again, v.item)
				continue
			}
			ready = append(ready, v)
		}
		if err := s.conclude(ready); err != nil && failed == nil {
			failed = err
		}
	}
	return failed
}

// conclude moves messages to where what became of them sends them, and remembers those
// that stay. Several that could not be recorded are no fault of theirs: then it is ours,
// and the error says so.
func (s *session) conclude(verdicts []verdict) error {
	var stay []mailbox.Remembered
	uids := map[mailbox.Handling]imap.UIDSet{}
	codes := map[imap.UID]string{}
	late := 0
	for _, v := range verdicts {
		s.cfg.Seen(SeenMessage, string(v.handling))
		if v.handling == mailbox.Taken {
			s.took.Store(true)
		}
		if v.handling == mailbox.Failed {
			if v.code == mailbox.CodeLater {
				late++
			}
			stay = append(stay, s.again(v))
			continue
		}
		set := uids[v.handling]
		set.AddNum(v.uid)
		uids[v.handling], codes[v.uid] = set, v.code
	}
	for handling, set := range uids {
		moved, err := s.move(set, s.targets[handling])
		if err != nil {
			return errors.Join(err, s.remember(stay))
		}
		list, _ := set.Nums()
		for _, uid := range list {
			if moved {
				continue
			}
			stay = append(stay, mailbox.Remembered{UID: uint32(uid), Handling: handling, Code: codes[uid], Next: s.cfg.Now()})
		}
		if moved {
			if err := s.forget(list); err != nil {
				return err
			}
		}
	}
	err := s.remember(stay)
	if err == nil && late >= lateAtMost {
		err = faulty(mailbox.FaultIntake, "%d messages could not be recorded", late)
	}
	return err
}

// lateAtMost is how many messages of a batch may fail to be recorded before nothing more
// is fetched for a while.
const lateAtMost = 3

// forget notes that messages were moved: what was remembered of them is of no use.
func (s *session) forget(uids []imap.UID) error {
	var rows []uint32
	s.writes.Lock()
	for _, uid := range uids {
		if s.mem.rows.Contains(uid) {
			rows = append(rows, uint32(uid))
		}
		delete(s.mem.failed, uid)
		s.mem.moved.AddNum(uid)
	}
	s.writes.Unlock()
	if len(rows) == 0 {
		return nil
	}
	if err := s.store.ForgetMessages(s.work, s.lease, s.box.Settings.Folder, s.validity, rows); err != nil {
		return s.ours(err)
	}
	s.writes.Lock()
	defer s.writes.Unlock()
	s.mem.rows = without(s.mem.rows, rows)
	return nil
}

// without is a set less some of its members.
func without(set imap.UIDSet, less []uint32) (out imap.UIDSet) {
	all, _ := set.Nums()
	for _, uid := range all {
		if !slices.Contains(less, uint32(uid)) {
			out.AddNum(uid)
		}
	}
	return out
}

// again is the message to be tried once more: at once after a first failure, then later
// and later, an hour at most.
func (s *session) again(v verdict) mailbox.Remembered {
	s.writes.Lock()
	before := s.mem.failed[v.uid]
	s.writes.Unlock()
	wait := time.Duration(0)
	if before.Attempts > 0 {
		wait = min(30*s.cfg.Rest<<min(before.Attempts-1, 10), time.Hour)
	} else if v.code == mailbox.CodeLater {
		wait = s.cfg.Rest
	}
	return mailbox.Remembered{UID: uint32(v.uid), Handling: mailbox.Failed, Code: v.code, Attempts: before.Attempts + 1, Next: s.cfg.Now().Add(wait)}
}

// retry tries those that failed and whose time has come, each alone, after all others.
func (s *session) retry(ctx context.Context) error {
	for uid, r := range s.mem.failed {
		if ctx.Err() != nil {
			return nil
		}
		if r.Next.After(s.cfg.Now()) {
			continue
		}
		present, err := s.search(&imap.SearchCriteria{UID: []imap.UIDSet{imap.UIDSetNum(uid)}})
		if err != nil {
			return err
		}
		if len(present) == 0 {
			delete(s.mem.failed, uid)
			if err := s.store.ForgetMessages(s.work, s.lease, s.box.Settings.Folder, s.validity, []uint32{uint32(uid)}); err != nil {
				return s.ours(err)
			}
			continue
		}
		large, err := s.tooLarge(uid)
		if err != nil {
			return err
		}
		if large {
			err = s.conclude([]verdict{{item: item{uid: uid}, handling: mailbox.Refused, code: mailbox.CodeTooLarge}})
		} else {
			err = s.take(ctx, []imap.UID{uid})
		}
		if err != nil {
			return err
		}
		if now, still := s.mem.failed[uid]; still && now.Attempts == r.Attempts { // the server gave no body
			if err := s.remember([]mailbox.Remembered{s.again(verdict{item: item{uid: uid}, code: mailbox.CodeUnread})}); err != nil {
				return err
			}
		}
	}
	return nil
}

// tooLarge asks for the size of a message that was not handed over: the line is cut by
// us at one that is far beyond what may be. Asking for all of them would have many
// servers read each message twice.
func (s *session) tooLarge(uid imap.UID) (bool, error) {
	defer s.within(s.cfg.Patience)()
	cmd := s.client.Fetch(imap.UIDSetNum(uid), &imap.FetchOptions{UID: true, RFC822Size: true})
	large := false
	for m := cmd.Next(); m != nil; m = cmd.Next() {
		for d := m.Next(); d != nil; d = m.Next() {
			if size, ok := d.(imapclient.FetchItemDataRFC822Size); ok {
				large = size.Size > s.cfg.MaxBytes
			}
		}
	}
	if err := cmd.Close(); err != nil {
		return false, s.line.ending(err)
	}
	return large, nil
}
