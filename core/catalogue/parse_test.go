package catalogue

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

const one = `types:
  - code: carte_bus
    label: Carte de bus
    family: Transports
    validity: [{until: issued, months: 12}]
`

func TestParseSmallest(t *testing.T) {
	c, err := Parse([]byte(one))
	if err != nil {
		t.Fatal(err)
	}
	want := Type{Code: "carte_bus", Label: "Carte de bus", Family: "Transports", Validity: Rules{{Until: FromIssue, Months: 12}}}
	if got, ok := c.Type("carte_bus"); !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, ok)
	}
}

func TestParseRefuses(t *testing.T) {
	with := func(extra string) string { return one + extra }
	cases := []struct {
		name, yaml string
		want       []string // all of them in the error
	}{
		{"nothing", "", []string{"EOF"}},
		{"no types", "groups: []\n", []string{"0 types"}},
		{"an unknown field", with("    colour: red\n"), []string{"line 6", "colour"}},
		{"two documents", one + "---\n" + one, []string{"one YAML document"}},
		{"not YAML", "types: [", []string{"read catalogue"}},
		{"a type twice", with("  - code: carte_bus\n    label: B\n    family: F\n    validity: [{until: never}]\n"), []string{"line 6", "carte_bus", "declared twice"}},
		{"several problems at once", "types:\n  - code: Carte Bus\n    validity: [{until: whenever}]\n    kinds: [docx]\n    max_pages: -1\n",
			[]string{"line 2", `code "Carte Bus"`, "no label", "no family", `until "whenever"`, `kind "docx"`, "max_pages -1"}},
		{"no validity", "types:\n  - {code: ab, label: A, family: F}\n", []string{"no validity rule"}},
		{"a request base in validity", "types:\n  - {code: ab, label: A, family: F, validity: [{until: request_closed}]}\n", []string{`"request_closed"`}},
		{"a request base for the vault", with("    vault: {retention: [{until: request_closed}]}\n"), []string{"vault.retention, rule 1"}},
		{"a date without its rule", "types:\n  - {code: ab, label: A, family: F, validity: [{until: issued, date: 2033-01-19}]}\n", []string{"a date goes with"}},
		{"a day that does not exist", "types:\n  - {code: ab, label: A, family: F, validity: [{until: date, date: 2033-02-30}]}\n", []string{"2033-02-30"}},
		{"negative months", "types:\n  - {code: ab, label: A, family: F, validity: [{until: issued, months: -3}]}\n", []string{"months -3"}},
		{"an unknown policy", with("    validation: {home: robot}\n"), []string{`validation "robot"`}},
		{"an unknown way to travel", with("    dispatch: false\n"), []string{`dispatch "false"`}},
		{"an unknown code", with("    signals: {codes: [qr]}\n"), []string{`code "qr"`}},
		{"an unknown period", with("    reading: {period: [week]}\n"), []string{`period "week"`}},
		{"an empty phrase", with("    signals: {titles: ['  ']}\n"), []string{"titles: an empty phrase"}},
		{"a phrase without end", with("    reading: {issued: ['" + strings.Repeat("a", 101) + "']}\n"), []string{"phrase of 101 bytes"}},
		{"a system type that could be recognised", with("    system: true\n    signals: {titles: [carte]}\n"), []string{"is a system type"}},
		{"a group of strangers", "groups: [{code: gg, label: G, types: [cni]}]\n" + one, []string{"line 1", `names type "cni"`}},
		{"a group named as a type", "groups: [{code: carte_bus, label: G, types: [carte_bus]}]\n" + one, []string{"declared twice"}},
		{"a lookalike without label", "lookalikes: [{signals: {titles: [menu]}}]\n" + one, []string{"has no label"}},
		{"too much of it", "# " + strings.Repeat("x", maxSize) + "\n" + one, []string{"at most"}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse([]byte(tc.yaml))
			if err == nil {
				t.Fatal("accepted")
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not say %q", err, w)
				}
			}
		})
	}
}

func TestLint(t *testing.T) {
	text := `groups: [{code: transport, label: Transports, types: [old]}]
types:
  - {code: old, label: Ancien, family: F, retired: true, validity: [{until: never}]}
  - {code: mute, label: Muet, family: F, reference: R, validity: [{until: never}]}
  - {code: lawless, label: Sans loi, family: F, validity: [{until: never}], signals: {titles: [carte de bus]}}
  - {code: twin, label: Jumeau, family: F, reference: R, validity: [{until: never}], signals: {titles: [Carte de bus]}}
  - {code: stuck, label: Bloqué, family: F, reference: R, validity: [{until: never}], signals: {titles: [abonnement]}, vault: {retention: [{until: valid_until}]}}
  - {code: torn, label: Partagé, family: F, reference: R, validity: [{until: never}], signals: {titles: [ticket], against: [ticket]}}
  - {code: health, label: Santé, family: F, reference: R, sensitive: true, dispatch: file, validity: [{until: never}], signals: {titles: [a]}}
`
	c, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"mute": {"nothing will ever be recognised"}, "lawless": {"no legal reference"}, "twin": {"shares the title"}, "stuck": {"may find no date"},
		"torn": {"both for and against"}, "health": {"request copy has no end", "too short", "not encrypted"}, "transport": {"retired"},
	}
	found := map[string]string{}
	for _, f := range c.Lint() {
		found[f.Type] += f.Problem + "\n"
	}
	for code, problems := range want {
		for _, p := range problems {
			if !strings.Contains(found[code], p) {
				t.Errorf("%s: %q does not say %q", code, found[code], p)
			}
		}
	}
	if len(found) != len(want) {
		t.Errorf("findings %v", found)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(one))
	f.Add([]byte("groups: [{code: gg, label: G, types: [ab]}]\ntypes:\n  - {code: ab, label: A, family: F, validity: [{until: date, date: 2033-01-19, issued_before: 2013-01-19}]}\n"))
	f.Add([]byte("types: [{code: ab, label: \"\\u00a0\", family: F, validity: [{until: never}], kinds: [pdf], signals: {codes: [iban]}}]"))
	f.Add([]byte("types: &a [*a]"))
	f.Add([]byte("types: [1, {}, []]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b)
		if err != nil {
			return
		}
		c.Lint()
		written, err := c.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(written)
		if err != nil {
			t.Fatalf("what Marshal wrote is refused: %v\n%s", err, written)
		}
		twice, err := again.Marshal()
		if err != nil || !bytes.Equal(written, twice) {
			t.Fatalf("written twice, differs: %v\n%s\n%s", err, written, twice)
		}
	})
}
