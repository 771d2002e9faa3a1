package imappoll_test

import (
	"errors"
	"io"
	"log"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
	"github.com/emersion/go-sasl"

	"vaguemestre/channels/channeltest"
	"vaguemestre/channels/imappoll"
	"vaguemestre/core/mailbox"
)

// mem is a server in memory whose ways a test bends.
type mem struct {
	addr    string
	user    *imapmemserver.User
	labels  bool         // as Gmail's All Mail: what is moved elsewhere stays
	breaks  imap.UID     // the line is cut when this message is asked for
	refuses imap.UID     // the server answers NO to whoever asks for this one
	stuck   bool         // nothing can be moved
	tokens  atomic.Value // func(token string) bool: signed in to with these alone
	fetched atomic.Int64 // bodies handed over
	moves   atomic.Int64
	listed  atomic.Int64
}

func startMem(t *testing.T, b *boxes, caps ...imap.Cap) *mem {
	t.Helper()
	m := &mem{user: imapmemserver.NewUser("depot", "secret")}
	if err := m.user.Create("INBOX", nil); err != nil {
		t.Fatal(err)
	}
	set := imap.CapSet{imap.CapIMAP4rev1: {}}
	for _, c := range caps {
		set[c] = struct{}{}
	}
	server := imapserver.New(&imapserver.Options{
		NewSession: func(c *imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			s := &memSession{UserSession: imapmemserver.NewUserSession(m.user), mem: m, conn: c}
			if m.tokens.Load() != nil {
				return &tokenSession{s}, &imapserver.GreetingData{}, nil
			}
			return s, &imapserver.GreetingData{}, nil
		},
		Caps: set, InsecureAuth: true, Logger: log.New(io.Discard, "", 0),
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.addr = l.Addr().String()
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
	b.box.Settings.Server = m.addr
	return m
}

// memBox is a mailbox on such a server.
func memBox(t *testing.T) mailbox.Mailbox {
	t.Helper()
	s := mailbox.Defaults()
	s.TLS, s.User, s.Trusted = mailbox.TLSNone, "depot", "mx.ville.test"
	return mailbox.Mailbox{ID: "box-1", Tenant: channeltest.Owner.Tenant, Settings: s, Enabled: true}
}

type memSession struct {
	*imapmemserver.UserSession
	mem  *mem
	conn *imapserver.Conn
}

var errNo = &imap.Error{Type: imap.StatusResponseTypeNo, Text: "no"}

func (s *memSession) Move(w *imapserver.MoveWriter, set imap.NumSet, dest string) error {
	s.mem.moves.Add(1)
	if s.mem.stuck {
		return errNo
	}
	if !s.mem.labels {
		return s.UserSession.Move(w, set, dest)
	}
	data, err := s.UserSession.Copy(set, dest)
	if err != nil {
		return err
	}
	return w.WriteCopyData(data)
}

func (s *memSession) Copy(set imap.NumSet, dest string) (*imap.CopyData, error) {
	if s.mem.stuck {
		return nil, errNo
	}
	return s.UserSession.Copy(set, dest)
}

func (s *memSession) Search(kind imapserver.NumKind, c *imap.SearchCriteria, o *imap.SearchOptions) (*imap.SearchData, error) {
	s.mem.listed.Add(1)
	return s.UserSession.Search(kind, c, o)
}

func (s *memSession) Fetch(w *imapserver.FetchWriter, set imap.NumSet, o *imap.FetchOptions) error {
	uids, _ := set.(imap.UIDSet)
	if len(o.BodySection) > 0 {
		switch {
		case s.mem.breaks > 0 && uids.Contains(s.mem.breaks):
			var before imap.UIDSet
			all, _ := uids.Nums()
			for _, u := range all {
				if u < s.mem.breaks {
					before.AddNum(u)
				}
			}
			if len(before) > 0 {
				_ = s.UserSession.Fetch(w, before, o)
			}
			s.conn.NetConn().Close()
			return errors.New("cut")
		case s.mem.refuses > 0 && uids.Contains(s.mem.refuses):
			return errNo
		}
		all, _ := uids.Nums()
		s.mem.fetched.Add(int64(len(all)))
	}
	return s.UserSession.Fetch(w, set, o)
}

func (m *mem) admits(token string) bool { return m.tokens.Load().(func(string) bool)(token) }

// tokenSession is signed in to with tokens.
type tokenSession struct{ *memSession }

func (s *tokenSession) AuthenticateMechanisms() []string { return []string{"XOAUTH2", "OAUTHBEARER"} }

func (s *tokenSession) Authenticate(mech string) (sasl.Server, error) {
	if mech == "OAUTHBEARER" {
		return sasl.NewOAuthBearerServer(func(o sasl.OAuthBearerOptions) *sasl.OAuthBearerError {
			if o.Username == "depot" && s.mem.admits(o.Token) {
				return nil
			}
			return &sasl.OAuthBearerError{Status: "invalid_token", Schemes: "bearer"}
		}), nil
	}
	return &xoauth2Server{ok: func(user, token string) bool { return user == "depot" && s.mem.admits(token) }}, nil
}

type literalReader struct {
	*io.SectionReader
}

func (m *mem) append(t *testing.T, folder string, messages ...[]byte) {
	t.Helper()
	for _, b := range messages {
		r := literalReader{io.NewSectionReader(readerAt(b), 0, int64(len(b)))}
		if _, err := m.user.Append(folder, r, &imap.AppendOptions{Time: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
}

type readerAt []byte

func (r readerAt) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(r)) {
		return 0, io.EOF
	}
	return copy(p, r[off:]), nil
}

// count is how many messages a folder has; none when it is not there.
func (m *mem) count(t *testing.T, folder string) int {
	t.Helper()
	d, err := m.user.Status(folder, &imap.StatusOptions{NumMessages: true})
	if err != nil {
		return 0
	}
	return int(*d.NumMessages)
}

// empty runs a channel on the mailbox until the test ends.
func empty(t *testing.T, b *boxes, in *filed, cfg imappoll.Config) (stop func()) {
	t.Helper()
	if b.messages == nil {
		b.messages = map[uint32]mailbox.Remembered{}
	}
	return serve(t, imappoll.New(quick(cfg), in, b, &secret{value: []byte("secret")}, logger()))
}

// As in Gmail's All Mail, a message may stay where it was taken from: it is taken in
// once, given its label once, and remembered, over the end of the session too.
func TestLabels(t *testing.T) {
	b := &boxes{box: memBox(t)}
	m := startMem(t, b, imap.CapMove, imap.CapUIDPlus)
	m.labels = true
	m.append(t, "INBOX", letters(700, 300)...)
	in := &filed{}
	stop := empty(t, b, in, imappoll.Config{Idle: 9 * time.Minute})
	eventually(t, "all are remembered", func() bool { return len(b.remembered(mailbox.Taken)) == 700 && b.polls() > 0 })
	stop()
	moves := m.moves.Load()
	stop = empty(t, b, in, imappoll.Config{Idle: 9 * time.Minute})
	was := b.polls()
	m.append(t, "INBOX", letter("plus-tard", 300))
	eventually(t, "the new one is remembered", func() bool { return len(b.remembered(mailbox.Taken)) == 701 && b.polls() > was })
	stop()
	if n := m.fetched.Load(); n != 701 || m.moves.Load() != moves+1 || m.count(t, "INBOX") != 701 || m.count(t, "Déposés") != 701 {
		t.Errorf("%d bodies fetched, %d further moves, %d in the folder, %d with the label", n, m.moves.Load()-moves, m.count(t, "INBOX"), m.count(t, "Déposés"))
	}
}

// Without MOVE messages are copied and expunged by UID; without UIDPLUS they are marked,
// left and remembered: what others have marked as deleted is never expunged.
func TestREL05_WithoutMove(t *testing.T) {
	for name, tc := range map[string]struct {
		caps []imap.Cap
		left int
	}{"UIDPLUS": {[]imap.Cap{imap.CapUIDPlus}, 1}, "neither": {nil, 6}} {
		t.Run(name, func(t *testing.T) {
			b := &boxes{box: memBox(t)}
			m := startMem(t, b, tc.caps...)
			precious := letterTo("x@y.test", "precieux", 300)
			m.append(t, "INBOX", letters(5, 300)...)
			b.box.Settings.Refused = "" // what is refused stays
			r := literalReader{io.NewSectionReader(readerAt(precious), 0, int64(len(precious)))}
			if _, err := m.user.Append("INBOX", r, &imap.AppendOptions{Flags: []imap.Flag{imap.FlagDeleted}}); err != nil {
				t.Fatal(err)
			}
			in := &filed{}
			stop := empty(t, b, in, imappoll.Config{})
			eventually(t, "all are copied", func() bool { return m.count(t, "Déposés") == 5 && b.polls() > 2 })
			stop()
			stop = empty(t, b, in, imappoll.Config{})
			was := b.polls()
			eventually(t, "further polls", func() bool { return b.polls() > was+2 })
			stop()
			if got := m.count(t, "INBOX"); got != tc.left || m.count(t, "Déposés") != 5 || m.fetched.Load() != 6 {
				t.Errorf("%d left, want %d; %d copied, %d bodies fetched", got, tc.left, m.count(t, "Déposés"), m.fetched.Load())
			}
		})
	}
}

// One message at which the server breaks, or that it refuses to hand over, stops no
// other, and is shown; when it can be read at last it is taken in.
func TestOneBadMessageStopsNoOther(t *testing.T) {
	for name, bend := range map[string]func(*mem, imap.UID){
		"cuts the line": func(m *mem, uid imap.UID) { m.breaks = uid },
		"is refused":    func(m *mem, uid imap.UID) { m.refuses = uid },
	} {
		t.Run(name, func(t *testing.T) {
			b := &boxes{box: memBox(t)}
			m := startMem(t, b, imap.CapMove, imap.CapUIDPlus)
			bend(m, 17)
			m.append(t, "INBOX", letters(40, 300)...)
			in := &filed{}
			stop := empty(t, b, in, imappoll.Config{Idle: 9 * time.Minute})
			eventually(t, "all others are moved", func() bool { return m.count(t, "Déposés") == 39 })
			eventually(t, "the bad one is tried again and shown", func() bool {
				failed := b.remembered(mailbox.Failed)
				return len(failed) == 1 && failed[0].UID == 17 && failed[0].Attempts >= 2 && failed[0].Code == mailbox.CodeUnread
			})
			stop()
			bend(m, 0)
			b.mu.Lock()
			b.next = time.Time{}
			bad := b.messages[17]
			bad.Next = time.Now()
			b.messages[17] = bad
			b.mu.Unlock()
			empty(t, b, in, imappoll.Config{Idle: 9 * time.Minute})
			eventually(t, "the bad one is taken in", func() bool { return m.count(t, "Déposés") == 40 && len(b.remembered(mailbox.Failed)) == 0 })
			if n, _ := in.count(); n != 40 {
				t.Errorf("%d different deposits", n)
			}
		})
	}
}

// What the server refuses to move was taken in, is shown, and is not taken in again.
func TestRefusedMove(t *testing.T) {
	b := &boxes{box: memBox(t)}
	m := startMem(t, b, imap.CapMove, imap.CapUIDPlus)
	m.stuck = true
	m.append(t, "INBOX", letters(40, 300)...)
	in := &filed{}
	stop := empty(t, b, in, imappoll.Config{Idle: 9 * time.Minute})
	eventually(t, "it is shown", func() bool { f := b.faults(); return len(f) > 0 && f[0] == mailbox.FaultMove })
	eventually(t, "and remembered", func() bool { return len(b.remembered(mailbox.Taken)) == 40 })
	stop()
	m.stuck = false
	b.mu.Lock()
	b.next = time.Time{}
	b.mu.Unlock()
	empty(t, b, in, imappoll.Config{Idle: 9 * time.Minute})
	eventually(t, "moved once it can be", func() bool { return m.count(t, "Déposés") == 40 && m.count(t, "INBOX") == 0 })
	if n, accepts := in.count(); n != 40 || accepts != 40 {
		t.Errorf("%d deposits by %d accepts", n, accepts)
	}
}

// A folder that somebody removed is made again by the move that lacks it, and that is no fault.
func TestFolderRemoved(t *testing.T) {
	b := &boxes{box: memBox(t)}
	m := startMem(t, b, imap.CapMove, imap.CapUIDPlus)
	m.append(t, "INBOX", letter("une", 300))
	empty(t, b, &filed{}, imappoll.Config{Idle: 9 * time.Minute})
	eventually(t, "the first is moved", func() bool { return m.count(t, "Déposés") == 1 && b.polls() > 0 })
	if err := m.user.Delete("Déposés"); err != nil {
		t.Fatal(err)
	}
	m.append(t, "INBOX", letter("deux", 300))
	was := b.polls()
	eventually(t, "the second is moved", func() bool { return m.count(t, "Déposés") == 1 && b.polls() > was })
	if f := b.faults(); len(f) != 0 || len(b.remembered(mailbox.Taken)) != 0 {
		t.Errorf("faults %v, remembered %v", f, b.remembered(mailbox.Taken))
	}
}

// Our own trouble is no fault of the messages: they wait, and all is taken in later.
func TestIntakeAway(t *testing.T) {
	b := &boxes{box: memBox(t)}
	m := startMem(t, b, imap.CapMove, imap.CapUIDPlus)
	m.append(t, "INBOX", letters(100, 300)...)
	in := &filed{fail: func(n int, _ []byte) error {
		if n <= 100 {
			return errAway
		}
		return nil
	}}
	empty(t, b, in, imappoll.Config{Idle: 9 * time.Minute})
	eventually(t, "all are moved", func() bool { return m.count(t, "Déposés") == 100 })
	if f := b.faults(); len(f) == 0 || f[0] != mailbox.FaultIntake {
		t.Errorf("faults %v", f)
	}
}

// A message that is too large is refused; one that is far too large is not read, and
// refused by its size once the others are taken in.
func TestTooLarge(t *testing.T) {
	b := &boxes{box: memBox(t)}
	m := startMem(t, b, imap.CapMove, imap.CapUIDPlus)
	m.append(t, "INBOX", letter("petite", 300), letter("grande", 20_000), letter("enorme", 100_000), letter("petite-2", 300))
	in := &filed{}
	empty(t, b, in, imappoll.Config{MaxBytes: 10_000})
	eventually(t, "moved", func() bool { return m.count(t, "Déposés") == 2 && m.count(t, "Refusés") == 2 })
	if f := b.faults(); len(f) != 1 || f[0] != mailbox.FaultProtocol {
		t.Errorf("faults %v", f)
	}
}

// A mailbox of 100 000 messages that are known: only what is new is fetched, and little
// memory is needed.
func TestHugeMailbox(t *testing.T) {
	const n = 100_000
	b := &boxes{box: memBox(t), messages: map[uint32]mailbox.Remembered{}}
	m := startMem(t, b, imap.CapMove, imap.CapUIDPlus)
	b.box.Settings.Done = ""
	small := letter("ancienne", 100)
	for uid := range n {
		m.append(t, "INBOX", small)
		if uid%1000 != 0 {
			b.messages[uint32(uid+1)] = mailbox.Remembered{UID: uint32(uid + 1), Handling: mailbox.Taken}
		}
	}
	d, err := m.user.Status("INBOX", &imap.StatusOptions{UIDValidity: true})
	if err != nil {
		t.Fatal(err)
	}
	b.validity = d.UIDValidity
	in := &filed{}
	empty(t, b, in, imappoll.Config{Idle: 9 * time.Minute})
	eventually(t, "what is new is taken in", func() bool { return len(b.remembered(mailbox.Taken)) == n })
	if got := m.fetched.Load(); got != n/1000 {
		t.Errorf("%d bodies fetched, want %d", got, n/1000)
	}
	if searches := m.listed.Load(); searches > 20 {
		t.Errorf("%d searches", searches)
	}
}
