package catalogue

import (
	"testing"

	"vaguemestre/core"
)

func day(s string) core.Date {
	d, err := core.ParseDate(s)
	if err != nil && s != "" {
		panic(err)
	}
	return d
}

// proof is a verdict from its dates: issued, expires, last day of the period.
func proof(issued, expires, periodEnd string) core.Verdict {
	v := core.Verdict{Issued: day(issued), Expires: day(expires)}
	if periodEnd != "" {
		v.Period.To = day(periodEnd)
		v.Period.From = v.Period.To.AddMonths(-1)
	}
	return v
}

func TestValidUntil(t *testing.T) {
	const unknown, never = "unknown", "never"
	cases := []struct {
		name, code string
		v          core.Verdict
		want       string
	}{
		{"printed expiry", "cni", proof("2021-02-12", "2031-02-11", ""), "2031-02-11"},
		{"blue card of 2004-2013: five years more", "cni", proof("2012-06-18", "2022-06-17", ""), "2027-06-17"},
		{"last day of that rule", "cni", proof("2013-12-31", "2023-12-30", ""), "2028-12-30"},
		{"first day after it", "cni", proof("2014-01-01", "2028-12-31", ""), "2028-12-31"},
		{"card without its back: ten years", "cni", proof("2015-03-18", "", ""), "2025-03-18"},
		{"card without a date", "cni", proof("", "", ""), unknown},
		{"passport without expiry may be five years or ten", "passeport", proof("2020-06-11", "", ""), unknown},
		{"pink licence", "permis_conduire", proof("1977-06-23", "", ""), "2033-01-19"},
		{"licence card whose 4b was not read", "permis_conduire", proof("2016-09-21", "", ""), unknown},
		{"family book", "livret_famille", proof("2014-06-14", "", ""), never},
		{"three months, short month", "acte_naissance", proof("2025-11-30", "", ""), "2026-02-28"},
		{"act without date", "acte_naissance", proof("", "", ""), unknown},
		{"income of 2025: until the notice of summer 2027", "avis_imposition_ir", proof("2026-07-31", "", "2025-12-31"), "2027-08-31"},
		{"notice without its year", "avis_imposition_ir", proof("2026-07-31", "", ""), "2027-08-31"},
		{"property tax: until the next autumn", "avis_taxe_fonciere", proof("2026-08-31", "", ""), "2027-10-31"},
		{"month shown rules", "attestation_caf", proof("2026-11-06", "", "2026-10-31"), "2027-01-31"},
		{"month ending in February", "bulletin_salaire", proof("", "", "2026-02-28"), "2026-05-31"},
		{"health rights: period printed", "attestation_droits_maladie", proof("2026-10-02", "2027-10-01", "2027-10-01"), "2027-10-01"},
		{"job seeker: one month", "attestation_france_travail", proof("2026-11-09", "", "2026-10-31"), "2026-12-09"},
		{"CDI", "contrat_travail", proof("2026-02-27", "", ""), never},
		{"bank details", "rib", proof("", "", ""), never},
		{"water: the last bill", "facture_eau", proof("2026-09-18", "", ""), "2027-09-18"},
		{"school year of its period", "certificat_scolarite", proof("2026-07-02", "", "2027-08-31"), "2027-08-31"},
		{"school year of its date", "certificat_scolarite", proof("2026-09-04", "", ""), "2027-08-31"},
		{"school year, spring", "certificat_scolarite", proof("2026-04-04", "", ""), "2026-08-31"},
		{"school paper without date", "attestation_assurance_scolaire", proof("", "", ""), unknown},
		{"dispensation with its end", "certificat_medical", proof("2026-10-05", "", "2026-10-26"), "2026-10-26"},
		{"card granted for good has no date printed", "carte_mobilite_inclusion", proof("", "", ""), unknown},
		{"letter of the town", "courrier_collectivite", proof("", "", ""), never},
	}
	c := Default()
	for _, tc := range cases {
		t.Run(tc.code+": "+tc.name, func(t *testing.T) {
			typ, ok := c.Type(tc.code)
			if !ok {
				t.Fatal("no such type")
			}
			end, known := typ.ValidUntil(tc.v, day("2026-11-20"))
			got := end.String()
			switch {
			case !known && end.IsZero():
				got = unknown
			case known && end.IsZero():
				got = never
			}
			if got != tc.want {
				t.Errorf("valid until %s, want %s", got, tc.want)
			}
		})
	}
}

func TestRulesFromDeposit(t *testing.T) {
	typ := Type{Validity: Rules{{Until: FromDeposit, Months: 6}}}
	end, ok := typ.ValidUntil(core.Verdict{}, day("2026-08-31"))
	if !ok || end != day("2027-02-28") {
		t.Errorf("six months from deposit: %s, %v", end, ok)
	}
}

func TestRetention(t *testing.T) {
	v := proof("2026-10-05", "2026-12-31", "")
	deposited, closed := day("2026-11-20"), day("2027-01-15")
	cases := []struct {
		name  string
		rules Rules
		want  string
	}{
		{"none", nil, ""},
		{"from deposit", Rules{{Until: FromDeposit, Months: 36}}, "2029-11-20"},
		{"after its validity", Rules{{Until: FromValidEnd, Months: 3}}, "2027-03-31"},
		{"school year of the deposit", Rules{{Until: FromDepositSchool, Months: 3}}, "2027-11-30"},
		{"never", Rules{{Until: Never}}, ""},
	}
	for _, tc := range cases {
		typ := Type{Validity: Rules{{Until: FromExpiry}}, Vault: Keeping{tc.rules}, RequestCopy: Keeping{tc.rules}}
		if got := typ.RetainUntil(v, deposited); got.String() != tc.want {
			t.Errorf("%s: vault copy until %q, want %q", tc.name, got, tc.want)
		}
		if got := typ.RetainCopyUntil(v, deposited, closed); got.String() != tc.want {
			t.Errorf("%s: request copy until %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestRequestCopiesOfTheDefaultCatalogue(t *testing.T) {
	cases := []struct{ code, periodEnd, want string }{
		{"cni", "", "2027-02-15"},
		{"livret_famille", "", "2027-01-15"},
		{"facture_eau", "", "2028-01-15"},
		{"rib", "", "2028-02-15"},
		{"certificat_scolarite", "2027-08-31", "2027-11-30"},
		{"carnet_vaccinations", "", "2027-08-31"},
		{"notification_mdph", "2031-06-30", "2031-06-30"},
		{"notification_mdph", "", "2028-01-15"},
	}
	c := Default()
	for _, tc := range cases {
		typ, _ := c.Type(tc.code)
		got := typ.RetainCopyUntil(proof("", "", tc.periodEnd), day("2026-11-20"), day("2027-01-15"))
		if got.String() != tc.want {
			t.Errorf("%s: copy kept until %q, want %q", tc.code, got, tc.want)
		}
	}
}
