package confine

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Every right over files that a version of Landlock knows (linux/landlock.h; entry n
// is what version n+1 added). All are taken away; reading is given back where needed.
var fileRights = []uint64{
	unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1,
	unix.LANDLOCK_ACCESS_FS_REFER,
	unix.LANDLOCK_ACCESS_FS_TRUNCATE,
	0, // version 4 brought TCP
	unix.LANDLOCK_ACCESS_FS_IOCTL_DEV,
	0, 0, 0, // 6 brought scopes, 7 and 8 auditing and threads
	unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX,
}

const (
	tcpRights   = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	scopes      = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	readFile    = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_EXECUTE
	readFolder  = readFile | unix.LANDLOCK_ACCESS_FS_READ_DIR
	sinceTCP    = 4
	sinceScopes = 6
)

// systemPaths are what any program needs to start. Not all exist everywhere.
var systemPaths = []string{"/usr", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache"}

// errNoLandlock: this kernel was built or started without it.
var errNoLandlock = errors.New("no Landlock")

// fence hides, from the calling thread and what it executes, every file but the
// system's programs and libraries, the program itself and those asked for. Nothing
// can be written, no TCP port and no abstract socket reached, no outsider signalled,
// as far as this kernel's Landlock goes.
//
// It is done by hand, on one thread: restricting every thread of the process, as
// go-landlock does, hangs in a PID namespace that has no /proc of its own.
func (p plan) fence() error {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return fmt.Errorf("%w: %w", errNoLandlock, errno)
	}
	attr := unix.LandlockRulesetAttr{}
	for _, rights := range fileRights[:min(int(version), len(fileRights))] {
		attr.Handled_access_fs |= rights
	}
	if version >= sinceTCP {
		attr.Handled_access_net = tcpRights
	}
	if version >= sinceScopes {
		attr.Scoped = scopes
	}
	// An older kernel takes the longer structure as long as what it does not know is zero.
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return fmt.Errorf("create Landlock rules: %w", errno)
	}
	rules := int(fd)
	defer unix.Close(rules)
	for _, path := range systemPaths {
		if err := allowReading(rules, path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	program := p.Program
	if program == "" {
		program = "/proc/self/exe"
	}
	for _, path := range append([]string{program}, p.Read...) {
		if err := allowReading(rules, path); err != nil {
			return err
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return fmt.Errorf("enforce Landlock rules: %w", errno)
	}
	return nil
}

// allowReading adds one file, or a folder with all it holds.
func allowReading(rules int, path string) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("allow reading: %w", &os.PathError{Op: "open", Path: path, Err: err})
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return fmt.Errorf("allow reading: %w", &os.PathError{Op: "stat", Path: path, Err: err})
	}
	rule := unix.LandlockPathBeneathAttr{Parent_fd: int32(fd), Allowed_access: readFile}
	if stat.Mode&unix.S_IFMT == unix.S_IFDIR {
		rule.Allowed_access = readFolder
	}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("allow reading: %w", &os.PathError{Op: "add rule", Path: path, Err: errno})
	}
	return nil
}
