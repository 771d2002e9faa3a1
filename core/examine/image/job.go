package image

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	stdimage "image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"runtime/debug"

	"github.com/gen2brain/heic"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"

	"vaguemestre/core"
	"vaguemestre/core/examine/confine"
)

const jobName = "image"

// Job is the decoding that runs in the confined child.
func Job() confine.Job { return confine.Job{Name: jobName, Run: work} }

// order is what the child is told: one line of JSON, then Size bytes of file.
type order struct {
	Kind        core.Kind `json:"kind"`
	Frame       int       `json:"frame"`
	MaxSide     int       `json:"max_side"`
	MaxPixels   int       `json:"max_pixels"`
	Orientation int       `json:"orientation"` // EXIF, 1 to 8
	Size        int       `json:"size"`
}

func (o order) encode(file []byte) (io.Reader, error) {
	o.Size = len(file)
	line, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("encode order: %w", err)
	}
	return io.MultiReader(bytes.NewReader(line), bytes.NewReader([]byte{'\n'}), bytes.NewReader(file)), nil
}

// The child answers with one status byte and four big-endian 32-bit numbers (width and
// height of the upright original, width and height of the page), then the grey page,
// row by row. It is not believed: the parent checks every number.
const answerSize = 1 + 4*4

const (
	statusDone        = 'd'
	statusDamaged     = 'x'
	statusUnsupported = 'u'
	statusTooLarge    = 'l'
)

func (o order) decodeAnswer(out []byte) (Page, error) {
	if len(out) == 0 {
		return Page{}, errors.New("decoder gave no answer")
	}
	switch out[0] {
	case statusDamaged:
		return Page{}, damaged()
	case statusUnsupported:
		return Page{}, unsupported()
	case statusTooLarge:
		return Page{}, tooLarge()
	}
	if out[0] != statusDone || len(out) < answerSize {
		return Page{}, errors.New("decoder gave a broken answer")
	}
	number := func(i int) int { return int(binary.BigEndian.Uint32(out[1+4*i:])) }
	p := Page{Width: number(0), Height: number(1)}
	w, h := number(2), number(3)
	pix := out[answerSize:]
	wantW, wantH := shrunk(p.Width, p.Height, o.MaxSide)
	if !fits(p.Width, p.Height, o.MaxPixels) || w != wantW || h != wantH || len(pix) != w*h {
		return Page{}, errors.New("decoder gave a broken answer")
	}
	p.Gray = &stdimage.Gray{Pix: pix, Stride: w, Rect: stdimage.Rect(0, 0, w, h)}
	return p, nil
}

// work is the child's side.
func work(in io.Reader, out io.Writer) error {
	debug.SetMemoryLimit(384 << 20) // collect in time, below what the parent tolerates
	o, file, err := readOrder(in)
	if err != nil {
		return err
	}
	img, err := decode(o, file)
	if errors.Is(err, errNative) {
		return err // ours to mend, not the citizen's
	}
	if err != nil {
		_, err = out.Write([]byte{status(err)})
		return err
	}
	b := img.Bounds()
	if !fits(b.Dx(), b.Dy(), o.MaxPixels) {
		_, err = out.Write([]byte{statusTooLarge})
		return err
	}
	page := Turn(shrink(greyRows(img), o.MaxSide), o.Orientation)
	width, height := b.Dx(), b.Dy()
	if o.Orientation >= 5 {
		width, height = height, width
	}
	head := []byte{statusDone}
	for _, n := range []int{width, height, page.Rect.Dx(), page.Rect.Dy()} {
		head = binary.BigEndian.AppendUint32(head, uint32(n))
	}
	if _, err := out.Write(head); err != nil {
		return err
	}
	_, err = out.Write(page.Pix)
	return err
}

func readOrder(in io.Reader) (order, []byte, error) {
	r := bufio.NewReader(in)
	line, err := r.ReadBytes('\n')
	if err != nil {
		return order{}, nil, fmt.Errorf("read order: %w", err)
	}
	var o order
	if err := json.Unmarshal(line, &o); err != nil {
		return order{}, nil, fmt.Errorf("decode order: %w", err)
	}
	file := make([]byte, o.Size)
	if _, err := io.ReadFull(r, file); err != nil {
		return order{}, nil, fmt.Errorf("read file: %w", err)
	}
	return o, file, nil
}

// decode returns the frame as it is stored, not yet upright (HEIC aside: libheif turns).
// A decoder that panics has met damage.
func decode(o order, file []byte) (img stdimage.Image, err error) {
	defer func() {
		if recover() != nil {
			img, err = nil, errDamaged
		}
	}()
	r := bytes.NewReader(file)
	switch o.Kind {
	case core.KindJPEG:
		return jpeg.Decode(r)
	case core.KindPNG:
		return png.Decode(r)
	case core.KindGIF:
		return gif.Decode(r)
	case core.KindWebP:
		return webp.Decode(r)
	case core.KindTIFF:
		return decodeTIFF(file, o.Frame, o.MaxPixels)
	case core.KindHEIC:
		return decodeHEIC(file)
	}
	return nil, fmt.Errorf("%q is not a picture", o.Kind)
}

// decodeHEIC decodes the primary picture. The library's other errors than "decode" come
// from what it does not know, such as a grey picture made of tiles.
func decodeHEIC(file []byte) (stdimage.Image, error) {
	if heic.Dynamic() == nil {
		return nil, errNative
	}
	img, err := heic.Decode(bytes.NewReader(file))
	if err != nil && !errors.Is(err, heic.ErrDecode) {
		return nil, fmt.Errorf("%w: %w", errUnsupported, err)
	}
	return img, err
}

var (
	errDamaged     = errors.New("damaged picture")
	errUnsupported = errors.New("unsupported variety of picture")
	errNative      = errors.New("the system's libheif was loaded in place of the sandboxed one: build with -tags nodynamic")
)

// status names what a decoder's error means. What is not marked as merely unsupported
// counts as damage.
func status(err error) byte {
	var j jpeg.UnsupportedError
	var p png.UnsupportedError
	var t tiff.UnsupportedError
	if errors.As(err, &j) || errors.As(err, &p) || errors.As(err, &t) || errors.Is(err, errUnsupported) {
		return statusUnsupported
	}
	return statusDamaged
}
