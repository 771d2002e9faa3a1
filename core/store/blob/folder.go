// Package blob keeps sealed bytes: in a folder of our own writing, or in S3-compatible
// storage. A Ref is opaque to everyone else.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"vaguemestre/core"
)

// Folder keeps each object in a file of its own, in a folder per tenant and first two
// characters of the object's id. Put returns once file and folder are synced (REL-01).
//
// Append shares syncs instead: bodies lie one behind the other in a segment, a file of
// up to 64 MiB that one process writes.
type Folder struct {
	root    string
	durable sync.Map // folders known to be synced into their parents
	now     func() time.Time

	mu    sync.Mutex
	tails map[core.TenantID]*tail // where this process appends
}

// OpenFolder uses root, making it when missing, readable by its owner alone.
func OpenFolder(root string) (*Folder, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("blob folder: %w", err)
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("blob folder: %w", err)
	}
	if err := syncDir(filepath.Dir(root)); err != nil && !errors.Is(err, fs.ErrPermission) { // others' folder: theirs to keep
		return nil, fmt.Errorf("blob folder: %w", err)
	}
	return &Folder{root: root, now: time.Now, tails: map[core.TenantID]*tail{}}, nil
}

// Put stores what write writes: file, fsync, fsync of its folder. The file has its name
// from the beginning: until Put returns nobody can name it, and whoever was killed half
// way leaves an orphan, which is never read and collected when it is old (REL-02).
// Renaming would cost a second commit of the file system's journal. Any failure is final
// for that file: an fsync is never tried again (REL-03). An object that is there is
// never replaced.
func (f *Folder) Put(ctx context.Context, tenant core.TenantID, object core.ObjectID, write func(io.Writer) error) (core.Ref, error) {
	ref := core.Ref(string(tenant) + "/" + string(object)[:2] + "/" + string(object))
	path, err := f.path(ref)
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(path)
	if err := f.makeDir(dir); err != nil {
		return "", fmt.Errorf("blob folder: %w", err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", fmt.Errorf("create blob: %w", err)
	}
	if err = write(ctxWriter{ctx, file}); err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		os.Remove(path)
		return "", fmt.Errorf("write blob: %w", err)
	}
	if err := syncDir(dir); err != nil {
		os.Remove(path)
		return "", fmt.Errorf("sync blob folder: %w", err)
	}
	return ref, nil
}

// makeDir makes the folder of a blob. Each folder is synced into its parent, or a power
// cut could take it away with all it holds; one that is there need not have been, as
// its maker may have failed or not be that far yet.
func (f *Folder) makeDir(dir string) error {
	if dir == f.root {
		return nil
	}
	if _, ok := f.durable.Load(dir); ok {
		if _, err := os.Stat(dir); err == nil {
			return nil
		}
	}
	parent := filepath.Dir(dir)
	if err := f.makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := syncDir(parent); err != nil {
		return err
	}
	f.durable.Store(dir, true)
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// ctxWriter stops a write when its context has ended.
type ctxWriter struct {
	ctx context.Context
	w   io.Writer
}

func (c ctxWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}

// Open streams a blob; core.ErrNotFound when it is not there.
func (f *Folder) Open(_ context.Context, ref core.Ref) (io.ReadCloser, error) {
	if isSegment(ref) {
		return f.openPart(ref)
	}
	path, err := f.path(ref)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, core.ErrNotFound
	}
	return file, err
}

// Delete forgets a blob; a repeat is no error.
func (f *Folder) Delete(_ context.Context, ref core.Ref) error {
	if isSegment(ref) {
		return f.deletePart(ref)
	}
	path, err := f.path(ref)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete blob: %w", err)
	}
	return nil
}

// Old lists the tenant's blobs last written before a time, those among them that a
// killed Put left half written. Of what lies in a segment it names the segment alone.
func (f *Folder) Old(ctx context.Context, tenant core.TenantID, before time.Time, each func(core.Ref) error) error {
	root := filepath.Join(f.root, string(tenant))
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) || (err == nil && !info.ModTime().Before(before)) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(f.root, path)
		if err != nil {
			return err
		}
		return each(refOf(rel))
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// path keeps a ref inside the root whatever a row says.
func (f *Folder) path(ref core.Ref) (string, error) {
	if !filepath.IsLocal(string(ref)) {
		return "", fmt.Errorf("ref outside the blob folder")
	}
	return filepath.Join(f.root, filepath.FromSlash(string(ref))), nil
}
