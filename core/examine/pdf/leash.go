package pdf

import (
	"context"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tetratelabs/wazero/experimental"
)

// leash is the context handed to go-pdfium, which gives every guest a child of it
// and offers to cancel that child only while closing the guest's memory under its
// feet. So each guest is made while leash stands for a context of its own: cancelled,
// it ends the guest between two instructions, and nothing is freed before.
//
// It breaks the rule that a context does not change, for the one library that keeps
// it; its values are the same at any time, apart from the memory allocator, which is
// asked for only while a guest is made.
type leash struct {
	now atomic.Pointer[context.Context]
}

func (l *leash) hold(ctx context.Context) { l.now.Store(&ctx) }

func (l *leash) Deadline() (time.Time, bool) { return (*l.now.Load()).Deadline() }
func (l *leash) Done() <-chan struct{}       { return (*l.now.Load()).Done() }
func (l *leash) Err() error                  { return (*l.now.Load()).Err() }
func (l *leash) Value(key any) any           { return (*l.now.Load()).Value(key) }

// memory is the linear memory of one guest, straight from the kernel: pages count
// once they are touched, growing copies nothing, and all of it goes back when the
// document is closed. On Go's heap a guest of 512 MiB cost three times as much.
type memory []byte

// newMemory reserves size bytes, the most that the guest may ever ask for.
func newMemory(size int64) (memory, error) {
	m, err := syscall.Mmap(-1, 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("reserve the memory of a pdf guest: %w", err)
	}
	return m, nil
}

func (m memory) Allocate(_, _ uint64) experimental.LinearMemory { return m }

func (m memory) Reallocate(size uint64) []byte {
	if size > uint64(len(m)) {
		return nil
	}
	return m[:size]
}

// Free is called by the runtime when it deems the guest closed; release knows better.
func (m memory) Free() {}

// release unmaps. No guest code runs any more, and nobody looks at its pixels.
func (m memory) release() { _ = syscall.Munmap(m) }
