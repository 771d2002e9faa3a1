package private

import (
	"bytes"
	"os"
	"sync"
	"syscall"
)

const maxLog = 4 << 20 // bytes; twice that with the one kept before

// logFile takes a server's messages and keeps the newest 4 to 8 MiB of them, in
// path and path.1. It never fails its writer: a full disk must not block a
// server on its log.
type logFile struct {
	path string
	max  int64

	mu   sync.Mutex
	file *os.File
	size int64
	tail string // the last whole line seen
}

func openLog(path string, limit int64) (*logFile, error) {
	l := &logFile{path: path, max: limit}
	return l, l.open()
}

func (l *logFile) open() error {
	// Not through a link: the directory may belong to the servers' account.
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return err
	}
	l.file, l.size = f, st.Size()
	return nil
}

// Write always takes everything; what cannot be stored is lost.
func (l *logFile) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if line := bytes.TrimSpace(b); len(line) > 0 {
		l.tail = string(line[bytes.LastIndexByte(line, '\n')+1:])
	}
	if l.file != nil && l.size > 0 && l.size+int64(len(b)) > l.max {
		_ = l.file.Close()
		l.file = nil
		_ = os.Rename(l.path, l.path+".1")
	}
	if l.file == nil && l.open() != nil {
		return len(b), nil
	}
	n, _ := l.file.Write(b)
	l.size += int64(n)
	return len(b), nil
}

// last is the line the server wrote last.
func (l *logFile) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tail
}

func (l *logFile) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
}
