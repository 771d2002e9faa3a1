package queue

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"vaguemestre/core"
)

// freePort is a TCP port nobody listens on just now.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Bell, Sweeper and Worker do their part behind every kind of URL.
func TestEveryTopology(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T) string{
		"unix socket": func(t *testing.T) string { return startRedis(t).url + "?db=3" },
		"tcp, with a user of the least rights": func(t *testing.T) string {
			port := freePort(t)
			root := startRedis(t).open(Config{}).client
			listen(t, root, port)
			err := root.Do(t.Context(), "acl", "setuser", "bell", "on", ">hush", "~asynq:*", "&asynq:*", "+@all", "-@admin", "-@dangerous").Err()
			if err != nil {
				t.Fatal(err)
			}
			return "redis://bell:hush@127.0.0.1:" + port + "/0"
		},
		"sentinel": startSentinel,
		"cluster":  startCluster,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := Open(Config{URL: start(t)}, quiet)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = r.Close() })
			eventually(t, 15*time.Second, "redis answers", func() bool { return r.Ping(t.Context()) == nil })
			box := &rows{due: newSteps(4)}
			rung := newStep(core.NounPiece)
			b := NewBell(r, time.Now, quiet)
			runs(t, b.Run)
			b.Ring(rung)
			s := NewSweeper(r, box, time.Now, quiet)
			sweep(t, s, 4)
			sweep(t, s, 0)
			var d desk
			d.first = box.done
			runs(t, NewWorker(r, d.run, quiet).Run)
			eventually(t, 10*time.Second, "all run", func() bool { return len(d.steps()) == 5 })
			eventually(t, 5*time.Second, "nothing left", func() bool {
				depths, err := r.Depth(t.Context())
				return err == nil && depths[0].Pending+depths[0].Active+depths[1].Pending+depths[1].Active == 0
			})
		})
	}
}

// listen opens a TCP port on a server that had none.
func listen(t *testing.T, client redis.UniversalClient, port string) {
	t.Helper()
	if err := client.ConfigSet(t.Context(), "port", port).Err(); err != nil {
		t.Fatal(err)
	}
}

// launch starts a redis-server of another making.
func launch(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command("redis-server", args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

func startSentinel(t *testing.T) string {
	port, sentinel := freePort(t), freePort(t)
	listen(t, startRedis(t).open(Config{}).client, port)
	dir := t.TempDir()
	conf := filepath.Join(dir, "sentinel.conf")
	if err := os.WriteFile(conf, []byte("sentinel monitor town 127.0.0.1 "+port+" 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	launch(t, conf, "--sentinel", "--bind", "127.0.0.1", "--port", sentinel, "--dir", dir)
	return "redis-sentinel://127.0.0.1:" + sentinel + "?master_name=town"
}

func startCluster(t *testing.T) string {
	port := freePort(t)
	launch(t, "--bind", "127.0.0.1", "--port", port, "--dir", t.TempDir(), "--save", "",
		"--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1")
	one, err := Open(Config{URL: "redis://127.0.0.1:" + port}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = one.Close() })
	eventually(t, 10*time.Second, "node answers", func() bool { return one.Ping(t.Context()) == nil })
	if err := one.client.Do(t.Context(), "cluster", "addslotsrange", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "cluster is whole", func() bool {
		info, err := one.client.Do(t.Context(), "cluster", "info").Text()
		return err == nil && strings.Contains(info, "cluster_state:ok")
	})
	return "redis-cluster://127.0.0.1:" + port
}

// monitor copies every command Redis is given to the page.
func (s *server) monitor(p *page) {
	s.t.Helper()
	conn, err := net.Dial("unix", s.run.Socket())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	if _, err := conn.Write([]byte("MONITOR\r\n")); err != nil {
		s.t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	if ok, err := in.ReadString('\n'); err != nil || ok != "+OK\r\n" {
		s.t.Fatalf("monitor: %q, %v", ok, err)
	}
	go func() { _, _ = in.WriteTo(p) }() // ends with the connection
}

// Only opaque identifiers enter Redis (SEC-29, B6).
func TestSEC108_RedisIsToldNothingPersonal(t *testing.T) {
	t.Parallel()
	srv := startRedis(t)
	var heard page
	srv.monitor(&heard)
	r := srv.open(Config{})
	b := NewBell(r, time.Now, quiet)
	runs(t, b.Run)
	const canary = "Zoé-Dupond-184127645108946"
	steps := newSteps(4)
	d := desk{first: func(_ context.Context, step core.Step) error {
		switch step {
		case steps[0]:
			return &core.Refusal{Code: "too_large", Reason: canary}
		case steps[1]:
			return errors.New(canary)
		case steps[2]:
			panic(canary)
		}
		return nil
	}}
	runs(t, NewWorker(r, d.run, quiet).Run)
	b.Ring(core.Step{Tenant: steps[0].Tenant, Noun: core.NounPiece, ID: canary})
	b.Ring(core.Step{Tenant: canary, Noun: core.NounPiece, ID: steps[0].ID})
	b.Ring(core.Step{Tenant: steps[0].Tenant, Noun: canary, ID: steps[0].ID})
	for _, step := range steps[:3] {
		b.Ring(step)
	}
	sweep(t, NewSweeper(r, &rows{due: steps[3:]}, time.Now, quiet), 1)
	eventually(t, 5*time.Second, "all run", func() bool { return len(d.steps()) == 4 })
	eventually(t, 5*time.Second, "all done", func() bool {
		n, err := r.client.Get(t.Context(), key(lanePiece, "processed")).Int()
		m, err2 := r.client.Get(t.Context(), key(laneDeposit, "processed")).Int()
		return errors.Join(err, err2) == nil && n+m == 4
	})
	all := heard.String()
	for _, step := range steps { // the ear was open
		if want := fmt.Sprintf("1 %s %s 1", step.Tenant, step.ID); !strings.Contains(all, want) {
			t.Errorf("never heard %q", want)
		}
	}
	for _, canary := range []string{canary, canary[5:11], canary[12:]} {
		for _, form := range []string{canary, hex.EncodeToString([]byte(canary)), base64.RawStdEncoding.EncodeToString([]byte(canary))} {
			if strings.Contains(all, form) {
				t.Errorf("Redis was told %q", form)
			}
		}
	}
	if strings.Contains(all, "worker_test.go") || strings.Contains(all, "panic") {
		t.Error("Redis was told of a panic")
	}
}
