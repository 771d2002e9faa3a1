package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"

	"vaguemestre/cmd/vaguemestre/specimen"
)

// letter is one e-mail of the demonstration with its attachment, and what became of it.
type letter struct {
	subject, text string
	name, kind    string // of the attachment: file name, MIME type
	file          []byte
	number        string
	wanted        string // state of its piece in the end

	deposit string
	began   time.Time // when DATA was sent
	took    time.Duration
	piece   demoPiece
}

func demoLetters(now time.Time) ([]*letter, error) {
	who := specimen.Person{Given: "Camille", Family: "DÉMO", Street: "12 rue des Lilas", City: "30000 Démoville"}
	number := strings.ReplaceAll(now.Format("060102-150405.000"), ".", "-")
	photo, err := specimen.ElectricityBill(who, now, number).Photo(uint64(now.UnixNano()))
	if err != nil {
		return nil, err
	}
	return []*letter{
		{subject: "Mon avis d’impôt", text: "Bonjour,\n\nvoici mon dernier avis d’impôt.\n\nCamille Démo\n", wanted: "filed",
			name: "avis d’impôt.pdf", kind: "application/pdf", file: specimen.TaxNotice(who, now, number).PDF(), number: number + ".1"},
		{subject: "Justificatif de domicile", text: "Bonjour,\n\nma facture d’électricité, prise en photo.\n\nCamille Démo\n", wanted: "filed",
			name: "facture.jpg", kind: "image/jpeg", file: photo, number: number + ".2"},
		{subject: "Ma note", text: "Bonjour,\n\nen pièce jointe, une note.\n\nCamille Démo\n", wanted: "refused",
			name: "note.txt", kind: "text/plain; charset=utf-8", file: []byte("Je vous envoie bientôt mes justificatifs.\n"), number: number + ".3"},
	}, nil
}

// demoSender is whom the e-mails of the demonstration come from.
const demoSender = "camille@demo.test"

// message is the letter as an e-mail (RFC 5322).
func (l *letter) message(to string, date time.Time) ([]byte, error) {
	var b bytes.Buffer
	body := multipart.NewWriter(&b)
	fmt.Fprintf(&b, "From: %s <%s>\r\nTo: %s\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%s@demo.test>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=%s\r\n\r\n",
		mime.QEncoding.Encode("utf-8", "Camille Démo"), demoSender, to, mime.QEncoding.Encode("utf-8", l.subject), date.Format(time.RFC1123Z), l.number, body.Boundary())
	text, err := body.CreatePart(textproto.MIMEHeader{"Content-Type": {"text/plain; charset=utf-8"}, "Content-Transfer-Encoding": {"quoted-printable"}})
	if err != nil {
		return nil, err
	}
	encoded := quotedprintable.NewWriter(text)
	if _, err := io.WriteString(encoded, l.text); err != nil {
		return nil, err
	}
	if err := encoded.Close(); err != nil {
		return nil, err
	}
	attached, err := body.CreatePart(textproto.MIMEHeader{"Content-Type": {l.kind}, "Content-Transfer-Encoding": {"base64"},
		"Content-Disposition": {mime.FormatMediaType("attachment", map[string]string{"filename": l.name})}})
	if err != nil {
		return nil, err
	}
	for rest := l.file; len(rest) > 0; {
		n := min(57, len(rest)) // 76 characters a line (RFC 2045 §6.8)
		if _, err := io.WriteString(attached, base64.StdEncoding.EncodeToString(rest[:n])+"\r\n"); err != nil {
			return nil, err
		}
		rest = rest[n:]
	}
	if err := body.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// handOver sends one message and returns the text of the answer. net/smtp would not
// tell it, and it names the deposit. began is set when DATA is sent.
func handOver(ctx context.Context, addr, from, to string, message []byte, began *time.Time) (string, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(demoFor)); err != nil {
		return "", err
	}
	c, err := smtp.NewClient(conn, "localhost")
	if err != nil {
		return "", err
	}
	for _, step := range []func() error{
		func() error { return c.Hello("localhost") },
		func() error { return c.Mail(from) },
		func() error { return c.Rcpt(to) },
		func() error { *began = time.Now(); return c.Text.PrintfLine("DATA") },
		func() error { _, _, err := c.Text.ReadResponse(354); return err },
	} {
		if err := step(); err != nil {
			return "", err
		}
	}
	w := c.Text.DotWriter()
	if _, err := w.Write(message); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	_, reply, err := c.Text.ReadResponse(250)
	if err != nil {
		return "", err
	}
	return reply, c.Quit()
}

// bytesOf is a size for a person.
func bytesOf(n int) string {
	if n < 1000 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f kB", float64(n)/1000)
}
