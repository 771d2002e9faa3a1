package catalogue

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"vaguemestre/core"
)

// codes are the stable identifiers of the default catalogue: documents already filed bear them.
var codes = []string{"cni", "passeport", "titre_sejour", "permis_conduire", "livret_famille", "acte_naissance", "acte_mariage", "jugement_divorce",
	"avis_imposition_ir", "avis_taxe_fonciere", "avis_taxe_habitation", "attestation_caf", "attestation_droits_maladie", "attestation_france_travail",
	"bulletin_salaire", "contrat_travail", "attestation_employeur", "justificatif_retraite", "rib",
	"quittance_loyer", "bail", "facture_electricite", "facture_eau", "facture_telecom", "attestation_hebergement", "attestation_assurance_habitation",
	"attestation_assurance_scolaire", "certificat_scolarite", "carnet_vaccinations", "certificat_medical", "carte_mobilite_inclusion", "notification_mdph",
	"carte_grise", "extrait_kbis", "courrier_collectivite"}

func TestDefaultHoldsEveryType(t *testing.T) {
	c := Default()
	var got, sensitive []string
	for _, typ := range c.Types() {
		got = append(got, typ.Code)
		if typ.Sensitive {
			sensitive = append(sensitive, typ.Code)
		}
		if len(typ.Vault.Retention) != 0 {
			t.Errorf("%s: the citizen's own copy has a retention rule, and must have none by default", typ.Code)
		}
		if typ.System != (typ.Code == "courrier_collectivite") {
			t.Errorf("%s: system is %v", typ.Code, typ.System)
		}
		if typ.Retired {
			t.Errorf("%s is retired", typ.Code)
		}
		if !typ.System && len(typ.RequestCopy.Retention) == 0 {
			t.Errorf("%s: no retention for the request copy", typ.Code)
		}
	}
	if !slices.Equal(got, codes) {
		t.Errorf("types %v\nwant  %v", got, codes)
	}
	want := []string{"jugement_divorce", "carnet_vaccinations", "certificat_medical", "carte_mobilite_inclusion", "notification_mdph"}
	if !slices.Equal(sensitive, want) {
		t.Errorf("sensitive types %v, want %v", sensitive, want)
	}
	g, ok := c.Group("justificatif_domicile")
	if !ok || len(g.Types) != 9 {
		t.Errorf("justificatif_domicile: %+v, %v", g, ok)
	}
	if f := c.Lint(); len(f) != 0 {
		t.Errorf("the default catalogue has findings: %v", f)
	}
}

func TestFrenchTypography(t *testing.T) {
	for _, typ := range Default().Types() {
		for _, s := range []string{typ.Label, typ.Help, typ.Family} {
			if strings.Contains(s, "'") || strings.Contains(s, "\"") {
				t.Errorf("%s: straight quote in %q", typ.Code, s)
			}
			for _, mark := range []string{":", ";", "?", "!"} {
				for i := range len(s) {
					if strings.HasPrefix(s[i:], mark) && !strings.HasSuffix(s[:i], "\u00a0") && !strings.HasSuffix(s[:i], "\u202f") {
						t.Errorf("%s: %q wants a no-break space before %q", typ.Code, s, mark)
					}
				}
			}
		}
	}
}

func TestMarshalReadsBack(t *testing.T) {
	c := Default()
	b, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c, again) {
		t.Error("a catalogue written and read again differs")
	}
}

func TestTypesCannotBeChangedFromOutside(t *testing.T) {
	c := Default()
	c.Types()[0].Code = "changed"
	if _, ok := c.Type("cni"); !ok {
		t.Error("the list handed out is the catalogue's own")
	}
}

func TestNeedsValidation(t *testing.T) {
	c := Default()
	cni, _ := c.Type("cni")
	letter, _ := c.Type("courrier_collectivite")
	strict := Type{Validation: Validation{Counter: ByAgent, Certified: ByAgent, Home: ByNobody}}
	cases := []struct {
		typ     Type
		journey core.Journey
		want    bool
	}{
		{cni, core.JourneyHome, true}, {cni, core.JourneyPost, true}, {cni, core.JourneyPhone, true}, {cni, core.JourneyCounter, false},
		{cni, "teleport", true}, {cni, "", true},
		{letter, core.JourneyHome, false}, {letter, core.JourneyPost, false}, {letter, core.JourneyPhone, false},
		{strict, core.JourneyHome, false}, {strict, core.JourneyCounter, true}, {strict, core.JourneyPost, true},
	}
	for _, c := range cases {
		if got := c.typ.NeedsValidation(c.journey); got != c.want {
			t.Errorf("%q by %q: needs validation %v, want %v", c.typ.Code, c.journey, got, c.want)
		}
	}
	if cni.CertifiedNeedsValidation() || !strict.CertifiedNeedsValidation() {
		t.Error("a certified source needs no validation unless the type says so")
	}
}

func TestAccepts(t *testing.T) {
	typ := Type{Kinds: []core.Kind{core.KindPDF}}
	if typ.Accepts(core.KindJPEG) || !typ.Accepts(core.KindPDF) || !(Type{}).Accepts(core.KindHEIC) {
		t.Error("kinds named bind; none named accepts all")
	}
}

// Health data and judgments go as files of encrypted messages alone, unless the town says
// otherwise; a value nobody knows lets no file go.
func TestSEC53_HowATypeMayGo(t *testing.T) {
	for _, c := range []struct {
		typ                      Type
		plain, encrypted, leaves bool
	}{
		{Type{}, true, true, true},
		{Type{Sensitive: true}, false, true, true},
		{Type{Dispatch: DispatchFile}, true, true, true},
		{Type{Dispatch: DispatchEncrypted}, false, true, true},
		{Type{Dispatch: DispatchLink}, false, false, true},
		{Type{Dispatch: DispatchNone}, false, false, false},
		{Type{Dispatch: "perhaps"}, false, false, true},
	} {
		if p, e, g := c.typ.MayAttach(false), c.typ.MayAttach(true), c.typ.MayGo(); p != c.plain || e != c.encrypted || g != c.leaves {
			t.Errorf("%+v: %v, encrypted %v, at all %v", c.typ, p, e, g)
		}
	}
	for _, typ := range Default().Types() {
		if typ.Sensitive && typ.MayAttach(false) {
			t.Errorf("%s goes in the clear", typ.Code)
		}
	}
}
