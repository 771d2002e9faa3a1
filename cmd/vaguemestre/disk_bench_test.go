package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// BenchmarkDisk is the physical limit beside BenchmarkAccept: files of the same sizes a
// second, each written, synced, renamed and its folder synced, by nothing but that. An
// accepted mail costs that once, and a commit.
func BenchmarkDisk(b *testing.B) {
	for _, size := range []int{10_000, 200_000} {
		for _, writers := range []int{1, 10, 50} {
			b.Run(fmt.Sprintf("%dKB/%dwriters", size/1000, writers), func(b *testing.B) {
				dir, body := newHome(b), make([]byte, size)
				files := 300 * min(writers, 10)
				began := time.Now()
				for n := 0; b.Loop(); n++ {
					var wg sync.WaitGroup
					for w := range writers {
						wg.Go(func() {
							for i := w; i < files; i += writers {
								if err := durable(filepath.Join(dir, fmt.Sprintf("%d-%d", n, i)), body); err != nil {
									b.Error(err)
								}
							}
						})
					}
					wg.Wait()
				}
				b.ReportMetric(float64(b.N*files)/time.Since(began).Seconds(), "files/s")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

func durable(path string, body []byte) error {
	f, err := os.OpenFile(path+".partial", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	err = firstError(err, f.Sync(), f.Close(), os.Rename(path+".partial", path))
	if err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
