package blob

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"vaguemestre/core"
)

func folder(t *testing.T) (*Folder, string) {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	root = filepath.Join(root, "blobs")
	f, err := OpenFolder(root)
	if err != nil {
		t.Fatal(err)
	}
	return f, root
}

func TestREL18_Folder(t *testing.T) {
	f, root := folder(t)
	contract(t, f)
	for path, mode := range modes(t, root) {
		if mode.Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, mode)
		}
	}
}

// modes lists all that is below root.
func modes(t *testing.T, root string) map[string]fs.FileMode {
	t.Helper()
	all := map[string]fs.FileMode{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		all[path] = info.Mode()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// files lists the files below root, whatever they are called.
func files(t *testing.T, root string) (names []string) {
	t.Helper()
	for path, mode := range modes(t, root) {
		if !mode.IsDir() {
			names = append(names, path)
		}
	}
	return names
}

const (
	oneTenant = core.TenantID("11111111-1111-4111-8111-111111111111")
	oneObject = core.ObjectID("abcdefab-2222-4222-8222-222222222222")
)

// putting puts one object under fault and returns the calls it made.
func putting(t *testing.T, f *Folder, root string, object core.ObjectID, fail func(call) syscall.Errno) (calls []call, ref core.Ref, err error) {
	t.Helper()
	calls = underFault(t, root, fail, func() { ref, err = f.Put(t.Context(), oneTenant, object, writer(noise(1000))) })
	return calls, ref, err
}

func nothingFails(call) syscall.Errno { return 0 }

// REL-01: file before folder, and every new folder into its parent; only then does Put
// return.
func TestREL01_FolderSyncsInOrder(t *testing.T) {
	f, root := folder(t)
	dir := string(oneTenant) + "/ab"
	file := dir + "/" + string(oneObject)
	calls, _, err := putting(t, f, root, oneObject, nothingFails)
	if err != nil {
		t.Fatal(err)
	}
	want := []call{
		{"mkdir", string(oneTenant)}, {"open", ""}, {"fsync", ""},
		{"mkdir", dir}, {"open", string(oneTenant)}, {"fsync", string(oneTenant)},
		{"open", file}, {"fsync", file}, {"open", dir}, {"fsync", dir},
	}
	if !slices.Equal(calls, want) {
		t.Errorf("calls %v\nwant %v", calls, want)
	}
	calls, _, err = putting(t, f, root, "ab"+core.NewID[core.ObjectID]()[2:], nothingFails)
	if err != nil || len(calls) != 4 {
		t.Errorf("into a folder that is there: %v, %v", calls, err)
	}
}

// REL-03: whichever call fails, Put says so, nothing can be found, an fsync is not
// tried again on that file, and the next object is as durable as if nothing had been.
func TestREL03_FolderWithEachCallFailing(t *testing.T) {
	f, root := folder(t)
	all, _, err := putting(t, f, root, oneObject, nothingFails)
	if err != nil {
		t.Fatal(err)
	}
	for n, at := range all {
		for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
			f, root := folder(t)
			count := 0
			calls, ref, err := putting(t, f, root, oneObject, func(call) syscall.Errno {
				if count++; count == n+1 {
					return errno
				}
				return 0
			})
			name := at.name + " of " + at.path
			if !errors.Is(err, errno) || ref != "" {
				t.Errorf("%v at %s: %q, %v", errno, name, ref, err)
			}
			if left := files(t, root); len(left) != 0 {
				t.Errorf("%v at %s: left %v", errno, name, left)
			}
			if again := slices.Index(calls[n+1:], at); again >= 0 {
				t.Errorf("%v at %s: tried again: %v", errno, name, calls)
			}
			if _, err := f.Open(t.Context(), core.Ref(string(oneTenant)+"/ab/"+string(oneObject))); !errors.Is(err, core.ErrNotFound) {
				t.Errorf("%v at %s: open gives %v", errno, name, err)
			}
			next := "ab" + core.NewID[core.ObjectID]()[2:]
			after, _, err := putting(t, f, root, next, nothingFails)
			if err != nil {
				t.Errorf("after %v at %s: %v", errno, name, err)
			}
			// A folder that could not be synced into its parent still has to be.
			if synced := append(slices.Clone(calls[:n]), after...); !slices.Contains(synced, call{"fsync", ""}) || !slices.Contains(synced, call{"fsync", string(oneTenant)}) {
				t.Errorf("after %v at %s: a new folder is in no parent for sure: %v then %v", errno, name, calls, after)
			}
		}
	}
}

// REL-03: a write that fails half way, as on a full disk.
func TestREL03_FolderWithWriteFailing(t *testing.T) {
	f, root := folder(t)
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	small := limit
	small.Cur = 8_000_000 // the whole process has it, and the test binary keeps a log of its own
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
		t.Fatal(err)
	}
	ref, err := f.Put(t.Context(), oneTenant, oneObject, writer(noise(10_000_000)))
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, syscall.EFBIG) || ref != "" {
		t.Errorf("put %q, %v", ref, err)
	}
	if left := files(t, root); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	if _, err := f.Put(t.Context(), oneTenant, oneObject, writer(noise(10_000_000))); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// REL-02: what a killed writer left is no object to anyone: Put returned no ref to it, and
// it is listed for the collector when it is old.
func TestREL02_HalfWrittenFiles(t *testing.T) {
	f, root := folder(t)
	whole := put(t, f, oneTenant, oneObject, []byte("whole"))
	dir := filepath.Dir(filepath.Join(root, string(whole)))
	now := time.Now()
	for name, age := range map[string]time.Duration{"abandoned": 25 * time.Hour, "underway": time.Hour} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	want := []core.Ref{core.Ref(string(oneTenant) + "/ab/abandoned")}
	if got := old(t, f, oneTenant, now.Add(-24*time.Hour)); !slices.Equal(got, want) {
		t.Errorf("older than a day: %v, want %v", got, want)
	}
}

// A ref is a row's word: whatever it says, nothing outside the folder is touched.
func TestRefsStayInside(t *testing.T) {
	f, root := folder(t)
	outside := filepath.Join(filepath.Dir(root), "outside")
	if err := os.WriteFile(outside, []byte("not ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []core.Ref{"../outside", "a/../../outside", core.Ref(outside), "/", "", ".."} {
		if r, err := f.Open(t.Context(), ref); err == nil {
			b, _ := io.ReadAll(r)
			t.Errorf("%q gives %q", ref, b)
		}
		if err := f.Delete(t.Context(), ref); err == nil {
			t.Errorf("%q was deleted", ref)
		}
	}
	if _, err := f.Put(t.Context(), "../..", oneObject, writer(nil)); err == nil {
		t.Error("put outside")
	}
	if b, err := os.ReadFile(outside); err != nil || !bytes.Equal(b, []byte("not ours")) {
		t.Errorf("outside: %q, %v", b, err)
	}
}

// The folder may be emptied below a running process: it is made again.
func TestFolderMadeAgain(t *testing.T) {
	f, root := folder(t)
	put(t, f, oneTenant, oneObject, []byte("a"))
	if err := os.RemoveAll(filepath.Join(root, string(oneTenant))); err != nil {
		t.Fatal(err)
	}
	ref := put(t, f, oneTenant, oneObject, []byte("b"))
	if got, err := fetch(t, f, ref); err != nil || string(got) != "b" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestOpenFolderWhereNoneCanBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFolder(filepath.Join(file, "blobs")); err == nil {
		t.Error("a folder was opened below a file")
	}
}
