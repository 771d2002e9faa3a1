package blob

import (
	"errors"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	blockSize  = 4 << 10 // of every disk's blocks a multiple, save of those that refuse direct writes
	blocksSize = 256 * blockSize
)

// create makes a file whose writes go from our memory to the disk, past the page cache: a
// body is read back once at most, and to find memory for a copy of it took longer than to
// write it. Where the file system does not offer that, it goes through the cache.
func create(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_DIRECT, 0o600)
	if errors.Is(err, unix.EINVAL) { // some make the file first
		os.Remove(path)
		return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	}
	if err != nil {
		return nil, err
	}
	// Some disks have larger blocks, and say so at the first write.
	w := blocksAt(file, 0)
	defer w.release()
	clear(w.room[:blockSize])
	if _, err = file.WriteAt(w.room[:blockSize], 0); errors.Is(err, unix.EINVAL) {
		file.Close()
		return os.OpenFile(path, os.O_WRONLY, 0o600)
	}
	if err != nil {
		file.Close()
		os.Remove(path)
		return nil, err
	}
	return file, nil
}

// blocks writes a file in whole blocks, from memory that begins at the border of one:
// direct writes want both.
type blocks struct {
	file *os.File
	from int64 // where room is to be written
	room []byte
	used int
	lent *[]byte // what room was taken from
}

// rooms are as many as segments are written at once.
var rooms = sync.Pool{New: func() any {
	b := make([]byte, blocksSize+blockSize)
	skip := (blockSize - int(uintptr(unsafe.Pointer(&b[0]))%blockSize)) % blockSize
	room := b[skip : skip+blocksSize]
	return &room
}}

// blocksAt writes from an offset, which is a border.
func blocksAt(file *os.File, from int64) *blocks {
	lent := rooms.Get().(*[]byte)
	return &blocks{file: file, from: from, room: *lent, lent: lent}
}

func (w *blocks) release() { rooms.Put(w.lent) }

// at is where the next byte goes.
func (w *blocks) at() int64 { return w.from + int64(w.used) }

func (w *blocks) write(p []byte) error {
	for len(p) > 0 {
		n := copy(w.room[w.used:], p)
		w.used, p = w.used+n, p[n:]
		if w.used < len(w.room) {
			return nil
		}
		if err := w.flush(); err != nil {
			return err
		}
	}
	return nil
}

// end fills the last block with zeros and writes what is left.
func (w *blocks) end() error {
	whole := (w.used + blockSize - 1) / blockSize * blockSize
	clear(w.room[w.used:whole])
	w.used = whole
	return w.flush()
}

func (w *blocks) flush() error {
	if _, err := w.file.WriteAt(w.room[:w.used], w.from); err != nil {
		return err
	}
	w.from, w.used = w.from+int64(w.used), 0
	return nil
}
