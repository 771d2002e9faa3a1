package private

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const orphanPatience = 3 * time.Second

// endOrphans ends the processes of the named programs that work inside dir: what
// a killed process of ours left alive. Servers make their data directory their
// working directory, which a pid file can only claim and the kernel knows. They
// are asked with polite first, then killed; nil means none is left.
func endOrphans(dir string, polite syscall.Signal, programs ...string) error {
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		orphans, err := working(dir, programs)
		if err != nil || len(orphans) == 0 {
			return err
		}
		ask := polite
		switch waited := time.Since(began); {
		case waited > 2*orphanPatience:
			return fmt.Errorf("process %d in %s cannot be ended", orphans[0].Pid, dir)
		case waited > orphanPatience:
			ask = syscall.SIGKILL
		}
		for _, o := range orphans {
			_ = o.Signal(ask) // one that has just ended is gone at the next look
			_ = o.Release()
		}
	}
}

// working finds the processes of the named programs whose working directory is
// dir or lies below it.
func working(dir string, programs []string) ([]*os.Process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var found []*os.Process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		// The handle first, the look second: a number used again in between
		// belongs to a process the handle does not reach.
		if process, err := os.FindProcess(pid); err == nil {
			if worksIn(pid, dir) && slices.Contains(programs, program(pid)) {
				found = append(found, process)
			} else {
				_ = process.Release()
			}
		}
	}
	return found, nil
}

// worksIn reports whether the process's working directory is dir or lies below.
// A process that is ending, or another account's, has none that we can see.
func worksIn(pid int, dir string) bool {
	cwd, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
	return err == nil && (cwd == dir || strings.HasPrefix(cwd, dir+"/"))
}

// program is the file name of what the process runs, also after an upgrade has
// replaced that file.
func program(pid int) string {
	exe, _ := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "exe"))
	return strings.TrimSuffix(filepath.Base(exe), " (deleted)")
}

// dropStalePID removes a PostgreSQL lock file whose process number now belongs to
// a living process that has nothing to do with dir: the server would take that
// stranger for itself and never start. It copes with a dead number alone.
func dropStalePID(file, dir string) error {
	b, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return nil // an unreadable one is the server's to judge
	}
	cwd, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
	if err != nil || cwd == dir || strings.HasPrefix(cwd, dir+"/") {
		return nil
	}
	return os.Remove(file)
}
