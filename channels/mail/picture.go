package mail

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"net/url"
	"path"
	"regexp"
	"strings"

	"golang.org/x/image/webp"

	"vaguemestre/core"
)

// sight is how the text of a message shows a picture.
type sight struct {
	alt, link     string
	width, height int  // in pixels; -1 when the text does not say
	signature     bool // in the signature of the sender
}

// pictures is what a message shows, as far as it was read.
type pictures struct {
	shown map[string]sight // by what the text calls them
	seen  map[[sha256.Size]byte]bool
}

func newPictures() *pictures {
	return &pictures{shown: map[string]sight{}, seen: map[[sha256.Size]byte]bool{}}
}

// Bounds on what is remembered of one message.
const (
	maxShown    = 2000
	maxSeen     = 2000
	maxShownKey = 512
)

// show notes that the text shows the picture of that address. The first time counts.
func (p *pictures) show(src string, s sight) {
	key := shownKey(src)
	if _, again := p.shown[key]; again || key == "" || len(key) > maxShownKey || len(p.shown) >= maxShown {
		return
	}
	s.alt, s.link = strings.ToLower(cutTo(s.alt, maxShownKey)), strings.ToLower(cutTo(s.link, maxShownKey))
	p.shown[key] = s
}

func cutTo(s string, n int) string { return strings.Clone(s[:min(len(s), n)]) }

// shownKey evens out the address of a picture.
func shownKey(src string) string {
	if plain, err := url.PathUnescape(src); err == nil {
		src = plain
	}
	return strings.ToLower(strings.TrimSpace(src))
}

// sightOf finds how the text shows a file.
func (p *pictures) sightOf(f file) (sight, bool) {
	for _, key := range []string{"cid:" + f.ContentID, f.location, f.Name} {
		if key == "" || key == "cid:" {
			continue
		}
		if s, ok := p.shown[shownKey(key)]; ok {
			return s, true
		}
	}
	return sight{width: -1, height: -1}, f.Via == core.ViaHTML
}

// maxPrefix is how much of a picture is looked at for its size, in bytes.
const maxPrefix = 128 << 10

// judge says why nobody meant to send the picture that f is: AsidePixel, AsideIcon or
// AsideLogo; "" when somebody may have. A picture in which a document could be read is
// never set aside, nor is one that is attached and not shown in the text, unless it is
// a dot. It takes evidence together, each piece of which honest pictures have too.
func (p *pictures) judge(f *file, head []byte) string {
	s, shown := p.sightOf(*f)
	if !shown && (f.attached || !f.Inline) {
		if width, height := measured(head); width > 0 && width <= dot && height <= dot {
			return core.AsidePixel
		}
		return ""
	}
	prefix, _ := io.ReadAll(io.LimitReader(f.Body, maxPrefix)) // a reading error shows again
	f.Body = io.MultiReader(bytes.NewReader(prefix), f.Body)
	v := view{sight: s, shown: shown, whole: len(prefix) < maxPrefix, size: len(prefix), name: strings.ToLower(f.Name), id: strings.ToLower(f.ContentID)}
	v.w, v.h = measured(prefix)
	v.drawn = f.Type == "image/svg+xml" || strings.HasSuffix(v.name, ".svg")
	v.photo = f.Type == "image/jpeg" || bytes.HasPrefix(head, []byte("\xff\xd8"))
	if v.whole {
		sum := sha256.Sum256(prefix)
		v.again = p.seen[sum]
		if len(p.seen) < maxSeen {
			p.seen[sum] = true
		}
	}
	return v.aside()
}

// isPicture reports whether a file is one that judge can say something about.
func isPicture(f file, head []byte) bool {
	for _, magic := range []string{"\x89PNG", "GIF8", "\xff\xd8\xff", "BM", "RIFF"} {
		if bytes.HasPrefix(head, []byte(magic)) && (magic != "RIFF" || bytes.HasPrefix(head[min(len(head), 8):], []byte("WEBP"))) {
			return true
		}
	}
	return strings.HasPrefix(f.Type, "image/") || strings.EqualFold(path.Ext(f.Name), ".svg")
}

// measured gives the width and height of a picture from its first bytes, 0 and 0 when
// they do not tell.
func measured(b []byte) (width, height int) {
	var c image.Config
	var err error
	switch {
	case bytes.HasPrefix(b, []byte("\x89PNG")):
		c, err = png.DecodeConfig(bytes.NewReader(b))
	case bytes.HasPrefix(b, []byte("GIF8")):
		c, err = gif.DecodeConfig(bytes.NewReader(b))
		if len(b) >= 10 { // a broken colour table does not matter
			c.Width, c.Height, err = int(binary.LittleEndian.Uint16(b[6:])), int(binary.LittleEndian.Uint16(b[8:])), nil
		}
	case bytes.HasPrefix(b, []byte("\xff\xd8")):
		c, err = jpeg.DecodeConfig(bytes.NewReader(b))
	case bytes.HasPrefix(b, []byte("RIFF")):
		c, err = webp.DecodeConfig(bytes.NewReader(b))
	case bytes.HasPrefix(b, []byte("BM")) && len(b) >= 26:
		c.Width, c.Height = int(int32(binary.LittleEndian.Uint32(b[18:]))), int(int32(binary.LittleEndian.Uint32(b[22:])))
		c.Height = max(c.Height, -c.Height) // negative when written from the top
	}
	if err != nil || c.Width <= 0 || c.Height <= 0 {
		return 0, 0
	}
	return c.Width, c.Height
}

// Sizes of pictures, in pixels of the shorter or longer side.
const (
	dot         = 3   // nothing can be seen in it
	iconSide    = 160 // longer side of an icon
	iconShown   = 64  // longer side at which an icon is shown, whatever it has
	logoShown   = 160 // and a logo
	legibleSide = 400 // shorter side from which a document can be read…
	legibleLong = 600 // …if the longer has this
	bannerRatio = 3   // …and it is not so much longer than the other
)

// maxUnknown is the longest picture of unknown size, in bytes, that may be a logo.
const maxUnknown = 20 << 10

// view is all that is known of a picture that stands in the text.
type view struct {
	sight
	shown, whole, again, drawn, photo bool
	w, h, size                        int
	name, id                          string // of the file, and Content-ID
}

func (v view) aside() string {
	long, short := max(v.w, v.h), min(v.w, v.h)
	known, seen := long > 0, v.seenAt()
	isSocial := social.MatchString(v.link + " " + v.called())
	switch {
	case known && short <= dot:
		return core.AsidePixel
	case v.shown && isSocial && (seen <= iconShown || known && long <= iconSide):
		return core.AsideIcon
	case known && short >= legibleSide && long >= legibleLong && long < bannerRatio*short && (seen > logoShown || !v.signature && !v.decorative()):
		return ""
	case !known && !v.drawn && (!v.whole || v.size > maxUnknown):
		return ""
	case v.weight(long, short) >= enough:
		return core.AsideLogo
	}
	return ""
}

// seenAt is the longer side, in pixels, at which the text shows the picture; as large as
// can be when it does not say.
func (v view) seenAt() int {
	width, height := v.width, v.height
	switch {
	case width < 0 && height < 0, v.w == 0 && min(width, height) < 0:
		return math.MaxInt
	case height < 0:
		height = v.h * width / v.w
	case width < 0:
		width = v.w * height / v.h
	}
	return max(width, height)
}

// called is all the names of the picture.
func (v view) called() string { return v.name + " " + v.id + " " + v.alt }

func (v view) decorative() bool { return decorative.MatchString(v.called()) }

// enough is the weight of evidence at which a picture is taken for a logo.
const enough = 3

// weight adds up what speaks for a logo, and takes off what speaks for a picture that
// was put there to be read. Without a known size, long and short are 0.
func (v view) weight(long, short int) int {
	known := long > 0
	weight := 0
	for _, e := range []struct {
		holds bool
		weigh int
	}{
		{v.shown, 1},
		{v.drawn, 2},
		{v.signature, 2},
		{strings.HasPrefix(v.link, "http") || strings.HasPrefix(v.link, "mailto:"), 2},
		{v.again, 2},
		{v.decorative(), 2},
		{numbered.MatchString(v.name), 1}, // the names Outlook gives, to what is pasted too
		{known && long <= 400, 1},
		{known && long <= 200, 1},
		{known && long*2 >= short*5, 1},
		{known && long >= short*4 && short <= 250, 1},
		{v.seenAt() <= logoShown, 1},
		{short >= 250 && long >= 400, -1},
		{v.photo && v.h > v.w && long >= 300, -1}, // a portrait
		{camera.MatchString(v.name), -2},
	} {
		if e.holds {
			weight += e.weigh
		}
	}
	return weight
}

// Words by which pictures are known.
var (
	social     = regexp.MustCompile(`facebook|twitter|linkedin|instagram|youtube|tiktok|pinterest|snapchat|mastodon|bluesky|whatsapp(?: \.|[^ ])|viber|vimeo|flickr|xing|threads\.net|\bx\.com|\bfb\b|google-?play|app-?store|tripadvisor|\brss\b|t\.me/`)
	decorative = regexp.MustCompile(`logo|signature|banni|banner|bandeau|footer|header|en-?t[eê]te|icon|icône|picto|spacer|separat|blason|armoirie|marianne|emblem`)
	numbered   = regexp.MustCompile(`^(image\d{3}|outlook-|oledata|att\d{5})`)
	camera     = regexp.MustCompile(`^(img[-_ ]?\d|image\d\.|dsc|pxl_|photo|scan|numéris|capture|screenshot|whatsapp image|signal-|snapchat-|cni|passeport|facture|justif|attestation|avis)`)
)
