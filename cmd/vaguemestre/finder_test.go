package main

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// finder looks for markers in all the spellings a store may give them, and inside what
// was compressed.
type finder struct {
	spellings int
	begins    [1 << 16][]spelling // by the first two bytes
}

type spelling struct {
	name  string
	bytes []byte
}

func newFinder(markers ...string) *finder {
	f := &finder{}
	for _, m := range markers {
		cases := []string{m, strings.ToLower(m), strings.ToUpper(m)}
		slices.Sort(cases)
		for _, c := range slices.Compact(cases) {
			f.add(m, "raw", c)
			f.add(m, "hex", hex.EncodeToString([]byte(c)))
			f.add(m, "HEX", strings.ToUpper(hex.EncodeToString([]byte(c))))
			var little, big []byte
			for _, u := range utf16.Encode([]rune(c)) {
				little, big = append(little, byte(u), byte(u>>8)), append(big, byte(u>>8), byte(u))
			}
			f.add(m, "UTF-16LE", string(little))
			f.add(m, "UTF-16BE", string(big))
			for shift := range 3 {
				f.add(m, "base64", inBase64(base64.RawStdEncoding, shift, c))
				f.add(m, "base64url", inBase64(base64.RawURLEncoding, shift, c))
			}
		}
	}
	return f
}

// inBase64 is what of the marker is left when it stands shift bytes into a group of
// three: the characters that hold none of its neighbours' bits.
func inBase64(e *base64.Encoding, shift int, marker string) string {
	text := e.EncodeToString(append(make([]byte, shift), marker...))
	return text[[]int{0, 2, 3}[shift] : (shift+len(marker))*8/6]
}

func (f *finder) add(marker, how, text string) {
	at := int(text[0])<<8 | int(text[1])
	for _, s := range f.begins[at] {
		if string(s.bytes) == text {
			return
		}
	}
	f.spellings++
	f.begins[at] = append(f.begins[at], spelling{fmt.Sprintf("%q (%s)", marker, how), []byte(text)})
}

// search names each spelling found, once.
func (f *finder) search(data []byte) []string {
	found := map[string]bool{}
	f.scan(data, "", found)
	hits := make([]string, 0, len(found))
	for hit := range found {
		hits = append(hits, hit)
	}
	slices.Sort(hits)
	return hits
}

func (f *finder) scan(data []byte, in string, found map[string]bool) {
	for i := 0; i+1 < len(data); i++ {
		for _, s := range f.begins[int(data[i])<<8|int(data[i+1])] {
			if bytes.HasPrefix(data[i:], s.bytes) {
				found[s.name+in] = true
			}
		}
		if plain := inflate(data[i:]); len(plain) > 0 {
			f.scan(plain, in+", compressed", found)
		}
	}
}

// inflate is what a gzip or zlib member that begins here holds, as far as it can be read.
func inflate(data []byte) []byte {
	var r io.Reader
	var err error
	switch {
	case data[0] == 0x1f && data[1] == 0x8b:
		r, err = gzip.NewReader(bytes.NewReader(data))
	case data[0] == 0x78 && (data[1] == 0x01 || data[1] == 0x5e || data[1] == 0x9c || data[1] == 0xda):
		r, err = zlib.NewReader(bytes.NewReader(data))
	}
	if r == nil || err != nil {
		return nil
	}
	plain, _ := io.ReadAll(io.LimitReader(r, 64<<20)) // most begin by chance and end in an error: what came before counts
	return plain
}

// The search for markers finds each spelling it claims to look for.
func TestFinderFindsEverySpelling(t *testing.T) {
	t.Parallel()
	const marker = "Zqtémoin42"
	f := newFinder(marker)
	var squeezed bytes.Buffer
	z := gzip.NewWriter(&squeezed)
	fmt.Fprintf(z, "avant %s après", marker)
	z.Close()
	var twice bytes.Buffer
	y := zlib.NewWriter(&twice)
	y.Write(squeezed.Bytes())
	y.Close()
	little, big := []byte{}, []byte{}
	for _, u := range utf16.Encode([]rune("x" + marker)) {
		little, big = append(little, byte(u), byte(u>>8)), append(big, byte(u>>8), byte(u))
	}
	for want, data := range map[string]string{
		"raw":                          "from=" + strings.ToUpper(marker),
		"hex":                          hex.EncodeToString([]byte("x" + marker + "y")),
		"HEX":                          strings.ToUpper(hex.EncodeToString([]byte(strings.ToLower(marker)))),
		"UTF-16LE":                     string(little),
		"UTF-16BE":                     string(big),
		"raw), compressed":             "\x00\x01" + squeezed.String(),
		"raw), compressed, compressed": twice.String(),
	} {
		if hits := f.search([]byte(data)); !slices.ContainsFunc(hits, func(h string) bool { return strings.HasSuffix(strings.TrimSuffix(h, ")"), want) }) {
			t.Errorf("%s: found %q", want, hits)
		}
	}
	for before := range 3 {
		text := base64.StdEncoding.EncodeToString([]byte("abcdef"[:3+before] + marker + "fin"))
		if hits := f.search([]byte(text)); len(hits) == 0 {
			t.Errorf("base64 after %d bytes is not found", before)
		}
	}
	if hits := f.search([]byte("Zqtémoi n42, x\x9c, \x1f\x8b")); len(hits) > 0 {
		t.Errorf("found %q where nothing is", hits)
	}
}
