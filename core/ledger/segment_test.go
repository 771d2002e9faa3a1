package ledger_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"vaguemestre/core"
	"vaguemestre/core/ledger"
	"vaguemestre/core/store/blob"
	"vaguemestre/core/store/postgres"
)

// middling is a file that is laid behind others.
func middling(b byte) []byte { return bytes.Repeat([]byte{b}, 200_000) }

// lie says where the first body of a deposit lies.
func (w town) lie(id core.DepositID) (ref core.Ref, path string, from, to int64) {
	ref = core.Ref(w.Text("SELECT ref FROM deposit_body WHERE deposit_id = '" + string(id) + "'"))
	f := strings.Split(strings.TrimPrefix(string(ref), core.InSegment), "/")
	from, _ = strconv.ParseInt(f[2], 10, 64)
	length, _ := strconv.ParseInt(f[3], 10, 64)
	from += 8 // what is before the bytes
	return ref, filepath.Join(w.root, f[0], "segments", f[1]), from, from + length
}

// REL-13: what lies in a segment is read like what lies in a file of its own: damage is
// found, and named by what it belongs to.
func TestREL13_DamagedSegmentsAreFound(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Zoé")
	first, second := w.Accept(c, "first", "application/pdf", middling('a')), w.Accept(c, "second", "application/pdf", middling('b'))
	_, path, from, to := w.lie(second)
	if r := w.check(t); r.Blobs != 2 || len(r.Faults) != 0 || !slices.Equal(w.lying(t), []string{path}) {
		t.Fatalf("%d blobs, faults %v, files %v", r.Blobs, r.Faults, w.lying(t))
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flip := func(n int64) []byte { b := bytes.Clone(whole); b[n] ^= 1; return b }
	const changed, missing = "its blob is not what was stored", "its blob is missing"
	for name, d := range map[string]struct {
		bytes []byte
		says  string
	}{
		"first byte": {flip(from), changed}, "middle": {flip(from + 100_000), changed}, "last byte": {flip(to - 1), changed},
		"torn": {append(bytes.Clone(whole[:to-50_000]), make([]byte, 50_000)...), changed},
		"cut":  {whole[:to-1], missing}, "cut where it begins": {whole[:from-8], missing}, "its head": {flip(from - 1), missing},
	} {
		if err := os.WriteFile(path, d.bytes, 0o600); err != nil {
			t.Fatal(err)
		}
		if r := w.check(t); !slices.Equal(r.Faults, []string{"body of deposit " + string(second) + ": " + d.says}) {
			t.Errorf("%s: %v, want that %s", name, r.Faults, d.says)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if r := w.check(t); len(r.Faults) != 2 || !strings.Contains(strings.Join(r.Faults, " "), string(first)) {
		t.Errorf("without the segment: %v", r.Faults)
	}
}

// REL-02: a segment goes when it is a day old and no row names anything in it, be it a
// body or the piece that lies in the same bytes; what is deleted of it before leaves the
// rest as it was.
func TestREL02_SegmentsAreCollected(t *testing.T) {
	w := newTown(t)
	c := w.Enrol("Zoé")
	segment := func(old time.Duration) (path string) {
		t.Helper()
		blobs, err := blob.OpenFolder(w.root) // another process: a segment of its own
		if err != nil {
			t.Fatal(err)
		}
		before := w.lying(t)
		if _, err := blobs.Append(t.Context(), w.ID, []byte("orphan")); err != nil {
			t.Fatal(err)
		}
		for _, path := range w.lying(t) {
			if !slices.Contains(before, path) {
				age(t, path, old)
				return path
			}
		}
		t.Fatal("no segment was begun")
		return ""
	}
	day := 24 * time.Hour
	body := w.Accept(c, "body", "application/pdf", middling('a'))
	w.Piece(c, "piece", middling('b'), core.PieceRecognised)
	ref, named, _, _ := w.lie(body)
	age(t, named, 1000*day)
	segment(day + time.Minute)
	segment(100 * day)
	young := segment(day - time.Minute)
	want := slices.Sorted(slices.Values([]string{named, young}))
	s := w.Store(postgres.RoleScheduler)
	collect := func(name string, deleted int, want []string) {
		t.Helper()
		got, err := ledger.Collect(t.Context(), s, w.blobs, time.Now())
		if left := w.lying(t); err != nil || got != deleted || !slices.Equal(left, want) {
			t.Errorf("%s: %d deleted, %v, left %v; want %d, %v", name, got, err, left, deleted, want)
		}
	}
	collect("at first", 2, want)
	collect("again", 0, want)
	if r := w.check(t); len(r.Faults) != 0 {
		t.Errorf("faults %v", r.Faults)
	}
	w.Exec("DELETE FROM deposit_body WHERE deposit_id = '" + string(body) + "'")
	if err := w.blobs.Delete(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if r := w.check(t); len(r.Faults) != 0 {
		t.Errorf("its neighbour: %v", r.Faults)
	}
	age(t, named, day+time.Minute)
	collect("with a body left", 0, want)
	w.Exec("DELETE FROM deposit_body")
	collect("with a piece left", 0, want)
	w.Exec("DELETE FROM piece")
	collect("with nothing left", 1, []string{young})
}

// A range is named by its own row alone, and a segment by the rows of its own town.
func TestREL02_WhatNamesASegment(t *testing.T) {
	w := newTown(t)
	id := w.Accept(w.Enrol("Zoé"), "k", "application/pdf", middling('a'))
	ref, _, _, _ := w.lie(id)
	f := strings.Split(string(ref), "/")
	whole := core.Ref(f[0] + "/" + f[1])
	s := w.Store(postgres.RoleScheduler)
	other := whole[:len(whole)-1] + "x"
	asked := []core.Ref{ref, whole, other, ref + "0", whole + "/0", whole[:len(whole)-1], "seg:", "file"}
	got, err := s.Unnamed(t.Context(), w.ID, asked)
	if want := asked[2:]; err != nil || !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("unnamed %v, %v; want %v", got, err, want)
	}
	if got, err := s.Unnamed(t.Context(), w.Found("voisine").ID, []core.Ref{whole}); err != nil || len(got) != 1 {
		t.Errorf("in another town: %v, %v", got, err)
	}
}
