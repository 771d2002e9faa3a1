package mail

import (
	"path"
	"slices"
	"strings"

	"vaguemestre/core"
)

// setAside says why nobody meant to send a file, if nobody did.
func (w *walk) setAside(f *file, head []byte) {
	called := strings.ToLower(path.Ext(f.Name))
	switch {
	case isSignature(*f, called):
		f.Aside = core.AsideSignature
	case isCard(*f, called):
		f.Aside = core.AsideCard
	case f.Type == "application/applefile" && f.within == "multipart/appledouble":
		f.Aside = core.AsideFork
	case isPicture(*f, head):
		f.Aside = w.pictures.judge(f, head)
	}
}

// isSignature knows what stands beside what was signed or encrypted.
func isSignature(f file, called string) bool {
	switch f.Type {
	case "application/pkcs7-signature", "application/x-pkcs7-signature", "application/pgp-signature", "application/pgp-keys", "application/pgp-encrypted":
		return true
	}
	name := strings.ToLower(f.Name)
	return called == ".p7s" || name == "signature.asc" || strings.HasPrefix(name, "openpgp_") && called == ".asc"
}

// isCard knows what goes into a diary or an address book.
func isCard(f file, called string) bool {
	switch f.Type {
	case "text/calendar", "application/ics", "text/vcard", "text/x-vcard", "text/directory":
		return true
	}
	return slices.Contains([]string{".ics", ".vcf"}, called)
}
