package dispatch

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	mrand "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"vaguemestre/channels/mailout/typeset"
	"vaguemestre/core"
)

// shape is a plan without the identifiers it makes.
func shape(parts []Part) [][]Item {
	var out [][]Item
	for _, p := range parts {
		items := slices.Clone(p.Items)
		for i := range items {
			items[i].ID = ""
		}
		out = append(out, items)
	}
	return out
}

func candidates(sizes ...int64) []Candidate {
	out := make([]Candidate, len(sizes))
	for i, n := range sizes {
		out[i] = Candidate{Document: core.DocumentID(rune('a' + i)), Files: []int64{n}}
	}
	return out
}

func TestPlan(t *testing.T) {
	s := Service{MaxBytes: 10_000_000}
	for _, c := range []struct {
		name string
		s    Service
		in   []Candidate
		want []int // documents of each part
		link []int // places of those that go as a link
	}{
		{"nothing", s, nil, nil, nil},
		{"all fit into one", s, candidates(1e6, 2e6, 3e6), []int{3}, nil},
		{"three mails", s, candidates(6e6, 6e6, 6e6), []int{1, 1, 1}, nil},
		{"in their order, even where another would waste less", s, candidates(4e6, 6e6, 3e6), []int{1, 1, 1}, nil},
		{"too large for any", s, candidates(1e6, 8e6, 1e6), []int{3}, []int{2}},
		{"encrypted, less fits", Service{MaxBytes: 10_000_000, Certificate: []byte{1}}, candidates(3e6, 3e6), []int{1, 1}, nil},
		{"encrypted, too large", Service{MaxBytes: 10_000_000, Certificate: []byte{1}}, candidates(6e6), []int{1}, []int{1}},
		{"no files for this service", Service{MaxBytes: 10_000_000, LinksOnly: true}, candidates(6e6, 6e6), []int{2}, []int{1, 2}},
		{"a type that may not go as a file", s, []Candidate{{Document: "a", Files: []int64{6e6}}, {Document: "b", Files: []int64{6e6}, Link: true}}, []int{2}, []int{2}},
		{"the files of a document stay together", s, []Candidate{{Document: "a", Files: []int64{4e6}}, {Document: "b", Files: []int64{2e6, 2e6}}}, []int{1, 1}, nil},
	} {
		var got, link []int
		for _, p := range Plan(c.s, c.in) {
			got = append(got, len(p.Items))
			for _, i := range p.Items {
				if i.Link {
					link = append(link, i.N)
				}
			}
		}
		if !slices.Equal(got, c.want) || !slices.Equal(link, c.link) {
			t.Errorf("%s: parts %v, links %v; want %v, %v", c.name, got, link, c.want, c.link)
		}
	}
}

// Whatever is to be sent: each document once and in order, no mail above the limit, none
// that could have gone with the one before, as a link only what must, the same each time.
func TestPlanHolds(t *testing.T) {
	for seed := range uint64(2000) {
		r := mrand.New(mrand.NewPCG(seed, 4))
		s := Service{MaxBytes: 100_000 + r.Int64N(20_000_000), LinksOnly: r.IntN(10) == 0}
		if r.IntN(2) == 0 {
			s.Certificate = []byte{1}
		}
		in := make([]Candidate, 1+r.IntN(MostDocuments))
		for i := range in {
			in[i] = Candidate{Document: core.NewID[core.DocumentID](), Link: r.IntN(8) == 0}
			for range 1 + r.IntN(3) {
				in[i].Files = append(in[i].Files, 1+r.Int64N(1+s.MaxBytes/int64(1+r.IntN(9))))
			}
		}
		parts := Plan(s, in)
		n := 0
		empty := bare(s)
		before := int64(0)
		for i, p := range parts {
			if p.N != i+1 || len(p.Items) == 0 {
				t.Fatalf("seed %d: part %d is numbered %d and has %d documents", seed, i+1, p.N, len(p.Items))
			}
			size := empty
			for j, item := range p.Items {
				c := in[n]
				n++
				if item.N != n || item.Document != c.Document {
					t.Fatalf("seed %d: document %d is out of order", seed, n)
				}
				must := c.Link || s.LinksOnly || empty+weight(c.Files, s.Encrypts(), false) > s.MaxBytes
				if item.Link != must {
					t.Errorf("seed %d: document %d as a link: %v, must %v", seed, n, item.Link, must)
				}
				need := weight(c.Files, s.Encrypts(), item.Link)
				if j == 0 && i > 0 && before+need <= s.MaxBytes {
					t.Errorf("seed %d: document %d had room in the mail before", seed, n)
				}
				size += need
			}
			if size > s.MaxBytes && len(p.Items) > 1 {
				t.Errorf("seed %d: part %d weighs %d of %d", seed, p.N, size, s.MaxBytes)
			}
			before = size
		}
		if n != len(in) {
			t.Errorf("seed %d: %d of %d documents", seed, n, len(in))
		}
		if again := Plan(s, in); !slices.EqualFunc(shape(parts), shape(again), slices.Equal) {
			t.Errorf("seed %d: another plan", seed)
		}
	}
}

// What is planned as a mail's size is never less than what is sent, encrypted or not.
func TestPlannedSizesHold(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: strings.Repeat("x", 60)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageKeyEncipherment, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(300) {
		r := mrand.New(mrand.NewPCG(seed, 8))
		var s Service
		if seed%2 == 0 {
			s.Certificate = der
		}
		l := core.Letter{ID: core.NewID[core.LetterID](), To: "service@mairie.test", ToName: strings.Repeat("é", 100), Subject: strings.Repeat("é", 80), Certificate: s.Certificate, Date: time.Now()}
		planned := bare(s)
		for range r.IntN(MostDocuments) + 1 {
			var files []int64
			for range 1 + r.IntN(3) {
				n := r.Int64N(3_000_000)
				files = append(files, n)
				l.Files = append(l.Files, core.LetterFile{Name: strings.Repeat("é", 58) + ".pdf", Type: "application/pdf", Size: n})
			}
			planned += weight(files, s.Encrypts(), false)
			l.Text += strings.Repeat("é", 150) // as much as a summary has for the files' names
			l.HTML += strings.Repeat("é", 150)
		}
		m, err := typeset.New(l, typeset.Sender{Name: "Ville", Address: "nepasrepondre@ville.test"}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if m.Size() > planned {
			t.Errorf("seed %d: sent as %d bytes, planned were %d", seed, m.Size(), planned)
		}
	}
}

func TestMoments(t *testing.T) {
	const none, confirm, validate, valid, rejected = core.DocumentState(""), core.DocumentToConfirm, core.DocumentToValidate, core.DocumentValidated, core.DocumentRejected
	for _, c := range []struct {
		from, to core.DocumentState
		want     []Moment
	}{
		{none, confirm, nil}, {none, validate, []Moment{WhenFiled}}, {none, valid, []Moment{WhenFiled, WhenValidated}},
		{confirm, validate, []Moment{WhenFiled}}, {confirm, valid, []Moment{WhenFiled, WhenValidated}}, {confirm, rejected, nil},
		{validate, valid, []Moment{WhenValidated}}, {validate, rejected, nil}, {valid, validate, nil}, {rejected, validate, []Moment{WhenFiled}},
	} {
		if got := Moments(c.from, c.to); !slices.Equal(got, c.want) {
			t.Errorf("from %q to %q: %v, want %v", c.from, c.to, got, c.want)
		}
	}
}
