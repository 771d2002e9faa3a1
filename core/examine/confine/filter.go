package confine

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls a reader of stdin needs: C and Go runtimes, threads, read-only
// files. What is not here does not exist for it (ENOSYS, so that libraries fall back
// to older calls): no socket, process, signal to others, ptrace, mount, key, module.
var allowed = []uint32{
	unix.SYS_READ, unix.SYS_READV, unix.SYS_PREAD64, unix.SYS_WRITE, unix.SYS_WRITEV, unix.SYS_CLOSE, unix.SYS_LSEEK,
	unix.SYS_FSTAT, unix.SYS_NEWFSTATAT, unix.SYS_STATX, unix.SYS_READLINKAT, unix.SYS_FACCESSAT, unix.SYS_GETDENTS64,
	unix.SYS_GETCWD, unix.SYS_DUP, unix.SYS_PIPE2, unix.SYS_PPOLL, unix.SYS_PSELECT6,
	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EVENTFD2,

	unix.SYS_MMAP, unix.SYS_MPROTECT, unix.SYS_MUNMAP, unix.SYS_MREMAP, unix.SYS_BRK, unix.SYS_MADVISE, unix.SYS_MINCORE,

	unix.SYS_FUTEX, unix.SYS_SET_ROBUST_LIST, unix.SYS_SET_TID_ADDRESS, unix.SYS_RSEQ, unix.SYS_MEMBARRIER,
	unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_GETCPU, unix.SYS_GETTID, unix.SYS_GETPID,
	unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID, unix.SYS_UNAME, unix.SYS_SYSINFO,
	unix.SYS_GETRLIMIT, unix.SYS_GETRUSAGE, unix.SYS_GETRANDOM,

	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL,
	unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_GETRES, unix.SYS_GETTIMEOFDAY,

	unix.SYS_EXECVE, // ours, and useless afterwards: the filter and the files stay the same
	unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
}

// Opening is reading, for whoever asks to write, create or truncate in any way.
const openWrites = unix.O_WRONLY | unix.O_RDWR | unix.O_CREAT | unix.O_TRUNC | unix.O_APPEND

// guarded are the calls allowed with some first or second arguments only.
func guarded(self uint32) []guard {
	fcntl := []uint32{unix.F_DUPFD, unix.F_DUPFD_CLOEXEC, unix.F_GETFD, unix.F_SETFD, unix.F_GETFL, unix.F_SETFL}
	return append([]guard{
		{call: unix.SYS_CLONE, arg: 0, bits: unix.CLONE_THREAD}, // threads, not processes
		{call: unix.SYS_OPENAT, arg: 2, without: true, bits: openWrites},
		{call: unix.SYS_FCNTL, arg: 1, oneOf: fcntl},         // not F_SETOWN, which signals others
		{call: unix.SYS_KILL, arg: 0, oneOf: []uint32{self}}, // abort, preemption
		{call: unix.SYS_TGKILL, arg: 0, oneOf: []uint32{self}},
		{call: unix.SYS_PRLIMIT64, arg: 0, oneOf: []uint32{0, self}}, // its own, which only go down
		{call: unix.SYS_PRCTL, arg: 0, oneOf: []uint32{unix.PR_SET_DUMPABLE, unix.PR_SET_NAME, unix.PR_SET_VMA}},
	}, archGuarded...)
}

// guard allows a call when the low half of one argument is one of some values, or has
// (without: has none of) some bits.
type guard struct {
	call    uint32
	arg     uint32
	oneOf   []uint32
	bits    uint32
	without bool
}

// Offsets in struct seccomp_data (linux/seccomp.h), on the little-endian machines
// this is built for.
const (
	offsetCall = 0
	offsetArch = 4
	offsetArgs = 16
)

// filter installs the list above on the calling thread (seccomp(2)); what it executes
// inherits it. no_new_privs must be set.
func filter() error {
	code := program(uint32(os.Getpid()))
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return fmt.Errorf("install seccomp filter: %w", errno)
	}
	return nil
}

// program assembles the filter. A call made under another architecture's numbering
// kills the process; x32 numbers are in no list.
func program(self uint32) []unix.SockFilter {
	const deny = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	code := []unix.SockFilter{
		load(offsetArch),
		jump(unix.BPF_JEQ, auditArch, 1, 0),
		answer(unix.SECCOMP_RET_KILL_PROCESS),
		load(offsetCall),
	}
	for _, call := range append(allowed[:len(allowed):len(allowed)], archAllowed...) {
		code = append(code, jump(unix.BPF_JEQ, call, 0, 1), answer(unix.SECCOMP_RET_ALLOW))
	}
	for _, g := range guarded(self) {
		body := g.assemble()
		body = append(body, answer(deny))
		code = append(code, jump(unix.BPF_JEQ, g.call, 0, uint8(len(body))))
		code = append(code, body...)
	}
	return append(code, answer(unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS)))
}

func (g guard) assemble() []unix.SockFilter {
	code := []unix.SockFilter{load(offsetArgs + 8*g.arg)}
	if g.bits != 0 {
		has, hasNot := uint8(0), uint8(1)
		if g.without {
			has, hasNot = hasNot, has
		}
		return append(code, jump(unix.BPF_JSET, g.bits, has, hasNot), answer(unix.SECCOMP_RET_ALLOW))
	}
	for _, v := range g.oneOf {
		code = append(code, jump(unix.BPF_JEQ, v, 0, 1), answer(unix.SECCOMP_RET_ALLOW))
	}
	return code
}

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func jump(test uint16, k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | test, K: k, Jt: yes, Jf: no}
}

func answer(k uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k}
}
