package confine

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// restrict gives away, on the calling thread and for good, every right the parser has
// no use for. It returns the features that the kernel lacks, and an error when what is
// left is not worth the name: no_new_privs, the limits, a user other than root, no
// network (by namespace or by filter) and no foreign files (by Landlock or by another
// user) are the least.
func (p plan) restrict() (lacks []string, err error) {
	if os.Geteuid() == 0 || os.Getuid() == 0 {
		return nil, errors.New("still root")
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("set no_new_privs: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("forbid dumps: %w", err)
	}
	if err := p.limit(); err != nil {
		return nil, err
	}
	if err := p.fence(); err != nil {
		if !p.OtherUser || !errors.Is(err, errNoLandlock) {
			return nil, fmt.Errorf("fence files: %w", err)
		}
		lacks = append(lacks, lackLandlock)
	}
	if err := filter(); err != nil {
		if !p.NoNet {
			return nil, fmt.Errorf("filter system calls: %w", err)
		}
		lacks = append(lacks, lackSeccomp)
	}
	return lacks, nil
}

// limit sets the kernel's limits (setrlimit(2)).
//
// Memory is RLIMIT_DATA: RLIMIT_AS would count the hundreds of megabytes that the Go
// runtime and WebAssembly reserve and never touch. It is twice what may be resident:
// the parent watches that.
//
// RLIMIT_CORE is one byte, not none: a limit of 0 is ignored when cores are piped to
// a program, as Ubuntu and systemd do, while 1 makes the kernel give up in both cases
// (core(5); fs/coredump.c).
//
// RLIMIT_NPROC counts every thread of the same user on the machine: it only keeps a
// flood of threads within bounds. New processes are forbidden by the filter.
func (p plan) limit() error {
	cpu, data := uint64(p.CPU), 2*uint64(p.Memory)
	for _, l := range []struct {
		what int
		max  uint64
	}{
		{unix.RLIMIT_CPU, cpu},
		{unix.RLIMIT_DATA, data},
		{unix.RLIMIT_CORE, 1},
		{unix.RLIMIT_FSIZE, 0},
		{unix.RLIMIT_NOFILE, 32},
		{unix.RLIMIT_NPROC, 1024},
		{unix.RLIMIT_MEMLOCK, 0},
		{unix.RLIMIT_MSGQUEUE, 0},
	} {
		if err := unix.Prlimit(0, l.what, &unix.Rlimit{Cur: l.max, Max: l.max}, nil); err != nil {
			return fmt.Errorf("set limit %d: %w", l.what, err)
		}
	}
	return nil
}
