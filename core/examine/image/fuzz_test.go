package image

import (
	"bytes"
	"encoding/binary"
	stdimage "image"
	"testing"

	"golang.org/x/image/tiff"

	"vaguemestre/core"
)

// FuzzOrientation: whatever stands where EXIF should, the answer is one of eight.
func FuzzOrientation(f *testing.F) {
	plain := asJPEG(f, sheet(16, 8))
	f.Add(withEXIF(f, core.KindJPEG, plain, exifBlock(6)))
	f.Add(withEXIF(f, core.KindPNG, asPNG(f, sheet(16, 8)), exifBlock(3)))
	f.Add([]byte("RIFF\x00\x00\x00\x00WEBPEXIF\x04\x00\x00\x00II*\x00"))
	f.Add([]byte("\xff\xd8\xff\xff\xff\xff"))
	f.Add(exifBlock(8))
	f.Fuzz(func(t *testing.T, b []byte) {
		for i, read := range []func([]byte) int{jpegOrientation, pngOrientation, webpOrientation, exifOrientation} {
			if o := read(b); o < 1 || o > 8 {
				t.Errorf("reader %d says %d", i, o)
			}
		}
	})
}

// FuzzHEICSize: sizes are positive, or there are none.
func FuzzHEICSize(f *testing.F) {
	file := asHEIC(f, asJPEG(f, sheet(16, 16)))
	f.Add(file)
	f.Add(file[:bytes.Index(file, []byte("mdat"))])
	f.Add([]byte("\x00\x00\x00\x01meta\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, h, ok := heicSize(b)
		if ok && (w <= 0 || h <= 0 || w >= 1<<31 || h >= 1<<31) {
			t.Errorf("%dx%d", w, h)
		}
	})
}

// FuzzTIFF: the walk ends, keeps to its bounds, and what it finds can be handed to the
// decoders.
func FuzzTIFF(f *testing.F) {
	f.Add(encoded(f, func(b *bytes.Buffer) error { return tiff.Encode(b, sheet(16, 8), nil) }))
	f.Add(convert(f, "tif", []string{"-compress", "JPEG"}, sheet(16, 8), sheet(8, 8)))
	f.Add(convert(f, "tif", []string{"-compress", "JPEG", "-define", "tiff:tile-geometry=16x16"}, sheet(32, 48)))
	f.Add(convert(f, "tif", []string{"-threshold", "30%", "-compress", "Group4"}, sheet(16, 8)))
	f.Add([]byte("II*\x00\x08\x00\x00\x00\x01\x00\x00\x01\x03\x00\x01\x00\x00\x00\x01\x00\x00\x00\x08\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		pages := tiffPages(b)
		if len(pages) > maxDirectories {
			t.Fatalf("%d pages", len(pages))
		}
		for i, p := range pages[:min(len(pages), 3)] {
			if w, h := p.size(); w <= 0 || h <= 0 {
				t.Errorf("page %d: %dx%d", i, w, h)
			}
			const maxPixels = 4096
			img, err := decode(order{Kind: core.KindTIFF, Frame: i, MaxPixels: maxPixels}, b)
			if err == nil && !fits(img.Bounds().Dx(), img.Bounds().Dy(), maxPixels) {
				t.Errorf("page %d decoded to %v", i, img.Bounds())
			}
		}
	})
}

// TestTIFFWalkEnds: directories that point at one another, or overlap, are walked once.
func TestTIFFWalkEnds(t *testing.T) {
	file := encoded(t, func(b *bytes.Buffer) error { return tiff.Encode(b, stdimage.NewGray(stdimage.Rect(0, 0, 4, 4)), nil) })
	f, first, _ := openTIFF(file)
	end := int(first) + 2 + 12*int(f.order.Uint16(file[first:]))
	f.order.PutUint32(file[end:], first)
	if n := len(tiffPages(file)); n != 1 {
		t.Errorf("a directory that follows itself counts %d times", n)
	}

	// More pages of one pixel than anybody scans.
	chain := []byte("II*\x00\x08\x00\x00\x00")
	for range 2 * maxDirectories {
		chain = append(chain, "\x02\x00\x00\x01\x03\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x01\x03\x00\x01\x00\x00\x00\x01\x00\x00\x00"...)
		chain = binary.LittleEndian.AppendUint32(chain, uint32(len(chain)+4))
	}
	if n := len(tiffPages(chain)); n != maxDirectories {
		t.Errorf("%d pages", n)
	}
}
