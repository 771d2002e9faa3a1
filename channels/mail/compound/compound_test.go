package compound_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"vaguemestre/channels/mail/compound"
	"vaguemestre/channels/mail/compound/compoundtest"
)

// listed gives what is in a storage, at any depth, as "storage/name:size".
func listed(c *compound.File, in compound.Entry, path string) []string {
	var names []string
	c.Children(in, func(e compound.Entry) {
		names = append(names, fmt.Sprintf("%s%s:%d", path, e.Name, e.Size))
		if e.IsStorage() {
			names = append(names, listed(c, e, path+e.Name+"/")...)
		}
	})
	return names
}

func TestChildren(t *testing.T) {
	many := func(prefix string, n int) (nodes []*compoundtest.Node, names []string) {
		for i := range n {
			nodes = append(nodes, compoundtest.Stream(fmt.Sprintf("%s%03d", prefix, i), "x"))
			names = append(names, fmt.Sprintf("%s%03d:1", strings.ToLower(prefix), i))
		}
		return nodes, names
	}
	crowd, crowdNames := many("S", 200)
	for _, tc := range []struct {
		name  string
		nodes []*compoundtest.Node
		want  []string
	}{
		{"empty", nil, nil},
		{"in the order of names, the short first", []*compoundtest.Node{compoundtest.Stream("bb", ""), compoundtest.Stream("C", "xy"), compoundtest.Stream("aa", "x")}, []string{"c:2", "aa:1", "bb:0"}},
		{"storages in storages", []*compoundtest.Node{compoundtest.Storage("A", compoundtest.Storage("B", compoundtest.Stream("C", "x"))), compoundtest.Stream("D", "")}, []string{"a:0", "a/b:0", "a/b/c:1", "d:0"}},
		{"a name that is not ASCII", []*compoundtest.Node{compoundtest.Stream("é", "x")}, []string{":1"}},
		{"the longest name", []*compoundtest.Node{compoundtest.Stream(strings.Repeat("N", 31), "x")}, []string{strings.Repeat("n", 31) + ":1"}},
		{"many", crowd, crowdNames},
	} {
		for _, shift := range []uint{9, 12} {
			c, root, ok := compound.Open((&compoundtest.Builder{Shift: shift}).File(tc.nodes...))
			if !ok {
				t.Fatalf("%s: not opened", tc.name)
			}
			if got := listed(c, root, ""); fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("%s, sectors of %d: got %v, want %v", tc.name, 1<<shift, got, tc.want)
			}
		}
	}
}

func TestStream(t *testing.T) {
	for _, size := range []int{0, 1, 63, 64, 65, 511, 512, 513, 4095, 4096, 4097, 8192, 100_000} {
		for _, b := range []compoundtest.Builder{{Shift: 9}, {Shift: 12}, {Shift: 9, Scattered: true}} {
			content := bytes.Repeat([]byte("0123456789abcde"), size/15+1)[:size]
			c, root, ok := compound.Open(b.File(compoundtest.Stream("a", "before"), compoundtest.Stream("b", string(content)), compoundtest.Stream("c", "after")))
			if !ok {
				t.Fatal("not opened")
			}
			c.Children(root, func(e compound.Entry) {
				if e.Name != "b" {
					return
				}
				r, ok := c.Stream(e)
				if !ok {
					t.Errorf("%d bytes, %+v: not given", size, b)
					return
				}
				if err := iotest.TestReader(r, content); err != nil {
					t.Errorf("%d bytes, %+v: %v", size, b, err)
				}
			})
		}
	}
}

// TestStreamsAreNoLargerThanTheFile reads one stream until the file has given as many
// bytes as it has itself.
func TestStreamsAreNoLargerThanTheFile(t *testing.T) {
	data := (&compoundtest.Builder{Shift: 9}).File(compoundtest.Stream("a", strings.Repeat("x", 100_000)))
	c, root, _ := compound.Open(data)
	c.Children(root, func(e compound.Entry) {
		var total int64
		for range 3 {
			if r, ok := c.Stream(e); ok {
				n, _ := io.Copy(io.Discard, r)
				total += n
			}
		}
		if total != 100_000 {
			t.Errorf("%d bytes out of %d", total, len(data))
		}
	})
}

func TestChildrenAreVisitedOnce(t *testing.T) {
	c, root, _ := compound.Open((&compoundtest.Builder{Shift: 9}).File(compoundtest.Stream("a", "x"), compoundtest.Stream("b", "x")))
	count := 0
	each := func(compound.Entry) { count++ }
	if whole := c.Children(root, each); !whole || count != 2 {
		t.Errorf("%d children, whole %v", count, whole)
	}
	if whole := c.Children(root, each); whole || count != 2 {
		t.Errorf("again: %d children, whole %v", count, whole)
	}
}

func TestWhatIsNoCompoundFile(t *testing.T) {
	good := (&compoundtest.Builder{Shift: 9}).File(compoundtest.Stream("a", "x"))
	changed := func(at int, b byte) []byte {
		bad := bytes.Clone(good)
		bad[at] = b
		return bad
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "header alone": good[:512], "half a header": good[:300], "other signature": changed(0, 'P'),
		"sectors of 2 bytes": changed(30, 1), "sectors of 2 GB": changed(30, 31), "directory nowhere": changed(51, 1),
	} {
		if _, _, ok := compound.Open(data); ok {
			t.Errorf("%s: opened", name)
		}
	}
	if _, _, ok := compound.Open(good); !ok {
		t.Error("not opened")
	}
}
