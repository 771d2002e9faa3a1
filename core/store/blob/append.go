package blob

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"vaguemestre/core"
)

// tail is the end of a tenant's newest segment of this process. Bodies that come while a
// sync is under way are gathered, and share the next one: the first of them writes all.
type tail struct {
	mu      sync.Mutex
	waiting []*body
	busy    bool

	// Whoever writes, and nobody else meanwhile.
	segment *os.File // nil when one is to be begun
	id      string
	size    int64
	written time.Time
}

// body is sealed bytes to be appended, and what became of them.
type body struct {
	sealed []byte
	ref    core.Ref
	err    error
	turn   chan []*body // a batch to write, or nil: it was written
}

const (
	bodiesAtOnce = 64      // that share a sync,
	bytesAtOnce  = 8 << 20 // and their bytes
	// A segment is left behind when it is full, and when it was not written for so long
	// that the collector might come for it within a day: it takes what is a day old.
	segmentSize = 64 << 20
	segmentIdle = time.Hour
)

// Append stores sealed bytes behind others of the tenant in a segment. Nil means durable:
// written, and fdatasync called since. Those that are appended at the same time share it,
// and when it fails they all do: the segment is given up as it is, never synced again,
// and another is begun (REL-03). One whose context ends while it waits leaves the others
// to their sync. What a killed process wrote last is named by no row; a segment is never
// continued by another process.
func (f *Folder) Append(ctx context.Context, tenant core.TenantID, sealed []byte) (core.Ref, error) {
	if !isID(string(tenant)) || len(sealed) > segmentSize {
		return "", errors.New("append: no tenant of ours, or too long")
	}
	t := f.tail(tenant)
	b := &body{sealed: sealed, turn: make(chan []*body, 1)}
	batch := t.join(b)
	for batch == nil {
		select {
		case batch = <-b.turn:
			if batch == nil {
				return b.ref, b.err
			}
		case <-ctx.Done():
			if t.leave(b) {
				return "", ctx.Err()
			}
			ctx = context.WithoutCancel(ctx) // its bytes are being read: it stays to the end
		}
	}
	f.write(tenant, t, batch)
	t.pass()
	for _, other := range batch[1:] {
		other.turn <- nil
	}
	return b.ref, b.err
}

func (f *Folder) tail(tenant core.TenantID) *tail {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, ok := f.tails[tenant]
	if !ok {
		t = &tail{}
		f.tails[tenant] = t
	}
	return t
}

// join returns the batch that b is to write, or nil when b has to wait for its turn.
func (t *tail) join(b *body) []*body {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy {
		t.waiting = append(t.waiting, b)
		return nil
	}
	t.busy = true
	return []*body{b}
}

// leave gives up one that still waits, and reports whether it did.
func (t *tail) leave(b *body) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.waiting, b)
	if i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
	return i >= 0
}

// pass lets the first that waits write the next batch.
func (t *tail) pass() {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, size := 0, 0
	for n < min(len(t.waiting), bodiesAtOnce) {
		if size += len(t.waiting[n].sealed); n > 0 && size > bytesAtOnce {
			break
		}
		n++
	}
	if t.busy = n > 0; !t.busy {
		return
	}
	batch := slices.Clone(t.waiting[:n])
	t.waiting = slices.Delete(t.waiting, 0, n)
	batch[0].turn <- batch
}

// write appends a batch and syncs it. Any failure is everybody's, and the segment's last.
func (f *Folder) write(tenant core.TenantID, t *tail, batch []*body) {
	err := f.ready(tenant, t)
	if err == nil {
		err = t.append(tenant, batch)
	}
	if err == nil {
		err = t.sync()
	}
	if err == nil {
		t.written = f.now()
		return
	}
	t.close()
	for _, b := range batch {
		b.ref, b.err = "", fmt.Errorf("append blob: %w", err)
	}
}

// ready sees to it that there is a segment to append to.
func (f *Folder) ready(tenant core.TenantID, t *tail) error {
	// Round: the time of day goes on while a machine sleeps, and may be set back.
	if idle := f.now().Round(0).Sub(t.written.Round(0)); t.size >= segmentSize || idle < 0 || idle >= segmentIdle {
		t.close()
	}
	if t.segment != nil {
		return nil
	}
	id := string(core.NewID[core.ObjectID]())
	file, err := f.begin(f.segmentPath(string(tenant), id))
	if err != nil {
		return err
	}
	t.segment, t.id, t.size = file, id, 0
	return nil
}

// begin makes a segment: file, fsync, fsync of its folder. It grows with what is appended:
// to fill it with zeros beforehand, or to have it allocated, was not quicker.
func (f *Folder) begin(path string) (*os.File, error) {
	if err := f.makeDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	file, err := create(path)
	if err != nil {
		return nil, err
	}
	if err = file.Sync(); err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		file.Close()
		os.Remove(path)
		return nil, err
	}
	return file, nil
}

// append writes a batch behind the others. It begins and ends at the border of a block:
// what is between its end and the border is zeros.
func (t *tail) append(tenant core.TenantID, batch []*body) error {
	w := blocksAt(t.segment, t.size)
	defer w.release()
	for _, b := range batch {
		b.ref = segmentRef{tenant: string(tenant), id: t.id, offset: w.at(), length: int64(len(b.sealed))}.ref()
		if err := w.write(head(len(b.sealed))); err != nil {
			return err
		}
		if err := w.write(b.sealed); err != nil {
			return err
		}
	}
	if err := w.end(); err != nil {
		return err
	}
	t.size = w.at()
	return nil
}

var errRemoved = errors.New("the segment was removed")

// sync syncs the segment, and looks whether it is still there.
func (t *tail) sync() error {
	if err := unix.Fdatasync(int(t.segment.Fd())); err != nil {
		return os.NewSyscallError("fdatasync", err)
	}
	info, err := t.segment.Stat()
	if err != nil {
		return err
	}
	if info.Sys().(*syscall.Stat_t).Nlink == 0 {
		return errRemoved
	}
	return nil
}

// close leaves the segment behind. What was acknowledged is synced; its closing says nothing.
func (t *tail) close() {
	if t.segment != nil {
		t.segment.Close()
		t.segment = nil
	}
}
