// Package image owns the way from a citizen's picture file, of any kind we take, to an
// upright grey page that can be read and looked at.
//
// Sizes are told from the file's headers, in this process, by readers that allocate
// nothing the file asks for. Decoding happens in a confined child (package confine), a
// short-lived one per page: what a crafted file makes a decoder do, it does without
// files or network, in bounded time and memory, and it ends with its child. A program
// that decodes must hand Job to confine.Main.
package image

import (
	"context"
	"errors"
	"fmt"
	stdimage "image"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/examine/confine"
)

// Page is one decoded picture. Gray is upright: a camera's orientation mark is
// applied, transparency shows white. Width and Height are those of the upright
// original; Gray is the same picture, or smaller when a longest side was asked for.
type Page struct {
	Gray          *stdimage.Gray
	Width, Height int
}

// Info is what a file's headers say.
type Info struct {
	Width, Height int // upright, of the first frame
	Frames        int // pages of a TIFF file, thumbnails not counted; 1 for every other kind: of an animation the first picture counts
}

// Config sets the bounds of one decoding. Zero fields take the default.
type Config struct {
	MaxPixels int           // of one frame; default 50 million (SEC-64)
	Timeout   time.Duration // wall clock, one frame; default 60 s
	Memory    int64         // resident bytes of the child; default 512 MiB (SEC-62)
}

// Decoder reads picture files. It may be used from several goroutines; every running
// Decode is one child process.
type Decoder struct {
	cfg Config
}

// New returns a Decoder.
func New(cfg Config) *Decoder {
	if cfg.MaxPixels <= 0 {
		cfg.MaxPixels = 50_000_000
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = time.Minute
	}
	if cfg.Memory <= 0 {
		cfg.Memory = 512 << 20
	}
	return &Decoder{cfg: cfg}
}

// Refusals, as the citizen reads them.
func damaged() error {
	return &core.Refusal{
		Code:   "damaged_image",
		Reason: "Cette image est endommagée ou incomplète et n’a pas pu être lue. Envoyez-en une nouvelle copie.",
	}
}

func tooLarge() error {
	return &core.Refusal{
		Code:   "image_too_large",
		Reason: "Cette image compte trop de pixels pour être lue. Enregistrez-la dans une taille plus petite, puis envoyez-la de nouveau.",
	}
}

func unsupported() error {
	return &core.Refusal{
		Code:   "unsupported_image",
		Reason: "Cette variante de fichier image n’est pas prise en charge. Enregistrez l’image au format JPEG, PNG ou PDF, puis envoyez-la de nouveau.",
	}
}

// Info tells size and number of frames without decoding, in microseconds. The error
// is the refusal "damaged_image" where the headers make no sense.
func (d *Decoder) Info(kind core.Kind, file []byte) (Info, error) {
	h, err := readHeader(kind, file, 0)
	if err != nil {
		return Info{}, err
	}
	return Info{Width: h.width, Height: h.height, Frames: h.frames}, nil
}

// Decode returns frame (from 0) of the file, no longer than maxSide on its longer side
// unless maxSide is 0. Its size is checked before anything is decoded. The error is a
// refusal ("damaged_image", "image_too_large", "unsupported_image"), ctx's, or an
// accident worth another try.
func (d *Decoder) Decode(ctx context.Context, kind core.Kind, file []byte, frame, maxSide int) (Page, error) {
	h, err := readHeader(kind, file, frame)
	if err != nil {
		return Page{}, err
	}
	if !fits(h.width, h.height, d.cfg.MaxPixels) {
		return Page{}, tooLarge()
	}
	o := order{Kind: kind, Frame: frame, MaxSide: max(maxSide, 0), MaxPixels: d.cfg.MaxPixels, Orientation: h.orientation}
	in, err := o.encode(file)
	if err != nil {
		return Page{}, err
	}
	out, err := confine.Run(ctx, confine.Task{Job: jobName, Input: in, Limits: confine.Limits{
		Wall:   d.cfg.Timeout,
		Memory: d.cfg.Memory,
		Output: int64(d.cfg.MaxPixels) + answerSize,
	}})
	var exit *confine.ExitError
	switch {
	case errors.Is(err, confine.ErrMemory), errors.As(err, &exit) && exit.Code == exitFatal:
		// It would be the same next time: the decoder wants more than it may have.
		return Page{}, tooLarge()
	case err != nil:
		return Page{}, fmt.Errorf("decode %s: %w", kind, err)
	}
	return o.decodeAnswer(out)
}

// exitFatal is the status of a Go program that the kernel refused more memory; panics
// are caught.
const exitFatal = 2

// fits reports whether a picture has at least one and at most max pixels.
func fits(width, height, max int) bool {
	return width > 0 && height > 0 && width <= max/height
}
