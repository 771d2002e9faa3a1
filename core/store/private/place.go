package private

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	spareRoot  = "/var/lib/vaguemestre" // for homes the servers' account cannot enter
	maxSocket  = 107                    // bytes of a Unix socket's path (unix(7): 108 with the final zero)
	lockedWait = 2 * time.Second        // a process just killed may take a moment to let go of its lock
)

// place is where one server keeps its files, and the account it runs as.
type place struct {
	dir     string              // absolute, free of links: data, server.log
	sockets string              // where the socket lies
	account *syscall.Credential // nil: our own
	lock    *os.File
}

func (p *place) data() string { return filepath.Join(p.dir, "data") }

// attributes ties a child to us: it leads a process group of its own, out of the
// reach of the terminal's Ctrl-C, and gets death when the forking thread ends.
func (p *place) attributes(death syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: death, Credential: p.account}
}

// takePlace locks dir, decides where the server lives and as whom, and makes the
// directories it needs. program is one the server's account must be able to run
// from there; socket the file name its socket will have.
func takePlace(ctx context.Context, dir, spare, program, socket string, log *slog.Logger) (*place, error) {
	dir, err := madeDir(dir)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(ctx, dir)
	if err != nil {
		return nil, err
	}
	p := &place{dir: dir, lock: lock}
	if err := p.settle(spare, program, log); err != nil {
		p.leave()
		return nil, err
	}
	if p.sockets, err = p.socketDir(socket); err != nil {
		p.leave()
		return nil, err
	}
	return p, nil
}

// leave lets the next process in.
func (p *place) leave() {
	if p.sockets != "" && p.sockets != filepath.Join(p.dir, "run") {
		_ = os.Remove(p.sockets) // only when empty; the next start finds or makes it
	}
	_ = p.lock.Close()
}

// madeDir makes dir if need be and gives its absolute path without links, as
// /proc will show it.
func madeDir(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	// Others may pass through what lies above, and see nothing.
	if err := os.MkdirAll(filepath.Dir(dir), 0o711); err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return filepath.EvalSymlinks(dir)
}

// lockDir takes dir for this process. The kernel gives the lock back when the
// process ends, whatever ended it; children do not inherit it.
func lockDir(ctx context.Context, dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	for waited := time.Duration(0); ; waited += 20 * time.Millisecond {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return f, nil
		case err != syscall.EWOULDBLOCK && err != syscall.EINTR, waited >= lockedWait:
			_ = f.Close()
			return nil, fmt.Errorf("lock %s, is another process running there? %w", dir, err)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// settle fixes p.dir and p.account. Root needs an account for the server and a
// directory that account can enter; anyone else keeps both.
func (p *place) settle(spare, program string, log *slog.Logger) error {
	if os.Geteuid() != 0 {
		return os.Chmod(p.dir, 0o700)
	}
	if target, err := os.Readlink(filepath.Join(p.dir, "elsewhere")); err == nil {
		p.dir = target
	}
	if err := p.stepDown(); err != nil {
		return err
	}
	err := p.enter(program)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	home := p.dir
	p.dir = filepath.Join(spare, shortHash(home))
	if err := os.MkdirAll(p.dir, 0o711); err != nil {
		return err
	}
	if err := p.stepDown(); err != nil { // data may be there already
		return err
	}
	if err := p.enter(program); err != nil {
		return fmt.Errorf("no directory for the servers' account (uid %d): %w", p.account.Uid, err)
	}
	if err := os.Symlink(p.dir, filepath.Join(home, "elsewhere")); err != nil {
		return err
	}
	log.Warn("the servers' account cannot enter the home, data lies elsewhere", "home", home, "data", p.dir, "uid", p.account.Uid)
	return nil
}

// stepDown chooses the account: whoever owns the data stays its owner.
func (p *place) stepDown() error {
	var st syscall.Stat_t
	for _, known := range []string{p.data(), p.dir} {
		if err := syscall.Stat(known, &st); err == nil && st.Uid != 0 {
			p.account = &syscall.Credential{Uid: st.Uid, Gid: st.Gid}
			return nil
		}
	}
	for _, name := range []string{"postgres", "redis", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		p.account = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return nil
	}
	return errors.New("run by root, and none of the accounts postgres, redis and nobody exists to run a server")
}

// enter asks the kernel whether the account may run program from p.dir:
// permissions, access lists and security modules all have their say.
func (p *place) enter(program string) error {
	var st syscall.Stat_t
	if err := syscall.Stat(p.dir, &st); err != nil {
		return err
	}
	if st.Uid == 0 {
		if err := os.Chmod(p.dir, 0o711); err != nil { // what lies in it is 0700 or 0600
			return err
		}
	}
	_, err := p.run(exec.Command(program, "--version"))
	return err
}

// run runs a short-lived program in p.dir as the server's account; it dies with
// us. The error carries what the program said.
func (p *place) run(cmd *exec.Cmd) ([]byte, error) {
	runtime.LockOSThread() // see supervise
	defer runtime.UnlockOSThread()
	cmd.Dir, cmd.Env = p.dir, environment()
	cmd.SysProcAttr = p.attributes(syscall.SIGKILL)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s in %s: %w: %s", filepath.Base(cmd.Path), p.dir, err, strings.TrimSpace(string(out)))
	}
	return out, nil
}

// serve is the command of a server that stays. A shell, which the
// server replaces, first forbids memory images on disk (SEC-27): root in a
// container may not change the limits of another account's process (prlimit(2)).
func (p *place) serve(server string, args ...string) *exec.Cmd {
	cmd := exec.Command("/bin/sh", append([]string{"-c", `ulimit -c 0 && exec "$0" "$@"`, server}, args...)...)
	cmd.Dir, cmd.Env = p.dir, environment()
	return cmd
}

// environment is all a server sees of ours: a PGPORT or PGOPTIONS of the person
// who started us must not reach it.
func environment() []string {
	return []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
}

// own makes a directory of p that only the server's account may enter.
func (p *place) own(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if p.account != nil {
		if err := os.Lchown(dir, int(p.account.Uid), int(p.account.Gid)); err != nil {
			return err
		}
	}
	return p.checkOwned(dir)
}

// checkOwned refuses a directory that is a link, belongs to somebody else or is
// open to others: in /tmp anyone could have made it first.
func (p *place) checkOwned(dir string) error {
	uid := uint32(os.Geteuid())
	if p.account != nil {
		uid = p.account.Uid
	}
	var st syscall.Stat_t
	if err := syscall.Lstat(dir, &st); err != nil {
		return fmt.Errorf("look at %s: %w", dir, err)
	}
	if st.Mode&syscall.S_IFMT != syscall.S_IFDIR || st.Uid != uid || st.Mode&0o077 != 0 {
		return fmt.Errorf("%s is not a directory of uid %d that is closed to others", dir, uid)
	}
	return nil
}

// socketDir is where a socket of that name fits: p.dir/run, or a directory with a
// short name of its own. A comma sends it there too: clients take a host with a
// comma for a list of hosts.
func (p *place) socketDir(socket string) (string, error) {
	dir := filepath.Join(p.dir, "run")
	if len(filepath.Join(dir, socket)) <= maxSocket && !strings.Contains(dir, ",") {
		return dir, p.own(dir)
	}
	dir = filepath.Join(shortRoot(), "vaguemestre-"+shortHash(p.dir))
	err := os.Mkdir(dir, 0o700)
	switch {
	case err == nil:
		return dir, p.own(dir)
	case errors.Is(err, fs.ErrExist):
		return dir, p.checkOwned(dir)
	}
	return "", err
}

// shortRoot is the best directory for a socket with a short path: one where only
// we can make names, else /tmp.
func shortRoot() string {
	if os.Geteuid() == 0 {
		return "/run"
	}
	dir := "/run/user/" + strconv.Itoa(os.Geteuid())
	var st syscall.Stat_t
	if syscall.Stat(dir, &st) == nil && int(st.Uid) == os.Geteuid() {
		return dir
	}
	return "/tmp"
}

func shortHash(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return hex.EncodeToString(sum[:8])
}
