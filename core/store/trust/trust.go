// Package trust keeps the trust list, certificates and revocations of 2D-Doc in a folder.
// Nothing enters it unchecked, and what is in it is checked again each time it is read: who
// can write there can leave a certificate out, but can make no other authority trusted
// than those of the list whose signer the administrator noted.
package trust

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"vaguemestre/core/recognise/twoddoc"
)

// Folder is such a folder. Any number of processes may read it while one imports.
type Folder struct{ dir string }

// At names a folder; it needs to exist only once something is imported.
func At(dir string) *Folder { return &Folder{dir} }

// Load reads the folder as it stands. Files that have something against them are named
// in problems and left out. A folder that is not there trusts nobody; one in which others
// than its owner may write is refused.
func (f *Folder) Load() (t *twoddoc.Trust, problems []string, err error) {
	switch err := ownersAlone(f.dir); {
	case errors.Is(err, fs.ErrNotExist):
		return &twoddoc.Trust{}, nil, nil
	case err != nil:
		return nil, nil, err
	}
	return twoddoc.Load(os.DirFS(f.dir), false)
}

// ownersAlone refuses a folder in which others may write.
func ownersAlone(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no folder", dir)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("others may write in %s (chmod go-w)", dir)
	}
	return nil
}

// Imported is what became of one thing in a file.
type Imported struct {
	What  string `json:"what"`            // "list", "certificate", "revocations"
	Name  string `json:"name"`            // FR03-0001, or the list's number
	Until string `json:"until,omitempty"` // end of the certificate, or when the next list is due
	Known bool   `json:"known,omitempty"` // was there already
	Note  string `json:"note,omitempty"`  // why it was not taken
	Taken bool   `json:"taken"`
}

// ErrSigner: a list is signed by somebody who was not noted as the one who may.
type ErrSigner struct{ Fingerprint, Subject string }

func (e *ErrSigner) Error() string {
	return fmt.Sprintf("the list is signed by %s, SHA-256 %s, who is not noted as its signer: compare the fingerprint with what France Titres publishes and give it as --signer", e.Subject, e.Fingerprint)
}

// Import takes a file: a trust list, a revocation list, or certificates in any form that
// authorities publish. signer, where it is not "", is the fingerprint of who may sign the
// list from now on. A repeat changes nothing. An error means that nothing of the file was
// taken; of a bundle, each certificate is judged by itself.
func (f *Folder) Import(data []byte, signer string) ([]Imported, error) {
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if looksLikeXML(data) {
		one, err := f.importList(data, signer)
		return []Imported{one}, err
	}
	if crl, err := twoddoc.ReadRevocations(data); err == nil {
		one, err := f.importRevocations(crl)
		return []Imported{one}, err
	}
	return f.importCertificates(data)
}

func looksLikeXML(data []byte) bool {
	for _, b := range data[:min(len(data), 64)] {
		switch b {
		case ' ', '\t', '\r', '\n', 0xEF, 0xBB, 0xBF:
			continue
		}
		return b == '<'
	}
	return false
}

// importList never goes back to an older list, nor to another of the same number.
func (f *Folder) importList(data []byte, signer string) (Imported, error) {
	list, err := twoddoc.ReadList(data)
	if err != nil {
		return Imported{}, err
	}
	noted, err := os.ReadFile(filepath.Join(f.dir, twoddoc.SignerName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Imported{}, err
	}
	if signer == "" {
		signer = string(noted)
	}
	if !twoddoc.SameFingerprint(signer, list.Signer) {
		return Imported{}, &ErrSigner{twoddoc.Fingerprint(list.Signer), list.Signer.Subject.CommonName}
	}
	one := Imported{What: "list", Name: fmt.Sprint(list.Sequence), Until: list.Next.UTC().Format("2006-01-02"), Taken: true}
	if before, err := os.ReadFile(filepath.Join(f.dir, twoddoc.ListName)); err == nil {
		if known, err := twoddoc.ReadList(before); err == nil {
			switch {
			case known.Sequence > list.Sequence:
				return one, fmt.Errorf("list %d is older than list %d, which is here", list.Sequence, known.Sequence)
			case known.Sequence == list.Sequence && known.Issued.Equal(list.Issued):
				one.Known = true
			case known.Sequence == list.Sequence:
				return one, fmt.Errorf("another list %d is here", list.Sequence)
			}
		}
	}
	if err := f.write(twoddoc.SignerName, []byte(twoddoc.Fingerprint(list.Signer)+"\n")); err != nil {
		return one, err
	}
	return one, f.write(twoddoc.ListName, data)
}

func (f *Folder) importRevocations(crl *x509.RevocationList) (Imported, error) {
	t, _, err := f.Load()
	if err != nil {
		return Imported{}, err
	}
	authority, err := t.AddRevocations(crl)
	if err != nil {
		return Imported{}, err
	}
	one := Imported{What: "revocations", Name: authority, Until: crl.NextUpdate.UTC().Format("2006-01-02"), Taken: true}
	name := authority + ".crl"
	if before, err := os.ReadFile(filepath.Join(f.dir, name)); err == nil {
		if known, err := twoddoc.ReadRevocations(before); err == nil && known.ThisUpdate.After(crl.ThisUpdate) {
			return one, fmt.Errorf("a newer list of revocations of %s is here", authority)
		}
	}
	return one, f.write(name, crl.Raw)
}

func (f *Folder) importCertificates(data []byte) ([]Imported, error) {
	certs, damage := twoddoc.ReadCertificates(data)
	if len(certs) == 0 {
		return nil, damage
	}
	t, _, err := f.Load()
	if err != nil {
		return nil, err
	}
	out := []Imported{}
	if damage != nil {
		out = append(out, Imported{What: "certificate", Name: "?", Note: damage.Error()})
	}
	for _, cert := range certs {
		one, err := f.importCertificate(t, cert)
		if err != nil {
			return out, err
		}
		out = append(out, one)
	}
	return out, nil
}

// importCertificate adds a certificate to those of the same id, if it is trusted.
func (f *Folder) importCertificate(t *twoddoc.Trust, cert *x509.Certificate) (Imported, error) {
	one := Imported{What: "certificate", Name: "?", Until: cert.NotAfter.UTC().Format("2006-01-02")}
	authority, id, ok := twoddoc.IDs(cert)
	switch {
	case !ok:
		one.Note = "names no authority and certificate of 2D-Doc"
		return one, nil
	case id == "":
		one.Name, one.Note = authority, "an authority: those come from the trust list alone"
		return one, nil
	}
	one.Name = authority + "-" + id
	if err := t.AddCertificate(authority, id, cert); err != nil {
		one.Note = err.Error()
		return one, nil
	}
	one.Taken = true
	name := one.Name + ".pem"
	before, err := os.ReadFile(filepath.Join(f.dir, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return one, err
	}
	if known, err := twoddoc.ReadCertificates(before); err == nil { // whole
		for _, k := range known {
			if k.Equal(cert) {
				one.Known = true
				return one, nil
			}
		}
	} else {
		before = nil // damaged, or none
	}
	return one, f.write(name, append(before, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...))
}

// lock lets one import at a time in, and founds the folder.
func (f *Folder) lock() (unlock func(), err error) {
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return nil, err
	}
	if err := ownersAlone(f.dir); err != nil {
		return nil, err
	}
	d, err := os.Open(f.dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX); err != nil {
		d.Close()
		return nil, fmt.Errorf("lock %s: %w", f.dir, err)
	}
	return func() { d.Close() }, nil
}

// write replaces a file whole: who reads meanwhile finds the one before, or this one.
func (f *Folder) write(name string, data []byte) error {
	tmp, err := os.CreateTemp(f.dir, ".import-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Chmod(0o644)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(f.dir, name))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	d, err := os.Open(f.dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
