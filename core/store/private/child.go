package private

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

const (
	shortestPause = 100 * time.Millisecond // before a fallen server is started again
	longestPause  = 10 * time.Second
	steady        = time.Minute // a server that ran this long earns the shortest pause again
	lastWarning   = 5 * time.Second
)

// child is one server process: kept alive until stop, replaced when it falls.
type child struct {
	name    string
	place   *place
	log     *slog.Logger
	out     *logFile
	clear   func() error                    // ends what an earlier process left behind; called before every start
	command func() *exec.Cmd                // a fresh command for every start
	ping    func(ctx context.Context) error // nil once the server answers a query
	halt    syscall.Signal                  // asks for a clean end
	abort   syscall.Signal                  // asks for an end at once; also what it gets when we die

	mu      sync.Mutex
	current *run
	quit    chan struct{} // closed by stop
	done    chan struct{} // closed when no process is left and none will be started
}

// run is one life of the server process.
type run struct {
	process *os.Process
	ended   chan struct{}
	state   error // how it ended; read after ended
}

// start returns once the server answers. ctx bounds the start alone.
func (c *child) start(ctx context.Context) error {
	c.quit, c.done = make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go c.supervise(first)
	err := <-first
	if err == nil {
		if err = c.await(ctx, true); err == nil {
			return nil
		}
		expired, cancel := context.WithCancel(ctx)
		cancel()
		_ = c.stop(expired) // the reason of the failed start says more
	} else {
		<-c.done
	}
	return fmt.Errorf("start %s: %w", c.name, err)
}

// supervise starts the server again and again until stop. A parent-death signal
// is sent when the thread that forked ends, not the process (prctl(2)), so this
// goroutine keeps its thread as long as it has a child.
func (c *child) supervise(first chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(c.done)
	pause := shortestPause
	for {
		began := time.Now()
		r, wait, err := c.launch()
		if first != nil {
			first <- err
			if err != nil {
				return
			}
			first = nil
		}
		if err == nil {
			r.state = wait()
			close(r.ended)
			err = r.state
		}
		if time.Since(began) > steady {
			pause = shortestPause
		}
		select {
		case <-c.quit:
			return
		case <-time.After(pause):
		}
		c.log.Warn("private server fell, starting it again", "server", c.name, "ended", fmt.Sprint(err), "after", pause)
		pause = min(2*pause, longestPause)
	}
}

// launch forks the server on the calling thread. wait blocks until it has ended.
func (c *child) launch() (r *run, wait func() error, err error) {
	if err := c.clear(); err != nil {
		return nil, nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.quit:
		return nil, nil, errors.New("stopped")
	default:
	}
	cmd := c.command()
	cmd.Stdout, cmd.Stderr = c.out, c.out
	cmd.SysProcAttr = c.place.attributes(c.abort)
	cmd.WaitDelay = time.Second // what the server forked may hold its output a little longer
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	c.current = &run{process: cmd.Process, ended: make(chan struct{})}
	return c.current, func() error {
		if err := cmd.Wait(); err != nil {
			return err
		}
		return errors.New("exit status 0")
	}, nil
}

// await returns nil once the server answers. With once, the end of the current
// process is an error; otherwise its successor is waited for.
func (c *child) await(ctx context.Context, once bool) error {
	r := c.life()
	ended := r.ended
	if !once {
		ended = nil
	}
	for pause := 5 * time.Millisecond; ; pause = min(pause*3/2, 200*time.Millisecond) {
		err := c.ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			return fmt.Errorf("it ended (%w), its last words in %s: %s", r.state, c.out.path, c.out.last())
		case <-c.done:
			return errors.New("it was stopped")
		case <-ctx.Done():
			return fmt.Errorf("%w, last answer: %w", ctx.Err(), err)
		case <-time.After(pause):
		}
	}
}

func (c *child) life() *run {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

// restart ends the server by that signal and returns once it answers again.
func (c *child) restart(ctx context.Context, by syscall.Signal) error {
	r := c.life()
	if err := r.process.Signal(by); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("restart %s: %w", c.name, err)
	}
	select {
	case <-r.ended:
	case <-ctx.Done():
		return fmt.Errorf("restart %s: %w", c.name, ctx.Err())
	}
	if err := c.await(ctx, false); err != nil {
		return fmt.Errorf("restart %s: %w", c.name, err)
	}
	return nil
}

// stop ends the server for good and returns when it has ended. Once ctx is over
// it is forced, which is an error, though no harm to the data. A repeat is
// harmless.
func (c *child) stop(ctx context.Context) error {
	c.mu.Lock()
	select {
	case <-c.quit:
	default:
		close(c.quit)
	}
	c.mu.Unlock()
	c.signal(c.halt)
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
	}
	c.signal(c.abort)
	select {
	case <-c.done:
	case <-time.After(lastWarning):
		c.signal(syscall.SIGKILL)
		<-c.done
	}
	return fmt.Errorf("stop %s, forced: %w", c.name, ctx.Err())
}

// signal reaches the current process if there is one; one already gone is fine.
func (c *child) signal(s syscall.Signal) {
	if r := c.life(); r != nil {
		_ = r.process.Signal(s)
	}
}

// end stops the server, then lets the next process in.
func (c *child) end(ctx context.Context) error {
	err := c.stop(ctx)
	c.leave()
	return err
}

// leave gives back what the place and the log hold; no server may be running.
func (c *child) leave() {
	c.out.close()
	c.place.leave()
}
