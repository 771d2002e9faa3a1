package main

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Killed while it reads a picture, with children of every sort: none of them is left two
// seconds later, and a new start takes the work up again. Then Ctrl-C: a clean end, and
// nobody left either.
func TestNobodyStaysBehind(t *testing.T) {
	t.Parallel()
	p := prepare(t, newHome(t), []string{"VAGUEMESTRE_LEASE=2s", "VAGUEMESTRE_SWEEP=500ms"})
	p.ours = true
	p.start()
	if err := p.send(p.address, message("noise", "Photo", "photo.png", "image/png", noise())); err != nil {
		t.Fatal(err)
	}
	family := p.reading()
	p.kill()
	killed := time.Now()
	gone(t, family, 2*time.Second)
	t.Logf("%d children, none left %v after the kill", len(family), time.Since(killed).Round(time.Millisecond))
	if left := workingIn(t, p.home); len(left) > 0 {
		t.Errorf("still at work in the home: %v", left)
	}

	p.start()
	family = p.reading() // taken up again once the lease has lapsed
	began := time.Now()
	p.stop()
	t.Logf("stopped in %v in the middle of a page", time.Since(began).Round(time.Millisecond))
	gone(t, family, 0)

	p.start()
	p.wait(60*time.Second, "end of the picture", func() bool {
		got := p.deposits()
		return len(got) == 1 && len(got[0].Pieces) == 1 && got[0].Pieces[0].State == "at_desk"
	})
	p.must("check")
	family = descendants(p.cmd.Process.Pid)
	p.stop()
	gone(t, family, 0)
	if left := workingIn(t, p.home); len(left) > 0 {
		t.Errorf("still at work in the home: %v", left)
	}
}

// reading waits until a picture is being read, and returns all the program's children.
func (p *program) reading() (family []child) {
	p.t.Helper()
	p.wait(30*time.Second, "reading of the picture", func() bool {
		family = descendants(p.cmd.Process.Pid)
		return slices.ContainsFunc(family, func(c child) bool { return c.name == "tesseract" })
	})
	for _, want := range []string{"postgres", "redis-server"} {
		if !slices.ContainsFunc(family, func(c child) bool { return strings.HasPrefix(c.name, want) }) {
			p.t.Errorf("no %s among the children %v", want, family)
		}
	}
	return family
}

// noise is a picture that takes long to read and says nothing.
func noise() []byte {
	page := image.NewGray(image.Rect(0, 0, 1240, 1754))
	for y := 40; y < 1700; y += 30 {
		for x := 40; x < 1200; x += 4 {
			if rand.IntN(3) == 0 {
				continue
			}
			for dy := range 16 {
				for dx := range 2 {
					page.Pix[page.PixOffset(x+dx, y+dy)] = 255
				}
			}
		}
	}
	for i := range page.Pix {
		page.Pix[i] = 255 - page.Pix[i]
	}
	var b bytes.Buffer
	if err := png.Encode(&b, page); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// child is a process; its start tells it from a later one of the same number.
type child struct {
	pid    int
	name   string
	parent int
	start  string
}

// look reads what /proc says of a process (proc_pid_stat(5)).
func look(pid int) (child, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return child{}, false
	}
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	fields := strings.Fields(string(b[end+1:]))
	parent, err := strconv.Atoi(fields[1])
	if err != nil || fields[0] == "Z" || fields[0] == "X" {
		return child{}, false
	}
	return child{pid, string(b[open+1 : end]), parent, fields[19]}, true
}

// everyone is every process of the machine that has not ended.
func everyone() (found []child) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if p, ok := look(pid); ok {
				found = append(found, p)
			}
		}
	}
	return found
}

// descendants are the children of a process, and theirs.
func descendants(pid int) (found []child) {
	running := everyone()
	for next := []int{pid}; len(next) > 0; next = next[1:] {
		for _, p := range running {
			if p.parent == next[0] {
				found, next = append(found, p), append(next, p.pid)
			}
		}
	}
	return found
}

// gone fails the test when one of them still runs after so long.
func gone(t *testing.T, family []child, after time.Duration) {
	t.Helper()
	for end := time.Now().Add(after); ; time.Sleep(10 * time.Millisecond) {
		family = slices.DeleteFunc(family, func(p child) bool {
			now, ok := look(p.pid)
			return !ok || now.start != p.start
		})
		if len(family) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Errorf("still there %v later: %v", after, family)
			return
		}
	}
}

// workingIn are the processes whose working directory is dir or lies below it.
func workingIn(t *testing.T, dir string) (pids []int) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range everyone() {
		cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", p.pid))
		if err == nil && (cwd == dir || strings.HasPrefix(cwd, dir+"/")) {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

// Killed while it founds its home for the first time, at any instant: the next start
// has a town, a citizen and an address, and works.
func TestKilledWhileFounding(t *testing.T) {
	t.Parallel()
	for i := range *stormKills / 10 {
		p := prepare(t, newHome(t), nil)
		p.launch()
		after := rand.N(1500 * time.Millisecond)
		time.Sleep(after)
		p.kill()
		reached := strings.Count(p.logs.String(), "\n")
		p.start()
		if p.citizen == "" || p.address == "" {
			t.Fatalf("home %d, killed after %v (%d lines): no citizen, no address", i, after, reached)
		}
		mark := fmt.Sprint("founding-", i)
		if err := p.send(p.address, message(mark, "Mon avis", "avis.pdf", "application/pdf", taxNotice("Zoé LE GOFF", mark))); err != nil {
			t.Fatal(err)
		}
		p.wait(20*time.Second, "document", func() bool { return len(p.vault()) == 1 })
		p.must("check")
		p.must("journal", "verify")
		p.stop()
	}
}
