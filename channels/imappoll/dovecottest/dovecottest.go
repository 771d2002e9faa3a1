// Package dovecottest gives a test a Dovecot of its own, run by an account without
// privileges, with one mailbox that the test fills and looks into.
package dovecottest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"
)

// The account of the mailbox.
const (
	User     = "depot@ville.test"
	Password = "mot-de-passe-7f3a"
)

// Server is a running Dovecot.
type Server struct {
	IMAP  string // host:port: plain text, and STARTTLS
	IMAPS string
	CA    string // PEM file of who certified it
	Roots *x509.CertPool

	t       testing.TB
	dir     string
	account account
	cmd     *exec.Cmd
	files   atomic.Int64
}

type account struct {
	name, group string
	uid, gid    uint32
}

// unprivileged is our own account, or Dovecot's when root runs the test.
func unprivileged(t testing.TB) account {
	t.Helper()
	u, err := user.Current()
	if err == nil && u.Uid == "0" {
		u, err = user.Lookup("dovecot")
	}
	if err != nil {
		t.Fatal(err)
	}
	g, err := user.LookupGroupId(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	return account{u.Username, g.Name, uint32(uid), uint32(gid)}
}

const config = `
protocols = imap
listen = 127.0.0.1
base_dir = %[1]s/run
state_dir = %[1]s/state
default_login_user = %[2]s
default_internal_user = %[2]s
default_internal_group = %[3]s
log_path = %[1]s/dovecot.log
ssl = yes
ssl_cert = <%[1]s/cert.pem
ssl_key = <%[1]s/key.pem
disable_plaintext_auth = no
auth_mechanisms = plain login
mail_location = maildir:~/Maildir
first_valid_uid = 1
mail_fsync = never
mail_max_userip_connections = 200
default_client_limit = 1000
default_process_limit = 200
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%%u %[1]s/passwd
}
userdb {
  driver = static
  args = uid=%[2]s gid=%[3]s home=%[1]s/mail/%%u
}
namespace inbox {
  inbox = yes
  separator = /
}
service anvil {
  chroot =
}
service stats {
  chroot =
}
service imap-login {
  chroot =
  inet_listener imap {
    port = %[4]s
  }
  inet_listener imaps {
    port = %[5]s
  }
}
`

// Start runs Dovecot until the test ends. more is added to its configuration.
func Start(t testing.TB, more string) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "dovecot")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, dir: dir, account: unprivileged(t), IMAP: freeAddr(t), IMAPS: freeAddr(t), CA: filepath.Join(dir, "cert.pem")}
	t.Cleanup(func() {
		s.Kill()
		os.RemoveAll(dir)
	})
	port := func(addr string) string { _, p, _ := net.SplitHostPort(addr); return p }
	text := fmt.Sprintf(config, dir, s.account.name, s.account.group, port(s.IMAP), port(s.IMAPS)) + more
	s.write("dovecot.conf", []byte(text))
	s.write("passwd", []byte(User+":{PLAIN}"+Password+"::::::\n"))
	s.certify()
	for _, d := range []string{"run", "state", "mail"} {
		s.must(os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	s.own(dir)
	s.launch()
	return s
}

func (s *Server) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *Server) write(name string, b []byte) {
	s.t.Helper()
	s.must(os.WriteFile(filepath.Join(s.dir, name), b, 0o600))
}

// own gives all below a folder to the server's account.
func (s *Server) own(dir string) {
	s.t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	s.must(filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(s.account.uid), int(s.account.gid))
	}))
}

// certify makes a certificate for this machine.
func (s *Server) certify() {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.must(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	s.must(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	s.must(err)
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	s.write("cert.pem", cert)
	s.write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	s.Roots = x509.NewCertPool()
	s.Roots.AppendCertsFromPEM(cert)
}

// launch starts the server and waits until it answers.
func (s *Server) launch() {
	s.t.Helper()
	program, err := exec.LookPath("dovecot")
	if err != nil {
		program = "/usr/sbin/dovecot"
	}
	s.cmd = exec.Command(program, "-F", "-c", filepath.Join(s.dir, "dovecot.conf"))
	s.cmd.Dir = s.dir
	var said bytes.Buffer
	s.cmd.Stdout, s.cmd.Stderr = &said, &said
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 {
		s.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: s.account.uid, Gid: s.account.gid}
	}
	s.must(s.cmd.Start())
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", s.IMAP)
		if err == nil {
			greeting := make([]byte, 4)
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			_, err = conn.Read(greeting)
			conn.Close()
			if err == nil && string(greeting) == "* OK" {
				return
			}
		}
		if time.Now().After(end) {
			s.t.Fatalf("Dovecot does not answer: %v\n%s\n%s", err, said.String(), s.Log())
		}
	}
}

// Log is what Dovecot logged.
func (s *Server) Log() string {
	b, _ := os.ReadFile(filepath.Join(s.dir, "dovecot.log"))
	return string(b)
}

// Kill ends the server and all its processes at once.
func (s *Server) Kill() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	_ = s.cmd.Wait()
	s.cmd = nil
	// A dotlock outlives who held it, and the next server would wait until it is old.
	_ = filepath.WalkDir(filepath.Join(s.dir, "mail"), func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".lock") {
			_ = os.Remove(path)
		}
		return nil
	})
}

// Restart kills the server and starts it again on the same ports.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	s.launch()
}

// Client signs in to the mailbox.
func (s *Server) Client() *imapclient.Client {
	s.t.Helper()
	c, err := imapclient.DialInsecure(s.IMAP, nil)
	s.must(err)
	s.must(c.Login(User, Password).Wait())
	return c
}

// maildir is where Dovecot keeps a folder: "" is INBOX.
func (s *Server) maildir(folder string) string {
	dir := filepath.Join(s.dir, "mail", User, "Maildir")
	if folder != "" {
		dir = filepath.Join(dir, "."+folder)
	}
	return dir
}

// Deliver puts messages into INBOX as a mail server does: all at once, whole.
func (s *Server) Deliver(messages ...[]byte) {
	s.t.Helper()
	dir := s.maildir("")
	if _, err := os.Stat(filepath.Join(dir, "new")); err != nil {
		for _, d := range []string{"new", "cur", "tmp"} {
			s.must(os.MkdirAll(filepath.Join(dir, d), 0o700))
		}
		s.own(filepath.Join(s.dir, "mail"))
	}
	for _, m := range messages {
		name := fmt.Sprintf("%d.M%06dP1.test", time.Now().Unix(), s.files.Add(1))
		s.must(os.WriteFile(filepath.Join(dir, "tmp", name), m, 0o600))
		if os.Geteuid() == 0 {
			s.must(os.Chown(filepath.Join(dir, "tmp", name), int(s.account.uid), int(s.account.gid)))
		}
		s.must(os.Rename(filepath.Join(dir, "tmp", name), filepath.Join(dir, "new", name)))
	}
}

// Messages counts those of a folder, which "" names INBOX; a folder that is not there
// has none. The names of folders are Dovecot's: IMAP's UTF-7.
func (s *Server) Messages(folder string) int {
	n := 0
	for _, d := range []string{"new", "cur"} {
		entries, _ := os.ReadDir(filepath.Join(s.maildir(folder), d))
		n += len(entries)
	}
	return n
}

// Contents reads the messages of a folder.
func (s *Server) Contents(folder string) (out [][]byte) {
	s.t.Helper()
	for _, d := range []string{"new", "cur"} {
		entries, _ := os.ReadDir(filepath.Join(s.maildir(folder), d))
		for _, e := range entries {
			b, err := os.ReadFile(filepath.Join(s.maildir(folder), d, e.Name()))
			if err == nil {
				out = append(out, b)
			}
		}
	}
	return out
}

// Clear removes all messages and folders; nobody may be signed in.
func (s *Server) Clear() {
	s.t.Helper()
	s.must(os.RemoveAll(s.maildir("")))
}

// NewValidity has INBOX get another UIDVALIDITY, and all its messages other UIDs, as
// after a restore: what Dovecot knew of it is lost.
func (s *Server) NewValidity() {
	s.t.Helper()
	s.Kill()
	entries, _ := os.ReadDir(s.maildir(""))
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "dovecot") {
			_ = os.Remove(filepath.Join(s.maildir(""), e.Name()))
		}
	}
	time.Sleep(1100 * time.Millisecond) // it is made of seconds
	s.launch()
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
