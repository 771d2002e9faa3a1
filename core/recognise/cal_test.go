package recognise

import (
	"fmt"
	"sort"
	"strings"
	"testing"
	"vaguemestre/core/catalogue"
)

func TestCal(t *testing.T) {
	cat, r := catalogue.Default(), New(0)
	var good, bad []string
	for _, s := range samples(t) {
		v := r.Recognise(cat, evidence(strings.Split(s.text, "\f")...), received)
		g := ""
		if len(v.Guesses) > 0 {
			g = fmt.Sprint(v.Guesses[0])
		}
		l := fmt.Sprintf("%.2f %s %s %v", v.Confidence, s.name, v.Type, g)
		if s.want.Type == "" {
			l = fmt.Sprintf("%s", g+" "+s.name+" "+fmt.Sprint(v.Confidence))
			bad = append(bad, l)
		} else {
			good = append(good, l)
		}
	}
	sort.Strings(good)
	sort.Strings(bad)
	fmt.Println(strings.Join(good[:15], "\n"))
	fmt.Println("--")
	fmt.Println(strings.Join(bad, "\n"))
}
