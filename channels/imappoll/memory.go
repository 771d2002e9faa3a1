package imappoll

import (
	"time"

	"github.com/emersion/go-imap/v2"

	"vaguemestre/core/mailbox"
)

// memory is what is known of the messages of a folder, as ranges of UIDs: a mailbox of
// any size, of which nothing can be moved away, is little to remember.
type memory struct {
	settled imap.UIDSet                      // nothing is left to do
	unmoved map[mailbox.Handling]imap.UIDSet // durable or refused, to be moved yet
	failed  map[imap.UID]mailbox.Remembered  // tried again at their time
	rows    imap.UIDSet                      // that the store remembers
	moved   imap.UIDSet                      // moved in this session, with success as the server says
	high    imap.UID                         // the highest listed
	whole   time.Time                        // when the folder was last listed as a whole
}

func newMemory() *memory {
	return &memory{unmoved: map[mailbox.Handling]imap.UIDSet{}, failed: map[imap.UID]mailbox.Remembered{}}
}

// learn takes in what the store remembers. target names the folder that a handling's
// messages go to; "" for none.
func (m *memory) learn(r mailbox.Remembered, target string) {
	uid := imap.UID(r.UID)
	m.rows.AddNum(uid)
	switch {
	case r.Handling == mailbox.Failed:
		m.failed[uid] = r
	case r.Moved || target == "":
		m.settled.AddNum(uid)
	default:
		set := m.unmoved[r.Handling]
		set.AddNum(uid)
		m.unmoved[r.Handling] = set
	}
}

// known reports whether something became of the message, or will at its time.
func (m *memory) known(uid imap.UID) bool {
	if _, failed := m.failed[uid]; failed || m.settled.Contains(uid) || m.moved.Contains(uid) {
		return true
	}
	for _, uids := range m.unmoved {
		if uids.Contains(uid) {
			return true
		}
	}
	return false
}
