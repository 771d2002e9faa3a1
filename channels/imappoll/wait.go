package imappoll

import (
	"context"
	"time"

	"github.com/emersion/go-imap/v2"
)

// secondLook is when it is looked again after a poll in which there was something new.
const secondLook = 2 * time.Second

// wait waits until there may be something to do: the server says so, somebody asks, a
// message is to be tried again, or some time has passed. While the server listens, no
// command of ours is under way; it is spoken to often enough that nobody on the way takes
// the line for dead.
func (s *session) wait(ctx context.Context) error {
	pause := s.cfg.Poll
	idles := s.client.Caps().Has(imap.CapIdle)
	if idles {
		pause = s.cfg.Idle
		if s.busy { // what came in between the last look and IDLE, servers need not tell
			pause = min(pause, secondLook)
		}
		s.busy = false
	}
	for _, r := range s.mem.failed {
		pause = min(pause, max(r.Next.Sub(s.cfg.Now()), time.Second))
	}
	for h := range s.mem.unmoved {
		if len(s.mem.unmoved[h]) > 0 {
			pause = min(pause, s.cfg.Poll)
		}
	}
	s.line.bear(pause + s.cfg.Patience)
	defer s.line.bear(s.cfg.Patience)
	if !idles {
		return s.pause(ctx, pause)
	}
	done := s.within(s.cfg.Patience)
	idle, err := s.client.Idle()
	done()
	if err != nil {
		return s.line.ending(err)
	}
	err = s.pause(ctx, pause)
	defer s.within(s.cfg.Patience)()
	if closing := idle.Close(); err == nil && closing != nil {
		err = s.line.ending(closing)
	}
	if ending := idle.Wait(); err == nil && ending != nil {
		err = s.line.ending(ending)
	}
	return err
}

func (s *session) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-s.woken:
		select { // poll looks at everything from here on
		case s.woken <- struct{}{}:
		default:
		}
	case <-s.asked:
	case <-s.client.Closed():
		return s.line.ending(errCut)
	}
	return nil
}
