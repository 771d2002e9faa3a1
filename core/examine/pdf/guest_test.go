package pdf

import (
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"
)

// liar is a guest that somebody has taken over.
type liar struct {
	loads  int
	ended  bool
	pages  int
	width  float64
	height float64
	length int
	words  string
	pix    []byte
	stride int
}

func (l *liar) load([]byte) error                       { l.loads++; return nil }
func (l *liar) pageCount() (int, error)                 { return l.pages, nil }
func (l *liar) traits() traits                          { return traits{} }
func (l *liar) pageSize(int) (float64, float64, error)  { return l.width, l.height, nil }
func (l *liar) textLength(int) (int, error)             { return l.length, nil }
func (l *liar) text(int, int) (string, error)           { return l.words, nil }
func (l *liar) draw(int, int, int) ([]byte, int, error) { return l.pix, l.stride, nil }
func (l *liar) stop()                                   {}
func (l *liar) end()                                    { l.ended = true }

func lying(t *testing.T, l *liar) *Sandbox {
	s := newSandbox(Config{}, slog.New(slog.DiscardHandler))
	s.fresh = func() (guest, error) { c := *l; return &c, nil }
	close(s.compiled)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestSEC61_LyingGuest(t *testing.T) {
	honest := liar{pages: 1, width: 72, height: 72, length: 7, words: "Bonjour", pix: make([]byte, 72*72), stride: 72}
	for name, lie := range map[string]func(*liar){
		"no page":         func(l *liar) { l.pages = 0 },
		"negative pages":  func(l *liar) { l.pages = -1 },
		"a million pages": func(l *liar) { l.pages = 1_000_000 },
		"no width":        func(l *liar) { l.width = 0 },
		"negative height": func(l *liar) { l.height = -72 },
		"huge":            func(l *liar) { l.width = 1e300 },
		"infinite":        func(l *liar) { l.height = math.Inf(1) },
		"not a number":    func(l *liar) { l.width = math.NaN() },
		"negative text":   func(l *liar) { l.length = -1 },
		"endless text":    func(l *liar) { l.length = math.MaxInt32 },
		"more text":       func(l *liar) { l.words = strings.Repeat("a", 1000) },
		"short pixels":    func(l *liar) { l.pix = l.pix[:len(l.pix)-1] },
		"no pixels":       func(l *liar) { l.pix = nil },
		"narrow stride":   func(l *liar) { l.stride = 71 },
		"negative stride": func(l *liar) { l.stride = -72 },
		"endless stride":  func(l *liar) { l.stride = math.MaxInt64 },
	} {
		l := honest
		lie(&l)
		if err := everything(t, lying(t, &l)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v, want %v", name, err, ErrDamaged)
		}
	}
	if err := everything(t, lying(t, &honest)); err != nil {
		t.Errorf("an honest guest: %v", err)
	}
}

func everything(t *testing.T, s *Sandbox) error {
	d, err := s.Open(t.Context(), nil)
	if err != nil {
		return err
	}
	defer d.Close()
	_, textErr := d.Text(t.Context(), 1)
	_, _, drawErr := d.Draw(t.Context(), 1, 72)
	return errors.Join(textErr, drawErr)
}

func TestSEC63_GuestServesOneDocument(t *testing.T) {
	s := lying(t, &liar{pages: 1})
	for range 5 {
		d, err := s.Open(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		l := d.g.(*liar)
		d.Close()
		if l.loads != 1 || !l.ended {
			t.Errorf("the guest loaded %d documents, ended: %t", l.loads, l.ended)
		}
	}
}

func TestLegible(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want bool
	}{
		"french":      {"Avis d’impôt établi en 2026 sur les revenus de l’année 2025, déclaration no 1", true},
		"figures":     {"75 12 3 45,10 € 2026 FR76 3000 4000", true},
		"initials":    {"CRTC SNCF RATP", true},
		"greek":       {strings.Repeat("Ελληνικά ", 20), true},
		"nothing":     {" \n\t", false},
		"private":     {"\uE001\uE002\uE003\uE004 abc", false},
		"replacement": {"\uFFFD\uFFFD\uFFFD le", false},
		"shifted":     {strings.Repeat("Wklv lv vklwhg. Gpdjm ", 6), false},
	} {
		if got := legible(c.text); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

func TestTidy(t *testing.T) {
	got := tidy("Nom :\u00A0 \r\n\r\r\nPr\u00ADénom\u200B\tLéa\x00\x07!\nrue\uFFFE\uFFFEx \x02")
	if want := "Nom :\nPrénom\tLéa  !\nrue--x -"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
