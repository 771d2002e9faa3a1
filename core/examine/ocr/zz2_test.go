package ocr

import (
	stdimage "image"
	"strconv"
	"testing"
	"vaguemestre/core/examine/confine"
)

func rawTSV(t *testing.T, g *stdimage.Gray, dpi int) []byte {
	out, err := confine.Run(t.Context(), confine.Task{Program: "/usr/bin/tesseract", Args: []string{"stdin", "stdout", "-l", "fra", "--psm", "3", "--dpi", strconv.Itoa(dpi), "tsv"}, Env: []string{"OMP_THREAD_LIMIT=1"}, Input: pgm(g)})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
