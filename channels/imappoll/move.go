package imappoll

import (
	"errors"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"vaguemestre/core/mailbox"
)

// findFolders learns how the server names folders, and makes those that messages are
// moved to.
func (s *session) findFolders() error {
	prefix, delimiter := "", "/"
	if s.client.Caps().Has(imap.CapNamespace) {
		data, err := s.client.Namespace().Wait()
		if err != nil {
			return s.line.ending(err)
		}
		if len(data.Personal) > 0 {
			prefix = data.Personal[0].Prefix
			if d := data.Personal[0].Delim; d != 0 {
				delimiter = string(d)
			}
		}
	}
	name := func(setting string) string { return serverName(setting, prefix, delimiter) }
	s.folder = name(s.box.Settings.Folder)
	s.targets = map[mailbox.Handling]string{mailbox.Taken: name(s.box.Settings.Done), mailbox.Refused: name(s.box.Settings.Refused)}
	if !s.box.Enabled {
		return nil
	}
	for _, target := range s.targets {
		if err := s.make(target, false); err != nil {
			return err
		}
	}
	return nil
}

// serverName is a folder's name as the server has it: "/" stands for its own delimiter,
// and what is not INBOX lies under the prefix it gives everybody.
func serverName(name, prefix, delimiter string) string {
	if name == "" || strings.EqualFold(name, "INBOX") {
		return strings.ToUpper(name)
	}
	name = strings.ReplaceAll(name, "/", delimiter)
	if prefix != "" && !strings.HasPrefix(name, prefix) {
		name = prefix + name
	}
	return name
}

// make makes a folder unless it is there; known says that it is not.
func (s *session) make(folder string, known bool) error {
	if folder == "" {
		return nil
	}
	if !known {
		found, err := s.client.List("", folder, nil).Collect()
		if err != nil {
			return s.line.ending(err)
		}
		if slices.ContainsFunc(found, func(d *imap.ListData) bool { return !slices.Contains(d.Attrs, imap.MailboxAttrNonExistent) }) {
			return nil
		}
	}
	err := s.client.Create(folder, nil).Wait()
	var no *imap.Error
	switch {
	case errors.As(err, &no) && no.Code == imap.ResponseCodeAlreadyExists:
		return nil
	case errors.As(err, &no):
		return faulty(mailbox.FaultFolderCreate, "create: %s %s", no.Type, no.Code)
	case err != nil:
		return s.line.ending(err)
	}
	_ = s.client.Subscribe(folder).Wait() // for people's programs; some servers know no subscriptions
	return nil
}

// move moves messages and reports whether they were. That the server refuses is noted,
// and no error: they were taken in. Where it has no MOVE they are copied first, and what
// was copied is expunged by its UIDs alone; where it cannot do that either, it is marked
// as deleted and left.
func (s *session) move(uids imap.UIDSet, target string) (moved bool, err error) {
	if target == "" {
		return false, nil
	}
	defer s.within(2 * s.cfg.Patience)()
	err = s.relocate(uids, target)
	var no *imap.Error
	var lacking *fault
	if errors.As(err, &no) && no.Code == imap.ResponseCodeTryCreate {
		if err = s.make(target, true); err == nil {
			err = s.relocate(uids, target)
		}
	}
	switch {
	case errors.As(err, &lacking) && lacking.code == mailbox.FaultFolderCreate:
		s.cfg.Seen(SeenMoved, "failed")
		s.lacking = err
		return false, nil
	case errors.As(err, &no):
		s.cfg.Seen(SeenMoved, "failed")
		s.lacking = faulty(mailbox.FaultMove, "move: %s %s", no.Type, no.Code)
		return false, nil
	case err != nil:
		return false, s.line.ending(err)
	}
	s.cfg.Seen(SeenMoved, "done")
	return true, nil
}

func (s *session) relocate(uids imap.UIDSet, target string) error {
	caps := s.client.Caps()
	if caps.Has(imap.CapMove) {
		_, err := s.client.Move(uids, target).Wait()
		return err
	}
	if _, err := s.client.Copy(uids, target).Wait(); err != nil {
		return err
	}
	deleted := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}
	if err := s.client.Store(uids, deleted, nil).Close(); err != nil {
		return err
	}
	if !caps.Has(imap.CapUIDPlus) {
		return nil
	}
	return s.client.UIDExpunge(uids).Close()
}

// moveLeft moves what was taken in or refused and could not be moved at the time.
func (s *session) moveLeft() error {
	for handling, set := range s.mem.unmoved {
		if len(set) == 0 {
			continue
		}
		moved, err := s.move(set, s.targets[handling])
		if err != nil {
			return err
		}
		if moved {
			uids, _ := set.Nums()
			if err := s.forget(uids); err != nil {
				return err
			}
			s.mem.unmoved[handling] = imap.UIDSet{}
			if err := s.leftBehind(uids); err != nil {
				return err
			}
		}
	}
	return nil
}

// leftBehind looks whether messages that were moved are gone, as it is with most
// servers: then it is not asked again. Those that are not are remembered.
func (s *session) leftBehind(uids []imap.UID) error {
	moved := slices.DeleteFunc(slices.Clone(uids), func(u imap.UID) bool { return !s.mem.moved.Contains(u) })
	if s.gone || len(moved) == 0 {
		return nil
	}
	present, err := s.search(&imap.SearchCriteria{UID: []imap.UIDSet{imap.UIDSetNum(moved...)}})
	if err != nil {
		return err
	}
	if len(present) == 0 {
		s.gone = true
		return nil
	}
	slices.Sort(present)
	return s.staying(present)
}
