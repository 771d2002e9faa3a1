package mail

import (
	"path"
	"regexp"
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
	case isLayout(*f):
		f.Aside = core.AsideLayout
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

// textPiece is the name that Exchange gives to each piece of a text that Apple Mail cut
// where a file stands in it.
var textPiece = regexp.MustCompile(`^att\d{5}\.(?:html?|txt)$`)

// isLayout knows the files that Outlook, Exchange and telephones add to show the text.
func isLayout(f file) bool {
	switch f.Type {
	case "application/smil", "application/x-mso", "application/vnd.ms-officetheme", "text/css":
		return true
	}
	switch name := strings.ToLower(f.Name); name {
	case "oledata.mso", "editdata.mso", "themedata.thmx", "colorschememapping.xml", "filelist.xml":
		return true
	default:
		return strings.HasPrefix(f.Type, "text/") && textPiece.MatchString(name)
	}
}

// isCard knows what goes into a diary or an address book.
func isCard(f file, called string) bool {
	switch f.Type {
	case "text/calendar", "application/ics", "text/vcard", "text/x-vcard", "text/directory":
		return true
	}
	return slices.Contains([]string{".ics", ".vcf"}, called)
}
