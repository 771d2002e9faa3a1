package twoddoc

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"strings"
)

// Bounds on what is read of a file of certificates.
const (
	maxBundle       = 8 << 20
	maxCertificates = 5_000
)

// ReadCertificates reads the certificates of a file in any of the forms in which the
// authorities publish them: PEM, DER, DER one behind another, a MIME multipart of DER
// (RFC 4387), a PKCS #7 of certificates alone (RFC 2315). A file that is damaged gives
// none; one certificate that cannot be read among others is left out: then there is both a
// result and an error.
func ReadCertificates(data []byte) ([]*x509.Certificate, error) {
	if len(data) > maxBundle {
		return nil, errors.New("file larger than any bundle of certificates")
	}
	blocks, err := derBlocks(data)
	if err != nil {
		return nil, err
	}
	if len(blocks) == 0 {
		return nil, errors.New("no certificate in it")
	}
	var out []*x509.Certificate
	var errs []error
	for i, der := range blocks {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			errs = append(errs, fmt.Errorf("certificate %d of the file: %w", i+1, err))
			continue
		}
		out = append(out, cert)
	}
	return out, errors.Join(errs...)
}

func derBlocks(data []byte) ([][]byte, error) {
	trimmed := bytes.TrimSpace(data)
	switch {
	case bytes.Contains(data, []byte("-----BEGIN ")):
		return pemBlocks(data)
	case len(data) > 0 && data[0] == 0x30: // SEQUENCE
		return derSequence(data)
	case bytes.HasPrefix(trimmed, []byte("--")) || bytes.HasPrefix(bytes.ToLower(trimmed[:min(len(trimmed), 512)]), []byte("content-type:")) || bytes.HasPrefix(bytes.ToLower(trimmed[:min(len(trimmed), 512)]), []byte("mime-version:")):
		return multipartBlocks(trimmed)
	}
	return nil, errors.New("neither PEM, DER nor a bundle of them")
}

func pemBlocks(data []byte) ([][]byte, error) {
	var out [][]byte
	for {
		var block *pem.Block
		block, data = pem.Decode(data)
		if block == nil {
			return out, nil
		}
		switch block.Type {
		case "CERTIFICATE":
			out = append(out, block.Bytes)
		case "PKCS7":
			inner, err := derSequence(block.Bytes)
			if err != nil {
				return nil, err
			}
			out = append(out, inner...)
		}
		if len(out) > maxCertificates {
			return nil, errors.New("too many certificates")
		}
	}
}

// derSequence parts DER values that stand one behind another.
func derSequence(data []byte) ([][]byte, error) {
	var out [][]byte
	for rest := data; len(bytes.Trim(rest, "\x00\r\n")) > 0; {
		var v asn1.RawValue
		next, err := asn1.Unmarshal(rest, &v)
		if err != nil || v.Tag != asn1.TagSequence || !v.IsCompound {
			return nil, errors.New("damaged DER")
		}
		inner, err := pkcs7(v.FullBytes)
		switch {
		case err == nil:
			out = append(out, inner...)
		default:
			out = append(out, v.FullBytes)
		}
		if len(out) > maxCertificates {
			return nil, errors.New("too many certificates")
		}
		rest = next
	}
	return out, nil
}

var errNotPKCS7 = errors.New("no PKCS #7")

var signedDataOID = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}

// pkcs7 takes the certificates out of a SignedData; its signatures mean nothing here.
func pkcs7(der []byte) ([][]byte, error) {
	var outer struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"explicit,tag:0"`
	}
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) > 0 || !outer.Type.Equal(signedDataOID) {
		return nil, errNotPKCS7
	}
	var signed struct {
		Version      int
		Digests      asn1.RawValue
		Info         asn1.RawValue
		Certificates asn1.RawValue `asn1:"optional,tag:0"`
		CRLs         asn1.RawValue `asn1:"optional,tag:1"`
		Signers      asn1.RawValue
	}
	if _, err := asn1.Unmarshal(outer.Content.Bytes, &signed); err != nil {
		return nil, errNotPKCS7
	}
	var out [][]byte
	for rest := signed.Certificates.Bytes; len(rest) > 0; {
		var v asn1.RawValue
		next, err := asn1.Unmarshal(rest, &v)
		if err != nil || len(out) > maxCertificates {
			return nil, errNotPKCS7
		}
		out, rest = append(out, v.FullBytes), next
	}
	return out, nil
}

// multipartBlocks takes the parts of a MIME multipart, which comes with its header or
// begins at the first boundary.
func multipartBlocks(data []byte) ([][]byte, error) {
	start := 0
	if !bytes.HasPrefix(data, []byte("--")) {
		at := bytes.Index(data, []byte("\n--"))
		if at < 0 {
			return nil, errors.New("damaged multipart")
		}
		start = at + 1
	}
	line, _, ok := bytes.Cut(data[start:], []byte("\n"))
	boundary := strings.TrimSpace(strings.TrimPrefix(string(line), "--"))
	if !ok || boundary == "" || len(boundary) > 200 {
		return nil, errors.New("damaged multipart")
	}
	var out [][]byte
	for r := multipart.NewReader(bytes.NewReader(data[start:]), boundary); ; {
		part, err := r.NextRawPart()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, errors.New("damaged multipart")
		}
		var body io.Reader = part
		if strings.EqualFold(part.Header.Get("Content-Transfer-Encoding"), "base64") {
			body = base64.NewDecoder(base64.StdEncoding, part)
		}
		der, err := io.ReadAll(body)
		if err != nil {
			return nil, errors.New("damaged multipart")
		}
		inner, err := derSequence(der)
		if err != nil {
			return nil, err
		}
		if out = append(out, inner...); len(out) > maxCertificates {
			return nil, errors.New("too many certificates")
		}
	}
}

// ReadRevocations reads a revocation list, DER or PEM.
func ReadRevocations(data []byte) (*x509.RevocationList, error) {
	if len(data) > maxBundle {
		return nil, errors.New("file larger than any revocation list")
	}
	if block, _ := pem.Decode(data); block != nil {
		if block.Type != "X509 CRL" {
			return nil, errors.New("no revocation list")
		}
		data = block.Bytes
	}
	return x509.ParseRevocationList(data)
}

// IDs are the identifiers that a certificate gives itself: those of its issuer's CN and of
// its own, the latter "" for an authority's.
func IDs(cert *x509.Certificate) (authority, id string, ok bool) {
	if cert.BasicConstraintsValid && cert.IsCA {
		return cert.Subject.CommonName, "", isAuthority(cert.Subject.CommonName)
	}
	authority, id = cert.Issuer.CommonName, cert.Subject.CommonName
	return authority, id, isAuthority(authority) && isCertificate(id)
}

// isCertificate: four characters in the text form, five in the binary one.
func isCertificate(id string) bool { return (len(id) == 4 || len(id) == 5) && isUpper(id) }
