package tenant_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"vaguemestre/core"
	addr "vaguemestre/core/address"
	"vaguemestre/core/store/keyfile"
	"vaguemestre/core/store/postgres"
	"vaguemestre/core/store/postgres/pgtest"
	"vaguemestre/core/tenant"
	"vaguemestre/core/vault"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func settings(change func(*tenant.Settings)) tenant.Settings {
	s := tenant.Defaults()
	s.DepositDomain = "depot.ville.test"
	change(&s)
	return s
}

func TestSettingsValidate(t *testing.T) {
	label := strings.Repeat("a", 63)
	for name, c := range map[string]struct {
		change func(*tenant.Settings)
		faults []string // none: the settings are good
	}{
		"defaults and a domain":  {func(*tenant.Settings) {}, nil},
		"all kinds":              {func(s *tenant.Settings) { s.Kinds = []core.Kind{core.KindPDF, core.KindHEIC, core.KindTIFF} }, nil},
		"certainty":              {func(s *tenant.Settings) { s.Threshold = 1 }, nil},
		"international domain":   {func(s *tenant.Settings) { s.DepositDomain = "depot.xn--alfort-ville.fr" }, nil},
		"longest label":          {func(s *tenant.Settings) { s.DepositDomain = label + ".fr" }, nil},
		"label too long":         {func(s *tenant.Settings) { s.DepositDomain = label + "a.fr" }, []string{"deposit_domain"}},
		"domain too long":        {func(s *tenant.Settings) { s.DepositDomain = strings.Repeat(label+".", 4) + "fr" }, []string{"deposit_domain"}},
		"no domain":              {func(s *tenant.Settings) { s.DepositDomain = "" }, []string{"deposit_domain"}},
		"one label":              {func(s *tenant.Settings) { s.DepositDomain = "ville" }, []string{"deposit_domain"}},
		"capitals":               {func(s *tenant.Settings) { s.DepositDomain = "Depot.ville.fr" }, []string{"deposit_domain"}},
		"accents":                {func(s *tenant.Settings) { s.DepositDomain = "dépôt.ville.fr" }, []string{"deposit_domain"}},
		"an address":             {func(s *tenant.Settings) { s.DepositDomain = "a@ville.fr" }, []string{"deposit_domain"}},
		"a line break":           {func(s *tenant.Settings) { s.DepositDomain = "depot.ville.fr\n" }, []string{"deposit_domain"}},
		"final dot":              {func(s *tenant.Settings) { s.DepositDomain = "depot.ville.fr." }, []string{"deposit_domain"}},
		"dash first":             {func(s *tenant.Settings) { s.DepositDomain = "-depot.ville.fr" }, []string{"deposit_domain"}},
		"threshold of nothing":   {func(s *tenant.Settings) { s.Threshold = 0 }, []string{"threshold"}},
		"threshold above one":    {func(s *tenant.Settings) { s.Threshold = 1.01 }, []string{"threshold"}},
		"threshold of no number": {func(s *tenant.Settings) { s.Threshold = math.NaN() }, []string{"threshold"}},
		"no size":                {func(s *tenant.Settings) { s.MaxFileBytes = 0 }, []string{"max_file_bytes"}},
		"no pages":               {func(s *tenant.Settings) { s.MaxPages = -1 }, []string{"max_pages"}},
		"a kind never read":      {func(s *tenant.Settings) { s.Kinds = []core.Kind{core.KindPDF, "zip", "svg"} }, []string{`kinds: "zip"`, `kinds: "svg"`}},
		"a relay":                {func(s *tenant.Settings) { s.Mail = written() }, nil},
		"a relay without from":   {func(s *tenant.Settings) { s.Relay = "smtp.ville.fr:587" }, []string{"relay"}},
		"a relay without port":   {func(s *tenant.Settings) { s.Mail = written(); s.Relay = "smtp.ville.fr" }, []string{"relay: "}},
		"a pin of no digits":     {func(s *tenant.Settings) { s.Mail = written(); s.RelayPin = "x" }, []string{"relay_pin"}},
		"a foreign signature":    {func(s *tenant.Settings) { s.Mail = written(); s.DKIMDomain = "autre.fr" }, []string{"dkim_domain"}},
		"half a signature":       {func(s *tenant.Settings) { s.Mail = written(); s.DKIMSelector = "" }, []string{"dkim_domain and dkim_selector"}},
		"a named address":        {func(s *tenant.Settings) { s.Mail = written(); s.From = "Mairie <m@ville.fr>" }, []string{"mail_from", "dkim_domain"}},
		"a portal in the clear":  {func(s *tenant.Settings) { s.Mail = written(); s.Portal = "http://ville.fr" }, []string{"portal"}},
		"a portal at home":       {func(s *tenant.Settings) { s.Mail = written(); s.Portal = "http://127.0.0.1:8080" }, nil},
		"a language of others":   {func(s *tenant.Settings) { s.Language = "de" }, []string{"language"}},
		"no such place":          {func(s *tenant.Settings) { s.TimeZone = "Europe/Alfortville" }, []string{"time_zone"}},
		"told at once":           {func(s *tenant.Settings) { s.ResultWait = tenant.Duration(time.Second) }, []string{"result_wait"}},
		"a mention of two lines": {func(s *tenant.Settings) { s.ServiceAddress = "1 place\nVille" }, []string{"service_address"}},
		"everything": {func(s *tenant.Settings) { *s = tenant.Settings{Kinds: []core.Kind{"x"}} },
			[]string{"deposit_domain", "threshold", "max_file_bytes", "max_pages", "kinds"}},
	} {
		err := settings(c.change).Validate()
		if (err == nil) != (len(c.faults) == 0) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, fault := range c.faults {
			if !strings.Contains(err.Error(), fault) {
				t.Errorf("%s: %q does not name %s", name, err, fault)
			}
		}
		if err != nil && strings.Count(err.Error(), "\n")+1 != len(c.faults) {
			t.Errorf("%s: %q names other faults than %v", name, err, c.faults)
		}
	}
}

// written are settings of a town that writes.
func written() tenant.Mail {
	m := tenant.Defaults().Mail
	m.Relay, m.RelayUser, m.RelayPin = "tls://smtp.ville.fr:465", "depot", strings.Repeat("a1", 32)
	m.From, m.FromName, m.DKIMDomain, m.DKIMSelector = "depot@demarches.ville.fr", "Mairie de Ville", "ville.fr", "vm1"
	m.ServiceName, m.ServiceAddress, m.ServicePhone = "Service des démarches", "1 place de la Mairie, 94000 Ville", "01 02 03 04 05"
	return m
}

// Without a mention the law wants, nothing is acknowledged, and it is said which.
func TestSEC100_MissingMentionsAreNamed(t *testing.T) {
	m := written()
	if got := m.MissingMentions(); len(got) != 0 || !m.Acknowledges() {
		t.Errorf("missing %v", got)
	}
	m.ServiceAddress, m.ServicePhone = "", ""
	if got := m.MissingMentions(); !slices.Equal(got, []string{"service_address", "service_phone"}) || m.Acknowledges() || !m.Sends() {
		t.Errorf("missing %v, acknowledges %v", got, m.Acknowledges())
	}
	if (tenant.Mail{ServiceName: "x", ServiceAddress: "y", ServicePhone: "z"}).Acknowledges() {
		t.Error("a town without a relay acknowledges")
	}
}

// The new settings stand among the others, and a time span is written as people write it.
func TestMailSettingsByKey(t *testing.T) {
	s := settings(func(*tenant.Settings) {})
	err := s.Set(map[string]string{"relay": "localhost:2526", "mail_from": "depot@ville.fr", "result_wait": "1h30m", "service_phone": "01 02 03 04 05"})
	if err != nil || s.Relay != "localhost:2526" || time.Duration(s.ResultWait) != 90*time.Minute || s.ServicePhone != "01 02 03 04 05" {
		t.Fatalf("%+v, %v", s.Mail, err)
	}
	if err := s.Set(map[string]string{"service_phone": "3949", "mail_name": "null", "service_hours": `"quoted"`}); err != nil || s.ServicePhone != "3949" || s.ServiceHours != "quoted" {
		t.Errorf("%+v, %v", s.Mail, err)
	}
	s.ServicePhone, s.ServiceHours, s.FromName = "01 02 03 04 05", "", ""
	if err := s.Set(map[string]string{"max_pages": `5,"threshold":1`}); err == nil || s.Threshold == 1 {
		t.Errorf("a value brought another key: %v, %v", s.Threshold, err)
	}
	b, err := json.Marshal(s)
	if err != nil || !strings.Contains(string(b), `"result_wait":"1h30m"`) || strings.Contains(string(b), "Mail") {
		t.Errorf("%s, %v", b, err)
	}
	if back, err := tenant.Parse(b); err != nil || !reflect.DeepEqual(back, s) {
		t.Errorf("%+v, %v", back, err)
	}
	if err := s.Set(map[string]string{"result_wait": "soon"}); err == nil {
		t.Error("soon is a time span")
	}
}

func TestParseSettings(t *testing.T) {
	got, err := tenant.Parse([]byte(`{"deposit_domain":"depot.ville.test","max_pages":12,"kinds":["pdf"]}`))
	want := settings(func(s *tenant.Settings) { s.MaxPages, s.Kinds = 12, []core.Kind{core.KindPDF} })
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{``, `{`, `[]`, `{}`, `{"deposit_domain":"depot.ville.test","threshold":"high"}`, `{"deposit_domain":"depot.ville.test","max_pages":0}`} {
		if _, err := tenant.Parse([]byte(bad)); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

type town struct {
	*pgtest.Database
	keeper *vault.Keeper
	store  *postgres.Store
	*tenant.Registrar
}

func newTown(t *testing.T) town {
	t.Helper()
	d := pgtest.New(t)
	service, err := keyfile.Open(filepath.Join(t.TempDir(), "kek"))
	if err != nil {
		t.Fatal(err)
	}
	keeping, store := d.Store(postgres.RoleKeeper), d.Store(postgres.RoleHTTP)
	keeper := vault.NewKeeper(service, keeping, keeping, time.Now)
	return town{d, keeper, store, tenant.New(store, keeper, vault.NewIndex(bytes.Repeat([]byte{7}, 32)), time.Now)}
}

// A town stands with all it starts with, or not at all.
func TestAddTenant(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	want := settings(func(s *tenant.Settings) { s.Threshold = 0.8 })
	f, err := w.Add(ctx, "blois", "Blois", want, "types: []\n")
	if err != nil {
		t.Fatal(err)
	}
	if got, version, err := w.store.Settings(ctx, f.ID); err != nil || version != 1 || !reflect.DeepEqual(got, want) {
		t.Errorf("settings %+v, version %d, %v", got, version, err)
	}
	if got, version, err := w.store.Catalogue(ctx, f.ID, 0); err != nil || version != 1 || got != "types: []\n" {
		t.Errorf("catalogue %q, version %d, %v", got, version, err)
	}
	for _, again := range []string{"blois", string(f.ID)} {
		if id, err := w.store.TenantNamed(ctx, again); err != nil || id != f.ID {
			t.Errorf("named %s: %s, %v", again, id, err)
		}
	}
	if _, err := w.Add(ctx, "blois", "Autre", want, ""); !errors.Is(err, tenant.ErrCodeTaken) {
		t.Errorf("the same code again: %v", err)
	}
	other, err := w.Add(ctx, "niort", "Niort", want, "types: []\n")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(other.IntakePublic, f.IntakePublic) {
		t.Error("two towns share their intake key")
	}
	all, err := w.store.ListTenants(ctx)
	if err != nil || !reflect.DeepEqual(all, []tenant.Tenant{f.Tenant, other.Tenant}) {
		t.Errorf("towns %+v, %v", all, err)
	}
}

func TestAddTenantRefuses(t *testing.T) {
	w := newTown(t)
	good := settings(func(*tenant.Settings) {})
	for _, c := range []struct{ code, name, domain string }{
		{"", "Ville", "depot.ville.test"}, {"Blois", "Ville", "depot.ville.test"}, {"-b", "Ville", "depot.ville.test"}, {"a b", "Ville", "depot.ville.test"},
		{strings.Repeat("a", 64), "Ville", "depot.ville.test"}, {"blois", "", "depot.ville.test"}, {"blois", "Ville", ""},
	} {
		s := good
		s.DepositDomain = c.domain
		if _, err := w.Add(t.Context(), c.code, c.name, s, ""); !errors.Is(err, core.ErrInvalid) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if all, err := w.store.ListTenants(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("towns %+v, %v", all, err)
	}
}

// SEC-24: who an agent is cannot be read from the row.
func TestSEC24_AgentIsSealed(t *testing.T) {
	w := newTown(t)
	f, err := w.Add(t.Context(), "blois", "Blois", settings(func(*tenant.Settings) {}), "")
	if err != nil {
		t.Fatal(err)
	}
	id, err := w.AddAgent(t.Context(), f, []byte("Odile Planted"))
	if err != nil {
		t.Fatal(err)
	}
	if id == "" {
		t.Error("an agent without an id")
	}
	w.Exec(`DO $$ BEGIN
		IF (SELECT count(*) FROM agent WHERE id = '` + string(id) + `' AND position('Planted'::bytea in identity) = 0) <> 1 THEN RAISE EXCEPTION 'not sealed'; END IF;
	END $$`)
	if _, err := w.AddAgent(t.Context(), tenant.Founding{Tenant: f.Tenant, IntakePublic: []byte("no keyset")}, []byte("x")); err == nil {
		t.Error("sealed to no key")
	}
}

// Settings change as a new version, by whoever saw the last one; a town's generic address
// is found at once, is no other's, and goes with the setting that named it.
func TestChangeSettings(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	blois, err := w.Add(ctx, "blois", "Blois", settings(func(s *tenant.Settings) { s.Generic = "depot@blois.test" }), "")
	if err != nil {
		t.Fatal(err)
	}
	niort, err := w.Add(ctx, "niort", "Niort", settings(func(*tenant.Settings) {}), "")
	if err != nil {
		t.Fatal(err)
	}
	smtp := w.Store(postgres.RoleSMTP)
	found := func(address string) core.TenantID {
		t.Helper()
		hash, ok := addr.HashGeneric(vault.NewIndex(bytes.Repeat([]byte{7}, 32)), address)
		if !ok {
			t.Fatalf("%s is no generic address", address)
		}
		a, err := smtp.AddressByHash(ctx, hash)
		if err != nil && !errors.Is(err, core.ErrNotFound) {
			t.Fatal(err)
		}
		if a.Vault != "" {
			t.Errorf("%s has an owner", address)
		}
		return a.Tenant
	}
	set := func(id core.TenantID, values map[string]string) (int, error) {
		_, version, err := w.Change(ctx, id, func(s *tenant.Settings) error { return s.Set(values) })
		return version, err
	}
	if got := found("Depot@BLOIS.test"); got != blois.ID {
		t.Errorf("found %q, want Blois", got)
	}
	if _, err := set(niort.ID, map[string]string{"generic_address": "depot@blois.test"}); !errors.Is(err, tenant.ErrAddressTaken) {
		t.Errorf("Niort takes Blois' address: %v", err)
	}
	if v, err := set(blois.ID, map[string]string{"threshold": "0.7", "generic_address": "papiers@blois.test", "address_form": "plus"}); err != nil || v != 2 {
		t.Fatalf("version %d, %v", v, err)
	}
	if old, fresh := found("depot@blois.test"), found("papiers@blois.test"); old != "" || fresh != blois.ID {
		t.Errorf("after the change: %q and %q", old, fresh)
	}
	if v, err := set(blois.ID, map[string]string{"threshold": "0.7"}); err != nil || v != 2 {
		t.Errorf("nothing changed: version %d, %v", v, err)
	}
	if v, err := set(blois.ID, map[string]string{"generic_address": "depot@blois.test"}); err != nil || v != 3 || found("depot@blois.test") != blois.ID {
		t.Errorf("back again: version %d, %v", v, err)
	}
	for name, values := range map[string]map[string]string{
		"no such key": {"treshold": "0.7"}, "no number": {"threshold": "high"}, "out of bounds": {"threshold": "2"}, "not an address": {"generic_address": "depot"},
		"like a secret": {"generic_address": "bwh6met7b8kfxim9ti8i@blois.test"}, "a tag": {"generic_address": "depot+x@blois.test"}, "plus on nothing": {"generic_address": "", "address_form": "plus"},
	} {
		if _, err := set(blois.ID, values); !errors.Is(err, core.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, _, err = w.Change(ctx, blois.ID, func(s *tenant.Settings) error {
		if _, err := set(blois.ID, map[string]string{"max_pages": "50"}); err != nil {
			t.Error(err)
		}
		s.MaxPages = 60
		return nil
	})
	if !errors.Is(err, tenant.ErrChanged) {
		t.Errorf("changed under one's hands: %v", err)
	}
	if got, version, err := w.store.Settings(ctx, blois.ID); err != nil || version != 4 || got.MaxPages != 50 || got.Threshold != 0.7 {
		t.Errorf("in force: %+v, version %d, %v", got, version, err)
	}
}

// Whoever sets a town up is told of every key; what the program sets itself is none.
func TestEverySettingIsExplained(t *testing.T) {
	var listed []string
	for _, s := range tenant.List() {
		if s.Help == "" || strings.Contains(s.Help, "\n") {
			t.Errorf("%s: %q", s.Name, s.Help)
		}
		listed = append(listed, s.Name)
	}
	var keys []string
	for _, of := range []reflect.Type{reflect.TypeFor[tenant.Settings](), reflect.TypeFor[tenant.Mail]()} {
		for f := range of.Fields() {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "dkim_keys" {
				keys = append(keys, name)
			}
		}
	}
	if !reflect.DeepEqual(listed, keys) {
		t.Errorf("listed are %v, there are %v", listed, keys)
	}
}
