// Package dkim signs messages of our own making (RFC 6376, RFC 8463): relaxed/relaxed, by
// RSA and by Ed25519. The same message gives the same signatures each time.
package dkim

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"strings"
	"time"
)

// Signer signs for one domain.
type Signer struct {
	Domain string
	Keys   []Key
}

// Fields that are signed where they are there.
var signed = []string{
	"From", "To", "Cc", "Reply-To", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "Auto-Submitted",
	"MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-Disposition", "Content-Language",
}

// Fields of which nobody may add another: they are signed once more than they are there.
var oversigned = []string{"From", "To", "Cc", "Reply-To", "Subject", "Date", "Message-ID", "Content-Type"}

// Sign gives the fields to put before a message: one for each key. at is what the
// signatures say they were made at. The message has a header, lines end in CRLF.
func (s Signer) Sign(message []byte, at time.Time) ([]byte, error) {
	end := bytes.Index(message, []byte("\r\n\r\n"))
	if end < 0 {
		return nil, fmt.Errorf("message without a body")
	}
	fields := split(message[:end+2])
	body := sha256.New()
	relaxBody(body, message[end+4:])
	names, canonical := pick(fields)
	var out bytes.Buffer
	for _, key := range s.Keys {
		field := "DKIM-Signature: v=1; a=" + key.algorithm() + "; c=relaxed/relaxed; d=" + s.Domain + ";\r\n s=" + key.Selector +
			fmt.Sprintf("; t=%d;\r\n h=", at.Unix()) + foldNames(names) + ";\r\n bh=" + base64.StdEncoding.EncodeToString(body.Sum(nil)) + ";\r\n b="
		h := sha256.New()
		h.Write(canonical)
		h.Write(bytes.TrimSuffix(relaxField([]byte(field)), []byte("\r\n")))
		b, err := key.sign(h.Sum(nil))
		if err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
		out.WriteString(field)
		out.WriteString(foldBase64(b))
		out.WriteString("\r\n")
	}
	return out.Bytes(), nil
}

func (k Key) algorithm() string {
	if _, ok := k.Private.(ed25519.PrivateKey); ok {
		return "ed25519-sha256"
	}
	return "rsa-sha256"
}

func (k Key) sign(digest []byte) ([]byte, error) {
	if key, ok := k.Private.(ed25519.PrivateKey); ok {
		return ed25519.Sign(key, digest), nil
	}
	return rsa.SignPKCS1v15(rand.Reader, k.Private.(*rsa.PrivateKey), crypto.SHA256, digest)
}

// pick gives the names for h= and the fields they mean, in canonical form.
func pick(fields [][]byte) (names []string, canonical []byte) {
	for _, name := range signed {
		for i := len(fields) - 1; i >= 0; i-- { // from the bottom (RFC 6376 §5.4.2)
			if n, _, _ := bytes.Cut(fields[i], []byte(":")); strings.EqualFold(string(n), name) {
				names = append(names, name)
				canonical = append(canonical, relaxField(fields[i])...)
			}
		}
	}
	return append(names, oversigned...), canonical
}

// split cuts a header into its fields, each with its lines and their ends.
func split(header []byte) [][]byte {
	var out [][]byte
	for line := range bytes.Lines(header) {
		if n := len(out); n > 0 && (line[0] == ' ' || line[0] == '\t') {
			out[n-1] = append(out[n-1][:len(out[n-1]):len(out[n-1])], line...)
			continue
		}
		out = append(out, line)
	}
	return out
}

// relaxField is RFC 6376 §3.4.2.
func relaxField(field []byte) []byte {
	name, value, _ := bytes.Cut(field, []byte(":"))
	value = bytes.Join(bytes.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == '\t' || r == '\r' || r == '\n' }), []byte(" "))
	out := append(bytes.ToLower(bytes.TrimRight(name, " \t")), ':')
	return append(append(out, value...), "\r\n"...)
}

var (
	crlf      = []byte("\r\n")
	twoSpaces = []byte("  ")
)

// relaxBody hashes a body as RFC 6376 §3.4.4 has it.
func relaxBody(h hash.Hash, body []byte) {
	empty := 0
	for line := range bytes.Lines(body) {
		line = bytes.TrimRight(line, " \t\r\n")
		if len(line) == 0 {
			empty++
			continue
		}
		for ; empty > 0; empty-- {
			h.Write(crlf)
		}
		h.Write(collapse(line))
		h.Write(crlf)
	}
}

// collapse makes one space of blanks in a row.
func collapse(line []byte) []byte {
	if bytes.IndexByte(line, '\t') < 0 && !bytes.Contains(line, twoSpaces) {
		return line
	}
	out := make([]byte, 0, len(line))
	for i, c := range line {
		blank := c == ' ' || c == '\t'
		if blank && i > 0 && (line[i-1] == ' ' || line[i-1] == '\t') {
			continue
		}
		if blank {
			c = ' '
		}
		out = append(out, c)
	}
	return out
}

func foldNames(names []string) string {
	var b strings.Builder
	line := len(" h=")
	for i, name := range names {
		if i > 0 {
			b.WriteByte(':')
			line++
		}
		if line+len(name) > 74 {
			b.WriteString("\r\n  ")
			line = 2
		}
		b.WriteString(name)
		line += len(name)
	}
	return b.String()
}

func foldBase64(b []byte) string {
	s := base64.StdEncoding.EncodeToString(b)
	var lines []string
	for len(s) > 70 {
		lines, s = append(lines, s[:70]), s[70:]
	}
	return strings.Join(append(lines, s), "\r\n  ")
}
