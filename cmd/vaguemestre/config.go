package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Config is the configuration of a process: every key, with its environment variable
// (VAGUEMESTRE_ and the key in capitals), its default and its documentation. The
// environment wins over the file.
type Config struct {
	Home             string        `key:"home" default:"./var" help:"folder of the embedded home and of the control socket"`
	Roles            []string      `key:"roles" default:"smtp,http,worker,scheduler,keeper" help:"roles of this process"`
	HTTP             string        `key:"http" default:"127.0.0.1:8080" help:"address of health, readiness and metrics; off for none"`
	SMTP             string        `key:"smtp" default:"127.0.0.1:2525" help:"address mail is received on"`
	SMTPDomain       string        `key:"smtp_domain" default:"localhost" help:"our name in the SMTP greeting"`
	SMTPCert         string        `key:"smtp_cert" help:"TLS certificate (PEM file): STARTTLS is offered, and required beyond loopback"`
	SMTPKey          string        `key:"smtp_key" help:"its private key (PEM file)"`
	SMTPMaxBytes     int64         `key:"smtp_max_bytes" default:"52428800" help:"largest message taken in, bytes"`
	MailMaxParts     int           `key:"mail_max_parts" default:"1000" help:"files in a message; one with more is held for a person"`
	MailMaxDepth     int           `key:"mail_max_depth" default:"20" help:"messages and parts one in another; a message with more is held"`
	Resolver         string        `key:"resolver" help:"DNS server asked about senders, host:port; empty: the system's"`
	ARCSealers       []string      `key:"arc_sealers" help:"domains whose ARC seal is believed when forwarding broke a signature; none unless named"`
	DatabaseURL      string        `key:"database_url" secret:"true" help:"PostgreSQL, as the application's login; empty: a private one in the home"`
	DatabaseOwnerURL string        `key:"database_owner_url" secret:"true" help:"PostgreSQL, as the owner, to migrate at start; empty with database_url: no migration"`
	RedisURL         string        `key:"redis_url" secret:"true" help:"Redis (redis, rediss, unix, redis-sentinel, redis-cluster); empty: a private one in the home"`
	BlobURL          string        `key:"blob_url" help:"where sealed bytes lie: a folder, or s3://bucket?…; empty: a folder in the home"`
	KEKFile          string        `key:"kek_file" help:"file of the tenants' keys, read by the keeper alone; empty: in the home"`
	IndexKeyFile     string        `key:"index_key_file" help:"secret of the keyed hashes, the same for all processes; empty: in the home"`
	Workers          int           `key:"workers" default:"2" help:"steps worked on at the same time"`
	Lease            time.Duration `key:"lease" default:"30s" help:"how long a step is held before another worker may take it"`
	Sweep            time.Duration `key:"sweep" default:"10s" help:"how often work left standing is rung for again"`
	Log              string        `key:"log" default:"info" help:"debug, info, warn or error"`
}

const envPrefix = "VAGUEMESTRE_"

var allRoles = []string{"smtp", "http", "worker", "scheduler", "keeper"}

// loadConfig reads defaults, then the file, then the environment, then the flags that
// were given. The error names every fault, and quotes no value.
func loadConfig(file string, environ []string, flags map[string]string) (Config, error) {
	var cfg Config
	var faults []error
	set := func(from string, values map[string]string) {
		for key, value := range values {
			if err := cfg.set(key, value); err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", from, err))
			}
		}
	}
	defaults := map[string]string{}
	for _, f := range cfg.fields() {
		if f.def != "" {
			defaults[f.key] = f.def
		}
	}
	set("defaults", defaults)
	if file != "" {
		values, err := readConfigFile(file)
		if err != nil {
			return cfg, err
		}
		set(file, values)
	}
	set("environment", fromEnvironment(environ))
	set("command line", flags)
	faults = append(faults, cfg.validate())
	return cfg, errors.Join(faults...)
}

func readConfigFile(file string) (map[string]string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	var raw map[string]any
	if err := yaml.Unmarshal(b, &raw); err != nil {
		return nil, fmt.Errorf("configuration %s is not YAML with one key a line", file)
	}
	values := map[string]string{}
	for key, v := range raw {
		if v == nil { // a key without a value keeps its default
			continue
		}
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		parts := make([]string, len(list))
		for i, p := range list {
			switch p.(type) {
			case nil, []any, map[string]any:
				return nil, fmt.Errorf("configuration %s: %s: want a value, or a list of values", file, key)
			}
			parts[i] = fmt.Sprint(p)
		}
		values[key] = strings.Join(parts, ",")
	}
	return values, nil
}

func fromEnvironment(environ []string) map[string]string {
	values := map[string]string{}
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		key, ours := strings.CutPrefix(name, envPrefix)
		if ours && value != "" {
			values[strings.ToLower(key)] = value
		}
	}
	return values
}

// field is one key with its documentation.
type field struct {
	key, def, help string
	secret         bool
	value          reflect.Value
}

func (c *Config) fields() []field {
	v := reflect.ValueOf(c).Elem()
	out := make([]field, v.NumField())
	for i := range out {
		t := v.Type().Field(i)
		out[i] = field{t.Tag.Get("key"), t.Tag.Get("default"), t.Tag.Get("help"), t.Tag.Get("secret") == "true", v.Field(i)}
	}
	return out
}

func (c *Config) set(key, value string) error {
	for _, f := range c.fields() {
		if f.key != key {
			continue
		}
		switch p := f.value.Addr().Interface().(type) {
		case *string:
			*p = value
		case *[]string:
			*p = strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
		case *int:
			n, err := strconv.Atoi(value)
			if err != nil || n <= 0 {
				return fmt.Errorf("%s: want a number above 0", key)
			}
			*p = n
		case *int64:
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || n <= 0 {
				return fmt.Errorf("%s: want a number above 0", key)
			}
			*p = n
		case *time.Duration:
			d, err := time.ParseDuration(value)
			if err != nil || d <= 0 {
				return fmt.Errorf("%s: want a duration such as 30s", key)
			}
			*p = d
		}
		return nil
	}
	return fmt.Errorf("%s: no such key", key)
}

func (c *Config) validate() error {
	var faults []error
	for _, r := range c.Roles {
		if !slices.Contains(allRoles, r) {
			faults = append(faults, fmt.Errorf("roles: want some of %s", strings.Join(allRoles, ", ")))
			break
		}
	}
	if len(c.Roles) == 0 {
		faults = append(faults, errors.New("roles: name at least one"))
	}
	if (c.has("worker") || c.has("http")) && !c.has("keeper") {
		faults = append(faults, errors.New("roles: worker and http open sealed documents, and need the keeper in the same process"))
	}
	if (c.SMTPCert == "") != (c.SMTPKey == "") {
		faults = append(faults, errors.New("smtp_cert and smtp_key go together"))
	}
	if _, err := c.level(); err != nil {
		faults = append(faults, errors.New("log: want debug, info, warn or error"))
	}
	return errors.Join(faults...)
}

func (c *Config) has(role string) bool { return slices.Contains(c.Roles, role) }

// level is the least that is logged.
func (c *Config) level() (level slog.Level, err error) {
	return level, level.UnmarshalText([]byte(c.Log))
}

// shown is a value fit for a terminal: secrets masked.
func (f field) shown() string {
	text := fmt.Sprint(f.value.Interface())
	if list, ok := f.value.Interface().([]string); ok {
		text = strings.Join(list, ",")
	}
	if f.secret && text != "" {
		return "(set)"
	}
	return text
}
