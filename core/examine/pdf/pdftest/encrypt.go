package pdftest

import (
	"crypto/md5"
	"crypto/rc4"
	"encoding/binary"
	"fmt"
)

// cipher is the standard security handler, revision 3, with a key of 128 bits
// (ISO 32000-1, 7.6.3). It seals streams; the files written here encrypt no string.
type cipher struct {
	key  []byte
	dict string
}

const permissions = -3904 // nothing but reading

var (
	fileID  = []byte("vaguemestre test")
	padding = []byte("\x28\xBF\x4E\x5E\x4E\x75\x8A\x41\x64\x00\x4E\x56\xFF\xFA\x01\x08\x2E\x2E\x00\xB6\xD0\x68\x3E\x80\x2F\x0C\xA9\xFE\x64\x53\x69\x7A")
)

func newCipher(user, owner string) *cipher {
	o := twenty(hashed(pad(owner)), pad(user))
	var p [4]byte
	binary.LittleEndian.PutUint32(p[:], uint32(0x100000000+permissions))
	key := hashed(append(append(append(pad(user), o...), p[:]...), fileID...))
	id := md5.Sum(append(append([]byte(nil), padding...), fileID...))
	u := append(twenty(key, id[:]), make([]byte, 16)...)
	return &cipher{key: key, dict: fmt.Sprintf("<< /Filter /Standard /V 2 /R 3 /Length 128 /P %d /O <%x> /U <%x> >>", permissions, o, u)}
}

func (c *cipher) seal(object int, data []byte) []byte {
	if c == nil {
		return data
	}
	sum := md5.Sum(append(append([]byte(nil), c.key...), byte(object), byte(object>>8), byte(object>>16), 0, 0))
	return crypt(sum[:], data)
}

func pad(password string) []byte {
	return append([]byte(password), padding...)[:32]
}

// hashed is MD5, fifty-one times.
func hashed(b []byte) []byte {
	sum := md5.Sum(b)
	for range 50 {
		sum = md5.Sum(sum[:])
	}
	return sum[:]
}

// twenty encrypts under twenty keys made of one.
func twenty(key, data []byte) []byte {
	for i := range byte(20) {
		k := make([]byte, len(key))
		for j := range k {
			k[j] = key[j] ^ i
		}
		data = crypt(k, data)
	}
	return data
}

func crypt(key, data []byte) []byte {
	out := make([]byte, len(data))
	must(rc4.NewCipher(key)).XORKeyStream(out, data)
	return out
}
