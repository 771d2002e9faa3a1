package specimen

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"math"
	"math/rand/v2"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

const (
	dpi      = 200
	perMM    = dpi / 25.4
	tilt     = 1.4 * math.Pi / 180
	margin   = 14.0 // millimetres of table around the page
	noise    = 5.0  // standard deviation, of 255
	jpegGood = 82
)

// Photo is the paper as a telephone sees it on a table, as JPEG without EXIF: held a
// little askew, lit from one side, with the noise of a dim room. The same seed gives
// the same bytes.
func (p Paper) Photo(seed uint64) ([]byte, error) {
	page, err := p.draw()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, shoot(page, rand.New(rand.NewPCG(seed, 1))), &jpeg.Options{Quality: jpegGood}); err != nil {
		return nil, fmt.Errorf("photo: %w", err)
	}
	return b.Bytes(), nil
}

// draw prints the page on white.
func (p Paper) draw() (*image.Gray, error) {
	page := image.NewGray(image.Rect(0, 0, round(pageWidth*perMM), round(pageHeight*perMM)))
	draw.Draw(page, page.Rect, image.White, image.Point{}, draw.Src)
	regular, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return nil, fmt.Errorf("font: %w", err)
	}
	bold, err := opentype.Parse(gobold.TTF)
	if err != nil {
		return nil, fmt.Errorf("font: %w", err)
	}
	for _, m := range p.marks {
		if m.text == "" {
			box := image.Rect(round(m.x*perMM), round(m.y*perMM), round((m.x+m.w)*perMM), round((m.y+m.h)*perMM)+1)
			draw.Draw(page, box, image.NewUniform(color.Gray{uint8(255 * m.grey)}), image.Point{}, draw.Src)
			continue
		}
		letters := regular
		if m.bold {
			letters = bold
		}
		face, err := opentype.NewFace(letters, &opentype.FaceOptions{Size: m.size, DPI: dpi})
		if err != nil {
			return nil, fmt.Errorf("font: %w", err)
		}
		d := font.Drawer{Dst: page, Src: image.Black, Face: face, Dot: fixed.P(round(m.x*perMM), round(m.y*perMM))}
		d.DrawString(m.text)
	}
	return page, nil
}

// shoot looks at the page on a table: for each pixel of the photo, what lies there and
// how much light falls on it.
func shoot(page *image.Gray, r *rand.Rand) *image.RGBA {
	w, h := page.Rect.Dx(), page.Rect.Dy()
	photo := image.NewRGBA(image.Rect(0, 0, w+round(2*margin*perMM), h+round(2*margin*perMM)))
	cx, cy := float64(photo.Rect.Dx())/2, float64(photo.Rect.Dy())/2
	sin, cos := math.Sincos(tilt)
	for y := range photo.Rect.Dy() {
		for x := range photo.Rect.Dx() {
			dx, dy := float64(x)-cx, float64(y)-cy
			px, py := cos*dx+sin*dy+float64(w)/2, cos*dy-sin*dx+float64(h)/2
			red, green, blue := table(px, py)
			if v, on := sample(page, px, py); on {
				red, green, blue = 0.98*v, 0.96*v, 0.91*v
			} else if px > 0 && py > 0 && px < float64(w)+14 && py < float64(h)+14 {
				red, green, blue = 0.6*red, 0.6*green, 0.6*blue // the page's shadow
			}
			l, n := light(dx/cx, dy/cy), noise*r.NormFloat64()
			photo.SetRGBA(x, y, color.RGBA{level(red*l + n), level(green*l + n), level(blue*l + n), 255})
		}
	}
	return photo
}

// sample is the page's brightness between its pixels; on is false beside the page.
func sample(page *image.Gray, x, y float64) (v float64, on bool) {
	x0, y0 := int(math.Floor(x)), int(math.Floor(y))
	if x0 < 0 || y0 < 0 || x0+1 >= page.Rect.Dx() || y0+1 >= page.Rect.Dy() {
		return 0, false
	}
	fx, fy := x-float64(x0), y-float64(y0)
	i := y0*page.Stride + x0
	above := float64(page.Pix[i])*(1-fx) + float64(page.Pix[i+1])*fx
	below := float64(page.Pix[i+page.Stride])*(1-fx) + float64(page.Pix[i+page.Stride+1])*fx
	return above*(1-fy) + below*fy, true
}

// table is wood.
func table(x, y float64) (red, green, blue float64) {
	grain := 12 * math.Sin(y/23+3*math.Sin(x/310))
	return 128 + grain, 92 + grain, 61 + grain/2
}

// light falls from the upper left, with the shadow of the hand that holds the
// telephone over the lower right corner. x and y run from -1 to 1.
func light(x, y float64) float64 {
	hand := math.Exp(-(math.Pow(x-0.9, 2) + math.Pow(y-0.8, 2)) / 0.5)
	return 0.9 - 0.1*x - 0.08*y - 0.25*hand
}

func level(v float64) uint8 { return uint8(min(max(v, 0), 255)) }

func round(v float64) int { return int(math.Round(v)) }
