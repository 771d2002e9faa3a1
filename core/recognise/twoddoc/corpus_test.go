//go:build corpus

package twoddoc_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"vaguemestre/core/recognise/twoddoc"
)

// vector is a line of the corpus.
type vector struct {
	ID     string `json:"id"`
	Code   string `json:"code"`
	Header struct {
		Version   int     `json:"version"`
		CA        string  `json:"ca"`
		Cert      string  `json:"cert"`
		Issued    *string `json:"issued"`
		Signed    *string `json:"signed"`
		Type      string  `json:"type"`
		Perimeter string  `json:"perimeter"`
		Country   string  `json:"country"`
	} `json:"header"`
	Fields []struct {
		ID    string `json:"id"`
		Value string `json:"value"`
	} `json:"fields"`
	SignatureValid bool `json:"signature_valid"`
}

func corpusFolder(t *testing.T) string {
	t.Helper()
	root := os.Getenv("VAGUEMESTRE_CORPUS")
	if root == "" {
		t.Fatal("VAGUEMESTRE_CORPUS names no folder: make corpus")
	}
	return filepath.Join(root, "2d-doc")
}

func corpusVectors(t *testing.T) []vector {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(corpusFolder(t), "vectors.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var out []vector
	for line := range bytes.Lines(data) {
		var v vector
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	if len(out) < 19 {
		t.Fatalf("%d vectors, want at least 19", len(out))
	}
	return out
}

func corpusTrust(t *testing.T, given bool) *twoddoc.Trust {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(corpusFolder(t), "FR00-0001.pem"))
	if err != nil {
		t.Fatal(err)
	}
	trust, problems, err := twoddoc.Load(fstest.MapFS{"FR00-0001.pem": {Data: pem}}, given)
	if err != nil || given == (len(problems) > 0) {
		t.Fatal(problems, err)
	}
	return trust
}

// TestCorpusVectors holds every vector against what its line says.
func TestCorpusVectors(t *testing.T) {
	trust, none := corpusTrust(t, true), corpusTrust(t, false)
	count := map[twoddoc.Verdict]int{}
	for _, v := range corpusVectors(t) {
		t.Run(v.ID, func(t *testing.T) {
			c, result := twoddoc.VerifyBytes([]byte(v.Code), trust)
			if c == nil {
				t.Fatal(result)
			}
			checkHeader(t, v, c.Header)
			if len(c.Fields) != len(v.Fields) {
				t.Fatalf("%d fields, want %d", len(c.Fields), len(v.Fields))
			}
			for i, f := range c.Fields {
				if f.ID != v.Fields[i].ID || f.Raw != v.Fields[i].Value || f.Value.Kind == twoddoc.KindUnreadable {
					t.Errorf("field %d: %+v, want %+v", i, f, v.Fields[i])
				}
			}
			want := twoddoc.Valid
			switch { // the public test certificate ended on 1 November 2015
			case !v.SignatureValid:
				want = twoddoc.InvalidSignature
			case *v.Header.Signed > "2015-11-01":
				want = twoddoc.CertificateExpiredAtSigning
			}
			if result.Verdict != want || !result.Test {
				t.Errorf("%+v, want %s", result, want)
			}
			if r := c.Verify(none); r.Verdict != twoddoc.CertificateUnknown {
				t.Errorf("without --trust: %+v", r)
			}
			count[result.Verdict]++
			for _, fault := range c.Faults {
				t.Log(fault)
			}
		})
	}
	t.Log(count)
}

func checkHeader(t *testing.T, v vector, h twoddoc.Header) {
	t.Helper()
	date := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	w := v.Header
	if h.Version != w.Version || h.Authority != w.CA || h.Cert != w.Cert || h.Type != w.Type || h.Perimeter != w.Perimeter || h.Country != w.Country ||
		h.Issued.String() != date(w.Issued) || h.Signed.String() != date(w.Signed) || h.Label == "" {
		t.Errorf("header %+v, want %+v", h, w)
	}
}

// TestCorpusTrustLists reads the lists of France Titres, whose signatures must hold, and
// whose least change must be noticed.
func TestCorpusTrustLists(t *testing.T) {
	for file, want := range map[string]int{"tsl-seq22-2025-08-25.xml": 22, "tsl-seq23-2026-05-11.xml": 23} {
		data, err := os.ReadFile(filepath.Join(corpusFolder(t), file))
		if err != nil {
			t.Fatal(err)
		}
		l, err := twoddoc.ReadList(data)
		if err != nil || l.Sequence != want || len(l.Authorities) != want-16 || !l.Authorities[0].InAccord || l.Next.IsZero() {
			t.Fatalf("%s: %+v, %v", file, l, err)
		}
		for _, change := range [][2]string{{"Svcstatus/inaccord", "Svcstatus/withdrawn"}, {"<tsl:Name xml:lang=\"fr\">FR03", "<tsl:Name xml:lang=\"fr\">FR02"},
			{"2013-06-30T22:00:00Z", "2014-06-30T22:00:00Z"}, {"</tsl:TrustServiceProviderList>", "<!-- a remark --> </tsl:TrustServiceProviderList>"}} {
			if _, err := twoddoc.ReadList(bytes.Replace(data, []byte(change[0]), []byte(change[1]), 1)); err == nil {
				t.Errorf("%s: %q changed to %q is not noticed", file, change[0], change[1])
			}
		}
		if _, err := twoddoc.ReadList(bytes.Replace(data, []byte("</tsl:TrustServiceProviderList>"), []byte("<!-- a remark --></tsl:TrustServiceProviderList>"), 1)); err != nil {
			t.Errorf("%s: a comment is no part of what is signed: %v", file, err)
		}
	}
}

// TestCorpusMutations flips every byte of every vector before its last US, in three ways:
// none of them is accepted.
func TestCorpusMutations(t *testing.T) {
	trust := corpusTrust(t, true)
	tried := 0
	for _, v := range corpusVectors(t) {
		code := []byte(v.Code)
		for at := range bytes.LastIndexByte(code, 0x1f) {
			for _, change := range []byte{1, 4, 0x80} {
				changed := bytes.Clone(code)
				changed[at] ^= change
				if _, r := twoddoc.VerifyBytes(changed, trust); r.Verdict == twoddoc.Valid || r.Verdict == twoddoc.CertificateExpiredAtSigning {
					t.Fatalf("%s: byte %d changed: %+v", v.ID, at, r)
				}
				tried++
			}
		}
	}
	t.Logf("%d changed codes, none accepted", tried)
}
