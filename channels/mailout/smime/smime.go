// Package smime encrypts for the owner of a certificate: CMS EnvelopedData (RFC 5652) as
// S/MIME has it (RFC 8551), written as a stream. The content is under AES-256-CBC, its key
// under the recipient's RSA key, or agreed upon with their elliptic curve key (RFC 5753).
package smime

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"time"
)

// Recipient is for whom something is encrypted.
type Recipient struct {
	cert *x509.Certificate
	size int // of its entry in an envelope; the same each time
}

// ErrUnfit: nothing can be encrypted for a certificate: it is not in force, names another
// use, or has a key of a kind or size that is not used here.
var ErrUnfit = errors.New("certificate is of no use for encrypting")

// NewRecipient takes a certificate in DER. Who issued it is not asked: it is the town that
// vouches for it.
func NewRecipient(der []byte, now time.Time) (*Recipient, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	use := x509.KeyUsageKeyEncipherment
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < 2048 || bits > 8192 {
			return nil, fmt.Errorf("%w: RSA key of %d bits", ErrUnfit, bits)
		}
	case *ecdsa.PublicKey:
		use = x509.KeyUsageKeyAgreement
	default:
		return nil, fmt.Errorf("%w: key %T", ErrUnfit, key)
	}
	if cert.KeyUsage != 0 && cert.KeyUsage&use == 0 {
		return nil, fmt.Errorf("%w: key usage", ErrUnfit)
	}
	if now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return nil, fmt.Errorf("%w: not in force", ErrUnfit)
	}
	r := &Recipient{cert: cert}
	info, err := r.info(make([]byte, keySize))
	r.size = len(info)
	return r, err
}

const (
	keySize = 32
	block   = aes.BlockSize
)

// padded is the length of n bytes once they are encrypted: padding is never nothing.
func padded(n int64) int64 { return (n/block + 1) * block }

// Size is the length of an envelope around n bytes.
func (r *Recipient) Size(n int64) int64 {
	head := envelope(make([]byte, r.size), r.version(), make([]byte, block), padded(n))
	return int64(len(head)) + padded(n)
}

// Encrypt writes an envelope around exactly size bytes, which are to be written to what it
// returns and closed. It holds no more of them than it was given at a time.
func (r *Recipient) Encrypt(w io.Writer, size int64) (io.WriteCloser, error) {
	key, iv := make([]byte, keySize), make([]byte, block)
	_, _ = rand.Read(key) // documented never to fail
	_, _ = rand.Read(iv)
	info, err := r.info(key)
	if err != nil {
		return nil, err
	}
	c, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(envelope(info, r.version(), iv, padded(size))); err != nil {
		return nil, err
	}
	return &writer{w: w, mode: cipher.NewCBCEncrypter(c, iv), left: size}, nil
}

type writer struct {
	w    io.Writer
	mode cipher.BlockMode
	left int64  // still to come
	held []byte // of a block begun
	out  []byte
}

var errSize = errors.New("content of another size than was said")

func (e *writer) Write(p []byte) (int, error) {
	if e.left -= int64(len(p)); e.left < 0 {
		return 0, errSize
	}
	e.out = append(append(e.out[:0], e.held...), p...)
	whole := len(e.out) / block * block
	e.held = append(e.held[:0], e.out[whole:]...)
	e.mode.CryptBlocks(e.out[:whole], e.out[:whole])
	if _, err := e.w.Write(e.out[:whole]); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close pads and writes the last block.
func (e *writer) Close() error {
	if e.left != 0 {
		return errSize
	}
	n := block - len(e.held)
	for range n {
		e.held = append(e.held, byte(n))
	}
	e.mode.CryptBlocks(e.held, e.held)
	_, err := e.w.Write(e.held)
	return err
}
