package twoddoc

import (
	"bytes"
	"slices"
	"strings"
)

// segmentHeader begins each symbol of a code that is spread over several: E, three
// characters that they share, the symbol's place from 0, the number of symbols less one.
const segmentHeader = 6

// maxSymbols is what one character can count.
const maxSymbols = 36

const segmentDigits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// Join puts the codes together that are spread over several symbols, in whatever order
// they were read; a symbol read twice counts once. What is no such symbol, or lacks its
// fellows, stays as it is. Only the text form is joined: how the binary one counts its
// symbols is published nowhere we know.
func Join(codes [][]byte) [][]byte {
	sets := map[string][][]byte{} // shared characters and count → symbols by place
	for _, code := range codes {
		if set, at, count, ok := segment(code); ok {
			if sets[set] == nil {
				sets[set] = make([][]byte, count)
			}
			sets[set][at] = code[segmentHeader:]
		}
	}
	var out [][]byte
	for _, code := range codes {
		set, _, _, ok := segment(code)
		whole := ok && joinable(sets[set])
		switch {
		case !whole && sets[set] != nil || !ok:
			out = append(out, code)
		case sets[set] != nil:
			out = append(out, bytes.Join(sets[set], nil))
			sets[set] = nil // its other symbols are in it
		}
	}
	return out
}

func joinable(symbols [][]byte) bool {
	return len(symbols) > 0 && !slices.ContainsFunc(symbols, func(s []byte) bool { return s == nil }) && bytes.HasPrefix(symbols[0], []byte("DC"))
}

func segment(code []byte) (set string, at, count int, ok bool) {
	if len(code) <= segmentHeader || code[0] != 'E' || !isUpper(string(code[:segmentHeader])) {
		return "", 0, 0, false
	}
	at, count = strings.IndexByte(segmentDigits, code[4]), strings.IndexByte(segmentDigits, code[5])+1
	return string(code[1:4]) + string(code[5]), at, count, at < count && count > 1
}
