package recognise

import (
	"strings"
	"testing"
	"time"

	"vaguemestre/core/catalogue"
)

// A text made to be slow costs little: what is read of it is bounded, and so are the
// places looked at. The bound is wide, for slow machines and the race detector.
func TestWorstTexts(t *testing.T) {
	const most = 10 * time.Second
	cat, r := catalogue.Default(), New(DefaultThreshold)
	for name, s := range map[string]string{
		"letters":    "e ",
		"labels":     "nom prénom époux né le date facture du au\n",
		"dates":      "12/03/2026 au ",
		"names":      "M. Jean DUPONT et ",
		"fillers":    "IDFRA<<<<<<<<<<<<<<<<<<<<<<<<<<\n",
		"near hits":  "certificat de scolarit attestation d'assuranc ",
		"short rows": "M\n",
	} {
		start := time.Now()
		r.Recognise(cat, evidence(strings.Repeat(s, 2*maxText/len(s))), received)
		if took := time.Since(start); took > most {
			t.Errorf("%s: %s, want less than %s", name, took, most)
		}
	}
}
