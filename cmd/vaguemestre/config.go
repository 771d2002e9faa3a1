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
	Home                   string        `key:"home" default:"./var" help:"folder of the embedded home and of the control socket"`
	Roles                  []string      `key:"roles" default:"smtp,imap,http,worker,scheduler,mailer,keeper" help:"roles of this process"`
	HTTP                   string        `key:"http" default:"127.0.0.1:8080" help:"address of health, readiness and metrics; off for none"`
	SMTP                   []string      `key:"smtp" default:"127.0.0.1:2525" help:"addresses mail is received on: host:port offers STARTTLS, tls://host:port begins with TLS"`
	SMTPDomain             string        `key:"smtp_domain" default:"localhost" help:"our name in the SMTP greeting, and in MX records"`
	SMTPDepositDomains     []string      `key:"smtp_deposit_domains" help:"domains of deposit addresses whose DNS records doctor prints and checks; empty: smtp_domain"`
	SMTPContact            string        `key:"smtp_contact" help:"address that mail to postmaster and abuse is told to go to"`
	SMTPReports            string        `key:"smtp_reports" help:"address for other servers' reports on TLS (TLS-RPT), printed by doctor"`
	SMTPCert               string        `key:"smtp_cert" help:"TLS certificate with its chain (PEM file), taken over when replaced; TLS is required beyond loopback"`
	SMTPKey                string        `key:"smtp_key" help:"its private key (PEM file)"`
	SMTPACME               string        `key:"smtp_acme" help:"directory URL of the ACME authority that issues a certificate for smtp_domain, instead of smtp_cert; its terms are agreed to"`
	SMTPACMEHTTP           string        `key:"smtp_acme_http" default:":80" help:"address where its challenges are answered; port 80 of smtp_domain leads there"`
	SMTPProxy              []string      `key:"smtp_proxy" help:"networks of balancers, whose connections begin with a PROXY header (1 or 2)"`
	SMTPExempt             []string      `key:"smtp_exempt" default:"127.0.0.0/8,::1/128" help:"networks without limits of messages and connections, such as a relay of the town's"`
	SMTPMaxBytes           int64         `key:"smtp_max_bytes" default:"52428800" help:"largest message taken in, bytes"`
	SMTPMaxHeader          int           `key:"smtp_max_header" default:"262144" help:"largest header of a message, bytes"`
	SMTPMaxLine            int           `key:"smtp_max_line" default:"65536" help:"longest line of a message, bytes"`
	SMTPMaxRecipients      int           `key:"smtp_max_recipients" default:"100" help:"recipients of a message"`
	SMTPMaxSessions        int           `key:"smtp_max_sessions" default:"500" help:"sessions at the same time"`
	SMTPMaxMessages        int           `key:"smtp_max_messages" default:"1000" help:"messages of a session"`
	SMTPMaxCommands        int           `key:"smtp_max_commands" default:"500" help:"commands of a session without a message taken in"`
	SMTPMaxErrors          int           `key:"smtp_max_errors" default:"20" help:"commands of a session that make no sense"`
	SMTPMaxUnknown         int           `key:"smtp_max_unknown" default:"20" help:"unknown recipients of a session"`
	SMTPNetworkSessions    int           `key:"smtp_network_sessions" default:"50" help:"sessions of a network (IPv4 address, IPv6 /64) at the same time; its /24 or /48 may have four times as much, here and below"`
	SMTPNetworkConnections int           `key:"smtp_network_connections" default:"300" help:"connections of a network a minute"`
	SMTPNetworkMessages    int           `key:"smtp_network_messages" default:"600" help:"messages of a network a minute"`
	SMTPNetworkUnknown     int           `key:"smtp_network_unknown" default:"60" help:"unknown recipients of a network a minute"`
	SMTPAddressMessages    int           `key:"smtp_address_messages" default:"60" help:"messages to one deposit address a minute, from all networks that are not exempt"`
	SMTPReadTimeout        time.Duration `key:"smtp_read_timeout" default:"5m0s" help:"wait for the next command, or the next bytes of a message"`
	SMTPDataTimeout        time.Duration `key:"smtp_data_timeout" default:"10m0s" help:"time for a whole message"`
	SMTPSlowWindow         time.Duration `key:"smtp_slow_window" default:"1m0s" help:"how long a message may come in more slowly than smtp_min_speed"`
	SMTPMinSpeed           int           `key:"smtp_min_speed" default:"200" help:"bytes a second that a message comes in with at least"`
	SMTPGreetDelay         time.Duration `key:"smtp_greet_delay" default:"200ms" help:"silence awaited before the greeting"`
	SMTPUnknownDelay       time.Duration `key:"smtp_unknown_delay" default:"100ms" help:"added to the wait for the reply with each unknown recipient of a session"`
	SMTPStopTimeout        time.Duration `key:"smtp_stop_timeout" default:"30s" help:"time for the messages under way when the process stops"`
	IMAPPoll               time.Duration `key:"imap_poll" default:"1m0s" help:"how often a mailbox is looked into whose server does not tell of new mail by itself"`
	IMAPIdle               time.Duration `key:"imap_idle" default:"9m0s" help:"how long a server that does is listened to without a word; below 29 minutes"`
	IMAPPatience           time.Duration `key:"imap_patience" default:"1m0s" help:"time a mailbox's server has to answer"`
	IMAPMaxBytes           int64         `key:"imap_max_bytes" default:"52428800" help:"largest message taken out of a mailbox, bytes"`
	IMAPInFlight           int           `key:"imap_in_flight" default:"32" help:"messages of one mailbox being recorded at the same time"`
	IMAPCA                 string        `key:"imap_ca" help:"PEM file of authorities that mailboxes' servers may be certified by, beside the system's"`
	MailMaxParts           int           `key:"mail_max_parts" default:"1000" help:"files in a message; one with more is held for a person"`
	MailMaxDepth           int           `key:"mail_max_depth" default:"20" help:"messages and parts one in another; a message with more is held"`
	Resolver               string        `key:"resolver" help:"DNS server asked about senders, host:port; empty: the system's"`
	ARCSealers             []string      `key:"arc_sealers" help:"domains whose ARC seal is believed when forwarding broke a signature; none unless named"`
	DatabaseURL            string        `key:"database_url" secret:"true" help:"PostgreSQL, as the application's login; empty: a private one in the home"`
	DatabaseOwnerURL       string        `key:"database_owner_url" secret:"true" help:"PostgreSQL, as the owner, to migrate at start; empty with database_url: no migration"`
	RedisURL               string        `key:"redis_url" secret:"true" help:"Redis (redis, rediss, unix, redis-sentinel, redis-cluster); empty: a private one in the home"`
	BlobURL                string        `key:"blob_url" help:"where sealed bytes lie: a folder, or s3://bucket?…; empty: a folder in the home"`
	KEKFile                string        `key:"kek_file" help:"file of the tenants' keys, read by the keeper alone; empty: in the home"`
	IndexKeyFile           string        `key:"index_key_file" help:"secret of the keyed hashes, the same for all processes; empty: in the home"`
	SecretsKeyFile         string        `key:"secrets_key_file" help:"key of the towns' secrets (passwords of mailboxes and relays), the same for imap, mailer and http; empty: in the home"`
	Workers                int           `key:"workers" default:"2" help:"steps worked on at the same time"`
	Lease                  time.Duration `key:"lease" default:"30s" help:"how long a step is held before another worker may take it"`
	Sweep                  time.Duration `key:"sweep" default:"10s" help:"how often work left standing is rung for again"`
	Log                    string        `key:"log" default:"info" help:"debug, info, warn or error"`
}

const envPrefix = "VAGUEMESTRE_"

var allRoles = []string{"smtp", "imap", "http", "worker", "scheduler", "mailer", "keeper"}

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
	if (c.has("worker") || c.has("http") || c.has("mailer")) && !c.has("keeper") {
		faults = append(faults, errors.New("roles: worker, http and mailer open what is sealed, and need the keeper in the same process"))
	}
	faults = append(faults, c.validateSMTP(), c.validateIMAP())
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
