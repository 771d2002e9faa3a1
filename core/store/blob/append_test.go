package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vaguemestre/core"
)

func laid(t *testing.T, f *Folder, tenant core.TenantID, b []byte) core.Ref {
	t.Helper()
	ref, err := f.Append(t.Context(), tenant, b)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// segmentOf is the ref of the segment that a body lies in, and the segment's file.
func segmentOf(t *testing.T, f *Folder, ref core.Ref) (whole core.Ref, path string) {
	t.Helper()
	r, err := parseSegment(ref)
	if err != nil {
		t.Fatal(err)
	}
	r.whole = true
	return r.ref(), f.segmentPath(r.tenant, r.id)
}

// REL-18: what is appended keeps to what is promised of blobs.
func TestREL18_Appended(t *testing.T) {
	f, root := folder(t)
	tenant := core.NewID[core.TenantID]()
	t.Run("bytes come back", func(t *testing.T) {
		for _, size := range []int{0, 1, 4095, 64 << 10, 200_123, 1<<20 + 1} {
			want := noise(size)
			if got, err := fetch(t, f, laid(t, f, tenant, want)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes: %d came back, %v", size, len(got), err)
			}
		}
	})
	t.Run("many at once", func(t *testing.T) {
		var wait sync.WaitGroup
		var mu sync.Mutex
		seen := map[core.Ref]bool{}
		for n := range 200 {
			wait.Go(func() {
				want := noise(70_000 + n)
				ref, err := f.Append(t.Context(), tenant, want)
				if err != nil {
					t.Error(err)
				} else if got, err := fetch(t, f, ref); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d bytes: %d came back, %v", len(want), len(got), err)
				}
				mu.Lock()
				defer mu.Unlock()
				seen[ref] = true
			})
		}
		wait.Wait()
		if len(seen) != 200 {
			t.Errorf("%d refs of 200 bodies", len(seen))
		}
	})
	t.Run("delete", func(t *testing.T) {
		before, gone, after := laid(t, f, tenant, noise(100_001)), laid(t, f, tenant, noise(100_002)), laid(t, f, tenant, noise(100_003))
		_, path := segmentOf(t, f, gone)
		room := allocated(t, path)
		for range 2 { // a repeat is no error
			if err := f.Delete(t.Context(), gone); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := f.Open(t.Context(), gone); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("after deletion: %v", err)
		}
		for ref, want := range map[core.Ref][]byte{before: noise(100_001), after: noise(100_003)} {
			if got, err := fetch(t, f, ref); err != nil || !bytes.Equal(got, want) {
				t.Errorf("its neighbour: %d bytes, %v", len(got), err)
			}
		}
		if now := allocated(t, path); now > room-80_000 {
			t.Errorf("%d bytes are taken, %d were", now, room)
		}
	})
	t.Run("what is not there", func(t *testing.T) {
		ref := laid(t, f, tenant, noise(100))
		r, _ := parseSegment(ref)
		kept, _ := segmentOf(t, f, ref)
		inside, longer, elsewhere := r, r, r
		inside.offset++
		longer.length++
		elsewhere.id = string(core.NewID[core.ObjectID]())
		for _, missing := range []core.Ref{inside.ref(), longer.ref(), elsewhere.ref(), kept} {
			if _, err := f.Open(t.Context(), missing); !errors.Is(err, core.ErrNotFound) {
				t.Errorf("%s: %v", missing, err)
			}
			if missing == kept {
				continue
			}
			if err := f.Delete(t.Context(), missing); err != nil {
				t.Errorf("delete %s: %v", missing, err)
			}
		}
		if got, err := fetch(t, f, ref); err != nil || !bytes.Equal(got, noise(100)) {
			t.Errorf("afterwards: %d bytes, %v", len(got), err)
		}
	})
	t.Run("old", func(t *testing.T) {
		mine := core.NewID[core.TenantID]()
		ref := laid(t, f, mine, []byte("a"))
		laid(t, f, mine, []byte("b"))
		file := put(t, f, mine, core.NewID[core.ObjectID](), []byte("c"))
		whole, path := segmentOf(t, f, ref)
		if got := old(t, f, mine, time.Now().Add(time.Hour)); !slices.Equal(got, slices.Sorted(slices.Values([]core.Ref{file, whole}))) {
			t.Errorf("older than in an hour: %v", got)
		}
		if got := old(t, f, mine, time.Now().Add(-time.Hour)); len(got) != 0 {
			t.Errorf("older than an hour ago: %v", got)
		}
		for range 2 {
			if err := f.Delete(t.Context(), whole); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after deletion: %v", err)
		}
		if _, err := f.Open(t.Context(), ref); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("a body in it: %v", err)
		}
		if err := f.Delete(t.Context(), ref); err != nil {
			t.Errorf("delete a body in it: %v", err)
		}
	})
	for path, mode := range modes(t, root) {
		if mode.Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, mode)
		}
	}
}

// allocated is the room that a file takes.
func allocated(t *testing.T, path string) int64 {
	t.Helper()
	var s syscall.Stat_t
	if err := syscall.Stat(path, &s); err != nil {
		t.Fatal(err)
	}
	return s.Blocks * 512
}

// A ref of a segment is a row's word too.
func TestRefsOfSegmentsStayInside(t *testing.T) {
	f, root := folder(t)
	outside := filepath.Join(filepath.Dir(root), "abc")
	if err := os.WriteFile(outside, append(head(8), "not ours"...), 0o600); err != nil {
		t.Fatal(err)
	}
	ref := string(laid(t, f, oneTenant, []byte("ours")))
	for _, name := range []string{"", "/", "..", "a/..", "../abc", "a/../../../abc/0/8", "../../abc/0/8", "a//0/8", "/abc/0/8", "a/b/0", "a/b/0/1/2",
		"a/b/-1/8", "a/b/0/-8", "a/b/x/8", "a/b/0/99999999999999999999", "a/b/99999999999999999999/8", "A/b/0/8", "a/b\x00/0/8"} {
		bad := core.Ref(core.InSegment + name)
		if r, err := f.Open(t.Context(), bad); err == nil {
			b, _ := io.ReadAll(r)
			t.Errorf("%q gives %q", bad, b)
		}
		if err := f.Delete(t.Context(), bad); err == nil {
			t.Errorf("%q was deleted", bad)
		}
	}
	twin := core.Ref(strings.Replace(ref, "/0/4", "/00/4", 1))
	if _, err := f.Open(t.Context(), twin); err == nil || twin == core.Ref(ref) {
		t.Errorf("%s is %s", twin, ref)
	}
	if _, err := f.Append(t.Context(), "../..", nil); err == nil {
		t.Error("appended outside")
	}
	if b, err := os.ReadFile(outside); err != nil || string(b) != string(head(8))+"not ours" {
		t.Errorf("outside: %q, %v", b, err)
	}
}

// appending appends one body under fault and returns the calls it made.
func appending(t *testing.T, f *Folder, root string, fail func(call) syscall.Errno) (calls []call, ref core.Ref, err error) {
	t.Helper()
	calls = underFault(t, root, fail, func() { ref, err = f.Append(t.Context(), oneTenant, noise(1000)) })
	return calls, ref, err
}

// REL-01: a segment is in its folder for sure before anything is in it; then a body costs
// a write and one sync, and is still where it was written.
func TestREL01_SegmentSyncsInOrder(t *testing.T) {
	f, root := folder(t)
	calls, ref, err := appending(t, f, root, nothingFails)
	if err != nil {
		t.Fatal(err)
	}
	dir := string(oneTenant) + "/segments"
	_, path := segmentOf(t, f, ref)
	file, _ := filepath.Rel(root, path)
	body := []call{{"write", file}, {"fdatasync", file}, {"stat", file}}
	want := append([]call{
		{"mkdir", string(oneTenant)}, {"open", ""}, {"fsync", ""},
		{"mkdir", dir}, {"open", string(oneTenant)}, {"fsync", string(oneTenant)},
		{"open", file}, {"write", file}, {"fsync", file}, {"open", dir}, {"fsync", dir}, // what is written first says whether the disk takes it directly
	}, body...)
	if !slices.Equal(calls, want) {
		t.Errorf("calls %v\nwant %v", calls, want)
	}
	calls, _, err = appending(t, f, root, nothingFails)
	if err != nil || !slices.Equal(calls, body) {
		t.Errorf("the second: %v, %v", calls, err)
	}
}

// Where writes cannot go to the disk directly they go through the page cache.
func TestAppendThroughTheCache(t *testing.T) {
	for _, refuses := range []string{"open", "write"} {
		f, root := folder(t)
		var refused int
		_, ref, err := appending(t, f, root, func(c call) syscall.Errno {
			if c.name == refuses && strings.Contains(c.path, "segments/") && refused == 0 {
				refused++
				return syscall.EINVAL
			}
			return 0
		})
		if err != nil || refused != 1 {
			t.Fatalf("%s refused %d times: %v", refuses, refused, err)
		}
		refs := map[core.Ref]int{ref: 1000}
		for _, size := range []int{1, 5000, 3 << 20} {
			refs[laid(t, f, oneTenant, noise(size))] = size
		}
		for ref, size := range refs {
			if got, err := fetch(t, f, ref); err != nil || !bytes.Equal(got, noise(size)) {
				t.Errorf("%s refused, %d bytes: %d came back, %v", refuses, size, len(got), err)
			}
		}
	}
}

// REL-03: whichever call fails, Append says so, no sync is tried again, the segment is not
// written again, and what was appended before is as it was.
func TestREL03_AppendWithEachCallFailing(t *testing.T) {
	for begun, calls := range map[bool]int{false: 14, true: 3} {
		for n := range calls {
			for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
				f, root := folder(t)
				var before core.Ref
				var used string
				if begun {
					before = laid(t, f, oneTenant, noise(5000))
					_, used = segmentOf(t, f, before)
				}
				count := 0
				all, ref, err := appending(t, f, root, func(call) syscall.Errno {
					if count++; count == n+1 {
						return errno
					}
					return 0
				})
				name := fmt.Sprintf("%v at %v, begun %v", errno, all[n], begun)
				if !errors.Is(err, errno) || ref != "" {
					t.Errorf("%s: %q, %v", name, ref, err)
				}
				if again := slices.Index(all[n+1:], all[n]); again >= 0 {
					t.Errorf("%s: tried again: %v", name, all)
				}
				next := laid(t, f, oneTenant, noise(6000))
				if got, err := fetch(t, f, next); err != nil || !bytes.Equal(got, noise(6000)) {
					t.Errorf("after %s: %d bytes, %v", name, len(got), err)
				}
				if _, path := segmentOf(t, f, next); path == used {
					t.Errorf("after %s: the segment goes on", name)
				}
				if !begun {
					continue
				}
				if got, err := fetch(t, f, before); err != nil || !bytes.Equal(got, noise(5000)) {
					t.Errorf("before %s: %d bytes, %v", name, len(got), err)
				}
			}
		}
	}
}

// Where no holes can be made the bytes are written over.
func TestDeletedWithoutHoles(t *testing.T) {
	f, root := folder(t)
	gone, kept := laid(t, f, oneTenant, noise(100_000)), laid(t, f, oneTenant, noise(1000))
	var err error
	underFault(t, root, func(c call) syscall.Errno {
		if c.name == "allocate" {
			return syscall.EOPNOTSUPP
		}
		return 0
	}, func() { err = f.Delete(t.Context(), gone) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Open(t.Context(), gone); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("after deletion: %v", err)
	}
	if got, err := fetch(t, f, kept); err != nil || !bytes.Equal(got, noise(1000)) {
		t.Errorf("its neighbour: %d bytes, %v", len(got), err)
	}
	_, path := segmentOf(t, f, gone)
	if b, err := os.ReadFile(path); err != nil || len(bytes.Trim(b[:headSize+100_000], "\x00")) != 0 {
		t.Errorf("bytes are left, %v", err)
	}
}

// held is a tail that somebody writes to: what comes meanwhile waits.
func held(t *testing.T, f *Folder) *tail {
	t.Helper()
	tail := f.tail(oneTenant)
	if tail.join(&body{}) == nil {
		t.Fatal("somebody else writes")
	}
	return tail
}

// result is what one waiting Append came to.
type result struct {
	size int
	ref  core.Ref
	err  error
}

// gather begins one Append of each size, in that order, while the tail is held.
func gather(ctx context.Context, f *Folder, tail *tail, sizes ...int) <-chan result {
	done := make(chan result, len(sizes))
	for n, size := range sizes {
		go func() {
			ref, err := f.Append(ctx, oneTenant, noise(size))
			done <- result{size, ref, err}
		}()
		for waiting := 0; waiting <= n; { // until it has joined
			tail.mu.Lock()
			waiting = len(tail.waiting)
			tail.mu.Unlock()
		}
	}
	return done
}

// Those that wait share a sync, and whoever goes away meanwhile takes nobody with it.
func TestCancelledAppendLeavesTheOthers(t *testing.T) {
	f, _ := folder(t)
	tail := held(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	gone, stay := gather(ctx, f, tail, 1000), (<-chan result)(nil)
	cancel()
	if r := <-gone; !errors.Is(r.err, context.Canceled) || r.ref != "" {
		t.Errorf("cancelled: %+v", r)
	}
	stay = gather(t.Context(), f, tail, 2000, 3000, 4000)
	tail.pass()
	for range 3 {
		r := <-stay
		if got, err := fetch(t, f, r.ref); r.err != nil || err != nil || !bytes.Equal(got, noise(r.size)) {
			t.Errorf("%+v: %d bytes, %v", r, len(got), err)
		}
	}
	if len(tail.waiting) != 0 || tail.busy {
		t.Errorf("%d wait, busy %v", len(tail.waiting), tail.busy)
	}
}

// REL-03: a batch fails as one. The nlink of the segment is looked at after the sync: one
// that was removed in the meantime holds nothing.
func TestREL03_RemovedSegmentFailsTheBatch(t *testing.T) {
	f, _ := folder(t)
	whole, _ := segmentOf(t, f, laid(t, f, oneTenant, noise(10)))
	tail := held(t, f)
	done := gather(t.Context(), f, tail, 1000, 2000, 3000)
	if err := f.Delete(t.Context(), whole); err != nil {
		t.Fatal(err)
	}
	tail.pass()
	for range 3 {
		if r := <-done; !errors.Is(r.err, errRemoved) || r.ref != "" {
			t.Errorf("%+v", r)
		}
	}
	if got, err := fetch(t, f, laid(t, f, oneTenant, noise(4000))); err != nil || !bytes.Equal(got, noise(4000)) {
		t.Errorf("the next: %d bytes, %v", len(got), err)
	}
}

// A batch is bounded, by number and by bytes; what is beyond is in the next.
func TestBatchesAreBounded(t *testing.T) {
	for name, c := range map[string]struct{ bodies, size, first int }{
		"many": {bodiesAtOnce + 5, 10, bodiesAtOnce}, "large": {10, bytesAtOnce/4 + 1, 3}, "one too large": {2, bytesAtOnce + 1, 1},
	} {
		tail := &tail{busy: true}
		for range c.bodies {
			tail.join(&body{sealed: make([]byte, c.size), turn: make(chan []*body, 1)})
		}
		first := tail.waiting[0]
		tail.pass()
		if got := <-first.turn; len(got) != c.first || len(tail.waiting) != c.bodies-c.first {
			t.Errorf("%s: %d in the batch, %d wait", name, len(got), len(tail.waiting))
		}
	}
}

// A segment ends when it is full, and when it was not written for an hour: what the
// collector may take is never written again, whatever the clock does.
func TestREL02_SegmentsRollOver(t *testing.T) {
	f, _ := folder(t)
	now := time.Now()
	f.now = func() time.Time { return now }
	last := ""
	for _, step := range []struct {
		name    string
		passes  time.Duration
		size    int64 // of the segment beforehand, if not as it is
		another bool
	}{
		{"first", 0, 0, true},
		{"at once", 0, 0, false},
		{"just in time", segmentIdle - 1, 0, false},
		{"an hour later", segmentIdle, 0, true},
		{"clock set back", -time.Second, 0, true},
		{"nearly full", 0, segmentSize - blockSize, false},
		{"full", 0, segmentSize, true},
	} {
		now = now.Add(step.passes)
		if step.size > 0 {
			f.tail(oneTenant).size = step.size
		}
		ref := laid(t, f, oneTenant, noise(100))
		if got, err := fetch(t, f, ref); err != nil || !bytes.Equal(got, noise(100)) {
			t.Errorf("%s: %d bytes, %v", step.name, len(got), err)
		}
		whole, _ := segmentOf(t, f, ref)
		if (string(whole) != last) != step.another {
			t.Errorf("%s: another segment: %v, want %v", step.name, string(whole) != last, step.another)
		}
		last = string(whole)
	}
}

// REL-02: whoever was killed while appending left a tail that nobody names; the next process
// begins a segment of its own, and what was acknowledged is read from both.
func TestREL02_HalfAppended(t *testing.T) {
	f, root := folder(t)
	before := laid(t, f, oneTenant, noise(100_000))
	whole, path := segmentOf(t, f, before)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(append(head(200_000), noise(1234)...)); err != nil {
		t.Fatal(err)
	}
	file.Close()
	next, err := OpenFolder(root)
	if err != nil {
		t.Fatal(err)
	}
	after := laid(t, next, oneTenant, noise(50_000))
	if other, _ := segmentOf(t, next, after); other == whole {
		t.Error("the segment of a killed process goes on")
	}
	for ref, size := range map[core.Ref]int{before: 100_000, after: 50_000} {
		if got, err := fetch(t, next, ref); err != nil || !bytes.Equal(got, noise(size)) {
			t.Errorf("%s: %d bytes, %v", ref, len(got), err)
		}
	}
	r, _ := parseSegment(before)
	r.offset, r.length = end, 200_000
	if _, err := next.Open(t.Context(), r.ref()); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("the half: %v", err)
	}
}
