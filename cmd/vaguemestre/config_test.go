package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// secret stands for a password wherever one may be given.
const secret = "hunter2-hunter2"

// valuesFor gives values other than the default: the file's, the environment's, the flag's.
func valuesFor(t *testing.T, f field) (values [3]string) {
	switch f.key {
	case "imap_ca": // is read at once
		for i := range values {
			values[i] = authorityFile(t)
		}
		return values
	case "smtp":
		return [3]string{"127.0.0.1:1", "tls://[::1]:2", "127.0.0.1:1,tls://:3"}
	case "smtp_proxy", "smtp_exempt":
		return [3]string{"192.0.2.0/24", "2001:db8::/32", "192.0.2.1,198.51.100.0/24"}
	case "smtp_contact", "smtp_reports":
		return [3]string{"a@ville.test", "b@ville.test", "c+d@ville.test"}
	case "smtp_acme":
		return [3]string{"https://acme.test/dir", "https://acme.test/2", "https://acme.test/3"}
	}
	switch f.value.Interface().(type) {
	case []string:
		return [3]string{"smtp", "scheduler", "smtp,scheduler"}
	case int, int64:
		return [3]string{"11", "12", "13"}
	case time.Duration:
		return [3]string{"11s", "12s", "13s"}
	}
	if f.key == "log" {
		return [3]string{"debug", "warn", "error"}
	}
	return [3]string{"/from/file", "/from/environment", "/from/flag"}
}

// authorityFile is a file with a certificate in it.
func authorityFile(t *testing.T) string {
	t.Helper()
	settings := certificateFiles(t, "ca.test")
	return strings.TrimPrefix(settings[0], "VAGUEMESTRE_SMTP_CERT=")
}

// Every key has its documentation and is settable by the file, by the environment over
// the file, and by a flag over both; what nothing sets keeps its default.
func TestEveryKeyIsDocumentedAndSettable(t *testing.T) {
	t.Parallel()
	var plain Config
	keys := map[string]bool{}
	for _, f := range plain.fields() {
		if f.key == "" || f.help == "" || f.key != strings.ToLower(f.key) || keys[f.key] {
			t.Errorf("key %q, documented as %q", f.key, f.help)
		}
		keys[f.key] = true
		if strings.HasSuffix(f.key, "_url") && f.key != "blob_url" && !f.secret {
			t.Errorf("%s may hold a password and is not masked", f.key)
		}
	}
	for i, f := range plain.fields() {
		values := valuesFor(t, f)
		pair := "" // a certificate needs its key
		if other, ok := map[string]string{
			"smtp_cert": "smtp_key: /pair", "smtp_key": "smtp_cert: /pair", "smtp_acme": "smtp_domain: mx.ville.test",
		}[f.key]; ok {
			pair = other + "\n"
		}
		file := filepath.Join(t.TempDir(), "settings.yaml")
		if err := os.WriteFile(file, []byte(pair+f.key+": "+values[0]+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		env := []string{"VAGUEMESTRE_" + strings.ToUpper(f.key) + "=" + values[1], "HOME=/root", "VAGUEMESTRE_LEASE="}
		flags := map[string]string{f.key: values[2]}
		for _, c := range []struct {
			name string
			env  []string
			flag map[string]string
			want string
		}{
			{"file", nil, nil, values[0]},
			{"environment over file", env, nil, values[1]},
			{"flag over environment", env, flags, values[2]},
		} {
			cfg, err := loadConfig(file, c.env, c.flag)
			if err != nil {
				t.Errorf("%s by %s: %v", f.key, c.name, err)
				continue
			}
			if got := unmasked(cfg.fields()[i]); got != c.want {
				t.Errorf("%s by %s is %q, want %q", f.key, c.name, got, c.want)
			}
			for j, other := range cfg.fields() {
				if j != i && !strings.HasPrefix(pair, other.key+":") && unmasked(other) != other.def {
					t.Errorf("%s changed %s to %s", f.key, other.key, unmasked(other))
				}
			}
		}
	}
}

func unmasked(f field) string {
	f.secret = false
	return f.shown()
}

// The file may be empty, leave values out and write lists; nothing in it is guessed at.
func TestConfigurationFile(t *testing.T) {
	t.Parallel()
	defaults, err := loadConfig("", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for content, want := range map[string]func(*Config){
		"":                                    func(*Config) {},
		"# nothing yet\n":                     func(*Config) {},
		"database_url:\nworkers:\n":           func(*Config) {},
		"http: off\n":                         func(c *Config) { c.HTTP = "off" },
		"roles: [smtp, scheduler]\n":          func(c *Config) { c.Roles = []string{"smtp", "scheduler"} },
		"roles: smtp, scheduler\n":            func(c *Config) { c.Roles = []string{"smtp", "scheduler"} },
		"smtp: [127.0.0.1:1, \"tls://:2\"]\n": func(c *Config) { c.SMTP = []string{"127.0.0.1:1", "tls://:2"} },
		"smtp_exempt: []\n":                   func(c *Config) { c.SMTPExempt = []string{} },
		"smtp_max_bytes: 1000000\n":           func(c *Config) { c.SMTPMaxBytes = 1_000_000 },
		"sweep: 1m\nlog: debug\n":             func(c *Config) { c.Sweep, c.Log = time.Minute, "debug" },
		"smtp_domain: \"8\"\nhome: ~\n":       func(c *Config) { c.SMTPDomain = "8" },
	} {
		expected := defaults
		want(&expected)
		got, err := loadConfig(written(t, content), nil, nil)
		if err != nil || !reflect.DeepEqual(got, expected) {
			t.Errorf("%q gives %+v (%v)", content, got, err)
		}
	}
}

func written(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// A fault names its key and where it was set, and quotes no value: it may be a password
// that slipped into the wrong line.
func TestBadSettingsAreNamedAndNotQuoted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, file string
		env        []string
		want       []string
	}{
		{"unknown in the file", "databse_url: " + secret, nil, []string{"databse_url", "no such key", "settings.yaml"}},
		{"unknown in the environment", "", []string{"VAGUEMESTRE_DATABASE=" + secret}, []string{"database", "no such key", "environment"}},
		{"no number", "", []string{"VAGUEMESTRE_WORKERS=" + secret}, []string{"workers", "number"}},
		{"no workers", "workers: 0", nil, []string{"workers", "number"}},
		{"too large a number", "smtp_max_bytes: 99999999999999999999", nil, []string{"smtp_max_bytes", "number"}},
		{"no duration", "lease: " + secret, nil, []string{"lease", "duration"}},
		{"a bare number for a duration", "lease: 30", nil, []string{"lease", "duration"}},
		{"a negative duration", "sweep: -1s", nil, []string{"sweep", "duration"}},
		{"no level", "log: " + secret, nil, []string{"log: want debug"}},
		{"a map for a value", "database_url: {password: " + secret + "}", nil, []string{"database_url", "value"}},
		{"a map in a list", "roles: [{smtp: " + secret + "}]", nil, []string{"roles", "value"}},
		{"no YAML", "database_url: [" + secret, nil, []string{"YAML"}},
		{"no map", "- " + secret, nil, []string{"YAML"}},
		{"twice the same key", "redis_url: a\nredis_url: " + secret, nil, []string{"YAML"}},
		{"a role that is none", "roles: smtp," + secret, nil, []string{"roles", "some of smtp, imap, http, worker"}},
		{"no role", "roles: []", nil, []string{"roles: name at least one"}},
		{"nothing but commas", "", []string{"VAGUEMESTRE_ROLES=, ,"}, []string{"roles: name at least one"}},
		{"a worker without keeper", "roles: [smtp, worker]", nil, []string{"keeper"}},
		{"http without keeper", "roles: http", nil, []string{"keeper"}},
		{"a certificate without key", "smtp_cert: /c.pem", nil, []string{"smtp_cert and smtp_key"}},
		{"a certificate from two sources", "smtp_cert: /c\nsmtp_key: /k\nsmtp_acme: https://acme.test/dir\nsmtp_domain: mx.ville.test", nil, []string{"smtp_acme and smtp_cert"}},
		{"ACME in the clear", "smtp_acme: http://" + secret + "\nsmtp_domain: mx.ville.test", nil, []string{"smtp_acme", "https://"}},
		{"ACME for localhost", "smtp_acme: https://acme.test/dir", nil, []string{"smtp_acme", "smtp_domain"}},
		{"no address for mail", "smtp: []", nil, []string{"smtp: name at least one"}},
		{"an address without port", "smtp: " + secret, nil, []string{"smtp: want addresses"}},
		{"a balancer that is no network", "smtp_proxy: " + secret, nil, []string{"smtp_proxy: want networks"}},
		{"a contact that is no address", "smtp_contact: \"" + secret + "\"", nil, []string{"smtp_contact: want an e-mail address"}},
		{"several faults at once", "workers: x\nlease: y\nnobody: z", []string{"VAGUEMESTRE_SWEEP=w"}, []string{"workers", "lease", "nobody", "sweep"}},
	} {
		_, err := loadConfig(written(t, c.file), c.env, nil)
		if err == nil {
			t.Errorf("%s: taken", c.name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %q", c.name, err, want)
			}
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: quoted in %q", c.name, err)
		}
	}
	if _, err := loadConfig(filepath.Join(t.TempDir(), "none.yaml"), nil, nil); err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("a missing file: %v", err)
	}
	for _, roles := range []string{"smtp", "scheduler", "keeper", "smtp,scheduler,keeper", "worker,keeper", "http,keeper"} {
		if cfg, err := loadConfig("", nil, map[string]string{"roles": roles}); err != nil || !slices.Equal(cfg.Roles, strings.Split(roles, ",")) {
			t.Errorf("roles %s: %v (%v)", roles, cfg.Roles, err)
		}
	}
}

// The program says at its start which setting is no good, and never with the password.
func TestRunQuotesNoSecret(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]map[string]string{
		"malformed database": {"database_url": "postgres://town:" + secret + "@[::1/vaguemestre"},
		"absent database":    {"database_url": "postgres://town:" + secret + "@127.0.0.1:1/vaguemestre?connect_timeout=2"},
		"malformed owner":    {"database_url": "postgres://town@127.0.0.1:1/x", "database_owner_url": "postgres://owner:" + secret + "@127.0.0.1:port/vaguemestre"},
		"absent owner":       {"database_url": "postgres://town@127.0.0.1:1/x", "database_owner_url": "postgres://owner:" + secret + "@127.0.0.1:1/vaguemestre"},
		"no role":            {"roles": secret},
		"no level":           {"log": secret},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := []string{"VAGUEMESTRE_REDIS_URL=redis://:" + secret + "@127.0.0.1:1/0"}
			for key, value := range settings {
				env = append(env, "VAGUEMESTRE_"+strings.ToUpper(key)+"="+value)
			}
			out, errs, code := vaguemestre(t, env, "run", "--home", newHome(t), "--http", "off", "--smtp", "127.0.0.1:0")
			if code != 1 && code != 2 || strings.TrimSpace(errs) == "" {
				t.Errorf("exit %d, saying %q", code, errs)
			}
			if strings.Contains(out+errs, secret) {
				t.Errorf("quoted: %s%s", out, errs)
			}
		})
	}
	_, errs, code := vaguemestre(t, []string{
		"VAGUEMESTRE_DATABASE_URL=postgres://town@127.0.0.1:1/x", "VAGUEMESTRE_REDIS_URL=redis://:" + secret + "@127.0.0.1:port/0",
	}, "run", "--home", newHome(t), "--roles", "scheduler", "--http", "off")
	if code != 1 || strings.Contains(errs, secret) {
		t.Errorf("malformed Redis: exit %d, %s", code, errs)
	}
}

// doctor shows every setting in force under the name it is set by, with its meaning;
// of a secret, only that there is one.
func TestDoctorShowsSettingsAndMasksSecrets(t *testing.T) {
	t.Parallel()
	out, errs, code := vaguemestre(t, []string{
		"VAGUEMESTRE_DATABASE_URL=postgres://town:" + secret + "@db/vaguemestre", "VAGUEMESTRE_DATABASE_OWNER_URL=" + secret,
		"VAGUEMESTRE_REDIS_URL=redis://:" + secret + "@cache/0", "VAGUEMESTRE_WORKERS=7",
	}, "doctor")
	if code > 1 || strings.Contains(out+errs, secret) {
		t.Errorf("exit %d, %s%s", code, out, errs)
	}
	var cfg Config
	for _, f := range cfg.fields() {
		i := slices.IndexFunc(strings.Split(out, "\n"), func(line string) bool {
			return strings.HasPrefix(line, "VAGUEMESTRE_"+strings.ToUpper(f.key)+" ") && strings.HasSuffix(line, f.help)
		})
		if i < 0 {
			t.Errorf("doctor does not show %s", f.key)
			continue
		}
		shown := strings.Fields(strings.Split(out, "\n")[i])[1]
		if want := map[bool]string{true: "(set)", false: "7"}[f.secret]; (f.secret || f.key == "workers") && shown != want {
			t.Errorf("%s is shown as %s", f.key, shown)
		}
	}
	out, _, code = vaguemestre(t, []string{"VAGUEMESTRE_LEASE=soon", "VAGUEMESTRE_FAX=on"}, "doctor")
	if code != 1 || !strings.Contains(out, "lease: want a duration") || !strings.Contains(out, "fax: no such key") {
		t.Errorf("faults: exit %d, %s", code, out)
	}
}

// vaguemestre runs the program as a process of its own.
func vaguemestre(t *testing.T, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command(self(t), args...)
	cmd.Env = append(append(os.Environ(), asMain+"=1"), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}
