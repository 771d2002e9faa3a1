package confine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	nobody      = 65534    // uid and gid a child of root gets
	maxStderr   = 16 << 10 // bytes of stderr kept
	watchEvery  = 20 * time.Millisecond
	enterWithin = 20 * time.Second // a child that has not confined itself by then never will
	namespaces  = unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS
)

// Run runs t to its end and returns what it wrote on stdout. The error is ctx's when
// ctx ended first, ErrUnconfined, ErrTime, ErrMemory, ErrOutput or an *ExitError,
// wrapped or not. Whatever happens, no process is left behind: not when ctx ends, and
// not when this process is killed. Each call stands alone; calls may run at once.
func Run(ctx context.Context, t Task) ([]byte, error) {
	out, _, err := run(ctx, t)
	return out, err
}

// run is Run; it also hands back what the child reported when it went in.
func run(ctx context.Context, t Task) ([]byte, report, error) {
	if inside() {
		return nil, report{}, fmt.Errorf("%w: a confined copy ran past Main: it must be called first in main", ErrUnconfined)
	}
	var refused error
	for _, space := range spaces() {
		out, rep, err := launch(ctx, t, space)
		if !errors.Is(err, errNoSpace) {
			return out, rep, err
		}
		refused = err
	}
	return nil, report{}, fmt.Errorf("%w: %w", ErrUnconfined, refused)
}

var (
	// errNoSpace: the kernel does not let us clone into these namespaces.
	errNoSpace = errors.New("start confined process")
	// errSilent: the child never reported.
	errSilent = fmt.Errorf("%w: the copy started did not confine itself: Main must be called first in main", ErrUnconfined)
)

// spaces lists the namespaces to try, best first. Seccomp alone must do where the
// system offers none, as in most containers.
func spaces() []uintptr {
	if os.Geteuid() == 0 {
		return []uintptr{namespaces, 0}
	}
	return []uintptr{namespaces | unix.CLONE_NEWUSER, 0}
}

// launch starts t in fresh namespaces and sees it to its end.
//
// The thread that forks is locked until the child is gone: the parent-death signal
// follows the thread, not the process (prctl(2), PR_SET_PDEATHSIG).
func launch(ctx context.Context, t Task, space uintptr) ([]byte, report, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	limits := t.Limits.orDefault()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ctx, stop := context.WithTimeoutCause(ctx, limits.Wall, ErrTime)
	defer stop()

	cmd, err := command(ctx, t, space)
	if err != nil {
		return nil, report{}, err
	}
	stdout := &capped{max: limits.Output, over: func() { cancel(ErrOutput) }}
	stderr := &capped{max: maxStderr}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = t.Input, stdout, stderr
	fromChild, toParent, err := os.Pipe()
	if err != nil {
		return nil, report{}, fmt.Errorf("open report pipe: %w", err)
	}
	defer fromChild.Close()
	cmd.ExtraFiles = []*os.File{toParent}

	err = cmd.Start()
	_ = toParent.Close() // the child has its own; ours would keep the pipe from ending
	if ctx.Err() != nil && err != nil {
		return nil, report{}, context.Cause(ctx)
	}
	if err != nil {
		return nil, report{}, fmt.Errorf("%w: %w", errNoSpace, err)
	}
	told := make(chan report, 1)
	go func() { told <- listen(fromChild, func() { cancel(errSilent) }) }()
	done := make(chan struct{})
	go watch(cmd.Process.Pid, limits.Memory, done, func() { cancel(ErrMemory) })
	err = cmd.Wait()
	close(done)

	rep := <-told
	switch {
	case rep.Refused != "":
		return nil, rep, fmt.Errorf("%w: %s", ErrUnconfined, rep.Refused)
	case err == nil && rep.Entered:
		return stdout.buf.Bytes(), rep, nil
	case ctx.Err() != nil:
		return nil, rep, context.Cause(ctx)
	case !rep.Entered:
		return nil, rep, errSilent
	}
	return nil, rep, ended(cmd.ProcessState, err, limits, stderr.buf.Bytes())
}

// command is this binary again, told in its arguments what to become. They hold
// paths and limits, nothing personal: every user of the machine can read them.
func command(ctx context.Context, t Task, space uintptr) (*exec.Cmd, error) {
	root := os.Geteuid() == 0
	l := t.Limits.orDefault()
	told, err := json.Marshal(plan{
		Program: t.Program, Job: t.Job, Args: t.Args, Env: t.Env, Read: t.Read,
		CPU: int64((l.CPU + time.Second - 1) / time.Second), Memory: l.Memory,
		NoNet: space&unix.CLONE_NEWNET != 0, OtherUser: root,
	})
	if err != nil {
		return nil, fmt.Errorf("encode plan: %w", err)
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = []string{childName, stageEnter, string(told)}
	cmd.Env = []string{"GOTRACEBACK=none"}
	cmd.Dir = "/"
	cmd.WaitDelay = 2 * time.Second
	cmd.Cancel = func() error { return kill(cmd.Process) }
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: space}
	if root {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	if space&unix.CLONE_NEWUSER != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Getegid(), Size: 1}}
	}
	return cmd, nil
}

// kill ends the child and, should it ever have got one, the rest of its group.
func kill(p *os.Process) error {
	if err := p.Kill(); err != nil {
		return err // os.ErrProcessDone: the number may be somebody else's by now
	}
	_ = syscall.Kill(-p.Pid, syscall.SIGKILL) // the group may be gone with its leader
	return nil
}

// ended tells why a process that nobody stopped did not end well. The kernel enforces
// the CPU limit with the same SIGKILL as anybody else: the clock tells them apart.
func ended(state *os.ProcessState, err error, l Limits, stderr []byte) error {
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok || state.Success() {
		return fmt.Errorf("run confined process: %w", err)
	}
	if !status.Signaled() {
		return &ExitError{Code: status.ExitStatus(), Stderr: stderr}
	}
	used := state.UserTime() + state.SystemTime()
	if s := status.Signal(); (s == syscall.SIGKILL || s == syscall.SIGXCPU) && used >= l.CPU-time.Second/2 {
		return ErrTime
	}
	return &ExitError{Code: -1, Signal: status.Signal(), Stderr: stderr}
}

// listen reads the one line a child writes once it is confined, or why it is not. A
// child that stays silent is not ours any more than its output is.
func listen(r io.Reader, silent func()) report {
	late := time.AfterFunc(enterWithin, silent)
	defer late.Stop()
	var rep report
	if err := json.NewDecoder(io.LimitReader(r, maxStderr)).Decode(&rep); err != nil {
		return report{}
	}
	return rep
}

// watch calls over when more than max bytes are resident. The kernel's own limit
// (RLIMIT_DATA) counts what is promised, not what is used, and has to be wider.
func watch(pid int, max int64, done <-chan struct{}, over func()) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			if resident(pid) > max {
				over()
				return
			}
		}
	}
}

// resident is the memory of a process in bytes, 0 when it is gone (proc(5), statm).
func resident(pid int) int64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// capped keeps the first max bytes. What comes after is dropped when over is nil;
// otherwise over is called and writing fails.
type capped struct {
	buf  bytes.Buffer // not embedded: its ReadFrom would pass by Write
	max  int64
	over func()
}

func (c *capped) Write(p []byte) (int, error) {
	room := c.max - int64(c.buf.Len())
	if int64(len(p)) <= room {
		return c.buf.Write(p)
	}
	if c.over != nil {
		c.over()
		return 0, ErrOutput
	}
	_, _ = c.buf.Write(p[:room])
	return len(p), nil
}
