package recognise

import (
	"strings"
	"testing"

	"vaguemestre/core/catalogue"
)

func BenchmarkRecognise(b *testing.B) {
	all := samples(b)
	cat, r := catalogue.Default(), New(DefaultThreshold)
	for i := 0; b.Loop(); i++ {
		s := all[i%len(all)]
		r.Recognise(cat, evidence(s.text), received)
	}
}

func BenchmarkRecogniseLongLease(b *testing.B) {
	var page string
	for _, s := range samples(b) {
		if strings.HasPrefix(s.name, "bail") {
			page += s.text
		}
	}
	pages := make([]string, 12)
	for i := range pages {
		pages[i] = page
	}
	cat, r := catalogue.Default(), New(DefaultThreshold)
	for b.Loop() {
		r.Recognise(cat, evidence(pages...), received)
	}
}
