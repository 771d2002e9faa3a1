package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vaguemestre/core/store/postgres"
	"vaguemestre/core/store/private"
)

// outside is a PostgreSQL that the program did not start and cannot start again.
type outside struct {
	t      testing.TB
	dir    string
	server *private.Postgres
	access postgres.Access
}

func newOutside(t testing.TB) *outside {
	t.Helper()
	o := &outside{t: t, dir: filepath.Join(newHome(t), "postgres")}
	if err := os.Chmod(filepath.Dir(o.dir), 0o711); err != nil { // the server's own account passes through
		t.Fatal(err)
	}
	o.start()
	t.Cleanup(o.stop)
	var err error
	if o.access, err = postgres.Found(t.Context(), o.server.URL, "vaguemestre"); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *outside) start() {
	o.t.Helper()
	server, err := private.StartPostgres(o.t.Context(), private.PostgresConfig{
		Dir: o.dir, Superuser: postgres.Superuser, Fsync: true, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		o.t.Fatal(err)
	}
	o.server = server
}

func (o *outside) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := o.server.Stop(ctx); err != nil {
		o.t.Error(err)
	}
}

// shared are the settings by which another process uses this one's Redis, blobs and
// index key.
func (p *program) shared() []string {
	return []string{
		"VAGUEMESTRE_REDIS_URL=unix://" + filepath.Join(p.home, "redis", "run", "redis.sock"),
		"VAGUEMESTRE_BLOB_URL=" + filepath.Join(p.home, "blobs"),
		"VAGUEMESTRE_INDEX_KEY_FILE=" + filepath.Join(p.home, "keys", "index.key"),
	}
}

// enrolment is one line of `citizen add --json`.
type enrolment struct {
	ID      string
	Address string `json:"deposit_address"`
}

// enrol founds a town, as a home on a database of others has none, and a citizen in it.
func (p *program) enrol() enrolment {
	p.t.Helper()
	p.must("tenant", "add", "--code", "demo", "--name", "Ville", "--domain", "depot.ville.test")
	return decode[enrolment](p.t, p.must("citizen", "add", "--json", "--tenant", "demo",
		"--given", "Zoé", "--family", "Le Goff", "--email", "zoe@ville.test"))[0]
}

// With the database stopped SMTP answers 451 and takes nothing, before and after RCPT;
// with it back the sender's next attempt succeeds. All of it with the receiving process
// apart from the others, on a database of others, and without the key file (SEC-23).
func TestREL02_DatabaseStopped(t *testing.T) {
	t.Parallel()
	db := newOutside(t)
	database := "VAGUEMESTRE_DATABASE_URL=" + db.access.URL
	quick := []string{"VAGUEMESTRE_LEASE=3s", "VAGUEMESTRE_SWEEP=1s"}
	office := start(t, newHome(t), append(quick, database, "VAGUEMESTRE_DATABASE_OWNER_URL="+db.access.OwnerURL),
		"--roles", "worker,scheduler,keeper,http")
	noKeys := filepath.Join(newHome(t), "kek.json")
	door := start(t, newHome(t), append(office.shared(), database, "VAGUEMESTRE_KEK_FILE="+noKeys), "--roles", "smtp")

	enrolled := office.enrol()
	address := enrolled.Address
	mail := func(mark string) []byte {
		return message(mark, "Mon avis", "avis.pdf", "application/pdf", taxNotice("Zoé LE GOFF", mark))
	}
	if err := door.send(address, mail("before")); err != nil {
		t.Fatal(err)
	}
	office.wait(20*time.Second, "first document", func() bool { return len(office.deposits()) == 1 && filed(office.deposits()) })

	talk := converse(t, door.smtp, address)
	db.stop()
	later(t, "DATA", talk(mail("cut")))
	later(t, "RCPT", door.send(address, mail("cut")))
	if code, states := office.ready(); code != http.StatusServiceUnavailable || states["database"] != "down" {
		t.Errorf("ready says %d, %v", code, states)
	}
	db.start()
	back := time.Now()
	office.wait(10*time.Second, "readiness", func() bool { code, _ := office.ready(); return code == http.StatusOK })
	office.wait(10*time.Second, "list", func() bool { // its own connections may have to be made anew
		_, _, code := office.command("deposits", "list", "--tenant", "demo")
		return code == 0
	})
	if got := office.deposits(); len(got) != 1 {
		t.Errorf("what was answered 451 was taken in all the same: %+v", got)
	}
	r := relay{addr: door.smtp, to: address, pause: 200 * time.Millisecond, taken: map[string]string{}}
	for range 2 { // the second time as if the first reply had been lost
		r.deliver("cut", mail("cut"))
	}
	t.Logf("taken in %v after the database was back", time.Since(back).Round(time.Millisecond))
	office.wait(20*time.Second, "second document", func() bool { return filed(office.deposits()) })
	if got := office.deposits(); len(got) != 2 || got[1].ID != r.taken["cut"] || len(r.faults) > 0 {
		t.Errorf("deposits %+v, acknowledged %v, faults %v", got, r.taken, r.faults)
	}
	office.must("check")
	office.must("journal", "verify")
	if _, said, code := office.command("vault", "list", "--json", "--citizen", enrolled.ID); code != 1 || !strings.Contains(said, "grant_needed") {
		t.Errorf("a vault opened without its citizen: %d, %s", code, said)
	}
	for _, path := range []string{noKeys, filepath.Join(door.home, "keys", "kek.json")} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the receiving process has a key file %s: %v", path, err)
		}
	}
	door.stop()
	office.stop()
}

// A database that neither answers nor breaks the connection: the sender gets its 451
// within thirty seconds (FLT-9), and nothing is taken; afterwards it goes on by itself.
func TestFLT09_DatabaseSilent(t *testing.T) {
	t.Parallel()
	db := newOutside(t)
	p := start(t, newHome(t), []string{"VAGUEMESTRE_DATABASE_URL=" + db.access.URL, "VAGUEMESTRE_DATABASE_OWNER_URL=" + db.access.OwnerURL})
	address := p.enrol().Address
	mail := message("silent", "Mon avis", "avis.pdf", "application/pdf", taxNotice("Zoé LE GOFF", "silent"))
	talk := converse(t, p.smtp, address)

	servers := workingIn(t, db.dir)
	if len(servers) < 2 {
		t.Fatalf("processes of the database: %v", servers)
	}
	signal := func(s syscall.Signal) {
		for _, pid := range servers {
			_ = syscall.Kill(pid, s)
		}
	}
	signal(syscall.SIGSTOP)
	defer signal(syscall.SIGCONT)
	began := time.Now()
	answers := make(chan error, 2)
	go func() { answers <- talk(mail) }()
	go func() { answers <- p.send(address, mail) }()
	for range 2 {
		select {
		case err := <-answers:
			later(t, "a silent database", err)
		case <-time.After(35 * time.Second):
			t.Fatal("no answer after 35 s")
		}
	}
	t.Logf("both answered after %v", time.Since(began).Round(time.Millisecond))
	signal(syscall.SIGCONT)
	r := relay{addr: p.smtp, to: address, pause: 200 * time.Millisecond, taken: map[string]string{}}
	r.deliver("silent", mail)
	p.wait(40*time.Second, "document", func() bool { return filed(p.deposits()) })
	if got := p.deposits(); len(got) != 1 || got[0].ID != r.taken["silent"] {
		t.Errorf("deposits %+v, acknowledged %v", got, r.taken)
	}
	p.stop()
}

// later fails the test unless err is the reply of a server that is not able just now.
func later(t *testing.T, when string, err error) {
	t.Helper()
	var reply *textproto.Error
	if !errors.As(err, &reply) || reply.Code != 451 || !strings.HasPrefix(reply.Msg, "4.3.0 ") {
		t.Errorf("%s: answered %v, want 451 4.3.0", when, err)
	}
}

// converse has the recipient accepted; what it returns sends the message.
func converse(t *testing.T, addr, to string) func(msg []byte) error {
	t.Helper()
	c, err := smtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := firstError(c.Hello("client.test"), c.Mail("camille@example.test"), c.Rcpt(to)); err != nil {
		t.Fatal(err)
	}
	return func(msg []byte) error {
		_, err := data(c.Text, msg)
		return err
	}
}

// ready asks /readyz.
func (p *program) ready() (code int, states map[string]string) {
	p.t.Helper()
	resp, err := http.Get("http://" + p.http + "/readyz")
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&states); err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, states
}

// REL-03, FLT-6: the folder of the blobs is full or cannot be written: 451, nothing half
// stored, what is there can still be read, and all is well by itself afterwards.
func TestREL03_BlobsFull(t *testing.T) {
	t.Parallel()
	dir := newHome(t)
	disk := mounted(t, dir)
	p := start(t, newHome(t), []string{"VAGUEMESTRE_BLOB_URL=" + dir, "VAGUEMESTRE_LEASE=3s", "VAGUEMESTRE_SWEEP=1s"})
	mail := func(mark string) []byte {
		return message(mark, "Mon avis", "avis.pdf", "application/pdf", padded(taxNotice("Zoé LE GOFF", mark), 400_000))
	}
	if err := p.send(p.address, mail("before")); err != nil {
		t.Fatal(err)
	}
	p.wait(20*time.Second, "first document", func() bool { return len(p.deposits()) == 1 && filed(p.deposits()) })
	for _, way := range failures(p, dir, disk) {
		t.Run(way.name, func(t *testing.T) { p.survives(t, dir, way, mail) })
	}
	if disk {
		t.Run("for the pieces", func(t *testing.T) { roomForOne(t, p, dir, mail("room")) })
	}
	if got, want := len(p.vault()), len(p.deposits()); got != want {
		t.Errorf("%d documents of %d mails", got, want)
	}
	p.must("check")
	p.stop()
}

// The same of bodies that lie one behind the other in a segment. (A disk on which a file
// is open to be written cannot be made read only, so that way is left out.)
func TestREL03_SegmentFull(t *testing.T) {
	t.Parallel()
	dir := newHome(t)
	disk := mounted(t, dir)
	p := start(t, newHome(t), []string{"VAGUEMESTRE_BLOB_URL=" + dir})
	mail := func(mark string) []byte {
		return message(mark, "Mon avis", "avis.pdf", "application/pdf", padded(taxNotice("Zoé LE GOFF", mark), 120_000))
	}
	if err := p.send(p.address, mail("before")); err != nil {
		t.Fatal(err)
	}
	p.wait(20*time.Second, "first document", func() bool { return len(p.deposits()) == 1 && filed(p.deposits()) })
	if n := p.query("SELECT count(*) FROM deposit_body WHERE starts_with(ref, 'seg:')"); n != 1 {
		t.Fatalf("%d bodies lie in segments", n)
	}
	for _, way := range failures(p, dir, disk) {
		if way.name != "read only" {
			t.Run(way.name, func(t *testing.T) { p.survives(t, dir, way, mail) })
		}
	}
	p.must("check")
	p.stop()
}

// survives: while writing fails a mail is put off, what is there can be read, and nothing
// is left behind; then the same mail is taken in and filed.
func (p *program) survives(t *testing.T, dir string, way failure, mail func(mark string) []byte) {
	files, deposits := files(t, dir), len(p.deposits())
	way.happens(t)
	later(t, way.name, p.send(p.address, mail(way.name)))
	document := p.vault()[0]
	if out := p.must("vault", "get", "--citizen", p.citizen, "--document", document.ID); int64(len(out)) != document.Size {
		t.Errorf("a document of %d bytes meanwhile, want %d", len(out), document.Size)
	}
	if got := len(p.deposits()); got != deposits {
		t.Errorf("%d deposits, want %d", got, deposits)
	}
	way.ends(t)
	if left := filesSince(t, dir, files); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := p.send(p.address, mail(way.name)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	p.wait(30*time.Second, "document", func() bool { return filed(p.deposits()) })
}

// roomForOne: there is room for the mail, and then none for what is in it.
func roomForOne(t *testing.T, p *program, dir string, mail []byte) {
	filler := fill(t, dir, int64(len(mail))+200_000)
	if err := p.send(p.address, mail); err != nil {
		t.Fatal(err)
	}
	p.wait(20*time.Second, "failed attempt", func() bool { return strings.Contains(p.logs.String(), "outcome=later") })
	deposits := p.deposits()
	if last := deposits[len(deposits)-1]; last.State != "received" || len(last.Pieces) > 0 {
		t.Errorf("without room for it, opened all the same: %+v", last)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	p.wait(30*time.Second, "document", func() bool { return filed(p.deposits()) })
}

// diskSize is that of the small disk.
const diskSize = 8 << 20

// mounted puts a small disk of its own at dir, where the machine lets us.
func mounted(t *testing.T, dir string) bool {
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+strconv.Itoa(diskSize))
	if err != nil {
		t.Logf("no disk of our own (%v): the limits are those of the process", err)
		return false
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return true
}

// failure is one way a folder cannot be written.
type failure struct {
	name          string
	happens, ends func(t *testing.T)
}

// failures are those that this machine and account can bring about: a write that fails
// half-way needs no right, a full disk needs a disk.
func failures(p *program, dir string, disk bool) []failure {
	limit := func(t *testing.T, n uint64) {
		t.Helper()
		var old unix.Rlimit
		pid := p.cmd.Process.Pid
		if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, nil, &old); err != nil {
			t.Fatal(err)
		}
		if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: n, Max: old.Max}, nil); err != nil {
			t.Fatal(err)
		}
	}
	ways := []failure{{"half written",
		func(t *testing.T) { limit(t, 100_000) },
		func(t *testing.T) { limit(t, unix.RLIM_INFINITY) }}}
	if !disk {
		return ways
	}
	var filler string
	remount := func(t *testing.T, flags uintptr) {
		t.Helper()
		if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	return append(ways,
		failure{"full",
			func(t *testing.T) { filler = fill(t, dir, 50_000) },
			func(t *testing.T) {
				if err := os.Remove(filler); err != nil {
					t.Fatal(err)
				}
			}},
		failure{"read only",
			func(t *testing.T) { remount(t, syscall.MS_RDONLY) },
			func(t *testing.T) { remount(t, 0) }})
}

// fill leaves so many bytes free on the disk at dir, and names the file to remove.
func fill(t *testing.T, dir string, free int64) string {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "filler")
	if err := os.WriteFile(path, make([]byte, int64(st.Bavail)*st.Bsize-free), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func files(t testing.TB, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func filesSince(t *testing.T, dir string, before []string) []string {
	t.Helper()
	return slices.DeleteFunc(files(t, dir), func(f string) bool { return slices.Contains(before, f) })
}

// padded makes a PDF so many bytes larger, of comments that do not compress.
func padded(pdf []byte, n int) []byte {
	at := bytes.LastIndex(pdf, []byte("xref\n0 "))
	var pad bytes.Buffer
	for pad.Len() < n {
		fmt.Fprintf(&pad, "%%%016x%016x\n", rand.Uint64(), rand.Uint64())
	}
	tail := bytes.Replace(pdf[at:], fmt.Appendf(nil, "startxref\n%d\n", at), fmt.Appendf(nil, "startxref\n%d\n", at+pad.Len()), 1)
	return slices.Concat(pdf[:at], pad.Bytes(), tail)
}
