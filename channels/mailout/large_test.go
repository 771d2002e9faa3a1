package mailout_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"io"
	"math/big"
	"runtime"
	"testing"
	"time"

	"vaguemestre/channels/mailout"
	"vaguemestre/channels/mailout/dkim"
	"vaguemestre/channels/mailout/typeset"
	"vaguemestre/core"
)

// zeros is a file of so many bytes that nobody holds.
type zeros struct{ left int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.left)
	clear(p[:n])
	z.left -= n
	return int(n), nil
}

func (*zeros) Close() error { return nil }

// large is a letter with five files of ten megabytes.
func large(certificate []byte) core.Letter {
	l := core.Letter{ID: "0f8b2c7e-1d7a-4c3b-9a52-3f1f6a9c0d11", To: "etat-civil@ville.test", Subject: "Pièces", Text: "Voici.\n", Date: time.Now(), Certificate: certificate}
	for range 5 {
		const size = 10_000_000
		l.Files = append(l.Files, core.LetterFile{Name: "piece.pdf", Type: "application/pdf", Size: size, Open: func(context.Context) (io.ReadCloser, error) { return &zeros{size}, nil }})
	}
	return l
}

// TestSEC27_LargeLettersAreHeldOnce: a letter with 50 MB of files is held in memory once,
// encoded, signed or encrypted, and nowhere else.
func TestSEC27_LargeLettersAreHeldOnce(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}, &x509.Certificate{}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := dkim.New()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := dkim.Parse(secret, "s")
	if err != nil {
		t.Fatal(err)
	}
	sender := mailout.Sender{Sender: typeset.Sender{Address: "demarches@ville.test"}, Sign: dkim.Signer{Domain: "ville.test", Keys: keys}}
	for name, c := range map[string]struct {
		letter core.Letter
		most   int64 // of the message
	}{"open": {large(nil), 70_000_000}, "encrypted": {large(certificate), 96_000_000}} {
		message, err := typeset.New(c.letter, sender.Sender, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if message.Size() > c.most {
			t.Errorf("%s: a message of %d bytes", name, message.Size())
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		pieces, err := mailout.Written(t.Context(), message, sender, c.letter.Date)
		if err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		if grew := int64(after.TotalAlloc - before.TotalAlloc); grew > message.Size()+4<<20 {
			t.Errorf("%s: %d bytes allocated for a message of %d", name, grew, message.Size())
		}
		t.Logf("%s: %d bytes in %v", name, len(pieces[1]), took.Round(time.Millisecond))
	}
}
