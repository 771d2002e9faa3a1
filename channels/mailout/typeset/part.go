package typeset

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"strings"

	"vaguemestre/channels/mailout/smime"
	"vaguemestre/core"
)

// part is an entity of MIME. Its size is known before it is written.
type part interface {
	size() int64
	write(ctx context.Context, w io.Writer) error
}

// text is a part of text, encoded already.
type text string

func newText(kind, content string) text {
	var b strings.Builder
	field(&b, "Content-Type", kind+"; charset=utf-8")
	field(&b, "Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	_, _ = io.WriteString(w, lines(content)) // a Builder takes everything
	_ = w.Close()
	return text(b.String())
}

// lines ends every line in CRLF, the last one too, and leaves out what does not belong
// into text.
func lines(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\r\n", "\n")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\r':
			return '\n'
		case r < ' ' && r != '\n' && r != '\t', r == 0x7f:
			return -1
		}
		return r
	}, s)
	return strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\r\n") + "\r\n"
}

func (t text) size() int64 { return int64(len(t)) }

func (t text) write(_ context.Context, w io.Writer) error {
	_, err := io.WriteString(w, string(t))
	return err
}

// file is a part that is a file.
type file struct {
	header string
	file   core.LetterFile
}

func newFile(f core.LetterFile) file {
	name := FileName(f.Name)
	var b strings.Builder
	field(&b, "Content-Type", typeWithName(mediaType(f.Type), name))
	field(&b, "Content-Transfer-Encoding", "base64")
	field(&b, "Content-Disposition", attachment(name))
	b.WriteString("\r\n")
	return file{b.String(), f}
}

func (f file) size() int64 { return int64(len(f.header)) + based(f.file.Size) }

func (f file) write(ctx context.Context, w io.Writer) error {
	if _, err := io.WriteString(w, f.header); err != nil {
		return err
	}
	r, err := f.file.Open(ctx)
	if err != nil {
		return fmt.Errorf("open file: %w", err)
	}
	defer r.Close()
	out := newBase64(w)
	n, err := io.Copy(out, io.LimitReader(r, f.file.Size+1))
	if err != nil {
		return fmt.Errorf("copy file: %w", err)
	}
	if n != f.file.Size {
		return errOtherSize
	}
	return out.Close()
}

// errOtherSize: a file is not as long as it was said to be.
var errOtherSize = errors.New("file of another size")

// multi is parts between boundaries.
type multi struct {
	subtype, boundary string
	parts             []part
}

// preamble is the entity's header, up to the first part.
func (m multi) preamble() string {
	return "Content-Type: multipart/" + m.subtype + ";\r\n boundary=\"" + m.boundary + "\"\r\n\r\n--" + m.boundary + "\r\n"
}

func (m multi) between() string { return "\r\n--" + m.boundary + "\r\n" }
func (m multi) end() string     { return "\r\n--" + m.boundary + "--\r\n" }

func (m multi) size() int64 {
	n := len(m.preamble()) + (len(m.parts)-1)*len(m.between()) + len(m.end())
	total := int64(n)
	for _, p := range m.parts {
		total += p.size()
	}
	return total
}

func (m multi) write(ctx context.Context, w io.Writer) error {
	before := m.preamble()
	for _, p := range m.parts {
		if _, err := io.WriteString(w, before); err != nil {
			return err
		}
		if err := p.write(ctx, w); err != nil {
			return err
		}
		before = m.between()
	}
	_, err := io.WriteString(w, m.end())
	return err
}

// sealed is an entity that only the owner of a certificate can read (RFC 8551 §3.3).
type sealed struct {
	inner part
	to    *smime.Recipient
}

const sealedHeader = "Content-Type: application/pkcs7-mime; smime-type=enveloped-data;\r\n name=\"smime.p7m\"\r\n" +
	"Content-Transfer-Encoding: base64\r\n" +
	"Content-Disposition: attachment;\r\n filename=\"smime.p7m\"\r\n\r\n"

func (s sealed) size() int64 { return int64(len(sealedHeader)) + based(s.to.Size(s.inner.size())) }

func (s sealed) write(ctx context.Context, w io.Writer) error {
	if _, err := io.WriteString(w, sealedHeader); err != nil {
		return err
	}
	encoded := newBase64(w)
	in, err := s.to.Encrypt(encoded, s.inner.size())
	if err != nil {
		return err
	}
	if err := s.inner.write(ctx, in); err != nil {
		return err
	}
	if err := in.Close(); err != nil {
		return err
	}
	return encoded.Close()
}

const (
	lineBytes = 57 // that make a line of 76 characters
	lineChars = 76
)

// based is the length of n bytes in lines of base64.
func based(n int64) int64 {
	chars := (n + 2) / 3 * 4
	return chars + 2*((chars+lineChars-1)/lineChars)
}

// base64Lines encodes in lines of 76 characters, each ended by CRLF.
type base64Lines struct {
	w    io.Writer
	held []byte // of a line begun
	out  []byte
}

func newBase64(w io.Writer) *base64Lines { return &base64Lines{w: w} }

func (b *base64Lines) Write(p []byte) (int, error) {
	n := len(p)
	if len(b.held) > 0 {
		take := min(lineBytes-len(b.held), len(p))
		b.held = append(b.held, p[:take]...)
		if p = p[take:]; len(b.held) < lineBytes {
			return n, nil
		}
	}
	b.out = b.out[:0]
	if len(b.held) > 0 {
		b.line(b.held)
		b.held = b.held[:0]
	}
	for len(p) >= lineBytes {
		b.line(p[:lineBytes])
		p = p[lineBytes:]
	}
	b.held = append(b.held, p...)
	_, err := b.w.Write(b.out)
	return n, err
}

func (b *base64Lines) line(p []byte) {
	b.out = append(base64.StdEncoding.AppendEncode(b.out, p), "\r\n"...)
}

// Close writes what is left.
func (b *base64Lines) Close() error {
	if len(b.held) == 0 {
		return nil
	}
	b.out = b.out[:0]
	b.line(b.held)
	_, err := b.w.Write(b.out)
	return err
}
