package blob

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"vaguemestre/core"
)

// A segment is a file that holds many bodies, each behind a head of its own. Its ref is
// core.InSegment, tenant "/" segment; that of a body in it adds "/" offset "/" length.
type segmentRef struct {
	tenant, id     string
	offset, length int64 // of the head; of the sealed bytes behind it
	whole          bool
}

// segmentsIn is the folder of a tenant's segments, beside those named by two characters.
const segmentsIn = "segments"

// A head says that a body begins here, and how long it is: whoever was deleted has none,
// and a ref that leads elsewhere than to a body finds none.
const (
	headMark = "vm\x00\x01"
	headSize = len(headMark) + 4
)

func head(length int) []byte {
	return binary.BigEndian.AppendUint32([]byte(headMark), uint32(length))
}

// isSegment reports whether a ref is of a segment, or of a body in one.
func isSegment(ref core.Ref) bool { return strings.HasPrefix(string(ref), core.InSegment) }

// parseSegment reads a ref, which is a row's word: nothing is taken from it but ids and
// numbers, in the one way that we write them.
func parseSegment(ref core.Ref) (segmentRef, error) {
	name, _ := strings.CutPrefix(string(ref), core.InSegment)
	f := strings.Split(name, "/")
	if len(f) != 2 && len(f) != 4 || !isID(f[0]) || !isID(f[1]) {
		return segmentRef{}, errors.New("ref of no segment")
	}
	r := segmentRef{tenant: f[0], id: f[1], whole: len(f) == 2}
	if !r.whole {
		offset, err := strconv.ParseUint(f[2], 10, 40)
		length, err2 := strconv.ParseUint(f[3], 10, 32)
		if err != nil || err2 != nil {
			return segmentRef{}, errors.New("ref of no part of a segment")
		}
		r.offset, r.length = int64(offset), int64(length)
	}
	if r.ref() != ref {
		return segmentRef{}, errors.New("ref of a segment in a form that is not ours")
	}
	return r, nil
}

func (r segmentRef) ref() core.Ref {
	if r.whole {
		return core.Ref(core.InSegment + r.tenant + "/" + r.id)
	}
	return core.Ref(fmt.Sprintf("%s%s/%s/%d/%d", core.InSegment, r.tenant, r.id, r.offset, r.length))
}

// isID reports the characters of our ids: none leads out of a folder.
func isID(s string) bool {
	return s != "" && strings.Trim(s, "0123456789abcdef-") == ""
}

// find opens the segment of a body whose ref is given; core.ErrNotFound when either is
// not there.
func (f *Folder) find(r segmentRef, mode int) (*os.File, error) {
	file, err := os.OpenFile(f.segmentPath(r.tenant, r.id), mode, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, core.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	if err := r.in(file); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// in looks whether the body is in the segment, from its head to its end.
func (r segmentRef) in(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.Size() < r.offset+int64(headSize)+r.length {
		return core.ErrNotFound
	}
	var got [headSize]byte
	if _, err := file.ReadAt(got[:], r.offset); err != nil {
		return err
	}
	if string(got[:]) != string(head(int(r.length))) {
		return core.ErrNotFound
	}
	return nil
}

func (f *Folder) segmentPath(tenant, id string) string {
	return filepath.Join(f.root, tenant, segmentsIn, id)
}

// openPart streams a body of a segment.
func (f *Folder) openPart(ref core.Ref) (io.ReadCloser, error) {
	r, err := parseSegment(ref)
	if err != nil {
		return nil, err
	}
	if r.whole {
		return nil, core.ErrNotFound
	}
	file, err := f.find(r, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(file, r.offset+int64(headSize), r.length), file}, nil
}

// deletePart forgets a body of a segment: a hole is made where it was, and the disk has
// its room again. Where the file system makes no holes zeros are written over it, and the
// room is free when the segment goes. Neither is synced: after a power cut the bytes may
// be there again, without a row or a key. A whole segment goes as a file does.
func (f *Folder) deletePart(ref core.Ref) error {
	r, err := parseSegment(ref)
	if err != nil {
		return err
	}
	if r.whole {
		if err := os.Remove(f.segmentPath(r.tenant, r.id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delete segment: %w", err)
		}
		return nil
	}
	file, err := f.find(r, os.O_RDWR)
	if errors.Is(err, core.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete from segment: %w", err)
	}
	defer file.Close()
	size := int64(headSize) + r.length
	err = unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, r.offset, size)
	if errors.Is(err, unix.EOPNOTSUPP) {
		_, err = io.CopyN(io.NewOffsetWriter(file, r.offset), zeros{}, size)
	}
	if err != nil {
		return fmt.Errorf("delete from segment: %w", err)
	}
	return nil
}

// zeros gives zeros without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// refOf is the ref of a file below the root.
func refOf(rel string) core.Ref {
	if f := strings.Split(filepath.ToSlash(rel), "/"); len(f) == 3 && f[1] == segmentsIn {
		return segmentRef{tenant: f[0], id: f[2], whole: true}.ref()
	}
	return core.Ref(filepath.ToSlash(rel))
}
