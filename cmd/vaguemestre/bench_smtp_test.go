package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// load is what smtp-source sends in one turn, and what is asked of us beside Postfix.
type load struct {
	sessions, size, mails int
	target                float64 // mails a second, of Postfix's
}

func (l load) String() string {
	size := fmt.Sprintf("%d KB", l.size/1000)
	if l.size >= 1_000_000 {
		size = fmt.Sprintf("%d MB", l.size/1_000_000)
	}
	return fmt.Sprintf("%d × %s", l.sessions, size)
}

var loads = []load{
	{sessions: 10, size: 10_000, mails: 400, target: 2},
	{sessions: 10, size: 200_000, mails: 80, target: 1.2},
	{sessions: 1, size: 200_000, mails: 25, target: 0.9},
	{sessions: 50, size: 200_000, mails: 150, target: 1.5},
	{sessions: 10, size: 5_000_000, mails: 20, target: 0.45},
}

const (
	rounds         = 21    // short ones: a disk that stalls for a moment spoils one, not the median
	processorLimit = 1.5   // of Postfix's processor time a mail, at ten sessions of 10 KB
	residentLimit  = 150e6 // bytes, at fifty sessions
)

// contender takes mail in. Processor time is counted by part, as its share is asked of some.
type contender struct {
	name, addr, to string
	parts          func() []time.Duration
	count          func() int // mails taken in so far
}

// BenchmarkBesidePostfix: mails a second, acknowledged and durable, in turns with Postfix
// taking the same into its hold queue and with a bare go-smtp server. What else runs on the
// machine hits all alike: the ratio of a round is trusted, and the median of the rounds.
func BenchmarkBesidePostfix(b *testing.B) {
	base, env := splitHome(b)
	ours := start(b, newHome(b), env, "--roles", "smtp")
	server := postmaster(b, filepath.Join(base.home, "postgres"))
	queue := served(b, base.cmd.Process.Pid, "redis-server")
	_, domain, _ := strings.Cut(base.address, "@")
	alone := func(pid int) time.Duration { own, _ := processor(pid); return own }
	held, plain := startPostfix(b, domain, "", ""), startBare(b)
	contenders := []contender{
		{"vaguemestre", ours.smtp, base.address,
			func() []time.Duration {
				return []time.Duration{alone(ours.cmd.Process.Pid), family(server), alone(queue)}
			},
			func() int { return base.query("SELECT count(*) FROM deposit") }},
		{"postfix", held.addr, base.address, func() []time.Duration { return []time.Duration{family(held.pid)} }, func() int { return held.held(b) }},
		{"go-smtp", plain.addr, base.address, func() []time.Duration { return []time.Duration{alone(plain.pid)} }, func() int { return plain.kept(b) }},
	}
	for _, c := range contenders { // what is done once is not measured
		source(b, c.addr, c.to, 10_000, 10, 200)
	}
	analyse(b, base) // as autovacuum did long ago in a town that is not new
	for _, l := range loads {
		b.Run(strings.ReplaceAll(l.String(), " ", ""), func(b *testing.B) {
			for b.Loop() {
				compare(b, l, contenders, func() int64 { return resident(b, ours.cmd.Process.Pid) })
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// analyse lets the database's plans know of the rows that are there.
func analyse(b *testing.B, p *program) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := p.superuser(ctx)
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, "ANALYZE"); err != nil {
		b.Fatal(err)
	}
}

// turn is what one contender did in one round.
type turn struct {
	rate float64 // mails a second
	cost []time.Duration
}

func (t turn) processor(parts int) (sum time.Duration) {
	for _, c := range t.cost[:min(parts, len(t.cost))] {
		sum += c
	}
	return sum
}

// compare lets the contenders take turns and prints the medians beside what is asked.
func compare(b *testing.B, l load, contenders []contender, memory func() int64) {
	b.Helper()
	turns := make([][]turn, len(contenders))
	var peak int64
	for range rounds {
		for i, c := range contenders {
			there, before := c.count(), c.parts()
			began := time.Now()
			source(b, c.addr, c.to, l.size, l.sessions, l.mails)
			took := time.Since(began)
			t := turn{rate: float64(l.mails) / took.Seconds()}
			for n, now := range c.parts() {
				t.cost = append(t.cost, (now-before[n])/time.Duration(l.mails))
			}
			if got := c.count() - there; got != l.mails {
				b.Fatalf("%s: %s has %d mails of %d", l, c.name, got, l.mails)
			}
			turns[i] = append(turns[i], t)
		}
		peak = max(peak, memory())
	}
	report(b, l, contenders, turns, peak)
}

// report prints one load: medians, and the spread of the ratio.
func report(b *testing.B, l load, contenders []contender, turns [][]turn, peak int64) {
	b.Helper()
	const us, postfix = 0, 1
	var ratios, cost []float64
	for n := range rounds {
		ratios = append(ratios, turns[us][n].rate/turns[postfix][n].rate)
		cost = append(cost, float64(turns[us][n].processor(2))/float64(turns[postfix][n].processor(1)))
	}
	fmt.Printf("%s\n", l)
	for i, c := range contenders {
		var rates, against []float64
		costs := make([][]float64, len(turns[i][0].cost))
		for n, t := range turns[i] {
			rates, against = append(rates, t.rate), append(against, t.rate/turns[postfix][n].rate)
			for part, d := range t.cost {
				costs[part] = append(costs[part], float64(d)/float64(time.Millisecond))
			}
		}
		fmt.Printf("  %-12s %8.1f mails/s  %5.2f × Postfix  processor ms a mail:", c.name, median(rates), median(against))
		for _, part := range costs {
			fmt.Printf(" %.2f", median(part))
		}
		fmt.Println()
	}
	fmt.Printf("  ratio %.2f (%.2f to %.2f), asked %.2f; processor with PostgreSQL %.2f × Postfix's", median(ratios), slices.Min(ratios), slices.Max(ratios), l.target, median(cost))
	if l.sessions == 10 && l.size == 10_000 {
		fmt.Printf(", asked %.2f at most", processorLimit)
	}
	fmt.Printf("; resident %.0f MB", float64(peak)/1e6)
	if l.sessions == 50 {
		fmt.Printf(", asked %.0f at most", residentLimit/1e6)
	}
	fmt.Println()
	b.ReportMetric(median(ratios), "×postfix")
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// answers waits until somebody listens there.
func answers(t testing.TB, addr string, patience time.Duration) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}
