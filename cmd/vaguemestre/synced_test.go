package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// REL-01: watched from outside, no 250 is written before what it promises is synced: the
// blob and its folder where there is one, or the segment it lies in, then the database's log, and only then the answer.
func TestREL01_NoAnswerBeforeTheSyncs(t *testing.T) {
	t.Parallel()
	p := start(t, newHome(t), nil, "--roles", "smtp,http,keeper")
	if err := p.send(p.address, message("warm", "x", "x.pdf", "application/pdf", nil)); err != nil {
		t.Fatal(err)
	}
	sizes := []int{0, 150_000, 300_000} // in its row, in a segment, in a file of its own
	calls := traced(t, p, func() {
		for n := range 6 {
			file := make([]byte, sizes[n%len(sizes)])
			if err := p.send(p.address, message(fmt.Sprint("synced-", n), "x", "x.bin", "application/octet-stream", file)); err != nil {
				t.Fatal(err)
			}
		}
	})
	answered := 0
	var synced []string
	for _, c := range calls {
		if c != "250" {
			synced = append(synced, c)
			continue
		}
		want := [][]string{{"log"}, {"segment", "log"}, {"blob", "folder", "log"}}[answered%len(sizes)]
		if !inOrder(synced, want) {
			t.Errorf("mail %d was answered after %v, want %v", answered+1, synced, want)
		}
		answered, synced = answered+1, nil
	}
	if answered != 6 {
		t.Errorf("%d answers of 6 were seen", answered)
	}
}

// inOrder: want is in got, in that order, whatever else is.
func inOrder(got, want []string) bool {
	for _, g := range got {
		if len(want) > 0 && g == want[0] {
			want = want[1:]
		}
	}
	return len(want) == 0
}

// traced returns the syncs that have ended well, by what they synced, and the answers to
// messages that were begun, of the program and its PostgreSQL while do runs.
func traced(t *testing.T, p *program, do func()) (calls []string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "trace")
	args := []string{"-f", "-y", "-s", "40", "-e", "trace=fsync,fdatasync,write", "-o", out}
	server := postmaster(t, filepath.Join(p.home, "postgres"))
	watched := 0
	for _, c := range everyone() {
		if c.pid == p.cmd.Process.Pid || c.pid == server || c.parent == server {
			args = append(args, "-p", fmt.Sprint(c.pid))
			watched++
		}
	}
	said := &logs{}
	cmd := exec.Command("strace", args...)
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	for end := time.Now().Add(20 * time.Second); strings.Count(said.String(), " attached") < watched; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("strace does not watch %d processes: %s", watched, said)
		}
	}
	do()
	_ = cmd.Process.Signal(syscall.SIGINT) // it lets go of them
	_ = cmd.Wait()
	trace, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return interpret(trace)
}

var (
	traceLine  = regexp.MustCompile(`^(\d+) +(?:<\.\.\. )?(\w+)(?:\(\d+<([^>]*)>)?(.*)$`)
	oneSegment = regexp.MustCompile(`/blobs/[^/]+/segments/[^/]+$`)
	oneBlob    = regexp.MustCompile(`/blobs/[^/]+/[^/]+/[^/]+$`)
	oneFolder  = regexp.MustCompile(`/blobs/[^/]+/[^/]+$`)
)

// interpret reads what strace wrote: a call in one line, or, when another's came between,
// its beginning and "<... call resumed>".
func interpret(trace []byte) (calls []string) {
	under := map[string]string{} // process: the path of the call it is in
	for line := bufio.NewScanner(bytes.NewReader(trace)); line.Scan(); {
		m := traceLine.FindStringSubmatch(line.Text())
		if m == nil {
			continue
		}
		process, call, path, rest := m[1], m[2], m[3], m[4]
		if path != "" {
			under[process], under[process+" call"] = path, call
		}
		if call == "write" {
			if path != "" && strings.Contains(rest, "250 2.0.0 Taken in") {
				calls = append(calls, "250")
			}
			continue
		}
		if !strings.HasSuffix(rest, "= 0") {
			continue
		}
		switch path := under[process]; {
		case strings.Contains(path, "/pg_wal/"):
			calls = append(calls, "log")
		case oneSegment.MatchString(path):
			if strings.Contains(under[process+" call"], "fdatasync") {
				calls = append(calls, "segment")
			}
		case oneBlob.MatchString(path):
			calls = append(calls, "blob")
		case oneFolder.MatchString(path):
			calls = append(calls, "folder")
		}
	}
	return calls
}
