package image

import (
	"bytes"
	"encoding/binary"
	"fmt"
	stdimage "image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/webp"

	"vaguemestre/core"
)

// header is what a file says of one of its frames.
type header struct {
	width, height int // upright
	frames        int
	orientation   int // EXIF, still to be applied to what the decoder gives; 1 where it does so itself
}

// readHeader reads the headers of one frame (from 0); a frame that is not there, like
// anything that makes no sense, is a damaged picture.
func readHeader(kind core.Kind, file []byte, frame int) (header, error) {
	h := header{frames: 1, orientation: 1}
	switch kind {
	case core.KindTIFF:
		return tiffHeader(file, frame)
	case core.KindHEIC:
		w, hh, ok := heicSize(file)
		h.width, h.height = w, hh
		if !ok {
			return header{}, damaged()
		}
	case core.KindJPEG, core.KindPNG, core.KindGIF, core.KindWebP:
		if err := h.fromConfig(kind, file); err != nil {
			return header{}, err
		}
	default:
		return header{}, fmt.Errorf("read header: %q is not a picture", kind)
	}
	if frame != 0 || h.width <= 0 || h.height <= 0 {
		return header{}, damaged()
	}
	return h, nil
}

// fromConfig reads the kinds whose libraries tell the size without decoding.
func (h *header) fromConfig(kind core.Kind, file []byte) error {
	var config func(io.Reader) (stdimage.Config, error)
	switch kind {
	case core.KindJPEG:
		config, h.orientation = jpeg.DecodeConfig, jpegOrientation(file)
	case core.KindPNG:
		config, h.orientation = png.DecodeConfig, pngOrientation(file)
	case core.KindWebP:
		config, h.orientation = webp.DecodeConfig, webpOrientation(file)
	default:
		config = gif.DecodeConfig
	}
	c, err := config(bytes.NewReader(file))
	if err != nil && status(err) == statusUnsupported {
		return unsupported()
	}
	if err != nil {
		return damaged()
	}
	h.width, h.height = c.Width, c.Height
	if h.orientation >= 5 {
		h.width, h.height = c.Height, c.Width
	}
	return nil
}

// jpegOrientation finds the EXIF block among a JPEG file's segments (CIPA DC-008,
// 4.7.2), before its first scan.
func jpegOrientation(file []byte) int {
	const app1, startOfScan, endOfImage = 0xe1, 0xda, 0xd9
	for at := 2; at+4 <= len(file); {
		if file[at] != 0xff {
			return 1
		}
		marker := file[at+1]
		if marker == 0xff { // fill byte
			at++
			continue
		}
		if marker == startOfScan || marker == endOfImage {
			return 1
		}
		end := at + 2 + int(binary.BigEndian.Uint16(file[at+2:]))
		if end < at+4 || end > len(file) {
			return 1
		}
		if exif, ok := bytes.CutPrefix(file[at+4:end], []byte("Exif\x00\x00")); ok && marker == app1 {
			return exifOrientation(exif)
		}
		at = end
	}
	return 1
}

// pngOrientation looks for the eXIf chunk, which may come after the picture (PNG,
// third edition, 11.3.4.6).
func pngOrientation(file []byte) int {
	for at := 8; at+8 <= len(file); {
		size := int64(binary.BigEndian.Uint32(file[at:]))
		end := int64(at) + 12 + size
		if end > int64(len(file)) {
			return 1
		}
		if string(file[at+4:at+8]) == "eXIf" {
			return exifOrientation(file[at+8 : end-4])
		}
		at = int(end)
	}
	return 1
}

// webpOrientation looks for the EXIF chunk of an extended WebP file (RFC 9649, 2.7).
// Some writers keep JPEG's prefix in it.
func webpOrientation(file []byte) int {
	for at := 12; at+8 <= len(file); {
		size := int64(binary.LittleEndian.Uint32(file[at+4:]))
		end := int64(at) + 8 + size
		if end > int64(len(file)) {
			return 1
		}
		if string(file[at:at+4]) == "EXIF" {
			return exifOrientation(bytes.TrimPrefix(file[at+8:end], []byte("Exif\x00\x00")))
		}
		at = int(end + size&1)
	}
	return 1
}

// exifOrientation reads the orientation of an EXIF block, which is a small TIFF file;
// 1 (upright) when it has none or makes no sense.
func exifOrientation(exif []byte) int {
	t, first, ok := openTIFF(exif)
	if !ok {
		return 1
	}
	dir, _, ok := t.directory(first)
	if !ok {
		return 1
	}
	return dir.orientation()
}
