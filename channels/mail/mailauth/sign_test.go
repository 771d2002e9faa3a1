package mailauth_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"
)

// zone is DNS in memory. What is in failing is not answered, and what is in hanging
// only when the question is given up.
type zone struct {
	txt     map[string][]string
	ip      map[string]string
	failing map[string]bool
	hanging map[string]bool

	mu    sync.Mutex
	asked []string
}

func (z *zone) ask(ctx context.Context, name string) error {
	name = strings.TrimSuffix(name, ".")
	z.mu.Lock()
	z.asked = append(z.asked, name)
	z.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case z.failing[name], z.failing["*"]:
		return &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
	case z.hanging[name]:
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (z *zone) LookupTXT(ctx context.Context, name string) ([]string, error) {
	if !strings.HasSuffix(name, ".") {
		return nil, fmt.Errorf("%s is not absolute", name)
	}
	if err := z.ask(ctx, name); err != nil {
		return nil, err
	}
	if txts := z.txt[strings.TrimSuffix(name, ".")]; txts != nil {
		return txts, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (z *zone) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	if err := z.ask(ctx, name); err != nil {
		return nil, err
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (z *zone) LookupIPAddr(ctx context.Context, name string) ([]net.IPAddr, error) {
	if err := z.ask(ctx, name); err != nil {
		return nil, err
	}
	if ip := z.ip[strings.TrimSuffix(name, ".")]; ip != "" {
		return []net.IPAddr{{IP: net.ParseIP(ip)}}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (z *zone) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	return nil, &net.DNSError{Err: "no such host", Name: addr, IsNotFound: true}
}

func (z *zone) names() []string {
	z.mu.Lock()
	defer z.mu.Unlock()
	return append([]string{}, z.asked...)
}

// pair is a key of the tests.
type pair struct {
	crypto.Signer
	small *rsa.PrivateKey // below what Go would sign with
}

var (
	rsaKey   = sync.OnceValue(func() pair { return newRSA(2048) })
	otherKey = sync.OnceValue(func() pair { return newRSA(1024) })
	edKey    = sync.OnceValue(func() pair {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			panic(err)
		}
		return pair{Signer: key}
	})
	shortKey  = sync.OnceValue(func() pair { return newSmall(512) })
	almostKey = sync.OnceValue(func() pair { return newSmall(1020) }) // as many bytes as 1024 bits
)

func newRSA(bits int) pair {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return pair{Signer: key}
}

// newSmall makes an RSA key by hand.
func newSmall(bits int) pair {
	for {
		p, err1 := rand.Prime(rand.Reader, bits/2)
		q, err2 := rand.Prime(rand.Reader, bits/2)
		if err1 != nil || err2 != nil {
			panic("no primes")
		}
		one, e := big.NewInt(1), big.NewInt(65537)
		phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
		n, d := new(big.Int).Mul(p, q), new(big.Int).ModInverse(e, phi)
		if d != nil && n.BitLen() == bits {
			return pair{small: &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: 65537}, D: d}}
		}
	}
}

// record is the key as it is published.
func (p pair) record() string {
	if p.small != nil {
		return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(&p.small.PublicKey))
	}
	switch public := p.Public().(type) {
	case ed25519.PublicKey:
		return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)
	default:
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			panic(err)
		}
		return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)
	}
}

// sign signs text by the rules of PKCS #1 v1.5 or Ed25519.
func (p pair) sign(hash crypto.Hash, text string) string {
	h := hash.New()
	h.Write([]byte(text))
	digest := h.Sum(nil)
	if p.small != nil {
		prefix := []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}
		size := (p.small.N.BitLen() + 7) / 8
		block := append([]byte{0, 1}, bytes.Repeat([]byte{0xff}, size-3-len(prefix)-len(digest))...)
		block = append(append(append(block, 0), prefix...), digest...)
		sig := new(big.Int).Exp(new(big.Int).SetBytes(block), p.small.D, p.small.N)
		return base64.StdEncoding.EncodeToString(sig.FillBytes(make([]byte, size)))
	}
	opts := crypto.SignerOpts(hash)
	if _, ok := p.Public().(ed25519.PublicKey); ok {
		opts = crypto.Hash(0)
	}
	sig, err := p.Sign(rand.Reader, digest, opts)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(sig)
}

// signed signs a message as honest mail systems do.
func signed(message string, o dkim.SignOptions) string {
	if o.Domain == "" {
		o.Domain = "courriel.test"
	}
	if o.Selector == "" {
		o.Selector = "s1"
	}
	if o.Signer == nil {
		o.Signer = rsaKey()
	}
	if p, ok := o.Signer.(pair); ok {
		o.Signer = p.Signer
	}
	var out bytes.Buffer
	if err := dkim.Sign(&out, strings.NewReader(message), &o); err != nil {
		panic(err)
	}
	return out.String()
}

// gmail is the usual way of signing.
func gmail(message string) string {
	return signed(message, relaxedOptions)
}

var relaxedOptions = dkim.SignOptions{
	HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
	HeaderKeys: []string{"From", "From", "To", "Subject", "Date", "Message-ID"},
}

// forged is a signature whose tags are given, with bh= and b= that fit them: for what no
// honest program would sign. The form is relaxed/relaxed.
type forged struct {
	field string // DKIM-Signature when empty
	tags  string // up to bh=
	h     string // names signed
	key   pair
	hash  crypto.Hash
	body  string // what of the body is signed; all of it when empty
}

func (f forged) sign(message string) string {
	if f.field == "" {
		f.field = "DKIM-Signature"
	}
	if f.key == (pair{}) {
		f.key = rsaKey()
	}
	header, body, _ := strings.Cut(message, "\r\n\r\n")
	if f.body == "" {
		f.body = body
	}
	value := fmt.Sprintf(" %s; h=%s; bh=%s; b=", f.tags, f.h, base64.StdEncoding.EncodeToString(f.sum(relaxBody(f.body))))
	fields := unfoldedFields(header)
	text := ""
	for _, name := range strings.Split(f.h, ":") {
		for i := len(fields) - 1; i >= 0; i-- {
			if got, _, _ := strings.Cut(fields[i], ":"); strings.EqualFold(strings.TrimSpace(got), name) {
				text += relax(fields[i]) + "\r\n"
				fields = append(fields[:i:i], fields[i+1:]...)
				break
			}
		}
	}
	return f.field + ":" + value + f.key.sign(f.algorithm(), text+relax(f.field+":"+value)) + "\r\n" + message
}

func (f forged) algorithm() crypto.Hash {
	if f.hash == 0 {
		return crypto.SHA256
	}
	return f.hash
}

func (f forged) sum(text string) []byte {
	if f.hash == crypto.SHA1 {
		sum := sha1.Sum([]byte(text))
		return sum[:]
	}
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

func unfoldedFields(header string) []string {
	return strings.Split(regexp.MustCompile(`\r\n([ \t])`).ReplaceAllString(header, "$1"), "\r\n")
}

var blanks = regexp.MustCompile(`[ \t\r\n]+`)

func relax(field string) string {
	name, value, _ := strings.Cut(field, ":")
	return strings.ToLower(strings.TrimSpace(name)) + ":" + strings.TrimSpace(blanks.ReplaceAllString(value, " "))
}

func relaxBody(body string) string {
	body = regexp.MustCompile(`[ \t]+`).ReplaceAllString(body, " ")
	body = strings.ReplaceAll(body+"\r\n", " \r\n", "\r\n")
	if body = strings.TrimRight(body, "\r\n"); body == "" {
		return ""
	}
	return body + "\r\n"
}

// sealed adds the n-th ARC set to a message, whose sealer saw results. A domain after a
// blank is the one that signed the message.
func sealed(t testing.TB, message string, n int, domain, cv, results string) string {
	t.Helper()
	header, _, _ := strings.Cut(message, "\r\n\r\n")
	domain, signer, _ := strings.Cut(domain, " ")
	if signer == "" {
		signer = domain
	}
	var sets string
	for i := 1; i < n; i++ {
		for _, name := range []string{"ARC-Authentication-Results", "ARC-Message-Signature", "ARC-Seal"} {
			for _, f := range unfoldedFields(header) {
				if strings.HasPrefix(f, fmt.Sprintf("%s: i=%d;", name, i)) {
					sets += relax(f) + "\r\n"
				}
			}
		}
	}
	aar := fmt.Sprintf("ARC-Authentication-Results: i=%d; mx.%s; %s", n, domain, results)
	signed := forged{field: "ARC-Message-Signature", tags: fmt.Sprintf("i=%d; a=rsa-sha256; c=relaxed/relaxed; d=%s; s=arc; t=%d", n, signer, time.Now().Unix()), h: "from:to:subject:dkim-signature"}.sign(message)
	ams, _, _ := strings.Cut(signed, "\r\n")
	seal := fmt.Sprintf("ARC-Seal: i=%d; a=rsa-sha256; t=%d; cv=%s; d=%s; s=arc; b=", n, time.Now().Unix(), cv, domain)
	seal += rsaKey().sign(crypto.SHA256, sets+relax(aar)+"\r\n"+relax(ams)+"\r\n"+relax(seal))
	return seal + "\r\n" + ams + "\r\n" + aar + "\r\n" + message
}
