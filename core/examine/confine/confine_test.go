package confine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	Main(
		Job{"echo", func(in io.Reader, out io.Writer) error { _, err := io.Copy(out, in); return err }},
		Job{"probe", probe},
		Job{"spin", func(io.Reader, io.Writer) error {
			for n := 0; n >= 0; n = (n + 1) % 1000 {
			}
			return nil
		}},
		Job{"sleep", func(io.Reader, io.Writer) error { time.Sleep(time.Hour); return nil }},
		Job{"flood", func(_ io.Reader, out io.Writer) error {
			for {
				if _, err := out.Write(make([]byte, 1<<16)); err != nil {
					return err
				}
			}
		}},
		Job{"leap", func(_ io.Reader, out io.Writer) error {
			_, err := out.Write(make([]byte, 4<<30))
			return err
		}},
		Job{"fail", func(io.Reader, io.Writer) error { return errors.New("no such page") }},
		Job{"print", func(_ io.Reader, out io.Writer) error {
			fmt.Println("a library speaks")
			_, err := io.WriteString(out, "result")
			return err
		}},
	)
	os.Exit(m.Run())
}

// endless is one line without end: tail has to keep it all.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// attempts tells the probe where the things are that it must not reach.
type attempts struct {
	Secret, Folder, TCP, Unix, Abstract string
	Parent                              int
}

// probe stands in place of a parser that was taken over: it tries what an attacker
// would, and tells which attempts succeeded.
func probe(in io.Reader, out io.Writer) error {
	var a attempts
	if err := json.NewDecoder(in).Decode(&a); err != nil {
		return err
	}
	var stack [4096]byte
	tries := map[string]func() error{
		"read /etc/shadow":  func() error { return reading("/etc/shadow") },
		"read /etc/passwd":  func() error { return reading("/etc/passwd") },
		"read environment":  func() error { return reading("/proc/" + strconv.Itoa(a.Parent) + "/environ") },
		"read secret":       func() error { return reading(a.Secret) },
		"list folder":       func() error { _, err := os.ReadDir(a.Folder); return err },
		"write new file":    func() error { return os.WriteFile(filepath.Join(a.Folder, "new"), []byte("x"), 0o666) },
		"write /tmp":        func() error { return os.WriteFile("/tmp/vaguemestre-probe", []byte("x"), 0o666) },
		"overwrite":         func() error { return os.WriteFile(a.Secret, []byte("x"), 0o666) },
		"remove":            func() error { return os.Remove(a.Secret) },
		"chmod":             func() error { return os.Chmod(a.Secret, 0o777) },
		"connect tcp":       func() error { return dialing("tcp", a.TCP) },
		"connect unix":      func() error { return dialing("unix", a.Unix) },
		"connect abstract":  func() error { return dialing("unix", a.Abstract) },
		"udp socket":        func() error { _, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0); return err },
		"unix socket":       func() error { _, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0); return err },
		"socket pair":       func() error { _, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0); return err },
		"fork":              func() error { return exec.Command("/bin/true").Run() },
		"clone":             func() error { return raw(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0) },
		"clone3":            func() error { return raw(unix.SYS_CLONE3, 0, 0, 0) },
		"ptrace":            func() error { return unix.PtraceSeize(a.Parent) },
		"peek at memory":    func() error { return raw(unix.SYS_PROCESS_VM_READV, uintptr(a.Parent), 0, 0) },
		"kill parent":       func() error { return unix.Kill(a.Parent, unix.SIGTERM) },
		"kill all":          func() error { return unix.Kill(-1, unix.SIGTERM) },
		"probe init":        func() error { return unix.Kill(1<<22-1, 0) },
		"own signal":        func() error { _, err := unix.FcntlInt(0, unix.F_SETOWN, a.Parent); return err },
		"mount":             func() error { return unix.Mount("none", "/tmp", "tmpfs", 0, "") },
		"unshare":           func() error { return unix.Unshare(unix.CLONE_NEWUSER) },
		"become root":       func() error { return raw(unix.SYS_SETUID, 0, 0, 0) },
		"chroot":            func() error { return unix.Chroot("/") },
		"memory file":       func() error { _, err := unix.MemfdCreate("x", 0); return err },
		"keyring":           func() error { return raw(unix.SYS_KEYCTL, 0, 0, 0) },
		"bpf":               func() error { return raw(unix.SYS_BPF, 0, 0, 0) },
		"io_uring":          func() error { return raw(unix.SYS_IO_URING_SETUP, 1, 0, 0) },
		"raise limits":      func() error { return unix.Prlimit(0, unix.RLIMIT_CPU, &unix.Rlimit{Cur: 1e6, Max: 1e6}, nil) },
		"limit of parent":   func() error { return unix.Prlimit(a.Parent, unix.RLIMIT_CPU, nil, &unix.Rlimit{}) },
		"set-user-id":       func() error { _, err := os.Open("/usr/bin/passwd"); return notRoot(err) },
		"environment":       func() error { return emptyEnv() },
		"files left open":   func() error { return isPipe(reportFD) },
		"dump":              func() error { return raw(unix.SYS_PRCTL, unix.PR_GET_DUMPABLE, 0, 0) },
		"secure a signal":   func() error { return raw(unix.SYS_RT_SIGQUEUEINFO, uintptr(a.Parent), 15, 0) },
		"open for writing":  func() error { _, err := unix.Open("/dev/null", unix.O_WRONLY, 0); return err },
		"32-bit numbering":  func() error { return raw(unix.SYS_SOCKET|0x40000000, unix.AF_INET, unix.SOCK_STREAM, 0) },
		"thread of another": func() error { return raw(unix.SYS_TGKILL, uintptr(a.Parent), uintptr(a.Parent), 15) },
	}
	_ = stack
	var done []string
	for name, try := range tries {
		if try() == nil {
			done = append(done, name)
		}
	}
	return json.NewEncoder(out).Encode(done)
}

func reading(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = f.Read(make([]byte, 1))
	return err
}

func dialing(network, addr string) error {
	c, err := net.DialTimeout(network, addr, time.Second)
	if err == nil {
		_ = c.Close()
	}
	return err
}

func raw(call, a, b, c uintptr) error {
	if _, _, errno := unix.RawSyscall(call, a, b, c); errno != 0 {
		return errno
	}
	return nil
}

// notRoot: reading a set-user-id program is harmless; running it must not help.
func notRoot(error) error {
	if os.Geteuid() != 0 {
		return errors.New("not root")
	}
	return nil
}

func isPipe(fd int) error {
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		return err
	}
	if s.Mode&unix.S_IFMT != unix.S_IFIFO {
		return errors.New("not the report pipe: the runtime has since used its number")
	}
	return nil
}

func emptyEnv() error {
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "GO") {
			return nil
		}
	}
	return errors.New("nothing of interest")
}

func TestSEC62_AProbeReachesNothing(t *testing.T) {
	t.Setenv("VAGUEMESTRE_SECRET", "must not be seen")
	a := surroundings(t)
	in, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, space := range spaces() {
		if space != 0 && !offered(space) {
			t.Logf("this machine refuses namespaces %#x to this user: seccomp stands alone", space)
			continue
		}
		t.Run(fmt.Sprintf("namespaces %#x", space), func(t *testing.T) {
			out, rep, err := launch(t.Context(), Task{Job: "probe", Input: bytes.NewReader(in)}, space)
			if err != nil {
				t.Fatalf("probe: %v%s", err, stderr(err))
			}
			if got := strings.TrimSpace(string(out)); got != "null" {
				t.Errorf("a confined process managed to: %s", got)
			}
			if len(rep.Lacks) > 0 {
				t.Errorf("lacks %v", rep.Lacks)
			}
		})
	}
	if b, err := os.ReadFile(a.Secret); err != nil || string(b) != "secret" {
		t.Errorf("secret is now %q, %v", b, err)
	}
}

// TestTheProbeCanDoIt runs the same probe unconfined: were it unable to reach anything
// anyway, the test above would prove nothing.
func TestTheProbeCanDoIt(t *testing.T) {
	a := surroundings(t)
	for name, err := range map[string]error{
		"read secret":      reading(a.Secret),
		"connect tcp":      dialing("tcp", a.TCP),
		"connect unix":     dialing("unix", a.Unix),
		"connect abstract": dialing("unix", a.Abstract),
		"fork":             exec.Command("/bin/true").Run(),
		"kill":             unix.Kill(a.Parent, 0),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// surroundings are things within reach of everybody on this machine.
func surroundings(t *testing.T) attempts {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "confine")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o666); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{dir: 0o777, secret: 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	a := attempts{Secret: secret, Folder: dir, Parent: os.Getpid()}
	a.TCP = listening(t, "tcp", "127.0.0.1:0")
	a.Unix = listening(t, "unix", filepath.Join(dir, "socket"))
	a.Abstract = listening(t, "unix", fmt.Sprintf("@confine-%d", os.Getpid()))
	if err := os.Chmod(a.Unix, 0o777); err != nil {
		t.Fatal(err)
	}
	return a
}

func listening(t *testing.T, network, addr string) string {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

func stderr(err error) string {
	var exit *ExitError
	if errors.As(err, &exit) {
		return ": " + string(exit.Stderr)
	}
	return ""
}

func TestLimits(t *testing.T) {
	short := 700 * time.Millisecond
	for _, c := range []struct {
		name string
		task Task
		want error
	}{
		{"endless sleep", Task{Job: "sleep", Limits: Limits{Wall: short}}, ErrTime},
		{"endless loop, by the clock", Task{Job: "spin", Limits: Limits{Wall: short}}, ErrTime},
		{"endless loop, by the CPU", Task{Job: "spin", Limits: Limits{CPU: time.Second}}, ErrTime},
		{"endless output", Task{Job: "flood", Limits: Limits{Output: 1 << 20}}, ErrOutput},
		{"ever more memory", Task{Program: "/usr/bin/tail", Input: endless{}, Limits: Limits{Memory: 64 << 20}}, ErrMemory},
		{"endless program", Task{Program: "/usr/bin/yes", Limits: Limits{Output: 1 << 20}}, ErrOutput},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			out, err := Run(t.Context(), c.task)
			if !errors.Is(err, c.want) || out != nil {
				t.Errorf("got %d bytes, %v; want %v", len(out), err, c.want)
			}
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("stopped only after %v", d)
			}
		})
	}
}

// TestMemoryLeap: what grows faster than the watch looks is stopped by the kernel.
func TestMemoryLeap(t *testing.T) {
	_, err := Run(t.Context(), Task{Job: "leap", Limits: Limits{Memory: 384 << 20}})
	var exit *ExitError
	if !errors.As(err, &exit) && !errors.Is(err, ErrMemory) {
		t.Fatalf("got %v", err)
	}
}

func TestRun(t *testing.T) {
	file := readable(t)
	big := bytes.Repeat([]byte("vaguemestre "), 1<<20)
	for _, c := range []struct {
		name, want string
		task       Task
	}{
		{"a job", "hello", Task{Job: "echo", Input: strings.NewReader("hello")}},
		{"much input and output", string(big), Task{Job: "echo", Input: bytes.NewReader(big)}},
		{"no input", "", Task{Job: "echo"}},
		{"libraries that print", "result", Task{Job: "print"}},
		{"a program", "hello", Task{Program: "/bin/cat", Input: strings.NewReader("hello")}},
		{"arguments and environment", "LC_ALL=C\n", Task{Program: "/usr/bin/env", Env: []string{"LC_ALL=C"}}},
		{"a readable file", "allowed", Task{Program: "/bin/cat", Args: []string{file}, Read: []string{file}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := Run(t.Context(), c.task)
			if err != nil || string(out) != c.want {
				t.Errorf("got %.40q, %v%s; want %.40q", out, err, stderr(err), c.want)
			}
		})
	}
}

// readable is a file that anybody may read.
func readable(t *testing.T) string {
	t.Helper()
	f, err := os.CreateTemp("/tmp", "confine")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(f.Name()) })
	if _, err := f.WriteString("allowed"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Chmod(0o644), f.Close()); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func TestFailures(t *testing.T) {
	exit := func(code int, words string) func(error) bool {
		return func(err error) bool {
			var e *ExitError
			return errors.As(err, &e) && e.Code == code && strings.Contains(string(e.Stderr), words) && !strings.Contains(err.Error(), words)
		}
	}
	for _, c := range []struct {
		name string
		task Task
		want func(error) bool
	}{
		{"a job's error", Task{Job: "fail"}, exit(exitJobFailed, "no such page")},
		{"an unknown job", Task{Job: "none"}, exit(exitJobFailed, "was not given to Main")},
		{"a missing program", Task{Program: "/usr/bin/no-such-program"}, func(err error) bool { return errors.Is(err, ErrUnconfined) }},
		{"a file it may not read", Task{Program: "/bin/cat", Args: []string{readable(t)}}, exit(1, "Permission denied")},
		{"a fork bomb", Task{Program: "/bin/sh", Args: []string{"-c", "b() { b | b & }; b; wait"}}, exit(2, "fork")},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := Run(t.Context(), c.task)
			if !c.want(err) || out != nil {
				t.Errorf("got %q, %v%s", out, err, stderr(err))
			}
		})
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(300*time.Millisecond, cancel)
	start := time.Now()
	if _, err := Run(ctx, Task{Job: "sleep"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("ended only after %v", d)
	}
	if _, err := Run(ctx, Task{Job: "echo"}); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}

func TestCheck(t *testing.T) {
	namespaced := offered(spaces()[0])
	for _, lack := range Check(t.Context()) {
		if !namespaced && !lack.Required && (lack.Feature == "namespaces" || lack.Feature == "other_user") {
			continue // as it must say on such a machine
		}
		t.Errorf("this machine lacks %+v", lack)
	}
}

// offered asks the kernel itself, without our child, whether this user may have the
// namespaces: a container, a chroot or an AppArmor profile may refuse them.
func offered(space uintptr) bool {
	cmd := exec.Command("/bin/true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: space}
	return cmd.Run() == nil
}

// TestChildDiesWithItsParent kills a process in the middle of a Run.
func TestChildDiesWithItsParent(t *testing.T) {
	parent := exec.Command("/proc/self/exe", "-test.run=^TestHelperSleep$", "-test.v")
	parent.Env = []string{"CONFINE_HELPER=sleep"}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = parent.Process.Kill() })
	var child int
	for start := time.Now(); child == 0; time.Sleep(20 * time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			t.Fatal("no child was started")
		}
		child = confinedChild(parent.Process.Pid)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it was killed
	for start := time.Now(); resident(child) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > 3*time.Second {
			t.Fatal("the child outlived its parent")
		}
	}
}

// confinedChild finds the child of pid that has reached its Job.
func confinedChild(pid int) int {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		b, _ := os.ReadFile(list)
		for _, word := range strings.Fields(string(b)) {
			line, _ := os.ReadFile("/proc/" + word + "/cmdline")
			if strings.HasPrefix(string(line), childName+"\x00"+stageJob) {
				n, _ := strconv.Atoi(word)
				return n
			}
		}
	}
	return 0
}

// TestHelperSleep is the process that TestChildDiesWithItsParent kills.
func TestHelperSleep(t *testing.T) {
	if os.Getenv("CONFINE_HELPER") != "sleep" {
		return
	}
	_, _ = Run(t.Context(), Task{Job: "sleep"})
}

// TestSEC62_AsAnOrdinaryUser runs the tests above once more as somebody who is not root,
// where user namespaces and Landlock have to carry what another user id does for root.
func TestSEC62_AsAnOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		return // this whole run is that
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^(TestSEC62_AProbe|TestTheProbe|TestRun$|TestCheck|TestFailures)")
	cmd.Dir = "/"
	cmd.Env = []string{"TMPDIR=/tmp"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestSEC62_RefusesUnconfined: the least is checked by the child itself.
func TestSEC62_RefusesUnconfined(t *testing.T) {
	told, err := json.Marshal(plan{Job: "echo", CPU: 1, Memory: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{childName, stageEnter, string(told)}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd.ExtraFiles = []*os.File{w}
	err = cmd.Run()
	_ = w.Close()
	rep := listen(r, func() {})
	if os.Geteuid() == 0 && (err == nil || rep.Entered || rep.Refused != "still root") {
		t.Errorf("as root it went in: %v %+v", err, rep)
	}
}

func BenchmarkRun(b *testing.B) {
	for b.Loop() {
		if _, err := Run(b.Context(), Task{Job: "echo"}); err != nil {
			b.Fatal(err)
		}
	}
}
