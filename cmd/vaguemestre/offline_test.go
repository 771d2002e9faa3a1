package main

import (
	"slices"
	"testing"
)

// TestMIMEListsWhatTheCorpusCounts checks which parts of a message `mime` lists: those
// that other programs find in it, and what is in its containers.
func TestMIMEListsWhatTheCorpusCounts(t *testing.T) {
	for file, want := range map[string][]string{
		"winmail-dat":              {"winmail.dat", "facture.pdf"},
		"outlook-message-attached": {"Bail.msg", "Bail signé.pdf", "Bail", "Bail signé.pdf"},
		"uuencode-in-text":         {"facture.pdf"},
		"signed-smime":             {"facture.pdf", "smime.p7s"},
		"signed-opaque":            {"smime.p7m"},
		"message-as-file":          {"Facture.eml", "mot.eml"},
		"inline-image-cid":         {""},
		"pictures-in-html":         {},
		"message-partial":          {},
	} {
		parts, err := listParts(t.Context(), "../../channels/mail/testdata/"+file+".eml")
		got := []string{}
		for _, p := range parts {
			got = append(got, p.Filename)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, error %v; want %q", file, got, err, want)
		}
	}
}
