package confine

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

// Older calls that only this architecture still has.
var archAllowed = []uint32{
	unix.SYS_ARCH_PRCTL, unix.SYS_ACCESS, unix.SYS_STAT, unix.SYS_LSTAT, unix.SYS_READLINK, unix.SYS_POLL,
	unix.SYS_EPOLL_WAIT, unix.SYS_PIPE, unix.SYS_DUP2, unix.SYS_TIME,
}

var archGuarded = []guard{{call: unix.SYS_OPEN, arg: 1, without: true, bits: openWrites}}
