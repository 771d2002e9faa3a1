package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// The size of the storm; make kill sets a longer one.
var (
	stormSeed  = flag.Uint64("seed", 0, "plan of the first storm; 0 draws one")
	stormCount = flag.Int("storms", 1, "storms, each of the next seed")
	stormKills = flag.Int("kills", 30, "kills in a storm")
	stormMails = flag.Int("mails", 200, "mails in a storm")
)

// REL-01, 02, 04, 06, by FLT-1, 3 and 4: killed again and again while mail comes in, Redis
// emptied, a task put aside by hand, PostgreSQL cut down: every mail that was answered
// 250 becomes one deposit and one document, and nothing else does.
func TestREL01_REL02_REL04_REL06_KilledAtRandom(t *testing.T) {
	t.Parallel()
	seed := *stormSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	for i := range *stormCount {
		t.Run(fmt.Sprintf("seed=%d", seed+uint64(i)), func(t *testing.T) {
			s := newStorm(t, seed+uint64(i), *stormKills, *stormMails)
			s.blow()
			s.settle()
			s.judge()
		})
	}
}

// life is what is planned for one run of the program, from its start to its kill.
type life struct {
	early  bool            // killed so long after its start, whether it serves by then or not
	lasts  time.Duration   // else so long after it serves
	mails  []int           // that are first handed over in it
	delays []time.Duration // after the start, each
	event  func()          // half-way, if anything
}

type storm struct {
	*program
	relay relay
	lives []life
	sums  map[string]string // SHA-256 of an attachment → its mail
	sent  sync.WaitGroup
	ready []time.Duration // from start to the greeting
}

// newStorm plans everything from the seed. What the machine adds in timing is its own.
func newStorm(t *testing.T, seed uint64, kills, mails int) *storm {
	t.Logf("seed %d: %d kills, %d mails", seed, kills, mails)
	s := &storm{sums: map[string]string{}, lives: make([]life, kills)}
	s.program = start(t, newHome(t), []string{"VAGUEMESTRE_LEASE=3s", "VAGUEMESTRE_SWEEP=1s"})
	s.relay = relay{addr: s.smtp, to: s.address, deaf: 0.1, pause: 300 * time.Millisecond, taken: map[string]string{}}
	r := rand.New(rand.NewPCG(seed, 0))
	within := func(d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }
	for i := range s.lives {
		l := &s.lives[i]
		if l.early = r.IntN(6) == 0; l.early {
			l.lasts = within(time.Second)
		} else {
			l.lasts = within(1200 * time.Millisecond)
		}
	}
	for i := range mails {
		l := &s.lives[i*kills/mails]
		l.mails, l.delays = append(l.mails, i), append(l.delays, within(1500*time.Millisecond))
	}
	s.events(r)
	return s
}

// events spreads the other faults over the lives that come to serve: five times Redis
// is emptied, twice PostgreSQL is cut down, and then, so that no flush forgives it, a
// task is archived, as a hand at the queue's console would.
func (s *storm) events(r *rand.Rand) {
	var serving []int
	for i, l := range s.lives {
		if !l.early {
			serving = append(serving, i)
		}
	}
	if len(serving) < 10 {
		s.t.Fatalf("a storm of %d kills is no storm", len(s.lives))
	}
	archive := serving[len(serving)*4/5]
	before := serving[:len(serving)*4/5]
	r.Shuffle(len(before), func(i, j int) { before[i], before[j] = before[j], before[i] })
	for n, i := range before[:7] {
		l := &s.lives[i]
		if n < 5 {
			l.event = s.flush
			continue
		}
		l.event = s.cutDatabase
		l.lasts += 2 * time.Second // long enough to see it come back, mostly
	}
	s.lives[archive].event = s.archive
	s.lives[archive].lasts += 500 * time.Millisecond
}

// blow lives the lives, and leaves the program running.
func (s *storm) blow() {
	for _, l := range s.lives {
		s.kill()
		began := time.Now()
		s.launch()
		for i, mail := range l.mails {
			s.sent.Go(func() { s.send(mail, l.delays[i]) })
		}
		if l.early {
			time.Sleep(l.lasts)
			continue
		}
		s.greeted(began)
		time.Sleep(l.lasts / 2)
		if l.event != nil {
			l.event()
		}
		time.Sleep(l.lasts / 2)
	}
	s.kill()
	began := time.Now()
	s.launch()
	s.greeted(began)
}

// send hands one mail over; its attachment is like no other.
func (s *storm) send(n int, after time.Duration) {
	mark := fmt.Sprintf("tempête-%d", n)
	file := taxNotice("Zoé LE GOFF", mark)
	sum := sha256.Sum256(file)
	s.relay.mu.Lock()
	s.sums[hex.EncodeToString(sum[:])] = mark
	s.relay.mu.Unlock()
	time.Sleep(after)
	s.relay.deliver(mark, message(fmt.Sprintf("storm-%d", n), "Mon avis", "avis.pdf", "application/pdf", file))
}

// greeted waits for the SMTP greeting and notes how long it took.
func (s *storm) greeted(began time.Time) {
	s.t.Helper()
	s.wait(60*time.Second, "service", s.serving)
	conn, err := net.DialTimeout("tcp", s.smtp, 5*time.Second)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasPrefix(line, "220 ") {
		s.t.Fatalf("greeted with %q, %v", line, err)
	}
	s.ready = append(s.ready, time.Since(began))
}

// settle waits until every mail is acknowledged and nothing is left to do.
func (s *storm) settle() {
	s.t.Helper()
	done := make(chan struct{})
	go func() { s.sent.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		s.t.Fatal("some mails are still not acknowledged")
	}
	for _, err := range s.relay.faults {
		s.t.Errorf("refused for good: %v", err)
	}
	began := time.Now()
	s.wait(2*time.Minute, "end of all pieces", func() bool { time.Sleep(200 * time.Millisecond); return filed(s.deposits()) })
	slices.Sort(s.ready)
	s.t.Logf("serves again after: median %v, longest %v, of %d starts; %d attempts for %d mails; all filed %v after the last 250",
		s.ready[len(s.ready)/2].Round(time.Millisecond), s.ready[len(s.ready)-1].Round(time.Millisecond), len(s.ready),
		s.relay.attempts, len(s.sums), time.Since(began).Round(time.Millisecond))
}

// filed: every deposit has one piece, and it is filed.
func filed(deposits []deposit) bool {
	return !slices.ContainsFunc(deposits, func(d deposit) bool {
		return d.State != "opened" || len(d.Pieces) != 1 || d.Pieces[0].State != "filed"
	})
}

// judge holds the product against the oracle.
func (s *storm) judge() {
	t := s.t
	there := map[string]int{}
	for _, d := range s.deposits() {
		there[d.ID]++
	}
	if len(there) != len(s.sums) {
		t.Errorf("%d deposits of %d mails", len(there), len(s.sums))
	}
	for mark, id := range s.relay.taken {
		if there[id] != 1 {
			t.Errorf("mail %s was acknowledged as deposit %s, which stands there %d times", mark, id, there[id])
		}
	}
	filed := map[string]int{}
	for _, row := range s.vault() {
		filed[row.SHA256]++
		if s.sums[row.SHA256] == "" {
			t.Errorf("document %s: nobody sent that", row.ID)
		}
	}
	for sum, mark := range s.sums {
		if filed[sum] != 1 {
			t.Errorf("mail %s is filed %d times", mark, filed[sum])
		}
	}
	if n := s.query(`SELECT count(*) FROM journal WHERE act = 'file'`); n != len(s.sums) {
		t.Errorf("the journal knows of %d filings, want %d", n, len(s.sums))
	}
	t.Logf("at most %d attempts at a piece, %d at a deposit", s.query(`SELECT max(attempts) FROM piece`), s.query(`SELECT max(attempts) FROM deposit`))
	s.must("check")
	s.must("journal", "verify")
	s.stop()
}

// database is where a user finds the home's own PostgreSQL.
func (p *program) database(user string) string {
	return "postgres:///vaguemestre?user=" + user + "&host=" + filepath.Join(p.home, "postgres", "run")
}

// superuser connects past all row-level security.
func (p *program) superuser(ctx context.Context) *pgx.Conn {
	p.t.Helper()
	c, err := pgx.Connect(ctx, p.database("postgres"))
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// query asks the home's PostgreSQL for a number.
func (p *program) query(sql string) (n int) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c := p.superuser(ctx)
	defer c.Close(ctx)
	if err := c.QueryRow(ctx, sql).Scan(&n); err != nil {
		p.t.Fatal(err)
	}
	return n
}

// cutDatabase ends PostgreSQL without a checkpoint; the home starts it again.
func (s *storm) cutDatabase() {
	s.t.Helper()
	pid := postmaster(s.t, filepath.Join(s.home, "postgres"))
	if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil {
		s.t.Fatal(err)
	}
}

// postmaster is the process of a private PostgreSQL.
func postmaster(t testing.TB, dir string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func (s *storm) flush() {
	s.t.Helper()
	if got := s.redis("FLUSHALL"); got != "OK" {
		s.t.Fatalf("FLUSHALL: %s", got)
	}
}

// archivePending moves a waiting task of asynq's to the archive, as its inspector does.
const archivePending = `
for _, lane in ipairs(ARGV) do
	local prefix = 'asynq:{' .. lane .. '}:'
	local id = redis.call('LPOP', prefix .. 'pending')
	if id then
		redis.call('ZADD', prefix .. 'archived', redis.call('TIME')[1], id)
		redis.call('HSET', prefix .. 't:' .. id, 'state', 'archived')
		return id
	end
end
return '-'`

// archive waits for a task that waits, which none does for long; more mails than planned
// are sent until one does.
func (s *storm) archive() {
	s.t.Helper()
	next := time.Now()
	for end, extra := time.Now().Add(20*time.Second), 1_000_000; time.Now().Before(end); time.Sleep(time.Millisecond) {
		if time.Now().After(next) {
			for range 5 {
				n := extra
				s.sent.Go(func() { s.send(n, 0) })
				extra++
			}
			next = time.Now().Add(300 * time.Millisecond)
		}
		if id := s.redis("EVAL", archivePending, "0", "piece", "deposit", "bulk"); id != "-" {
			s.t.Logf("archived %s", id)
			return
		}
	}
	s.t.Fatal("no task ever waited")
}

// redis speaks just enough RESP for a command with a short answer.
func (p *program) redis(args ...string) string {
	p.t.Helper()
	conn, err := net.DialTimeout("unix", filepath.Join(p.home, "redis", "run", "redis.sock"), 5*time.Second)
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintf(conn, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(conn, "$%d\r\n%s\r\n", len(a), a)
	}
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n')
	if err != nil || strings.HasPrefix(line, "-") {
		p.t.Fatalf("redis: %q, %v", line, err)
	}
	if strings.HasPrefix(line, "$") {
		if line, err = r.ReadString('\n'); err != nil {
			p.t.Fatal(err)
		}
	}
	return strings.TrimSpace(strings.TrimPrefix(line, "+"))
}
