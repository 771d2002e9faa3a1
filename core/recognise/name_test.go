package recognise

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	cases := []struct{ text, want string }{
		{": Mme Zoé LE GOFF", "Zoé LE GOFF"},
		{"LE GOFF Zoé", "Zoé LE GOFF"},
		{"M. DUPONT Jean-Marc, né le 3 mai 1980", "Jean-Marc DUPONT"},
		{"MME MARTIN LEA", "LEA MARTIN"},
		{"M LEO MARTIN", "LEO MARTIN"},
		{"M. Étienne d'Almeida 12 rue Haute", "Étienne d'Almeida"},
		{"M. et Mme DUPONT Jean et Marie", "Jean DUPONT + Marie DUPONT"},
		{"Jean et Marie DUPONT", "Jean DUPONT + Marie DUPONT"},
		{"M NICOLAS BOUCHER OU MME EMMA BOUCHER", "NICOLAS BOUCHER + EMMA BOUCHER"},
		{"Monsieur Paul Henry et Madame Anne Roy", "Paul Henry + Anne Roy"},
		{"Mme DUBOIS née PETIT Claire", "Claire DUBOIS"},
		{"Mme Aurore DUFOUR née le 12/08/1991\net Monsieur Théo LEBRUN", "Aurore DUFOUR + Théo LEBRUN"},
		{"M. J. Durand", "J Durand"},
		{"l'élève Maëlys Nguyễn", "Maëlys Nguyễn"},
		{"LECLERC\nMATHILDE\n12 RUE HAUTE", "MATHILDE LECLERC"},
		{"12 rue Haute", ""},
		{"le locataire s'engage à payer", ""},
		{"Monsieur le Maire", ""},
		{"", ""},
		{"((((", ""},
	}
	for _, tc := range cases {
		found, _ := names(tc.text)
		var got []string
		for _, p := range found {
			if p.whole() {
				got = append(got, p.String())
			}
		}
		if s := strings.Join(got, " + "); s != tc.want {
			t.Errorf("%q: %q, want %q", tc.text, s, tc.want)
		}
	}
}

func TestAddressee(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"with a civility", "EDF Service Clients\n41975 BLOIS CEDEX 9\nMME ANNE ROY\n12 RUE HAUTE\n79000 NIORT", "ANNE ROY"},
		{"without one", "Société des eaux\nAnne ROY\n12 rue Haute\n79000 Niort", "Anne ROY"},
		{"beside the sender", "Veolia Eau   M. Paul HENRY\nTSA 12345   3 rue Basse\n92000 Nanterre   79000 Niort", "Paul HENRY"},
		{"a sentence is not one", "Veuillez adresser votre règlement\nà l'adresse suivante\n79000 Niort", ""},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			got := ""
			if p := read(evidence(tc.text)).addressee(); len(p) > 0 {
				got = p[0].String()
			}
			if got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}
