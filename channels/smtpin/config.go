package smtpin

import (
	"crypto/tls"
	"net/netip"
	"time"
)

// Config says how mail is received. A limit left at zero has its default.
type Config struct {
	Addrs   []string    // what to listen on: host:port offers STARTTLS, tls://host:port begins with TLS
	Domain  string      // our name in the greeting; localhost when empty
	TLS     *tls.Config // 1.2 at least, whatever it says; without it only loopback addresses are listened on
	Contact string      // whom mail to postmaster and abuse is told to go to; nobody when empty

	// Balancers are the networks whose connections must begin with a PROXY header, and
	// are believed in what it says of the client. Nobody else's header is listened to.
	Balancers []netip.Prefix
	// Exempt are the networks that are not counted: the rates of networks and
	// addresses, messages of a session and the pause before the greeting are not for them. Loopback when nil.
	Exempt []netip.Prefix

	MaxBytes      int64 // of a message as received; 50 MiB
	MaxHeader     int   // bytes; 256 KiB
	MaxLine       int   // bytes in a line of a message, its line break included; 64 KiB
	MaxRecipients int   // of one message; 100

	MaxSessions int // at the same time; 500
	MaxMessages int // of a session; 1000
	MaxCommands int // of a session since the last message taken in; 500
	MaxErrors   int // commands of a session that made no sense; 20
	MaxUnknown  int // unknown recipients of a session; 20

	// Of a network: an IPv4 address or an IPv6 /64; its surroundings (/24, /48) may have
	// four times as much.
	NetworkSessions    int // at the same time; 50
	NetworkConnections int // a minute; 300
	NetworkMessages    int // a minute; 600
	NetworkUnknown     int // unknown recipients a minute; 60

	AddressMessages int // to one deposit address a minute, from anywhere; 60

	ReadTimeout  time.Duration // for the next command or the next bytes of a message; 5 min (RFC 5321 §4.5.3.2)
	DataTimeout  time.Duration // for a whole message; 10 min
	SlowWindow   time.Duration // how long a message may come in slowly; 1 min
	MinSpeed     int           // bytes a second that are not slow, within every SlowWindow; 200
	GreetDelay   time.Duration // silence awaited before the greeting; 200 ms
	UnknownDelay time.Duration // an unknown recipient's reply waits that much longer than the last one's; 100 ms
	StopTimeout  time.Duration // for the transactions under way when Run's context ends; 30 s

	// Seen is told what happened, in words for counting (see the Seen constants), never
	// whom it happened to. It must not block. Nil when nobody counts.
	Seen func(what, detail string)

	Now func() time.Time // time.Now when nil
}

// What Seen is told.
const (
	SeenConnection = "connection"  // served: "plain", or "tls" from the first byte
	SeenTurnedAway = "turned_away" // not served: "sessions", "network_sessions", "network_connections", "header" (of PROXY), "early" (spoke before the greeting), "stopping"
	SeenTLS        = "tls"         // "TLS 1.2", "TLS 1.3" or "failed"
	SeenRefusal    = "refusal"     // reply and status of what was not accepted: "550 5.1.1"
)

// Loopback are the networks of the machine itself.
var Loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func (c Config) withDefaults() Config {
	for n, d := range map[*int]int{
		&c.MaxHeader: 256 << 10, &c.MaxLine: 64 << 10, &c.MaxRecipients: 100,
		&c.MaxSessions: 500, &c.MaxMessages: 1000, &c.MaxCommands: 500, &c.MaxErrors: 20, &c.MaxUnknown: 20,
		&c.NetworkSessions: 50, &c.NetworkConnections: 300, &c.NetworkMessages: 600, &c.NetworkUnknown: 60,
		&c.AddressMessages: 60, &c.MinSpeed: 200,
	} {
		if *n == 0 {
			*n = d
		}
	}
	for n, d := range map[*time.Duration]time.Duration{
		&c.ReadTimeout: 5 * time.Minute, &c.DataTimeout: 10 * time.Minute, &c.SlowWindow: time.Minute,
		&c.GreetDelay: 200 * time.Millisecond, &c.UnknownDelay: 100 * time.Millisecond, &c.StopTimeout: 30 * time.Second,
	} {
		if *n == 0 {
			*n = d
		}
	}
	if c.Domain == "" {
		c.Domain = "localhost"
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 50 << 20
	}
	if c.Exempt == nil {
		c.Exempt = Loopback
	}
	if c.TLS != nil {
		c.TLS = c.TLS.Clone()
		c.TLS.MinVersion = max(c.TLS.MinVersion, tls.VersionTLS12)
	}
	if c.Seen == nil {
		c.Seen = func(string, string) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// covers reports whether one of the networks holds the address.
func covers(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}
