package twoddoc

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// The names of XML Signature (W3C xmldsig-core, RFC 4051, RFC 6931) that are read here.
const (
	dsig        = "http://www.w3.org/2000/09/xmldsig#"
	excC14N     = "http://www.w3.org/2001/10/xml-exc-c14n#"
	enveloped   = dsig + "enveloped-signature"
	filter2     = "http://www.w3.org/2002/06/xmldsig-filter2"
	signedProps = "http://uri.etsi.org/01903#SignedProperties"
)

var digestMethods = map[string]crypto.Hash{
	"http://www.w3.org/2001/04/xmlenc#sha256":       crypto.SHA256,
	"http://www.w3.org/2001/04/xmldsig-more#sha384": crypto.SHA384,
	"http://www.w3.org/2001/04/xmlenc#sha512":       crypto.SHA512,
}

var signatureMethods = map[string]crypto.Hash{
	"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256":   crypto.SHA256,
	"http://www.w3.org/2001/04/xmldsig-more#rsa-sha384":   crypto.SHA384,
	"http://www.w3.org/2001/04/xmldsig-more#rsa-sha512":   crypto.SHA512,
	"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256": crypto.SHA256,
	"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384": crypto.SHA384,
	"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512": crypto.SHA512,
}

// verifySigned checks the one enveloped signature of a document, and returns the canonical
// bytes that it covers (all but the signature) with the certificate that made it. Whether
// that certificate deserves trust is for the caller to say. Only what is in those bytes
// may be believed.
func verifySigned(root *element) (content []byte, signer *x509.Certificate, err error) {
	signatures := root.all(dsig, "Signature")
	if len(signatures) != 1 || signatures[0].parent != root {
		return nil, nil, errors.New("want one signature of the whole list")
	}
	signature := signatures[0]
	info := signature.one(dsig, "SignedInfo")
	if info == nil || algorithm(info.one(dsig, "CanonicalizationMethod")) != excC14N {
		return nil, nil, errors.New("signature in a form that is not read here")
	}
	if signer, err = verifyInfo(signature, info); err != nil {
		return nil, nil, err
	}
	for _, reference := range info.elements() {
		if !reference.is(dsig, "Reference") {
			continue
		}
		covered, err := dereference(root, signature, reference)
		if err == nil {
			err = verifyDigest(reference, covered)
		}
		if err != nil {
			return nil, nil, err
		}
		if whole(reference) {
			content = covered
		}
	}
	if content == nil {
		return nil, nil, errors.New("the signature does not cover the list")
	}
	return content, signer, nil
}

// algorithm is an element's Algorithm, "" when there are parameters that would change it.
func algorithm(e *element) string {
	if e == nil || len(e.elements()) > 0 {
		return ""
	}
	return e.attr("Algorithm")
}

func whole(reference *element) bool {
	for _, a := range reference.attrs {
		if a.local == "URI" && a.prefix == "" {
			return a.value == ""
		}
	}
	return false
}

// dereference gives the bytes that a reference covers: the whole document but the
// signature, or an element inside the signature.
func dereference(root, signature, reference *element) ([]byte, error) {
	var transforms []*element
	if t := reference.one(dsig, "Transforms"); t != nil {
		transforms = t.elements()
	}
	var out bytes.Buffer
	if whole(reference) {
		if len(transforms) != 2 || !leavesSignatureOut(transforms[0]) || algorithm(transforms[1]) != excC14N {
			return nil, errors.New("transforms that are not read here")
		}
		root.canonical(&out, signature)
		return out.Bytes(), nil
	}
	id, ok := strings.CutPrefix(reference.attr("URI"), "#")
	if !ok || id == "" || len(transforms) != 1 || algorithm(transforms[0]) != excC14N {
		return nil, errors.New("reference to something that is not read here")
	}
	var target *element
	for _, e := range signature.all("http://uri.etsi.org/01903/v1.3.2#", "SignedProperties") {
		if e.attr("Id") == id && target == nil {
			target = e
		}
	}
	if target == nil || reference.attr("Type") != signedProps {
		return nil, errors.New("reference to something that is not read here")
	}
	target.canonical(&out, nil)
	return out.Bytes(), nil
}

// leavesSignatureOut: enveloped-signature, or the XPath filter that says the same.
func leavesSignatureOut(t *element) bool {
	if algorithm(t) == enveloped {
		return true
	}
	x := t.one(filter2, "XPath")
	return t.attr("Algorithm") == filter2 && len(t.elements()) == 1 && x != nil && x.attr("Filter") == "subtract" &&
		x.text() == "/descendant::ds:Signature" && x.scope["ds"] == dsig
}

func verifyDigest(reference *element, covered []byte) error {
	hash, ok := digestMethods[algorithm(reference.one(dsig, "DigestMethod"))]
	if !ok {
		return errors.New("digest in a form that is not read here")
	}
	h := hash.New()
	h.Write(covered)
	want, err := unbase64(reference.one(dsig, "DigestValue"))
	if err != nil || !bytes.Equal(h.Sum(nil), want) {
		return errors.New("the list was changed after it was signed")
	}
	return nil
}

// verifyInfo checks the signature over SignedInfo with the certificate beside it.
func verifyInfo(signature, info *element) (*x509.Certificate, error) {
	name := algorithm(info.one(dsig, "SignatureMethod"))
	hash, ok := signatureMethods[name]
	der, err := unbase64(signature.one(dsig, "KeyInfo").one(dsig, "X509Data").one(dsig, "X509Certificate"))
	if !ok || err != nil {
		return nil, errors.New("signature in a form that is not read here")
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the list’s signer: %w", err)
	}
	value, err := unbase64(signature.one(dsig, "SignatureValue"))
	if err != nil || !bounded(cert) {
		return nil, errors.New("signature in a form that is not read here")
	}
	var signed bytes.Buffer
	info.canonical(&signed, nil)
	h := hash.New()
	h.Write(signed.Bytes())
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		ok = strings.Contains(name, "#rsa-") && key.N.BitLen() >= 2048 && rsa.VerifyPKCS1v15(key, hash, h.Sum(nil), value) == nil
	case *ecdsa.PublicKey:
		half := len(value) / 2
		ok = strings.Contains(name, "#ecdsa-") && len(value) == 2*((key.Curve.Params().BitSize+7)/8) &&
			ecdsa.Verify(key, h.Sum(nil), new(big.Int).SetBytes(value[:half]), new(big.Int).SetBytes(value[half:]))
	default:
		ok = false
	}
	if !ok {
		return nil, errors.New("the list’s signature does not hold")
	}
	return cert, nil
}

func unbase64(e *element) ([]byte, error) {
	text := strings.Join(strings.Fields(e.text()), "")
	if text == "" {
		return nil, errors.New("empty")
	}
	return base64.StdEncoding.Strict().DecodeString(text)
}
