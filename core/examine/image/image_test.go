package image

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	stdimage "image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/image/tiff"

	"vaguemestre/core"
	"vaguemestre/core/examine/confine"
)

func TestMain(m *testing.M) {
	confine.Main(Job())
	os.Exit(m.Run())
}

// sheet is white paper with a black mark where its first row begins and a grey one
// where that row ends: whichever way it is turned, the marks tell.
func sheet(w, h int) *stdimage.Gray {
	img := stdimage.NewGray(stdimage.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			v := byte(255)
			if y < h/4 && x < w/4 {
				v = 0
			}
			if y < h/4 && x >= w-w/4 {
				v = 128
			}
			img.Pix[y*img.Stride+x] = v
		}
	}
	return img
}

// corners reads a page's four corners, clockwise from the upper left: b(lack), g(rey)
// or w(hite).
func corners(g *stdimage.Gray) string {
	w, h := g.Rect.Dx(), g.Rect.Dy()
	var s []byte
	for _, p := range [][2]int{{w / 10, h / 10}, {w - 1 - w/10, h / 10}, {w - 1 - w/10, h - 1 - h/10}, {w / 10, h - 1 - h/10}} {
		switch v := g.GrayAt(p[0], p[1]).Y; {
		case v < 30:
			s = append(s, 'b')
		case v > 110 && v < 146:
			s = append(s, 'g')
		case v > 225:
			s = append(s, 'w')
		default:
			s = append(s, '?')
		}
	}
	return string(s)
}

// exifBlock is the least EXIF block with an orientation.
func exifBlock(orientation int) []byte {
	b := []byte("MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01")
	return append(b, 0, byte(orientation), 0, 0, 0, 0, 0, 0)
}

func encoded(t testing.TB, encode func(*bytes.Buffer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asJPEG(t testing.TB, img stdimage.Image) []byte {
	return encoded(t, func(b *bytes.Buffer) error { return jpeg.Encode(b, img, &jpeg.Options{Quality: 92}) })
}

func asPNG(t testing.TB, img stdimage.Image) []byte {
	return encoded(t, func(b *bytes.Buffer) error { return png.Encode(b, img) })
}

// withEXIF puts an EXIF block where each kind keeps it.
func withEXIF(t testing.TB, kind core.Kind, file []byte, exif []byte) []byte {
	t.Helper()
	switch kind {
	case core.KindJPEG:
		segment := append([]byte("\xff\xe1"), binary.BigEndian.AppendUint16(nil, uint16(len(exif)+8))...)
		segment = append(append(segment, "Exif\x00\x00"...), exif...)
		return bytes.Join([][]byte{file[:2], segment, file[2:]}, nil)
	case core.KindPNG:
		chunk := append([]byte("eXIf"), exif...)
		sum := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(chunk))
		size := binary.BigEndian.AppendUint32(nil, uint32(len(exif)))
		return bytes.Join([][]byte{file[:33], size, chunk, sum, file[33:]}, nil)
	case core.KindWebP:
		c, err := readHeader(kind, file, 0)
		if err != nil {
			t.Fatal(err)
		}
		w, h := c.width-1, c.height-1
		const hasEXIF = 8
		extended := []byte{'V', 'P', '8', 'X', 10, 0, 0, 0, hasEXIF, 0, 0, 0,
			byte(w), byte(w >> 8), byte(w >> 16), byte(h), byte(h >> 8), byte(h >> 16)}
		block := append([]byte("EXIF"), binary.LittleEndian.AppendUint32(nil, uint32(len(exif)))...)
		body := bytes.Join([][]byte{[]byte("WEBP"), extended, file[12:], block, exif}, nil)
		return append(append([]byte("RIFF"), binary.LittleEndian.AppendUint32(nil, uint32(len(body)))...), body...)
	}
	t.Fatalf("no EXIF in %s", kind)
	return nil
}

// convert runs ImageMagick over pictures; the result has the kind that ext says.
func convert(t testing.TB, ext string, args []string, pictures ...stdimage.Image) []byte {
	t.Helper()
	dir := t.TempDir()
	var line []string
	for i, p := range pictures {
		name := filepath.Join(dir, fmt.Sprintf("in%d.png", i))
		if err := os.WriteFile(name, asPNG(t, p), 0o600); err != nil {
			t.Fatal(err)
		}
		line = append(line, name)
	}
	return produced(t, filepath.Join(dir, "out."+ext), "convert", append(append(line, args...), filepath.Join(dir, "out."+ext))...)
}

// asHEIC runs libheif's encoder over a JPEG file.
func asHEIC(t testing.TB, file []byte, args ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.jpg"), filepath.Join(dir, "out.heic")
	if err := os.WriteFile(in, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return produced(t, out, "heif-enc", append(args, in, "-o", out)...)
}

func produced(t testing.TB, out, name string, args ...string) []byte {
	t.Helper()
	if said, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, said)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestOrientation follows the definition (CIPA DC-008): which side of the upright
// picture the stored first row is, and which its first column.
func TestOrientation(t *testing.T) {
	d := New(Config{})
	upright := map[int]string{1: "bgww", 2: "gbww", 3: "wwbg", 4: "wwgb", 5: "bwwg", 6: "wbgw", 7: "wgbw", 8: "gwwb"}
	stored := sheet(160, 80)
	files := map[core.Kind][]byte{
		core.KindJPEG: asJPEG(t, stored),
		core.KindPNG:  asPNG(t, stored),
		core.KindWebP: convert(t, "webp", []string{"-quality", "90"}, stored),
		core.KindTIFF: encoded(t, func(b *bytes.Buffer) error { return tiff.Encode(b, stored, nil) }),
	}
	for o := 1; o <= 8; o++ {
		w, h := 160, 80
		if o >= 5 {
			w, h = h, w
		}
		if got := corners(Turn(stored, o)); got != upright[o] {
			t.Errorf("turn %d: %s, want %s", o, got, upright[o])
		}
		for kind, plain := range files {
			if kind != core.KindJPEG && o != 6 {
				continue // one will do: a process each
			}
			t.Run(fmt.Sprintf("%s %d", kind, o), func(t *testing.T) {
				file := orientated(t, kind, plain, o)
				info, err := d.Info(kind, file)
				if want := (Info{w, h, 1}); err != nil || info != want {
					t.Errorf("info %+v, %v; want %+v", info, err, want)
				}
				p, err := d.Decode(t.Context(), kind, file, 0, 0)
				if err != nil {
					t.Fatal(err)
				}
				if got := corners(p.Gray); got != upright[o] || p.Width != w || p.Height != h || p.Gray.Rect != stdimage.Rect(0, 0, w, h) {
					t.Errorf("%s %dx%d %v, want %s %dx%d", got, p.Width, p.Height, p.Gray.Rect, upright[o], w, h)
				}
			})
		}
	}
}

func orientated(t testing.TB, kind core.Kind, file []byte, o int) []byte {
	if kind != core.KindTIFF {
		return withEXIF(t, kind, file, exifBlock(o))
	}
	// The encoder writes none: its entry "photometric interpretation" (262), which
	// comes first after those that count, cannot be spared, so a directory is rebuilt.
	f, first, _ := openTIFF(file)
	n := int(f.order.Uint16(file[first:]))
	entries := file[first+2 : int(first)+2+12*n]
	out := bytes.Clone(file)
	f.order.PutUint32(out[4:], uint32(len(out)))
	out = append(out, 0, 0)
	f.order.PutUint16(out[len(out)-2:], uint16(n+1))
	added := false
	orientation := make([]byte, 12)
	f.order.PutUint16(orientation, tagOrientation)
	f.order.PutUint16(orientation[2:], 3)
	f.order.PutUint32(orientation[4:], 1)
	f.order.PutUint16(orientation[8:], uint16(o))
	for ; len(entries) > 0; entries = entries[12:] {
		if !added && f.order.Uint16(entries) > tagOrientation {
			out, added = append(out, orientation...), true
		}
		out = append(out, entries[:12]...)
	}
	return append(out, 0, 0, 0, 0)
}

// TestSEC60_Kinds decodes every kind and variety that citizens, phones and scanners send.
func TestSEC60_Kinds(t *testing.T) {
	d := New(Config{})
	s := sheet(160, 80)
	glass := stdimage.NewNRGBA(s.Rect) // black all over, transparent where the sheet is white
	deep := stdimage.NewNRGBA64(s.Rect)
	grey16 := stdimage.NewGray16(s.Rect)
	palette := stdimage.NewPaletted(s.Rect, color.Palette{color.White, color.Black, color.Gray{128}})
	for y := range 80 {
		for x := range 160 {
			v := s.GrayAt(x, y).Y
			glass.SetNRGBA(x, y, color.NRGBA{A: 255 - v})
			deep.Set(x, y, color.Gray{v})
			grey16.SetGray16(x, y, color.Gray16{uint16(v) << 8})
			palette.Set(x, y, color.Gray{v})
		}
	}
	args := func(a ...string) []string { return a }
	for _, c := range []struct {
		name string
		kind core.Kind
		file []byte
	}{
		{"grey JPEG", core.KindJPEG, asJPEG(t, s)},
		{"colour JPEG", core.KindJPEG, asJPEG(t, deep)},
		{"progressive JPEG", core.KindJPEG, convert(t, "jpg", args("-interlace", "JPEG"), s)},
		{"CMYK JPEG", core.KindJPEG, convert(t, "jpg", args("-colorspace", "CMYK"), s)},
		{"RGB PNG", core.KindPNG, convert(t, "png", args("-define", "png:color-type=2"), s)},
		{"transparent PNG", core.KindPNG, asPNG(t, glass)},
		{"16-bit PNG", core.KindPNG, asPNG(t, deep)},
		{"16-bit grey PNG", core.KindPNG, asPNG(t, grey16)},
		{"paletted PNG", core.KindPNG, asPNG(t, palette)},
		{"interlaced PNG", core.KindPNG, convert(t, "png", args("-interlace", "PNG"), s)},
		{"GIF", core.KindGIF, encoded(t, func(b *bytes.Buffer) error { return gif.Encode(b, palette, nil) })},
		{"WebP", core.KindWebP, convert(t, "webp", nil, s)},
		{"lossless WebP", core.KindWebP, convert(t, "webp", args("-define", "webp:lossless=true"), s)},
		{"transparent WebP", core.KindWebP, convert(t, "webp", nil, glass)},
		{"TIFF", core.KindTIFF, convert(t, "tif", args("-compress", "None"), s)},
		{"big-endian TIFF", core.KindTIFF, convert(t, "tif", args("-compress", "LZW", "-define", "tiff:endian=msb"), s)},
		{"deflated TIFF", core.KindTIFF, convert(t, "tif", args("-compress", "Zip"), s)},
		{"16-bit RGB TIFF", core.KindTIFF, convert(t, "tif", args("-depth", "16", "-type", "TrueColor", "-compress", "LZW"), s)},
		{"JPEG in TIFF", core.KindTIFF, convert(t, "tif", args("-compress", "JPEG", "-quality", "92", "-define", "tiff:rows-per-strip=16"), deep)},
		{"grey JPEG in TIFF", core.KindTIFF, convert(t, "tif", args("-compress", "JPEG", "-quality", "92", "-type", "Grayscale"), s)},
		{"tiled JPEG in TIFF", core.KindTIFF, convert(t, "tif", args("-compress", "JPEG", "-quality", "92", "-define", "tiff:tile-geometry=64x64"), deep)},
		{"RGB JPEG in TIFF", core.KindTIFF, convert(t, "tif", args("-compress", "JPEG", "-quality", "92", "-type", "TrueColor", "-sampling-factor", "1x1"), deep)},
		{"HEIC", core.KindHEIC, asHEIC(t, asJPEG(t, s))},
	} {
		t.Run(c.name, func(t *testing.T) {
			info, err := d.Info(c.kind, c.file)
			if want := (Info{160, 80, 1}); err != nil || info != want {
				t.Errorf("info %+v, %v; want %+v", info, err, want)
			}
			p, err := d.Decode(t.Context(), c.kind, c.file, 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			if got := corners(p.Gray); got != "bgww" || p.Gray.Rect.Dx() != 160 || p.Gray.Rect.Dy() != 80 {
				t.Errorf("%s %v", got, p.Gray.Rect)
			}
		})
	}
}

// TestPagesOfTIFF: a scan without grey, of several pages of different sizes.
func TestPagesOfTIFF(t *testing.T) {
	d := New(Config{})
	file := convert(t, "tif", []string{"-threshold", "30%", "-compress", "Group4"}, sheet(160, 80), sheet(80, 200), sheet(400, 400))
	info, err := d.Info(core.KindTIFF, file)
	if want := (Info{160, 80, 3}); err != nil || info != want {
		t.Errorf("info %+v, %v; want %+v", info, err, want)
	}
	for i, want := range []stdimage.Rectangle{stdimage.Rect(0, 0, 160, 80), stdimage.Rect(0, 0, 80, 200), stdimage.Rect(0, 0, 400, 400)} {
		p, err := d.Decode(t.Context(), core.KindTIFF, file, i, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := corners(p.Gray); got != "bwww" || p.Gray.Rect != want {
			t.Errorf("page %d: %s %v, want %v", i, got, p.Gray.Rect, want)
		}
	}
	refusal(t, "damaged_image")(d.Decode(t.Context(), core.KindTIFF, file, 3, 0))
}

// TestHEICOrientation: libheif turns as the file's properties say, and what it turned
// must not be turned again; an EXIF remark does not count.
func TestHEICOrientation(t *testing.T) {
	d := New(Config{})
	const mark = 6
	plain := asHEIC(t, withEXIF(t, core.KindJPEG, asJPEG(t, coloured(sheet(160, 80))), exifBlock(mark)))
	for _, c := range []struct {
		property string
		value    byte
		want     string
	}{{"pixi", 0, "bgww"}, {"irot", 0, "bgww"}, {"irot", 1, "gwwb"}, {"irot", 2, "wwbg"}, {"irot", 3, "wbgw"}, {"imir", 1, "gbww"}} {
		t.Run(fmt.Sprint(c.property, c.value), func(t *testing.T) {
			// The property "pixi" (bits of each channel) can be spared.
			file := bytes.Clone(plain)
			at := bytes.Index(file, []byte("pixi"))
			if c.property != "pixi" {
				copy(file[at:], c.property)
				file[at+4] = c.value
			}
			w, h := 160, 80
			if c.property == "irot" && c.value&1 == 1 {
				w, h = h, w
			}
			info, err := d.Info(core.KindHEIC, file)
			if want := (Info{w, h, 1}); err != nil || info != want {
				t.Errorf("info %+v, %v; want %+v", info, err, want)
			}
			p, err := d.Decode(t.Context(), core.KindHEIC, file, 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			if got := corners(p.Gray); got != c.want || p.Width != w || p.Height != h {
				t.Errorf("%s %dx%d, want %s %dx%d", got, p.Width, p.Height, c.want, w, h)
			}
		})
	}
}

// coloured is the same picture with a hint of colour, so that encoders keep three
// channels.
func coloured(g *stdimage.Gray) stdimage.Image {
	img := stdimage.NewNRGBA(g.Rect)
	for i, v := range g.Pix {
		img.Pix[4*i], img.Pix[4*i+1], img.Pix[4*i+2], img.Pix[4*i+3] = v, v, v-v/16, 255
	}
	return img
}

// TestHEICOddSize: a picture with odd sides is made of tiles.
func TestHEICOddSize(t *testing.T) {
	d := New(Config{})
	file := asHEIC(t, asJPEG(t, coloured(sheet(161, 83))))
	info, err := d.Info(core.KindHEIC, file)
	if want := (Info{161, 83, 1}); err != nil || info != want {
		t.Errorf("info %+v, %v; want %+v", info, err, want)
	}
	p, err := d.Decode(t.Context(), core.KindHEIC, file, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := corners(p.Gray); got != "bgww" || p.Width != 161 || p.Height != 83 {
		t.Errorf("%s %dx%d", got, p.Width, p.Height)
	}
}

func TestMaxSide(t *testing.T) {
	d := New(Config{})
	file := withEXIF(t, core.KindJPEG, asJPEG(t, sheet(1600, 900)), exifBlock(6))
	for maxSide, want := range map[int]stdimage.Rectangle{
		0: stdimage.Rect(0, 0, 900, 1600), 5000: stdimage.Rect(0, 0, 900, 1600),
		1600: stdimage.Rect(0, 0, 900, 1600), 777: stdimage.Rect(0, 0, 437, 777), 1: stdimage.Rect(0, 0, 1, 1),
	} {
		p, err := d.Decode(t.Context(), core.KindJPEG, file, 0, maxSide)
		if err != nil {
			t.Fatal(err)
		}
		if p.Gray.Rect != want || p.Width != 900 || p.Height != 1600 {
			t.Errorf("%d: %v of %dx%d, want %v", maxSide, p.Gray.Rect, p.Width, p.Height, want)
		}
		if got := corners(p.Gray); maxSide != 1 && got != "wbgw" {
			t.Errorf("%d: %s", maxSide, got)
		}
	}
}

// TestShrinkKeepsTheMean: averaging loses no ink.
func TestShrinkKeepsTheMean(t *testing.T) {
	src := stdimage.NewGray(stdimage.Rect(0, 0, 331, 257))
	sum := 0
	for i := range src.Pix {
		src.Pix[i] = byte(i*7919>>3) % 200
		sum += int(src.Pix[i])
	}
	want := float64(sum) / float64(len(src.Pix))
	for _, side := range []int{330, 166, 100, 17, 1} {
		g := shrink(greyRows(src), side)
		sum := 0
		for _, v := range g.Pix {
			sum += int(v)
		}
		if got := float64(sum) / float64(len(g.Pix)); got < want-1 || got > want+1 {
			t.Errorf("to %d: mean %.2f, was %.2f", side, got, want)
		}
	}
}

// refusal returns a check that a Decode was refused with code, in French.
func refusal(t *testing.T, code string) func(Page, error) {
	t.Helper()
	return func(p Page, err error) {
		t.Helper()
		var r *core.Refusal
		if !errors.As(err, &r) || r.Code != code || !strings.Contains(r.Reason, "Cette ") || p.Gray != nil {
			t.Errorf("got %v, want refusal %s", err, code)
		}
	}
}

func TestRefusals(t *testing.T) {
	d := New(Config{MaxPixels: 100_000})
	jpg, heif := asJPEG(t, sheet(160, 80)), asHEIC(t, asJPEG(t, sheet(160, 80)))
	bomb := asPNG(t, sheet(160, 80))
	binary.BigEndian.PutUint32(bomb[16:], 30_000)
	binary.BigEndian.PutUint32(bomb[20:], 30_000)
	binary.BigEndian.PutUint32(bomb[29:], crc32.ChecksumIEEE(bomb[12:29]))
	for _, c := range []struct {
		name, code string
		kind       core.Kind
		file       []byte
	}{
		{"nothing", "damaged_image", core.KindJPEG, nil},
		{"half a JPEG", "damaged_image", core.KindJPEG, jpg[:len(jpg)/2]},
		{"half a HEIC", "damaged_image", core.KindHEIC, heif[:len(heif)-40]},
		{"the head of a HEIC", "damaged_image", core.KindHEIC, heif[:100]},
		{"a JPEG called TIFF", "damaged_image", core.KindTIFF, jpg},
		{"a PNG bomb", "image_too_large", core.KindPNG, bomb},
		{"too many pixels", "image_too_large", core.KindJPEG, asJPEG(t, sheet(400, 300))},
		{"fax TIFF", "unsupported_image", core.KindTIFF, convert(t, "tif", []string{"-threshold", "30%", "-compress", "Fax"}, sheet(160, 80))},
		{"grey HEIC of tiles", "unsupported_image", core.KindHEIC, asHEIC(t, asJPEG(t, sheet(161, 83)))},
		{"CMYK TIFF", "unsupported_image", core.KindTIFF, convert(t, "tif", []string{"-colorspace", "CMYK", "-compress", "LZW"}, sheet(160, 80))},
	} {
		t.Run(c.name, func(t *testing.T) {
			refusal(t, c.code)(d.Decode(t.Context(), c.kind, c.file, 0, 0))
		})
	}
	if _, err := d.Info(core.KindPDF, nil); err == nil {
		t.Error("a PDF passed for a picture")
	}
	refusal(t, "damaged_image")(d.Decode(t.Context(), core.KindJPEG, jpg, 1, 0))
}

// TestLyingHEIC: a HEIC file that claims to be small is bounded by what it decodes to.
func TestLyingHEIC(t *testing.T) {
	d := New(Config{MaxPixels: 100_000})
	file := asHEIC(t, asJPEG(t, sheet(640, 480)))
	at := bytes.Index(file, []byte("ispe"))
	binary.BigEndian.PutUint32(file[at+8:], 16)
	binary.BigEndian.PutUint32(file[at+12:], 16)
	if info, err := d.Info(core.KindHEIC, file); err != nil || info.Width != 16 {
		t.Fatalf("the lie did not pass: %+v, %v", info, err)
	}
	if p, err := d.Decode(t.Context(), core.KindHEIC, file, 0, 0); err == nil && p.Width*p.Height > 100_000 {
		t.Errorf("decoded to %dx%d", p.Width, p.Height)
	}
}

// TestMemoryIsBounded: what decodes to more than the child may have is refused, and
// takes nothing of this process.
func TestMemoryIsBounded(t *testing.T) {
	d := New(Config{Memory: 64 << 20})
	img := stdimage.NewNRGBA64(stdimage.Rect(0, 0, 5000, 5000)) // 200 MB
	start := time.Now()
	refusal(t, "image_too_large")(d.Decode(t.Context(), core.KindPNG, asPNG(t, img), 0, 100))
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestDecodeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(Config{}).Decode(ctx, core.KindJPEG, asJPEG(t, sheet(16, 16)), 0, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestSEC61_BrokenAnswers: the child is not believed (SEC-61).
func TestSEC61_BrokenAnswers(t *testing.T) {
	o := order{MaxPixels: 100, MaxSide: 5}
	answer := func(n int, numbers ...uint32) []byte {
		b := []byte{statusDone}
		for _, v := range numbers {
			b = binary.BigEndian.AppendUint32(b, v)
		}
		return append(b, make([]byte, n)...)
	}
	if p, err := o.decodeAnswer(answer(25, 10, 10, 5, 5)); err != nil || p.Gray.Rect.Dx() != 5 {
		t.Fatalf("an honest answer: %v", err)
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "head only": answer(0, 10, 10), "too few rows": answer(24, 10, 10, 5, 5), "too many": answer(26, 10, 10, 5, 5),
		"too large": answer(25, 1000, 1000, 5, 5), "huge": answer(0, 1<<32-1, 1<<32-1, 1<<32-1, 1<<32-1), "no pixels": answer(0, 0, 0, 0, 0),
		"not shrunk": answer(100, 10, 10, 10, 10), "unknown status": {'?'},
	} {
		if _, err := o.decodeAnswer(b); err == nil {
			t.Errorf("%s was believed", name)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	photo := stdimage.NewYCbCr(stdimage.Rect(0, 0, 4032, 3024), stdimage.YCbCrSubsampleRatio420)
	for i := range photo.Y {
		photo.Y[i] = byte(180 + i*2654435761>>24%40)
	}
	jpg := asJPEG(b, photo)
	for _, c := range []struct {
		kind core.Kind
		file []byte
	}{{core.KindJPEG, jpg}, {core.KindHEIC, asHEIC(b, jpg)}} {
		b.Run(string(c.kind), func(b *testing.B) {
			for b.Loop() {
				if _, err := New(Config{}).Decode(b.Context(), c.kind, c.file, 0, 2340); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(string(c.kind)+" info", func(b *testing.B) {
			for b.Loop() {
				if _, err := New(Config{}).Info(c.kind, c.file); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
