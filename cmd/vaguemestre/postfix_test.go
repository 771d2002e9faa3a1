package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// postfix is a private instance that takes all mail into its hold queue: one sync a
// message, and nothing is delivered.
type postfix struct {
	addr  string
	dir   string // of its settings, below it
	queue string
	pid   int // of its master
}

// The services that taking mail in needs, none of them in a chroot.
const postfixServices = `
%s inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
`

const postfixSettings = `
compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
mail_owner = postfix
setgid_group = postdrop
myhostname = side.test
mydestination = %[2]s
local_recipient_maps =
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_client_restrictions = check_client_access static:HOLD
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
message_size_limit = 52428800
mailbox_size_limit = 0
default_process_limit = 200
`

// startPostfix runs Postfix for the recipients of a domain on folders and a port of its
// own, with further settings and services. Its master starts as root, and gives that up
// for all but itself.
func startPostfix(t testing.TB, domain, settings, services string) *postfix {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("Postfix starts as root alone: run this as root")
	}
	dir := newHome(t)
	p := &postfix{addr: freeAddr(t), dir: dir, queue: filepath.Join(dir, "queue")}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"config/main.cf":   fmt.Sprintf(postfixSettings, dir, domain) + settings,
		"config/master.cf": fmt.Sprintf(postfixServices, p.addr) + services,
	} {
		path := filepath.Join(dir, name)
		if err := firstError(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := firstError(os.Mkdir(p.queue, 0o755), os.Mkdir(filepath.Join(dir, "data"), 0o700), p.giveData(dir)); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command("/usr/sbin/postfix", "-c", filepath.Join(dir, "config"), "start-fg")
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.pid != 0 {
			_ = syscall.Kill(p.pid, syscall.SIGTERM)
		}
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = cmd.Wait()
	})
	answers(t, p.addr, 20*time.Second)
	b, err := os.ReadFile(filepath.Join(p.queue, "pid", "master.pid"))
	if err == nil {
		p.pid, err = strconv.Atoi(strings.TrimSpace(string(b)))
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// giveData gives Postfix's account the folder that it keeps locks in.
func (p *postfix) giveData(dir string) error {
	return exec.Command("chown", "postfix", filepath.Join(dir, "data")).Run()
}

// held counts the messages on hold. None is taken away while others are measured: what
// was just deleted makes ext4 slow to create files.
func (p *postfix) held(t testing.TB) int {
	return len(files(t, filepath.Join(p.queue, "hold")))
}
