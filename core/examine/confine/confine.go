// Package confine owns the one way a parser of hostile bytes is started as a process:
// short-lived, without network, files, privileges or environment, and with its time,
// memory and output counted (SEC-62, SEC-27).
//
// Two things run confined: an external program (tesseract), and a Job, a function of
// ours that runs in a second copy of this very binary because the library behind it
// can be stopped in no other way (HEIC).
//
// The program that uses Run must call Main first thing in main; a test binary does so
// in TestMain. A started child passes through Main, gives away every right it can on
// one locked thread, and only then executes the parser, so that the parser's first
// instruction is already confined. Where the kernel lacks too much of it, the child
// does not start: see Check.
package confine

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"
)

// What stops a confined process, or keeps it from starting.
var (
	// ErrUnconfined: the process was not started, because it could not be confined
	// well enough here, or because the running program never calls Main.
	ErrUnconfined = errors.New("process cannot be confined")
	// ErrTime: the wall-clock or CPU time was used up.
	ErrTime = errors.New("confined process used up its time")
	// ErrMemory: more memory was resident than allowed.
	ErrMemory = errors.New("confined process used up its memory")
	// ErrOutput: more was written than is accepted.
	ErrOutput = errors.New("confined process wrote too much")
)

// ExitError: the process ran confined and ended by itself, but not well.
type ExitError struct {
	Code   int            // exit status; -1 when a signal ended it
	Signal syscall.Signal // 0 when it exited
	Stderr []byte         // its first words on stderr: untrusted, may quote the document, never to be logged
}

func (e *ExitError) Error() string {
	if e.Signal != 0 {
		return fmt.Sprintf("confined process ended by signal %d", int(e.Signal))
	}
	return fmt.Sprintf("confined process exited with status %d", e.Code)
}

// Limits are what one confined process may use up. Zero fields take the default.
type Limits struct {
	Wall   time.Duration // default 2 minutes
	CPU    time.Duration // counted over all threads, in whole seconds; default 60 s (SEC-62)
	Memory int64         // resident bytes; default 512 MiB (SEC-62)
	Output int64         // bytes accepted on stdout; default 64 MiB
}

func (l Limits) orDefault() Limits {
	if l.Wall <= 0 {
		l.Wall = 2 * time.Minute
	}
	if l.CPU <= 0 {
		l.CPU = time.Minute
	}
	if l.Memory <= 0 {
		l.Memory = 512 << 20
	}
	if l.Output <= 0 {
		l.Output = 64 << 20
	}
	return l
}

// Task is one confined run: of Program or, when that is empty, of Job.
type Task struct {
	Program string    // absolute path of an external program
	Job     string    // name of a Job given to Main
	Args    []string  // of the program, without its name
	Env     []string  // the whole environment; none of ours is inherited
	Read    []string  // files and folders it may read, beside the system's programs and libraries
	Input   io.Reader // its stdin; nil is empty
	Limits  Limits
}

// Job is a function of ours that runs in a confined copy of this binary. It sees no
// file but those of Task.Read. Its error ends the child with status 1 and is told on
// stderr; a panic ends it with status 2.
type Job struct {
	Name string
	Run  func(in io.Reader, out io.Writer) error
}
