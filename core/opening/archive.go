package opening

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"vaguemestre/core"
)

// archiveLimits bound what an attached archive may hold (SEC-60).
type archiveLimits struct {
	files int   // documents in it; folders and what systems leave behind do not count
	bytes int64 // unpacked, all together
	ratio int64 // unpacked to packed, of each file above a mebibyte
}

var defaultArchive = archiveLimits{files: 100, bytes: 200 << 20, ratio: 100}

const (
	maxDirectory = 2 << 20 // bytes of an archive's directory, which is read into memory
	smallFile    = 1 << 20 // up to which the ratio is not looked at: a white scan packs well
)

// errNoArchive: the zip is an office document, an e-book or a program. Its entries are
// not what was meant to be sent; it is, whole.
var errNoArchive = errors.New("a zip file, but no archive")

// isZip reports whether a file is a zip by how it begins, for which four bytes are
// enough. Whether it is an archive of documents, unpack finds out.
func isZip(head []byte) bool {
	return len(head) >= 4 && (string(head[:4]) == "PK\x03\x04" || string(head[:4]) == "PK\x05\x06")
}

// unpack hands every file of the zip archive in r to each, in the order of the archive,
// as a part with Via core.ViaZIP. An archive in the archive is a file like another, and
// so is an empty file. Names are decoded, and the last element of their path.
//
// It unpacks everything twice: first to see that it can be, within the limits, then to
// deliver. So a *core.Refusal concerns the archive as a whole, and nothing was delivered
// before it; neither was before errNoArchive. An error of each ends the unpacking and is
// returned as it is; any other error is one of r or of ctx.
func unpack(ctx context.Context, r io.ReaderAt, size int64, limits archiveLimits, each func(core.Part) error) error {
	a := archive{r: r, size: size, limits: limits}
	files, err := a.open()
	if err != nil {
		return a.blame(err)
	}
	var total int64
	for _, f := range files {
		n, err := a.try(ctx, f, limits.bytes-total)
		if total += n; err != nil {
			return a.blame(err)
		}
	}
	for _, f := range files {
		body, err := f.Open()
		if err != nil {
			return a.blame(err)
		}
		err = each(core.Part{Name: entryName(f), Type: "application/octet-stream", Via: core.ViaZIP, Body: body})
		body.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// archive is one unpacking under way. It reads through itself, to tell errors of the
// store, after which one tries again, from those of the archive.
type archive struct {
	r      io.ReaderAt
	size   int64
	limits archiveLimits
	failed error // of r
}

func (a *archive) ReadAt(p []byte, off int64) (int, error) {
	n, err := a.r.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) && a.failed == nil {
		a.failed = err
	}
	return n, err
}

// blame says whose an error is: the store's, ours, or of the archive, which is damaged.
func (a *archive) blame(err error) error {
	var refusal *core.Refusal
	switch {
	case a.failed != nil:
		return fmt.Errorf("read archive: %w", a.failed)
	case errors.As(err, &refusal), errors.Is(err, errNoArchive), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return refuseDamagedArchive
}

// open reads the directory and gives the files that are documents.
func (a *archive) open() ([]*zip.File, error) {
	directory, err := a.directory()
	if err != nil {
		return nil, err
	}
	z, err := zip.NewReader(a, a.size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // names are never paths here
		return nil, err
	}
	if isDocument(z.File) {
		return nil, errNoArchive
	}
	if err := a.apart(z.File, directory); err != nil {
		return nil, err
	}
	files := slices.DeleteFunc(z.File, isLeftover)
	switch {
	case len(files) == 0:
		return nil, refuseEmptyArchive
	case len(files) > a.limits.files:
		return nil, refuseArchiveFiles(a.limits.files)
	}
	for _, f := range files {
		switch {
		case f.Flags&0x1 != 0, f.Flags&0x2000 != 0, f.Method == 99: // APPNOTE 4.4.4, 4.4.5
			return nil, refuseEncryptedArchive
		case f.Method != zip.Store && f.Method != zip.Deflate:
			return nil, refuseArchiveMethod
		}
	}
	return files, nil
}

// try unpacks a file to nowhere, room bytes at most.
func (a *archive) try(ctx context.Context, f *zip.File, room int64) (int64, error) {
	body, err := f.Open()
	if err != nil {
		return 0, err
	}
	defer body.Close()
	dense := max(smallFile, a.limits.ratio*int64(f.CompressedSize64))
	buf := make([]byte, 32<<10)
	for n := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		read, err := body.Read(buf)
		switch n += int64(read); {
		case n > room:
			return n, refuseArchiveSize(a.limits.bytes)
		case n > dense:
			return n, refuseArchiveDense
		case errors.Is(err, io.EOF):
			return n, nil
		case err != nil:
			return n, err
		}
	}
}

// apart reports whether the entries lie one after another from the very beginning, none
// in another: an archive whose entries share bytes unpacks to far more than it holds, and
// one with something before it is also something else.
func (a *archive) apart(files []*zip.File, directory int64) error {
	type span struct{ name, start, end int64 }
	spans := make([]span, len(files))
	for i, f := range files {
		start, err := f.DataOffset()
		if err != nil {
			return err
		}
		if start < 0 || f.CompressedSize64 > uint64(a.size) || start+int64(f.CompressedSize64) > directory {
			return refuseDamagedArchive
		}
		spans[i] = span{start - 30 - int64(len(f.Name)), start, start + int64(f.CompressedSize64)}
	}
	slices.SortFunc(spans, func(x, y span) int { return cmp.Compare(x.start, y.start) })
	var end int64
	for _, s := range spans {
		if s.name < end {
			return refuseMixedArchive
		}
		end = s.end
	}
	if len(spans) == 0 {
		return nil
	}
	first := make([]byte, 30) // the local header (APPNOTE 4.3.7)
	if _, err := a.ReadAt(first, 0); err != nil {
		return err
	}
	if !isZip(first) || 30+int64(binary.LittleEndian.Uint16(first[26:]))+int64(binary.LittleEndian.Uint16(first[28:])) != spans[0].start {
		return refuseMixedArchive
	}
	return nil
}

// directory reports where the directory at the end of the archive begins. It is looked
// at before the library does, which reads as many entries as there are.
func (a *archive) directory() (int64, error) {
	d, err := a.ending()
	switch {
	case err != nil:
		return 0, err
	case d.entries < 0 || d.size < 0 || d.start < 0 || d.start > d.stop || d.size > d.stop-d.start:
		return 0, refuseDamagedArchive
	case d.start+d.size != d.stop: // what is counted from is not the beginning of the file
		return 0, refuseMixedArchive
	case d.size > maxDirectory:
		return 0, refuseArchiveFiles(a.limits.files)
	case d.entries > d.size/46:
		return 0, refuseDamagedArchive
	}
	return d.start, nil
}

// ending is what the end of an archive says of its directory.
type ending struct {
	entries, size, start int64
	stop                 int64 // where the directory has to end
}

// ending finds the end of the archive (APPNOTE 4.3.16), as the library does: the last
// there is. Nothing but blanks may follow it.
func (a *archive) ending() (ending, error) {
	tail := make([]byte, min(a.size, 65<<10))
	if _, err := a.ReadAt(tail, a.size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return ending{}, err
	}
	at := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	if at < 0 || len(tail)-at < 22 {
		return ending{}, refuseDamagedArchive
	}
	end, le := tail[at:], binary.LittleEndian
	switch comment := 22 + int(le.Uint16(end[20:])); {
	case comment > len(end):
		return ending{}, refuseDamagedArchive
	case len(bytes.Trim(end[comment:], "\x00\r\n\t ")) != 0:
		return ending{}, refuseMixedArchive
	}
	d := ending{int64(le.Uint16(end[10:])), int64(le.Uint32(end[12:])), int64(le.Uint32(end[16:])), a.size - int64(len(end))}
	wide := wideEnd(tail[:at], d.stop)
	d.stop -= int64(len(wide))
	switch told := d.entries == 0xffff || d.size == 0xffff || d.size == 0xffffffff || d.start == 0xffffffff; {
	case told && wide != nil: // the zip64 end says it
		d.entries, d.size, d.start = int64(le.Uint64(wide[32:])), int64(le.Uint64(wide[40:])), int64(le.Uint64(wide[48:]))
	case told && d.size != 0xffff:
		return ending{}, refuseDamagedArchive
	}
	return d, nil
}

// wideEnd is the end of directory of zip64 and its locator (APPNOTE 4.3.14, 4.3.15), if
// they stand where b ends, which is at stop in the archive; else nil. A locator that
// points anywhere else is not followed.
func wideEnd(b []byte, stop int64) []byte {
	const size = 56 + 20
	if len(b) < size {
		return nil
	}
	b = b[len(b)-size:]
	locator := binary.LittleEndian.AppendUint64([]byte("PK\x06\x07\x00\x00\x00\x00"), uint64(stop-size))
	locator = binary.LittleEndian.AppendUint32(locator, 1)
	if string(b[:4]) != "PK\x06\x06" || !bytes.Equal(b[56:], locator) {
		return nil
	}
	return b
}

// isDocument reports whether the entries are those of a file format that happens to be
// kept in a zip (ECMA-376, OpenDocument, EPUB, iWork, Java, Android).
func isDocument(files []*zip.File) bool {
	return slices.ContainsFunc(files, func(f *zip.File) bool {
		switch f.Name {
		case "[Content_Types].xml", "mimetype", "META-INF/MANIFEST.MF", "META-INF/manifest.xml", "META-INF/container.xml", "AndroidManifest.xml", "Index/Document.iwa", "Index.zip":
			return true
		}
		return false
	})
}

// isLeftover reports whether an entry is no file that a person put there: a folder, a
// link, or what systems write beside files.
func isLeftover(f *zip.File) bool {
	name := strings.ReplaceAll(f.Name, `\`, "/")
	if strings.HasSuffix(name, "/") || !f.Mode().IsRegular() {
		return true
	}
	base := path.Base(name)
	switch strings.ToLower(base) {
	case ".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini":
		return true
	}
	return strings.HasPrefix(base, "._") || slices.Contains(strings.Split(name, "/"), "__MACOSX")
}
