package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
)

// Key is one key that signs, and where its record stands in the DNS.
type Key struct {
	Selector string
	Private  crypto.Signer // *rsa.PrivateKey or ed25519.PrivateKey
}

// Beside is where the record of the Ed25519 key stands that is a pair with the RSA key of
// a selector: each key has a record of its own.
func Beside(selector string) string { return selector + "-ed" }

// New makes a pair of keys, by RSA and by Ed25519, as one secret in PEM.
func New() ([]byte, error) {
	big, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	_, small, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	var out []byte
	for _, key := range []any{big, small} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	}
	return out, nil
}

// Parse reads keys from PEM: of New, or an RSA or Ed25519 key of a town's own. The error
// quotes nothing of them.
func Parse(secret []byte, selector string) ([]Key, error) {
	var keys []Key
	for block, rest := pem.Decode(secret); block != nil; block, rest = pem.Decode(rest) {
		private, err := parse(block)
		if err != nil {
			return nil, err
		}
		key := Key{selector, private}
		switch private := private.(type) {
		case *rsa.PrivateKey:
			if private.N.BitLen() < 1024 {
				return nil, errors.New("dkim key: RSA below 1024 bits")
			}
		case ed25519.PrivateKey:
			key.Selector = Beside(selector)
		default:
			return nil, fmt.Errorf("dkim key: of kind %T", private)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("dkim key: no private key in PEM")
	}
	return keys, nil
}

func parse(block *pem.Block) (crypto.Signer, error) {
	if block.Type == "RSA PRIVATE KEY" {
		key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			return nil, errors.New("dkim key: unreadable")
		}
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("dkim key: unreadable")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("dkim key: of kind %T", key)
	}
	return signer, nil
}

// Record is what is published at <selector>._domainkey.<domain>.
func (k Key) Record() (string, error) {
	if key, ok := k.Private.(ed25519.PrivateKey); ok {
		return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey)), nil
	}
	der, err := x509.MarshalPKIXPublicKey(k.Private.Public())
	if err != nil {
		return "", err
	}
	return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der), nil
}
