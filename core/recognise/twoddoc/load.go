package twoddoc

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Names in a folder of trust: ListName the trust list, SignerName the fingerprint of who
// may sign it, <CA>.pem an authority, <CA>-<ID>.pem a certificate (both also .der, .cer,
// .crt), <CA>.crl revocations. A file of certificates under another name counts by the
// names that the certificates bear.
const (
	ListName   = "tsl.xml"
	SignerName = "tsl-signer.sha256"
)

const maxFiles = 20_000

// Load reads a folder of trust. What a file has against it is told and the file left out;
// an error means that the folder could not be read at all. With given, each file is the
// administrator's own word (`--trust DIR`): authorities and tests count, and a trust list
// needs no fingerprint. Without, the list must be signed by the signer noted beside it.
func Load(folder fs.FS, given bool) (t *Trust, problems []string, err error) {
	entries, err := fs.ReadDir(folder, ".")
	if err != nil {
		return nil, nil, err
	}
	if len(entries) > maxFiles {
		return nil, nil, errors.New("a folder of trust with too many files")
	}
	l := &loader{folder: folder, trust: &Trust{Given: given}}
	for _, step := range []func(name string) error{l.readList, l.readAuthorities, l.readLeaves, l.readRevocations} {
		for _, e := range entries {
			if e.IsDir() || strings.HasPrefix(e.Name(), ".") {
				continue
			}
			if err := step(e.Name()); err != nil {
				l.problem(fmt.Sprintf("%s: %v", printableText(e.Name()), err))
			}
		}
	}
	return l.trust, l.problems, nil
}

// loader reads a folder in steps: lists, authorities, what they signed, what they revoked.
type loader struct {
	folder   fs.FS
	trust    *Trust
	problems []string
}

// problem notes what a file has against it, once for all steps.
func (l *loader) problem(text string) {
	if !slices.Contains(l.problems, text) {
		l.problems = append(l.problems, text)
	}
}

func (l *loader) read(name string) ([]byte, error) {
	info, err := fs.Stat(l.folder, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxBundle {
		return nil, errors.New("no regular file, or too large")
	}
	return fs.ReadFile(l.folder, name)
}

func (l *loader) readList(name string) error {
	if strings.ToLower(path.Ext(name)) != ".xml" || !l.trust.Given && name != ListName {
		return nil
	}
	data, err := l.read(name)
	if err != nil {
		return err
	}
	list, err := ReadList(data)
	if err != nil {
		return err
	}
	if !l.trust.Given {
		pinned, err := l.read(SignerName)
		if err != nil {
			return err
		}
		if !SameFingerprint(string(pinned), list.Signer) {
			return errors.New("signed by another than the one noted in " + SignerName)
		}
	}
	if known := l.trust.list; known == nil || known.Sequence < list.Sequence {
		l.trust.UseList(list)
	}
	return nil
}

// SameFingerprint reports whether text is the fingerprint of cert, however it is spelled.
func SameFingerprint(text string, cert *x509.Certificate) bool {
	plain := strings.Map(func(r rune) rune {
		if strings.ContainsRune(": \t\r\n", r) {
			return -1
		}
		return r
	}, text)
	return strings.EqualFold(plain, Fingerprint(cert))
}

// isCertificateFile goes by the extension.
func isCertificateFile(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".pem", ".der", ".cer", ".crt", ".p7b", ".p7c":
		return true
	}
	return false
}

// idsOf are the identifiers that a file's name gives, id "" for an authority.
func idsOf(name string) (authority, id string, ok bool) {
	stem := strings.TrimSuffix(name, path.Ext(name))
	authority, id, leaf := strings.Cut(stem, "-")
	return authority, id, isAuthority(authority) && (!leaf || isCertificate(id))
}

// readAuthorities takes authorities where the administrator gave them.
func (l *loader) readAuthorities(name string) error {
	if !l.trust.Given {
		return nil
	}
	return l.each(name, func(authority, id string, cert *x509.Certificate) error {
		if id != "" {
			return nil
		}
		return l.trust.AddAuthority(authority, cert)
	})
}

func (l *loader) readLeaves(name string) error {
	return l.each(name, func(authority, id string, cert *x509.Certificate) error {
		if id == "" {
			return nil
		}
		err := l.trust.AddCertificate(authority, id, cert)
		if errors.Is(err, errWithdrawn) { // the list says so already: nothing is wrong with the file
			return nil
		}
		return err
	})
}

// each gives the certificates of a file with their identifiers.
func (l *loader) each(name string, take func(authority, id string, cert *x509.Certificate) error) error {
	if !isCertificateFile(name) {
		return nil
	}
	data, err := l.read(name)
	if err != nil {
		return err
	}
	certs, err := ReadCertificates(data)
	authority, id, named := idsOf(name)
	errs := []error{err}
	for _, cert := range certs {
		a, i, ok := IDs(cert)
		switch {
		case !named && !ok:
			errs = append(errs, errors.New("names no authority and certificate of 2D-Doc"))
			continue
		case named && !l.trust.Given && (a != authority || i != id):
			errs = append(errs, errors.New("bears another name than its file"))
			continue
		case named:
			a, i = authority, id
		}
		errs = append(errs, take(a, i, cert))
	}
	return errors.Join(errs...)
}

func (l *loader) readRevocations(name string) error {
	if strings.ToLower(path.Ext(name)) != ".crl" {
		return nil
	}
	data, err := l.read(name)
	if err != nil {
		return err
	}
	crl, err := ReadRevocations(data)
	if err != nil {
		return err
	}
	_, err = l.trust.AddRevocations(crl)
	return err
}
