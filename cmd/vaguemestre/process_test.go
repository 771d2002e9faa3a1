package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vaguemestre/core/examine/confine"
	"vaguemestre/core/examine/image"
)

// asMain makes this test binary be vaguemestre itself, so that the tests drive the
// real program as processes they can kill.
const asMain = "VAGUEMESTRE_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	confine.Main(image.Job())
	if os.Getenv(asMain) != "" {
		os.Unsetenv(asMain)
		os.Exit(execute(untilStopped(), os.Args[1:], os.Stdout, os.Stderr))
	}
	if place := os.Getenv(asBare); place != "" {
		fmt.Fprintln(os.Stderr, serveBare(place))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// program is a running `vaguemestre run` on a home of its own.
type program struct {
	t    testing.TB
	home string
	env  []string
	args []string
	ours bool // a process group of its own, as a shell gives it

	cmd    *exec.Cmd
	exited chan struct{} // closed when the process of cmd has ended
	logs   *logs         // what all its processes said
	mark   int           // where in logs the latest process begins

	smtp, http, citizen, address string // as announced
}

// logs keeps what a process wrote; it is read while it grows.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string { return l.since(0) }

func (l *logs) since(mark int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.buf.Bytes()[mark:])
}

// newHome is a folder that the servers' own account can reach, which those of
// testing.TB.TempDir are not when root runs the tests.
func newHome(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "vaguemestre")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// start runs vaguemestre on a home and waits until it has announced itself. args are
// further flags of run, env further settings.
func start(t testing.TB, home string, env []string, args ...string) *program {
	t.Helper()
	p := prepare(t, home, env, args...)
	p.start()
	return p
}

// prepare is start without starting.
func prepare(t testing.TB, home string, env []string, args ...string) *program {
	p := &program{t: t, home: home, env: env, args: args, logs: &logs{}}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("log of %s:\n%s", home, p.logs)
		}
	})
	return p
}

// start starts the program (again) and waits until it serves.
func (p *program) start() {
	p.t.Helper()
	p.launch()
	p.wait(60*time.Second, "announcement", p.serving)
}

// launch starts the program (again), on ports it chooses itself the first time.
func (p *program) launch() {
	p.t.Helper()
	if p.smtp == "" {
		p.smtp, p.http = freeAddr(p.t), freeAddr(p.t)
	}
	shareCache(p.t, p.home)
	cmd := exec.Command(self(p.t), append([]string{"run", "--home", p.home, "--smtp", p.smtp, "--http", p.http}, p.args...)...)
	cmd.Env = append(append(os.Environ(), asMain+"=1"), p.env...)
	cmd.Stdout, cmd.Stderr = p.logs, p.logs // through one pipe: announced first, logged after
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: p.ours}
	p.mark = len(p.logs.String())
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	exited := make(chan struct{})
	p.cmd, p.exited = cmd, exited
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
}

// serving: the log says so once everything listens; what was announced is noted then.
func (p *program) serving() bool {
	p.t.Helper()
	select {
	case <-p.exited:
		p.t.Fatalf("vaguemestre ended: %s", p.logs)
	default:
	}
	said := p.logs.since(p.mark)
	if !strings.Contains(said, "msg=serving") {
		return false
	}
	for line := range strings.Lines(said) {
		name, value, _ := strings.Cut(line, " ")
		switch value = strings.TrimSpace(value); name {
		case "Citizen":
			p.citizen = value
		case "Deposit":
			p.address = value
		}
	}
	return true
}

// kill ends the process the hard way, and waits for its end. A repeat is harmless.
func (p *program) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	<-p.exited
}

// stop ends the process as Ctrl-C does, its whole group when it has one, and fails the
// test when that was not clean.
func (p *program) stop() {
	p.t.Helper()
	target := p.cmd.Process.Pid
	if p.ours {
		target = -target
	}
	_ = syscall.Kill(target, syscall.SIGINT)
	select {
	case <-p.exited:
	case <-time.After(40 * time.Second):
		p.t.Fatal("vaguemestre did not stop")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Fatalf("stopped with exit code %d", code)
	}
}

// wait polls until ok, and fails the test after the timeout.
func (p *program) wait(timeout time.Duration, what string, ok func() bool) {
	p.t.Helper()
	for end := time.Now().Add(timeout); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("no %s after %v", what, timeout)
		}
	}
}

// command runs another vaguemestre command on the program's home.
func (p *program) command(args ...string) (stdout, stderr string, code int) {
	p.t.Helper()
	cmd := exec.Command(self(p.t), append(args, "--home", p.home)...)
	cmd.Env = append(os.Environ(), asMain+"=1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		p.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must runs a command that has to succeed.
func (p *program) must(args ...string) string {
	p.t.Helper()
	out, errs, code := p.command(args...)
	if code != 0 {
		p.t.Fatalf("vaguemestre %s: exit %d: %s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// row is a document as `vault list --json` prints it.
type row struct {
	ID, Type, State, Standing, Channel, Filename, SHA256 string
	Holder, Issued                                       *string
	ValidUntil                                           *string `json:"valid_until"`
	Confidence                                           float64
	Size                                                 int64
}

func (p *program) vault() []row {
	p.t.Helper()
	return decode[row](p.t, p.must("vault", "list", "--json", "--citizen", p.citizen))
}

// deposit is one line of `deposits list --json`.
type deposit struct {
	ID, State, Reason string
	Pieces            []struct{ State, Desk, Reason, Sentence, Kind string }
}

func (p *program) deposits() []deposit {
	p.t.Helper()
	return decode[deposit](p.t, p.must("deposits", "list", "--json", "--tenant", "demo"))
}

func decode[T any](t testing.TB, lines string) []T {
	t.Helper()
	var out []T
	dec := json.NewDecoder(strings.NewReader(lines))
	for {
		var v T
		err := dec.Decode(&v)
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatalf("%v in %q", err, lines)
		}
		out = append(out, v)
	}
}

// send hands one message over by SMTP; the error is what the server answered.
func (p *program) send(to string, message []byte) error {
	return smtp.SendMail(p.smtp, nil, "camille@example.test", []string{to}, message)
}

// message is an e-mail with one attachment.
func message(id, subject, filename, contentType string, file []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: Camille <camille@example.test>\r\nTo: depot\r\nSubject: %s\r\nMessage-ID: <%s@example.test>\r\nMIME-Version: 1.0\r\n", subject, id)
	b.WriteString("Content-Type: multipart/mixed; boundary=limite\r\n\r\n--limite\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nVoici mon justificatif.\r\n")
	fmt.Fprintf(&b, "--limite\r\nContent-Type: %s\r\nContent-Disposition: attachment; filename=%q\r\nContent-Transfer-Encoding: base64\r\n\r\n", contentType, filename)
	b.WriteString(base64Lines(file))
	b.WriteString("--limite--\r\n")
	return b.Bytes()
}

func base64Lines(file []byte) string {
	var b strings.Builder
	for encoded := base64.StdEncoding.EncodeToString(file); encoded != ""; {
		n := min(76, len(encoded))
		b.WriteString(encoded[:n] + "\r\n")
		encoded = encoded[n:]
	}
	return b.String()
}

func self(t testing.TB) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// shareCache lets all homes of all runs use one compiled PDF sandbox.
func shareCache(t testing.TB, home string) {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	shared := filepath.Join(cache, "vaguemestre-test")
	if err := os.MkdirAll(shared, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(home, "cache"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(shared, filepath.Join(home, "cache", "pdf")); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
}
