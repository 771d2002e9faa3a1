package blob

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is a system call that a blob's durability hangs on.
type call struct {
	name string
	path string // relative to the blob folder
}

var watched = map[int32]string{
	unix.SYS_OPENAT: "open", unix.SYS_MKDIRAT: "mkdir", unix.SYS_FSYNC: "fsync", unix.SYS_RENAMEAT: "rename", unix.SYS_RENAMEAT2: "rename",
	unix.SYS_PWRITE64: "write", unix.SYS_FDATASYNC: "fdatasync", unix.SYS_FSTAT: "stat", unix.SYS_FALLOCATE: "allocate",
}

// underFault runs do and asks fail about every watched system call that it makes below
// root: 0 lets the call happen, any other errno is what do gets in its stead (FLT-7).
// It returns the calls in order.
//
// do runs on a thread of its own whose calls the kernel announces to us before it runs
// them (seccomp user notification), so what is tried is the real code on a real disk.
func underFault(t *testing.T, root string, fail func(call) syscall.Errno, do func()) []call {
	t.Helper()
	listener, done := make(chan int, 1), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with this function
		fd, errno := announceCalls()
		if errno != 0 {
			t.Errorf("seccomp: %v", errno)
			listener <- -1
			return
		}
		listener <- fd
		do()
	}()
	fd := <-listener
	if fd < 0 {
		t.FailNow()
	}
	defer unix.Close(fd)
	memory, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	var calls []call
	for {
		select {
		case <-done:
			return calls
		default:
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 2)
		if n <= 0 || err != nil {
			continue
		}
		var got notification
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&got))); errno != 0 {
			continue // the thread has ended
		}
		answer := response{id: got.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if c, ok := got.call(memory, root); ok {
			calls = append(calls, c)
			if errno := fail(c); errno != 0 {
				answer.err, answer.flags = -int32(errno), 0
			}
		}
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&answer))); errno != 0 {
			t.Errorf("answer a call: %v", errno)
		}
	}
}

// notification and response are the kernel's (linux/seccomp.h).
type notification struct {
	id         uint64
	pid, flags uint32
	nr         int32
	arch       uint32
	pointer    uint64
	args       [6]uint64
}

type response struct {
	id    uint64
	value int64
	err   int32
	flags uint32
}

// call tells what the notification is about; false for what is not below root.
func (n notification) call(memory *os.File, root string) (call, bool) {
	c := call{name: watched[n.nr]}
	switch c.name {
	case "fsync", "fdatasync", "write", "stat", "allocate":
		c.path, _ = os.Readlink("/proc/self/fd/" + strconv.FormatUint(n.args[0], 10))
	default:
		text := make([]byte, 4096)
		got, _ := memory.ReadAt(text, int64(n.args[1])) // ends early at the end of a mapping
		c.path, _, _ = strings.Cut(string(text[:got]), "\x00")
	}
	rest, ok := strings.CutPrefix(c.path, root)
	c.path = strings.TrimPrefix(rest, "/")
	return c, ok && (rest == "" || rest[0] == '/')
}

// announceCalls makes the kernel tell of this thread's watched calls on the returned
// descriptor.
func announceCalls() (int, syscall.Errno) {
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}} // the call's number
	for nr := range watched {
		filter = append(filter,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(nr), Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, err.(syscall.Errno)
	}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&program)))
	return int(fd), errno
}
