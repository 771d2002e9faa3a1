package smime

import (
	"crypto/aes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
)

var (
	oidData      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidEnveloped = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 3}
	oidRSA       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidAES256CBC = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
	oidAES256KW  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 45}
	oidECDH      = asn1.ObjectIdentifier{1, 3, 132, 1, 11, 1} // dhSinglePass-stdDH-sha256kdf-scheme
	oidECKey     = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
)

// version of the envelope (RFC 5652 §6.1) that holds the recipient's entry.
func (r *Recipient) version() int {
	if _, ok := r.cert.PublicKey.(*ecdsa.PublicKey); ok {
		return 2
	}
	return 0
}

type issuerAndSerial struct {
	Issuer asn1.RawValue
	Serial asn1.RawValue
}

func (r *Recipient) name() (issuerAndSerial, error) {
	serial, err := asn1.Marshal(r.cert.SerialNumber)
	return issuerAndSerial{asn1.RawValue{FullBytes: r.cert.RawIssuer}, asn1.RawValue{FullBytes: serial}}, err
}

// info is the recipient's entry: the key of the content, for them alone.
func (r *Recipient) info(key []byte) ([]byte, error) {
	name, err := r.name()
	if err != nil {
		return nil, err
	}
	if pub, ok := r.cert.PublicKey.(*ecdsa.PublicKey); ok {
		return agree(name, pub, key)
	}
	return transport(name, r.cert.PublicKey.(*rsa.PublicKey), key)
}

type keyTransport struct {
	Version      int
	Recipient    issuerAndSerial
	Algorithm    pkix.AlgorithmIdentifier
	EncryptedKey []byte
}

// transport encrypts the key with padding of PKCS #1 v1.5: the one that every mail program
// reads (RFC 8551 §2.3). Its weakness is in servers that answer whether it was right; a
// mail program answers nobody.
func transport(name issuerAndSerial, pub *rsa.PublicKey, key []byte) ([]byte, error) {
	encrypted, err := rsa.EncryptPKCS1v15(rand.Reader, pub, key) //lint:ignore SA1019 what mail programs read, see above
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(keyTransport{0, name, pkix.AlgorithmIdentifier{Algorithm: oidRSA, Parameters: asn1.NullRawValue}, encrypted})
}

type originatorKey struct { // [1] IMPLICIT OriginatorPublicKey, made as the sequence it is
	Algorithm pkix.AlgorithmIdentifier
	PublicKey asn1.BitString
}

type agreedKey struct {
	Recipient    issuerAndSerial
	EncryptedKey []byte
}

// agree wraps the key under one agreed upon between a key made for it and the recipient's.
func agree(name issuerAndSerial, pub *ecdsa.PublicKey, key []byte) ([]byte, error) {
	to, err := pub.ECDH()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	own, err := to.Curve().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	wrapping, err := shared(own, to)
	if err != nil {
		return nil, err
	}
	wrapped, err := wrap(wrapping, key)
	if err != nil {
		return nil, err
	}
	kw, err := asn1.Marshal(pkix.AlgorithmIdentifier{Algorithm: oidAES256KW})
	if err != nil {
		return nil, err
	}
	public, err := asn1.Marshal(originatorKey{
		Algorithm: pkix.AlgorithmIdentifier{Algorithm: oidECKey},
		PublicKey: asn1.BitString{Bytes: own.PublicKey().Bytes(), BitLength: 8 * len(own.PublicKey().Bytes())},
	})
	if err != nil {
		return nil, err
	}
	public[0] = 0xa1 // [1] IMPLICIT
	fields, err := concat(3, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: public},
		pkix.AlgorithmIdentifier{Algorithm: oidECDH, Parameters: asn1.RawValue{FullBytes: kw}}, []agreedKey{{name, wrapped}})
	return append(head(0xa1, int64(len(fields))), fields...), err // [1] IMPLICIT KeyAgreeRecipientInfo
}

// concat marshals one value after another.
func concat(values ...any) (out []byte, err error) {
	for _, v := range values {
		b, err := asn1.Marshal(v)
		if err != nil {
			return nil, err
		}
		out = append(out, b...)
	}
	return out, nil
}

type sharedInfo struct {
	Algorithm pkix.AlgorithmIdentifier
	Length    []byte `asn1:"explicit,tag:2"`
}

// shared derives a key of 32 bytes from what both sides know (RFC 5753 §7.2; X9.63, one
// block of SHA-256).
func shared(own *ecdh.PrivateKey, to *ecdh.PublicKey) ([]byte, error) {
	z, err := own.ECDH(to)
	if err != nil {
		return nil, err
	}
	info, err := asn1.Marshal(sharedInfo{pkix.AlgorithmIdentifier{Algorithm: oidAES256KW}, binary.BigEndian.AppendUint32(nil, 8*keySize)})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append(binary.BigEndian.AppendUint32(z, 1), info...))
	return sum[:], nil
}

// wrap is AES key wrap (RFC 3394) of a key that is a multiple of 8 bytes.
func wrap(wrapping, key []byte) ([]byte, error) {
	c, err := aes.NewCipher(wrapping)
	if err != nil {
		return nil, err
	}
	n := len(key) / 8
	out := append([]byte{0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6}, key...)
	b := make([]byte, 16)
	for j := range 6 {
		for i := 1; i <= n; i++ {
			copy(b, out[:8])
			copy(b[8:], out[8*i:8*i+8])
			c.Encrypt(b, b)
			step := binary.BigEndian.Uint64(b) ^ uint64(n*j+i)
			binary.BigEndian.PutUint64(out, step)
			copy(out[8*i:], b[8:])
		}
	}
	return out, nil
}

// envelope is ContentInfo of EnvelopedData, up to the encrypted bytes, of which size follow.
func envelope(info []byte, version int, iv []byte, size int64) []byte {
	content := append(mustMarshal(oidData), mustMarshal(pkix.AlgorithmIdentifier{Algorithm: oidAES256CBC, Parameters: asn1.RawValue{FullBytes: mustMarshal(iv)}})...)
	content = append(content, head(0x80, size)...) // [0] IMPLICIT OCTET STRING
	content = append(head(0x30, int64(len(content))+size), content...)

	data := append(mustMarshal(version), head(0x31, int64(len(info)))...)
	data = append(append(data, info...), content...)
	data = append(head(0x30, int64(len(data))+size), data...)

	data = append(head(0xa0, int64(len(data))+size), data...)
	data = append(mustMarshal(oidEnveloped), data...)
	return append(head(0x30, int64(len(data))+size), data...)
}

// mustMarshal is for values that always have a form.
func mustMarshal(v any) []byte {
	b, err := asn1.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// head is the tag and the length of a DER value.
func head(tag byte, length int64) []byte {
	if length < 0x80 {
		return []byte{tag, byte(length)}
	}
	n := 1
	for length>>(8*n) > 0 {
		n++
	}
	out := []byte{tag, 0x80 | byte(n)}
	for i := n - 1; i >= 0; i-- {
		out = append(out, byte(length>>(8*i)))
	}
	return out
}
